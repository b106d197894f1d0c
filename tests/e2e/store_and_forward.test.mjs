// What the origin cannot take now: queued, delivered by the schedule, parked when nothing helps, replayed. Every message is
// settled for itself.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { DEAD_LETTERS, startEdge } from "./lib/edge.mjs";
import { percentile, startLoad } from "./lib/load.mjs";
import { freshDatabases, KINDS, startOrigin, uniqueId } from "./lib/origin.mjs";
import { rector } from "./lib/requests.mjs";

const NOWHERE = "http://127.0.0.1:9";
const BASES_S = [5, 15, 45, 120, 300, 600, 1200, 1800, ...Array(71).fill(3600)];

/** A postback's message as the edge puts it into its queue. */
function messageOf({ id, request = id, partner = "rector", canonical, replays = 0, form = 1 }) {
  const head = {
    form, partner, event_id: `evt-${id}`, canonical: canonical ?? `event_id=evt-${id}&event=conversion&conversion_id=${id}`,
    request_id: createHash("sha256").update(request).digest("base64url").slice(0, 22), received_at: "2026-01-02T03:04:05.006Z",
    method: "GET", target: "/rector/event?x=1", content_type: null, client_ip: null, auth: "open", replays,
  };
  return `${JSON.stringify(head)}\n`;
}

const requestIdOf = (message) => JSON.parse(message.split("\n")[0]).request_id;

/** The delay that the schedule and the message's own jitter come to, computed here and not there. */
function delayOf(message, attempt) {
  const part = (text) => `${Buffer.byteLength(text)}:${text}`;
  const digest = createHash("sha256").update(["bytec-jitter-v1", requestIdOf(message), `${attempt}`].map(part).join("")).digest();
  const base = BASES_S[attempt - 1];
  return base + Number((BigInt(base) * BigInt(digest.readUInt16BE(0))) >> 18n);
}

const bring = (edge, texts, { attempts = 1, queue } = {}) =>
  edge.bring(texts.map((body, n) => ({ id: `m${n}`, timestamp: new Date(), body, attempts: Array.isArray(attempts) ? attempts[n] : attempts })), queue);

for (const kind of KINDS) {
  test(`an origin killed under 200 requests a second costs nothing, on ${kind}`, { timeout: 180_000 }, async () => {
    const databases = freshDatabases(kind);
    let origin = await startOrigin(databases);
    const edge = await startEdge({ originUrl: origin.url });
    try {
      const run = uniqueId();
      const amount = (n) => `${1 + (n % 7)}.${String(n % 100).padStart(2, "0")}`;
      const load = startLoad((n) => `${edge.url}/rector/event?conversion_id=${run}-${n}&event_id=${run}-${n}&usd_earning=${amount(n)}`, { perSecond: 200 });
      const elapsed = (ms) => until("the load", async () => (load.history.at(-1)?.atMs ?? 0) >= ms);
      await elapsed(4_000);
      await origin.stop("SIGKILL");
      const killedMs = load.history.at(-1).atMs;
      await elapsed(killedMs + 10_000);
      origin = await startOrigin({ ...databases, port: origin.port });
      const backMs = load.history.at(-1).atMs;
      await elapsed(backMs + 4_000);
      const history = await load.stop();

      const wrong = history.filter((entry) => entry.status !== 200);
      assert.deepEqual(wrong.map(({ n, status, problem }) => ({ n, status, problem })), [], "every request got a 200");
      const queued = history.filter((entry) => entry.verdict === "queued");
      assert.ok(queued.length > 1_000, `${queued.length} of ${history.length} were queued`);
      // The breaker opens with the fifth failure, which is a few requests after the kill.
      const open = history.filter((entry) => entry.atMs > killedMs + 1_000 && entry.atMs < backMs);
      const p95 = percentile(open.map((entry) => entry.tookMs), 0.95);
      assert.ok(p95 < 500, `p95 is ${p95} ms while the breaker is open`);

      const stored = () => databases.rows("rector_db", `select count(*) as n from conversions where conversion_id like '${run}-%'`)[0].n;
      await until("the queue to be empty", async () => stored() >= history.length, { timeoutMs: 120_000, everyMs: 500 });
      const rows = databases.rows("rector_db", `select conversion_id, revision, cast(usd_payout as text) as payout from conversions where conversion_id like '${run}-%'`);
      const events = databases.rows("rector_db", `select count(*) as n from events where event_id like '${run}-%'`)[0].n;
      assert.deepEqual([rows.length, events], [history.length, history.length], "each is there once, and nothing else");
      assert.ok(rows.every((row) => row.revision === 1));
      const cents = (text) => Math.round(Number(text) * 100);
      const sum = (values) => values.reduce((total, value) => total + value, 0);
      assert.equal(sum(rows.map((row) => cents(row.payout))), sum(history.map(({ n }) => cents(amount(n)))), "and the money is right");
      assert.deepEqual((await edge.ops("parked")).body.parked, []);
      const again = history.filter((entry) => entry.sends > 1).length;
      console.log(`    ${history.length} sent (${again} again, having had no answer), ${queued.length} through the queue, p95 with the breaker open ${p95} ms`);
    } finally {
      await edge.stop();
      await origin.stop();
      databases.remove();
    }
  });
}

