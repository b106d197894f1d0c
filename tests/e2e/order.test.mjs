// The tunnel was away: notices waited in the edge's queue, and the origin stores them in another order than the edge received them.
// Conversions, statistics and findings are those of the order of receipt.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { setTimeout as wait } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { startEdge } from "./lib/edge.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin, uniqueId } from "./lib/origin.mjs";
import { TOKEN } from "./lib/requests.mjs";
import { startTunnel } from "./lib/tunnel.mjs";

/** Pause between two notices of a conversion, in milliseconds: the edge orders them by the millisecond. */
const PAUSE_MS = 40;

/** How often the origin is stopped at most until it stops between a store and its rebuild, which follows within a quarter of a second. */
const STOPS_MAX = 12;

/**
 * Each row: what its sender sends, in order, and the result. Of a `conversion`: event, status, revisions, sale amount and payout that are
 * reported, and findings. `sale_amount` and `payout` are the totals of its day.
 */
const ROWS = [
  {
    name: "an approval and its rejection",
    partner: "rector",
    notices: ["event=purchase&usd_earning=10&status=Approved", "event=purchase&usd_earning=10&status=Rejected"],
    conversions: [["purchase", "rejected", 2, null, "10.00", ""]],
    total: { conversions: 0, rejected: 1, sale_amount: "0.00", payout: "0.00" },
  },
  {
    name: "an amount and its correction",
    partner: "rector",
    notices: ["event=purchase&usd_earning=10", "event=purchase&usd_earning=25"],
    conversions: [["purchase", null, 2, null, "25.00", ""]],
    total: { conversions: 1, rejected: 0, sale_amount: "0.00", payout: "25.00" },
  },
  {
    name: "a sale, a refund of a part and one of what is left",
    partner: "s2s",
    notices: [{ event: "purchase", amount: 50 }, { event: "refund", amount: 15 }, { event: "refund" }],
    conversions: [
      ["purchase", null, 1, "50.00", null, ""],
      ["refund", null, 1, "-15.00", null, ""],
      ["refund", null, 1, "-35.00", null, "amount_of_original"],
    ],
    total: { rejected: 0, sale_amount: "0.00", payout: "0.00" },
  },
  {
    name: "a sale, its refund and its rejection",
    partner: "rector",
    notices: ["event=purchase&usd_earning=10.50&status=Approved", "event=refund&usd_earning=10.50", "event=purchase&usd_earning=10.50&status=Rejected"],
    conversions: [
      ["purchase", "rejected", 2, null, "10.50", ""],
      ["refund", null, 1, "0.00", "0.00", "original_rejected"],
    ],
    total: { rejected: 1, sale_amount: "0.00", payout: "0.00" },
  },
  {
    name: "a sale, a refund and a chargeback of all of it, and its rejection",
    partner: "rector",
    notices: ["event=purchase&usd_sale_amount=100&status=Approved", "event=refund", "event=chargeback", "event=purchase&usd_sale_amount=100&status=Rejected"],
    conversions: [
      ["chargeback", null, 1, "0.00", "0.00", "original_rejected"],
      ["purchase", "rejected", 2, "100.00", null, ""],
      ["refund", null, 1, "0.00", "0.00", "original_rejected"],
    ],
    total: { rejected: 1, sale_amount: "0.00", payout: "0.00" },
  },
];

/** All orders of some things. */
const ordersOf = (things) =>
  things.length < 2 ? [things] : things.flatMap((thing, place) => ordersOf(things.toSpliced(place, 1)).map((others) => [thing, ...others]));

/** One test's conversion for each order in which a row's notices can be stored, each on a day of its own. */
const CASES = ROWS.flatMap((row) => ordersOf(row.notices.map((_, n) => n)).map((stored) => ({ row, stored }))).map((found, number) => ({
  ...found,
  id: `${uniqueId()}-${number}`,
  day: new Date(Date.UTC(2025, 8, 1 + number)).toISOString().slice(0, 10),
}));

const databaseOf = (partner) => `${partner}_db`;

/** A notice as its sender sends it. */
function sent({ row, id, day }, n) {
  const notice = row.notices[n];
  if (row.partner === "rector") return [`/rector/event?conversion_id=${id}&${notice}&conversion_datetime=${day}`, {}];
  const body = { event_id: `${id}-${n}`, conversion_id: id, currency: "USD", ts_event: `${day}T12:00:00Z`, ...notice };
  const headers = { "content-type": "application/json", authorization: `Bearer ${TOKEN}` };
  return ["/postback", { method: "POST", headers, body: JSON.stringify(body) }];
}

/** Which event of its conversion a notice is about: a refund with an event id of its own is a conversion of its own. */
function keyOf({ row }, n) {
  return row.partner === "s2s" ? `${n}` : /event=(\w+)/.exec(row.notices[n])[1];
}

/** Verdict and lateness of each notice, in the order in which they are stored, worked out here and not there. */
function expectedReceipts(found) {
  const seen = [];
  return found.stored.map((n) => {
    const same = seen.filter((other) => keyOf(found, other) === keyOf(found, n));
    seen.push(n);
    return [same.length === 0 ? "created" : "revised", same.some((other) => other > n)];
  });
}

