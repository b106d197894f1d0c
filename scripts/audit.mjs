// `npm run audit`: whether what comes into our programs from elsewhere may (deny.toml), and whether weaknesses of it are known. Those are
// asked of RustSec's database on GitHub and of npm's registry; where one does not answer, that fails, because not asked is not passed.
// With --offline only deny.toml is checked.
import { parseArgs } from "node:util";
import { checkCrates, checkNpm, checkRules } from "./lib/audit.mjs";
import { ensureNodePackages } from "./lib/node-packages.mjs";
import { Complaint, main, say } from "./lib/run.mjs";

await main(async () => {
  const { values } = parseArgs({ options: { offline: { type: "boolean", default: false } } });
  const failed = await checkRules();
  if (values.offline) {
    say("audit: KNOWN WEAKNESSES WERE NOT ASKED FOR (--offline); npm run audit asks, and GitHub does daily");
  } else {
    await ensureNodePackages();
    failed.push(...(await checkCrates()), ...checkNpm());
  }
  for (const { what, output, unreachable } of failed) {
    process.stderr.write(`${output.trim()}\n`);
    say(unreachable ? `audit: ${what}: COULD NOT BE ASKED; nothing is known about them now` : `audit: ${what}: failed`);
  }
  if (failed.length > 0) throw new Complaint(`audit: ${failed.map(({ what }) => what).join(", ")}`);
  say(values.offline ? "audit: licences, sources and versions are as deny.toml says" : "audit: nothing found");
});
