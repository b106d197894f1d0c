// Builds the edge into build/: what `npm run build` and wrangler's [build] command run. Does nothing when nothing that
// goes into the edge has changed since the last build.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { ensureNodePackages } from "./lib/node-packages.mjs";
import { CACHE, Complaint, main, ROOT, run, say, step } from "./lib/run.mjs";
import { edgeToolchain } from "./lib/toolchain.mjs";

/** Small enough to start fast, with room for what is to come. */
const COMPRESSED_KB_MAX = 400;

const WASM = join(ROOT, "build", "index_bg.wasm");
const STAMP = join(CACHE, "edge-build-inputs");
const INPUTS = [
  "src", "postback/src", "postback/Cargo.toml", "partners", "build.rs", "Cargo.toml", "Cargo.lock", "package-lock.json",
  "scripts/build-edge.mjs", "scripts/lib/toolchain.mjs",
];

await main(async () => {
  const inputs = digest();
  const fresh = existsSync(WASM) && existsSync(STAMP) && readFileSync(STAMP, "utf8") === inputs;
  if (!fresh) {
    await ensureNodePackages();
    const { workerBuild, env } = await edgeToolchain();
    await step("building the edge (Rust to WebAssembly; minutes the first time)", () =>
      run(workerBuild, ["--release"], { env, quiet: true }),
    );
    mkdirSync(dirname(STAMP), { recursive: true });
    writeFileSync(STAMP, inputs);
  }
  const compressed = gzipSync(readFileSync(WASM), { level: 9 }).length;
  const kb = (bytes) => (bytes / 1024).toFixed(1);
  say(`edge: ${kb(statSync(WASM).size)} KB wasm, ${kb(compressed)} KB compressed (limit ${COMPRESSED_KB_MAX} KB)`);
  if (compressed > COMPRESSED_KB_MAX * 1024) throw new Complaint("the edge has grown over its limit");
});

/** The digest of everything that goes into the edge. */
function digest() {
  const hash = createHash("sha256");
  const add = (path) => {
    const absolute = join(ROOT, path);
    if (statSync(absolute).isDirectory()) {
      for (const name of readdirSync(absolute).sort()) add(join(path, name));
    } else {
      hash.update(`${path}\0`).update(readFileSync(absolute)).update("\0");
    }
  };
  INPUTS.forEach(add);
  return hash.digest("hex");
}
