// The edge beside Workers in JavaScript: one URL, one trivial origin, the same runtime. What an absolute figure says about
// one machine the ratios say about the edge.
//
// (1) all is built; three Workers, each in a process of its own, and an origin that is faster than any of them
// (2) they do the same job
// (3) rounds, interleaved, so that what else the machine does falls on all of them alike
// (4) medians, ratios, targets
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureNodePackages } from "../../scripts/lib/node-packages.mjs";
import { Running, until } from "../../scripts/lib/processes.mjs";
import { aptInstall, ask, Complaint, ROOT, run, say, step } from "../../scripts/lib/run.mjs";
import { involveA } from "../e2e/lib/requests.mjs";
import { cpuSeconds, isMet, median, printTargets } from "./figures.mjs";
import { assertSameJob, startRecorder } from "./same.mjs";

const CONNECTIONS = 16;
const WARM_UP_S = 3;
const TARGET = `/involve/event?${involveA("conv789")}`;
/** What the platform adds in production. */
const HEADERS = { "cf-connecting-ip": "192.0.2.1" };

const workers = join(ROOT, "tests", "bench", "workers");
const javascript = (file) => [{ name: file, kind: "esModule", path: join(workers, file) }];
const PASS_THROUGH = { name: "pass-through in JavaScript", modules: javascript("pass_through.js") };
const SAME_JOB = { name: "the same job in JavaScript", modules: javascript("same_job.js") };
/** It spares itself what the edge spares itself, too. */
const SAME_EXCHANGE = { ...SAME_JOB, name: "- the origin's body left out", variables: { PREFER: "return=minimal" } };
const EDGE = {
  name: "the edge",
  modules: [
    { name: "index.js", kind: "esModule", path: join(ROOT, "build", "index.js") },
    { name: "index_bg.wasm", kind: "wasm", path: join(ROOT, "build", "index_bg.wasm") },
  ],
};

