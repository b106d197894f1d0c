// `bytec-origin simulate` against a real edge and a real origin: nothing is lost or doubled, and what is told of it is what a recount
// with other code comes to (docs/simulate.md). SIMULATE_SECONDS=120 for as long as a release is tried.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { startEdge } from "./lib/edge.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin } from "./lib/origin.mjs";
import { answered, byDay, COUNTED, micros } from "./lib/recount.mjs";

const SECONDS = Number(process.env.SIMULATE_SECONDS ?? 6);
/** Partners that may sign. */
const KEYS = ["rector", "s2s"].map((partner) => `${partner}=k1:${"0123456789abcdef".repeat(4)}`).join(" ");
/** Clocks change in Berlin on 26 October, in New York on 2 November. */
const [FROM, TO] = ["2025-10-24", "2025-11-04"];
const PARTNERS = { involve_asia: "involve/event/", rector: "rector/event/", s2s: "" };
/** A euro in each currency: numbers by which amounts stay exact. */
const EURO = { USD: "1.25", GBP: "0.5", MYR: "5", IDR: "1250", THB: "50" };
/** An amount of a currency in micro-units of US dollars. */
const inUsd = (amount, currency) => (micros(amount) * micros(EURO.USD)) / micros(EURO[currency] ?? "1");

