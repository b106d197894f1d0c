// The program at a terminal: what it asks there, and what happens while somebody reads the question.
import { spawn } from "node:child_process";
import { BINARY } from "./origin.mjs";

/** Runs it at a terminal, and answers its question behind what happens meanwhile. */
export async function atTerminal(args, env, answer, meanwhile = () => {}) {
  const program = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
  const child = spawn(process.env.TEST_PYTHON, ["-c", program, BINARY, ...args], { env: { PATH: process.env.PATH, ...env }, timeout: 60_000 });
  let out = "";
  const isAsked = new Promise((resolve) => child.stdout.on("data", (chunk) => (out += chunk).includes("Write yes: ") && resolve()));
  const ended = new Promise((resolve) => child.on("close", resolve));
  await Promise.race([isAsked, ended]);
  await meanwhile();
  child.stdin.write(`${answer}\n`);
  return { code: await ended, out };
}
