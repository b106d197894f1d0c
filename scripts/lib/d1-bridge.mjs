// A program of its own: D1 databases in workerd behind one HTTP address, so that a native program can run batches in them. Prints the
// address, and runs until it is told to stop. `POST /D7/fresh` makes the tables of the eighth, `POST /D7` runs a batch in it.
import { Log, LogLevel, Miniflare } from "miniflare";
import { d1Migrations } from "./d1.mjs";

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

const names = Array.from({ length: DATABASES }, (_, number) => `D${number}`);
const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  cf: false,
  log: new Log(LogLevel.NONE),
  modules: true,
  script: BRIDGE,
  compatibilityDate: "2026-04-01",
  bindings: { MIGRATIONS: await d1Migrations() },
  d1Databases: Object.fromEntries(names.map((name) => [name, name.toLowerCase()])),
});
process.stdout.write(`${(await miniflare.ready).origin}\n`);