for (const kind of KINDS) {
  describe(`simulated traffic, on ${kind}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "bytec-simulate-"));
    const record = join(folder, "sent.jsonl");
    let databases;
    let origin;
    let edge;
    let key;
    let sent;
    const command = (args, input = "") => spawnSync(BINARY, args, { cwd: ROOT, env: { ...process.env, ...databases.env }, input, encoding: "utf8" });
    const rows = (partner, sql) => databases.rows(`${partner}_db`, sql);
    const asked = async (path) => {
      const reply = await origin.fetch(`/partner/${path}`, { headers: { authorization: `Bearer ${key}` } });
      const body = await reply.json();
      assert.equal(reply.status, 200, JSON.stringify(body));
      return body;
    };

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin({ env: { ...databases.env, PARTNER_KEYS: KEYS } });
      edge = await startEdge({ originUrl: origin.url });
      key = JSON.parse(command(["keys", "create", "--tenant", "bytec", "--scope", "read", "--json"]).stdout).secret;
      // The week before as well: the rates of a Monday are not there on its morning.
      const days = Array.from({ length: 22 }, (_, day) => new Date(Date.UTC(2025, 9, 17 + day)).toISOString().slice(0, 10));
      const rates = ["Date", ...Object.keys(EURO)].join(",") + "\n" + days.map((day) => [day, ...Object.values(EURO)].join(",")).join("\n");
      const imported = command(["rates", "import", "-"], rates);
      assert.equal(imported.status, 0, imported.stderr);
    });
    after(async () => {
      await edge?.stop();
      await origin?.stop();
      databases?.remove();
      rmSync(folder, { recursive: true, force: true });
    });

    test("all of it is answered with success", async () => {
      const args = ["simulate", "--url", edge.url, "--rate", "40", "--seconds", SECONDS, "--from", FROM, "--to", TO, "--seed", "7", "--record", record, "--json"];
      const child = spawn(BINARY, args.map(String), { stdio: ["ignore", "pipe", "inherit"] });
      let out = "";
      child.stdout.on("data", (data) => (out += data));
      const code = await new Promise((resolve) => child.on("close", resolve));
      const summary = JSON.parse(out);
      assert.deepEqual([code, summary.failed], [0, 0], out);
      sent = readFileSync(record, "utf8").trim().split("\n").map((line) => JSON.parse(line));
      assert.equal(sent.length, summary.requests);
      assert.ok(sent.length > SECONDS * 30, `${sent.length} requests`);
      for (const kind of ["sale", "deposit", "notice", "repeat", "refund"]) assert.ok(summary.kinds[kind] > 0, out);
      assert.doesNotMatch(readFileSync(record, "utf8"), /default-ts-token|Bearer/, "what proves the sender is not written down");
    });

    test("each event that was answered is stored, once, and no other", async () => {
      for (const partner of Object.keys(PARTNERS)) {
        const of = sent.filter((request) => request.partner === partner);
        await until("all of it", async () => rows(partner, "select count(*) as n from postbacks")[0].n === of.length, { everyMs: 200, timeoutMs: 30_000 });
        const events = rows(partner, "select event_id from events").map(({ event_id }) => event_id).sort();
        assert.deepEqual(events, [...new Set(of.map(({ event_id }) => event_id))].sort(), partner);
        await until("processing", async () => rows(partner, "select count(*) as n from work_items")[0].n === 0, { everyMs: 200, timeoutMs: 30_000 });
      }
    });

    test("statistics are a recount, in two time zones over a change of the clocks", async () => {
      for (const [partner, path] of Object.entries(PARTNERS)) {
        const counted = rows(partner, COUNTED);
        assert.ok(counted.length > 20, `${partner}: ${counted.length} conversions`);
        for (const zone of ["Europe/Berlin", "America/New_York"]) {
          const { periods } = await asked(`${path}stats?from=2025-10-20&to=2025-11-15&tz=${zone}`);
          assert.deepEqual(Object.fromEntries(answered(periods)), Object.fromEntries([...byDay(counted, zone)].sort()), `${partner}, ${zone}`);
        }
      }
    });

    test("conversions are all of the rows, page by page", async () => {
      for (const [partner, path] of Object.entries(PARTNERS)) {
        const seen = [];
        let cursor = "";
        do {
          const page = await asked(`${path}conversions?limit=50${cursor ? `&cursor=${cursor}` : ""}`);
          seen.push(...page.conversions);
          cursor = page.next_cursor;
        } while (cursor);
        const told = seen.map((row) => [row.conversion_id, row.occurrence, row.event, row.status, row.reporting_sale_amount, row.reporting_payout].join(" ")).sort();
        const stored = rows(partner, "select conversion_id, occurrence, event, status, cast(coalesce(counted_usd_sale_amount, usd_sale_amount, fx_sale_amount) as text) as sale, cast(coalesce(counted_usd_payout, usd_payout, fx_payout) as text) as payout from conversions");
        assert.deepEqual(told, stored.map((row) => [row.conversion_id, row.occurrence, row.event, row.status, row.sale, row.payout].join(" ")).sort(), partner);
      }
    });

    test("what was judged is what a recount judges", async () => {
      let clicked = 0;
      for (const partner of Object.keys(PARTNERS)) {
        const clicks = new Set(rows(partner, "select click_id from clicks").map(({ click_id }) => click_id));
        const conversions = rows(
          partner,
          `select conversion_id, event, status, click_id, account_id, attribution, deposit, refund_of, currency, findings,
           coalesce(conversion_datetime, ts_event, received_at) as at, cast(usd_sale_amount as text) as usd, cast(sale_amount as text) as amount,
           cast(fx_sale_amount as text) as fx from conversions`,
        );
        const firsts = new Map();
        for (const row of conversions) {
          const why = `${partner} ${JSON.stringify(row)}`;
          const attribution = !row.click_id ? "no_click" : clicks.has(row.click_id) ? "clicked" : "unknown_click";
          assert.equal(row.attribution, attribution, why);
          clicked += attribution === "clicked" ? 1 : 0;
          if (row.currency && row.amount !== null && row.usd === null) {
            assert.equal(micros(row.fx), inUsd(row.amount, row.currency), why);
          }
          if (row.event === "refund" || row.event === "chargeback") {
            assert.ok(micros(row.usd) <= 0n, why);
            const known = conversions.some(({ conversion_id, event }) => conversion_id === row.conversion_id && event === "purchase");
            if (known) assert.equal(row.refund_of, row.conversion_id, why);
          }
          if (row.event === "deposit") {
            const usd = micros(row.usd ?? row.fx);
            if (usd === 0n) assert.equal(row.deposit, "zero", why);
            else firsts.set(row.account_id, [...(firsts.get(row.account_id) ?? []), row]);
          } else assert.equal(row.deposit, null, why);
        }
        for (const deposits of firsts.values()) {
          const byTime = deposits.toSorted((a, b) => new Date(a.at) - new Date(b.at)).map(({ deposit }) => deposit);
          assert.deepEqual(byTime, byTime.map((_, place) => (place === 0 ? "first" : "repeat")), JSON.stringify(deposits));
        }
      }
      assert.ok(clicked > 0, "some come from clicks of ours");
    });

    test("a partner that has a key signs, and what is signed is believed", async () => {
      const signed = async (keys) => {
        const args = ["simulate", "--url", origin.url, "--partner", "rector,s2s", "--rate", "20", "--seconds", "2", "--seed", "8", "--keys", keys, "--json"];
        const child = spawn(BINARY, args, { stdio: ["ignore", "pipe", "inherit"] });
        let out = "";
        child.stdout.on("data", (data) => (out += data));
        const code = await new Promise((resolve) => child.on("close", resolve));
        return [code, JSON.parse(out)];
      };
      const [code, summary] = await signed(KEYS);
      assert.deepEqual([code, summary.failed], [0, 0], JSON.stringify(summary));
      const stored = ["rector", "s2s"].flatMap((partner) => rows(partner, "select count(*) as n from postbacks where auth_mode = 'token+signature' and key_id = 'k1'"));
      assert.equal(stored.reduce((sum, { n }) => sum + n, 0), summary.requests);
      const [wrong, refused] = await signed(KEYS.replaceAll("0", "1"));
      assert.deepEqual([wrong, refused.failed], [1, refused.requests], JSON.stringify(refused));
    });

    test("Ctrl-C ends it early, with what came of it until then", async () => {
      const stored = () => rows("rector", "select count(*) as n from postbacks")[0].n;
      const before = stored();
      const args = ["simulate", "--url", origin.url, "--partner", "rector", "--rate", "20", "--seconds", "600", "--seed", "9", "--connections", "1", "--json"];
      const child = spawn(BINARY, args, { stdio: ["ignore", "pipe", "inherit"] });
      let out = "";
      child.stdout.on("data", (data) => (out += data));
      const ended = new Promise((resolve) => child.on("close", resolve));
      await until("some requests", async () => stored() > before + 5, { everyMs: 50, timeoutMs: 20_000 });
      child.kill("SIGINT");
      assert.equal(await ended, 0, out);
      const summary = JSON.parse(out);
      assert.deepEqual([summary.failed, summary.requests], [0, stored() - before], "what was under way was waited for");
    });

    test("it asks before it sends to another machine, and says what it does not know", () => {
      const { status, stderr } = command(["simulate", "--url", "http://192.0.2.1"]);
      assert.deepEqual([status, /192\.0\.2\.1 is another machine/.test(stderr)], [2, true], stderr);
      const unknown = command(["simulate", "--partner", "nobody"]);
      assert.deepEqual([unknown.status, /there is no partner "nobody"/.test(unknown.stderr)], [2, true], unknown.stderr);
      const away = command(["simulate", "--url", "http://127.0.0.1:9", "--partner", "s2s"]);
      assert.deepEqual([away.status, /does not answer/.test(away.stderr)], [2, true], away.stderr);
    });
  });
}
