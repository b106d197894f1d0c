// Prometheus' own tool, to try its rules and to read what we tell it. Where it is not installed it is taken out of Debian's package,
// which would start a server if it were installed.
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ask, CACHE, Complaint, run, step } from "./run.mjs";

/** The path of promtool. */
export async function promtool() {
  if (ask("promtool", ["--version"]) !== undefined) return "promtool";
  const folder = join(CACHE, "prometheus");
  const program = join(folder, "usr", "bin", "promtool");
  if (existsSync(program)) return program;
  if (!existsSync("/usr/bin/apt-get")) throw new Complaint("promtool is not installed: it comes with Prometheus");
  await step("fetching promtool", async () => {
    mkdirSync(folder, { recursive: true });
    const download = () => run("apt-get", ["download", "-q", "prometheus"], { cwd: folder, quiet: true });
    // Lists of packages may be missing, or older than the packages that there are.
    await download().catch(async () => {
      await run("apt-get", ["update", "-q"], { quiet: true });
      await download();
    });
    const [debian] = readdirSync(folder).filter((name) => name.endsWith(".deb"));
    await run("dpkg-deb", ["-x", join(folder, debian), folder], { quiet: true });
  });
  return program;
}
