// A partner's file that was wrong at the edge for a while: what it misread and what it rejected is read again by the right one. The real
// WebAssembly in workerd, its real queue, a real origin and its command.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { PROVING_EDGE } from "../../scripts/lib/proving-edge.mjs";
import { startEdge } from "./lib/edge.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin } from "./lib/origin.mjs";
import { startTunnel } from "./lib/tunnel.mjs";

const KEY = randomBytes(24).toString("base64url");
const TOKEN = randomBytes(24).toString("base64url");
/** Conversions. */
const COUNT = 120;
/** What the right file makes of a status; the wrong one takes `Paid` for a rejection and does not know `Pending`. */
const RIGHT = { Approved: "approved", Paid: "paid", Pending: "pending" };
/** What a conversion's notices say one after the other. */
const STORIES = [["Approved"], ["Paid"], ["Pending"], ["Pending", "Approved"], ["Approved", "Paid"], ["Pending", "Pending"]];

for (const kind of KINDS) {
  describe(`requests that are read again, on ${kind}`, () => {
    let databases, origin, tunnel, edge;
    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin(databases);
      tunnel = await startTunnel(origin.url);
      const bindings = { TENANT_TOKENS: `bytec=${TOKEN}`, PATH_KEYS: `rector=${KEY}` };
      edge = await startEdge({ originUrl: tunnel.url, build: PROVING_EDGE, bindings });
    });
    after(async () => {
      await edge?.stop();
      await tunnel?.stop();
      await origin?.stop();
      databases?.remove();
    });

    const rows = (sql) => databases.rows("rector_db", sql);
    const run = (...args) => spawnSync(BINARY, [...args, "--partner", "rector"], { env: { ...process.env, ...databases.env }, encoding: "utf8" });
    const reread = (...args) => {
      const { status, stdout, stderr } = run("reread", "--json", ...args);
      assert.equal(status, 0, stderr);
      return JSON.parse(stdout);
    };
    const story = (n) => STORIES[n % STORIES.length];
    const cents = (n) => 100 + n;
    const amount = (n) => `${Math.floor(n / 100)}.${String(n % 100).padStart(2, "0")}`;
    const send = async (n, status) => {
      const query = `conversion_id=c${n}&conversion_datetime=2025-01-1${n % 5}&usd_earning=${amount(cents(n))}&status=${status}`;
      const reply = await edge.fetch(`/rector/event/${KEY}?${query}`, { headers: { authorization: `Bearer ${TOKEN}` } });
      await reply.arrayBuffer();
      assert.equal(reply.status, status === "Pending" ? 400 : 200, `${n} ${status}`);
      return reply.headers.get("bytec-request-id");
    };
    /** Everything that is stored, but for what only says when it was written. */
    const dump = () =>
      ["conversions", "revisions", "events", "repeats", "postbacks", "rejections", "reread_requests", "totals_by_day"].map((table) =>
        rows(`select * from ${table}`).map((row) => JSON.stringify(row)).sort());
    const requests = new Map();

    test("each conversion is there once, with the money that the right file gives it, and a second time changes nothing", async () => {
      let rejected = 0;
      for (let n = 0; n < COUNT; n++) {
        for (const status of story(n)) {
          requests.set(`c${n} ${status}`, await send(n, status));
          if (status === "Pending") rejected += 1;
        }
      }
      await until("the rejections", async () => Number(rows("select count(*) as n from rejections")[0].n) === rejected, { everyMs: 200, timeoutMs: 30_000 });
      const paid = rows("select conversion_id from conversions where status = 'rejected'").length;
      assert.ok(paid > 0, "the wrong file has done harm");
      const before = dump();
      const { found, applied, done } = reread();
      assert.deepEqual([applied, done], [false, null]);
      assert.deepEqual(dump(), before, "a dry run changes nothing");
      assert.deepEqual([found.changed, found.recovered], [paid, rejected]);
      const days = new Map(found.days.map((day) => [day.day, day]));
      const on = (day) => [...Array(COUNT).keys()].filter((n) => `2025-01-1${n % 5}` === day);
      assert.deepEqual([...days.keys()].sort(), ["2025-01-10", "2025-01-11", "2025-01-12", "2025-01-13", "2025-01-14"]);
      const { stdout } = run("report", "--json", "--from", "2025-01-10", "--to", "2025-01-14");
      const stood = new Map(JSON.parse(stdout).periods.map((period) => [period.start.slice(0, 10), period]));
      for (const [day, { before: was, after: is }] of days) {
        const total = on(day).reduce((sum, n) => sum + cents(n), 0);
        const standing = Math.round(Number(stood.get(day).payout) * 100);
        assert.equal(Math.round((Number(is.payout) - Number(was.payout)) * 100), total - standing, day);
        assert.equal(is.conversions - was.conversions, on(day).length - stood.get(day).conversions, day);
      }

      assert.equal(reread("--yes").done.recovered, rejected);
      const expected = [...Array(COUNT).keys()].map((n) => `c${n} ${RIGHT[story(n).at(-1)]} ${amount(cents(n))}`).sort();
      const stored = rows("select conversion_id, status, cast(usd_payout as text) as payout from conversions");
      assert.deepEqual(stored.map(({ conversion_id, status, payout }) => `${conversion_id} ${status} ${payout}`).sort(), expected);
      const report = JSON.parse(run("report", "--json", "--from", "2025-01-10", "--to", "2025-01-14").stdout);
      assert.equal(Math.round(Number(report.total.payout) * 100), [...Array(COUNT).keys()].reduce((sum, n) => sum + cents(n), 0));
      assert.equal(run("recount", "--dry-run").status, 0, "all is what it is made of");

      const after = dump();
      const again = reread("--yes");
      assert.deepEqual([again.found.changed, again.found.recovered, again.found.days, again.done], [0, 0, [], null]);
      assert.deepEqual(dump(), after, "a second time changes nothing");
      const audit = spawnSync(BINARY, ["audit", "--json"], { env: { ...process.env, ...databases.env }, encoding: "utf8" });
      const noted = JSON.parse(audit.stdout).filter(({ action }) => action === "reread").map(({ details }) => Object.keys(details).sort());
      assert.deepEqual(noted, [["begins", "rules"], ["ended", "rules"]]);
    });

    test("a trace tells what a request was before, and the time of a request that was rejected is its own", async () => {
      const [request, late] = [requests.get("c1 Paid"), requests.get("c3 Pending")];
      const [trace] = JSON.parse(run("trace", request, "--json").stdout).partners;
      const reread = trace.timeline.find(({ kind }) => kind === "reread");
      assert.deepEqual([reread.request_id, reread.before.stated.status, reread.after.stated.status], [request, "rejected", "paid"]);
      const shown = run("trace", "c1").stdout;
      assert.match(shown, /reread {2,}.* was created c1 .*status rejected.* is created c1 .*status paid/);
      const [stored] = rows(`select postbacks.received_at as accepted, rejections.received_at as rejected from postbacks
        join rejections on rejections.request_id = postbacks.request_id where postbacks.request_id = '${late}'`);
      assert.deepEqual(stored.accepted, stored.rejected);
      const history = rows("select status from revisions where conversion_key = 'c3' order by revision").map(({ status }) => status);
      assert.deepEqual(history, ["pending", "approved"], "it takes its place among the others");
      const [recovered] = JSON.parse(run("trace", late, "--json").stdout).partners[0].timeline.filter(({ kind }) => kind === "reread");
      const { verdict, code, field, event_id } = recovered.before;
      assert.deepEqual([verdict, code, field, event_id], ["rejected", "unknown_status", "status", null]);
      assert.match(run("trace", late).stdout, /reread {2,}.* was rejected unknown_status status {2}is /);
    });

    test("what a run that was stopped has left is said and evaluated, also where nothing is read otherwise", async () => {
      await origin.stop();
      databases.execute("rector_db", "insert into rebuilds (conversion_key, generation, due_at) values ('c0', 1, '2025-01-01T00:00:00.000000Z')");
      const { found } = reread();
      assert.deepEqual([found.changed, found.recovered, found.waiting], [0, 0, 1]);
      const told = run("reread").stdout;
      assert.match(told, /1 conversions wait to be evaluated/);
      assert.equal(reread("--yes").applied, true);
      assert.deepEqual(rows("select conversion_key from rebuilds"), []);
      assert.equal(reread().found.waiting, 0);
    });
  });
}
