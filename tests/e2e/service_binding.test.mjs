// The origin as a Worker that is bound to the edge: no tunnel, no address, and the same promises.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { startEdge } from "./lib/edge.mjs";
import { uniqueId } from "./lib/origin.mjs";
import { migrateD1, originWorker } from "./lib/origin_worker.mjs";
import { involveA, rector } from "./lib/requests.mjs";

const bound = (options) => ({ ...options, serviceBindings: { ORIGIN: "origin" } });

describe("the origin behind a service binding", () => {
  let edge;
  const rows = async (binding, sql) => (await (await edge.miniflare.getD1Database(binding, "origin")).prepare(sql).all()).results;

  before(async () => {
    edge = await startEdge({ originUrl: "service://ORIGIN", change: bound, beside: [{ name: "origin", ...originWorker() }] });
    await migrateD1(edge.miniflare, "origin");
  });
  after(() => edge?.stop());

  test("a postback is stored once, and revised by an approval", async () => {
    const id = uniqueId();
    for (const [more, verdict] of [["", "created"], ["", "duplicate"], ["&status=Approved", "revised"]]) {
      const reply = await edge.fetch(`/involve/event?${involveA(id, { more })}`);
      assert.deepEqual([reply.status, await reply.text(), reply.headers.get("bytec-verdict")], [200, "OK", verdict]);
    }
    const stored = await rows("INVOLVE_ASIA_DB", `select usd_payout, usd_sale_amount, status, revision, ts_event from conversions where conversion_id = '${id}'`);
    assert.deepEqual(stored, [{ usd_payout: "10.50", usd_sale_amount: "100.00", status: "approved", revision: 2, ts_event: "2025-01-01T04:00:00.000000Z" }]);
  });

  test("many at once are each stored once", async () => {
    const run = uniqueId();
    const ids = Array.from({ length: 200 }, (_, number) => `${run}-${number % 100}`);
    const replies = await Promise.all(ids.map((id) => edge.fetch(`/rector/event?${rector(id)}`)));
    assert.deepEqual([...new Set(replies.map((reply) => reply.status))], [200]);
    const count = async () => (await rows("RECTOR_DB", `select count(*) as n, sum(revision) as revisions from conversions where conversion_id like '${run}-%'`))[0];
    // Some may have gone by the queue.
    await until("all of them", async () => (await count()).n === 100, { timeoutMs: 60_000 });
    assert.deepEqual(await count(), { n: 100, revisions: 100 });
  });

  test("the smoke goes the whole way and leaves no trace", async () => {
    const counts = () => Promise.all(["postbacks", "events", "conversions", "revisions", "nonces"].map(async (table) => (await rows("S2S_DB", `select count(*) as n from ${table}`))[0].n));
    const before = await counts();
    const { status, body } = await edge.ops("smoke", { method: "POST" });
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(await counts(), before);
    assert.match(JSON.stringify(body), /"kind":"d1"/);
  });

  test("the edge knows that its origin lives", async () => {
    const reply = await edge.fetch("/health?deep=1");
    assert.equal((await reply.json()).origin.reachable, true);
  });

  test("a broken database costs its own partner, and the queue holds what comes", async () => {
    const database = await edge.miniflare.getD1Database("RECTOR_DB", "origin");
    await database.prepare("alter table postbacks rename to elsewhere").run();
    const id = uniqueId();
    const queued = await edge.fetch(`/rector/event?${rector(id)}`);
    assert.deepEqual([queued.status, queued.headers.get("bytec-verdict")], [200, "queued"]);
    const other = await edge.fetch(`/involve/event?${involveA(uniqueId())}`);
    assert.deepEqual([other.status, other.headers.get("bytec-verdict")], [200, "created"]);
    await database.prepare("alter table elsewhere rename to postbacks").run();
    await until("what was queued", async () => (await rows("RECTOR_DB", `select 1 from conversions where conversion_id = '${id}'`)).length === 1, { timeoutMs: 60_000 });
  });

  test("the cron trigger processes events, forgets nonces and drops requests that are too old", async () => {
    const database = await edge.miniflare.getD1Database("RECTOR_DB", "origin");
    await edge.fetch(`/rector/event?${rector(uniqueId())}`);
    await database.prepare("update nonces set seen_at = '2025-01-01T00:00:00.000000Z'").run();
    await database.prepare("update postbacks set received_at = '2025-01-01T00:00:00.000000Z' where postback_id = 1").run();
    const [{ n: events }] = await rows("RECTOR_DB", "select count(*) as n from events");
    const { outcome } = await (await edge.miniflare.getWorker("origin")).scheduled({ cron: "* * * * *", scheduledTime: new Date() });
    assert.equal(outcome, "ok");
    assert.equal((await rows("RECTOR_DB", "select count(*) as n from nonces"))[0].n, 0);
    assert.equal((await rows("RECTOR_DB", "select count(*) as n from postbacks where postback_id = 1"))[0].n, 0);
    assert.equal((await rows("RECTOR_DB", "select count(*) as n from events"))[0].n, events);
    assert.equal((await rows("RECTOR_DB", "select count(*) as n from work_items"))[0].n, 0);
    assert.equal((await rows("RECTOR_DB", "select count(*) as n from conversions where not is_processed"))[0].n, 0);
  });
});

test("an edge to which nothing is bound queues what comes", async () => {
  const edge = await startEdge({ originUrl: "service://ORIGIN" });
  try {
    const reply = await edge.fetch(`/rector/event?${rector(uniqueId())}`);
    assert.deepEqual([reply.status, reply.headers.get("bytec-verdict")], [200, "queued"]);
  } finally {
    await edge.stop();
  }
});
