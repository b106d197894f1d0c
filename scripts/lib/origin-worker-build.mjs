// Building the origin as a Worker.
import { join } from "node:path";
import { ROOT } from "./run.mjs";
import { buildWorker } from "./worker-build.mjs";

/** Where it is built. */
export const ORIGIN_BUILD = join(ROOT, "origin", "build");

const ORIGIN = {
  name: "origin as a Worker",
  crate: { package: "bytec-origin", library: "bytec_origin" },
  source: "origin/src",
  inputs: ["origin/build.rs", "origin/Cargo.toml"],
  // Of the 3 MB that Cloudflare takes. A fifth is the time zone database: reports show any zone.
  compressedKbMax: 1200,
};

/** Builds it, unless it is there as it would be built. */
export const buildOriginWorker = ({ out = ORIGIN_BUILD, ...options } = {}) => buildWorker(ORIGIN, { out, ...options });
