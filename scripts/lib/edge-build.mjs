// Building the edge: Rust to WebAssembly, bundled for workerd, and not larger than it may be.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { ensureNodePackages } from "./node-packages.mjs";
import { CACHE, Complaint, ROOT, run, say, step } from "./run.mjs";
import { edgeToolchain } from "./toolchain.mjs";

/** Kilobytes that script and WebAssembly may have together, compressed: small enough to start fast. */
export const COMPRESSED_KB_MAX = 400;

/** Where the edge is built, and the only folder that worker-build writes to. */
export const BUILD = join(ROOT, "build");

const INPUTS = [
  "src", "postback/src", "postback/Cargo.toml", "build.rs", "Cargo.toml", "Cargo.lock", "package-lock.json",
  "scripts/lib/edge-build.mjs", "scripts/lib/toolchain.mjs",
];

/** Builds the edge with the partners of a folder into `out`, unless it is there as it would be built. */
export async function buildEdge({ partners = join(ROOT, "partners"), out = BUILD } = {}) {
  const inputs = digest([...INPUTS.map((path) => join(ROOT, path)), partners]);
  const stamp = stampOf(out);
  const fresh = existsSync(join(out, "index_bg.wasm")) && existsSync(stamp) && readFileSync(stamp, "utf8") === inputs;
  if (!fresh) {
    await ensureNodePackages();
    const { workerBuild, env } = await edgeToolchain();
    await step("building the edge (Rust to WebAssembly; minutes the first time)", () => {
      const build = async () => {
        await run(workerBuild, ["--release"], { env: { ...env, PARTNERS_DIR: partners }, quiet: true });
        const wasm = join(BUILD, "index_bg.wasm");
        writeFileSync(wasm, withoutNames(readFileSync(wasm)));
      };
      return out === BUILD ? build() : elsewhere(out, build);
    });
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(stamp, inputs);
  }
  const compressed = ["index.js", "index_bg.wasm"].map((name) => gzipSync(readFileSync(join(out, name)), { level: 9 }).length);
  const kb = (bytes) => (bytes / 1024).toFixed(1);
  const total = compressed.reduce((sum, bytes) => sum + bytes, 0);
  say(`edge: ${kb(total)} KB compressed (limit ${COMPRESSED_KB_MAX} KB)`);
  if (total > COMPRESSED_KB_MAX * 1024) throw new Complaint("the edge has grown over its limit");
}

/**
 * A WebAssembly module without the names of its functions: an eighth of the whole, compressed, and nobody reads them, as
 * nothing here panics. A module is eight bytes and then sections: a kind, a length (LEB128), and so many bytes.
 */
function withoutNames(module) {
  const kept = [module.subarray(0, 8)];
  const number = (at) => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return [value, at];
    }
  };
  for (let at = 8; at < module.length; ) {
    const [length, begin] = number(at + 1);
    const end = begin + length;
    const isCustom = module[at] === 0;
    const [nameLength, nameBegin] = isCustom ? number(begin) : [0, begin];
    const isNames = isCustom && module.toString("utf8", nameBegin, nameBegin + nameLength) === "name";
    if (!isNames) kept.push(module.subarray(at, end));
    at = end;
  }
  return Buffer.concat(kept);
}

/** The file that says what the edge in a folder was built from. */
function stampOf(out) {
  return join(CACHE, `edge-inputs-${relative(ROOT, out).replaceAll("/", "-")}`);
}

/** Builds where worker-build builds, takes the result away, and leaves there what was there. */
async function elsewhere(out, build) {
  const aside = `${BUILD}.aside`;
  // Whoever is interrupted leaves an edge with other partners in BUILD, which the next deployment must not find to be fresh.
  const stamp = stampOf(BUILD);
  const inputs = existsSync(stamp) ? readFileSync(stamp) : undefined;
  rmSync(stamp, { force: true });
  rmSync(aside, { recursive: true, force: true });
  if (existsSync(BUILD)) cpSync(BUILD, aside, { recursive: true });
  try {
    await build();
    rmSync(out, { recursive: true, force: true });
    mkdirSync(dirname(out), { recursive: true });
    cpSync(BUILD, out, { recursive: true });
  } finally {
    rmSync(BUILD, { recursive: true, force: true });
    if (existsSync(aside)) renameSync(aside, BUILD);
    if (inputs !== undefined) writeFileSync(stamp, inputs);
  }
}

/** The digest of everything that goes into the edge. */
function digest(paths) {
  const hash = createHash("sha256");
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
