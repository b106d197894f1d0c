// A Worker in workerd alone, without wrangler or miniflare in the way: the runtime listens itself, and fetches from
// loopback and from nowhere else.
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import workerd from "workerd";
import { Running, until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";

const COMPATIBILITY_DATE = readFileSync(join(ROOT, "wrangler.toml"), "utf8").match(/^compatibility_date = "(.+)"$/m)[1];

/**
 * Starts a Worker of `modules` ([{ name, kind, path }], the entry first) with text bindings, in a folder of its own. All
 * that it logs goes to the file `logs`, and nothing of it through this process. Answers `url` and the process.
 */
export async function startWorker({ name, modules, bindings, folder, logs }) {
  mkdirSync(folder, { recursive: true });
  for (const module of modules) copyFileSync(module.path, join(folder, module.name));
  const text = JSON.stringify;
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [${modules.map((module) => `(name = ${text(module.name)}, ${module.kind} = embed ${text(module.name)})`).join(", ")}],
      compatibilityDate = ${text(COMPATIBILITY_DATE)},
      bindings = [${Object.entries(bindings).map(([key, value]) => `(name = ${text(key)}, text = ${text(value)})`).join(", ")}],
    )),
    (name = "internet", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`;
  writeFileSync(join(folder, "config.capnp"), config);
  const log = openSync(logs, "a");
  const worker = new Running(name, workerd.default, ["serve", "--control-fd=3", join(folder, "config.capnp")], { stdio: ["ignore", log, log, "pipe"] });
  closeSync(log);
  let port;
  worker.child.stdio[3].on("data", (chunk) => (port ??= /"port":(\d+)/.exec(chunk)?.[1]));
  try {
    await until(name, async () => port !== undefined, { running: [worker], everyMs: 20 });
  } catch (error) {
    await worker.stop();
    throw error;
  }
  return { name, url: `http://127.0.0.1:${port}`, running: worker };
}
