// What a panic does. No request can reach one (a lint sees to that), so this edge has one that is asked for: requests in flight are
// told to come again, batches in flight come again by themselves, nothing is claimed of either, and the next request finds an
// edge that works.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { buildProvingEdge, PROVING_EDGE } from "../../scripts/lib/proving-edge.mjs";
import { startEdge } from "./lib/edge.mjs";
import { freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { rector } from "./lib/requests.mjs";
import { startTunnel } from "./lib/tunnel.mjs";

describe("a panic", () => {
  const [token, key] = [randomBytes(18).toString("hex"), randomBytes(18).toString("hex")];
  let databases, origin, tunnel, edge;
  before(async () => {
    await buildProvingEdge();
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
    tunnel = await startTunnel(origin.url);
    edge = await startEdge({ originUrl: tunnel.url, build: PROVING_EDGE, bindings: { TENANT_TOKENS: `bytec=${token}`, PATH_KEYS: `rector=${key}` } });
  });
  after(async () => {
    await edge?.stop();
    await tunnel?.stop();
    await origin?.stop();
    databases?.remove();
  });

  const send = async (id) => {
    const reply = await edge.fetch(`/rector/event/${key}?${rector(id)}`, { headers: { authorization: `Bearer ${token}` } });
    return { status: reply.status, retryAfter: reply.headers.get("retry-after"), body: await reply.json() };
  };

  test("in one request leaves those in flight to be sent again, and those after it alone", async () => {
    const ids = Array.from({ length: 5 }, uniqueId);
    tunnel.mode = "never answers";
    const inFlight = ids.map(send);
    await until("five requests at the origin", async () => tunnel.requests.length === 5);
    const panicked = await edge.fetch("/faults/panic");
    tunnel.mode = "through";
    const after = await send(ids[0]);
    assert.deepEqual([after.status, after.body.verdict], [200, "created"], "the next one finds an edge that works");

    assert.deepEqual([panicked.status, panicked.headers.get("retry-after"), (await panicked.json()).error], [503, "30", "unavailable"]);
    for (const { status, retryAfter, body } of await Promise.all(inFlight)) {
      assert.deepEqual([status, retryAfter, body.error], [503, "30", "unavailable"]);
    }
    const again = await Promise.all(ids.map(send));
    assert.deepEqual(again.map(({ status, body }) => [status, body.verdict]), ids.map((_, n) => [200, n === 0 ? "duplicate" : "created"]));
    const rows = databases.rows("rector_db", "select conversion_id from conversions order by conversion_id");
    assert.deepEqual(rows.map((row) => row.conversion_id), ids.toSorted());
    const told = await edge.said("all six", (all) => {
      const failed = all.filter((line) => line.message === "the edge failed");
      return failed.length >= 6 && failed;
    });
    assert.deepEqual(told.map(({ level, outcome, status }) => [level, outcome, status]), Array(6).fill(["error", "lost", 503]));
    assert.equal(new Set([panicked.headers.get("bytec-request-id"), ...told.map((line) => line.request_id)]).size, 6);
  });

  test("cannot be asked for at the edge that is deployed", async () => {
    const deployed = await startEdge({ originUrl: tunnel.url });
    try {
      const reply = await deployed.fetch("/faults/panic");
      assert.deepEqual([reply.status, (await reply.json()).error], [404, "partner_not_found"]);
    } finally {
      await deployed.stop();
    }
  });

  test("beside a batch brings the batch again soon", async () => {
    const ids = Array.from({ length: 3 }, uniqueId);
    const texts = ids.map((id) => {
      const head = {
        form: 1, partner: "rector", event_id: `evt-${id}`, canonical: `event_id=evt-${id}&event=conversion&conversion_id=${id}`,
        request_id: randomBytes(16).toString("base64url"), received_at: "2026-01-02T03:04:05.006Z", method: "GET", target: "/rector/event",
        content_type: null, client_ip: null, auth: "path_key+token", replays: 0,
      };
      return `${JSON.stringify(head)}\n`;
    });
    const bring = () => edge.bring(texts.map((body, n) => ({ id: `m${n}`, timestamp: new Date(), body, attempts: 1 })));
    tunnel.mode = "never answers";
    tunnel.requests.length = 0;
    const batch = bring();
    await until("the batch at the origin", async () => tunnel.requests.length > 0);
    assert.equal((await edge.fetch("/faults/panic")).status, 503);
    const { outcome, explicitAcks, retryMessages } = await batch;
    assert.deepEqual([outcome, explicitAcks], ["ok", []]);
    assert.deepEqual(retryMessages, ids.map((_, n) => ({ msgId: `m${n}`, delaySeconds: 30 })));
    tunnel.mode = "through";
    const again = await bring();
    assert.deepEqual([again.explicitAcks.length, again.retryMessages], [3, []]);
    const rows = databases.rows("rector_db", `select conversion_id from conversions where conversion_id in (${ids.map((id) => `'${id}'`)})`);
    assert.equal(rows.length, 3);
  });
});
