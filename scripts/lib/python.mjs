// Python for the tests: an independent implementation checks what ours has signed.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { aptInstall, ask, CACHE, ROOT, run, step } from "./run.mjs";

/** A Python with the packages of tests/requirements.txt, in a virtual environment of our own. */
export async function testPython() {
  const folder = join(CACHE, "venv");
  const python = join(folder, "bin", "python");
  const wanted = readFileSync(join(ROOT, "tests", "requirements.txt"), "utf8");
  const mark = join(folder, "installed-requirements.txt");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted && ask(python, ["--version"])) return python;
  if (ask("python3", ["-c", "import venv, ensurepip"]) === undefined) {
    await aptInstall(["python3", "python3-venv"], "Python for the tests");
  }
  await step("installing the tests' Python packages", async () => {
    await run("python3", ["-m", "venv", "--clear", folder], { quiet: true });
    await run(python, ["-m", "pip", "install", "--quiet", "-r", join(ROOT, "tests", "requirements.txt")], { quiet: true });
  });
  writeFileSync(mark, wanted);
  return python;
}
