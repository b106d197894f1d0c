// The origin as a Worker: the built WebAssembly in workerd, each partner in a D1 database of its own.
import { join } from "node:path";
import { Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions as workerOptionsOf } from "wrangler";
import { D1_MIGRATIONS, d1Migrations } from "../../../scripts/lib/d1.mjs";
import { ORIGIN_BUILD } from "../../../scripts/lib/origin-worker-build.mjs";
import { ask, ROOT } from "../../../scripts/lib/run.mjs";
import { fetchFrom } from "./fetch.mjs";

/** Runs one statement in a database and answers its rows: how a test looks into them without waiting. */
const WINDOW = `export default { async fetch(request, env) {
  const [name, sql] = await request.json();
  return Response.json((await env[name].prepare(sql).all()).results);
} };`;

/** What the origin as a Worker is for Miniflare, beside its name. */
export function originWorker() {
  const { workerOptions } = workerOptionsOf(join(ROOT, "origin", "wrangler.toml"));
  return {
    modulesRoot: ORIGIN_BUILD,
    modules: [
      { type: "ESModule", path: join(ORIGIN_BUILD, "index.js") },
      { type: "CompiledWasm", path: join(ORIGIN_BUILD, "index_bg.wasm") },
    ],
    compatibilityDate: workerOptions.compatibilityDate,
    bindings: workerOptions.bindings,
    d1Databases: workerOptions.d1Databases,
  };
}

/** Makes the tables in the D1 databases of a Worker that runs. */
export async function migrateD1(miniflare, worker) {
  const migrations = { partner: await d1Migrations(D1_MIGRATIONS.partner), shared: await d1Migrations(D1_MIGRATIONS.shared) };
  for (const binding of Object.keys(originWorker().d1Databases)) {
    const [statements, table] = binding === "BYTEC_DB" ? [migrations.shared, "audit_log"] : [migrations.partner, "rehearsals"];
    const database = await miniflare.getD1Database(binding, worker);
    // They stay from one start to the next.
    const { results } = await database.prepare("select name from sqlite_master where name = ?").bind(table).all();
    if (results.length === 0) await database.batch(statements.map((sql) => database.prepare(sql)));
  }
}

/** D1 databases that live in a folder: how to look into them, and an origin in front of them. */
export function d1Databases(folder) {
  let window;
  const rows = (database, sql) => JSON.parse(ask("curl", ["-sS", "--fail-with-body", "-d", JSON.stringify([database.toUpperCase(), sql]), window]));
  const start = async (port) => {
    const lines = [];
    const origin = originWorker();
    const miniflare = new Miniflare({
      host: "127.0.0.1",
      port,
      cf: false,
      log: new Log(LogLevel.NONE),
      defaultPersistRoot: folder,
      handleRuntimeStdio(stdout, stderr) {
        for (const stream of [stdout, stderr]) stream.on("data", (chunk) => lines.push(...`${chunk}`.split("\n")));
      },
      workers: [
        { name: "origin", ...origin },
        {
          name: "window",
          modules: true,
          script: WINDOW,
          compatibilityDate: origin.compatibilityDate,
          d1Databases: origin.d1Databases,
          unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
        },
      ],
    });
    const url = (await miniflare.ready).origin;
    window = (await miniflare.unsafeGetDirectURL("window")).href;
    await migrateD1(miniflare, "origin");
    return {
      url,
      port,
      lines,
      miniflare,
      fetch: fetchFrom(url),
      stop: () => miniflare.dispose(),
    };
  };
  return { rows, start };
}
