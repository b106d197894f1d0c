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
    };
    const rest = Array.from({ length: STORED }, (_, number) => `c${number}`);
    await Promise.all(Array.from({ length: 32 }, async () => {
      for (let id = rest.pop(); id !== undefined; id = rest.pop()) await send(id);
    }));
    for (let number = 0; number < WARM_UP; number += 1) await send(`w${number}`);
    // The log comes through a pipe: what came before is waited for by its last statement.
    const isWritten = () => blocks(logged).some(({ text }) => text.includes("insert into postbacks"));
    logged.length = 0;
    await send("one");
    await until("the plans", async () => isWritten(), { everyMs: 50, timeoutMs: 10_000 });
    return [...blocks(logged), ...asked(postgres)];
  } finally {
    await origin?.stop();
    await postgres.stop();
  }
}

/** Plans of what is asked beside postbacks, with the settings of the origin's connections. */
function asked({ psql, url }) {
  const target = new URL(url);
  target.pathname = "/involve_asia_db";
  const explain = (sql) => ask(psql, ["-XAtq", "-d", target.href, "-c", `set enable_seqscan = off; explain (costs off) ${sql}`]);
  return [
    ["count the day's requests", "select count(*) from postbacks where received_at >= now() - interval '1 hour'"],
    ["forget nonces", "delete from nonces where seen_at < now() - interval '1 hour'"],
  ].map(([name, sql]) => ({ title: name, text: sql, plan: explain(sql) }));
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
  // What counts and asks is not of the transaction.
  return found.filter((block) => block.some((line) => line.includes("input as ("))).map(read);
}

/** What a statement does. */
function title(text) {
  const main = /\b(?:insert into|update|delete from) \w+/.exec(text);
  if (main) return main[0];
  return text.includes("pg_advisory_xact_lock") ? "take turns" : "select";
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
