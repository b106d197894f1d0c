// A person's data found and erased, and databases backed up and restored, beside an origin that takes postbacks all the while
// (docs/privacy.md, docs/operations.md).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { ask, ROOT } from "../../scripts/lib/run.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin } from "./lib/origin.mjs";
import { TOKEN } from "./lib/requests.mjs";

const DATABASES = ["bytec_db", "involve_asia_db", "rector_db", "s2s_db"];
const ACCOUNT = "canary-u/77";
const SENT = encodeURIComponent(ACCOUNT);
/** What tells of the person, wherever it stands. */
const TELLING = /canary-u|canary-install|canary-sub/i;

/** Runs a command of the origin's, PostgreSQL's programs within reach. */
async function command(databases, args, input = "") {
  const env = { ...process.env, ...databases.env, ENVIRONMENT: "development", PATH: `${dirname(process.env.TEST_PSQL ?? "/")}${delimiter}${process.env.PATH}` };
  const child = spawn(BINARY, args, { cwd: ROOT, env });
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => {
    const chunks = [];
    stream.on("data", (chunk) => chunks.push(chunk));
    return () => Buffer.concat(chunks).toString();
  });
  child.stdin.end(input);
  const status = await new Promise((resolve) => child.on("close", resolve));
  return { status, stdout: stdout(), stderr: stderr() };
}

