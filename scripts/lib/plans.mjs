// The plans that PostgreSQL makes of the origin's statements: a server of our own that logs every plan, an origin in front of it,
// and a postback when the tables have grown.
import { join } from "node:path";
import { startPostgres } from "./postgres.mjs";
import { freePort, Running, until } from "./processes.mjs";
import { ask, Complaint, ROOT } from "./run.mjs";

/** The page that has them. */
export const PLANS_PAGE = "docs/query-plans.md";

/** Postbacks that are stored before one is looked at. */
const STORED = 2_000;
/** PostgreSQL decides after five runs of a statement on a connection whether it keeps one plan for all further ones. */
const WARM_UP = 40;

/** The statements of a postback that is created, in order, each once: what it does, and its plan without costs. */
export async function plans() {
  const logged = [];
  const more = ["session_preload_libraries=auto_explain", "auto_explain.log_min_duration=0", "autovacuum=off", "log_autovacuum_min_duration=-1"];
  const postgres = await startPostgres({ more, onLine: (line) => logged.push(line) });
  let origin;
  try {
    const port = await freePort();
    const env = { ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${port}`, DATABASE_URL: postgres.url, PARTNERS: "involve_asia", LOG: "error" };
    origin = new Running("origin", join(ROOT, "target", "debug", "bytec-origin"), ["serve"], { env });
    const url = `http://127.0.0.1:${port}`;
    const ready = async () => (await fetch(`${url}/ready`)).status === 200;
    await until("the origin", ready, { running: [origin] });
    const send = async (id) => {
      const reply = await fetch(`${url}/postback/involve/event?conversion_id=${id}&rewars=1.50&click_id=k-${id}&event=purchase&ts_token=default-ts-token`);
      if (reply.status !== 200) throw new Complaint(`a postback was answered ${reply.status}: ${await reply.text()}`);
      return reply.headers.get("bytec-request-id");
    };
    const rest = Array.from({ length: STORED }, (_, number) => `c${number}`);
    await Promise.all(Array.from({ length: 32 }, async () => {
      for (let id = rest.pop(); id !== undefined; id = rest.pop()) await send(id);
    }));
    for (let number = 0; number < WARM_UP; number += 1) await send(`w${number}`);
    // The log comes through a pipe: what came before is waited for by its last statement.
    const written = (text) => blocks(logged).filter((block) => block.text.includes(text));
    const once = (text) => until("the plans", async () => written(text).length > 0, { everyMs: 50, timeoutMs: 10_000 });
    const isDone = async () => ask(postgres.psql, ["-XAtq", "-d", databaseOf(postgres), "-c", "select count(*) from work_items"]) === "0";
    await until("processing", isDone, { everyMs: 50, timeoutMs: 60_000 });
    ask(postgres.psql, ["-XAtq", "-d", databaseOf(postgres), "-c", "select 'all that was before'"]);
    await until("the log", async () => logged.some((line) => line.includes("all that was before")), { everyMs: 20, timeoutMs: 10_000 });
    logged.length = 0;
    const requestId = await send("one");
    await until("processing", isDone, { everyMs: 50, timeoutMs: 10_000 });
    await once("delete from work_items");
    const [ofProcessing, ofPostbacks] = parted(blocks(logged));
    const secret = key(env);
    const question = (path) => fetch(`${url}/partner/involve/event/${path}`, { headers: { authorization: `Bearer ${secret}` } });
    // The origin has perhaps just read which keys there are.
    await until("the key", async () => (await question("stats")).status === 200, { everyMs: 200, timeoutMs: 10_000 });
    logged.length = 0;
    const paths = [
      ...["stats", "conversions", "conversions?conversion_id=one", "conversions?click_id=k-one", "conversions?account_id=a", "conversions?from=2025-01-01"],
      ...["", "?verdict=created", "?verdict=conflict", "?from=2025-01-01", `?request_id=${requestId}`, ...IDS.map((name) => `?${name}=one`)].map((query) => `postbacks${query}`),
      ...["", "?code=x", "?authenticated=false", "?from=2025-01-01", "?request_id=one", ...IDS.map((name) => `?${name}=one`)].map((query) => `rejections${query}`),
      `trace?id=${requestId}`,
    ];
    for (const path of paths) {
      const reply = await question(path);
      if (reply.status !== 200) throw new Complaint(`a question was answered ${reply.status}: ${await reply.text()}`);
    }
    await once("own.account_id = (select");
    await once("known.received_at >= (select from_at");
    await once("traced.account_id = input.id");
    await once("work_items as known where known.event_id = input.id");
    const isAsked = ({ text }) => /totals\.period_start >=|order by coalesce|order by known\.received_at desc/.test(text) || isOfTrace(text);
    const [, ofQuestions] = parted(blocks(logged).filter(isAsked));
    return [...ofPostbacks, ...ofProcessing, ...ofQuestions, ...asked(postgres)];
  } finally {
    await origin?.stop();
    await postgres.stop();
  }
}

/** Those of processing and the others, each once. Processing looks for work all the time, in between as well. */
function parted(found) {
  const once = [...new Map(found.map((block) => [block.text.replace(/^Query Text:/, ""), block])).values()];
  const isProcessing = ({ text }) => /claim_id|revisions as made|set_config\(/.test(text);
  // It looks for work at any time, so what it begins with may stand anywhere in the log.
  const first = ["change settings", "take items"];
  const place = ({ title: name }) => (first.includes(name) ? first.indexOf(name) : first.length);
  const inOrder = (blocks) => blocks.toSorted((a, b) => place(a) - place(b));
  return [inOrder(once.filter(isProcessing)), once.filter((block) => !isProcessing(block))];
}

/** A key that opens what is asked for. */
function key(env) {
  const made = ask(join(ROOT, "target", "debug", "bytec-origin"), ["keys", "create", "--tenant", "bytec", "--scope", "read", "--json"], { env: { ...process.env, ...env } });
  if (made === undefined) throw new Complaint("no key could be made");
  return JSON.parse(made).secret;
}

/** Plans of what is asked beside postbacks, with the settings of the origin's connections. */
function asked(postgres) {
  const explain = (sql) => ask(postgres.psql, ["-XAtq", "-d", databaseOf(postgres), "-c", `set enable_seqscan = off; explain (costs off) ${sql}`]);
  return [
    ["count the day's requests", "select count(*) from postbacks where received_at >= now() - interval '1 hour'"],
    ["forget nonces", "delete from nonces where seen_at < now() - interval '1 hour'"],
    ["find old clicks", "select click_id from clicks where clicked_at < now() - interval '90 days' order by clicked_at limit 500"],
    ["keep what is needed of old clicks", `with input as (select raw.click_id from unnest(array['k-c1', 'k-c2']) as raw(click_id)) update conversions as known set dropped_click_id = gone.click_id
      from input left join lateral (select * from clicks as gone where gone.click_id = input.click_id offset 0) as gone on true
      where known.click_id = input.click_id and gone.click_id is not null and known.click_id = any(array['k-c1', 'k-c2'])`],
    ["drop old clicks", "delete from clicks where click_id in (select raw.click_id from unnest(array['k-c1', 'k-c2']) as raw(click_id)) and clicks.click_id = any(array['k-c1', 'k-c2'])"],
  ].map(([name, sql]) => ({ title: name, text: sql, plan: explain(sql) }));
}

/** The URL of the partner's database. */
function databaseOf({ url }) {
  const target = new URL(url);
  target.pathname = "/involve_asia_db";
  return target.href;
}

/** The plans in a log. */
function blocks(lines) {
  const found = [];
  let block;
  for (const line of lines) {
    if (/LOG: {2}duration: \S+ ms {2}plan:/.test(line)) found.push((block = []));
    else if (line.startsWith("\t")) block?.push(line.slice(1));
    else block = undefined;
  }
  const read = (block) => {
    const begins = block.findIndex((line) => /\(cost=\d/.test(line));
    const text = block.slice(0, begins).join("\n");
    const plan = block.slice(begins).map((line) => line.replace(/ {2}\(cost=.*?\)/, "")).join("\n");
    // Pairs of words in the statement itself: which notices come too late (R48). They read no table.
    return { title: title(text), text, plan: plan.replaceAll(/ *SubPlan \d+\n *-> {2}Values Scan on .*\n/g, "") };
  };
  // What counts and asks is not of the transaction, nor is the look for rebuilds, which comes at any time.
  const isAsked = (block) => block.some((line) => line.includes("cast(attempts as text)"));
  return found.filter((block) => block.some((line) => line.includes("input as (")) && !isAsked(block)).map(read);
}

/** The ids that lists of requests are filtered by, beside the request's own. */
const IDS = ["event_id", "conversion_id", "order_id", "click_id", "account_id"];

/** Statements of a trace, by what stands in no other. */
const OF_TRACE = [
  [/traced_ids\(event_id\)/, "events of an id"],
  [/conversions as traced where traced\.(\w+) = input\.id/, "conversions of one $1"],
  [/rejections as traced where traced\.(\w+) = input\.id/, "rejected requests of one $1"],
  [/conversions as known where known\.conversion_id = rejected\.conversion_id/, "conversions of a rejected request"],
  [/change\.event_id = input\.event_id/, "conversions of events"],
  [/known\.conversion_key = own\.refund_of\b/, "sale of a return"],
  [/known\.refund_of = input\.conversion_key/, "returns of a sale"],
  [/known\.conversion_id = own\.conversion_id/, "conversions of the same id"],
  [/known\.original_event_id = change\.event_id/, "returns that name a sale's event"],
  [/sold\.event_id = own\.original_event_id/, "sale that a return names"],
  [/'rebuild_due_at'/, "state of conversions"],
  [/revisions as known where/, "revisions of conversions"],
  [/events as known where known\.conversion_key = input\.conversion_key/, "events of conversions"],
  [/events as known where known\.event_id = input\.id/, "events"],
  [/asked\(event_id\) as \(select id from input\)/, "requests of events"],
  [/work_items as known where known\.event_id = input\.id/, "jobs of events"],
  [/link\.kind = 'account' and link\.linked_id = input\.id/, "clicks of an account"],
  [/clicks as known where known\.click_id = input\.id/, "clicks"],
  [/input join lateral \(select \* from conversions as known where known\.conversion_key = input\.conversion_key/, "conversions"],
].map(([pattern, name]) => [pattern, `trace: ${name}`]);

const isOfTrace = (text) => OF_TRACE.some(([pattern]) => pattern.test(text));

/** Statements of lists of requests and of rejected requests. */
const OF_LISTS = [
  [/from \(select \* from (postbacks|rejections) where \w+\.(\w+) = \(select/, "$1 of one $2"],
  [/own\.(\w+) = input\.\w+[^]*of_events as known/, "postbacks of one $1"],
  [/asked\(event_id\) as \(select event_id from input\)/, "postbacks of one event_id"],
  [/from postbacks as known[^]*known\.verdict = '(\w+)'/, "postbacks with verdict $1"],
  [/from rejections as known[^]*known\.code = /, "rejections with a code"],
  [/from rejections as known[^]*not known\.is_authenticated/, "rejections without authentication"],
  [/from (postbacks|rejections) as known[^]*>= \(select from_at/, "$1 since"],
  [/from (postbacks|rejections) as known/, "$1"],
].map(([pattern, name]) => [new RegExp(`${pattern.source}[^]*order by known\\.received_at desc`), name]);

/** What a statement does. */
function title(text) {
  const known = [
    [/skip locked/, "take items"],
    [/revisions as made/, "read facts"],
    [/pg_advisory_xact_lock/, "take turns"],
    [/set_config\(/, "change settings"],
    ...OF_TRACE,
    ...OF_LISTS,
    [/totals\.period_start >=/, "statistics"],
    [/(?:known|own)\.(conversion_id|click_id|account_id) = \(select/, "conversions of one $1"],
    [/>= \(select from_at/, "conversions since"],
    [/as known where true\s+order by/, "conversions"],
    [/\b(insert into|update|delete from) (\w+)/, "$1 $2"],
  ];
  const [pattern, name] = known.find(([pattern]) => pattern.test(text)) ?? [/^/, "select"];
  const [, first = "", second = ""] = pattern.exec(text);
  return name.replace("$1", first).replace("$2", second);
}

/** The page with these plans between its marks. */
export function inDocument(page, found) {
  const [begin, end] = ["<!-- plans -->\n", "<!-- end of plans -->"];
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Complaint(`${PLANS_PAGE} has not the marks between which plans stand`);
  const parts = found.map(({ title: name, plan }) => `### ${name}\n\n\`\`\`text\n${plan}\n\`\`\`\n`);
  return `${before}${begin}\n${parts.join("\n")}\n${end}${after}`;
}
