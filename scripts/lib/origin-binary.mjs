// The origin's program, built for this machine.
import { join } from "node:path";
import { ROOT, run, step } from "./run.mjs";

/** Builds the origin where it is not up to date and answers its path. */
export async function originBinary() {
  await step("building the origin (Rust; minutes the first time)", () =>
    run("cargo", ["build", "--quiet", "--locked", "-p", "bytec-origin"]),
  );
  return join(ROOT, "target", "debug", "bytec-origin");
}
