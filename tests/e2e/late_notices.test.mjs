// One conversion of which the newest notice is stored first and thousands of older ones after it: the origin rebuilds it from all of them
// together, soon and in little memory.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { freshDatabases, KINDS, startOrigin, uniqueId } from "./lib/origin.mjs";
import { signedGet } from "./lib/signed.mjs";

/** Late notices of the conversion. */
const NOTICES = 10_000;

/** How many of them are sent. The others are written beside these, because the origin stores notices of one conversion one after another. */
const SENT = 50;

/** How long after the last one the conversion may take to be rebuilt and evaluated, in milliseconds. */
const DRAINED_MS_MAX = 60_000;

/** How much more memory the origin may use than before, in MB. */
const MEMORY_MB_MAX = 64;

/** A figure of a process in MB: `VmRSS` is what it uses, `VmHWM` the most that it has used since the last reset. */
const memoryMb = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

/** Has `VmHWM` begin again at what is used now (proc(5), clear_refs). */
const resetPeak = (pid) => writeFileSync(`/proc/${pid}/clear_refs`, "5");

/** Expressions over a stored event and a number `n`: times and contents are other types on each kind of database. */
const EXPRESSIONS = {
  sqlite: {
    numbers: (from, to) => `with recursive numbers(n) as (select ${from} union all select n + 1 from numbers where n < ${to})`,
    receivedAt: "strftime('%Y-%m-%dT%H:%M:%f', received_at, '-' || ((n - 1) / 1000.0) || ' seconds') || '000Z'",
    content: "json_set(content, '$.usd_payout', n || '.25')",
  },
  postgres: {
    numbers: (from, to) => `with numbers as (select generate_series(${from}, ${to}) as n)`,
    receivedAt: "received_at - (n - 1) * interval '1 millisecond'",
    content: "jsonb_set(content, '{usd_payout}', to_jsonb(n || '.25'))",
  },
};

/** Statements that write late events number `from` to `to`, with their jobs and the request for a rebuild, as storing them does. */
function lateEvents(kind, id, from, to) {
  const { numbers, receivedAt, content } = EXPRESSIONS[kind];
  return `begin;
    ${numbers(from, to)}
    insert into events (event_id, event, conversion_id, fingerprint, content, received_at, receipt_id, words, conversion_key, request_id, names_event)
    select '${id}-' || n, event, conversion_id, fingerprint || n, ${content}, ${receivedAt}, receipt_id || n, words, conversion_key, request_id || n, names_event
    from numbers join events on event_id = '${id}-1';
    insert into work_items (event_id, conversion_key, due_at, created_at, updated_at)
    select late.event_id, late.conversion_key, newest.received_at, newest.received_at, newest.received_at
    from events as late join events as newest on newest.event_id = '${id}-0'
    where late.conversion_id = '${id}' and not exists (select 1 from postbacks where postbacks.event_id = late.event_id);
    insert into rebuilds (conversion_key, generation, due_at) select conversion_key, ${to - from + 1}, received_at from events where event_id = '${id}-0';
    commit;`;
}

for (const kind of KINDS) {
  test(`${NOTICES} late notices of one conversion take under a minute and ${MEMORY_MB_MAX} MB more, on ${kind}`, { timeout: 300_000 }, async () => {
    const databases = freshDatabases(kind);
    const origin = await startOrigin(databases);
    try {
      const id = uniqueId();
      const newestMs = Date.now() - 60_000;
      // The n-th last notice; each has an amount of its own.
      const send = async (n) => {
        const { target, headers } = signedGet({
          path: "/postback/rector/event",
          query: `event_id=${id}-${n}&event=conversion&conversion_id=${id}&usd_payout=${n}.25`,
          eventId: `${id}-${n}`,
          receivedAt: new Date(newestMs - n).toISOString(),
          requestId: createHash("sha256").update(`${id}-${n}`).digest("base64url").slice(0, 22),
        });
        const reply = await origin.fetch(target, { headers });
        assert.deepEqual([reply.status, reply.headers.get("bytec-verdict")], [200, n === 0 ? "created" : "revised"], await reply.text());
      };
      const left = "select (select count(*) from rebuilds) + (select count(*) from work_items) as n";
      const drained = () => until("the conversion", async () => databases.rows("rector_db", left)[0].n === 0, { timeoutMs: DRAINED_MS_MAX });
      const conversions = () => databases.rows("rector_db", `select revision, cast(usd_payout as text) as payout from conversions where conversion_id = '${id}'`);

      for (let n = 0; n <= SENT; n++) await send(n);
      await drained();
      assert.deepEqual(conversions(), [{ revision: SENT + 1, payout: "0.25" }], "the newest notice holds");

      resetPeak(origin.pid);
      const beforeMb = memoryMb(origin.pid, "VmRSS");
      databases.execute("rector_db", lateEvents(kind, id, SENT + 1, NOTICES));
      const stored = Date.now();
      await drained();
      const drainedMs = Date.now() - stored;
      const moreMb = memoryMb(origin.pid, "VmHWM") - beforeMb;
      console.log(`    ${NOTICES} late notices: drained in ${drainedMs} ms, with ${moreMb.toFixed(1)} MB more than ${beforeMb.toFixed(1)} MB`);
      assert.deepEqual(conversions(), [{ revision: NOTICES + 1, payout: "0.25" }], "and still does");
      const [{ payout }] = databases.rows("rector_db", `select cast(usd_payout as text) as payout from revisions where conversion_key like '%${id}%' and revision = 1`);
      assert.equal(payout, `${NOTICES}.25`, "the oldest one is the first revision");
      assert.ok(moreMb < MEMORY_MB_MAX, `${moreMb.toFixed(1)} MB more`);
    } finally {
      await origin.stop();
      databases.remove();
    }
  });
}
