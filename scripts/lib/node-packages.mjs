// The npm packages that package-lock.json names: installed when they are not there, or not those.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, run, step } from "./run.mjs";

/** Runs `npm ci` unless what is installed is what the lock file says. */
export async function ensureNodePackages() {
  if (upToDate()) return;
  await step("installing npm packages (npm ci)", () => run("npm", ["ci", "--no-audit", "--no-fund"], { quiet: true }));
}

/** npm leaves a copy of the lock file's packages beside what it installed. */
function upToDate() {
  const installed = join(ROOT, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return false;
  const packages = (path) => JSON.parse(readFileSync(path, "utf8")).packages;
  const wanted = packages(join(ROOT, "package-lock.json"));
  const found = packages(installed);
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === "" || optional || found[path]?.version === version,
  );
}
