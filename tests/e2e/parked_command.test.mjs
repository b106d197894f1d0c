// `bytec-origin parked` against a real edge in workerd and a real origin: listed, shown and replayed, as it is typed.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort, until } from "../../scripts/lib/processes.mjs";
import { OPERATOR_TOKEN, startEdge } from "./lib/edge.mjs";
import { BINARY, freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { rector } from "./lib/requests.mjs";
import { atTerminal as askedAtTerminal } from "./lib/terminal.mjs";

/** Runs a program; answers its exit code and what it printed, in which no token stands. */
function run(program, args, env) {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, OPERATOR_TOKEN, ...env }, timeout: 60_000, maxBuffer: 64 << 20 };
    const child = execFile(program, args, options, (error, out, err) => {
      assert.ok(!`${out}${err}`.includes(OPERATOR_TOKEN), "the token is shown");
      resolve({ code: error ? error.code : 0, out, err });
    });
    child.stdin.end();
  });
}

const ROOM = mkdtempSync(join(tmpdir(), "bytec-parked-"));
let databases, origin, edge;
const ids = [];
const parked = (args, env = {}) => run(BINARY, ["parked", ...args], { EDGE_URL: edge.url, ...env });
const rows = async (query = "") => (await edge.ops(`parked${query}`)).body.parked;

/** Plants rows that were never delivered, by SQL that selects their ids and what was seen. */
const plant = (selected) =>
  edge.parked(`insert into parked (request_id, partner, state, reason, detail, attempts, parked_at, changed_at, replays, message)
    select id, 's2s', 'parked', 'unreadable', detail, 1, '2000-01-01T00:00:00.000000Z', '2000-01-01T00:00:00.000000Z', 0, 'no' || char(27) || '[2Jpostback'
    from (${selected}) where true returning request_id`);

before(async () => {
  databases = freshDatabases("sqlite");
  const port = await freePort();
  edge = await startEdge({ originUrl: `http://127.0.0.1:${port}`, bindings: { RETRY_DELAYS_S: "0" } });
  for (let i = 0; i < 4; i++) ids.push((await edge.fetch(`/rector/event?${rector(uniqueId())}`)).headers.get("bytec-request-id"));
  await until("four parked postbacks", async () => (await rows()).length === 4);
  origin = await startOrigin({ ...databases, port });
});
after(async () => {
  await edge?.stop();
  await origin?.stop();
  databases?.remove();
  rmSync(ROOM, { recursive: true, force: true });
});

test("list and show print what the edge has, by a token out of a file", async () => {
  const file = join(ROOM, "token");
  writeFileSync(file, `${OPERATOR_TOKEN}\n`);
  const by = { EDGE_URL: "", OPERATOR_TOKEN: "", OPERATOR_TOKEN_FILE: file };
  const { code, out } = await parked(["list", "--edge", edge.url, "--partner", "rector", "--reason", "exhausted"], by);
  assert.equal(code, 0);
  assert.match(out, /^id +parked at +state +reason +partner +event +replays +what was seen\n/);
  for (const id of ids) assert.match(out, new RegExp(`^${id}  \\S+:\\d\\dZ  parked  exhausted  rector +evt_`, "m"));
  const listed = JSON.parse((await parked(["list", "--json"])).out);
  assert.deepEqual(listed, (await edge.ops("parked")).body);

  const shown = await parked(["show", ids[0]]);
  assert.match(shown.out, /^reason +exhausted$/m);
  assert.match(shown.out, /^postback\n  canonical +event=conversion&[^]*\n  target +\/rector\/event\?media_id=media456/m);
  assert.deepEqual(JSON.parse((await parked(["show", ids[0], "--json"])).out), (await edge.ops(`parked/${ids[0]}`)).body);
  for (const nobody of ["a/b c", "..", ".", "", "%2e%2e"]) {
    const { code: no, err } = await parked(["show", nobody]);
    assert.deepEqual([no, /404 not_parked/.test(err)], [1, true], nobody);
  }
});

