// `npm run fuzz [-- --seconds N] [-- target ...]`: builds the fuzz targets with coverage and runs each for N seconds (10),
// from seeds made of the recorded and the bad requests. What it finds on the way stays in .cache/fuzz, so that the next run
// goes on from there. A crash ends it with the input's path.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { aptInstall, ask, CACHE, Complaint, main, ROOT, run, say, step } from "./lib/run.mjs";

/** What libFuzzer needs to see which way the code went; for the targets alone, not for build scripts. */
const COVERAGE = [
  "-Cpasses=sancov-module",
  "-Cllvm-args=-sanitizer-coverage-level=4",
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
  "-Cllvm-args=-sanitizer-coverage-pc-table",
  "-Cllvm-args=-sanitizer-coverage-trace-compares",
  "-Ccodegen-units=1",
  "--cfg=fuzzing",
].join(" ");

await main(async () => {
  const { values, positionals } = parseArgs({ options: { seconds: { type: "string", default: "10" } }, allowPositionals: true });
  const seconds = Number(values.seconds);
  if (!(Number.isInteger(seconds) && seconds > 0)) throw new Complaint("--seconds must be a whole number above 0");
  const all = readdirSync(join(ROOT, "fuzz", "fuzz_targets")).map((name) => name.replace(".rs", ""));
  const unknown = positionals.filter((name) => !all.includes(name));
  if (unknown.length) throw new Complaint(`no fuzz target ${unknown.join(", ")}; there are ${all.join(", ")}`);
  const targets = positionals.length ? positionals : all;
  const folder = await build();
  seed(all);
  const results = await inParallel(targets, (target) => fuzz(join(folder, target), target, seconds));
  for (const { target, runs, features, crashed } of results) {
    process.stdout.write(`${crashed ? "CRASH " : "ok    "} ${target}: ${runs} inputs in ${seconds} s, ${features} features covered\n`);
  }
  const crashed = results.filter((result) => result.crashed);
  if (crashed.length) throw new Complaint(`crashes: ${crashed.map(({ input }) => input).join(", ")}`);
  process.stdout.write(`${results.length} fuzz targets passed, 0 failed\n`);
});

/** Builds every target; answers the folder they are in. */
async function build() {
  if (ask("c++", ["--version"]) === undefined) await aptInstall(["g++"], "C++ compiler for libFuzzer");
  const host = ask("rustc", ["-vV"])?.match(/^host: (.*)$/m)?.[1];
  if (!host) throw new Complaint("rustc is not there; install Rust");
  // With --target the flags are for the targets and not for build scripts, which have no fuzzer to link with.
  const args = ["build", "--quiet", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", host];
  const target = join(ROOT, "target", "fuzz");
  await step("building the fuzz targets", () => run("cargo", [...args, "--target-dir", target], { env: { RUSTFLAGS: COVERAGE } }));
  return join(target, host, "release");
}

/** Writes the seeds of every target into its corpus. */
function seed(targets) {
  const rows = ["postbacks.jsonl", "bad_input.jsonl"]
    .flatMap((name) => readFileSync(join(ROOT, "postback", "testdata", name), "utf8").trim().split("\n"))
    .map((line) => JSON.parse(line));
  const partners = ["partners", "partners/examples"]
    .flatMap((path) => readdirSync(join(ROOT, path)))
    .filter((name) => name.endsWith(".toml"))
    .map((name) => name.replace(".toml", ""))
    .sort();
  const vectors = JSON.parse(readFileSync(join(ROOT, "postback", "testdata", "bytec_v1.json"), "utf8"));
  const query = (row) => row.target.split("?").slice(1).join("?");
  const texts = (pattern) => rows.flatMap((row) => [...query(row).matchAll(/=([^&]*)/g)].map(([, text]) => unescape(text))).filter((text) => pattern.test(text));
  const token = ["eyJhbGciOiJIUzI1NiIsImtpZCI6ImgifQ", "eyJpc3MiOiJ0aGVtIn0", "AAAA"].join(".");
  const input = `sig1=("@method");created=1763683200;expires=1763683500;nonce="BwcHBwcHBwcHBwcHBwcHBw";alg="hmac-sha256";keyid="k1";tag="bytec-edge-v1"`;
  const seeds = {
    params: rows.map((row) => `${query(row)}\n${row.body ?? ""}`),
    reading: rows.map((row) => `${String.fromCharCode(partners.indexOf(row.partner))}${query(row)}\n${row.body ?? ""}`),
    explain: rows.map((row) => `${row.target}\n${row.body ?? ""}`),
    time: texts(/\d{4}|[A-Z][a-z]{2}/),
    amount: texts(/^-?[\d.,]+$|^[A-Z]{3}$/),
    bytec_v1: vectors.map((v) => [v.path, v.raw_query, v.ts, v.nonce, v.signature, v.body_utf8].join("\n")),
    jcs: rows.map((row) => row.body ?? "").filter((body) => body.startsWith("{")),
    message_signature: [`${input}\nsig1=:AAAA:\nsha-256=:AAAA:\na=1\nbody`, `v1;verdict=created;kid=k1;mac=AAAA\n`],
    click: rows.map((row) => `${query(row)}\nhttps://blog.example/post?a=b`),
    jwt: [`${token}\nh:HS256:${"0b".repeat(32)}@2025-01-01/`],
  };
  for (const target of targets) {
    const folder = corpus(target);
    for (const text of seeds[target]) {
      const path = join(folder, createHash("sha256").update(text).digest("hex").slice(0, 16));
      if (!existsSync(path)) writeFileSync(path, text);
    }
  }
}

function corpus(target) {
  const folder = join(CACHE, "fuzz", target, "corpus");
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Runs one target. */
function fuzz(program, target, seconds) {
  const artifacts = join(CACHE, "fuzz", target, "/");
  const args = [corpus(target), `-max_total_time=${seconds}`, "-max_len=8192", "-timeout=5", "-rss_limit_mb=2048", `-artifact_prefix=${artifacts}`, "-print_final_stats=1"];
  say(`fuzzing: ${target}, ${seconds} s`);
  return new Promise((done) => {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, RUST_BACKTRACE: "0" } });
    let output = "";
    child.stderr.on("data", (chunk) => (output = (output + chunk).slice(-20_000)));
    child.on("close", (code) => {
      const runs = output.match(/number_of_executed_units: (\d+)/)?.[1] ?? "?";
      const features = [...output.matchAll(/ ft: (\d+)/g)].pop()?.[1] ?? "?";
      const input = output.match(/Test unit written to (\S+)/)?.[1] ?? "(not written)";
      if (code !== 0) process.stderr.write(output.slice(-3_000));
      done({ target, runs, features, crashed: code !== 0, input });
    });
  });
}

/** Runs as many at a time as there are processors. */
async function inParallel(items, work) {
  const waiting = [...items];
  const results = [];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) results.push(await work(item));
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), items.length) }, worker));
  return results;
}
