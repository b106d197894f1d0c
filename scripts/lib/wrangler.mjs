// wrangler, as its commands are run here: quiet about itself, and without a question.
import { join } from "node:path";
import { ROOT } from "./run.mjs";

/** Its program. */
export const WRANGLER = join(ROOT, "node_modules", "wrangler", "bin", "wrangler.js");

/** Variables for it. */
export const WRANGLER_ENV = { WRANGLER_SEND_METRICS: "false", CI: "1" };