test("every name of a filter means what it says", async () => {
  const all = await rows();
  const [one, two] = [all[0], all.at(-1)];
  const ids = (some) => some.map((row) => row.request_id);
  const found = async (...filter) => ids(JSON.parse((await parked(["list", "--json", ...filter])).out).parked);
  assert.deepEqual(await found("--request-id", one.request_id), [one.request_id]);
  assert.deepEqual(await found("--event-id", two.event_id), [two.request_id]);
  assert.deepEqual(await found("--to", two.parked_at), ids(all.filter((row) => row.parked_at < two.parked_at)));
  assert.deepEqual(await found("--from", two.parked_at), ids(all.filter((row) => row.parked_at >= two.parked_at)));
  assert.deepEqual([await found("--state", "delivered"), await found("--reason", "refused"), await found("--partner", "s2s")], [[], [], []]);
  assert.deepEqual([await found("--from", "2099-01-01T00:00:00Z"), await found("--to", "2020-01-01T00:00:00Z")], [[], []]);
  assert.match((await parked(["list", "--partner", "s2s"])).out, /^nothing is parked that matches$/m);
  // A variable that is empty must not mean all.
  const empty = await parked(["replay", "--partner", "", "--yes"]);
  assert.deepEqual([empty.code, /400 unclear_filter: partner is a partner's code/.test(empty.err)], [1, true]);
  assert.match((await parked(["replay", "--state", "delivered", "--yes"])).err, /unclear_filter: state what is delivered needs no replay/);
});

test("a replay changes nothing without a word", async () => {
  const dry = await parked(["replay", "--partner", "rector", "--limit", "1", "--dry-run"]);
  assert.deepEqual([dry.code, dry.out], [0, "partner  reason     parked\nrector   exhausted  4\n1 of 4 would be replayed\n"]);
  const planned = JSON.parse((await parked(["replay", "--dry-run", "--json"])).out);
  assert.deepEqual([planned.dry_run, planned.matching, planned.replayed], [true, 4, 0]);
  const unasked = await parked(["replay", "--json"]);
  assert.deepEqual([unasked.code, unasked.out], [1, ""]);
  assert.match(unasked.err, /4 of 4 will be replayed\nnothing was replayed: there is no terminal to ask at: look with --dry-run/);
  assert.ok((await rows()).every((row) => row.state === "parked" && row.replays === 0));
});

const atTerminal = (answer, args, meanwhile) => askedAtTerminal(["parked", "replay", "--edge", edge.url, ...args], { OPERATOR_TOKEN }, answer, meanwhile);

test("at a terminal it asks, and only yes is yes", async () => {
  const no = await atTerminal("y", ["--limit", "1"]);
  assert.deepEqual([no.code, /1 of 4 will be replayed\r\ngive 1 back to the queue at http:\S+\? Write yes: /.test(no.out)], [1, true], no.out);
  assert.match(no.out, /nothing was replayed: that was no yes/);
  assert.ok((await rows()).every((row) => row.state === "parked"));

  // What is parked while somebody reads the question is not what the answer is about.
  const [{ event_id }] = await rows();
  const yes = await atTerminal("yes", ["--event-id", event_id], () =>
    edge.parked(`insert into parked select 'later', partner, event_id, received_at, state, reason, detail, attempts, parked_at, '${new Date().toISOString()}', replays, message
      from parked where event_id = '${event_id}' returning request_id`),
  );
  assert.deepEqual([yes.code, /1 in the queue again, 1 left\r\n$/.test(yes.out)], [0, true], yes.out);
  await until("one delivered", async () => (await rows("?state=delivered")).length === 1);
  assert.deepEqual(await edge.parked("delete from parked where request_id = 'later' returning state"), [{ state: "parked" }]);
});

test("with --yes it does not ask, and what was replayed is stored", async () => {
  const two = await parked(["replay", "--partner", "rector", "--limit", "2", "--yes"]);
  assert.deepEqual([two.code, two.out], [0, "2 in the queue again, 1 left\n"]);
  await until("three delivered", async () => (await rows("?state=delivered")).length === 3);
  const [left] = await rows("?state=parked");
  const last = await parked(["replay", "--request-id", left.request_id, "--yes", "--json"]);
  assert.deepEqual([last.code, JSON.parse(last.out).replayed], [0, 1]);
  await until("all delivered", async () => (await rows("?state=delivered")).length === 4);
  assert.equal(databases.rows("rector_db", "select count(*) as n from conversions")[0].n, 4);
  assert.equal((await parked(["replay", "--yes"])).out, "0 in the queue again, 0 left\n");
  const none = await parked(["replay"]);
  assert.deepEqual([none.code, none.out, none.err], [0, "0 in the queue again, 0 left\n", "nothing is parked that matches\n"]);
});

test("what did not get into the queue is told", async () => {
  const withoutQueue = ({ queueProducers: { POSTBACKS: _, ...queueProducers }, ...options }) => ({ ...options, queueProducers });
  const broken = await startEdge({ originUrl: origin.url, change: withoutQueue });
  try {
    await broken.ops("parked");
    const [{ message }] = await edge.parked("select message from parked limit 1");
    await broken.parked(`insert into parked (request_id, partner, state, reason, detail, attempts, parked_at, changed_at, replays, message)
      values ('r1', 'rector', 'parked', 'exhausted', '', 1, '2000-01-01T00:00:00.000000Z', '2000-01-01T00:00:00.000000Z', 0, '${message.replaceAll("'", "''")}') returning request_id`);
    const { code, out, err } = await parked(["replay", "--yes"], { EDGE_URL: broken.url });
    assert.deepEqual([code, out], [1, "0 in the queue again, 1 left\n"]);
    assert.match(err, /^not all: no queue is bound to POSTBACKS; what did not get into the queue is parked again\n$/);
  } finally {
    await broken.stop();
  }
});

test("thousands are listed page by page, and no text commands a terminal", async () => {
  await plant("with recursive n(i) as (select 1 union all select i + 1 from n where i < 2100) select printf('m-%04d', i) as id, 'seen ' || char(27) || '[31m' || char(155) || '2J' as detail from n");
  const all = await parked(["list", "--state", "parked", "--limit", "2050", "--json"]);
  const { parked: listed, next } = JSON.parse(all.out);
  assert.deepEqual([listed.length, new Set(listed.map((row) => row.request_id)).size, listed.at(-1).request_id], [2050, 2050, "m-2050"]);
  const rest = JSON.parse((await parked(["list", "--state", "parked", "--limit", "100000", "--cursor", next, "--json"])).out);
  assert.deepEqual([rest.parked[0].request_id, rest.parked.length, rest.next], ["m-2051", 50, null]);
  const { out } = await parked(["list", "--limit", "3"]);
  assert.match(out, /\nm-0003 .*\nthere may be more: --cursor \S+~m-0003\n$/);
  const shown = await parked(["show", "m-0001"]);
  assert.match(shown.out, /^message\n  message  no \[2Jpostback$/m);
  for (const text of [out, shown.out, all.out, (await parked(["show", "m-0001", "--json"])).out]) {
    assert.ok(/seen /.test(text) && !/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(text));
  }
  assert.equal(listed[0].detail, "seen \u001b[31m\u009b2J", "JSON loses nothing");
});

test("an id may look like an option", async () => {
  await plant("select '-hA_1' as id, '' as detail");
  for (const args of [["show", "-hA_1"], ["show", "-hA_1", "--json"], ["show", "--json", "-hA_1"], ["list", "--request-id", "-hA_1", "--json"]]) {
    const { code, out, err } = await parked(args);
    assert.deepEqual([code, /^request_id +-hA_1$|"request_id": "-hA_1"/m.test(out)], [0, true], `${args}: ${out}${err}`);
  }
});

/** What a server that answers everything alike makes the program say. */
async function toForeign(status, headers, body, args = ["list"]) {
  const server = createServer((_, reply) => reply.writeHead(status, headers).end(body));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const answer = await parked(args, { EDGE_URL: `http://127.0.0.1:${server.address().port}` });
  await new Promise((resolve) => server.close(resolve));
  return answer;
}

test("what is not an answer of the edge is told apart", async () => {
  for (const [status, headers, body, expected] of [
    [200, { "content-type": "text/html" }, "<html>", /answered 200 and no JSON: that is not the edge/],
    [302, { location: "http://127.0.0.1:9/" }, "", /answered 302 and a redirect/],
    [200, {}, `["${"x".repeat(17 << 20)}"]`, /answered 200 and more than the edge ever does: that is not the edge/],
    [200, {}, '{"parked":"all"}', /answered 200: that is not an answer of the edge/],
    [503, {}, '{"error":"unavailable","hint":"h"}', /503 unavailable: the edge's configuration is wrong/],
    [404, {}, '{"error":"partner_not_found","hint":"h"}', /404 partner_not_found: this edge has no operations/],
    [500, {}, '{"error":"\\u001b[2J","hint":"\\u009b31m"}', /answered 500  \[2J:  31m\n$/],
  ]) {
    const { code, out, err } = await toForeign(status, headers, body);
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, expected);
  }
  const { code, err } = await parked(["list"], { EDGE_URL: `http://127.0.0.1:${await freePort()}` });
  assert.equal(code, 1);
  assert.match(err, /^nothing answers at http:\/\/127\.0\.0\.1:\d+ \(Connection refused .*\): is the edge running/);
});

test("tokens: a wrong one, and too many wrong ones", async () => {
  const strict = await startEdge({ originUrl: origin.url, limits: { AUTH_FAILURES: 1 } });
  try {
    const wrong = () => parked(["list"], { EDGE_URL: strict.url, OPERATOR_TOKEN: "wrong-t0ken" });
    const first = await wrong();
    assert.match(first.err, /403 signature_invalid: the edge does not know this token/);
    assert.ok(first.code === 1 && !(first.out + first.err).includes("wrong-t0ken"));
    await until("429", async () => /429 rate_limited: .* try again in 60 s/.test((await wrong()).err));
  } finally {
    await strict.stop();
  }
});

test("a command line that cannot be meant ends with 2, and asks nobody", async () => {
  for (const [args, env, expected] of [
    [[], {}, /Usage: bytec-origin parked/],
    [["lst"], {}, /unrecognized subcommand 'lst'/],
    [["show"], {}, /<ID>/],
    [["show", "a", "b"], {}, /unexpected argument 'b'/],
    [["list", "--limit", "0"], {}, /--limit <N>/],
    [["list", "--reasn", "x"], {}, /unexpected argument '--reasn'/],
    [["list", "--dry-run"], {}, /unexpected argument '--dry-run'/],
    [["replay", "--limit", "1001"], {}, /--limit <N>/],
    [["replay", "--cursor", "x"], {}, /unexpected argument '--cursor'/],
    [["replay", "--dry-run", "--yes"], {}, /cannot be used with/],
    [["list", "--token", "x"], {}, /unexpected argument '--token'/],
    [["list"], { EDGE_URL: "" }, /--edge is no URL/],
    [["list", "--edge", "https://u:geheim@network.bytec.com"], {}, /^error: --edge must be scheme and host alone/],
    [["list"], { EDGE_URL: "https://u:geheim@" }, /^error: --edge is no URL/],
    [["list", "--edge", "http://network.bytec.com"], {}, /must begin with https:\/\/; http:\/\/ is for this machine alone/],
    [["list", "--edge", "https://network.bytec.com/ops"], {}, /must be scheme and host alone/],
    [["list"], { OPERATOR_TOKEN: "" }, /^OPERATOR_TOKEN is not set: it is your token out of the edge's secret OPERATOR_TOKENS$/m],
    [["list"], { OPERATOR_TOKEN: "", OPERATOR_TOKEN_FILE: join(ROOM, "none") }, /^OPERATOR_TOKEN_FILE: .* cannot be read/m],
  ]) {
    const { code, out, err } = await parked(args, env);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, expected);
    assert.doesNotMatch(err, /geheim/);
  }
});
