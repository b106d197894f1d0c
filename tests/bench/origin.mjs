// The origin beside pgbench: one server, the same rows. What PostgreSQL takes when a bare client inserts them says how much
// of its rate the origin owes to itself.
//
// (1) all is built; a server of our own, an origin before it, and one on SQLite
// (2) a postback that the origin has written becomes what pgbench inserts
// (3) where that is asked for, another server and origin with many postbacks in their database
// (4) rounds, interleaved and each the other way round than the one before, so that what else the machine does falls on all of them
//     alike; each begins when all are at rest
// (5) medians, ratios, targets
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startPostgres } from "../../scripts/lib/postgres.mjs";
import { freePort, Running, until } from "../../scripts/lib/processes.mjs";
import { CACHE, Complaint, ROOT, run, say, step } from "../../scripts/lib/run.mjs";
import { cpuSeconds, cpuSecondsOfFamily, isMet, median, memoryMb, printTargets, untilAtRest } from "./figures.mjs";
import { copyForPgbench, databaseUrl, fillStatements, readSample, sql, wholePostback, widestRow } from "./yardstick.mjs";

const CONNECTIONS = 64;
const WARM_UP_S = 1;
/** How long all take until they are at rest, more or less. */
const RESTING_S = 5;
/** Involve Asia's. */
const DATABASE = "involve_asia_db";
const FILLED_AT_ONCE = 200_000;
/** A postback's rows and indexes, and what is written of them beside; for a look at the disk beforehand. */
const BYTES_PER_POSTBACK = 3_000;

/**
 * What docs/operations.md recommends, for origin and yardstick alike: a server as it is installed is set up for 128 MB of memory. But for
 * the time between checkpoints: one that falls to a server while another is measured would decide between them.
 */
const SETTINGS = ["shared_buffers=5GB", "max_wal_size=8GB", "checkpoint_timeout=1h", "wal_compression=lz4"];

/**
 * How long both run before they are measured, for each million stored: after a checkpoint PostgreSQL logs each page as a whole that is
 * touched for the first time. At such a rate a minute or two are enough for that, and the next checkpoint is minutes away.
 */
const FIRST_TOUCHES_S_PER_MILLION = 12;

/** Apart from what is deployed: its partners have no limits. */
const TARGET = join(ROOT, "target", "bench");
const built = (...path) => join(TARGET, "origin", ...path);

