// From a partner's request to the database, on every kind of database: real WebAssembly in workerd, the real origin as a
// process and as a Worker, real SQLite, PostgreSQL and D1.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { startEdge } from "./lib/edge.mjs";
import { ALL_KINDS, freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { involveA, involveB, rector, TOKEN } from "./lib/requests.mjs";

/** Sends bytes as they are and reads the whole answer. */
function raw(url, bytes) {
  return new Promise((resolve, reject) => {
    const socket = connect(new URL(url).port, "127.0.0.1", () => socket.write(bytes));
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk)).on("end", () => resolve(answer)).on("error", reject);
  });
}

for (const kind of ALL_KINDS) {
  describe(`the whole path on ${kind}`, () => {
    let databases, origin, edge;

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin(databases);
      edge = await startEdge({ originUrl: origin.url });
    });
    after(async () => {
      await edge?.stop();
      await origin?.stop();
      databases?.remove();
    });

    /** A conversion as a person would look it up; times as UTC text. */
    function conversion(database, id) {
      const rows = databases.rows(
        database,
        `select conversion_id, cast(usd_payout as text) as payout, cast(usd_sale_amount as text) as sale, status,
           revision, event, replace(substr(cast(ts_event as text), 1, 19), 'T', ' ') as ts_event,
           replace(substr(cast(conversion_datetime as text), 1, 19), 'T', ' ') as conversion_datetime
         from conversions where conversion_id = '${id}'`,
      );
      assert.ok(rows.length <= 1);
      return rows[0];
    }

    const verdicts = (database, id) =>
      databases
        .rows(database, `select p.verdict from postbacks p join events e on e.event_id = p.event_id
                         where e.conversion_id = '${id}' order by p.postback_id`)
        .map((row) => row.verdict);

    test("the live InvolveAsia URL is stored once, and an approval revises it", async () => {
      const id = uniqueId();
      const first = await edge.fetch(`/involve/event?${involveA(id)}`);
      assert.deepEqual([first.status, await first.text()], [200, "OK"]);
      assert.equal(first.headers.get("bytec-verdict"), "created");
      assert.match(first.headers.get("bytec-event-id"), /^evt_[0-9a-f]{32}$/);
      assert.match(first.headers.get("bytec-request-id"), /^[\w-]{22}$/);
      const stored = {
        conversion_id: id, payout: "10.50", sale: "100.00", status: null, revision: 1, event: "purchase",
        ts_event: "2025-01-01 04:00:00", conversion_datetime: "2025-01-01 04:00:00",
      };
      assert.deepEqual(conversion("involve_asia_db", id), stored);

      const again = await edge.fetch(`/involve/event?${involveA(id)}`, { headers: { accept: "application/json" } });
      const { event_id, idempotent } = await again.json();
      assert.deepEqual([again.status, event_id, idempotent], [200, first.headers.get("bytec-event-id"), true]);
      const iso = await edge.fetch(`/involve/event?${involveA(id, { time: "2025-01-01T04:00:00Z" })}`);
      assert.deepEqual([iso.status, iso.headers.get("bytec-verdict")], [200, "duplicate"], "the same instant in ISO form");
      assert.deepEqual(conversion("involve_asia_db", id), stored);

      const approved = await edge.fetch(`/involve/event?${involveA(id, { more: "&status=Approved" })}`);
      assert.deepEqual([approved.status, approved.headers.get("bytec-verdict")], [200, "revised"]);
      assert.deepEqual(conversion("involve_asia_db", id), { ...stored, status: "approved", revision: 2 });
      assert.deepEqual(verdicts("involve_asia_db", id), ["created", "duplicate", "duplicate", "revised"]);
    });

    test("older links work, and both other live templates", async () => {
      for (const prefix of ["", "/postback", "/partner"]) {
        const [a, b] = [uniqueId(), uniqueId()];
        assert.equal((await edge.fetch(`${prefix}/involve/event?${involveB(a)}`)).status, 200);
        assert.equal(conversion("involve_asia_db", a).conversion_datetime, "2025-01-14 16:00:00", "midnight in Kuala Lumpur");
        const reply = await edge.fetch(`${prefix}/rector/event?${rector(b)}`);
        const body = await reply.json();
        assert.deepEqual([body.status, body.idempotent, body.verdict], ["ok", false, "created"]);
        assert.equal(body.event_id, reply.headers.get("bytec-event-id"));
        assert.equal(body.request_id, reply.headers.get("bytec-request-id"));
        assert.equal(conversion("rector_db", b).payout, "9.99");
        assert.equal(conversion("involve_asia_db", b), undefined, "each partner has its own database");
      }
    });

    test("a POST is taken as form and as JSON, the query winning", async () => {
      const [form, json] = [uniqueId(), uniqueId()];
      const asForm = await edge.fetch("/involve/event", {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: involveA(form),
      });
      assert.deepEqual([asForm.status, await asForm.text()], [200, "OK"]);
      assert.equal(conversion("involve_asia_db", form).payout, "10.50");
      const asJson = await edge.fetch(`/rector/event?conversion_id=${json}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"conversion_id":"loses","usd_earning":9876543210.123456,"offer_name":"สวัสดี"}',
      });
      assert.equal(asJson.status, 200);
      assert.equal(conversion("rector_db", json).payout, "9876543210.123456", "no float on the way");
    });

    test("the origin takes the same URL directly, with the tenant's token only", async () => {
      const id = uniqueId();
      const path = `/postback/involve/event?${involveA(id)}`;
      for (const [query, status] of [["", 401], ["&ts_token=wrong", 403], ["&ts_token=", 403]]) {
        assert.equal((await origin.fetch(path + query)).status, status, query);
      }
      assert.equal(conversion("involve_asia_db", id), undefined);
      const taken = await origin.fetch(`${path}&ts_token=${TOKEN}`);
      assert.deepEqual([taken.status, await taken.text()], [200, "OK"]);
      assert.equal(conversion("involve_asia_db", id).payout, "10.50");
      const byEdge = await edge.fetch(`/involve/event?${involveA(id)}`);
      assert.equal(byEdge.headers.get("bytec-verdict"), "duplicate", "one event, whichever way it came");
    });

    test("the generic S2S JSON keeps its amount exact and its id idempotent", async () => {
      const id = uniqueId();
      const post = (amount, headers = { authorization: `Bearer ${TOKEN}` }) =>
        origin.fetch("/postback", {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body: `{"event":"deposit_success","event_id":"${id}","click_id":"clk_123","account_id":"u_456","amount":${amount},"currency":"USD","is_ftd":true,"ts_event":"2025-10-21T15:12:31Z"}`,
        });
      assert.equal((await post("100.00", {})).status, 401);
      const first = await (await post("100.00")).json();
      assert.deepEqual([first.status, first.idempotent, first.event_id], ["ok", false, id]);
      assert.equal((await (await post("100.00")).json()).idempotent, true);
      const conflict = await post("100.01");
      const told = await conflict.json();
      assert.deepEqual([conflict.status, told.error, told.verdict, told.event_id], [409, "event_id_conflict", "conflict", id]);
      const [row] = databases.rows("s2s_db", `select cast(sale_amount as text) as amount, currency, event from conversions where event_id = '${id}'`);
      assert.deepEqual(row, { amount: "100.00", currency: "USD", event: "deposit" });
      const forged = await post("100.00", { authorization: `Bearer ${TOKEN}`, "x-key-id": "k", "x-timestamp": "1", "x-nonce": "n".repeat(22), "x-signature": "sha256=00" });
      assert.deepEqual([forged.status, (await forged.json()).error], [403, "signature_invalid"]);
      assert.equal((await edge.fetch("/postback", { method: "POST", body: "{}" })).status, 401, "the edge takes no unproven S2S");
    });

    test("bad input gets one code and field from edge and origin, and stores nothing", async () => {
      const id = uniqueId();
      const good = involveA(id);
      const cases = [
        [good.replace("event_time=2025-01-01%2012:00:00", "event_time=2025-13-01"), 400, "invalid_time", "event_time"],
        [good.replace("usd_sale_amount=100.00", "usd_sale_amount=10,50"), 400, "invalid_amount", "usd_sale_amount"],
        [good.replace("rewars=10.50", "rewars=NaN"), 400, "invalid_amount", "rewars"],
        [good.replace(id, ""), 400, "missing_field", "conversion_id"],
        [`${good}&rewars=11`, 400, "duplicate_param", "rewars"],
        [`${good}&payout=%FF`, 400, "bad_utf8", "payout"],
        [`${good}&payout=%zz`, 400, "bad_percent", "payout"],
        [`${good}&payout=1%0A2`, 400, "control_char", "payout"],
        [`${good}&${"x".repeat(65)}=1`, 400, "name_too_long", undefined],
        [`${good}&payout=${"1".repeat(1025)}`, 400, "value_too_long", "payout"],
        [`${good}&${Array.from({ length: 64 }, (_, i) => `x${i}=1`).join("&")}`, 400, "too_many_params", undefined],
        [`${good}&geo=${"x".repeat(9000)}`, 414, "url_too_long", undefined],
      ];
      for (const [query, status, code, field] of cases) {
        for (const send of [
          () => edge.fetch(`/involve/event?${query}`, { headers: { accept: "application/json" } }),
          () => origin.fetch(`/postback/involve/event?${query}`, { headers: { accept: "application/json", authorization: `Bearer ${TOKEN}` } }),
        ]) {
          const reply = await send();
          const body = await reply.json();
          assert.deepEqual([reply.status, body.error, body.field], [status, code, field], query.slice(0, 300));
          assert.ok(body.hint && body.request_id);
        }
      }
      const text = await (await edge.fetch(`/involve/event?${cases[1][0]}`)).text();
      assert.match(text, /^ERROR invalid_amount field=usd_sale_amount hint=.+ request_id=[\w-]{22}$/, "a text partner gets text");
      assert.equal(conversion("involve_asia_db", id), undefined);
    });

    test("unknown paths, other methods and large bodies are refused; HEAD records nothing", async () => {
      const id = uniqueId();
      const unknown = await edge.fetch("/nobody/event?conversion_id=1");
      assert.deepEqual([unknown.status, (await unknown.json()).error], [404, "partner_not_found"]);
      const put = await edge.fetch(`/involve/event?${involveA(id)}`, { method: "PUT", body: "x" });
      assert.deepEqual([put.status, put.headers.get("allow")], [405, "GET, HEAD, POST"]);
      const head = await edge.fetch(`/involve/event?${involveA(id)}`, { method: "HEAD" });
      assert.equal(head.status, 200);
      const large = await edge.fetch("/rector/event", { method: "POST", body: `{"x":"${"y".repeat(70_000)}"}` });
      assert.deepEqual([large.status, (await large.json()).error], [413, "body_too_large"]);
      const zipped = await edge.fetch("/rector/event", { method: "POST", headers: { "content-encoding": "gzip" }, body: "x" });
      assert.equal(zipped.status, 415);
      const xml = await edge.fetch("/rector/event", { method: "POST", headers: { "content-type": "text/xml" }, body: "<x/>" });
      assert.deepEqual([xml.status, (await xml.json()).error], [415, "unsupported_body"]);
      assert.equal(conversion("involve_asia_db", id), undefined);
    });

    test("raw bytes that are not UTF-8 are refused, so that two ids never become one", async () => {
      const reply = await raw(edge.url, Buffer.from("GET /rector/event?conversion_id=M\xff\xfa HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "latin1"));
      assert.match(reply, /^HTTP\/1\.1 400 [^]*"bad_utf8"/);
    });

    test("senders who prove nothing cannot fill the origin with bodies that never end", async () => {
      const head = "POST /postback/rector/event HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
      const sockets = Array.from({ length: 300 }, () => connect(origin.port, "127.0.0.1").on("error", () => {}));
      for (const socket of sockets) socket.write(head);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const reply = await edge.fetch(`/rector/event?${rector(uniqueId())}`);
      assert.equal(reply.status, 200);
      for (const socket of sockets) socket.destroy();
    });

    test("sixteen identical requests at once create one conversion", async () => {
      const id = uniqueId();
      const replies = await Promise.all(Array.from({ length: 16 }, () => edge.fetch(`/rector/event?${rector(id)}`)));
      const bodies = await Promise.all(replies.map((reply) => reply.json()));
      assert.deepEqual(replies.map((reply) => reply.status), Array(16).fill(200));
      assert.equal(bodies.filter((body) => body.idempotent === false).length, 1);
      assert.equal(conversion("rector_db", id).revision, 1);
    });

    test("what is stored says how it came, and holds no secret", async () => {
      const id = uniqueId();
      await edge.fetch(`/involve/event?${involveA(id)}&ts_token=leak-canary&extra=1`, {
        headers: { "cf-connecting-ip": "198.51.100.7", "bytec-event-id": "forged", "bytec-client-ip": "203.0.113.9" },
      });
      const [row] = databases.rows(
        "involve_asia_db",
        `select p.auth_mode, p.client_ip, p.key_id, p.target, cast(p.ignored as text) as ignored, p.request_id
         from postbacks p join events e on e.event_id = p.event_id where e.conversion_id = '${id}'`,
      );
      assert.deepEqual([row.auth_mode, row.client_ip, row.key_id], ["open", "198.51.100.7", "development"]);
      assert.equal(row.ignored, '["extra"]');
      assert.equal(row.target, `/involve/event?${involveA(id)}&ts_token=***&extra=1`);
      for (const lines of [edge.lines, origin.lines]) {
        assert.ok(lines.join("\n").includes(row.request_id), "one name of the request in record and both logs");
      }
      const logs = [...edge.lines, ...origin.lines].join("\n");
      for (const secret of ["leak-canary", TOKEN, "198.51.100.7", "click_id"]) assert.ok(!logs.includes(secret), secret);
    });

    test("while the origin is down the queue holds what comes; when it is back, it has it", async () => {
      const id = uniqueId();
      const port = origin.port;
      await origin.stop();
      const queued = await edge.fetch(`/rector/event?${rector(id)}`);
      const body = await queued.json();
      assert.deepEqual([queued.status, queued.headers.get("bytec-verdict"), body.status], [200, "queued", "queued"]);
      assert.match(body.event_id, /^evt_[0-9a-f]{32}$/);
      const text = await edge.fetch(`/involve/event?${involveA(uniqueId())}`);
      assert.deepEqual([text.status, await text.text()], [200, "OK"], "a partner that reads text reads OK");
      const sick = await edge.fetch("/health?deep=1");
      assert.deepEqual([sick.status, (await sick.json()).origin.reachable], [503, false]);
      assert.equal((await edge.fetch("/health")).status, 200, "the edge itself lives");
      origin = await startOrigin({ ...databases, port });
      const stored = async () => databases.rows("rector_db", `select 1 from conversions where conversion_id = '${id}'`).length === 1;
      await until("what was queued", stored, { timeoutMs: 60_000 });
      assert.equal(conversion("rector_db", id).revision, 1);
      const again = await edge.fetch(`/rector/event?${rector(id)}`);
      assert.equal((await again.json()).event_id, body.event_id, "what was queued is the event that is sent again");
      await until("a success of this edge", async () => {
        const { origin: well } = await (await edge.fetch("/health?deep=1")).json();
        return well.reachable && well.last_success_s_ago <= 60;
      });
    });
  });
}
