// D1 for the tests of the store: databases in workerd behind one HTTP address, so that a native program can run batches in them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./run.mjs";

/** As many databases as the tests ask for; each is made when it is first used. */
const DATABASES = 400;

/** Runs a batch as the origin's Worker does (origin/src/store/d1.rs says what goes over). */
const BRIDGE = `export default { async fetch(request, env) {
  const [, name, fresh] = new URL(request.url).pathname.split("/");
  const database = env[name];
  const asked = fresh ? env.MIGRATIONS.map((sql) => [sql]) : await request.json();
  const statements = asked.map(([sql, ...values]) => database.prepare(sql).bind(...values));
  try {
    const results = await database.batch(statements);
    return Response.json(results.map(({ results, meta }) => ({ rows: results ?? [], changes: meta?.changes ?? 0 })));
  } catch (error) {
    return new Response(error.message, { status: 500 });
  }
} };`;

/** Starts them. `POST {url}/D7/fresh` makes the tables of the eighth, `POST {url}/D7` runs a batch in it. */
export async function startD1() {
  const { Miniflare, Log, LogLevel } = await import("miniflare");
  const names = Array.from({ length: DATABASES }, (_, number) => `D${number}`);
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    log: new Log(LogLevel.NONE),
    modules: true,
    script: BRIDGE,
    compatibilityDate: "2026-04-01",
    bindings: { MIGRATIONS: await migrations() },
    d1Databases: Object.fromEntries(names.map((name) => [name, name.toLowerCase()])),
  });
  const url = (await miniflare.ready).origin;
  return { url, stop: () => miniflare.dispose() };
}

/** The statements of every migration of the origin's D1 databases, in order, as wrangler parts them. */
async function migrations() {
  const { unstable_splitSqlQuery: split } = await import("wrangler");
  const folder = join(ROOT, "origin", "migrations", "sqlite");
  const files = readdirSync(folder).filter((name) => name.endsWith(".sql")).sort();
  return files.flatMap((name) => split(readFileSync(join(folder, name), "utf8")));
}
