// Everything about one id, by the API and by `bytec-origin trace`; requests and rejected requests by the page.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin, uniqueId } from "./lib/origin.mjs";
import { TOKEN } from "./lib/requests.mjs";

const OPERATOR_TOKEN = "operator-token-of-a-test";

for (const kind of KINDS) {
  describe(`traces on ${kind}`, () => {
    let databases, origin, edge, edgeUrl, keys;
    const asked = [];
    const sent = {};

    const command = async (args, { env = {}, input = "" } = {}) => {
      const child = spawn(BINARY, args, { cwd: ROOT, env: { ...process.env, ENVIRONMENT: "development", PARTNERS: "", ...databases.env, ...env }, timeout: 60_000 });
      const [out, err] = [child.stdout, child.stderr].map((stream) => {
        let text = "";
        stream.on("data", (chunk) => (text += chunk));
        return () => text;
      });
      child.stdin.end(input);
      const code = await new Promise((resolve) => child.on("close", resolve));
      return { code, out: out(), err: err() };
    };
    const get = (path, key = keys.involve) => origin.fetch(path, { headers: { authorization: `Bearer ${key}` } });
    const json = async (path, key) => {
      const reply = await get(path, key);
      const body = await reply.json();
      assert.equal(reply.status, 200, JSON.stringify(body));
      return body;
    };
    const traced = (id) => json(`/partner/involve/event/trace?id=${encodeURIComponent(id)}`);
    const send = async (query, status = 200, partner = "involve") => {
      const reply = await origin.fetch(`/postback/${partner}/event?${query}&ts_token=${TOKEN}`);
      assert.equal(reply.status, status, await reply.text());
      return reply.headers.get("bytec-request-id");
    };

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin(databases);
      const made = async (line) => JSON.parse((await command([...line.split(" "), "--json"])).out).secret;
      keys = {
        involve: await made("keys create --tenant bytec --scope read --for-partner involve_asia"),
        rector: await made("keys create --tenant bytec --scope read --for-partner rector"),
      };
      await until("the key", async () => (await get("/partner/involve/event/conversions")).status === 200, { everyMs: 200 });
      await until("the other key", async () => (await get("/partner/rector/event/conversions", keys.rector)).status === 200, { everyMs: 200 });
      const ids = { conversion: uniqueId(), order: uniqueId(), account: uniqueId(), sale: uniqueId(), change: uniqueId(), refund: uniqueId() };
      const about = `conversion_id=${ids.conversion}&order_id=${ids.order}&account_id=${ids.account}&event=purchase`;
      Object.assign(sent, ids, {
        first: await send(`${about}&event_id=${ids.sale}&rewars=10.50`),
        second: await send(`${about}&event_id=${ids.change}&rewars=12.000001&status=Approved`),
        third: await send(`conversion_id=${ids.conversion}&event=refund&event_id=${ids.refund}&rewars=2`),
        refused: await send(`${about}&rewars=1,5`, 400),
      });
      databases.execute("involve_asia_db", `update rejections set conversion_id = '${ids.conversion}', status = 400 where request_id = '${sent.refused}'`);
      await send(`conversion_id=${ids.conversion}&usd_earning=77.77`, 200, "rector");
      await until("processing", async () => (await traced(ids.conversion)).conversions.every((one) => !one.is_pending), { everyMs: 100 });
      // What an edge would answer of what it has parked.
      edge = createServer((request, response) => {
        const url = new URL(request.url, "http://edge");
        asked.push(url.search);
        const right = request.headers.authorization === `Bearer ${OPERATOR_TOKEN}` && ["/ops/parked", "/ops/queued"].includes(url.pathname);
        const row = { request_id: "parked-1", partner: "involve_asia", event_id: ids.refund, received_at: null, state: "parked", reason: "exhausted", detail: "origin\u001b[2J: 503", attempts: 9, parked_at: "2026-01-31T12:00:00.000000Z", changed_at: "2026-01-31T12:00:00.000000Z", replays: 0 };
        const parked = [ids.refund, "at-the-edge"].includes(url.searchParams.get("event_id")) ? [row] : [];
        response.writeHead(right ? 200 : 401, { "content-type": "application/json" });
        const queued = url.searchParams.get("id") === "in-the-queue" ? [{ request_id: "queued-1", partner: "rector", event_id: "evt_q", conversion_id: "in-the-queue", received_at: "2026-01-31T11:00:00.000000Z", queued_at: "2026-01-31T11:00:01.000000Z" }] : [];
        const answer = url.pathname === "/ops/queued" ? { queued, is_cut: false, by_partner: [] } : { parked, next: null };
        response.end(JSON.stringify(right ? answer : { error: "signature_invalid", hint: "h" }));
      });
      await new Promise((resolve) => edge.listen(0, "127.0.0.1", resolve));
      edgeUrl = `http://127.0.0.1:${edge.address().port}`;
    });
    after(async () => {
      edge?.close();
      await origin?.stop();
      databases?.remove();
    });

    test("every id leads to the same story, in the order of time, with exact money", async () => {
      const story = await traced(sent.conversion);
      const told = ({ kind, verdict, code, revision, event }) => [kind, verdict ?? code ?? revision ?? "", event ?? ""].join(" ").trim();
      assert.deepEqual(story.timeline.filter(({ kind }) => kind !== "processing").map(told), [
        "request created purchase", "revision 1 purchase", "request revised purchase", "revision 2 purchase", "request created refund", "revision 1 refund",
        "rejection invalid_amount",
      ]);
      assert.deepEqual(story.timeline.filter(({ kind }) => kind === "revision").map(({ deltas }) => deltas), [
        [{ of: "usd_payout", amount: "10.50", currency: "USD" }],
        [{ of: "usd_payout", amount: "1.500001", currency: "USD" }],
        [{ of: "usd_payout", amount: "-2.00", currency: "USD" }],
      ]);
      const times = story.timeline.map(({ at }) => at);
      assert.deepEqual(times, times.toSorted());
      assert.deepEqual(story.total, { conversions: 2, reporting_sale_amount: "0.00", reporting_payout: "10.000001", waiting_for_rates: 0 });
      assert.deepEqual(story.conversions.map((one) => [one.event, one.status, one.is_counted, one.refund_of]), [
        ["purchase", "approved", true, null], ["refund", null, true, sent.conversion],
      ]);
      for (const [id, name] of [
        [sent.first, "request_id"], [sent.second, "request_id"], [sent.third, "request_id"], [sent.refused, "request_id"],
        [sent.sale, "event_id"], [sent.change, "event_id"], [sent.refund, "event_id"], [sent.order, "order_id"], [sent.account, "account_id"],
      ]) {
        const same = await traced(id);
        assert.deepEqual([same.found, same.found_as], [true, [name]], id);
        assert.deepEqual(same.timeline.map(({ matches, ...entry }) => entry), story.timeline.map(({ matches, ...entry }) => entry), id);
      }
    });

    test("our request ids begin with the time", () => {
      const bytes = Buffer.from(sent.first, "base64url");
      assert.equal(bytes.length, 16);
      assert.ok(Math.abs(bytes.readUIntBE(0, 6) - Date.now()) < 300_000, "milliseconds of Unix time");
    });

    test("neither another partner's key nor none opens a trace or a list, and another partner's conversion is no part of it", async () => {
      for (const about of [`trace?id=${sent.conversion}`, "postbacks", "rejections"]) {
        for (const [key, status] of [[keys.rector, 403], ["bck_none", 403]]) {
          const reply = await get(`/partner/involve/event/${about}`, key);
          assert.deepEqual([reply.status, (await reply.text()).includes(sent.first)], [status, false], about);
        }
        assert.equal((await origin.fetch(`/partner/involve/event/${about}`)).status, 401);
        assert.equal((await origin.fetch(`/partner/involve/event/${about}`, { method: "POST", headers: { authorization: `Bearer ${keys.involve}` } })).status, 405);
      }
      assert.ok(!JSON.stringify(await traced(sent.conversion)).includes("77.77"));
      assert.ok(JSON.stringify(await json(`/partner/rector/event/trace?id=${sent.conversion}`, keys.rector)).includes("77.77"));
      const theirs = await json("/partner/rector/event/postbacks", keys.rector);
      assert.equal(theirs.postbacks.length, 1);
    });

    test("an id that is nowhere is not found, and what can be no id is refused", async () => {
      const nowhere = await traced("no-such-id");
      assert.deepEqual([nowhere.found, nowhere.found_as, nowhere.timeline, nowhere.conversions], [false, [], [], []]);
      for (const query of ["", "id=", `id=${"a".repeat(513)}`, "id=a%00b", "id=a%0A"]) {
        const reply = await get(`/partner/involve/event/trace?${query}`);
        const { error, field, hint } = await reply.json();
        assert.deepEqual([reply.status, error, field, hint], [400, "invalid_id", "id", "1 to 512 bytes without control characters"], query);
      }
      assert.equal((await (await get("/partner/involve/event/trace?id=a&limit=1")).json()).error, "unknown_param");
    });

    test("requests and rejected requests are listed by the page, as JSON and as a table without formulas", async () => {
      const all = (await json("/partner/involve/event/postbacks")).postbacks.map(({ request_id }) => request_id);
      assert.deepEqual(all, [sent.third, sent.second, sent.first]);
      const page = await json("/partner/involve/event/postbacks?limit=2");
      assert.deepEqual(page.postbacks.map(({ request_id, via, auth_mode }) => [request_id, via, auth_mode]), [sent.third, sent.second].map((id) => [id, "direct", "token"]));
      const rest = await json(`/partner/involve/event/postbacks?limit=2&cursor=${page.next_cursor}`);
      assert.deepEqual([rest.postbacks.map(({ request_id }) => request_id), rest.next_cursor], [[sent.first], null]);
      assert.deepEqual((await json(`/partner/involve/event/postbacks?order_id=${sent.order}`)).postbacks.map(({ verdict }) => verdict), ["revised", "created"]);
      const [refused] = (await json(`/partner/involve/event/rejections?code=invalid_amount&conversion_id=${sent.conversion}`)).rejections;
      assert.deepEqual([refused.request_id, refused.status, refused.field, refused.via, refused.is_authenticated], [sent.refused, 400, "rewars", "direct", true]);
      assert.ok(!JSON.stringify(refused).includes(TOKEN), "what is secret was not stored");
      databases.execute("involve_asia_db", `update rejections set field = '=1+1' where request_id = '${sent.refused}'`);
      const table = await get("/partner/involve/event/rejections?format=csv&limit=1");
      assert.equal(table.headers.get("content-type"), "text/csv; charset=utf-8");
      assert.match(await table.text(), /^request_id,received_at,code,field,[^]*,invalid_amount,'=1\+1,400,/);
      const other = await get(`/partner/involve/event/rejections?cursor=${page.next_cursor}`);
      assert.deepEqual([other.status, (await other.json()).error], [400, "invalid_cursor"]);
    });

    test("the command looks in every partner's database, and says by its exit code whether it found anything", async () => {
      const { code, out, err } = await command(["trace", sent.conversion]);
      assert.equal(code, 0, err);
      assert.match(out, new RegExp(`^involve_asia: ${sent.conversion} is conversion_id, times in UTC$`, "m"));
      assert.match(out, new RegExp(`^rector: ${sent.conversion} is conversion_id`, "m"));
      assert.match(out, /^ {2}\S+ {2}revision +2 of \S+ .*usd payout \+1\.500001 USD$/m);
      assert.match(out, /^ {2}what counts of it: sale amount 0\.00, payout 10\.000001 in USD, waiting for rates 0$/m);
      const listed = JSON.parse((await command(["trace", sent.order, "--json", "--tz", "Asia/Kuala_Lumpur"])).out);
      assert.deepEqual([listed.found, listed.edge, listed.partners.map(({ partner }) => partner)], [true, null, ["involve_asia"]]);
      assert.match(listed.partners[0].timeline[0].at, /\+08:00$/);
      const one = JSON.parse((await command(["trace", "-", "--json", "--partner", "rector"], { input: `${sent.conversion}\n` })).out);
      assert.deepEqual(one.partners.map(({ partner }) => partner), ["rector"]);
      const nowhere = await command(["trace", "no-such-id"]);
      assert.deepEqual([nowhere.code, nowhere.out, nowhere.err], [1, "no-such-id: found nowhere\n", ""]);
      assert.equal(JSON.parse((await command(["trace", "no-such-id", "--json"])).out).found, false);
      for (const [wrong, told] of [["a\nb", /^ID: .* \(invalid_id\)$/m], ["", /^ID: /m]]) {
        const refused = await command(["trace", wrong]);
        assert.equal(refused.code, 2);
        assert.match(refused.err, told);
      }
    });

    test("with an edge, what is parked there of the ids is part of it", async () => {
      const env = { OPERATOR_TOKEN };
      const { code, out, err } = await command(["trace", sent.conversion, "--edge", edgeUrl], { env });
      assert.equal(code, 0, err);
      assert.match(out, new RegExp(`^edge:\n {2}2026-01-31T12:00:00\\.000000Z {2}parked {2}exhausted {2}parked-1 {2}${sent.refund} {2}origin \\[2J: 503$`, "m"));
      assert.ok(asked.includes(`?event_id=${sent.refund}&limit=1000`) && asked.includes(`?request_id=${sent.conversion}`), asked.join(" "));
      // What no database has may still be there.
      const there = await command(["trace", "at-the-edge", "--edge", edgeUrl, "--json"], { env });
      assert.deepEqual([there.code, JSON.parse(there.out).edge.parked.length, JSON.parse(there.out).partners], [0, 1, []]);
      const nowhere = await command(["trace", "no-such-id", "--edge", edgeUrl], { env });
      assert.deepEqual([nowhere.code, nowhere.out], [1, "edge: nothing of it is queued or parked\nno-such-id: found nowhere\n"]);
      const waiting = await command(["trace", "in-the-queue", "--edge", edgeUrl], { env });
      assert.deepEqual([waiting.code, waiting.out], [0, "edge:\n  2026-01-31T11:00:01.000000Z  queued    queued-1  evt_q\n"]);
      const refused = await command(["trace", "no-such-id", "--edge", edgeUrl], { env: { OPERATOR_TOKEN: "wrong-token-of-a-test" } });
      assert.deepEqual([refused.code, refused.out], [2, "no-such-id: not found where it could be looked for\n"]);
      assert.match(refused.err, /the edge does not know this token/);
    });

    test("a partner without a database is passed over, one that is named is not, and none is made or migrated", async () => {
      const folder = mkdtempSync(join(tmpdir(), "bytec-e2e-"));
      const elsewhere = { DATA_DIR: folder, DATABASE_URL: "" };
      try {
        const none = await command(["trace", "x"], { env: elsewhere });
        assert.equal(none.code, 2);
        assert.match(none.err, /^rector: there is no database sqlite at /m);
        assert.equal((await command(["migrate", "--partner", "rector"], { env: elsewhere })).code, 0);
        const before = readdirSync(folder).sort();
        const one = await command(["trace", "x"], { env: elsewhere });
        assert.deepEqual([one.code, one.out, one.err], [1, "x: found nowhere\n", ""]);
        const named = await command(["trace", "x", "--partner", "involve_asia"], { env: elsewhere });
        assert.deepEqual([named.code, named.out], [2, "x: not found where it could be looked for\n"]);
        assert.match(named.err, /^involve_asia: there is no database /m);
        assert.deepEqual(readdirSync(folder).sort(), before);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
      const marked = "select count(*) as n from _sqlx_migrations";
      databases.execute("rector_db", "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)");
      const [{ n }] = databases.rows("rector_db", marked);
      const { code, err } = await command(["trace", sent.conversion]);
      assert.equal(code, 2);
      assert.match(err, /^rector: its tables are older than this program/m);
      assert.deepEqual(databases.rows("rector_db", marked), [{ n }]);
    });
  });
}
