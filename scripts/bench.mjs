// `npm run bench`: what one live postback costs, natively, and how that compares with a yardstick of the same run.
// docs/performance.md has the figures.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { main, ROOT, run, step } from "./lib/run.mjs";

const PARTS = ["read", "canonicalise", "sign", "all"];
const YARDSTICK = "yardstick_hmac_sha256_1_kib";

await main(async () => {
  const args = ["bench", "--quiet", "--locked", "-p", "postback", "--features", "files", "--bench", "live_postback"];
  await step("benchmarking one live postback (takes a minute)", () => run("cargo", args));
  const yardstick = medianNs(YARDSTICK);
  for (const part of PARTS) {
    const ns = medianNs(part);
    process.stdout.write(`${part.padEnd(14)}${(ns / 1000).toFixed(2).padStart(8)} us${(ns / yardstick).toFixed(1).padStart(8)} times ${YARDSTICK}\n`);
  }
});

/** The median that criterion wrote down, in nanoseconds. */
function medianNs(name) {
  const path = join(ROOT, "target", "criterion", "live_postback", name, "new", "estimates.json");
  return JSON.parse(readFileSync(path, "utf8")).median.point_estimate;
}
