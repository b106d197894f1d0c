// Building a Worker: Rust to WebAssembly, bundled for workerd, and not larger than it may be.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { ensureNodePackages } from "./node-packages.mjs";
import { CACHE, Complaint, ROOT, run, say, step } from "./run.mjs";
import { edgeToolchain, TARGET } from "./toolchain.mjs";

/** What entry.js imports beside scripts. */
const WASM = "index_bg.wasm";

/** What rustc uses and workerd knows; later encodings are left alone until it does. */
const WASM_FEATURES = ["mutable-globals", "sign-ext", "nontrapping-float-to-int", "bulk-memory", "multivalue", "reference-types", "exception-handling"];

const INPUTS = [
  "postback/src", "postback/Cargo.toml", "Cargo.toml", "Cargo.lock", "package-lock.json",
  "scripts/lib/worker-build.mjs", "scripts/lib/toolchain.mjs",
];

/**
 * Builds a Worker with the partners of a folder and the crate's `features` into `out`, unless it is there as it would be built.
 * A worker is a `name`, a `crate` (`package`, `library`), the folder of its `source`, which has its entry.js, further `inputs`, and
 * `compressedKbMax`.
 */
export async function buildWorker(worker, { partners = join(ROOT, "partners"), features = [], out }) {
  const inputs = digest([...[...INPUTS, worker.source, ...worker.inputs].map((path) => join(ROOT, path)), partners], features);
  const stamp = join(CACHE, `worker-inputs-${relative(ROOT, out).replaceAll("/", "-")}`);
  const isFresh = () => existsSync(join(out, WASM)) && existsSync(stamp) && readFileSync(stamp, "utf8") === inputs;
  if (!isFresh()) {
    await ensureNodePackages();
    const toolchain = await edgeToolchain();
    await alone(async () => {
      if (isFresh()) return;
      // Whoever is interrupted leaves nothing that counts as fresh.
      rmSync(stamp, { force: true });
      await step(`building ${worker.name} (Rust to WebAssembly; minutes the first time)`, () => build(worker, toolchain, { partners, features, out }));
      writeFileSync(stamp, inputs);
    });
  }
  const compressed = ["index.js", WASM].map((name) => gzipSync(readFileSync(join(out, name)), { level: 9 }).length);
  const kb = (bytes) => (bytes / 1024).toFixed(1);
  const total = compressed.reduce((sum, bytes) => sum + bytes, 0);
  say(`${worker.name}: ${kb(total)} KB compressed (limit ${worker.compressedKbMax} KB)`);
  if (total > worker.compressedKbMax * 1024) throw new Complaint(`${worker.name} has grown over its limit`);
}

/**
 * Does what worker-build does, step by step, but for the entry, which is ours (entry.js): worker-build's makes a class
 * behind proxies of it, which costs every request more than its own work.
 *
 * (1) Rust to WebAssembly
 * (2) the JavaScript between the two, by wasm-bindgen
 * (3) the WebAssembly made smaller and faster, without the names of its functions: an eighth of the whole, and nobody reads them
 * (4) one script out of the entry, ours beside it, and what wasm-bindgen wrote
 * (5) all of it in its place
 */
async function build({ crate, source }, { wasmBindgen, wasmOpt, esbuild, env }, { partners, features, out }) {
  // (1)
  const cargo = ["rustc", "--release", "--locked", "--lib", "--crate-type", "cdylib", "--package", crate.package, "--target", TARGET, "--features", features.join()];
  await run("cargo", cargo, { env: { ...env, WASM_BINDGEN_USE_JS_SYS: "1", PARTNERS_DIR: partners }, quiet: true });
  const staging = `${out}.staging`;
  rmSync(staging, { recursive: true, force: true });
  // (2) The two options make a new instance where one has stopped.
  const compiled = resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target", TARGET, "release", `${crate.library}.wasm`);
  const again = ["--experimental-reset-state-function", "--force-enable-abort-handler"];
  const bound = join(staging, "bound");
  await run(wasmBindgen, [compiled, "--target", "module", "--no-typescript", "--out-dir", bound, "--out-name", "index", ...again], { quiet: true });
  // (3)
  const encodings = WASM_FEATURES.map((feature) => `--enable-${feature}`);
  await run(wasmOpt, [join(bound, WASM), "-o", join(staging, WASM), "-O3", ...encodings], { quiet: true });
  // (4)
  const glue = join(bound, "index.js");
  writeFileSync(glue, readFileSync(glue, "utf8").replace("import source ", "import "));
  const isScript = (path) => path.endsWith(".js");
  for (const script of readdirSync(join(ROOT, source), { recursive: true }).filter(isScript)) {
    mkdirSync(dirname(join(bound, script)), { recursive: true });
    copyFileSync(join(ROOT, source, script), join(bound, script));
  }
  const externals = [`--external:./${WASM}`, "--external:cloudflare:workers"];
  const bundle = ["--bundle", "--minify", "--format=esm", ...externals, `--outfile=${join(staging, "index.js")}`];
  await run(esbuild, [join(bound, "entry.js"), ...bundle], { quiet: true });
  rmSync(bound, { recursive: true });
  // (5)
  rmSync(out, { recursive: true, force: true });
  renameSync(staging, out);
}

/**
 * One build at a time: all of them go through cargo's one folder, and what one has compiled, with a test's partners and
 * features, must not be bundled by another.
 */
async function alone(work) {
  const lock = join(CACHE, "worker-build.lock");
  mkdirSync(CACHE, { recursive: true });
  for (let waited = false; ; waited = true) {
    try {
      writeFileSync(lock, `${process.pid}`, { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (!isHeld(lock)) rmSync(lock, { force: true });
      else if (!waited) say("waiting for another build of a Worker");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Whether the process that a lock names still runs. */
function isHeld(lock) {
  try {
    const pid = readFileSync(lock, "utf8");
    // Empty: it is being written.
    return pid === "" || process.kill(Number(pid), 0);
  } catch (error) {
    // ENOENT: it has just been let go of, and is tried for again.
    return error.code === "EPERM" || error.code === "ENOENT";
  }
}

/** The digest of everything that goes into a Worker. */
function digest(paths, features) {
  const hash = createHash("sha256").update(`${features}\0`);
  const add = (path) => {
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort()) add(join(path, name));
    } else {
      hash.update(`${relative(ROOT, path)}\0`).update(readFileSync(path)).update("\0");
    }
  };
  paths.forEach(add);
  return hash.digest("hex");
}
