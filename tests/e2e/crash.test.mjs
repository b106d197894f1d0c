// What a crash costs: nothing that was answered 200. The origin is asked directly, without the edge's queue to make up for it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startPostgres } from "../../scripts/lib/postgres.mjs";
import { until } from "../../scripts/lib/processes.mjs";
import { percentile } from "./lib/load.mjs";
import { freshDatabases, KINDS, startOrigin, uniqueId } from "./lib/origin.mjs";
import { TOKEN } from "./lib/requests.mjs";

const CRASHES = 5;
const PER_SECOND = 200;
/** Between two crashes: long enough for the origin to be in the middle of its work again. */
const APART_MS = 1_500;
/** How often a postback is sent until it is stored; a minute and more lies between the first and the last. */
const SENDS_MAX = 80;
/** Postbacks under way at most: a machine that is busy otherwise sends slower, instead of ever more at once. */
const IN_FLIGHT_MAX = 500;

/** Postbacks at a rate, each sent until it has a 200, as partners are told to. Answers what became of each when it is stopped. */
function startSending(url, path, run, perSecond = PER_SECOND, pausesMs = [50, 1_000]) {
  const sent = [];
  const inFlight = new Set();
  let isOver = false;
  const send = async (entry) => {
    while (entry.status !== 200 && entry.statuses.length < SENDS_MAX) {
      if (entry.statuses.length > 0) await wait(pausesMs[entry.statuses.length < 10 ? 0 : 1]);
      const began = Date.now();
      try {
        const reply = await fetch(`${url}${path}?conversion_id=${entry.id}&usd_payout=${entry.payout}&ts_token=${TOKEN}`, { signal: AbortSignal.timeout(5_000) });
        await reply.arrayBuffer();
        entry.status = reply.status;
        entry.retryAfter = reply.headers.get("retry-after");
      } catch {
        // Cut off: the answer is not known.
        entry.status = 0;
      }
      entry.tookMs = Date.now() - began;
      entry.statuses.push(entry.status);
      // A server that is slow to come back meets more repeats than a partner may send in a minute.
      if (entry.status === 429) await wait(Number(entry.retryAfter) * 1_000);
    }
    inFlight.delete(entry);
  };
  const running = (async () => {
    const began = Date.now();
    for (let n = 0; !isOver; n++) {
      const dueMs = (n * 1_000) / perSecond - (Date.now() - began);
      if (dueMs > 0) await wait(dueMs);
      while (inFlight.size >= IN_FLIGHT_MAX) await wait(20);
      const entry = { id: `${run}-${n}`, payout: `${n % 7}.${String((n * 37) % 100).padStart(2, "0")}`, statuses: [], status: undefined };
      sent.push(entry);
      inFlight.add(entry);
      void send(entry);
    }
    while (inFlight.size > 0) await wait(20);
    return sent;
  })();
  return {
    sent,
    stop: () => {
      isOver = true;
      return running;
    },
  };
}

const cents = (text) => Math.round(Number(text) * 100);

/** The deciding check: what was answered 200 is there once, and nothing else is; money to the last digit. */
function assertNothingLostOrDoubled(sent, rows, run) {
  const statuses = new Set(sent.flatMap((entry) => entry.statuses));
  assert.deepEqual([...statuses].filter((status) => ![0, 200, 429, 503].includes(status)), [], "200, 429, 503 or no answer");
  assert.deepEqual(sent.filter((entry) => entry.status !== 200).map((entry) => entry.id), [], "each got its 200 in the end");
  const stored = rows(`select conversion_id as id, revision, cast(usd_payout as text) as payout from conversions where conversion_id like '${run}-%'`);
  const events = rows(`select conversion_id as id from events where conversion_id like '${run}-%'`);
  const created = rows(`select e.conversion_id as id from postbacks p join events e on e.event_id = p.event_id where p.verdict = 'created' and e.conversion_id like '${run}-%'`);
  const ids = sent.map((entry) => entry.id).sort();
  for (const [what, found] of Object.entries({ conversions: stored, events, "verdicts created": created })) {
    assert.deepEqual(found.map((row) => row.id).sort(), ids, what);
  }
  assert.deepEqual(stored.filter((row) => row.revision !== 1), []);
  const sum = (list) => list.reduce((total, { payout }) => total + cents(payout), 0);
  assert.equal(sum(stored), sum(sent));
}

/** What was taken to be processed when it crashed is taken again when its lease has ended, and totals are a recount. */
async function assertAllIsProcessed(rows, kind) {
  await until("processing", async () => rows("select 1 as one from work_items limit 1").length === 0, { everyMs: 500, timeoutMs: 60_000 });
  assert.deepEqual(rows("select conversion_id from conversions where not is_processed"), []);
  const micros = kind === "sqlite" ? "_micros" : "";
  const payout = kind === "sqlite" ? "sum(reporting_payout_thousands) * 1000000000 + sum(reporting_payout_micros)" : "sum(reporting_payout)";
  const [totals] = rows(`select cast(sum(conversions) as text) as conversions, cast(${payout} as text) as payout from totals`);
  const [recount] = rows(`select cast(count(*) as text) as conversions, cast(sum(usd_payout${micros}) as text) as payout from conversions`);
  assert.deepEqual(totals, recount);
}