describe("the schedule", () => {
  let edge;
  before(async () => {
    edge = await startEdge({ originUrl: NOWHERE });
  });
  after(() => edge?.stop());

  test("every retry has its delay and its jitter, to the second", async () => {
    const texts = Array.from({ length: 79 }, (_, n) => messageOf({ id: `s${n}` }));
    for (let n = 0; n < texts.length; n++) {
      const { outcome, explicitAcks, retryMessages } = await bring(edge, [texts[n]], { attempts: n + 1 });
      assert.equal(outcome, "ok");
      assert.deepEqual([explicitAcks, retryMessages], [[], [{ msgId: "m0", delaySeconds: delayOf(texts[n], n + 1) }]], `attempt ${n + 1}`);
    }
    assert.ok(BASES_S.reduce((sum, base) => sum + base, 0) > 72 * 3600, "which is the 72 hours that partners are promised");
  });

  test("behind the last retry a message is parked with what was seen last", async () => {
    const text = messageOf({ id: "last" });
    const { explicitAcks, retryMessages } = await bring(edge, [text], { attempts: 80 });
    assert.deepEqual([explicitAcks, retryMessages], [["m0"], []]);
    const [row] = await edge.parked(`select * from parked where event_id = 'evt-last'`);
    assert.deepEqual([row.state, row.reason, row.attempts, row.partner], ["parked", "exhausted", 80, "rector"]);
    assert.match(row.detail, /Network connection lost/);
    assert.equal(row.message, text);
  });

  test("behind a message whose way is broken the others of its batch are not tried, and wait for their own time", async () => {
    const texts = ["b0", "b1", "b2"].map((id) => messageOf({ id }));
    const { retryMessages } = await bring(edge, texts, { attempts: [1, 2, 7] });
    const byId = (a, b) => a.msgId.localeCompare(b.msgId);
    assert.deepEqual(retryMessages.toSorted(byId), [1, 2, 7].map((attempt, n) => ({ msgId: `m${n}`, delaySeconds: delayOf(texts[n], attempt) })));
    const lines = await edge.said("both", (all) => {
      const own = all.filter((line) => ["evt-b1", "evt-b2"].includes(line.event_id));
      return own.length >= 2 && own;
    });
    assert.ok(lines.length === 2 && lines.every((line) => line.reason.startsWith("not tried")));
  });
});

describe("answers of an origin", () => {
  let stub, edge, answer;
  before(async () => {
    stub = createServer((_, reply) => {
      reply.writeHead(answer.status, { "content-type": "application/json", ...answer.headers });
      reply.end("{}");
    });
    await new Promise((resolve) => stub.listen(0, "127.0.0.1", resolve));
    edge = await startEdge({ originUrl: `http://127.0.0.1:${stub.address().port}` });
  });
  after(async () => {
    await edge?.stop();
    stub?.closeAllConnections();
    stub?.close();
  });

  for (const [status, retryAfter, level] of [
    [401, undefined, "error"], [403, undefined, "error"], [404, undefined, "warn"], [405, undefined, "warn"], [302, undefined, "warn"],
    [409, undefined, "warn"], [500, undefined, "warn"], [503, undefined, "warn"], [503, "1", "warn"], [429, "120", "warn"], [503, "90000", "warn"],
    [503, "Wed, 21 Oct 2026 07:28:00 GMT", "warn"], [200, undefined, "warn"], [400, undefined, "warn"],
  ]) {
    test(`an unacknowledged ${status}${retryAfter ? ` with Retry-After ${retryAfter}` : ""} is a retry, level ${level}`, async () => {
      answer = { status, headers: retryAfter ? { "retry-after": retryAfter } : {} };
      const id = uniqueId();
      const text = messageOf({ id });
      const { explicitAcks, retryMessages } = await bring(edge, [text], { attempts: 2 });
      const asked = Number(retryAfter) || 0;
      assert.deepEqual([explicitAcks, retryMessages], [[], [{ msgId: "m0", delaySeconds: Math.max(delayOf(text, 2), Math.min(asked, 3600)) }]]);
      const line = await edge.said("the retry", (all) => all.find((line) => line.event_id === `evt-${id}`));
      assert.deepEqual([line.level, line.outcome, line.attempt], [level, "retry", 2]);
    });
  }
});

