// The top level of wrangler.toml is the development set-up, with public keys. Deploying it by forgetting `--env` must not
// happen, and wrangler itself would do it with a warning.
import { readFileSync } from "node:fs";
import { Complaint } from "./run.mjs";

/** Refuses when a deploying wrangler that names no environment runs this build. */
export function refuseUnnamedDeploy() {
  const command = process.env.WRANGLER_COMMAND ?? "";
  if (!/deploy|upload/.test(command)) return;
  const args = commandLinesAbove().find((args) => args.some((arg) => /(^|\/)wrangler(\.js|-dist\/cli\.js)?$/.test(arg)));
  // Where the caller cannot be seen, it cannot be refused; the Worker itself then answers 503 without its secrets.
  if (args === undefined || (environmentOf(args) ?? process.env.CLOUDFLARE_ENV)) return;
  throw new Complaint(`this is the development set-up: deploy an environment, such as: npx wrangler ${command} --env production`);
}

/** The environment that a command line of wrangler names, which counts before CLOUDFLARE_ENV; undefined where it names none. */
function environmentOf(commandLine) {
  const end = commandLine.indexOf("--");
  const args = end < 0 ? commandLine : commandLine.slice(0, end);
  const place = args.findIndex((arg) => /^(--env|-e)(=|$)/.test(arg));
  if (place < 0) return undefined;
  return args[place].includes("=") ? args[place].split("=")[1] : (args[place + 1] ?? "");
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
