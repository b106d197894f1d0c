// `npm run start:d1`: edge and origin as Workers in one `wrangler dev`, each partner in a D1 database of its own, simulated on this
// machine. No tunnel and no origin process: the edge reaches the origin by a service binding.
//
// EDGE_PORT (8787) changes the port, DATA_DIR (.wrangler/state) where the databases are.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { originD1Databases, originD1Name } from "./lib/d1.mjs";
import { EDGE_TIMEOUT_MS, edgePortOrComplain, invite, onceStopped, orStopped } from "./lib/development.mjs";
import { ensureNodePackages } from "./lib/node-packages.mjs";
import { buildOriginWorker } from "./lib/origin-worker-build.mjs";
import { answers, Running, until } from "./lib/processes.mjs";
import { Complaint, main, ROOT, run, say, step } from "./lib/run.mjs";
import { edgeToolchain } from "./lib/toolchain.mjs";
import { WRANGLER, WRANGLER_ENV } from "./lib/wrangler.mjs";

await main(async () => {
  const state = process.env.DATA_DIR || join(".wrangler", "state");
  const edgePort = await edgePortOrComplain();
  await ensureNodePackages();
  await edgeToolchain();
  await buildOriginWorker();
  const ofOrigin = ["--config", join("origin", "wrangler.toml"), "--local", "--persist-to", state];
  await step("bringing the D1 databases up to date", async () => {
    for (const name of originD1Databases()) await run(process.execPath, [WRANGLER, "d1", "migrations", "apply", name, ...ofOrigin], { quiet: true, env: WRANGLER_ENV });
  });

  const stopped = onceStopped();
  const configs = ["--config", bound(), "--config", join("origin", "wrangler.toml")];
  const variables = ["--var", "ORIGIN_URL:service://ORIGIN"];
  const args = ["dev", ...configs, "--ip", "127.0.0.1", "--port", `${edgePort}`, "--inspector-port", "0", "--persist-to", state, ...variables];
  const workers = new Running("edge and origin", process.execPath, [WRANGLER, ...args], {
    cwd: ROOT,
    env: WRANGLER_ENV,
    onLine: (line) => process.stdout.write(`[dev] ${line}\n`),
  });
  try {
    const edgeUrl = `http://127.0.0.1:${edgePort}`;
    const deep = async () => {
      const reply = await fetch(`${edgeUrl}/health?deep=1`, { signal: AbortSignal.timeout(5_000) });
      return (await reply.json()).origin.reachable;
    };
    await orStopped(stopped, until("the edge", () => answers(`${edgeUrl}/health`), { running: [workers], timeoutMs: EDGE_TIMEOUT_MS }));
    await orStopped(stopped, until("the origin", deep, { running: [workers], timeoutMs: EDGE_TIMEOUT_MS }));
    if (!stopped.isStopped) {
      say(`edge on ${edgeUrl}, origin bound to it, each partner in D1; Ctrl-C stops both. Try:`);
      invite(edgeUrl);
      const look = `npx wrangler d1 execute involve_asia_db --config origin/wrangler.toml --local --persist-to ${state}`;
      say(`then look:\n\n  ${look} --command 'select conversion_id, usd_payout from conversions'\n`);
    }
    const end = await Promise.race([stopped, workers.ended]);
    if (!stopped.isStopped) throw new Complaint(end);
  } finally {
    say("stopping edge and origin ...");
    await workers.stop();
    say("stopped");
  }
});

/**
 * The development set-up with the origin bound to it. In wrangler.toml itself that would have wrangler warn of every environment
 * that has none, and there is no argument for it.
 */
function bound() {
  const [development] = readFileSync(join(ROOT, "wrangler.toml"), "utf8").split(/^(?:#.*\n)*\[env\./m);
  const services = `[[services]]\nbinding = "ORIGIN"\nservice = "${originD1Name()}"\n`;
  // Beside wrangler.toml, because paths in it are meant from there.
  writeFileSync(join(ROOT, ".wrangler-d1.toml"), `# Made by npm run start:d1 of wrangler.toml.\n${development}\n${services}`);
  return ".wrangler-d1.toml";
}
