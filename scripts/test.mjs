// `npm test`: every test of the repository, cheapest first, with a summary at the end. Sets up what is missing; starts
// and removes a PostgreSQL of its own.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { startD1 } from "./lib/d1.mjs";
import { ensureNodePackages } from "./lib/node-packages.mjs";
import { buildOriginWorker } from "./lib/origin-worker-build.mjs";
import { originBinary } from "./lib/origin-binary.mjs";
import { startPostgres } from "./lib/postgres.mjs";
import { buildProvingEdge } from "./lib/proving-edge.mjs";
import { testPython } from "./lib/python.mjs";
import { Complaint, main, ROOT, run, say, step } from "./lib/run.mjs";

await main(async () => {
  await ensureNodePackages();
  const python = await testPython();
  const postgres = await step("starting a throw-away PostgreSQL", startPostgres);
  const d1 = await step("starting throw-away D1 databases", startD1);
  const env = { TEST_D1_URL: d1.url, TEST_POSTGRES_URL: postgres.url, TEST_PSQL: postgres.psql, TEST_PYTHON: python, RUST_BACKTRACE: "0" };
  const stages = [];
  const stopAll = () => Promise.all([postgres.stop(), d1.stop()]);
  const stop = () => stopAll().finally(() => process.exit(130));
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    stages.push(await stage("documents, rules of the code", process.execPath, nodeTest("tests/documents.test.mjs", "tests/code.test.mjs"), env));
    const cargo = ["test", "--quiet", "--locked", "--workspace", "--all-features", "--no-fail-fast"];
    stages.push(await stage("rules, stores, edge and origin on the host (Rust)", "cargo", cargo, env));
    const fuzz = ["scripts/fuzz.mjs", "--seconds", "5"];
    stages.push(await stage("fuzz targets, a short run of each", process.execPath, fuzz, env));
    await originBinary();
    await run(process.execPath, [join(ROOT, "scripts", "build-edge.mjs")]);
    await buildProvingEdge();
    await buildOriginWorker();
    const files = readdirSync(join(ROOT, "tests", "e2e")).filter((name) => name.endsWith(".test.mjs"));
    const paths = files.map((name) => `tests/e2e/${name}`);
    stages.push(await stage("whole system (WebAssembly in workerd)", process.execPath, nodeTest(...paths), env));
  } finally {
    await stopAll();
  }
  summarise(stages);
});

/** One file at a time: the tests share one PostgreSQL and two cores. */
function nodeTest(...files) {
  return ["--test", "--test-reporter=spec", "--test-concurrency=1", ...files];
}

/** Runs a test program, its output shown, and counts what it says it ran. */
async function stage(name, program, args, env) {
  say(`testing: ${name} ...`);
  const began = Date.now();
  const child = spawn(program, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    });
  }
  const code = await new Promise((resolve) => child.on("close", resolve));
  const total = (...patterns) =>
    patterns.flatMap((pattern) => [...output.matchAll(pattern)]).reduce((sum, match) => sum + Number(match[1]), 0);
  const passed = total(/^test result: .*?(\d+) passed/gm, /^ℹ pass (\d+)/gm, /^(\d+) fuzz targets passed/gm);
  const counted = total(/^test result: .*?(\d+) failed/gm, /^ℹ (?:fail|cancelled) (\d+)/gm);
  // A program that fails without counting a failure (it did not compile, say) has failed all the same.
  const failed = code === 0 ? counted : Math.max(counted, 1);
  return { name, passed, failed, seconds: (Date.now() - began) / 1000 };
}

function summarise(stages) {
  const sum = (key) => stages.reduce((total, stage) => total + stage[key], 0);
  process.stdout.write("\n");
  for (const { name, passed, failed, seconds } of stages) {
    process.stdout.write(`${failed ? "FAILED" : "ok    "} ${name}: ${passed} passed, ${failed} failed, ${seconds.toFixed(0)} s\n`);
  }
  process.stdout.write(`\n${sum("passed")} passed, ${sum("failed")} failed\n`);
  if (sum("failed") > 0) throw new Complaint("tests failed");
  if (stages.some((stage) => stage.passed === 0)) throw new Complaint("a stage ran no test");
}
