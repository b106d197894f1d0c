// What Prometheus is told, and what it makes of it (docs/monitoring.md): a real origin and a real edge, read by Prometheus' own tool.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { promtool } from "../../scripts/lib/promtool.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { OPERATOR_TOKEN, startEdge } from "./lib/edge.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin } from "./lib/origin.mjs";
import { rector, TOKEN } from "./lib/requests.mjs";

const read = (path) => readFileSync(join(ROOT, path), "utf8");
const tool = async (args, input) => {
  const { status, stdout, stderr } = spawnSync(await promtool(), args, { cwd: ROOT, input, encoding: "utf8" });
  return { status, said: `${stdout}${stderr}` };
};

/** The samples of an exposition, by series; labels in the order of their names. */
const samples = (text) => new Map(text.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));

/** The metrics that a text asks for. */
const metricsIn = (text) => new Set([...text.matchAll(/\b(bytec_(?:origin|edge)_[a-z_]+|process_[a-z_]+)/g)].map(([, name]) => name));

test("the alerts ring where they should, and only there", async () => {
  for (const args of [["check", "rules", "monitoring/alerts.yml"], ["test", "rules", "monitoring/alerts_test.yml"]]) {
    const { status, said } = await tool(args);
    assert.equal(status, 0, said);
  }
  const alerts = [...read("monitoring/alerts.yml").matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
  const [tried, page] = [read("monitoring/alerts_test.yml"), read("docs/monitoring.md")];
  assert.deepEqual(alerts.filter((name) => !tried.includes(`"${name}"`)), [], "alerts that nothing tries");
  assert.deepEqual(alerts.filter((name) => !page.includes(`| \`${name}\` |`)), [], "alerts that docs/monitoring.md does not explain");
});

for (const kind of KINDS) {
  describe(`the origin's metrics, on ${kind}`, () => {
    let databases;
    let origin;
    const keys = {};
    const ask = (secret, init = {}) => origin.fetch("/metrics", { ...init, headers: secret ? { authorization: `Bearer ${secret}` } : {} });
    const metrics = async (secret = keys.operate) => {
      const reply = await ask(secret);
      const text = await reply.text();
      assert.equal(reply.status, 200, text);
      return text;
    };

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin({ env: databases.env });
      const create = (name, args) => {
        const { status, stdout, stderr } = spawnSync(BINARY, ["keys", "create", "--tenant", "bytec", "--json", ...args], { env: { ...process.env, ...databases.env }, encoding: "utf8" });
        assert.equal(status, 0, stderr);
        keys[name] = JSON.parse(stdout).secret;
      };
      create("operate", ["--scope", "operate"]);
      create("read", ["--scope", "read"]);
      create("rector", ["--scope", "operate", "--for-partner", "rector"]);
      await until("the keys", async () => (await ask(keys.rector)).status === 200, { everyMs: 200, timeoutMs: 20_000 });
    });
    after(async () => {
      await origin?.stop();
      databases?.remove();
    });

    test("requests are counted by what became of them, and Prometheus' own tool finds nothing odd", async () => {
      const before = samples(await metrics());
      const send = async (target, status) => {
        const reply = await origin.fetch(target);
        assert.equal(reply.status, status, await reply.text());
      };
      for (const id of ["m1", "m2", "m1"]) await send(`/postback/rector/event?${rector(id)}&ts_token=${TOKEN}`, 200);
      await send(`/postback/rector/event?nothing=1&ts_token=${TOKEN}`, 400);
      await send(`/postback/rector/event?${rector("m3")}&ts_token=wrong`, 403);
      await send(`/postback/nobody?ts_token=${TOKEN}`, 404);
      await until("processing", async () => samples(await metrics()).get('bytec_origin_processed_total{partner="rector"}') >= 2, { everyMs: 100, timeoutMs: 10_000 });
      const text = await metrics();
      const now = samples(text);
      const more = (series) => now.get(series) - (before.get(series) ?? 0);
      const requests = (partner, outcome) => more(`bytec_origin_requests_total{kind="postback",outcome="${outcome}",partner="${partner}",via="direct"}`);
      assert.deepEqual(["created", "duplicate", "token_invalid"].map((outcome) => requests("rector", outcome)), [2, 1, 1]);
      assert.equal(requests("-", "partner_not_found"), 1);
      assert.equal(more('bytec_origin_request_duration_seconds_count{kind="postback",partner="rector"}'), 5);
      assert.equal(more('bytec_origin_postback_delay_seconds_count{partner="rector",via="direct"}'), 3);
      for (const partner of ["rector", "involve_asia", "s2s"]) assert.equal(now.get(`bytec_origin_database_up{partner="${partner}"}`), 1);
      assert.equal(now.get('bytec_origin_work_items{partner="rector",state="waiting"}'), 0);
      const age_s = Date.now() / 1000 - now.get('bytec_origin_last_postback_timestamp_seconds{partner="rector"}');
      assert.ok(age_s >= 0 && age_s < 60, `${age_s} s ago`);
      assert.ok(now.get("process_resident_memory_bytes") > 1e6);
      const { status, said } = await tool(["check", "metrics"], text);
      assert.equal(status, 0, said);
    });

    test("a key is told of its own partners, and only one that operates", async () => {
      const ofRector = await metrics(keys.rector);
      assert.deepEqual([...new Set([...ofRector.matchAll(/partner="([^"]*)"/g)].map(([, partner]) => partner))].sort(), ["-", "rector"]);
      const refused = async (reply, status, code) => assert.deepEqual([reply.status, (await reply.json()).error], [status, code]);
      await refused(await ask(undefined), 401, "key_missing");
      await refused(await ask(keys.read), 403, "key_invalid");
      await refused(await ask(TOKEN), 403, "key_invalid");
      await refused(await ask(keys.operate, { method: "POST" }), 405, "method_not_allowed");
      const head = await ask(keys.operate, { method: "HEAD" });
      assert.deepEqual([head.status, await head.text(), head.headers.get("content-type")], [200, "", "text/plain; version=0.0.4"]);
    });

    test("what alerts and the dashboard ask for is there", async () => {
      const told = metricsIn(await metrics());
      const asked = new Set([...metricsIn(read("monitoring/alerts.yml")), ...metricsIn(read("monitoring/grafana-dashboard.json")), ...metricsIn(read("docs/monitoring.md"))]);
      // The recount of a night comes at night.
      const counted = /^bytec_origin_processing_failures_total$|^bytec_edge_(?:parked|queued|queued_oldest_timestamp_seconds)$|^bytec_origin_recount_differences$/;
      assert.deepEqual([...asked].filter((name) => !told.has(name) && !counted.test(name)), []);
      assert.deepEqual([...told].filter((name) => !asked.has(name) && !/^process_|_(sum|count|bucket)$/.test(name)), [], "metrics that docs/monitoring.md does not name");
    });
  });
}

test("the edge tells how many postbacks are parked", async () => {
  const edge = await startEdge({ originUrl: "http://127.0.0.1:9" });
  try {
    const ask = (token) => edge.fetch("/ops/metrics", { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await ask("wrong")).status, 403);
    assert.equal((await edge.ops("metrics", { method: "POST" })).status, 405);
    await edge.ops("parked");
    for (const [id, state, partner] of [["a", "parked", "'rector'"], ["b", "parked", "'rector'"], ["c", "delivered", "'rector'"], ["d", "replaying", "null"]]) {
      await edge.parked(`insert into parked (request_id, partner, state, reason, detail, attempts, parked_at, changed_at, replays, message) values ('${id}', ${partner}, '${state}', 'exhausted', '', 1, '', '', 0, '') returning request_id`);
    }
    const reply = await ask(OPERATOR_TOKEN);
    const text = await reply.text();
    assert.equal(reply.status, 200, text);
    assert.deepEqual(Object.fromEntries(samples(text)), {
      'bytec_edge_parked{partner="-",reason="exhausted",state="replaying"}': 1,
      'bytec_edge_parked{partner="rector",reason="exhausted",state="parked"}': 2,
    });
    const { status, said } = await tool(["check", "metrics"], text);
    assert.equal(status, 0, said);
  } finally {
    await edge.stop();
  }
});
