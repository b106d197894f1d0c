// `npm start`: everything that is missing is set up, then origin and edge run until Ctrl-C.
//
// EDGE_PORT (8787), ORIGIN_PORT (8000), DATABASE_URL (SQLite under DATA_DIR), DATA_DIR (data) change it.
import { EDGE_TIMEOUT_MS, edgePortOrComplain, freePortOf, invite, onceStopped, orStopped } from "./lib/development.mjs";
import { ensureNodePackages } from "./lib/node-packages.mjs";
import { originBinary } from "./lib/origin-binary.mjs";
import { answers, Running, until } from "./lib/processes.mjs";
import { Complaint, main, say } from "./lib/run.mjs";
import { edgeToolchain } from "./lib/toolchain.mjs";
import { WRANGLER, WRANGLER_ENV } from "./lib/wrangler.mjs";

/** Long enough to see the edge without its origin. */
const ORIGIN_RESTART_MS = 5_000;

/** Creating and migrating the databases takes a moment. */
const DATABASES_TIMEOUT_MS = 10_000;

await main(async () => {
  const edgePort = await edgePortOrComplain();
  const originPort = await freePortOf("ORIGIN_PORT", 8000);
  await ensureNodePackages();
  await edgeToolchain();
  const binary = await originBinary();

  const running = [];
  const stopped = onceStopped();
  try {
    let origin = startOrigin(binary, originPort);
    running.push(origin);
    await orStopped(stopped, until("the origin", () => answers(`http://127.0.0.1:${originPort}/health`), { running }));
    await warnOfMissingDatabases(originPort);

    const variables = ["--var", `ORIGIN_URL:http://127.0.0.1:${originPort}`];
    const args = ["dev", "--ip", "127.0.0.1", "--port", `${edgePort}`, "--inspector-port", "0", ...variables];
    const edge = new Running("edge", process.execPath, [WRANGLER, ...args], {
      env: WRANGLER_ENV,
      onLine: (line) => process.stdout.write(`[edge] ${line}\n`),
    });
    running.push(edge);
    const edgeUrl = `http://127.0.0.1:${edgePort}`;
    const wait = { running, timeoutMs: EDGE_TIMEOUT_MS };
    await orStopped(stopped, until("the edge", () => answers(`${edgeUrl}/health?deep=1`), wait));

    if (!stopped.isStopped) {
      say(`edge on ${edgeUrl}, origin on http://127.0.0.1:${originPort}; Ctrl-C stops both. Try:`);
      invite(edgeUrl);
    }
    for (;;) {
      const end = await Promise.race([stopped, origin.ended, edge.ended]);
      if (stopped.isStopped) break;
      if (!edge.alive) throw new Complaint(end);
      // As in production: the edge stays, and queues what comes until the origin is back.
      say(`${end}; starting it again in ${ORIGIN_RESTART_MS / 1000} s, the edge queues meanwhile`);
      await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, ORIGIN_RESTART_MS))]);
      if (stopped.isStopped) break;
      running.splice(running.indexOf(origin), 1, (origin = startOrigin(binary, originPort)));
    }
  } finally {
    say("stopping edge and origin ...");
    for (const program of running.reverse()) await program.stop();
    say("stopped");
  }
});

/** The origin lives without its databases, but nothing can be stored in one that is not there. */
async function warnOfMissingDatabases(originPort) {
  let missing = [];
  const complete = async () => {
    const reply = await fetch(`http://127.0.0.1:${originPort}/health`, { signal: AbortSignal.timeout(5_000) });
    const { databases } = await reply.json();
    missing = Object.keys(databases).filter((partner) => databases[partner] !== "ok");
    return missing.length === 0;
  };
  await until("the databases", complete, { timeoutMs: DATABASES_TIMEOUT_MS }).catch(() => {
    say(`warning: no database for ${missing.join(", ")}; their postbacks are not stored. Is DATABASE_URL or DATA_DIR right?`);
  });
}

function startOrigin(binary, originPort) {
  return new Running("origin", binary, ["serve"], {
    env: { ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${originPort}` },
    onLine: (line) => process.stdout.write(`[origin] ${line}\n`),
  });
}
