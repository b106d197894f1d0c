// How long questions take that are asked of a partner's data (R42), where there is a lot of it: on PostgreSQL and on SQLite, each
// question over and over, several at a time.
//
// (1) the origin is built as it is deployed, and makes its databases
// (2) conversions of a year are put into them, with their totals
// (3) rounds of questions, on the one and the other in turn
// (4) percentiles, targets
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../../scripts/lib/postgres.mjs";
import { freePort, Running, until } from "../../scripts/lib/processes.mjs";
import { testPython } from "../../scripts/lib/python.mjs";
import { Complaint, ROOT, run, step } from "../../scripts/lib/run.mjs";
import { isMet, printTargets } from "./figures.mjs";
import { databaseUrl, sql } from "./yardstick.mjs";

const DATABASE = "involve_asia_db";
const BINARY = join(ROOT, "target", "bench", "origin", "bytec-origin");
/** At a time. */
const ASKING = 4;
/** The last second of the year whose conversions there are. */
const END_S = Date.UTC(2026, 0, 1) / 1000;
const YEAR_S = 365 * 86_400;

/** Each question, as the path behind the partner's endpoint; `n` is another number each time. */
const QUESTIONS = {
  "statistics of thirty days": () => "stats?from=2025-10-01&to=2025-10-30&tz=Europe/Berlin",
  "statistics of a year": () => "stats?from=2025-01-01&to=2025-12-31&tz=America/New_York",
  "statistics of a month by the hour": () => "stats?from=2025-10-01&to=2025-10-31&tz=Asia/Tokyo&interval=hour",
  "the latest conversions": () => "conversions?limit=100",
  "those of a day": (n) => `conversions?limit=100&from=2025-0${1 + (n % 9)}-1${n % 10}&to=2025-0${1 + (n % 9)}-1${n % 10}`,
  "those of a status": () => "conversions?limit=100&status=pending",
  "one by its id": (n, rows) => `conversions?conversion_id=bench-${(n * 7919) % rows}`,
  "those of a click": (n, rows) => `conversions?click_id=k${(n * 7919) % Math.floor(rows / 2)}`,
};
/** Beside these, pages are followed by their cursors. */
const PAGES = "pages, one behind the other";