for (const kind of KINDS) {
  describe(`after the tunnel was away, on ${kind}`, () => {
    let databases, origin, tunnel, key;

    const readKey = (env) => {
      const line = "keys create --tenant bytec --scope read --json";
      const { status, stdout, stderr } = spawnSync(BINARY, line.split(" "), { cwd: ROOT, env: { ...process.env, ...env }, encoding: "utf8" });
      assert.equal(status, 0, stderr);
      return JSON.parse(stdout).secret;
    };
    const ask = (path) => origin.fetch(`/partner/${path}`, { headers: { authorization: `Bearer ${key}` } });
    const asked = async (path) => {
      const reply = await ask(path);
      const body = await reply.json();
      assert.equal(reply.status, 200, JSON.stringify(body));
      return body;
    };
    const endpointOf = (partner) => (partner === "s2s" ? "" : `${partner}/event/`);
    const nothingLeft = () =>
      until("rebuilds and jobs", async () => ["rector", "s2s"].every((partner) => {
        const [left] = databases.rows(databaseOf(partner), "select (select count(*) from rebuilds) + (select count(*) from work_items) as n");
        return left.n === 0;
      }), { timeoutMs: 60_000 });

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin(databases);
      tunnel = await startTunnel(origin.url);
      key = readKey(databases.env);
      await until("the key", async () => (await ask("rector/event/stats")).status === 200, { everyMs: 200, timeoutMs: 20_000 });
    });
    after(async () => {
      await tunnel?.stop();
      await origin?.stop();
      databases?.remove();
    });

    /** Fails unless a case is as its row says: conversions, totals of its day, and its events, each once. */
    async function assertResult({ row, id, day, stored }) {
      const what = `${row.name}, stored in the order ${stored.map((n) => n + 1)}`;
      const { conversions } = await asked(`${endpointOf(row.partner)}conversions?conversion_id=${id}`);
      const told = conversions.map(({ event, status, revision, reporting_sale_amount, reporting_payout, findings }) =>
        [event, status, revision, reporting_sale_amount, reporting_payout, findings.toSorted().join()]);
      const byText = (a, b) => (`${a[0]}${a[5]}` < `${b[0]}${b[5]}` ? -1 : 1);
      assert.deepEqual(told.toSorted(byText), row.conversions.toSorted(byText), what);
      const { total } = await asked(`${endpointOf(row.partner)}stats?from=${day}&to=${day}`);
      const counted = Object.fromEntries(Object.keys(row.total).map((name) => [name, total[name]]));
      assert.deepEqual(counted, row.total, what);
      const database = databaseOf(row.partner);
      const [{ n }] = databases.rows(database, `select count(*) as n from events where conversion_id = '${id}'`);
      assert.equal(n, row.notices.length, `${what}: each event is stored once`);
    }

    /** Verdicts and lateness of the receipts of a case, in the order in which they were stored; repeats are left out. */
    function receipts({ row, id }) {
      const rows = databases.rows(databaseOf(row.partner), `select p.verdict, p.warnings from postbacks p join events e on e.event_id = p.event_id
        where e.conversion_id = '${id}' and p.verdict <> 'duplicate' order by p.postback_id`);
      return rows.map(({ verdict, warnings }) => [verdict, JSON.stringify(warnings).includes("late_receipt")]);
    }

    test("whatever order queued notices are stored in, the result is that of their receipt", { timeout: 240_000 }, async () => {
      const edge = await startEdge({ originUrl: tunnel.url, bindings: { RETRY_DELAYS_S: "1" } });
      try {
        tunnel.mode = "refuses with 502";
        const requests = new Map();
        for (const n of [0, 1, 2, 3]) {
          for (const found of CASES.filter(({ row }) => n < row.notices.length)) {
            const reply = await edge.fetch(...sent(found, n));
            assert.deepEqual([reply.status, reply.headers.get("bytec-verdict")], [200, "queued"]);
            requests.set(`${found.id} ${n}`, reply.headers.get("bytec-request-id"));
          }
          await wait(PAUSE_MS);
        }
        const count = async () => (await edge.parked("select count(*) as n from parked"))[0].n;
        await until("the end of the shortened schedule", async () => (await count()) === requests.size, { timeoutMs: 60_000 });
        tunnel.mode = "through";
        const messages = new Map((await edge.parked("select request_id, message from parked")).map((row) => [row.request_id, row.message]));
        for (const found of CASES) {
          for (const n of found.stored) {
            const body = messages.get(requests.get(`${found.id} ${n}`));
            const { explicitAcks } = await edge.bring([{ id: "m", timestamp: new Date(), body, attempts: 2 }]);
            assert.deepEqual(explicitAcks, ["m"]);
          }
        }
        await nothingLeft();
        for (const found of CASES) {
          await assertResult(found);
          assert.deepEqual(receipts(found), expectedReceipts(found), `${found.row.name}, stored in the order ${found.stored.map((n) => n + 1)}`);
        }

        // An operator replays all of them: each receipt comes a second time, through the queue.
        const replayed = await edge.ops("parked/replay?reason=exhausted&dry_run=false", { method: "POST" });
        assert.deepEqual([replayed.status, replayed.body.replayed], [200, requests.size], JSON.stringify(replayed.body));
        const delivered = async () => (await edge.parked("select count(*) as n from parked where state = 'delivered'"))[0].n;
        await until("the replayed", async () => (await delivered()) === requests.size, { timeoutMs: 60_000 });
        await nothingLeft();
        for (const found of CASES) await assertResult(found);
        for (const partner of ["rector", "s2s"]) {
          const repeats = databases.rows(databaseOf(partner), "select event_id from repeats");
          assert.deepEqual(repeats, [], "a request that is delivered twice is one receipt");
        }
      } finally {
        await edge.stop();
      }
    });

    test("a queue that drains by itself, the older notices last, has the same result", { timeout: 120_000 }, async () => {
      // Delays grow, so what has waited longer waits longest.
      const edge = await startEdge({ originUrl: tunnel.url, bindings: { RETRY_DELAYS_S: "1,1,8,8" } });
      try {
        tunnel.mode = "refuses with 502";
        const cases = ROWS.slice(0, 2).flatMap((row, place) => Array.from({ length: 6 }, (_, n) => {
          const day = new Date(Date.UTC(2025, 5, 1 + 6 * place + n)).toISOString().slice(0, 10);
          return { row, id: uniqueId(), day, stored: [1, 0] };
        }));
        const send = (n) => Promise.all(cases.map(async (found) => {
          const reply = await edge.fetch(...sent(found, n));
          assert.equal(reply.headers.get("bytec-verdict"), "queued");
          return reply.headers.get("bytec-event-id");
        }));
        const older = new Set(await send(0));
        await edge.said("third attempts", (all) => {
          const third = all.filter(({ outcome, attempt, event_id }) => outcome === "retry" && attempt === 3 && older.has(event_id));
          return third.length === older.size;
        });
        await send(1);
        tunnel.mode = "through";
        const stored = (id) => databases.rows("rector_db", `select count(*) as n from events where conversion_id = '${id}'`)[0].n;
        await until("the queue to be empty", async () => cases.every(({ id }) => stored(id) === 2), { everyMs: 500 });
        await nothingLeft();
        for (const found of cases) {
          assert.deepEqual(receipts(found), [["created", false], ["revised", true]], "the older notice came last");
          await assertResult(found);
        }
      } finally {
        await edge.stop();
      }
    });

    for (const signal of ["SIGTERM", "SIGKILL"]) {
      test(`an origin that ends by ${signal} before it rebuilds does so after its next start`, { timeout: 240_000 }, async () => {
        const edge = await startEdge({ originUrl: tunnel.url, bindings: { RETRY_DELAYS_S: "1" } });
        try {
          const pending = (id) => databases.rows("rector_db", `select conversion_key from rebuilds where conversion_key like '%${id}%'`).length;
          let stops = 0;
          for (let wasPending = false; !wasPending; stops++) {
            assert.ok(stops < STOPS_MAX, `the origin had rebuilt the conversion at each of ${stops} stops`);
            const found = { row: ROWS[1], id: uniqueId(), day: `2025-0${signal === "SIGTERM" ? 3 : 4}-${String(stops + 1).padStart(2, "0")}`, stored: [1, 0] };
            tunnel.mode = "refuses with 502";
            const requests = [];
            for (const n of [0, 1]) {
              const reply = await edge.fetch(...sent(found, n));
              assert.equal(reply.headers.get("bytec-verdict"), "queued");
              requests.push(reply.headers.get("bytec-request-id"));
              await wait(PAUSE_MS);
            }
            const messages = async () => {
              const rows = await edge.parked("select request_id, message from parked");
              return requests.map((id) => rows.find(({ request_id }) => request_id === id)?.message);
            };
            await until("the end of the shortened schedule", async () => (await messages()).every(Boolean));
            const [older, newer] = await messages();
            tunnel.mode = "through";
            const bring = async (body) => {
              const { explicitAcks } = await edge.bring([{ id: "m", timestamp: new Date(), body, attempts: 2 }]);
              assert.deepEqual(explicitAcks, ["m"]);
            };
            await bring(newer);
            await nothingLeft();
            await bring(older);
            await origin.stop(signal);
            wasPending = pending(found.id) === 1;
            origin = await startOrigin({ ...databases, port: origin.port });
            // A job that the ended origin had leased may still be there, for as long as its lease: nothing depends on it.
            await until("the rebuild", async () => pending(found.id) === 0, { timeoutMs: 20_000 });
            await assertResult(found);
            assert.deepEqual(receipts(found), expectedReceipts(found));
          }
          console.log(`    stop ${stops} came before the rebuild`);
        } finally {
          await edge.stop();
        }
      });
    }
  });
}
