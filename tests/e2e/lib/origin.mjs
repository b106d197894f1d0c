// The origin as it is deployed: its own process on SQLite or PostgreSQL, or a Worker on D1.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, Running, until } from "../../../scripts/lib/processes.mjs";
import { ask, ROOT } from "../../../scripts/lib/run.mjs";
import { d1Databases } from "./origin_worker.mjs";
import { fetchFrom } from "./fetch.mjs";

export const BINARY = join(ROOT, "target", "debug", "bytec-origin");

/** The kinds of database that have the origin as a process. */
export const KINDS = ["sqlite", "postgres"];

/** Those and D1: what every test of the whole path runs on. */
export const ALL_KINDS = [...KINDS, "d1"];

/** A place for partners' databases of one kind, empty, and how to look into it. */
export function freshDatabases(kind) {
  const folder = mkdtempSync(join(tmpdir(), "bytec-e2e-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  if (kind === "d1") {
    const d1 = d1Databases(folder);
    return { env: {}, ...d1, remove };
  }
  if (kind === "sqlite") {
    const python = required("TEST_PYTHON");
    const program = "import json,sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.row_factory=sqlite3.Row; print(json.dumps([dict(r) for r in c.execute(sys.argv[2])]))";
    const rows = (database, sql) => JSON.parse(ask(python, ["-c", program, join(folder, `${database}.sqlite`), sql]));
    const change = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()";
    const execute = (database, sql) => {
      if (ask(python, ["-c", change, join(folder, `${database}.sqlite`), sql]) === undefined) throw new Error(`SQLite failed in ${database}: ${sql}`);
    };
    return { env: { DATA_DIR: folder }, rows, execute, remove };
  }
  // One cluster serves all tests, so these partners' databases are made empty before each use.
  const url = required("TEST_POSTGRES_URL");
  const psql = (database, sql) => {
    const target = new URL(url);
    target.pathname = `/${database}`;
    const answer = ask(required("TEST_PSQL"), ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", target.href, "-c", sql]);
    if (answer === undefined) throw new Error(`psql failed in ${database}: ${sql}`);
    return answer;
  };
  for (const database of ["bytec_db", "involve_asia_db", "rector_db", "s2s_db"]) psql("postgres", `drop database if exists ${database} with (force)`);
  const rows = (database, sql) => JSON.parse(psql(database, `select coalesce(json_agg(t), '[]') from (${sql}) t`));
  return { env: { DATABASE_URL: url }, rows, execute: psql, remove };
}

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run npm test`);
  return value;
}

/** Starts an origin; `env` says where its databases are, or `start` starts it in front of them. */
export async function startOrigin({ env, port, start }) {
  port ??= await freePort();
  if (start) return start(port);
  const url = `http://127.0.0.1:${port}`;
  const program = new Running("origin", BINARY, ["serve"], {
    env: { ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${port}`, ...env },
  });
  const healthy = async () => (await (await fetch(`${url}/health`)).json()).status === "healthy";
  await until("the origin and its databases", healthy, { running: [program] });
  return {
    url,
    port,
    pid: program.pid,
    lines: program.output,
    fetch: fetchFrom(url),
    stop: (signal) => program.stop(signal),
  };
}

/** A conversion id that no other test uses. */
export const uniqueId = () => `c-${randomBytes(6).toString("hex")}`;
