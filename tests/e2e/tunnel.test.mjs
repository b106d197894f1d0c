// Between edge and origin stands a tunnel that may be broken, foreign or hostile. What the edge believes, what the origin
// takes, and whether an implementation of RFC 9421 that is not ours agrees with the signature.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "../../scripts/lib/processes.mjs";
import { startEdge } from "./lib/edge.mjs";
import { freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { involveA, rector } from "./lib/requests.mjs";
import { FAULTS, replay, startTunnel } from "./lib/tunnel.mjs";

const KEY_ID = "e2e-2026a";
const KEY_HEX = "4bf2d1a07c6e93855e21b7409f8dc3126a0e57f94d38b16c82e7a5f310c96d2b";
const ACCESS = { ACCESS_CLIENT_ID: "e2e.access", ACCESS_CLIENT_SECRET: "e2e-access-secret" };

describe("between edge and origin", () => {
  let databases, origin, tunnel, edge, plain;

  before(async () => {
    databases = freshDatabases("sqlite");
    const EDGE_KEYS = `${KEY_ID}:${KEY_HEX}`;
    origin = await startOrigin({ env: { ...databases.env, EDGE_KEYS } });
    tunnel = await startTunnel(origin.url);
    edge = await startEdge({ originUrl: tunnel.url, bindings: { EDGE_KEYS, ...ACCESS, RETRY_DELAYS_S: "1,1,1,1,1,1,1,1" } });
    // Its queue refuses whatever it is given.
    const change = (options) => ({ ...options, queueProducers: {}, queueConsumers: {}, serviceBindings: { POSTBACKS: () => new Response("no", { status: 500 }) } });
    plain = await startEdge({ originUrl: tunnel.url, bindings: { EDGE_KEYS, ...ACCESS }, change });
  });
  after(async () => {
    await edge?.stop();
    await plain?.stop();
    await tunnel?.stop();
    await origin?.stop();
    databases?.remove();
  });

  const count = () => databases.rows("rector_db", "select count(*) as n from conversions")[0].n;
  const revisions = (id) => databases.rows("rector_db", `select revision from conversions where conversion_id = '${id}'`).map((row) => row.revision);
  const events = (id) => databases.rows("rector_db", `select event_id from events where conversion_id = '${id}'`).length;

  /** A request as the edge forwarded it, taken off the line before it reached the origin. */
  async function captured(target, init) {
    tunnel.mode = "refuses with 502";
    await plain.fetch(target, init);
    tunnel.mode = "through";
    return tunnel.requests.at(-1);
  }

  for (const fault of Object.keys(FAULTS)) {
    // Behind a valid acknowledgement nothing more is needed.
    const isAcknowledged = fault === "cuts the reply behind its head";

    test(`a tunnel that ${fault} costs nobody a postback`, async () => {
      // Something for a recorded answer to have been about.
      tunnel.recorded = undefined;
      tunnel.mode = fault;
      const id = uniqueId();
      if (fault === "answers with a recorded acknowledgement") await edge.fetch(`/rector/event?${rector(uniqueId())}`);
      const began = Date.now();
      const reply = await edge.fetch(`/rector/event?${rector(id)}`);
      const body = await reply.json();
      assert.deepEqual([reply.status, body.verdict ?? body.status], [200, isAcknowledged ? "created" : "queued"]);
      assert.ok(Date.now() - began < 3_000, "an answer in three seconds, whatever the tunnel does");
      assert.equal(reply.headers.get("bytec-verdict"), isAcknowledged ? "created" : "queued");
      tunnel.mode = "through";
      await until("the postback", async () => events(id) === 1);
      await until("an open way", async () => (await (await edge.fetch(`/rector/event?${rector(id)}`)).json()).idempotent === true);
      assert.deepEqual([revisions(id), events(id)], [[1], 1], "once, however often it was sent");
    });

    test(`a tunnel that ${fault} is not believed when the queue fails, too`, async () => {
      tunnel.recorded = undefined;
      tunnel.mode = fault;
      if (fault === "answers with a recorded acknowledgement") await plain.fetch(`/rector/event?${rector(uniqueId())}`);
      const id = uniqueId();
      const began = Date.now();
      const reply = await plain.fetch(`/rector/event?${rector(id)}`);
      assert.ok(Date.now() - began < 3_000);
      if (!isAcknowledged) {
        assert.deepEqual([reply.status, reply.headers.get("retry-after"), reply.headers.get("bytec-verdict")], [503, "30", null]);
        assert.equal((await reply.json()).error, "unavailable");
        const line = await plain.said("the request", (all) => all.find((line) => line.request_id === reply.headers.get("bytec-request-id")));
        assert.deepEqual([line.level, line.outcome], ["error", "unavailable"]);
        assert.match(line.reason, /; queue: /);
      }
      tunnel.mode = "through";
      await until("the next attempt", async () => (await plain.fetch(`/rector/event?${rector(id)}`)).status === 200, { timeoutMs: 15_000 });
      assert.deepEqual([revisions(id), events(id)], [[1], 1]);
    });
  }

  test("a recorded request is a replay, and a changed one is refused", async () => {
    const before = count();
    const good = await captured(`/rector/event?${rector(uniqueId())}`);
    const with_ = (change) => ({ ...good, ...change });
    const header = (name, value) => with_({ headers: good.headers.map(([n, v]) => (n.toLowerCase() === name ? [n, value(v)] : [n, v])) });
    const other = (letter) => (letter === "A" ? "B" : "A");
    const changed = {
      method: with_({ method: "POST" }),
      path: with_({ target: good.target.replace("/rector/", "/involve/") }),
      query: with_({ target: good.target.replace("usd_payout=9.99", "usd_payout=99.99") }),
      body: with_({ body: Buffer.from("x"), headers: [...good.headers, ["content-length", "1"]] }),
      "event id": header("bytec-event-id", () => "evt_0"),
      "received at": header("bytec-received-at", () => "2026-01-01T00:00:00Z"),
      auth: header("bytec-auth", () => "signature"),
      "client ip": header("bytec-client-ip", () => "203.0.113.9"),
      "original target": header("bytec-original-target", (v) => `${v}&x=1`),
      nonce: header("signature-input", (v) => v.replace(/nonce="(.)/, (_, c) => `nonce="${other(c)}`)),
      created: header("signature-input", (v) => v.replace(/created=(\d+)/, (_, s) => `created=${Number(s) + 1}`)),
      signature: header("signature", (v) => v.replace(/:(.)/, (_, c) => `:${other(c)}`)),
    };
    for (const [what, request] of Object.entries(changed)) {
      const answer = await replay(origin.url, request);
      assert.equal(answer.status, 403, `${what}: ${answer.body}`);
      assert.match(`${answer.body}`, /signature_invalid/);
    }
    assert.equal(count(), before);
    assert.equal((await replay(origin.url, good)).status, 200, "unchanged it is taken once");
    const again = await replay(origin.url, good);
    assert.deepEqual([again.status, JSON.parse(again.body).error], [409, "replay"]);
    assert.equal(count(), before + 1);
  });

  test("an independent verifier accepts what the edge sent, and refuses every change", async () => {
    for (const request of [
      await captured(`/involve/event?${involveA(uniqueId())}&offer_id=a~b*c%27(d)`, { headers: { "cf-connecting-ip": "2001:db8::7" } }),
      await captured("/involve/event?geo=MY", { method: "POST", headers: { "content-type": "application/json" }, body: '{"conversion_id":"x\\"ü","usd_payout":1}' }),
    ]) {
      const covered = verify(request);
      assert.deepEqual(covered, [
        '"@method"', '"@path"', '"@query"', '"content-digest"', '"bytec-event-id"', '"bytec-received-at"', '"bytec-auth"',
        '"bytec-client-ip"', '"bytec-original-target"', '"@signature-params"',
      ]);
      assert.equal(verify({ ...request, method: "PUT" }), "refused");
      assert.equal(verify({ ...request, target: request.target.replace("/postback/", "/partner/") }), "refused");
      assert.equal(verify({ ...request, target: request.target.includes("?") ? `${request.target}&x=1` : `${request.target}?x=1` }), "refused");
      assert.equal(verify({ ...request, body: Buffer.from("changed") }), "refused");
      for (const name of ["content-digest", "bytec-event-id", "bytec-received-at", "bytec-auth", "bytec-client-ip", "bytec-original-target"]) {
        const headers = request.headers.map(([n, v]) => (n.toLowerCase() === name ? [n, `${v}x`] : [n, v]));
        assert.equal(verify({ ...request, headers }), "refused", name);
      }
    }
  });

  test("nothing of the partner's own headers passes, and the tunnel's service token is the edge's", async () => {
    const { headers } = await captured(`/rector/event?${rector(uniqueId())}`, {
      headers: { cookie: "a=b", authorization: "Bearer x", "cf-access-client-id": "x", "bytec-auth": "signature", signature: "x", "x-anything": "1" },
    });
    const names = headers.map(([name]) => name.toLowerCase()).filter((name) => !["host", "connection", "cf-worker", "cf-connecting-ip", "accept-encoding", "content-length"].includes(name));
    assert.deepEqual(names.sort(), [
      "accept",
      "bytec-auth", "bytec-client-ip", "bytec-event-id", "bytec-original-target", "bytec-received-at", "bytec-request-id",
      "cf-access-client-id", "cf-access-client-secret", "content-digest", "prefer", "signature", "signature-input",
    ]);
    const value = (wanted) => headers.find(([name]) => name.toLowerCase() === wanted)[1];
    assert.equal(value("bytec-auth"), "open");
    assert.deepEqual([value("cf-access-client-id"), value("cf-access-client-secret")], Object.values(ACCESS));
    assert.ok(!plain.lines.join("\n").includes(ACCESS.ACCESS_CLIENT_SECRET));
  });

  function verify({ method, target, headers, body }) {
    const input = JSON.stringify({
      method, url: `${origin.url}${target}`, headers, body_hex: body.toString("hex"), key_id: KEY_ID, key_hex: KEY_HEX,
    });
    const script = fileURLToPath(new URL("./lib/verify_rfc9421.py", import.meta.url));
    const { stdout, stderr, status } = spawnSync(process.env.TEST_PYTHON, [script], { input, encoding: "utf8" });
    if (stdout.trim() === "refused") return "refused";
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }
});
