// `npm run parked -- list|show ID|replay`: postbacks and clicks that automatic delivery gave up on. A client of the edge's
// operations under /ops/parked; what a filter means is decided there.
import { createInterface } from "node:readline/promises";
import { readCommandLine } from "./lib/command-line.mjs";
import { columns, operator, OPERATOR_HELP, OPERATOR_OPTIONS, plain } from "./lib/operator.mjs";
import { Complaint, main } from "./lib/run.mjs";

const HELP = `
npm run parked -- list --env NAME [filter] [--limit N] [--cursor C] [--json]
npm run parked -- show ID --env NAME [--json]
npm run parked -- replay --env NAME [filter] [--limit N] [--dry-run | --yes] [--json]

list shows what matches, the longest parked first. show prints one with all that is kept of it. replay gives what is parked
back to the queue; it shows first what that would be, and asks.

  --state WORD       parked, replaying or delivered; for replay not delivered
  --partner CODE     --reason WORD (exhausted, refused, unknown_partner, unreadable)
  --event-id ID      --request-id ID
  --from TIME        parked at this time or later, --to TIME before this time; UTC, such as 2026-01-31T12:00:00Z
  --limit N          list: rows in all (100); replay: at most so many, up to 1000 (1000)
  --cursor C         list: goes on behind a page; the page before says the word
  --dry-run          replay: only say what would be replayed
  --yes              replay: do not ask
${OPERATOR_HELP}`;

const OPTIONS = {
  ...OPERATOR_OPTIONS,
  ...Object.fromEntries(
    ["state", "partner", "reason", "event-id", "request-id", "from", "to", "limit", "cursor"].map((name) => [name, { type: "string" }]),
  ),
  "dry-run": { type: "boolean", default: false },
  yes: { type: "boolean", default: false },
};

/** Rows that the edge lists at once, at most. */
const PAGE_MAX = 1_000;

await main(async () => {
  const line = readCommandLine(HELP, OPTIONS, { positionals: true });
  if (!line) return;
  const { values, positionals: [command, id, ...more] } = line;
  const commands = { list, show, replay };
  if (!Object.hasOwn(commands, command ?? "")) throw new Complaint("say list, show ID or replay; --help says more");
  if (more.length || (id !== undefined) !== (command === "show")) throw new Complaint(command === "show" ? "say one ID: show ID" : `${command} takes options alone; --help lists them`);
  await commands[command](values, id);
});

/** The filter in the edge's words. */
function filter({ state, partner, reason, from, to, "event-id": event_id, "request-id": request_id }) {
  return { state, partner, reason, event_id, request_id, from, to };
}

async function list(values) {
  const limit = values.limit === undefined ? 100 : Number(values.limit);
  if (!(Number.isInteger(limit) && limit > 0)) throw new Complaint("--limit is a whole number above 0");
  const edge = await operator(values);
  const rows = [];
  let next = values.cursor;
  do {
    const query = { ...filter(values), limit: Math.min(PAGE_MAX, limit - rows.length), cursor: next };
    const { body } = await edge.call("parked", { query });
    rows.push(...body.parked);
    next = body.next ?? undefined;
  } while (next !== undefined && rows.length < limit);
  if (values.json) return print(JSON.stringify({ parked: rows, next: next ?? null }, null, 2));
  if (!rows.length) return print("nothing is parked that matches");
  const cells = rows.map((row) => [row.request_id, row.parked_at.replace(/\.\d+Z$/, "Z"), row.state, row.reason, row.partner, row.event_id, `${row.replays}`, row.detail.slice(0, 80)]);
  print(columns([["id", "parked at", "state", "reason", "partner", "event", "replays", "what was seen"], ...cells]));
  if (next !== undefined) print(`there may be more: --cursor ${plain(next)}`);
}

async function show(values, id) {
  const edge = await operator(values);
  const { body } = await edge.call(`parked/${encodeURIComponent(id)}`);
  if (values.json) return print(JSON.stringify(body, null, 2));
  const { postback, click, message, ...row } = body;
  const lines = (members) => Object.entries(members).filter(([, value]) => value !== null && value !== "");
  const text = (value) => (typeof value === "object" ? JSON.stringify(value) : value);
  for (const [title, members] of [["", row], ["postback", postback], ["click", click], ["message", message && { message }]]) {
    if (!members) continue;
    if (title) print(title);
    print(columns(lines(members).map(([name, value]) => [`${title ? "  " : ""}${name}`, text(value)])));
  }
}

async function replay(values) {
  const edge = await operator(values);
  const query = { ...filter(values), limit: values.limit, cursor: values.cursor };
  const ask = (dry_run) => edge.call("parked/replay", { method: "POST", query: { ...query, dry_run }, also: [503] });
  const { body: planned } = await ask(true);
  // The edge replays 1000 where no limit is named.
  const count = Math.min(planned.matching, Number(values.limit ?? PAGE_MAX));
  if (values["dry-run"]) return print(values.json ? JSON.stringify(planned, null, 2) : counts(planned, "would be replayed", count));
  if (!values.yes) {
    // Behind --json stands nothing but the edge's answer.
    process.stderr.write(`${counts(planned, "will be replayed", count)}\n`);
    if (count > 0) await confirm(`give ${count} back to the queue at ${edge.url}?`);
  }
  const { status, body: done } = await ask(false);
  print(values.json ? JSON.stringify(done, null, 2) : `${done.replayed} in the queue again, ${done.left} left`);
  if (status !== 200) throw new Complaint(`not all: ${plain(done.problem)}; what did not get into the queue is parked again`);
}

function counts({ matching, by_partner_and_reason: groups }, what, count) {
  if (!matching) return "nothing is parked that matches";
  const rows = groups.map((group) => [group.partner, group.reason, `${group.count}`]);
  return `${columns([["partner", "reason", "parked"], ...rows])}\n${count} of ${matching} ${what}`;
}

/** Goes on only when somebody at a terminal says so. */
async function confirm(question) {
  if (!process.stdin.isTTY) throw new Complaint("nothing was replayed: there is no terminal to ask at; look with --dry-run, then say --yes");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${question} Write yes: `);
  terminal.close();
  if (answer.trim() !== "yes") throw new Complaint("nothing was replayed");
}

function print(text) {
  process.stdout.write(`${text}\n`);
}
