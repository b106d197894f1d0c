// Running other programs, and telling the person at the terminal what takes long. Only Node's own modules: this
// code runs before `npm ci` has.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's top folder. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Everything we download or build for ourselves and could throw away: ignored by git. */
export const CACHE = join(ROOT, ".cache");

/** An error whose message is meant for the person at the terminal: printed without a stack. */
export class Complaint extends Error {}

/** A line about what is being done, so that no long step is silent. */
export function say(text) {
  process.stderr.write(`[bytec] ${text}\n`);
}

/** Runs a program to its end, its output shown, its questions asked where `asks`; throws a Complaint when it fails. */
export function run(program, args = [], { env = {}, cwd = ROOT, quiet = false, asks = false } = {}) {
  return new Promise((done, fail) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: asks ? "inherit" : quiet ? ["ignore", "pipe", "pipe"] : ["ignore", process.stderr, process.stderr],
    });
    let output = "";
    child.stdout?.on("data", (chunk) => (output += chunk));
    child.stderr?.on("data", (chunk) => (output += chunk));
    child.on("error", (error) => fail(new Complaint(`cannot run ${program}: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) return done();
      const tail = output.trim().split("\n").slice(-15).join("\n");
      fail(new Complaint(`${program} ${args.join(" ")} ended with ${signal ?? `code ${code}`}${tail && `\n${tail}`}`));
    });
  });
}

/** A program's standard output, or undefined when it is absent or fails. */
export function ask(program, args = [], options = {}) {
  const answer = spawnSync(program, args, { encoding: "utf8", ...options });
  return answer.status === 0 ? answer.stdout.trim() : undefined;
}

/** Says how long a step took, when it took long enough to be noticed. */
export async function step(text, work) {
  say(`${text} ...`);
  const began = Date.now();
  const result = await work();
  const seconds = (Date.now() - began) / 1000;
  if (seconds > 2) say(`${text}: done in ${seconds.toFixed(0)} s`);
  return result;
}

/** Installs Debian packages where that is possible; elsewhere says what to install by hand. */
export async function aptInstall(packages, purpose) {
  const asRoot = process.getuid?.() === 0 ? [] : ask("sudo", ["-n", "true"]) !== undefined ? ["sudo", "-n"] : undefined;
  if (!existsSync("/usr/bin/apt-get") || asRoot === undefined) {
    throw new Complaint(`${purpose}: please install ${packages.join(" ")} (or your system's packages of that kind)`);
  }
  const apt = async (...args) => {
    const [program, ...rest] = [...asRoot, "apt-get", ...args];
    await run(program, rest, { quiet: true, env: { DEBIAN_FRONTEND: "noninteractive" } });
  };
  await step(`${purpose}: apt-get install ${packages.join(" ")}`, async () => {
    await apt("update");
    await apt("install", "-y", "--no-install-recommends", ...packages);
  });
}

/** Runs a script's main function; a Complaint is printed plainly, anything else with its stack. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    say(error instanceof Complaint ? `failed: ${error.message}` : `failed: ${error.stack}`);
    process.exitCode = 1;
  }
}
