// `npm run lint`: formatting and clippy, warnings denied.
import { main, run, step } from "./lib/run.mjs";

await main(async () => {
  await step("formatting", () => run("cargo", ["fmt", "--all", "--check"]));
  const clippy = ["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
  await step("clippy, warnings denied", () => run("cargo", clippy));
});
