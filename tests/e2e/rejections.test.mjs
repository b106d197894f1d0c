// What the edge rejects is stored at the origin and counted, behind the reply. The real WebAssembly in workerd, its real queue, a real origin.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { PROVING_EDGE } from "../../scripts/lib/proving-edge.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { OPERATOR_TOKEN, startEdge } from "./lib/edge.mjs";
import { ALL_KINDS, BINARY, freshDatabases, KINDS, startOrigin, uniqueId } from "./lib/origin.mjs";
import { send as sendRaw } from "./lib/raw.mjs";
import { rector, TOKEN } from "./lib/requests.mjs";
import { startTunnel } from "./lib/tunnel.mjs";

const table = readFileSync(join(ROOT, "postback", "testdata", "bad_input.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
const DATABASES = { involve_asia: "involve_asia_db", rector: "rector_db", s2s: "s2s_db" };
/** Promised between a request and its row. */
const PROMISED_MS = 10_000;

/** Sends a request as it is; `id` is the edge's id of it. */
async function send(url, { method, target, body, type, headers }) {
  const all = { accept: "application/json", ...(type ? { "content-type": type } : {}), ...headers };
  const { status, text, headers: answered } = await sendRaw(url, { method, target, body, headers: all });
  return { status, text, id: answered["bytec-request-id"] };
}

const metricsOf = (text) => new Map(text.split("\n").filter((line) => line.startsWith("bytec_edge_")).map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));

for (const kind of ALL_KINDS) {
  describe(`requests that the edge rejects, on ${kind}`, () => {
    let databases, origin, tunnel, edge, key;
    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin(databases);
      tunnel = await startTunnel(origin.url);
      edge = await startEdge({ originUrl: tunnel.url, bindings: { RETRY_DELAYS_S: "1,1,1,1,1,1,1,1" } });
      if (!KINDS.includes(kind)) return;
      const made = spawnSync(BINARY, ["keys", "create", "--tenant", "bytec", "--scope", "operate", "--json"], { env: { ...process.env, ...databases.env }, encoding: "utf8" });
      assert.equal(made.status, 0, made.stderr);
      key = JSON.parse(made.stdout).secret;
    });
    after(async () => {
      await edge?.stop();
      await tunnel?.stop();
      await origin?.stop();
      databases?.remove();
    });

    const rejections = (partner, where = "true") => databases.rows(DATABASES[partner], `select * from rejections where ${where} order by rejection_id`);
    const stored = async (partner, where, count = 1) => {
      await until(`${count} rejections of ${partner}`, async () => rejections(partner, where).length >= count, { everyMs: 100, timeoutMs: 30_000 });
      const rows = rejections(partner, where);
      assert.equal(rows.length, count);
      return rows;
    };
    const outcomes = (partner) => new Map(databases.rows(DATABASES[partner], "select kind, outcome, cast(count as text) as n from edge_outcomes").map(({ kind, outcome, n }) => [`${kind} ${outcome}`, Number(n)]));
    const isTrue = (flag) => flag === true || flag === 1;

    test("every row of the bad-input table is stored as it came, within 10 seconds, with the code and field of its reply", async () => {
      const rows = table.filter((row) => row.partner !== "s2s");
      const sent = [];
      for (const row of rows) {
        const body = row.method === "POST" ? (row.body_b64 ? Buffer.from(row.body_b64, "base64") : row.body ?? "") : undefined;
        const reply = await send(edge.url, { method: row.method, target: row.target, body, type: row.content_type ?? undefined });
        assert.equal(reply.status, row.status, row.name);
        sent.push({ row, id: reply.id });
      }
      const ended = Date.now();
      const codes = new Map();
      for (const partner of ["involve_asia", "rector"]) {
        const mine = sent.filter(({ row }) => row.partner === partner);
        const found = new Map((await stored(partner, "via = 'edge'", mine.length)).map((row) => [row.request_id, row]));
        for (const { row, id } of mine) {
          const at = found.get(id);
          assert.ok(at, `${row.name}: ${id} is not stored`);
          assert.deepEqual([at.code, at.field, at.status, at.method, isTrue(at.is_authenticated)], [row.code, row.field, row.status, row.method, true], row.name);
          assert.match(at.rules, /^[0-9a-f]{16}$/);
          codes.set(`${partner} ${row.code}`, (codes.get(`${partner} ${row.code}`) ?? 0) + 1);
        }
      }
      assert.ok(Date.now() - ended < PROMISED_MS + 2_000, `${Date.now() - ended} ms`);
      for (const [series, n] of codes) {
        const [partner, code] = series.split(" ");
        await until(`the count of ${series}`, async () => outcomes(partner).get(`requests ${code}`) === n, { everyMs: 100, timeoutMs: 15_000 });
      }
    });

    test("its ids, raw parameters and body are there, also where one parameter cannot be read; secrets are not", async () => {
      const [a, b, c] = [uniqueId(), uniqueId(), uniqueId()];
      await send(edge.url, { target: `/rector/event?conversion_id=${a}&click_id=k-${a}&status=Odd%20word&ts_token=geheim` });
      await send(edge.url, { target: `/rector/event?conversion_id=${b}&usd_earning=%zz&usd_earning=1&order_id=o-${b}` });
      await send(edge.url, { method: "POST", target: "/rector/event", type: "application/json", body: JSON.stringify({ conversion_id: c, account_id: `u-${c}`, ts_token: "geheim", usd_earning: [1] }) });
      const [first] = await stored("rector", `conversion_id = '${a}'`);
      assert.deepEqual([first.code, first.click_id, first.event_id], ["unknown_status", `k-${a}`, null]);
      assert.ok(first.target.includes("status=Odd%20word") && first.target.includes("ts_token=***"), first.target);
      const [second] = await stored("rector", `order_id = 'o-${b}'`);
      assert.equal(second.conversion_id, b);
      const [third] = await stored("rector", `account_id = 'u-${c}'`);
      assert.deepEqual([third.conversion_id, third.code, third.content_type], [c, "not_scalar", "application/json"]);
      assert.ok(third.body.includes(c) && !third.body.includes("geheim"), third.body);
    });

    test("an origin that is away gets them when it is back, each once, and every outcome is counted", async () => {
      const before = outcomes("rector");
      tunnel.mode = "never answers";
      const ids = [];
      for (let n = 0; n < 20; n++) ids.push((await send(edge.url, { target: `/rector/event?conversion_id=${uniqueId()}&usd_earning=ten` })).id);
      const queued = await send(edge.url, { target: `/rector/event?${rector(uniqueId())}` });
      assert.match(queued.text, /queued/);
      await until("an attempt in vain", async () => edge.logged().some((line) => line.outcome === "retry"), { timeoutMs: 30_000 });
      tunnel.mode = "through";
      await stored("rector", `request_id in ('${ids.join("','")}')`, 20);
      const more = (series) => (outcomes("rector").get(series) ?? 0) - (before.get(series) ?? 0);
      await until("the counts", async () => more("requests invalid_amount") === 20 && more("requests queued") === 1 && more("deliveries delivered") === 1 && more("deliveries retried") >= 1, { everyMs: 200, timeoutMs: 40_000 });
    });

    test("accepted postbacks are counted too, and rejections use up nothing of the partner's day", async () => {
      const before = outcomes("involve_asia").get("requests created") ?? 0;
      for (let n = 0; n < 5; n++) assert.equal((await send(edge.url, { target: `/involve/event?conversion_id=${uniqueId()}&rewars=1` })).status, 200);
      await until("the count", async () => (outcomes("involve_asia").get("requests created") ?? 0) - before === 5, { everyMs: 200, timeoutMs: 20_000 });
      if (key === undefined) return;
      await until("the key", async () => (await origin.fetch("/metrics", { headers: { authorization: `Bearer ${key}` } })).status === 200, { everyMs: 200, timeoutMs: 20_000 });
      const metrics = metricsOf(await (await origin.fetch("/metrics", { headers: { authorization: `Bearer ${key}` } })).text());
      assert.equal(metrics.get('bytec_edge_requests_total{outcome="created",partner="involve_asia"}'), outcomes("involve_asia").get("requests created"));
      assert.ok(metrics.get('bytec_edge_requests_total{outcome="invalid_amount",partner="rector"}') >= 20);
      assert.ok(metrics.get('bytec_edge_deliveries_total{outcome="retried",partner="rector"}') >= 1);
    });

    test("large requests and other methods are kept as far as they were read", async () => {
      const id = uniqueId();
      const long = await send(edge.url, { target: `/involve/event?conversion_id=${id}&offer_name=${"x".repeat(9_000)}` });
      const large = await send(edge.url, { method: "POST", target: `/involve/event?conversion_id=${id}`, type: "application/json", body: `{"a":"${"x".repeat(70_000)}"}` });
      const coded = await send(edge.url, { method: "POST", target: "/involve/event", body: "x", headers: { "content-encoding": "gzip" } });
      const put = await send(edge.url, { method: "PUT", target: `/involve/event?conversion_id=${id}` });
      const replies = [[long, 414, "url_too_long", false], [large, 413, "body_too_large", true], [coded, 415, "unsupported_encoding", true], [put, 405, "method_not_allowed", false]];
      for (const [reply, status, code, isAuthenticated] of replies) {
        assert.equal(reply.status, status);
        const [row] = await stored("involve_asia", `request_id = '${reply.id}'`);
        assert.deepEqual([row.code, row.status, isTrue(row.is_authenticated)], [code, status, isAuthenticated]);
      }
    });

    test("reconcile finds what was rejected directly and what was rejected at the edge", async () => {
      if (!KINDS.includes(kind)) return;
      const ids = [uniqueId(), uniqueId(), uniqueId()];
      const query = (id) => `conversion_id=${id}&status=Odd&usd_earning=7&conversion_datetime=2025-03-02+13:00:00`;
      for (const id of ids.slice(0, 2)) assert.equal((await origin.fetch(`/postback/rector/event?${query(id)}&ts_token=${TOKEN}`)).status, 400);
      assert.equal((await send(edge.url, { target: `/rector/event?${query(ids[2])}` })).status, 400);
      await stored("rector", `conversion_id in ('${ids.join("','")}')`, 3);
      const report = ["Conversion ID,Status,usd_earning,conversion_datetime", ...ids.map((id) => `${id},Approved,7.00,2025-03-02 13:00:00`)].join("\n");
      const { stdout, stderr } = spawnSync(BINARY, ["reconcile", "-", "--partner", "rector", "--json"], { env: { ...process.env, ...databases.env }, input: report, encoding: "utf8" });
      const repairs = Object.fromEntries(JSON.parse(stdout || stderr).differences.map((line) => [line.conversion_id, line.repair]));
      for (const id of ids) assert.match(repairs[id], /^rejected, and still would be \(unknown_status\): /, id);
    });

    test("trace tells what is queued at the edge, then that it is stored, and what was rejected", async () => {
      if (!KINDS.includes(kind)) return;
      const [waits, wrong] = [uniqueId(), uniqueId()];
      const trace = (id) => {
        const env = { ...process.env, ...databases.env, OPERATOR_TOKEN };
        const { status, stdout, stderr } = spawnSync(BINARY, ["trace", id, "--edge", edge.url, "--json"], { env, encoding: "utf8" });
        return { status, ...JSON.parse(stdout || `{"stderr":${JSON.stringify(stderr)}}`) };
      };
      assert.deepEqual([trace(waits).status, trace(waits).found], [1, false]);
      tunnel.mode = "never answers";
      const queued = await send(edge.url, { target: `/rector/event?${rector(waits)}` });
      const { event_id: eventId } = JSON.parse(queued.text);
      await send(edge.url, { target: `/rector/event?conversion_id=${wrong}&status=Odd` });
      for (const id of [waits, eventId, queued.id]) {
        await until(`${id} in the table`, async () => trace(id).edge?.queued.length === 1, { everyMs: 200, timeoutMs: 20_000 });
      }
      const { body } = await edge.ops(`queued?id=${eventId}`);
      assert.deepEqual(body.queued.map((row) => [row.request_id, row.partner, row.conversion_id]), [[queued.id, "rector", waits]]);
      assert.ok(body.by_partner.find((row) => row.partner === "rector").count >= 1);
      const asked = await edge.fetch("/ops/metrics", { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
      assert.match(await asked.text(), /^bytec_edge_queued\{partner="rector"\} [1-9]/m);
      assert.equal((await edge.ops("queued?ids=1")).status, 400);
      tunnel.mode = "through";
      await until("its delivery", async () => trace(waits).partners.length === 1 && trace(waits).edge.queued.length === 0, { everyMs: 500, timeoutMs: 40_000 });
      const [stored] = trace(queued.id).partners;
      assert.deepEqual(stored.timeline.filter((entry) => entry.kind === "request").map((entry) => [entry.request_id, entry.verdict]), [[queued.id, "created"]]);
      await until("the rejection", async () => trace(wrong).found, { everyMs: 500, timeoutMs: 30_000 });
      assert.deepEqual(trace(wrong).partners[0].timeline.map((entry) => [entry.kind, entry.code, entry.via]), [["rejection", "unknown_status", "edge"]]);
    });

    test("what has no form that could be signed, too many headers, and a signature without a key are kept and counted", async () => {
      const requests = [
        [{ target: `/rector/event?conversion_id=a&_kid=k&_ts=1&_nonce=n&_sig=x`, headers: { "x-signature": "sha256=00", "x-key-id": "k", "x-timestamp": "1", "x-nonce": "n" } }, "two_signatures"],
        [{ target: "/rector/event?conversion_id=a", headers: { "x-signature": "sha256=00", "x-key-id": "k", "x-timestamp": "1", "x-nonce": "n" } }, "signature_invalid"],
        [{ target: "/rector/event?conversion_id=a", headers: Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`x-h${n}`, "1"])) }, "headers_too_large"],
      ];
      const before = outcomes("rector");
      const replies = [];
      for (const [request, code] of requests) replies.push([code, await send(edge.url, request)]);
      for (const [code, reply] of replies) {
        assert.equal(JSON.parse(reply.text).error, code);
        const [row] = await stored("rector", `request_id = '${reply.id}'`);
        assert.deepEqual([row.code, row.status, isTrue(row.is_authenticated)], [code, reply.status, false]);
        await until(`the count of ${code}`, async () => outcomes("rector").get(`requests ${code}`) === (before.get(`requests ${code}`) ?? 0) + 1, { everyMs: 200, timeoutMs: 20_000 });
      }
    });

    test("nobody but the edge reports", async () => {
      const body = JSON.stringify({ rejections: [], outcomes: [] });
      for (const path of ["/rejections/rector", "/rejections/nobody"]) {
        const reply = await origin.fetch(path, { method: "POST", body, headers: { "content-type": "application/json", authorization: "Bearer default-ts-token" } });
        assert.equal(reply.status, path.endsWith("nobody") ? 404 : 403, await reply.text());
      }
    });
  });
}

