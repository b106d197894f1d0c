// `npm run bench [-- core | edge | origin | questions]`: what one live postback costs, and a question. `core` is the rules natively, with a yardstick of
// the same run; `edge` is the built Worker beside Workers in JavaScript; `origin` is the origin beside pgbench,
// `questions` are those of the API where there are a million conversions. All without a word. docs/performance.md has the figures.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { benchEdge } from "../tests/bench/edge.mjs";
import { benchOrigin } from "../tests/bench/origin.mjs";
import { benchQuestions } from "../tests/bench/questions.mjs";
import { Complaint, main, ROOT, run, step } from "./lib/run.mjs";

const NAMES = ["core", "edge", "origin", "questions"];
const PARTS = ["read", "canonicalise", "sign", "all"];
const YARDSTICK = "yardstick_hmac_sha256_1_kib";

await main(async () => {
  const options = {
    seconds: { type: "string", default: "5" },
    rounds: { type: "string", default: "5" },
    rows: { type: "string", default: "0" },
  };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const unknown = positionals.filter((name) => !NAMES.includes(name));
  if (unknown.length) throw new Complaint(`no benchmark ${unknown.join(", ")}; there are ${NAMES.join(", ")}`);
  const [seconds, rounds] = [wholeNumber("seconds", values.seconds, 1), wholeNumber("rounds", values.rounds, 1)];
  const rows = wholeNumber("rows", values.rows, 0);
  const asked = (name) => positionals.length === 0 || positionals.includes(name);
  const missed = [];
  if (asked("core")) await benchCore();
  if (asked("edge") && !(await benchEdge({ seconds, rounds }))) missed.push("the edge misses a target");
  if (asked("origin") && !(await benchOrigin({ seconds, rounds, rows }))) missed.push("the origin misses a target");
  if (asked("questions") && !(await benchQuestions({ seconds, rows: rows || 1_000_000 }))) missed.push("a question takes too long");
  if (missed.length) throw new Complaint(missed.join("; "));
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

function wholeNumber(name, text, least) {
  const number = Number(text);
  if (!(Number.isInteger(number) && number >= least)) throw new Complaint(`--${name} must be a whole number, at least ${least}`);
  return number;
}

/** The median that criterion wrote down, in nanoseconds. */
function medianNs(name) {
  const path = join(ROOT, "target", "criterion", "live_postback", name, "new", "estimates.json");
  return JSON.parse(readFileSync(path, "utf8")).median.point_estimate;
}
