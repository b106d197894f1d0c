// `bytec-origin doctor` and `bytec-origin partners`: every misconfiguration here is planted for real, is found by its code, and comes
// with what mends it (docs/doctor.md).
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { freePort, until } from "../../scripts/lib/processes.mjs";
import { startPostgres } from "../../scripts/lib/postgres.mjs";
import { ask, ROOT } from "../../scripts/lib/run.mjs";
import { startEdge } from "./lib/edge.mjs";
import { BINARY, startOrigin, uniqueId } from "./lib/origin.mjs";
import { TOKEN } from "./lib/requests.mjs";
import { replay, startTunnel } from "./lib/tunnel.mjs";

const KEY = randomBytes(32).toString("hex");
/** Where no origin listens: at the usual port there may be one that somebody works with. */
const PORT = await freePort();
const ROOM = mkdtempSync(join(tmpdir(), "bytec-doctor-"));
after(() => rmSync(ROOM, { recursive: true, force: true }));
let rooms = 0;

/** An empty folder of the test's own, for its owner alone. */
function folder() {
  const path = join(ROOM, `${(rooms += 1)}`);
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/** The variables of an origin in production, and nothing that this process was given. */
const environment = (more) => ({ PATH: process.env.PATH, HOME: ROOM, ENVIRONMENT: "production", EDGE_KEYS: `k1:${KEY}`, ...more });

/** Runs the program; answers its exit code and what it printed. Not in step with this process, which may have to answer it. */
function run(args, env) {
  return new Promise((resolve) => {
    const options = { cwd: ROOM, env: environment({ ORIGIN_BIND: `127.0.0.1:${PORT}`, ...env }), encoding: "utf8", timeout: 60_000 };
    execFile(BINARY, args, options, (error, stdout, stderr) => resolve({ status: error ? error.code : 0, stdout, stderr }));
  });
}

/** What doctor finds: its exit code, its report, and the findings by their codes. */
async function doctor(env, args = []) {
  // A machine for tests may have little room.
  const room = args.includes("--free-mb-min") ? [] : ["--free-mb-min", "1"];
  const { status, stdout, stderr } = await run(["doctor", "--json", ...room, ...args], env);
  assert.ok([0, 1].includes(status), `${status}: ${stderr}`);
  const report = JSON.parse(stdout);
  assert.equal(status, report.problems > 0 ? 1 : 0);
  for (const secret of [KEY, env.secret].filter(Boolean)) assert.ok(!`${stdout}${stderr}`.includes(secret), "a secret is shown");
  const findings = report.checks.flatMap(({ check, subject, findings: found }) => found.map((finding) => ({ check, subject, ...finding })));
  return { report, findings, codes: [...new Set(findings.map(({ code }) => code))].sort() };
}

/** The finding of a code, whose hint says what to do. */
function hinted({ findings }, code, hint, level = "problem") {
  const [found] = findings.filter((finding) => finding.code === code).sort((one) => (hint.test(`${one.says} ${one.hint}`) ? -1 : 1));
  assert.ok(found, `${code} is not among ${JSON.stringify(findings, null, 1)}`);
  assert.match(`${found.says} ${found.hint}`, hint);
  assert.equal(found.level, level);
  return found;
}

/** The problems alone: warnings may be there beside what was planted. */
const problems = ({ findings }) => [...new Set(findings.filter(({ level }) => level === "problem").map(({ code }) => code))].sort();

/** Writes into a SQLite file. */
function sqlite(file, sql) {
  const program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit(); c.close()";
  execFileSync(process.env.TEST_PYTHON, ["-c", program, file, sql]);
}

/** Every file below a folder with its content, mode and time. */
const picture = (path) =>
  readdirSync(path, { recursive: true }).sort().map((name) => {
    const { mode, mtimeMs, size } = statSync(join(path, name));
    const content = statSync(join(path, name)).isFile() ? createHash("sha256").update(readFileSync(join(path, name))).digest("hex") : "";
    return `${name} ${mode} ${mtimeMs} ${size} ${content}`;
  });

/** cloudflared's configuration of the repository, filled in. */
function tunnelFile(path, { port = PORT, change = (text) => text } = {}) {
  const credentials = join(path, "credentials.json");
  writeFileSync(credentials, "{}", { mode: 0o600 });
  const text = readFileSync(join(ROOT, "cloudflared/config.yml"), "utf8");
  const filled = text.replace("/etc/cloudflared/<UUID>.json", credentials).replace("<UUID>", "6f0d1c1e").replace("127.0.0.1:8000", `127.0.0.1:${port}`);
  const file = join(path, "config.yml");
  writeFileSync(file, change(filled));
  return file;
}

/** wrangler.toml of the repository, with a database's id. */
function wranglerFile(path, change = (text) => text) {
  const text = readFileSync(join(ROOT, "wrangler.toml"), "utf8").replaceAll("00000000-0000-0000-0000-000000000000", "5f1c09ab-0000-4000-8000-000000000001");
  const file = join(path, "wrangler.toml");
  writeFileSync(file, change(text));
  return file;
}

describe("doctor and the configuration", () => {
  test("all that cannot be read is told at once, and nothing else is hidden by it", async () => {
    const found = await doctor({ ENVIRONMENT: "live", EDGE_KEYS: "k1:geheim", TENANT_TOKENS: "nobody=geheim", DATABASE_URL_RECTOR: "mysql://u:geheim@h/d", DATA_DIR: folder(), secret: "geheim" });
    const said = found.findings.filter(({ code }) => code === "configuration").map(({ says }) => says.split(" ")[0]);
    assert.deepEqual(said, ["ENVIRONMENT", "EDGE_KEYS", "TENANT_TOKENS", "DATABASE_URL_RECTOR"]);
    hinted(found, "configuration", /mend ENVIRONMENT in the environment of bytec-origin/);
    const seen = found.report.checks.filter(({ check }) => check === "database").map(({ subject }) => subject);
    assert.deepEqual(seen, ["involve_asia", "s2s", "shared"], "the databases that are known");
  });

  for (const [title, env, code, hint] of [
    ["the public key", { EDGE_KEYS: "k1:6465762d6f6e6c792d6e6f742d612d7365637265742d6465762d6f6e6c792121" }, "development_key", /EDGE_KEYS.*openssl rand -hex 32/],
    ["the public token, as a digest", { TENANT_TOKENS: `bytec=sha256:${createHash("sha256").update(TOKEN).digest("hex")}` }, "development_token", /TENANT_TOKENS.*tokens create --tenant bytec/],
    ["a key that can be guessed", { EDGE_KEYS: `k1:${"5a".repeat(32)}` }, "key_weak", /EDGE_KEYS.*openssl rand -hex 32/],
    ["a key that is over", { EDGE_KEYS: `k1:${KEY}@/2026-01-01` }, "keys_not_in_force", /put a key into EDGE_KEYS/],
    ["a key that has not begun", { EDGE_KEYS: `k1:${KEY}@2099-01-01/` }, "keys_not_in_force", /put a key into EDGE_KEYS/],
    ["the edge's key in a partner's hands", { PARTNER_KEYS: `s2s=p:${KEY}` }, "key_shared", /PARTNER_KEYS/],
  ]) {
    test(`finds ${title}`, async () => {
      const found = await doctor({ DATA_DIR: folder(), ...env });
      hinted(found, code, hint);
      assert.ok(problems(found).every((each) => [code, "key_weak"].includes(each)), problems(found).join());
    });
  }

  test("finds a secret in a file that everybody can read, and an address that can be reached", async () => {
    const path = folder();
    const file = join(path, "edge-keys");
    writeFileSync(file, `k1:${KEY}`);
    const env = { EDGE_KEYS: "", EDGE_KEYS_FILE: file, DATA_DIR: folder(), ORIGIN_BIND: `0.0.0.0:${await freePort()}` };
    assert.deepEqual(problems(await doctor(env)), []);
    for (const open of [ROOM, path]) chmodSync(open, 0o755);
    chmodSync(file, 0o644);
    const found = await doctor(env);
    hinted(found, "secret_readable", new RegExp(`EDGE_KEYS_FILE.*chmod 600 ${file}`));
    hinted(found, "bind_reachable", /ORIGIN_BIND=127\.0\.0\.1:8000/, "warning");
    chmodSync(ROOM, 0o700);
  });

  test("a file that never answers costs its own check alone, and ends in time", async () => {
    const path = folder();
    const pipe = join(path, "pipe");
    execFileSync("mkfifo", [pipe]);
    const began = Date.now();
    const found = await doctor({ EDGE_KEYS: "", EDGE_KEYS_FILE: pipe }, ["--timeout-s", "3", "--cloudflared", tunnelFile(path)]);
    assert.ok(Date.now() - began < 20_000);
    assert.equal(hinted(found, "overdue", /--timeout-s/).check, "configuration");
    assert.equal(found.report.checks.find(({ check }) => check === "tunnel").state, "ok");
    const { stderr } = await run(["doctor", "--timeout-s", "3"], { EDGE_KEYS: "", EDGE_KEYS_FILE: pipe });
    assert.match(stderr, /looking at configuration/);
  });
});

describe("doctor and the address", () => {
  test("finds a port that something else has, and knows an origin", async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address();
    try {
      hinted(await doctor({ DATA_DIR: folder(), ORIGIN_BIND: `127.0.0.1:${port}` }), "port_taken", new RegExp(`ss -ltnp 'sport = :${port}'.*ORIGIN_BIND`));
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    hinted(await doctor({ DATA_DIR: folder(), ORIGIN_BIND: "192.0.2.1:8000" }), "address_not_here", /ORIGIN_BIND/);
  });
});

describe("doctor and SQLite files", () => {
  let made;
  before(async () => {
    made = folder();
    assert.equal((await run(["migrate"], { DATA_DIR: made })).status, 0);
  });
  /** A copy of databases as the program makes them, to be broken. */
  const copy = () => {
    const path = folder();
    cpSync(made, path, { recursive: true });
    return path;
  };

  test("has nothing to find where nothing is wrong, and changes nothing", async () => {
    const path = copy();
    const before = picture(path);
    assert.equal((await run(["tokens", "create", "--tenant", "bytec"], { DATA_DIR: path })).status, 0);
    const with_token = picture(path);
    const found = await doctor({ DATA_DIR: path });
    // Two networks sign nothing, and a healthy set-up says so.
    assert.deepEqual(found.findings.map(({ code }) => code), ["partner_open"]);
    hinted(found, "partner_open", /set auth in its partner file/, "warning");
    assert.deepEqual(picture(path), with_token);
    assert.notDeepEqual(with_token, before);
    // Where there is nothing, nothing is made.
    const empty = join(folder(), "none");
    const unmade = await doctor({ DATA_DIR: empty });
    hinted(unmade, "database_unmade", /bytec-origin migrate/, "warning");
    assert.throws(() => statSync(empty));
    const { stdout, status } = await run(["doctor"], { DATA_DIR: path });
    assert.equal(status, 0);
    assert.match(stdout, /^warning {2}configuration/m);
    assert.match(stdout, /involve_asia, rector/);
    assert.match(stdout, /\n0 problems, 1 warning\n$/);
  });

  test("finds two partners in one database", async () => {
    const path = copy();
    rmSync(join(path, "rector_db.sqlite"));
    symlinkSync(join(path, "s2s_db.sqlite"), join(path, "rector_db.sqlite"));
    const found = await doctor({ DATA_DIR: path });
    hinted(found, "database_of_two", /rector and s2s are in one database.*DATABASE_URL_S2S/);
    rmSync(join(path, "s2s_db.sqlite"));
    symlinkSync(join(path, "bytec_db.sqlite"), join(path, "s2s_db.sqlite"));
    hinted(await doctor({ DATA_DIR: path }), "database_of_two", /SHARED_DATABASE_URL/);
  });

  test("finds what is no database, a folder that cannot be written, one that is open, and a disk without room", async () => {
    const path = copy();
    writeFileSync(join(path, "rector_db.sqlite"), "geheim ".repeat(1_000));
    assert.equal(hinted(await doctor({ DATA_DIR: path, secret: "geheim" }), "database_broken", /DATA_DIR.*backup/).subject, "rector");
    const file = join(folder(), "file");
    writeFileSync(file, "");
    hinted(await doctor({ DATA_DIR: join(file, "data") }), "folder_not_writable", /install -d.*DATA_DIR/);
    hinted(await doctor({ DATA_DIR: made }, ["--free-mb-min", `${2 ** 32 - 1}`]), "disk_nearly_full", /df -h/, "warning");
    const open = copy();
    for (const each of [ROOM, open]) chmodSync(each, 0o755);
    hinted(await doctor({ DATA_DIR: open }), "file_readable", /chmod 700/, "warning");
    chmodSync(ROOM, 0o700);
  });

  test("finds tables that are older, newer or other than the program's", async () => {
    for (const [sql, code, hint, level] of [
      ["delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)", "schema_older", /bytec-origin migrate/, "warning"],
      ["insert into _sqlx_migrations select 9999, description, installed_on, success, checksum, execution_time from _sqlx_migrations limit 1", "schema_newer", /9999.*install/, "warning"],
      ["update _sqlx_migrations set checksum = x'00' where version = 1", "schema_differs", /migrations 1 .*backup/, "problem"],
    ]) {
      const path = copy();
      sqlite(join(path, "rector_db.sqlite"), sql);
      assert.equal(hinted(await doctor({ DATA_DIR: path }), code, hint, level).subject, "rector");
    }
  });

  test("finds partner files that were not taken over, and tokens that are missing or run out", async () => {
    const path = copy();
    sqlite(join(path, "bytec_db.sqlite"), "update partners set file = json_set(file, '$.max_daily_requests', 7) where partner = 'rector'; insert into partners select 'former', tenant, name, endpoint, database_name, is_active, enable_logging, max_daily_requests, data_retention_days, file, updated_at, change_id from partners limit 1");
    const found = await doctor({ DATA_DIR: path });
    hinted(found, "partners_unsynced", /partners\/rector\.toml.*partners sync/, "warning");
    hinted(found, "partner_unknown", /former/, "warning");
    hinted(found, "token_none", /tokens create --tenant bytec/, "warning");
    assert.equal((await run(["tokens", "create", "--tenant", "bytec", "--days", "5"], { DATA_DIR: path })).status, 0);
    hinted(await doctor({ DATA_DIR: path }), "credential_ending", /tokens rotate token-/, "warning");
  });

  test("finds amounts that wait for rates, events that were given up, and processing that is behind", async () => {
    const path = copy();
    const origin = await startOrigin({ env: { DATA_DIR: path } });
    const address = { DATA_DIR: path, ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${origin.port}` };
    try {
      const event = { event: "deposit_success", event_id: uniqueId(), account_id: "u1", amount: 100, currency: "MYR", ts_event: "2026-10-21T15:12:31Z" };
      const reply = await origin.fetch("/postback", { method: "POST", headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" }, body: JSON.stringify(event) });
      assert.equal(reply.status, 200, await reply.text());
      let found;
      await until("the amount to wait", async () => (found = await doctor(address)).codes.includes("rates_waited_for"));
      hinted(found, "rates_waited_for", /1 of s2s.*rates import/);
      // Beside an origin that runs, and by what it says of itself.
      assert.match(found.report.checks.find(({ check }) => check === "address").looked_at, /an origin listens there, version \d/);
      hinted(await doctor({ ...address, PARTNERS: "s2s" }), "origin_other_partners", /PARTNERS/, "warning");
    } finally {
      await origin.stop();
    }
    const file = join(path, "s2s_db.sqlite");
    sqlite(file, "update work_items set state = 'dead'");
    assert.equal(hinted(await doctor({ DATA_DIR: path }), "items_dead", /processing_error/).subject, "s2s");
    sqlite(file, "update work_items set state = 'waiting', due_at = '2026-10-21T15:12:31.000000Z'");
    hinted(await doctor({ DATA_DIR: path }), "processing_behind", /systemctl status bytec-origin/, "warning");
  });
});

describe("doctor and PostgreSQL", () => {
  let server;
  let psql;
  let url;
  before(async () => {
    // A user with a password beside those without, as pg_hba.conf has them.
    const access = join(folder(), "pg_hba.conf");
    writeFileSync(access, "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n");
    for (const path of [ROOM, join(access, "..")]) chmodSync(path, 0o755);
    server = await startPostgres({ more: [`hba_file=${access}`] });
    psql = (database, ...sql) => {
      for (const each of sql) execFileSync(server.psql, ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", `${server.url.replace(/[^/]*$/, "")}${database}`, "-c", each]);
    };
    psql("postgres", "create role guarded login createdb password 'geheim'", "create role poor login", "create role rich login createdb");
    url = (user, database = "postgres") => `postgres://${user}@127.0.0.1:${server.port}/${database}`;
    assert.equal((await run(["migrate"], { DATABASE_URL: url("rich") })).status, 0);
  });
  after(() => server?.stop());

  const of = (user, more) => doctor({ DATABASE_URL: url(user), secret: "falsch", ...more });

  test("finds a server that is away, one that is silent, and a password that is wrong", async () => {
    const away = await doctor({ DATABASE_URL: `postgres://u:falsch@127.0.0.1:${await freePort()}/postgres`, secret: "falsch" });
    hinted(away, "database_away", /DATABASE_URL names the right host/);
    assert.equal(away.findings.filter(({ code }) => code === "database_away").length, 4);
    const silent = createServer(() => {});
    await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
    try {
      const began = Date.now();
      const found = await doctor({ DATABASE_URL: `postgres://u@127.0.0.1:${silent.address().port}/postgres` }, ["--timeout-s", "3"]);
      hinted(found, "database_away", /no answer within 3 s/);
      assert.ok(Date.now() - began < 15_000);
    } finally {
      silent.close();
    }
    const refused = await of("guarded:falsch");
    hinted(refused, "database_refuses", /password authentication failed.*DATABASE_URL/);
    hinted(await of("nobody_at_all"), "database_refuses", /DATABASE_URL/);
  });

  test("has nothing to find but the token where nothing is wrong, and makes no database", async () => {
    assert.deepEqual((await of("rich")).codes, ["partner_open", "token_none"]);
    const list = () => ask(server.psql, ["-XAtq", "-d", server.url, "-c", "select datname from pg_database order by 1"]);
    const before = list();
    const own = { DATABASE_URL_RECTOR: url("rich").replace(`127.0.0.1:${server.port}`, `localhost:${server.port}`) };
    psql("postgres", "alter database rector_db rename to rector_aside");
    try {
      hinted(await of("rich", own), "database_unmade", /migrate.*DATABASE_URL_RECTOR/, "warning");
      hinted(await of("poor"), "database_missing", /createdb --owner <user> rector_db/);
    } finally {
      psql("postgres", "alter database rector_aside rename to rector_db");
    }
    assert.equal(list(), before);
  });

  test("finds what a server must not be set to, and rights that are missing", async () => {
    for (const [plant, undo, code, hint, level = "problem"] of [
      ["alter database rector_db set default_transaction_read_only = on", "alter database rector_db reset default_transaction_read_only", "database_read_only", /primary/],
      ["alter database rector_db set synchronous_commit = off", "alter database rector_db reset synchronous_commit", "database_unsafe", /synchronous_commit/],
      ["alter role rich connection limit 30", "alter role rich connection limit -1", "connections_too_few", /30 connections.*48.*max_connections/, "warning"],
      ["alter database rector_db owner to poor", "alter database rector_db owner to rich", "database_not_owned", /alter database rector_db owner to rich/],
    ]) {
      psql("postgres", plant);
      try {
        hinted(await of("rich"), code, hint, level);
      } finally {
        psql("postgres", undo);
      }
    }
  });

  test("finds months without a partition, and tables that are newer", async () => {
    const next = ask(server.psql, ["-XAtq", "-d", server.url, "-c", "select to_char(now() at time zone 'utc' + interval '1 month', '\"postbacks_\"YYYY_MM')"]);
    psql("rector_db", `drop table ${next}`, "insert into _sqlx_migrations select 9999, description, installed_on, success, checksum, execution_time from _sqlx_migrations limit 1");
    const found = await of("rich");
    assert.equal(hinted(found, "months_missing", new RegExp(`${next}.*migrate`), "warning").subject, "rector");
    hinted(found, "schema_newer", /9999/, "warning");
    assert.equal((await run(["migrate"], { DATABASE_URL: url("rich") })).status, 0);
    psql("rector_db", "delete from _sqlx_migrations where version = 9999");
    assert.deepEqual((await of("rich")).codes, ["partner_open", "token_none"]);
  });
});

describe("doctor and the way in", () => {
  let path;
  let origin;
  let edge;
  before(async () => {
    path = folder();
    const env = environment({ DATA_DIR: path });
    origin = await startOrigin({ env: { ...env, ENVIRONMENT: "production" } });
    edge = await startEdge({ originUrl: origin.url, bindings: { EDGE_KEYS: `k1:${KEY}` } });
    assert.equal((await run(["tokens", "create", "--tenant", "bytec"], { DATA_DIR: path })).status, 0);
    chmodSync(path, 0o700);
  });
  after(async () => {
    await edge?.stop();
    await origin?.stop();
  });
  const of = (...args) => doctor({ DATA_DIR: path, ORIGIN_BIND: `127.0.0.1:${origin.port}` }, args);

  test("a whole set-up that is right has nothing to be found", async () => {
    const tunnel = await startTunnel(origin.url);
    const files = folder();
    try {
      const found = await of("--url", tunnel.url, "--edge", edge.url, "--cloudflared", tunnelFile(files, { port: origin.port }), "--wrangler", wranglerFile(files));
      assert.deepEqual(found.findings.map(({ code }) => code), ["partner_open"]);
      assert.ok(found.report.checks.every(({ state, check }) => state === (check === "configuration" ? "warning" : "ok")), JSON.stringify(found.report.checks, null, 1));
    } finally {
      await tunnel.stop();
    }
  });

  test("finds what is wrong with the tunnel's configuration", async () => {
    const credentials = (text) => text.replace(/credentials-file: .*/, "credentials-file: /none/such.json");
    for (const [change, code, hint] of [
      [(text) => text.replace("hostname: origin.bytec.com", "hostname: other.bytec.com"), "tunnel_no_hostname", /hostname: origin\.bytec\.com/],
      [(text) => text.replace(`:${origin.port}`, ":9"), "tunnel_other_service", new RegExp(`service: http://127.0.0.1:${origin.port}`)],
      [(text) => text.replace("http_status:404", "http_status:200"), "tunnel_no_catch_all", /http_status:404/],
      [credentials, "tunnel_no_credentials", /cloudflared tunnel create/],
      [(text) => `${text}\n  - [`, "tunnel_unreadable", /ingress validate/],
      [() => readFileSync(join(ROOT, "cloudflared/config.yml"), "utf8"), "tunnel_unnamed", /cloudflared tunnel list/],
    ]) {
      const files = folder();
      const found = await of("--cloudflared", tunnelFile(files, { port: origin.port, change }), "--wrangler", wranglerFile(files));
      hinted(found, code, hint);
    }
    hinted(await of("--cloudflared", join(path, "none.yml")), "tunnel_unreadable", /none\.yml/);
  });

  test("finds what is wrong with the edge's settings", async () => {
    const url = 'ORIGIN_URL = "https://origin.bytec.com"';
    for (const [change, code, hint] of [
      [(text) => text.replace(url, 'ORIGIN_URL = "https://old.bytec.com"'), "origin_url_not_the_tunnels", /ORIGIN_URL under \[env\.production\.vars\]/],
      [(text) => text.replace(url, `${url}\nEDGE_KEYS = "k1:${KEY}"`), "secret_in_vars", /wrangler secret put EDGE_KEYS --env production/],
      [(text) => text.replaceAll("max_retries = 79", "max_retries = 3"), "queue_settings", /max_retries = 79/],
      [() => readFileSync(join(ROOT, "wrangler.toml"), "utf8"), "database_id_missing", /wrangler d1 create bytec-parked/],
      [(text) => text.replace('ENVIRONMENT = "production"', 'ENVIRONMENT = "development"'), "edge_environment", /ENVIRONMENT = "production"/],
    ]) {
      const files = folder();
      hinted(await of("--cloudflared", tunnelFile(files, { port: origin.port }), "--wrangler", wranglerFile(files, change)), code, hint);
    }
  });

  test("tells apart what stands where the origin should be", async () => {
    const tunnel = await startTunnel(origin.url);
    try {
      for (const [mode, code, hint, level] of [
        ["answers 530 and HTML", "origin_unreachable", /systemctl start cloudflared/, "problem"],
        ["refuses with 502", "origin_unreachable", /systemctl start bytec-origin/, "problem"],
        ["answers 200 and HTML", "origin_not_ours", /cloudflared's config\.yml/, "problem"],
        ["redirects", "origin_behind_access", /npm run smoke/, "warning"],
        ["never answers", "origin_unreachable", /no answer within 2 s/, "problem"],
      ]) {
        tunnel.mode = mode;
        hinted(await of("--url", tunnel.url, "--timeout-s", "2"), code, hint, level);
      }
    } finally {
      await tunnel.stop();
    }
  });

  test("finds an edge that reaches no origin, one that is misconfigured, and what is no edge", async () => {
    for (const [options, code, hint] of [
      [{ originUrl: `http://127.0.0.1:${await freePort()}` }, "edge_origin_unreachable", /npm run smoke/],
      [{ originUrl: origin.url, bindings: { ENVIRONMENT: "live" } }, "edge_misconfigured", /wrangler tail/],
    ]) {
      const other = await startEdge(options);
      try {
        hinted(await of("--edge", other.url), code, hint);
      } finally {
        await other.stop();
      }
    }
    hinted(await of("--edge", origin.url), "edge_not_ours", /--edge/);
    hinted(await of("--edge", `http://127.0.0.1:${await freePort()}`), "edge_unreachable", /npm run deploy/);
  });

  test("finds a clock that signatures would not be believed by", async () => {
    let behind_s = 0;
    const proxy = createHttpServer(async ({ method, url: target }, reply) => {
      const { status, headers, body } = await replay(edge.url, { method, target, headers: [], body: "" });
      reply.writeHead(status, { ...headers, date: new Date(Date.now() - behind_s * 1_000).toUTCString() }).end(body);
    });
    await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const asked = () => of("--edge", `http://127.0.0.1:${proxy.address().port}`);
    try {
      assert.deepEqual((await asked()).codes, ["partner_open"]);
      behind_s = 120;
      hinted(await asked(), "clock_apart", /the edge is 1[12]\d s behind ours.*timedatectl/, "warning");
      behind_s = -900;
      hinted(await asked(), "clock_outside_window", /ahead of ours.*timedatectl/);
    } finally {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    }
  });

  test("what cannot be asked ends with 2", async () => {
    for (const args of [["--url", "origin.bytec.com"], ["--edge", "https://u:p@network.bytec.com"], ["--timeout-s", "0"], ["--none"]]) {
      assert.equal((await run(["doctor", ...args], {})).status, 2, args.join(" "));
    }
  });
});

describe("partners", () => {
  test("lists what the program was built with, with and without the word", async () => {
    const [list, alone] = [await run(["partners", "list"], {}), await run(["partners"], {})];
    assert.match(list.stdout, /^rector +\/rector\/event +rector_db/m);
    assert.equal(alone.stdout, list.stdout);
    const json = JSON.parse((await run(["partners", "list", "--json"], {})).stdout);
    assert.deepEqual(json.map(({ code }) => code), ["involve_asia", "rector", "s2s"]);
    assert.deepEqual(JSON.parse((await run(["partners", "--json"], {})).stdout), json);
  });

  test("checks a folder, every problem with file and key", async () => {
    const good = await run(["partners", "check", join(ROOT, "partners/examples"), "--json"], {});
    assert.deepEqual([good.status, JSON.parse(good.stdout).ok], [0, true]);
    const warned = await run(["partners", "check", join(ROOT, "partners")], {});
    assert.equal(warned.status, 0, "a warning is no error");
    assert.match(warned.stdout, /^warning: s2s\.toml: duplicates\.key: .*key = "event_id"/m);
    const { warnings } = JSON.parse((await run(["partners", "check", join(ROOT, "partners"), "--json"], {})).stdout);
    assert.deepEqual(warnings.map(({ file, key }) => [file, key]), [["involve_asia.toml", "auth"], ["rector.toml", "auth"], ["s2s.toml", "duplicates.key"]]);
    const path = folder();
    cpSync(join(ROOT, "partners"), path, { recursive: true });
    writeFileSync(join(path, "rector.toml"), readFileSync(join(path, "rector.toml"), "utf8").replace(/^time_zone.*$/m, 'time_zone = "Europe/Nowhere"'));
    writeFileSync(join(path, "s2s.toml"), `${readFileSync(join(path, "s2s.toml"), "utf8")}\nsurplus = 1\n`);
    const wrong = await run(["partners", "check", path, "--json"], {});
    assert.equal(wrong.status, 1);
    const { ok, problems: found } = JSON.parse(wrong.stdout);
    assert.equal(ok, false);
    assert.deepEqual(found.map(({ file }) => file), ["rector.toml", "s2s.toml"]);
    assert.equal(found[0].key, "time_zone");
    assert.match((await run(["partners", "check", path], {})).stdout, /^rector\.toml: time_zone: /m);
    assert.equal((await run(["partners", "check", folder()], {})).status, 1);
  });

  test("sync takes over what differs, audited, and a dry run nothing", async () => {
    const path = folder();
    const env = { DATA_DIR: path, USER: "ann" };
    const sync = async (...args) => JSON.parse((await run(["partners", "sync", "--json", ...args], env)).stdout);
    assert.deepEqual(await sync("--dry-run"), { applied: false, changes: 3, partners: { involve_asia: { difference: "new" }, rector: { difference: "new" }, s2s: { difference: "new" } } });
    assert.deepEqual(readdirSync(path), [], "a dry run makes no database");
    assert.equal((await sync()).changes, 3);
    sqlite(join(path, "bytec_db.sqlite"), "update partners set file = json_set(file, '$.max_daily_requests', 7) where partner = 'rector'");
    const { stdout } = await run(["partners", "sync", "--dry-run"], env);
    assert.match(stdout, /^rector: changed: max_daily_requests 7 -> \d+\n1 partner file would be taken over\n$/);
    assert.equal((await sync("--dry-run")).partners.rector.difference, "changed");
    assert.deepEqual(Object.keys((await sync()).partners), ["rector"]);
    assert.deepEqual(await sync(), { applied: true, changes: 0, partners: {} });
    const audited = JSON.parse((await run(["audit", "--json"], env)).stdout);
    assert.deepEqual(audited.map(({ action, subject, actor }) => `${action} ${subject} ${actor}`), ["involve_asia", "rector", "s2s", "rector"].map((code) => `partner.sync ${code} cli:ann`));
    const away = await run(["partners", "sync"], { DATABASE_URL: `postgres://u@127.0.0.1:${await freePort()}/postgres` });
    assert.equal(away.status, 1);
    assert.match(away.stderr, /bytec_db/);
  });
});
