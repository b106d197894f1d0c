// Builds the edge into build/: what `npm run build` and wrangler's [build] command run.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ensureNodePackages } from "./lib/node-packages.mjs";
import { Complaint, main, ROOT, run, say, step } from "./lib/run.mjs";
import { edgeToolchain } from "./lib/toolchain.mjs";

/** The promise of README: small enough to start fast, with room for what is to come. */
const COMPRESSED_KB_MAX = 350;

await main(async () => {
  await ensureNodePackages();
  const { workerBuild, env } = await edgeToolchain();
  await step("building the edge (Rust to WebAssembly)", () => run(workerBuild, ["--release"], { env }));
  const path = join(ROOT, "build", "index_bg.wasm");
  const compressed = gzipSync(readFileSync(path), { level: 9 }).length;
  const kb = (bytes) => (bytes / 1024).toFixed(1);
  say(`edge: ${kb(statSync(path).size)} KB wasm, ${kb(compressed)} KB compressed (limit ${COMPRESSED_KB_MAX} KB)`);
  if (compressed > COMPRESSED_KB_MAX * 1024) throw new Complaint("the edge has grown over its limit");
});
