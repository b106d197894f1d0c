// The top level of wrangler.toml is the development set-up, with public keys. Deploying it by forgetting `--env` must not
// happen, and wrangler itself would do it with a warning.
import { readFileSync } from "node:fs";
import { Complaint } from "./run.mjs";

/** Refuses when a deploying wrangler that names no environment runs this build. */
export function refuseUnnamedDeploy() {
  const command = process.env.WRANGLER_COMMAND ?? "";
  if (!/deploy|upload/.test(command) || process.env.CLOUDFLARE_ENV) return;
  const args = commandLinesAbove().find((args) => args.some((arg) => /(^|\/)wrangler(\.js|-dist\/cli\.js)?$/.test(arg)));
  // Where the caller cannot be seen, it cannot be refused; the Worker itself then answers 503 without its secrets.
  if (args === undefined || namesEnvironment(args)) return;
  throw new Complaint(`this is the development set-up: deploy an environment, such as: npx wrangler ${command} --env production`);
}

/** Whether a command line of wrangler says --env or -e with a name. */
function namesEnvironment(args) {
  return args.some((arg, place) => /^(--env|-e)=./.test(arg) || (/^(--env|-e)$/.test(arg) && Boolean(args[place + 1])));
}

/** The command lines of the processes that started this one, the nearest first. */
function commandLinesAbove() {
  const lines = [];
  let pid = process.ppid;
  try {
    while (pid > 1) {
      lines.push(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1));
      pid = Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^PPid:\s*(\d+)/m)?.[1] ?? 0);
    }
  } catch {
    // No /proc, or a process that has ended.
  }
  return lines;
}
