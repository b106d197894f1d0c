// Building the edge.
import { join } from "node:path";
import { ROOT } from "./run.mjs";
import { buildWorker } from "./worker-build.mjs";

/** Kilobytes that script and WebAssembly may have together, compressed: small enough to start fast. */
export const COMPRESSED_KB_MAX = 420;

/** Where the edge is built. */
export const BUILD = join(ROOT, "build");

const EDGE = { name: "edge", crate: { package: "bytec-edge", library: "edge" }, source: "src", inputs: ["build.rs"], compressedKbMax: COMPRESSED_KB_MAX };

/** Builds the edge with the partners of a folder and the crate's `features` into `out`, unless it is there as it would be built. */
export const buildEdge = ({ out = BUILD, ...options } = {}) => buildWorker(EDGE, { out, ...options });