/** Runs it; answers whether every target is met. `rows` is how many postbacks the filled database has, 0 for none. */
export async function benchOrigin({ seconds, rounds, rows }) {
  if (rows > 0) assertRoomFor(rows);
  // (1)
  const env = { PARTNERS_DIR: unlimitedPartners(), CARGO_TARGET_DIR: TARGET };
  const profile = ["--quiet", "--locked", "--profile", "origin", "-p", "bytec-origin"];
  await step("building the origin as it is deployed (Rust; minutes the first time)", () => run("cargo", ["build", ...profile, "--bin", "bytec-origin"], { env }));
  await step("building what asks it", () => run("cargo", ["build", ...profile, "--example", "bench_postbacks"], { env }));

  const folder = mkdtempSync(join(tmpdir(), "bytec-bench-"));
  const running = [];
  const servers = [];
  const stopAll = async () => {
    await Promise.all(running.map((program) => program.stop()));
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  const interrupted = () => stopAll().finally(() => process.exit(130));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, interrupted);
  /** What a program prints until it ends; what is stopped with the rest. */
  const output = async (name, program, args) => {
    const started = new Running(name, program, args);
    running.push(started);
    const how = await started.ended;
    running.splice(running.indexOf(started), 1);
    const text = started.output.join("\n");
    if (started.child.exitCode !== 0) throw new Complaint(`${how}\n${text}`);
    return text;
  };
  const server = async () => {
    const started = await startPostgres({ more: SETTINGS });
    servers.push(started);
    prepareLog(started);
    return started;
  };
  const origin = async (databaseUrl, database) => {
    const started = await startOrigin(databaseUrl, (program) => running.push(program));
    return { ...started, database };
  };
  try {
    const postgres = await server();
    // A database that is copied may have nobody in it.
    await run(built("bytec-origin"), ["migrate"], { quiet: true, env: { DATABASE_URL: postgres.url } });
    copyForPgbench(postgres, DATABASE, "yardstick");
    const onPostgres = await origin(postgres.url, postgres);
    const onSqlite = await origin(`sqlite:${join(folder, "data")}`);
    // (2)
    await load(output, onPostgres, { seconds: 1, warmUp: 0, rate: 10, connections: 1 });
    const sample = readSample(postgres, databaseUrl(postgres, DATABASE));
    const scripts = { whole: join(folder, "whole_postback.sql"), widest: join(folder, "widest_row.sql") };
    writeFileSync(scripts.whole, wholePostback(sample));
    writeFileSync(scripts.widest, widestRow(sample));
    // (3)
    let onFilled;
    if (rows > 0) {
      const filled = await server();
      onFilled = await origin(filled.url, filled);
      await fill(output, filled, sample, rows);
    }
    const rested = async () => {
      if (!(await untilAtRest([...running, ...servers].map(({ pid }) => pid)))) say("somebody is still at work, and what is measured now suffers from it");
    };
    const atFirst = onFilled && (await firstTouches(output, onPostgres, onFilled, { rows, rested }));
    // (4)
    const pgbench = (script) => (time) => pgbenchLoad(output, postgres, script, time);
    const pair = (key, name, asked) => [
      { key, name, asked, measure: (time) => load(output, asked, { seconds: time }) },
      {
        key: `${key}, half`,
        name: "- at half that rate",
        asked,
        measure: (time, soFar) => load(output, asked, { seconds: time, rate: Math.max(1, Math.round(soFar.get(key).perSecond / 2)) }),
      },
    ];
    const contestants = [
      { key: "whole", name: "pgbench, a postback's rows in a transaction", measure: pgbench(scripts.whole) },
      ...pair("origin", "the origin", onPostgres),
      ...(onFilled ? pair("filled", `the origin, ${rows} postbacks stored`, onFilled) : []),
      ...pair("sqlite", "the origin on SQLite", onSqlite),
      // Last: what it leaves to be written to the disk would be at the cost of whoever comes next.
      { key: "widest", name: "pgbench, the row of postbacks alone", measure: pgbench(scripts.widest) },
    ].map((contestant) => ({ ...contestant, rounds: [] }));
    const minutes = Math.ceil((contestants.length * (rounds + 1) * (RESTING_S + WARM_UP_S + seconds)) / 60);
    await step(`measuring ${rounds} rounds of ${seconds} s each, ${CONNECTIONS} connections (${minutes} min)`, async () => {
      // The first round would have a server that has everything to learn yet, and a large database that is not in memory.
      for (const { measure, asked } of contestants.filter(({ key }) => !key.endsWith(", half"))) await measure(asked === onFilled ? seconds : 1);
      // An origin that is asked a lot puts off what it has to process: each begins when those before have done that.
      for (let round = 0; round < rounds; round++) {
        const soFar = new Map();
        for (const contestant of round % 2 === 0 ? contestants : turned(contestants)) {
          await rested();
          const result = await contestant.measure(seconds, soFar);
          soFar.set(contestant.key, result);
          contestant.rounds.push(result);
        }
      }
    });
    // (5)
    return report(contestants, atFirst);
  } finally {
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted).off("SIGHUP", interrupted);
    await stopAll();
  }
}

/** The partners as they are, but for how much they may send in a day. */
function unlimitedPartners() {
  const folder = join(CACHE, "bench-partners");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(join(ROOT, "partners")).filter((name) => name.endsWith(".toml"))) {
    const text = readFileSync(join(ROOT, "partners", name), "utf8").replace(/^max_daily_requests.*$/m, "");
    writeFileSync(join(folder, name), `max_daily_requests = 4000000000\n${text}`);
  }
  return folder;
}

