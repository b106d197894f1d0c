// A program of its own: D1 databases in workerd behind one HTTP address, so that a native program can run batches in them. Prints the
// address, and runs until it is told to stop. `POST /D7/partner` makes a partner's tables in the eighth, `/D7/shared`
// those that partners share, `POST /D7` runs a batch in it.
import { Log, LogLevel, Miniflare } from "miniflare";
import { D1_MIGRATIONS, d1Migrations } from "./d1.mjs";

/** As many databases as the tests ask for; each is made when it is first used. */
const DATABASES = 600;

/** Runs a batch as the origin's Worker does (origin/src/store/d1.rs says what goes over). */
const BRIDGE = `export default { async fetch(request, env) {
  const [, name, tables] = new URL(request.url).pathname.split("/");
  const database = env[name];
  if (database === undefined) return new Response("there is no " + name + ": scripts/lib/d1-bridge.mjs says how many there are", { status: 404 });
  const asked = tables ? env.MIGRATIONS[tables].map((sql) => [sql]) : await request.json();
  const statements = asked.map(([sql, ...values]) => database.prepare(sql).bind(...values));
  try {
    const results = await database.batch(statements);
    return Response.json(results.map(({ results, meta }) => ({ rows: results ?? [], changes: meta?.changes ?? 0 })));
  } catch (error) {
    return new Response(error.message, { status: 500 });
  }
} };`;

const names = Array.from({ length: DATABASES }, (_, number) => `D${number}`);
const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  cf: false,
  log: new Log(LogLevel.NONE),
  modules: true,
  script: BRIDGE,
  compatibilityDate: "2026-04-01",
  bindings: { MIGRATIONS: { partner: await d1Migrations(D1_MIGRATIONS.partner), shared: await d1Migrations(D1_MIGRATIONS.shared) } },
  d1Databases: Object.fromEntries(names.map((name) => [name, name.toLowerCase()])),
});
process.stdout.write(`${(await miniflare.ready).origin}\n`);
