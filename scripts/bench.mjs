// `npm run bench`: what one live postback costs, natively. docs/performance.md has the figures.
import { main, run, step } from "./lib/run.mjs";

await main(async () => {
  const args = ["bench", "--quiet", "--locked", "-p", "postback", "--features", "files", "--bench", "live_postback"];
  await step("benchmarking one live postback", () => run("cargo", [...args, ...process.argv.slice(2)]));
});