/** Runs it; answers whether every target is met. */
export async function benchEdge({ seconds, rounds }) {
  // (1)
  await ensureNodePackages();
  if (ask("sh", ["-c", "command -v wrk"]) === undefined) await aptInstall(["wrk"], "load generator");
  await run(process.execPath, [join(ROOT, "scripts", "build-edge.mjs")]);
  const args = ["build", "--quiet", "--locked", "--profile", "origin", "-p", "bytec-origin", "--example", "bench_origin"];
  await step("building the benchmark's origin (Rust; minutes the first time)", () => run("cargo", args));
  const { startWorker } = await import("./workerd.mjs");

  const folder = mkdtempSync(join(tmpdir(), "bytec-bench-"));
  const running = [];
  let recorder;
  const stopAll = async () => {
    recorder?.stop();
    await Promise.all(running.map((program) => program.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  const interrupted = () => stopAll().finally(() => process.exit(130));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, interrupted);
  const start = async ({ name, modules, variables }, originUrl, logs) => {
    const bindings = { ENVIRONMENT: "development", ORIGIN_URL: originUrl, ...variables };
    const worker = await startWorker({ name, modules, bindings, folder: mkdtempSync(join(folder, "worker-")), logs });
    running.push(worker.running);
    return { ...worker, logs };
  };
  try {
    // (2)
    recorder = await startRecorder();
    const compared = await step("checking that both do the same job", async () => {
      const edge = await start(EDGE, recorder.url, join(folder, "edge.log"));
      const other = await start(SAME_EXCHANGE, recorder.url, join(folder, "javascript.log"));
      const count = await assertSameJob({ edge, javascript: other, recorder, target: TARGET, headers: HEADERS });
      await Promise.all([edge.running.stop(), other.running.stop()]);
      return count;
    });
    say(`the JavaScript Worker forwards, answers and logs what the edge does (${compared} requests)`);

    const origin = await startOrigin(running);
    const contestants = [];
    for (const each of [PASS_THROUGH, SAME_JOB, EDGE, SAME_EXCHANGE]) contestants.push({ ...(await start(each, origin, "/dev/null")), rounds: [] });
    for (const { name, url } of contestants) {
      const reply = await fetch(`${url}${TARGET}`, { headers: HEADERS });
      const body = await reply.text();
      if (reply.status !== 200 || body !== "OK") throw new Complaint(`${name} answers ${reply.status} ${body}`);
    }
    // (3)
    const minutes = Math.ceil((contestants.length * (WARM_UP_S + rounds * seconds)) / 60);
    await step(`measuring ${rounds} rounds of ${seconds} s each, ${CONNECTIONS} connections (${minutes} min)`, async () => {
      for (const contestant of contestants) await load(contestant, WARM_UP_S);
      for (let round = 0; round < rounds; round++) {
        for (const contestant of contestants) contestant.rounds.push(await load(contestant, seconds));
      }
    });
    // (4)
    return report(contestants);
  } finally {
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted).off("SIGHUP", interrupted);
    await stopAll();
  }
}

/** The origin's URL. */
async function startOrigin(running) {
  let address;
  const program = new Running("bench_origin", join(ROOT, "target", "origin", "examples", "bench_origin"), [], { onLine: (line) => (address ??= line) });
  running.push(program);
  await until("the benchmark's origin", async () => address !== undefined, { running: [program], everyMs: 20 });
  return `http://${address}`;
}

/** One round of load; fails when a single request does. */
async function load({ url, running }, seconds) {
  const headers = Object.entries(HEADERS).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const args = ["-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, "--timeout", "5s", "-s", join(ROOT, "tests", "bench", "wrk.lua"), ...headers, `${url}${TARGET}`];
  const cpuBefore = cpuSeconds(running.pid);
  const output = await new Promise((resolve, reject) => {
    const child = spawn("wrk", args, { stdio: ["ignore", "pipe", "inherit"], timeout: (seconds + 30) * 1000 });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.on("error", (error) => reject(new Complaint(`cannot run wrk: ${error.message}`)));
    child.on("close", (code) => (code === 0 ? resolve(text) : reject(new Complaint(`wrk ended with code ${code}\n${text}`))));
  });
  const { requests, duration_us, p50_us, p99_us, errors } = JSON.parse(/^RESULT (.*)$/m.exec(output)[1]);
  if (errors > 0) throw new Complaint(`${errors} of ${requests} requests failed at ${url}`);
  const cpu = ((cpuSeconds(running.pid) - cpuBefore) * 1e6) / requests;
  return { perSecond: requests / (duration_us / 1e6), p50: p50_us / 1000, p99: p99_us / 1000, cpu };
}

/** Prints all; answers whether every target is met. */
function report(contestants) {
  const print = (line) => process.stdout.write(`${line}\n`);
  const medians = contestants.map(({ rounds }) => (key) => median(rounds.map((round) => round[key])));
  const cells = (...texts) => texts.map((text) => text.padStart(9)).join("");
  print(`\n${"".padEnd(28)}${cells("req/s", "p50 ms", "p99 ms", "CPU us")}   req/s of each round`);
  for (const [index, { name, rounds }] of contestants.entries()) {
    const of = medians[index];
    const cpu = Number.isNaN(of("cpu")) ? "-" : of("cpu").toFixed(0);
    const each = rounds.map(({ perSecond }) => perSecond.toFixed(0)).join(" ");
    print(`${name.padEnd(28)}${cells(of("perSecond").toFixed(0), of("p50").toFixed(2), of("p99").toFixed(2), cpu)}   ${each}`);
  }
  // Ratios within a round: what disturbs a round disturbs its neighbours as well.
  const ratio = (key, a, b) => median(contestants[a].rounds.map((round, index) => round[key] / contestants[b].rounds[index][key]));
  const targets = [
    { name: "req/s, edge to the same job", value: ratio("perSecond", 2, 1), least: 1.2 },
    { name: "req/s, edge to pass-through", value: ratio("perSecond", 2, 0), least: 0.6 },
    { name: "p99, edge to the same job", value: ratio("p99", 2, 1), most: 1 },
  ];
  const aside = [
    { name: "req/s, edge to that without body", value: ratio("perSecond", 2, 3) },
    { name: "p99, edge to that without body", value: ratio("p99", 2, 3) },
  ];
  print("");
  printTargets(print, targets, aside);
  return targets.every(isMet);
}
