// Reading a command line: every option is known, `--help` says which there are.
import { parseArgs } from "node:util";
import { Complaint } from "./run.mjs";

/** Values and positionals of the command line; undefined when it asked for help and got it. */
export function readCommandLine(help, options, { positionals: allowPositionals = false } = {}) {
  const known = { ...options, help: { type: "boolean", short: "h", default: false } };
  let read;
  try {
    read = parseArgs({ options: known, allowPositionals });
  } catch (error) {
    throw new Complaint(`${error.message.split("\n")[0].replace(/\. To specify a positional.*$/, "")}; --help lists what there is`);
  }
  if (!read.values.help) return read;
  process.stdout.write(`${help.trim()}\n`);
  return undefined;
}
