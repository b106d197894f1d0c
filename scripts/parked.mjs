// `npm run parked -- list|show ID|replay`: postbacks and clicks that automatic delivery gave up on. Finds the edge of an environment
// and leaves the rest to `bytec-origin parked`.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { edgeUrl } from "./lib/environments.mjs";
import { DEVELOPMENT_TOKEN } from "./lib/operator.mjs";
import { originBinary } from "./lib/origin-binary.mjs";
import { Complaint, main } from "./lib/run.mjs";

const HELP = `
npm run parked -- list|show ID|replay --env NAME [options]

  --env NAME   the edge of this environment: production, staging, ... as in wrangler.toml, or development (this machine,
               EDGE_PORT; its token is public)
  --url URL    the edge at this address, in place of the environment's

All else is an option of bytec-origin parked:
`;

/** The options that are ours; what else there is the program knows. */
const OPTIONS = { env: { type: "string" }, url: { type: "string" }, help: { type: "boolean" } };

await main(async () => {
  const { values, tokens } = parseArgs({ options: OPTIONS, strict: false, allowPositionals: true, tokens: true });
  const missing = ["env", "url"].find((name) => values[name] === true || values[name] === "");
  if (missing) throw new Complaint(`--${missing} needs a value`);
  const env = { ...process.env };
  // An id may begin as -h does.
  if (values.help || process.argv.includes("-h")) {
    process.stdout.write(HELP.trimStart());
  } else {
    const url = values.url ?? (values.env && (await edgeUrl(values.env)));
    if (url) env.EDGE_URL = url;
    if (values.env === "development" && !env.OPERATOR_TOKEN && !env.OPERATOR_TOKEN_FILE) env.OPERATOR_TOKEN = DEVELOPMENT_TOKEN;
  }
  const { status, error } = spawnSync(await originBinary(), ["parked", ...others(tokens)], { env, stdio: "inherit" });
  if (error) throw new Complaint(`bytec-origin cannot be run: ${error.message}`);
  process.exitCode = status ?? 1;
});

/** The arguments but for --env and --url. */
function others(tokens) {
  const ours = tokens.filter(({ kind, name }) => kind === "option" && ["env", "url"].includes(name));
  const places = new Set(ours.flatMap(({ index, inlineValue }) => (inlineValue ? [index] : [index, index + 1])));
  return process.argv.slice(2).filter((_, place) => !places.has(place));
}