/** Runs it; answers whether every target is met. */
export async function benchQuestions({ seconds, rows }) {
  // (1)
  await step("building the origin as it is deployed (Rust; minutes the first time)", () =>
    run("cargo", ["build", "--quiet", "--locked", "--profile", "origin", "-p", "bytec-origin", "--bin", "bytec-origin"], { env: { CARGO_TARGET_DIR: join(ROOT, "target", "bench") } }),
  );
  const python = await testPython();
  const folder = mkdtempSync(join(tmpdir(), "bytec-bench-"));
  const postgres = await startPostgres({ more: ["shared_buffers=1GB", "max_wal_size=4GB"] });
  const running = [];
  try {
    const kinds = [
      { kind: "PostgreSQL", env: { DATABASE_URL: postgres.url }, execute: (text) => sql(postgres, databaseUrl(postgres, DATABASE), text) },
      { kind: "SQLite", env: { DATA_DIR: folder }, execute: (text) => script(python, join(folder, `${DATABASE}.sqlite`), text) },
    ];
    for (const each of kinds) {
      await run(BINARY, ["migrate"], { quiet: true, env: each.env });
      // (2)
      await step(`${rows} conversions into ${each.kind}`, async () => each.execute(FILL[each.kind](rows)));
      const { stdout } = spawnSync(BINARY, ["keys", "create", "--tenant", "bytec", "--scope", "read", "--json"], { env: { ...process.env, ...each.env }, encoding: "utf8" });
      const port = await freePort();
      const program = new Running(`the origin on ${each.kind}`, BINARY, ["serve"], { env: { ...each.env, ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${port}`, LOG: "warn" } });
      running.push(program);
      each.ask = questioner(`http://127.0.0.1:${port}/partner/involve/event/`, JSON.parse(stdout).secret);
      await until("the origin", async () => Boolean(await each.ask("stats").catch(() => undefined)), { running: [program] });
    }
    // (3)
    const took = new Map();
    await step("asking", async () => {
      for (const name of [...Object.keys(QUESTIONS), PAGES]) {
        for (const { kind, ask } of kinds) {
          const target = name === PAGES ? pages(ask) : (n) => ask(QUESTIONS[name](n, rows));
          await asking(target, 1);
          took.set(`${name}, ${kind}`, await asking(target, seconds));
        }
      }
    });
    // (4)
    const print = (line) => process.stdout.write(`${line}\n`);
    print(`\n${rows} conversions, ${ASKING} questions at a time`);
    const percentile = (times, part) => times[Math.min(times.length - 1, Math.floor(times.length * part))];
    const targets = [...took].map(([name, times]) => ({ name: `p95, ms: ${name}`, value: percentile(times, 0.95), most: 100, digits: 1 }));
    printTargets(print, targets, [...took].map(([name, times]) => ({ name: `p50, ms: ${name}`, value: percentile(times, 0.5), digits: 1 })));
    return targets.every(isMet);
  } finally {
    await Promise.all(running.map((program) => program.stop()));
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function questioner(base, key) {
  return async (path) => {
    const reply = await fetch(base + path, { headers: { authorization: `Bearer ${key}` } });
    const body = await reply.json();
    if (reply.status !== 200) throw new Complaint(`${path} was answered ${reply.status}: ${JSON.stringify(body)}`);
    return body;
  };
}

/** Pages of fifty, each asked for by the cursor of the one before. */
function pages(ask) {
  const cursors = new Map();
  return async (_, who) => {
    const cursor = cursors.get(who);
    cursors.set(who, (await ask(`conversions?limit=50${cursor ? `&cursor=${cursor}` : ""}`)).next_cursor);
  };
}

/** Asks for so many seconds, several at a time; how long each took, in milliseconds, the shortest first. */
async function asking(ask, seconds) {
  const times = [];
  const end = performance.now() + seconds * 1000;
  const one = async (_, who) => {
    for (let n = who; performance.now() < end; n += ASKING) {
      const began = performance.now();
      await ask(n, who);
      times.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: ASKING }, one));
  return times.sort((a, b) => a - b);
}

/** Runs SQL in a SQLite file. */
function script(python, path, text) {
  const program = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.stdin.read()); c.commit()";
  const { status, stderr } = spawnSync(python, ["-c", program, path], { input: text, encoding: "utf8" });
  if (status !== 0) throw new Complaint(`SQLite: ${stderr}`);
}

/** Every fifth waits, every seventh was rejected; every fourth is a deposit, half of those with an account's first. */
const STATUS = "case when n % 7 = 0 then 'rejected' when n % 5 = 0 then 'pending' else 'approved' end";
const EVENT = "case when n % 4 = 0 then 'deposit' else 'purchase' end";
const DEPOSIT = "case when n % 8 = 0 then 'first' when n % 4 = 0 then 'repeat' end";

const AMOUNTS = ["sale_amount", "payout", "reporting_sale_amount", "reporting_payout"];
const KEY = "event, status, currency, payout_currency, is_duplicate, waiting";
/** What hours have: each over which kinds. Marked ones there are none. */
const HOURS = {
  conversions: "status <> 'rejected'", sales: "status <> 'rejected' and event = 'purchase'", registrations: "false",
  deposits: "status <> 'rejected' and event = 'deposit'", refunds: "false", chargebacks: "false", rejected: "status = 'rejected'", duplicates: "false",
};
const over = (condition, name) => `sum(case when ${condition} then ${name} else 0 end)`;
/** The columns of hours, and how they come out of kinds whose amounts are in these parts. */
const hours = (parts) => {
  const counts = Object.entries(HOURS).map(([name, condition]) => [name, over(condition, "conversions")]);
  const more = [["first_deposits", over("status <> 'rejected'", "first_deposits")], ["waiting_for_rates", "0"]];
  const amounts = ["sale_amount", "payout"].flatMap((amount) =>
    [["reporting", "status <> 'rejected'"], ["returned", "false"], ["pending", "status = 'pending'"]].flatMap(([prefix, condition]) =>
      parts.map((part) => [`${prefix}_${amount}${part}`, over(condition, `reporting_${amount}${part}`)])));
  return [...counts, ...more, ...amounts];
};
/** Longer periods out of quarters. */
const longer = (parts, start) => {
  const summed = ["conversions", "first_deposits", ...AMOUNTS.flatMap((name) => parts.map((part) => `${name}${part}`))];
  const columns = hours(parts);
  return `
    insert into totals_by_day (slot, period_start, ${KEY}, ${summed.join(", ")})
      select slot, ${start("day")}, ${KEY}, ${summed.map((name) => `sum(${name})`).join(", ")} from totals group by 1, 2, 3, 4, 5, 6, 7, 8;
    insert into totals_by_hour (slot, period_start, ${columns.map(([name]) => name).join(", ")})
      select slot, ${start("hour")}, ${columns.map(([, sum]) => sum).join(", ")} from totals group by 1, 2;`;
};
/** An amount of micro-units as SQLite sums it. */
const parted = (amount) => `sum(${amount} / 1000000000), sum(${amount} % 1000000000)`;

const FILL = {
  PostgreSQL: (rows) => `
    set session_replication_role = replica;
    create temp table made as select n, to_timestamp(${END_S} - (n * ${YEAR_S}.0 / ${rows})) as at from generate_series(0, ${rows - 1}) n;
    insert into events (event_id, event, conversion_id, conversion_key, fingerprint, content, received_at)
      select 'evt_' || md5(n::text), ${EVENT}, 'bench-' || n, 'bench-' || n, '', '{}', at from made;
    insert into conversions (conversion_key, occurrence, conversion_id, revision, event_id, event, click_id, account_id, offer_name, media_id, sub_id, status,
                             conversion_datetime, usd_sale_amount, usd_payout, deposit, attribution, is_processed, is_duplicate, received_at, created_at, updated_at, last_received_ms)
      select 'bench-' || n, 1, 'bench-' || n, 1, 'evt_' || md5(n::text), ${EVENT}, 'k' || n / 2, 'a' || n / 8, 'An offer', 'm' || n % 9, 's' || n % 99, ${STATUS},
             at, (n % 50000) * 0.01, (n % 5000) * 0.01, ${DEPOSIT}, 'unknown_click', true, false, at, at, at, ${END_S}000 from made;
    insert into totals (slot, period_start, ${KEY}, conversions, sale_amount, payout, reporting_sale_amount, reporting_payout, first_deposits)
      select n % 4, date_bin('15 minutes', at, timestamptz '2000-01-01 00:00+00'), ${EVENT}, ${STATUS}, '', '', false, '', count(*), 0, 0,
             sum((n % 50000) * 0.01), sum((n % 5000) * 0.01), count(*) filter (where n % 8 = 0) from made group by 1, 2, 3, 4;
    ${longer([""], (length) => `date_bin('1 ${length}', period_start, timestamptz '2000-01-01 00:00+00')`)}
    analyze`,
  SQLite: (rows) => `
    pragma foreign_keys = off;
    create temp table made as with recursive numbers(n) as (select 0 union all select n + 1 from numbers where n < ${rows - 1})
      select n, strftime('%Y-%m-%dT%H:%M:%S', ${END_S} - n * ${YEAR_S} / ${rows}, 'unixepoch') || '.000000Z' as at from numbers;
    insert into events (event_id, event, conversion_id, conversion_key, fingerprint, content, received_at)
      select 'evt_' || lower(hex(n)), ${EVENT}, 'bench-' || n, 'bench-' || n, '', '{}', at from made;
    insert into conversions (conversion_key, occurrence, conversion_id, revision, event_id, event, click_id, account_id, offer_name, media_id, sub_id, status,
                             conversion_datetime, usd_sale_amount_micros, usd_payout_micros, deposit, attribution, is_processed, is_duplicate, received_at, created_at, updated_at, last_received_ms)
      select 'bench-' || n, 1, 'bench-' || n, 1, 'evt_' || lower(hex(n)), ${EVENT}, 'k' || n / 2, 'a' || n / 8, 'An offer', 'm' || n % 9, 's' || n % 99, ${STATUS},
             at, n % 50000 * 10000, n % 5000 * 10000, ${DEPOSIT}, 'unknown_click', 1, 0, at, at, at, ${END_S}000 from made;
    insert into totals (slot, period_start, ${KEY}, conversions, ${AMOUNTS.flatMap((name) => [`${name}_thousands`, `${name}_micros`]).join(", ")}, first_deposits)
      select 0, substr(at, 1, 14) || printf('%02d', substr(at, 15, 2) / 15 * 15) || ':00.000000Z', ${EVENT}, ${STATUS}, '', '', 0, '', count(*), 0, 0, 0, 0,
             ${parted("(n % 50000 * 10000)")}, ${parted("(n % 5000 * 10000)")}, count(*) filter (where n % 8 = 0) from made group by 2, 3, 4;
    ${longer(["_thousands", "_micros"], (length) => (length === "day" ? "substr(period_start, 1, 11) || '00:00:00.000000Z'" : "substr(period_start, 1, 14) || '00:00.000000Z'"))}
    drop table made`,
};
