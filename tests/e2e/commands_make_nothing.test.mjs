// Commands that look into partners' databases neither make nor migrate any: a wrong place is told, and an origin of before is left alone.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { BINARY, freshDatabases, KINDS } from "./lib/origin.mjs";

const NAMES = ["bytec_db", "involve_asia_db", "rector_db", "s2s_db"];
const MARKED = "select count(*) as n from _sqlx_migrations";

for (const kind of KINDS) {
  describe(`commands on ${kind}`, () => {
    let databases, folder, commands, withShared;

    before(() => {
      databases = freshDatabases(kind);
      folder = mkdtempSync(join(tmpdir(), "bytec-e2e-"));
      const csv = join(folder, "report.csv");
      writeFileSync(csv, "conversion_id,payout\nc1,1.00\n");
      commands = [["report"], ["subject", "find", "u_1"], ["reconcile", csv, "--partner", "rector", "--from", "2025-11-01", "--to", "2025-11-30"]];
      withShared = [["subject", "erase", "u_1", "--yes"], ["reprocess", "--dry-run"], ["recount", "--dry-run"], [...commands.at(-1), "--replay", "--yes"]];
    });
    after(() => {
      databases?.remove();
      rmSync(folder, { recursive: true, force: true });
    });

    const run = (args) => spawnSync(BINARY, args, { encoding: "utf8", env: { ...process.env, ENVIRONMENT: "development", ...databases.env } });
    const made = () =>
      kind === "sqlite"
        ? readdirSync(databases.env.DATA_DIR)
        : NAMES.filter((name) => databases.rows("postgres", `select 1 from pg_database where datname = '${name}'`).length > 0);
    const forget = (name) => databases.execute(name, "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)");

    test("where there is no database they say so and make none", () => {
      for (const args of [...commands, ...withShared]) {
        const { status, stderr } = run(args);
        assert.equal(status, 1, `${args}: ${stderr}`);
        assert.match(stderr, /^(?:rector|bytec_db): there is no database (sqlite|postgres) at .*; see whether DATA_DIR or DATABASE_URL .*bytec-origin migrate$/m);
        assert.deepEqual(made(), [], `${args}`);
      }
    });

    test("a database of an earlier version is left as it is, and the others are looked into", () => {
      assert.equal(run(["migrate"]).status, 0);
      forget("rector_db");
      const [{ n: marked }] = databases.rows("rector_db", MARKED);
      for (const args of commands) {
        const { status, stdout, stderr } = run(args);
        assert.equal(status, 1, `${args}: ${stderr}`);
        assert.match(stderr, /^rector: its tables are older than this program: stop the origins, then bytec-origin migrate$/m);
        if (args[0] === "report") assert.match(stdout, /^s2s, UTC, amounts in USD$/m);
      }
      assert.deepEqual(databases.rows("rector_db", MARKED), [{ n: marked }]);
    });

    test("so is what partners share, by whatever changes or goes by something in it", () => {
      forget("bytec_db");
      const [{ n: marked }] = databases.rows("bytec_db", MARKED);
      for (const args of withShared) {
        const { status, stderr } = run(args);
        assert.deepEqual([status, stderr], [1, "bytec_db: its tables are older than this program: stop the origins, then bytec-origin migrate\n"], `${args}`);
      }
      assert.deepEqual(databases.rows("bytec_db", MARKED), [{ n: marked }]);
    });
  });
}