/** An origin as it is deployed, but for the keys. */
async function startOrigin(databaseUrl, onStart) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = { ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${port}`, DATABASE_URL: databaseUrl, LOG: "warn" };
  const program = new Running("the origin", built("bytec-origin"), ["serve"], { env });
  onStart(program);
  const isReady = async () => (await (await fetch(`${url}/ready`)).json()).status === "healthy";
  await until("the origin and its databases", isReady, { running: [program] });
  return { url, program };
}

/** A round of postbacks; fails when a single one is not stored. Without a rate as many as the origin answers. */
async function load(output, { url, program, database }, { seconds, warmUp = WARM_UP_S, rate, connections = CONNECTIONS }) {
  const args = ["--connections", connections, "--seconds", seconds, "--warm-up", warmUp, ...(rate ? ["--rate", rate] : []), url];
  const cpu = cpuMeter({ origin: program.pid, database: database?.pid });
  const answer = JSON.parse(await output("bench_postbacks", built("examples", "bench_postbacks"), args.map(String)));
  const { requests, stored, statuses, duration_us, p50_us, p95_us, p99_us, max_us } = answer;
  if (stored < requests || requests === 0) {
    const log = program.output.slice(-5).join("\n");
    throw new Complaint(`of ${requests} postbacks the origin stored ${stored}: ${JSON.stringify(statuses)}\n${log}`);
  }
  const perSecond = requests / (duration_us / 1e6);
  // Those of the warm-up are not counted, and cost the same.
  const all = perSecond * (duration_us / 1e6 + warmUp);
  return { perSecond, p50: p50_us / 1000, p95: p95_us / 1000, p99: p99_us / 1000, max: max_us / 1000, ...cpu(all) };
}

/** A round of pgbench. */
async function pgbenchLoad(output, server, script, seconds) {
  const address = ["-h", "127.0.0.1", "-p", server.port, "-U", new URL(server.url).username];
  const args = [...address, "-n", "-M", "prepared", "-c", CONNECTIONS, "-j", 2, "-T", seconds, "-f", script, "yardstick"];
  const cpu = cpuMeter({ database: server.pid });
  const text = await output("pgbench", join(dirname(server.psql), "pgbench"), args.map(String));
  const number = (pattern) => Number(pattern.exec(text)?.[1] ?? NaN);
  const [perSecond, done] = [number(/^tps = ([\d.]+)/m), number(/actually processed: (\d+)/)];
  if (!(perSecond > 0) || number(/failed transactions: (\d+)/) > 0) throw new Complaint(`pgbench says\n${text}`);
  return { perSecond, ...cpu(done) };
}

/** Starts to measure processor time; of so many requests it answers how many microseconds each took. */
function cpuMeter({ origin, database }) {
  const now = () => [origin ? cpuSeconds(origin) : NaN, database ? cpuSecondsOfFamily(database) : NaN];
  const before = now();
  return (requests) => {
    const [originCpu, databaseCpu] = now().map((after, index) => ((after - before[index]) * 1e6) / requests);
    return { originCpu, databaseCpu };
  };
}

/**
 * Makes the server's log what it is on one that has been running for a while: a server reuses the files of its write-ahead log
 * after the first gigabyte, and until then makes each anew, 16 MB of zeros that every commit waits for.
 */
function prepareLog(server) {
  const FILES = 40;
  sql(server, server.url, `do $$ begin for n in 1..${FILES} loop perform pg_logical_emit_message(false, 'bench', ''); perform pg_switch_wal(); end loop; end $$`);
  sql(server, server.url, "checkpoint");
}

/** Fills a database that an origin has made. */
async function fill(output, server, sample, rows) {
  const url = databaseUrl(server, DATABASE);
  const psql = (...statements) => output("psql", server.psql, ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, ...statements.flatMap((text) => ["-c", text])]);
  const conversions = sql(server, url, "select array_to_string(reloptions, ', ') from pg_class where oid = 'conversions'::regclass");
  await step(`storing ${rows} postbacks (about ${Math.ceil(rows / 1_500_000)} min)`, async () => {
    // The origin's pages of conversions are full: rows grow there by being judged. These are judged when they come, and would leave room in
    // each page for one that is not: the next 400,000 would each go into another old page, which no database of the origin's has to offer.
    await psql("alter table conversions set (fillfactor = 100)");
    for (let first = 1; first <= rows; first += FILLED_AT_ONCE) {
      const last = Math.min(rows, first + FILLED_AT_ONCE - 1);
      // They agree with each other: looking up what they refer to would take most of the time.
      await psql("set session_replication_role = replica", "set synchronous_commit = off", ...fillStatements(sample, first, last, rows));
      if (last % 1_000_000 === 0 && last < rows) say(`${last} stored`);
    }
    await psql(`alter table conversions set (${conversions})`);
    // What the server would do later by itself, and while it is measured.
    await psql("vacuum (analyze)");
    // The index that every postback looks into at some random place is in the memory of a server that has been running. Of the others it
    // is where they end, which is there soon.
    await psql("create extension pg_prewarm", "select pg_prewarm('events_pk')");
  });
  say(`that is ${sql(server, url, `select pg_size_pretty(pg_database_size('${DATABASE}'))`)}`);
}

/** The other order: the databases' pairs turned round, the others in their places. */
function turned(contestants) {
  const pairs = contestants.filter(({ asked }) => asked);
  const places = [...new Set(pairs.map(({ asked }) => asked))].toReversed().flatMap((asked) => pairs.filter((pair) => pair.asked === asked));
  return contestants.map((contestant) => (contestant.asked ? places.shift() : contestant));
}

/** Has both run through their first touches; answers what the filled one comes to at their beginning, as a part of the empty one. */
async function firstTouches(output, onPostgres, onFilled, { rows, rested }) {
  const seconds = Math.ceil((rows / 1_000_000) * FIRST_TOUCHES_S_PER_MILLION);
  return step(`running both for ${seconds} s before they are measured`, async () => {
    for (const { database } of [onPostgres, onFilled]) sql(database, database.url, "checkpoint");
    const atFirst = [];
    for (const asked of [onPostgres, onFilled]) {
      await rested();
      atFirst.push(await load(output, asked, { seconds: Math.min(5, seconds) }));
    }
    for (const asked of [onPostgres, onFilled]) await load(output, asked, { seconds });
    const [empty, filled] = atFirst;
    return filled.perSecond / empty.perSecond;
  });
}

function assertRoomFor(rows) {
  const { bavail, bsize } = statfsSync(tmpdir());
  const [free, needed] = [bavail * bsize, rows * BYTES_PER_POSTBACK];
  const gb = (bytes) => `${(bytes / 1e9).toFixed(0)} GB`;
  if (free < needed) throw new Complaint(`${rows} postbacks may need ${gb(needed)}, and ${tmpdir()} has ${gb(free)} left; --rows can be fewer`);
}

/** Prints all; answers whether every target is met. */
function report(contestants, filledAtFirst) {
  const print = (line) => process.stdout.write(`${line}\n`);
  const of = (key) => contestants.find((contestant) => contestant.key === key);
  const cells = (...texts) => texts.map((text) => text.padStart(11)).join("");
  const shown = (number, digits) => (Number.isFinite(number) ? number.toFixed(digits) : "-");
  print(`\n${"".padEnd(46)}${cells("a second", "p50 ms", "p95 ms", "p99 ms", "CPU us", "DB CPU us")}   a second in each round`);
  for (const { name, rounds } of contestants) {
    const middle = (key) => median(rounds.map((round) => round[key]));
    const latencies = ["p50", "p95", "p99"].map((key) => shown(middle(key), 2));
    const cpu = ["originCpu", "databaseCpu"].map((key) => shown(middle(key), 0));
    print(`${name.padEnd(46)}${cells(shown(middle("perSecond"), 0), ...latencies, ...cpu)}   ${rounds.map(({ perSecond }) => perSecond.toFixed(0)).join(" ")}`);
  }
  // Ratios within a round: what disturbs a round disturbs its neighbours as well.
  const ratio = (a, b) => median(of(a).rounds.map((round, index) => round.perSecond / of(b).rounds[index].perSecond));
  const p99 = (key) => median(of(key).rounds.map((round) => round.p99));
  const memory = memoryMb(of("origin").asked.program.pid);
  const memoryOnSqlite = memoryMb(of("sqlite").asked.program.pid);
  const targets = [
    { name: "a second, origin to pgbench's transaction", value: ratio("origin", "whole"), least: 1 },
    { name: "p99 at half the rate, ms", value: p99("origin, half"), most: 50, digits: 1 },
    { name: "memory at most, MB", value: memory.most, most: 150, digits: 1 },
    { name: "memory at most on SQLite, MB", value: memoryOnSqlite.most, most: 150, digits: 1 },
    ...(of("filled") ? [{ name: "a second, filled to empty database", value: ratio("filled", "origin"), least: 0.9 }] : []),
  ];
  const aside = [
    ...(filledAtFirst ? [{ name: "the same in the seconds after a checkpoint", value: filledAtFirst }] : []),
    { name: "a second, origin to pgbench's single row", value: ratio("origin", "widest") },
    { name: "a second, on SQLite to on PostgreSQL", value: ratio("sqlite", "origin") },
    { name: "p99 at half the rate on SQLite, ms", value: p99("sqlite, half"), digits: 1 },
    { name: "memory afterwards, MB", value: memory.now, digits: 1 },
    { name: "memory afterwards on SQLite, MB", value: memoryOnSqlite.now, digits: 1 },
  ];
  print("");
  printTargets(print, targets, aside);
  return targets.every(isMet);
}
