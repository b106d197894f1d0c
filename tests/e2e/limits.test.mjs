// How much may be sent: the limits of one request, of a partner in a minute, and of those who fail to prove themselves.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { buildProvingEdge, PROVING, PROVING_EDGE } from "../../scripts/lib/proving-edge.mjs";
import { OPERATOR_TOKEN, startEdge } from "./lib/edge.mjs";
import { freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { send } from "./lib/raw.mjs";
import { involveA, rector } from "./lib/requests.mjs";

const LIMITS = { target: 8 * 1024, body: 64 * 1024, headers: 50, headersBytes: 16 * 1024 };

/** Counters begin anew with each minute of the clock: what is counted together must not stand on both sides of that. */
async function withinOneMinute(seconds = 5) {
  const left = 60_000 - (Date.now() % 60_000);
  if (left < seconds * 1_000) await new Promise((resolve) => setTimeout(resolve, left + 100));
}

describe("how much may be sent", () => {
  let databases, origin;
  before(async () => {
    await buildProvingEdge();
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
  });
  after(async () => {
    await origin?.stop();
    databases?.remove();
  });

  const stored = () => ["involve_asia_db", "rector_db", "s2s_db"].map((database) => databases.rows(database, "select count(*) as n from postbacks")[0].n);
  const codeOf = ({ status, text }) => [status, JSON.parse(text).error];

  async function lineOf(edge, reply) {
    const find = () => edge.logged().find((line) => line.request_id === reply.headers["bytec-request-id"]);
    await until("the log's line", async () => find() !== undefined, { everyMs: 5 });
    return find();
  }

  describe("in one request", () => {
    let edge;
    before(async () => {
      edge = await startEdge({ originUrl: origin.url });
    });
    after(() => edge?.stop());

    const json = { "content-type": "application/json" };
    const ask = ({ target = `/rector/event?${rector(uniqueId())}`, ...request }) => send(edge.url, { target, ...request });

    /** Taken, and refused with a code: nothing of what is refused is stored. */
    async function held({ taken, refused, status, code }) {
      const before = stored();
      const good = await ask(taken);
      assert.equal(good.status, 200, good.text);
      for (const request of refused) {
        const reply = await ask(request);
        assert.deepEqual(codeOf(reply), [status, code]);
        assert.equal((await lineOf(edge, reply)).outcome, code);
      }
      assert.deepEqual(stored(), [before[0], before[1] + 1, before[2]], "what was refused is not stored");
    }

    /** A target of so many bytes, in parameters that are short enough. */
    function target(bytes) {
      let text = `/rector/event?${rector(uniqueId())}`;
      for (let i = 0; bytes - text.length > 1_100; i++) text += `&x${i}=${"a".repeat(1_000)}`;
      text += "&y=";
      return text + "a".repeat(bytes - text.length);
    }

    test("path and query have 8 KiB, and not a byte more", async () => {
      const refused = [{ target: target(LIMITS.target + 1) }, { target: target(2 * LIMITS.target) }];
      await held({ taken: { target: target(LIMITS.target) }, refused, status: 414, code: "url_too_long" });
    });

    /** A body of so many bytes. */
    const body = (bytes) => JSON.stringify({ conversion_id: uniqueId(), usd_earning: "1.00" }).padEnd(bytes, " ");

    test("a body has 64 KiB, and not a byte more, announced or not", async () => {
      const post = (more) => ({ method: "POST", target: "/rector/event", headers: json, ...more });
      const pieces = (text) => text.match(/[^]{1,4096}/g);
      const refused = [
        post({ body: body(LIMITS.body + 1) }),
        post({ chunks: pieces(body(LIMITS.body + 1)) }),
        post({ chunks: pieces(body(4 * LIMITS.body)) }),
      ];
      await held({ taken: post({ body: body(LIMITS.body) }), refused, status: 413, code: "body_too_large" });
      await held({ taken: post({ chunks: pieces(body(LIMITS.body)) }), refused: [], status: 413, code: "body_too_large" });
    });

    test("a body that never ends is refused as soon as it is too large", async () => {
      const began = Date.now();
      const chunks = Array.from({ length: 20 }, () => " ".repeat(4_096));
      const refused = [{ method: "POST", target: "/rector/event", headers: json, chunks, endless: true }];
      await held({ taken: {}, refused, status: 413, code: "body_too_large" });
      assert.ok(Date.now() - began < 3_000);
    });

    test("a compressed body is refused, however small", async () => {
      const refused = ["gzip", "br", "identity, gzip"].map((coding) => ({
        method: "POST", target: "/rector/event", headers: { ...json, "content-encoding": coding }, body: body(100),
      }));
      await held({ taken: {}, refused, status: 415, code: "unsupported_encoding" });
    });

    const headers = (count, bytes) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-h${i}`, "a".repeat(bytes)]));

    test("51 headers are too many, whatever is in them", async () => {
      // The platform adds some of its own, which count.
      const refused = [{ headers: headers(LIMITS.headers + 1, 1) }, { headers: headers(200, 1) }];
      await held({ taken: { headers: headers(30, 1) }, refused, status: 431, code: "headers_too_large" });
    });

    test("17 KiB of headers are too much, in one or in many", async () => {
      const refused = [{ headers: headers(1, 17 * 1024) }, { headers: headers(17, 1024) }];
      await held({ taken: { headers: headers(15, 1000) }, refused, status: 431, code: "headers_too_large" });
    });
  });

  describe("by a partner in a minute", () => {
    let edge;
    before(async () => {
      edge = await startEdge({ originUrl: origin.url, limits: { RATE_6000: 3 } });
    });
    after(() => edge?.stop());

    test("what is over the partner's limit is answered 429 and not stored, and the other partners have theirs", async () => {
      await withinOneMinute();
      const [involveBefore, rectorBefore] = stored();
      const replies = [];
      for (let i = 0; i < 5; i++) replies.push(await send(edge.url, { target: `/rector/event?${rector(uniqueId())}` }));
      assert.deepEqual(replies.map(({ status }) => status), [200, 200, 200, 429, 429]);
      const over = replies.at(-1);
      assert.deepEqual([...codeOf(over), over.headers["retry-after"]], [429, "rate_limited", "60"]);
      const { outcome, level, partner } = await lineOf(edge, over);
      assert.deepEqual({ outcome, level, partner }, { outcome: "rate_limited", level: "warn", partner: "rector" });

      const older = await send(edge.url, { target: `/partner/rector/event?${rector(uniqueId())}`, headers: { "cf-connecting-ip": "192.0.2.99" } });
      assert.equal(older.status, 429, "it is the partner's, whatever the path and the address");
      const probe = await send(edge.url, { method: "HEAD", target: "/rector/event" });
      assert.equal(probe.status, 200, "a probe is no postback");
      const other = await send(edge.url, { target: `/involve/event?${involveA(uniqueId())}` });
      assert.deepEqual([other.status, other.text], [200, "OK"]);
      assert.deepEqual(stored().slice(0, 2), [involveBefore + 1, rectorBefore + 3]);
    });
  });

  describe("by those who fail to prove themselves", () => {
    const key = randomBytes(18).toString("hex");
    const bindings = { PATH_KEYS: `rector=${key}` };
    const FAILURES = 3;
    let edge;
    before(async () => {
      edge = await startEdge({
        originUrl: origin.url, build: PROVING_EDGE, limits: { AUTH_FAILURES: FAILURES }, bindings,
      });
    });
    after(() => edge?.stop());

    const OK = "Bearer default-ts-token";
    const at = (address, { path = `/rector/event/${key}`, authorization = OK, query = "", ...more } = {}) =>
      send(edge.url, { target: `${path}?${rector(uniqueId())}${query}`, headers: { "cf-connecting-ip": address, authorization }, ...more });
    const wrong = (address, more) => at(address, { authorization: "Bearer wrong", ...more });
    const operator = (address, token = OPERATOR_TOKEN) =>
      send(edge.url, { target: "/ops/parked", headers: { "cf-connecting-ip": address, authorization: `Bearer ${token}` } });

    /** Fails until it is shut out; how many failures were heard first. */
    async function shutOut(fail) {
      await withinOneMinute();
      const statuses = [];
      do statuses.push((await fail()).status);
      while (statuses.at(-1) === 403 && statuses.length < 20);
      assert.equal(statuses.at(-1), 429, `${statuses}`);
      const heard = statuses.length - 1;
      // The one over the limit is the one that shuts out.
      assert.equal(heard, FAILURES + 1, `${statuses}`);
    }

    test("a sender that failed too often is told so, and a right proof from the same address is not shut out", async () => {
      const before = stored()[1];
      assert.equal((await at("192.0.2.1")).status, 200);
      await shutOut(() => wrong("192.0.2.1"));
      const again = await wrong("192.0.2.1");
      assert.deepEqual([...codeOf(again), again.headers["retry-after"]], [429, "rate_limited", "60"]);
      const { reason, outcome } = await lineOf(edge, again);
      assert.deepEqual([outcome, reason], ["rate_limited", "failed to prove itself too often"]);
      assert.equal((await at("192.0.2.1", { path: "/rector/event" })).status, 429, "no key at all");
      for (const path of [`/rector/event/${key}`, `/postback/rector/event/${key}`, `/partner/rector/event/${key}`]) {
        assert.equal((await at("192.0.2.1", { path })).status, 200, path);
      }
      assert.equal(stored()[1], before + 4);
    });

    test("a wrong proof is refused before anything is read of the request", async () => {
      const large = await wrong("192.0.2.1", { method: "POST", body: "x".repeat(100_000) });
      assert.deepEqual(codeOf(large), [429, "rate_limited"]);
      const waiting = wrong("192.0.2.1", { method: "POST", chunks: ["{"], endless: true });
      assert.deepEqual(codeOf(await waiting), [429, "rate_limited"], "its body is not waited for");
      assert.deepEqual(codeOf(await wrong("192.0.2.1", { query: "&usd_payout=%ZZ" })), [429, "rate_limited"]);
    });

    test("another address, and the same at another endpoint, are listened to", async () => {
      assert.equal((await at("192.0.2.2")).status, 200);
      assert.equal((await wrong("192.0.2.2")).status, 403);
      assert.equal((await send(edge.url, { target: "/health", headers: { "cf-connecting-ip": "192.0.2.1" } })).status, 200);
      assert.equal((await operator("192.0.2.1")).status, 200);
      // By address and certificate, from an address that is shut out elsewhere.
      const address = PROVING.ipAllow[1].split("/")[0];
      await shutOut(() => wrong(address));
      const tlsClientAuth = { certPresented: "1", certVerified: "SUCCESS", certRevoked: "0", certFingerprintSHA256: PROVING.mtlsSha256[0] };
      const elsewhere = await edge.miniflare.dispatchFetch(`${edge.url}/involve/event?${involveA(uniqueId())}`, {
        headers: { "cf-connecting-ip": address }, cf: { tlsClientAuth },
      });
      assert.deepEqual([elsewhere.status, await elsewhere.text()], [200, "OK"]);
      assert.equal((await wrong(address)).status, 429);
    });

    test("operators who fail are shut out, and lose nothing else", async () => {
      await shutOut(() => operator("192.0.2.3", "wrong"));
      const right = await operator("192.0.2.3");
      assert.deepEqual([...codeOf(right), right.headers["retry-after"]], [429, "rate_limited", "60"]);
      assert.equal((await operator("192.0.2.4")).status, 200);
      assert.equal((await at("192.0.2.3")).status, 200);
    });

    test("a believed sender's mistakes are no failures to prove itself", async () => {
      await withinOneMinute();
      const statuses = [];
      for (let i = 0; i <= FAILURES + 2; i++) statuses.push((await at("192.0.2.5", { query: "&usd_payout=%ZZ" })).status);
      assert.deepEqual(statuses, Array(FAILURES + 3).fill(400));
      assert.equal((await at("192.0.2.5")).status, 200);
    });

    test("what is not believed uses up nothing of the partner's own limit", async () => {
      await edge.stop();
      edge = await startEdge({ originUrl: origin.url, build: PROVING_EDGE, limits: { RATE_6000: 3 }, bindings });
      await withinOneMinute();
      const statuses = [];
      for (let i = 0; i < 10; i++) statuses.push((await wrong(`192.0.2.${i}`)).status);
      for (let i = 0; i < 5; i++) statuses.push((await at("192.0.2.100")).status);
      assert.deepEqual(statuses, [...Array(10).fill(403), 200, 200, 200, 429, 429]);
    });
  });
});