const tell = (t, sent) => {
  const answers = sent.flatMap((entry) => entry.statuses);
  const of = (status) => answers.filter((answer) => answer === status).length;
  t.diagnostic(`${sent.length} postbacks, ${of(503)} answers 503, ${of(0)} requests cut off`);
};

for (const kind of KINDS) {
  test(`an origin killed ${CRASHES} times under ${PER_SECOND} requests a second loses and doubles nothing, on ${kind}`, async (t) => {
    const databases = freshDatabases(kind);
    let origin = await startOrigin(databases);
    const { port } = origin;
    try {
      const run = uniqueId();
      const load = startSending(origin.url, "/postback/rector/event", run);
      for (let crash = 0; crash < CRASHES; crash++) {
        await wait(APART_MS);
        await origin.stop("SIGKILL");
        origin = await startOrigin({ ...databases, port });
      }
      await wait(APART_MS);
      const sent = await load.stop();
      tell(t, sent);
      assert.ok(sent.some((entry) => entry.statuses.includes(0)), "the crashes were noticed");
      const rows = (sql) => databases.rows("rector_db", sql);
      assertNothingLostOrDoubled(sent, rows, run);
      await assertAllIsProcessed(rows, kind);
    } finally {
      await origin.stop();
      databases.remove();
    }
  });
}

describe("PostgreSQL of its own", () => {
  const servers = [];
  after(() => Promise.all(servers.map((server) => server.stop())));
  const server = async () => {
    const started = await startPostgres();
    servers.push(started);
    return started;
  };
  const rowsOf = ({ url, psql }, database) => (sql) => {
    const target = new URL(url);
    target.pathname = `/${database}`;
    const { status, stdout, stderr } = spawnSync(psql, ["-XAtq", "-d", target.href, "-c", `select coalesce(json_agg(t), '[]') from (${sql}) t`], { encoding: "utf8", maxBuffer: 1 << 26 });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  };

  test(`a PostgreSQL stopped at once ${CRASHES} times under ${PER_SECOND} requests a second loses and doubles nothing`, async (t) => {
    const postgres = await server();
    const origin = await startOrigin({ env: { DATABASE_URL: postgres.url } });
    try {
      const run = uniqueId();
      const load = startSending(origin.url, "/postback/rector/event", run);
      for (let crash = 0; crash < CRASHES; crash++) {
        await wait(APART_MS);
        await postgres.crash();
        await postgres.start();
      }
      await wait(APART_MS);
      const sent = await load.stop();
      tell(t, sent);
      assert.ok(sent.some((entry) => entry.statuses.includes(503)), "the crashes were noticed");
      assertNothingLostOrDoubled(sent, rowsOf(postgres, "rector_db"), run);
      await assertAllIsProcessed(rowsOf(postgres, "rector_db"), "postgres");
    } finally {
      await origin.stop();
    }
  });

  test("one partner's database that is gone disturbs no other, and is used again when it is back", async () => {
    const [common, rectors] = [await server(), await server()];
    const origin = await startOrigin({ env: { DATABASE_URL: common.url, DATABASE_URL_RECTOR: rectors.url } });
    try {
      const [run, other] = [uniqueId(), uniqueId()];
      const post = (id) => fetch(`${origin.url}/postback/rector/event?conversion_id=${id}&ts_token=${TOKEN}`);
      assert.equal((await post(`${other}-before`)).status, 200);
      await rectors.crash();
      // The partner itself goes on sending, and its requests wait for their database as long as they may. It heeds Retry-After: what
      // it may send in a minute would be spent otherwise.
      const stuck = startSending(origin.url, "/postback/rector/event", other, 50, [1_000, 1_000]);
      await wait(500);
      const load = startSending(origin.url, "/postback/involve/event", run, 100);
      for (let number = 0; number < 5; number++) {
        const refused = await post(`${other}-refused`);
        assert.deepEqual([refused.status, refused.headers.get("retry-after")], [503, "1"]);
        await wait(200);
      }
      const health = await (await fetch(`${origin.url}/health`)).json();
      assert.deepEqual([health.status, health.databases.rector, health.databases.involve_asia], ["degraded", "unavailable", "ok"]);
      assert.equal((await fetch(`${origin.url}/ready`)).status, 200);
      const sent = await load.stop();
      assert.deepEqual([...new Set(sent.flatMap((entry) => entry.statuses))], [200], "the other partner's, each at the first try");
      assert.ok(percentile(sent.map((entry) => entry.tookMs), 0.5) < 200);
      await rectors.start();
      const late = await stuck.stop();
      const odd = late.filter((entry) => entry.status !== 200 || entry.statuses.some((status) => ![200, 503].includes(status)));
      assert.deepEqual(odd, [], "each got its 200 in the end, and 503 before");
      await until("its postbacks again", async () => (await post(`${other}-after`)).status === 200, { timeoutMs: 20_000 });
    } finally {
      await origin.stop();
    }
  });
});
