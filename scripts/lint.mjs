// `npm run lint`: formatting and clippy, warnings denied.
import { main, run, step } from "./lib/run.mjs";

/** The fuzz targets are a workspace of their own. */
const FUZZ = "fuzz/Cargo.toml";

await main(async () => {
  await step("formatting", async () => {
    await run("cargo", ["fmt", "--all", "--check"]);
    await run("cargo", ["fmt", "--manifest-path", FUZZ, "--check"]);
  });
  const clippy = ["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
  const clippyFuzz = ["clippy", "--quiet", "--locked", "--manifest-path", FUZZ, "--target-dir", "target/fuzz", "--", "-D", "warnings"];
  await step("clippy, warnings denied", async () => {
    await run("cargo", clippy);
    await run("cargo", clippyFuzz);
  });
});
