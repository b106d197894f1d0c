// `npm run bench [-- core | edge]`: what one live postback costs. `core` is the rules natively, with a yardstick of the
// same run; `edge` is the built Worker beside Workers in JavaScript. Both without a word. docs/performance.md has the
// figures.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { benchEdge } from "../tests/bench/edge.mjs";
import { Complaint, main, ROOT, run, step } from "./lib/run.mjs";

const PARTS = ["read", "canonicalise", "sign", "all"];
const YARDSTICK = "yardstick_hmac_sha256_1_kib";

await main(async () => {
  const options = { seconds: { type: "string", default: "5" }, rounds: { type: "string", default: "5" } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const unknown = positionals.filter((name) => !["core", "edge"].includes(name));
  if (unknown.length) throw new Complaint(`no benchmark ${unknown.join(", ")}; there are core and edge`);
  const [seconds, rounds] = [wholeNumber("seconds", values.seconds), wholeNumber("rounds", values.rounds)];
  const asked = (name) => positionals.length === 0 || positionals.includes(name);
  if (asked("core")) await benchCore();
  if (asked("edge") && !(await benchEdge({ seconds, rounds }))) throw new Complaint("the edge misses a target");
});

async function benchCore() {
  const args = ["bench", "--quiet", "--locked", "-p", "postback", "--features", "files", "--bench", "live_postback"];
  await step("benchmarking one live postback (takes a minute)", () => run("cargo", args));
  const yardstick = medianNs(YARDSTICK);
  for (const part of PARTS) {
    const ns = medianNs(part);
    process.stdout.write(`${part.padEnd(14)}${(ns / 1000).toFixed(2).padStart(8)} us${(ns / yardstick).toFixed(1).padStart(8)} times ${YARDSTICK}\n`);
  }
}

function wholeNumber(name, text) {
  const number = Number(text);
  if (!(Number.isInteger(number) && number > 0)) throw new Complaint(`--${name} must be a whole number above 0`);
  return number;
}

/** The median that criterion wrote down, in nanoseconds. */
function medianNs(name) {
  const path = join(ROOT, "target", "criterion", "live_postback", name, "new", "estimates.json");
  return JSON.parse(readFileSync(path, "utf8")).median.point_estimate;
}
