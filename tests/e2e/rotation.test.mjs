// Changing the origin under load (R17): old and new may both be alive, what stands there for a moment may be somebody else's,
// and nothing is lost, doubled, or given to strangers as if they had taken it.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { startEdge } from "./lib/edge.mjs";
import { startLoad } from "./lib/load.mjs";
import { freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { rector } from "./lib/requests.mjs";
import { startTunnel } from "./lib/tunnel.mjs";

/** A web server of somebody else: it answers everything with 200 and a page. */
async function startStranger() {
  const seen = [];
  const server = createServer((request, reply) => {
    seen.push(request.url);
    reply.writeHead(200, { "content-type": "text/html" });
    reply.end("<html>Welcome</html>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, seen, stop };
}

describe("rotating the origin", () => {
  let databases, old, new_, stranger;
  before(async () => {
    databases = freshDatabases("postgres");
    old = await startOrigin(databases);
    new_ = await startOrigin(databases);
    stranger = await startStranger();
  });
  after(async () => {
    await old?.stop();
    await new_?.stop();
    await stranger?.stop();
    databases?.remove();
  });

  const stored = (run) => databases.rows("rector_db", `select count(*) as n from conversions where conversion_id like '${run}-%'`)[0].n;
  const events = (run) => databases.rows("rector_db", `select count(*) as n from events where conversion_id like '${run}-%'`)[0].n;

  /** Everything that got a 200 is there once, when the queue is empty. */
  async function assertNothingIsLost(run, history) {
    assert.deepEqual(history.filter((entry) => entry.status !== 200).map(({ n, atMs, tookMs, status, problem }) => ({ n, atMs, tookMs, status, problem })), []);
    await until("the queue to be empty", async () => stored(run) >= history.length, { timeoutMs: 90_000, everyMs: 300 });
    assert.deepEqual([stored(run), events(run)], [history.length, history.length]);
  }

  test("a new ORIGIN_URL under load loses nothing, while edges with the old one still run", { timeout: 150_000 }, async () => {
    const before = await startEdge({ originUrl: old.url });
    const after = await startEdge({ originUrl: new_.url, bindings: { ORIGIN_FALLBACK_URL: old.url } });
    try {
      const run = uniqueId();
      let edge = before;
      const load = startLoad((n) => `${edge.url}/rector/event?conversion_id=${run}-${n}`, { perSecond: 200 });
      const at = (ms) => until("the load", async () => (load.history.at(-1)?.atMs ?? 0) >= ms);
      await at(2_000);
      edge = after;
      await at(4_000);
      // The old tunnel goes away, with requests of old edges still under way.
      await old.stop();
      await at(6_000);
      const history = await load.stop();
      const late = await before.fetch(`/rector/event?conversion_id=${run}-late`);
      assert.deepEqual([late.status, late.headers.get("bytec-verdict")], [200, "queued"], "an edge that has not changed yet keeps what it gets");
      // In production the queue is one for all edges, and those with the new address empty it. Here each edge has its own, so the
      // old one gets its origin back.
      old = await startOrigin({ ...databases, port: old.port });
      await assertNothingIsLost(run, [...history, { status: late.status }]);
      const answered = new_.lines.filter((line) => line.includes('"postback recorded"')).length;
      assert.ok(answered > history.length / 4, `the new origin recorded ${answered} of ${history.length}`);
    } finally {
      await before.stop();
      await after.stop();
    }
  });

  test("an address that leads to somebody else stores nothing there and loses nothing", { timeout: 150_000 }, async () => {
    const tunnel = await startTunnel(new_.url);
    const edge = await startEdge({ originUrl: tunnel.url });
    try {
      const run = uniqueId();
      const load = startLoad((n) => `${edge.url}/rector/event?conversion_id=${run}-${n}`, { perSecond: 100 });
      const at = (ms) => until("the load", async () => (load.history.at(-1)?.atMs ?? 0) >= ms);
      await at(1_500);
      tunnel.originUrl = stranger.url;
      await at(4_000);
      tunnel.originUrl = new_.url;
      const history = await load.stop();
      assert.ok(stranger.seen.length > 0, "the stranger was asked");
      assert.ok(history.some((entry) => entry.verdict === "queued"), "and not believed");
      await assertNothingIsLost(run, history);
    } finally {
      await edge.stop();
      await tunnel.stop();
    }
  });

  test("the fallback takes what the first origin cannot, while the sender waits", async () => {
    for (const [first, why] of [["http://127.0.0.1:9", "nobody is there"], [stranger.url, "somebody else is there"]]) {
      const edge = await startEdge({ originUrl: first, bindings: { ORIGIN_FALLBACK_URL: new_.url } });
      try {
        const verdicts = [];
        for (let n = 0; n < 40; n++) {
          const reply = await edge.fetch(`/rector/event?${rector(uniqueId())}`);
          verdicts.push(reply.headers.get("bytec-verdict"));
        }
        // One delivery in ten may make another attempt, until the breaker knows the first origin; then all go to the fallback.
        assert.equal(verdicts.filter((verdict) => verdict === "created").length >= 25, true, `${why}: ${verdicts}`);
        assert.ok(verdicts.slice(10).every((verdict) => ["created", "queued"].includes(verdict)));
        assert.deepEqual(new Set(verdicts.slice(6, 30)), new Set(["created"]), `${why}: ${verdicts}`);
      } finally {
        await edge.stop();
      }
    }
  });

  test("a partner may have an origin of its own", async () => {
    const edge = await startEdge({ originUrl: "http://127.0.0.1:9", bindings: { ORIGIN_URL_RECTOR: new_.url } });
    try {
      const verdictOf = async (target) => (await edge.fetch(target)).headers.get("bytec-verdict");
      assert.equal(await verdictOf(`/rector/event?${rector(uniqueId())}`), "created");
      assert.equal(await verdictOf(`/involve/event?conversion_id=${uniqueId()}`), "queued");
    } finally {
      await edge.stop();
    }
  });

  test("the smoke test says which origin answers, stores nothing, and does not believe a stranger", async () => {
    const edge = await startEdge({ originUrl: new_.url, bindings: { ORIGIN_FALLBACK_URL: stranger.url, ORIGIN_URL_RECTOR: old.url } });
    try {
      const rows = () => ["involve_asia_db", "rector_db", "s2s_db"].map((name) => ["postbacks", "events", "conversions", "nonces"].map((table) => databases.rows(name, `select count(*) as n from ${table}`)[0].n));
      const before = JSON.stringify(rows());
      const { status, body } = await edge.ops("smoke", { method: "POST" });
      assert.deepEqual([status, body.ok, body.queue, body.parked], [200, true, true, 0]);
      const of = (code) => body.partners.find((partner) => partner.partner === code).origins;
      const instances = { first: of("s2s")[0].answer.origin.instance, own: of("rector")[0].answer.origin.instance };
      assert.notEqual(instances.first, instances.own);
      assert.deepEqual(of("rector").map(({ url, acknowledged }) => [url, acknowledged]), [[old.url, true]]);
      assert.deepEqual(of("involve_asia").map(({ url, acknowledged }) => [url, acknowledged]), [[new_.url, true], [stranger.url, false]]);
      assert.equal(of("involve_asia")[0].answer.database.name, "involve_asia_db");
      assert.match(of("involve_asia")[1].problem, /status 200 without a valid acknowledgement/);
      assert.equal(JSON.stringify(rows()), before, "a rehearsal leaves nothing");
      const wrongKey = await startEdge({ originUrl: new_.url, bindings: { EDGE_KEYS: `other:${"ab".repeat(32)}` } });
      try {
        const { body } = await wrongKey.ops("smoke?partner=rector", { method: "POST" });
        assert.deepEqual([body.ok, body.partners.length], [false, 1]);
        assert.match(body.partners[0].origins[0].problem, /status 403/);
      } finally {
        await wrongKey.stop();
      }
    } finally {
      await edge.stop();
    }
  });
});