describe("requests that fail authentication", () => {
  let databases, origin, edge;
  before(async () => {
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
    edge = await startEdge({ originUrl: origin.url, build: PROVING_EDGE, limits: { AUTH_FAILURES: 1_000 } });
  });
  after(async () => {
    await edge?.stop();
    await origin?.stop();
    databases?.remove();
  });
  const rows = (where) => databases.rows("rector_db", `select * from rejections where ${where}`);

  test("are sampled with their unverified ids and without secrets; all are counted", async () => {
    const id = uniqueId();
    const get = await send(edge.url, { target: `/rector/event/geheimer-schluessel?conversion_id=${id}&usd_earning=1&ts_token=geheim` });
    assert.ok([401, 403].includes(get.status), `${get.status}`);
    const post = await send(edge.url, { method: "POST", target: "/rector/event/geheimer-schluessel", type: "application/json", body: JSON.stringify({ conversion_id: `p-${id}`, ts_token: "geheim" }) });
    assert.ok([401, 403].includes(post.status), `${post.status}`);
    await until("both", async () => rows(`conversion_id in ('${id}', 'p-${id}')`).length === 2, { everyMs: 100, timeoutMs: 20_000 });
    for (const row of rows(`conversion_id in ('${id}', 'p-${id}')`)) {
      assert.equal(row.is_authenticated, 0);
      assert.ok(!JSON.stringify(row).includes("geheim"), JSON.stringify(row));
    }
    for (let n = 0; n < 230; n++) await send(edge.url, { target: `/rector/event/wrong?conversion_id=flood-${n}` });
    const counted = () => databases.rows("rector_db", "select sum(count) as n from edge_outcomes where kind = 'requests'")[0].n;
    await until("all are counted", async () => counted() === 232, { everyMs: 200, timeoutMs: 30_000 });
    await until("the sample", async () => rows("true").length >= 200, { everyMs: 200, timeoutMs: 30_000 });
    assert.equal(rows("true").length, 200, "an isolate's sample of an hour");
  });
});

describe("a direct request that is rejected while somebody else holds the database, on sqlite", () => {
  let databases, origin;
  before(async () => {
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
  });
  after(async () => {
    await origin?.stop();
    databases?.remove();
  });

  test("is stored when it is free again", async () => {
    const hold = "import sqlite3,sys,time; c=sqlite3.connect(sys.argv[1]); c.execute('begin immediate'); print('held', flush=True); time.sleep(1.5); c.rollback()";
    const holder = spawn(process.env.TEST_PYTHON, ["-c", hold, join(databases.env.DATA_DIR, "rector_db.sqlite")], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(holder, "exit");
    await once(holder.stdout, "data");
    const reply = await origin.fetch("/postback/rector/event?conversion_id=held&usd_earning=what", { headers: { authorization: `Bearer ${TOKEN}` } });
    assert.equal(reply.status, 400);
    await ended;
    assert.deepEqual(databases.rows("rector_db", "select code, conversion_id from rejections"), [{ code: "invalid_amount", conversion_id: "held" }]);
  });
});