async function done(databases, args, input) {
  const { status, stdout, stderr } = await command(databases, args, input);
  assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

const lines = (stdout) => stdout.trim().split("\n").map((line) => JSON.parse(line));

for (const kind of KINDS) {
  describe(`a person's data and backups, on ${kind}`, () => {
    let databases;
    let origin;
    const folder = mkdtempSync(join(tmpdir(), "bytec-backup-"));
    const send = async (partner, query, { to = origin, status = 200 } = {}) => {
      const reply = await to.fetch(`/postback/${partner}?${query}&ts_token=${TOKEN}`, { headers: { accept: "application/json" } });
      const body = await reply.json();
      assert.equal(reply.status, status, JSON.stringify(body));
      return body;
    };
    /** Every row of every table of every database, each as one text. */
    const dump = () => DATABASES.flatMap((database) => {
      if (kind === "sqlite") {
        const program = "import sqlite3,sys; print('\\n'.join(line.replace('\\n', ' ') for line in sqlite3.connect(sys.argv[1]).iterdump()))";
        return ask(process.env.TEST_PYTHON, ["-c", program, join(databases.env.DATA_DIR, `${database}.sqlite`)]).split("\n");
      }
      const names = databases.rows(database, "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1");
      const rows = names.map(({ relname }) => `select '${relname}' as name, to_json(t)::text as row from ${relname} as t`);
      return databases.rows(database, rows.join(" union all ")).map(({ name, row }) => `${name} ${row}`);
    });
    const amount = kind === "sqlite" ? "usd_sale_amount_micros" : "usd_sale_amount";
    const sums = (database) => databases.rows(database, `select count(*) as conversions, cast(sum(${amount}) as text) as sale, count(deposit) as deposits from conversions where conversion_id not like 'flow%'`);
    const isProcessed = async () => ["involve_asia_db", "rector_db"].every((database) => databases.rows(database, "select count(*) as n from work_items")[0].n === 0);
    const processed = () => until("processing", isProcessed, { everyMs: 100, timeoutMs: 20_000 });

    /** Sends postbacks one behind the other, until it is told to stop; answers the ids of those that were acknowledged. */
    const flowing = (to) => {
      const flow = { acknowledged: [], stopped: false };
      flow.ended = (async () => {
        for (let number = 0; !flow.stopped; number += 1) {
          const id = `flow-${Date.now()}-${number}`;
          await send("involve/event", `conversion_id=${id}&event=deposit&account_id=f${number % 7}&usd_sale_amount=10.01&rewars=0.07`, { to });
          flow.acknowledged.push(id);
        }
      })();
      flow.stop = async () => {
        flow.stopped = true;
        await flow.ended;
        return flow.acknowledged;
      };
      return flow;
    };

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin({ env: databases.env });
    });
    after(async () => {
      await origin?.stop();
      databases?.remove();
      rmSync(folder, { recursive: true, force: true });
    });

    const PERSONS = [
      ["involve/event", `conversion_id=p1&event=deposit&account_id=${SENT}&usd_sale_amount=50&event_time=2025-10-20+10:00:00&sub_id=canary-sub`],
      ["involve/event", `conversion_id=p2&event=deposit&account_id=${SENT}&usd_sale_amount=70.5&event_time=2025-10-21+10:00:00&install_id=canary-install&click_id=k1`],
      ["rector/event", `conversion_id=p3&account_id=${SENT}&usd_earning=3`],
    ];

    test("it is found in every partner's database, and erased from all of them while postbacks come", async () => {
      for (const [partner, query] of PERSONS) await send(partner, query);
      await send("involve/event", `conversion_id=p4&account_id=${SENT}&usd_sale_amount=1,5`, { status: 400 });
      await send("involve/event", "conversion_id=o1&event=deposit&account_id=other&usd_sale_amount=20&event_time=2025-10-20+10:00:00&sub_id=kept");
      await processed();
      const found = lines(await done(databases, ["subject", "find", ACCOUNT, "--json"]));
      assert.deepEqual(found.map(({ partner }) => partner), ["involve_asia", "rector", "s2s"]);
      assert.deepEqual(found.map(({ found: { conversions, rejections, links } }) => [conversions?.count, rejections?.count, links?.count]), [[2, 1, 2], [1, undefined, undefined], [undefined, undefined, undefined]]);
      const one = found[0].found.conversions.rows.find((row) => row.conversion_id === "p1");
      assert.deepEqual([one.account_id, one.usd_sale_amount, one.deposit], [ACCOUNT, "50.00", "first"]);
      assert.match(await done(databases, ["subject", "find", "-", "--partner", "rector"], `${ACCOUNT}\n`), /^rector: found: conversions 1, events 1, postbacks 1\n {2}conversions \{/);
      assert.match(await done(databases, ["subject", "find", "nobody", "--partner", "s2s"]), /^s2s: found: nothing$/m);
      const before = sums("involve_asia_db");
      const others = dump().filter((row) => /\bkept\b/.test(row));
      const counted = lines(await done(databases, ["subject", "erase", ACCOUNT, "--dry-run", "--json"]));
      assert.equal(counted[0].found.conversions, 2);
      assert.ok(dump().filter((row) => TELLING.test(row)).length >= 10, "nothing was changed");
      assert.equal((await command(databases, ["subject", "erase", ACCOUNT])).status, 2, "neither --yes nor --dry-run");

      const flow = flowing(origin);
      await until("a flow of postbacks", async () => flow.acknowledged.length > 5, { everyMs: 10, timeoutMs: 10_000 });
      const erased = lines(await done(databases, ["subject", "erase", ACCOUNT, "--yes", "--json"]));
      const sent = await flow.stop();
      assert.equal(erased[0].erased.conversions, 2);
      assert.equal(erased[1].erased.events, 1);
      await processed();
      assert.deepEqual(dump().filter((row) => TELLING.test(row)), []);
      assert.deepEqual(sums("involve_asia_db"), before, "money and deposits are as they were");
      assert.deepEqual(dump().filter((row) => /\bkept\b/.test(row)), others);
      assert.equal(databases.rows("involve_asia_db", "select count(*) as n from conversions where conversion_id like 'flow%'")[0].n, sent.length);
      const audited = JSON.parse(await done(databases, ["audit", "--json"])).filter(({ action }) => action === "subject.erase");
      assert.deepEqual(audited.map(({ subject }) => subject), ["involve_asia", "rector", "s2s"]);
      assert.equal(audited[0].details.rows.conversions, 2);
      const places = databases.rows("involve_asia_db", "select conversion_id, deposit, account_id from conversions where conversion_id in ('p1', 'p2') order by 1");
      assert.deepEqual(places.map(({ deposit }) => deposit), ["first", "repeat"]);
      assert.ok(places[0].account_id.startsWith("erased-") && places[0].account_id === places[1].account_id);
      for (const [partner, query] of PERSONS) assert.equal((await send(partner, query)).verdict, "duplicate");
    });

    test("what has no command is printed as SQL", async () => {
      const sql = await done(databases, ["subject", "erase", ACCOUNT, "--sql", "data", "--partner", "rector"]);
      assert.ok(sql.split(";\n").length >= 12 && sql.includes("update events"));
      const audit = await done(databases, ["subject", "erase", "-", "--sql", "audit", "--partner", "rector"]);
      assert.ok(audit.includes("subject.erase") && !TELLING.test(audit));
      assert.match(await done(databases, ["subject", "find", ACCOUNT, "--sql", "--partner", "rector"]), /from rejections where \(exists/);
      assert.equal((await command(databases, ["subject", "find", ACCOUNT, "--sql"])).status, 2, "of which partner is not said");
    });

    test("a backup that is made while postbacks come is restored to the last row and the last cent", async () => {
      const backup = join(folder, "one");
      // It was there before, for everybody to read.
      mkdirSync(backup, { mode: 0o755 });
      const flow = flowing(origin);
      await until("a flow of postbacks", async () => flow.acknowledged.length > 5, { everyMs: 10, timeoutMs: 10_000 });
      const before = databases.rows("involve_asia_db", "select count(*) as n from conversions")[0].n;
      const told = lines(await done(databases, ["backup", backup, "--json"]));
      assert.deepEqual(told.map(({ database }) => database), DATABASES);
      const last = await flow.stop();
      const after = databases.rows("involve_asia_db", "select count(*) as n from conversions")[0].n;
      const manifest = JSON.parse(readFileSync(join(backup, "manifest.json"), "utf8"));
      const sumsOf = (name) => manifest.databases.find((database) => database.name === name).sums;
      const kept = Number(sumsOf("involve_asia_db")["rows.conversions"]);
      assert.ok(before <= kept && kept <= after && before < after, `${before} <= ${kept} <= ${after}`);
      assert.equal(sumsOf("involve_asia_db")["totals.conversions"], String(kept), "conversions and totals of one moment");
      assert.match(sumsOf("involve_asia_db").newest_event, /^20\d\d-\d\d-\d\dT.*Z$/);
      assert.equal(statSync(backup).mode & 0o777, 0o700);
      assert.match(await done(databases, ["restore", backup, "--check"]), /^involve_asia_db: as it was made: \d+ events, \d+ conversions, \d+ bytes$/m);
      const taken = await command(databases, ["restore", backup]);
      assert.equal(taken.status, 1);
      assert.match(taken.stderr, /there is a database already; nothing was restored/);
      assert.equal((await command(databases, ["backup", backup])).status, 1, "a folder that is not empty");

      await origin.stop();
      databases.remove();
      databases = freshDatabases(kind);
      const restored = lines(await done(databases, ["restore", backup, "--json"]));
      assert.deepEqual(restored.map(({ sums: found }) => found), told.map(({ sums: found }) => found));
      assert.equal(databases.rows("involve_asia_db", "select count(*) as n from conversions")[0].n, kept);
      origin = await startOrigin({ env: databases.env });
      const first = last[0];
      const repeat = `conversion_id=${first}&event=deposit&account_id=f0&usd_sale_amount=10.01&rewars=0.07`;
      assert.equal((await send("involve/event", repeat)).verdict, "duplicate", "what was there is known");
      assert.equal((await send("involve/event", "conversion_id=flow-new&rewars=1")).verdict, "created");
      // What was taken when the backup was made is due again when its lease ends.
      const isJudged = async () => databases.rows("involve_asia_db", "select attribution from conversions where conversion_id = 'flow-new'")[0].attribution === "no_click";
      await until("processing", isJudged, { everyMs: 100, timeoutMs: 20_000 });
      const audited = JSON.parse(await done(databases, ["audit", "--json"]));
      assert.ok(audited.some(({ action }) => action === "restore") && audited.some(({ action }) => action === "subject.erase"));
    });

    test("a backup that was truncated or altered is found out, and not restored", async () => {
      const made = async (name) => {
        const backup = join(folder, name);
        await done(databases, ["backup", backup, "--partner", "rector"]);
        return { backup, file: join(backup, readdirSync(backup).find((file) => file.startsWith("rector_db"))) };
      };
      const refused = async (backup, problem) => {
        for (const args of [["restore", backup, "--check"], ["restore", backup]]) {
          const { status, stderr } = await command(databases, args);
          assert.equal(status, 1);
          assert.match(stderr, problem);
        }
      };
      const short = await made("short");
      truncateSync(short.file, statSync(short.file).size - 1);
      await refused(short.backup, /rector_db: .* has \d+ bytes, and had \d+/);
      const altered = await made("altered");
      const bytes = readFileSync(altered.file);
      bytes[bytes.length >> 1] ^= 1;
      writeFileSync(altered.file, bytes);
      await refused(altered.backup, /its SHA-256 is another/);
      const told = await made("told");
      const manifest = join(told.backup, "manifest.json");
      writeFileSync(manifest, readFileSync(manifest, "utf8").replace(/"rows.conversions": "\d+"/, '"rows.conversions": "999"'));
      await refused(told.backup, /manifest.json is not as it was written/);
      rmSync(manifest);
      await refused(told.backup, /a folder without a manifest is no backup/);
      // What an interrupted backup leaves has none.
      const nowhere = freshDatabasesElsewhere(kind);
      const failed = await command(nowhere, ["backup", join(folder, "failed")]);
      assert.equal(failed.status, 1, failed.stdout);
      assert.ok(!readdirSync(join(folder, "failed")).includes("manifest.json"));
      nowhere.remove();
    });

    test("what does not come to what the manifest says is told, and the exit code says so", async () => {
      const backup = join(folder, "other");
      await done(databases, ["backup", backup]);
      const path = join(backup, "manifest.json");
      const manifest = { ...JSON.parse(readFileSync(path, "utf8")), digest: "" };
      const write = (manifest) => {
        const digest = createHash("sha256").update(JSON.stringify({ ...manifest, digest: "" })).digest("hex");
        writeFileSync(path, JSON.stringify({ ...manifest, digest }));
      };
      await origin.stop();
      databases.remove();
      databases = freshDatabases(kind);
      const gone = { ...manifest.databases.find(({ name }) => name === "rector_db"), name: "gone_db" };
      write({ ...manifest, databases: [...manifest.databases, gone] });
      const left = await command(databases, ["restore", backup]);
      assert.deepEqual([left.status, /gone_db: in the backup, and no partner's of this program; nothing was restored/.test(left.stderr)], [1, true], left.stderr);
      const { sums: told } = manifest.databases.find(({ name }) => name === "involve_asia_db");
      const payout = told["conversions.usd_payout"];
      told["conversions.usd_payout"] = "1";
      write(manifest);
      const { status, stderr } = await command(databases, ["restore", backup]);
      assert.equal(status, 1);
      assert.ok(stderr.includes(`involve_asia_db: it does not come to the same: conversions.usd_payout was 1, is ${payout}`), stderr);
      origin = undefined;
    });
  });
}

/** A place where no database is. */
function freshDatabasesElsewhere(kind) {
  const empty = mkdtempSync(join(tmpdir(), "bytec-e2e-"));
  const remove = () => rmSync(empty, { recursive: true, force: true });
  return { env: kind === "sqlite" ? { DATA_DIR: empty } : { DATABASE_URL: "postgres://bytec@127.0.0.1:1/postgres" }, remove };
}