describe("with the origin behind it", () => {
  let databases, origin, edge;
  before(async () => {
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
    edge = await startEdge({ originUrl: origin.url, bindings: { RETRY_DELAYS_S: "1,1" } });
  });
  after(async () => {
    await edge?.stop();
    await origin?.stop();
    databases?.remove();
  });

  const events = (id) => databases.rows("rector_db", `select event_id from events where event_id = 'evt-${id}'`).length;

  test("a message that comes twice is stored once, and settled both times", async () => {
    const text = messageOf({ id: uniqueId() });
    const first = await bring(edge, [text]);
    const again = await bring(edge, [text, text], { attempts: 2 });
    assert.deepEqual([first.explicitAcks, again.explicitAcks.toSorted()], [["m0"], ["m0", "m1"]]);
    assert.equal(events(text.match(/evt-(c-\w+)/)[1]), 1);
  });

  test("one that cannot be delivered does not keep the other nine of its batch", async () => {
    const ids = Array.from({ length: 10 }, uniqueId);
    const texts = ids.map((id) => messageOf({ id }));
    texts[0] = "no message of ours";
    texts[4] = messageOf({ id: ids[4], partner: "nobody" });
    texts[6] = messageOf({ id: ids[6], form: 2 });
    texts[8] = messageOf({ id: ids[8], canonical: `event_id=evt-${ids[8]}&event=conversion&conversion_id=x&usd_payout=1,5` });
    const { explicitAcks, retryMessages, outcome } = await bring(edge, texts);
    // What the origin cannot read of what an edge has read is nobody's fault but ours, and comes again.
    assert.deepEqual([outcome, retryMessages.map(({ msgId }) => msgId), explicitAcks.length], ["ok", ["m8"], 9]);
    assert.deepEqual(ids.map((id) => events(id)), [0, 1, 1, 1, 0, 1, 0, 1, 0, 1]);
    const reasons = await edge.parked("select request_id, reason, detail from parked");
    const of = (name) => reasons.find((row) => row.request_id === name);
    assert.equal(of("m0").reason, "unreadable");
    assert.equal(of(requestIdOf(texts[4])).reason, "unknown_partner");
    assert.equal(of("m6").reason, "unreadable");
    assert.equal(of(requestIdOf(texts[8])), undefined);
    // Behind its last retry it is parked under a cause of its own.
    assert.deepEqual((await bring(edge, [texts[8]], { attempts: 3 })).explicitAcks, ["m0"]);
    const [skewed] = await edge.parked(`select reason, detail from parked where request_id = '${requestIdOf(texts[8])}'`);
    assert.equal(skewed.reason, "version_skew");
    assert.match(skewed.detail, /cannot read what this edge read: status 400: .*malformed_forward/);
  });

  test("a contradiction of what is stored is parked at once, both sides kept", async () => {
    const id = uniqueId();
    await bring(edge, [messageOf({ id })]);
    const other = messageOf({ id, request: `${id}-other`, canonical: `event_id=evt-${id}&event=conversion&conversion_id=${id}&usd_payout=5` });
    const { explicitAcks } = await bring(edge, [other]);
    assert.deepEqual(explicitAcks, ["m0"]);
    const [row] = await edge.parked(`select * from parked where request_id = '${requestIdOf(other)}'`);
    assert.equal(row.reason, "refused");
    assert.match(row.detail, /status 409: .*event_id_conflict/);
  });

  test("what the platform gives up is parked, and once however often it is brought", async () => {
    const text = messageOf({ id: uniqueId() });
    for (const _ of [1, 2]) {
      const { explicitAcks } = await bring(edge, [text, "{}"], { queue: DEAD_LETTERS });
      assert.deepEqual(explicitAcks, ["m0", "m1"]);
    }
    const rows = await edge.parked(`select reason, detail from parked where request_id = '${requestIdOf(text)}'`);
    assert.deepEqual(rows, [{ reason: "exhausted", detail: "came out of the dead-letter queue" }]);
  });

  test("exhausted postbacks are listed, shown, and replayed once the origin is back; a dry run changes nothing", { timeout: 90_000 }, async () => {
    const port = origin.port;
    await origin.stop("SIGKILL");
    const ids = Array.from({ length: 7 }, uniqueId);
    for (const id of ids) assert.equal((await edge.fetch(`/rector/event?${rector(id)}&event_id=evt-${id}`)).status, 200);
    const mine = ids.map((id) => `'evt-${id}'`).join(",");
    const states = async () => (await edge.parked(`select state, reason, replays from parked where event_id in (${mine})`)).map(({ state, reason, replays }) => `${state} ${reason} ${replays}`);
    await until("the end of the shortened schedule", async () => (await states()).length === 7, { timeoutMs: 40_000 });
    assert.deepEqual(await states(), Array(7).fill("parked exhausted 0"));

    const { body: page } = await edge.ops("parked?reason=exhausted&partner=rector&limit=3");
    assert.equal(page.parked.length, 3);
    const { body: next } = await edge.ops(`parked?reason=exhausted&partner=rector&limit=1000&cursor=${encodeURIComponent(page.next)}`);
    const listed = [...page.parked, ...next.parked].map((row) => row.event_id);
    assert.equal(new Set(listed).size, listed.length, "no row on two pages");
    assert.ok(ids.every((id) => listed.includes(`evt-${id}`)));
    const wanted = [...page.parked, ...next.parked].find((row) => row.event_id === `evt-${ids[0]}`);
    const { body: shown } = await edge.ops(`parked/${wanted.request_id}`);
    assert.equal(shown.postback.target, `/rector/event?${rector(ids[0])}&event_id=evt-${ids[0]}`);
    assert.match(shown.postback.canonical, /usd_payout=9\.99/);

    const filter = `partner=rector&reason=exhausted&from=${encodeURIComponent(wanted.parked_at)}`;
    const before = JSON.stringify(await edge.parked());
    const dry = await edge.ops(`parked/replay?${filter}&dry_run=true`, { method: "POST" });
    assert.deepEqual([dry.status, dry.body.replayed], [200, 0]);
    assert.ok(dry.body.matching >= 7 - listed.indexOf(`evt-${ids[0]}`) - 1);
    assert.equal(JSON.stringify(await edge.parked()), before);
    assert.ok(ids.every((id) => events(id) === 0));

    origin = await startOrigin({ ...databases, port });
    const two = await edge.ops("parked/replay?partner=rector&reason=exhausted&limit=2&dry_run=false", { method: "POST" });
    assert.equal(two.body.replayed, 2);
    const all = await edge.ops("parked/replay?partner=rector&reason=exhausted&dry_run=false", { method: "POST" });
    assert.deepEqual([all.status, all.body.left, all.body.problem], [200, 0, null]);
    await until("the replayed", async () => ids.every((id) => events(id) === 1));
    await until("their rows", async () => (await states()).every((state) => state === "delivered exhausted 1"));
    const nothing = await edge.ops("parked/replay?partner=rector&reason=exhausted&dry_run=false", { method: "POST" });
    assert.deepEqual([nothing.body.matching, nothing.body.replayed], [0, 0]);
  });

  test("the schedule of the cron gives back what can be delivered, and nothing else", { timeout: 90_000 }, async () => {
    const ids = [uniqueId(), uniqueId(), uniqueId()];
    const texts = ids.map((id) => messageOf({ id }));
    const database = await edge.miniflare.getD1Database("PARKED", "edge");
    await database.exec("delete from parked");
    const put = (text, { reason, state = "parked", changed = new Date() }) =>
      database
        .prepare("insert into parked values (?, 'rector', 'e', null, ?, ?, '', 3, ?, ?, 0, ?)")
        .bind(requestIdOf(text), state, reason, changed.toISOString(), changed.toISOString(), text)
        .run();
    const daysAgo = (days) => new Date(Date.now() - days * 86_400_000);
    await put(texts[0], { reason: "exhausted" });
    await put(texts[1], { reason: "refused" });
    await put(texts[2], { reason: "exhausted", state: "replaying", changed: daysAgo(5) });
    await put(messageOf({ id: "old" }), { reason: "exhausted", state: "delivered", changed: daysAgo(31) });
    await put(messageOf({ id: "new" }), { reason: "exhausted", state: "delivered", changed: daysAgo(29) });

    await origin.stop("SIGKILL");
    assert.equal((await edge.tick()).outcome, "ok");
    const state = async () => (await edge.parked("select request_id, state from parked")).map((row) => `${row.request_id} ${row.state}`).toSorted();
    const expected = (...states) => [...texts, messageOf({ id: "new" })].map((text, n) => `${requestIdOf(text)} ${states[n]}`).toSorted();
    assert.deepEqual(await state(), expected("parked", "parked", "parked", "delivered"), "the origin is away: nothing goes back");

    origin = await startOrigin({ ...databases, port: origin.port });
    await edge.tick();
    await until("what went back", async () => `${await state()}` === `${expected("delivered", "parked", "delivered", "delivered")}`);
    assert.deepEqual(ids.map((id) => events(id)), [1, 0, 1]);
  });

  test("a message whose partner's own origin is away does not keep those of others", async () => {
    const other = await startEdge({ originUrl: origin.url, bindings: { ORIGIN_URL_S2S: NOWHERE } });
    try {
      const ids = [uniqueId(), uniqueId(), uniqueId()];
      const texts = [messageOf({ id: ids[0], partner: "s2s" }), messageOf({ id: ids[1] }), messageOf({ id: ids[2], partner: "s2s" })];
      const { explicitAcks, retryMessages } = await bring(other, texts);
      assert.deepEqual([explicitAcks, retryMessages.map(({ msgId }) => msgId).toSorted(), events(ids[1])], [["m1"], ["m0", "m2"], 1]);
    } finally {
      await other.stop();
    }
  });

  test("a replay that the queue refuses leaves every row as it was, to be replayed later", async () => {
    const change = (options) => ({ ...options, queueProducers: {}, queueConsumers: {}, serviceBindings: { POSTBACKS: () => new Response("no", { status: 500 }) } });
    const other = await startEdge({ originUrl: origin.url, change });
    try {
      await other.ops("parked");
      const database = await other.miniflare.getD1Database("PARKED", "edge");
      for (let n = 0; n < 12; n++) {
        const text = messageOf({ id: `big${n}` }) + "x".repeat(60_000);
        await database.prepare("insert into parked values (?, 'rector', ?, null, ?, 'exhausted', '', 3, ?, ?, 0, ?)").bind(requestIdOf(text), `big${n}`, n === 11 ? "replaying" : "parked", "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z", text).run();
      }
      const refused = await other.ops("parked/replay?dry_run=false", { method: "POST" });
      assert.deepEqual([refused.status, refused.body.replayed, refused.body.left], [503, 0, 11]);
      const states = async () => (await other.parked("select state from parked")).map((row) => row.state).toSorted();
      assert.deepEqual(await states(), [...Array(11).fill("parked"), "replaying"]);
      const stuck = await other.ops("parked/replay?dry_run=true&state=replaying", { method: "POST" });
      assert.deepEqual([stuck.status, stuck.body.matching], [200, 1], "what a crash left behind can be named");
    } finally {
      await other.stop();
    }
  });

  test("what cannot be read is not replayed into a second row", async () => {
    const other = await startEdge({ originUrl: origin.url });
    try {
      await bring(other, ["no message of ours"]);
      const replayed = await other.ops("parked/replay?dry_run=false", { method: "POST" });
      assert.deepEqual([replayed.body.matching, replayed.body.replayed], [1, 0]);
      const rows = await other.parked("select request_id, state from parked");
      assert.deepEqual(rows, [{ request_id: "m0", state: "parked" }]);
    } finally {
      await other.stop();
    }
  });

  test("a secret that is wrong costs its owner alone, and is told", async () => {
    const wrong = { PARTNER_KEYS: "newcomer=k1:secret-canary", OPERATOR_TOKENS: "x" };
    const other = await startEdge({ originUrl: origin.url, bindings: wrong });
    try {
      assert.equal((await other.fetch(`/rector/event?${rector(uniqueId())}`)).status, 200);
      const line = await other.said("the secrets", (all) => all.find((line) => line.message === "secrets left out"));
      assert.equal(line.level, "error");
      assert.match(line.reason, /PARTNER_KEYS names "newcomer".*OPERATOR_TOKENS|OPERATOR_TOKENS.*PARTNER_KEYS names "newcomer"/);
      assert.ok(!other.lines.join("").includes("secret-canary"));
      const { body } = await other.ops("smoke?partner=rector", { method: "POST" });
      assert.deepEqual([body.ok, body.left_out.length], [false, 2]);
    } finally {
      await other.stop();
    }
  });

  test("a sender that is slow to send does not make the origin look slow", async () => {
    const slow = (ms) =>
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode('{"conversion_id":"slow'));
          await new Promise((resolve) => setTimeout(resolve, ms));
          controller.enqueue(new TextEncoder().encode(`-${uniqueId()}"}`));
          controller.close();
        },
      });
    const send = () => edge.fetch("/rector/event", { method: "POST", headers: { "content-type": "application/json" }, body: slow(2_600), duplex: "half" });
    const replies = await Promise.all(Array.from({ length: 6 }, send));
    assert.deepEqual(replies.map((reply) => reply.headers.get("bytec-verdict")), Array(6).fill("created"));
    assert.equal((await edge.fetch(`/rector/event?${rector(uniqueId())}`)).headers.get("bytec-verdict"), "created");
  });

  test("a canonical query that grew long goes as a body", async () => {
    const id = uniqueId();
    const reply = await edge.fetch(`/rector/event?conversion_id=${id}&offer_name=${"(".repeat(1000)}&campaign=${"(".repeat(1000)}&media_id=m&device=${"(".repeat(1000)}`);
    assert.deepEqual([reply.status, reply.headers.get("bytec-verdict")], [200, "created"]);
    const [row] = databases.rows("rector_db", `select p.method, p.verdict from postbacks p join events e on e.event_id = p.event_id where e.conversion_id = '${id}'`);
    assert.deepEqual(row, { method: "POST", verdict: "created" });
  });

  test("an operator's call needs the operator's token and a filter that is clear", async () => {
    for (const token of ["", "default-ts-token", "default-operator-toke", "default-operator-tokenx"]) {
      const { status, body } = await edge.ops("parked", { token });
      assert.deepEqual([status, body.error, body.hint], [403, "signature_invalid", "check canonical order"]);
    }
    for (const [target, method, status, code, field] of [
      ["parked/replay", "POST", 400, "unclear_filter", "dry_run"], ["parked/replay?dry_run=false&partnr=x", "POST", 400, "unclear_filter", "partnr"],
      ["parked?limit=5000", "GET", 400, "unclear_filter", "limit"], ["parked/replay?dry_run=false&state=delivered", "POST", 400, "unclear_filter", "state"],
      ["parked/nothing", "GET", 404, "not_parked"], ["nothing", "GET", 404, "operation_not_found"], ["parked", "POST", 405, "method_not_allowed"],
      ["parked/replay?dry_run=true", "GET", 405, "method_not_allowed"], ["smoke", "GET", 405, "method_not_allowed"], ["smoke?partner=x", "POST", 400, "unclear_filter", "partner"],
      ["parked?partner=%27%20or%201=1--", "GET", 200],
    ]) {
      const reply = await edge.ops(target, { method });
      assert.deepEqual([reply.status, reply.body.error, reply.body.field], [status, code, field], target);
    }
    const line = await edge.said("operations", (all) => all.findLast((line) => line.message === "operation" && line.status === 200));
    assert.equal(line.operator, "development", "the log names who did it");
  });
});

test("without a database a message at its end stays, for the dead letters", async () => {
  const edge = await startEdge({ originUrl: NOWHERE, change: (options) => ({ ...options, d1Databases: {} }) });
  try {
    const { explicitAcks, retryMessages } = await bring(edge, [messageOf({ id: "kept" })], { attempts: 80 });
    assert.deepEqual([explicitAcks, retryMessages], [[], [{ msgId: "m0", delaySeconds: 3600 }]]);
    const line = await edge.said("the message", (all) => all.find((line) => line.event_id === "evt-kept"));
    assert.match(line.reason, /not parked: no database is bound to PARKED/);
  } finally {
    await edge.stop();
  }
});
