// What events mean, as an origin that runs says it: processed by itself, asked with a key (docs/processing.md, docs/api.md).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin } from "./lib/origin.mjs";
import { answered, byDay, COUNTED, inTotal, micros, sums, waitingByCurrency } from "./lib/recount.mjs";
import { TOKEN } from "./lib/requests.mjs";

for (const kind of KINDS) {
  describe(`what events mean, on ${kind}`, () => {
    let databases;
    let origin;
    let key;
    const command = (line, input = "") =>
      spawnSync(BINARY, line.split(" "), { cwd: ROOT, env: { ...process.env, ...databases.env }, input, encoding: "utf8" });
    const done = (line, input) => {
      const { status, stdout, stderr } = command(line, input);
      assert.equal(status, 0, stderr);
      return stdout;
    };
    const send = async (partner, query) => {
      const reply = await origin.fetch(`/postback/${partner}/event?${query}&ts_token=${TOKEN}`);
      assert.equal(reply.status, 200, await reply.text());
    };
    const ask = async (path, { secret = key, accept } = {}) => {
      const headers = { ...(secret ? { authorization: `Bearer ${secret}` } : {}), ...(accept ? { accept } : {}) };
      return origin.fetch(`/partner/${path}`, { headers });
    };
    const asked = async (path) => {
      const reply = await ask(path);
      const body = await reply.json();
      assert.equal(reply.status, 200, JSON.stringify(body));
      return body;
    };
    const workLeft = (database) => databases.rows(database, "select state from work_items");
    const processed = (database) => until("processing", async () => workLeft(database).every(({ state }) => state === "delayed"), { everyMs: 100, timeoutMs: 10_000 });
    const conversion = async (id, event) => {
      const { conversions } = await asked(`involve/event/conversions?conversion_id=${id}${event ? `&event=${event}` : ""}`);
      assert.equal(conversions.length, 1, JSON.stringify(conversions));
      return conversions[0];
    };

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin({ env: databases.env });
      key = JSON.parse(done("keys create --tenant bytec --scope read --json")).secret;
      await until("the key", async () => (await ask("involve/event/stats")).status === 200, { everyMs: 200, timeoutMs: 20_000 });
    });
    after(async () => {
      await origin?.stop();
      databases?.remove();
    });

    test("each comes to what it should, with its history", async () => {
      for (const query of [
        // Pending, approved, refunded.
        "conversion_id=r1&event=purchase&status=Pending&usd_sale_amount=100.00&rewars=10.50&event_time=2025-10-20+10:00:00",
        "conversion_id=r1&status=Approved",
        "conversion_id=r1&event=refund&usd_sale_amount=100.00&rewars=10.50&event_time=2025-10-22+10:00:00",
        // A repeat deposit comes before the first one, and a top-up of nothing before both.
        "conversion_id=d2&event=deposit&account_id=u1&usd_sale_amount=30&event_time=2025-10-21+10:00:00",
        "conversion_id=d1&event=deposit&account_id=u1&usd_sale_amount=20&event_time=2025-10-20+10:00:00",
        "conversion_id=d0&event=deposit&account_id=u1&usd_sale_amount=0&event_time=2025-10-19+10:00:00",
        "conversion_id=d1&event=chargeback&usd_sale_amount=20&event_time=2025-10-25+10:00:00",
        "conversion_id=e1&event=deposit&account_id=u2&sale_amount_local=50.00&conversion_currency=EUR&event_time=2025-10-26+12:00:00",
      ]) await send("involve", query);
      await processed("involve_asia_db");
      const sale = await conversion("r1", "purchase");
      assert.deepEqual([sale.status, sale.revision, sale.reporting_payout], ["approved", 2, "10.50"]);
      const refund = await conversion("r1", "refund");
      assert.deepEqual([refund.refund_of, refund.reporting_sale_amount, refund.reporting_payout], ["r1", "-100.00", "-10.50"]);
      const deposits = {};
      for (const id of ["d0", "d1", "d2"]) deposits[id] = (await conversion(id, "deposit")).deposit;
      assert.deepEqual(deposits, { d0: "zero", d1: "first", d2: "repeat" });
      assert.equal((await conversion("d1", "chargeback")).reporting_sale_amount, "-20.00");
      const waiting = await conversion("e1");
      assert.deepEqual([waiting.reporting_sale_amount, waiting.findings], [null, ["rate_missing"]]);
      assert.deepEqual(workLeft("involve_asia_db"), [{ state: "delayed" }]);
      assert.match(done("rates import -", "Date, USD, MYR, \n24 October 2025, 1.1612, 4.9, \n"), /^2 rates of 2025-10-24 to 2025-10-24 read; 2 were new/);
      done("reprocess --yes --partner involve_asia");
      // What the command puts back is judged by it or by the origin, whoever is quicker; of the latter it does not wait for the end.
      const judged = (findings) => until("e1 to be judged", async () => `${(await conversion("e1")).findings}` === findings, { everyMs: 50, timeoutMs: 10_000 });
      await judged("rate_provisional");
      const provisional = await conversion("e1");
      assert.deepEqual([provisional.reporting_sale_amount, provisional.fx_rate_date, provisional.findings], ["58.06", "2025-10-24", ["rate_provisional"]]);
      done("rates import -", "Date,USD\n2025-10-27,1.17\n");
      done("reprocess --yes --partner involve_asia");
      await judged("");
      const converted = await conversion("e1");
      assert.deepEqual([converted.reporting_sale_amount, converted.fx_rate, converted.deposit, converted.findings], ["58.06", "1.1612", "first", []]);
    });

    test("statistics are a recount to the last digit, in two time zones over a change of the clocks", async () => {
      for (const query of [
        "conversion_id=s1&event=registration&event_time=2025-10-23+10:00:00",
        "conversion_id=s2&event=lead&rewars=0.000001&event_time=2025-10-23+10:00:00",
        "conversion_id=s3&event=level_5&status=Pending&usd_sale_amount=3&rewars=0.30&event_time=2025-10-23+10:00:00",
        "conversion_id=s4&event=purchase&status=Rejected&usd_sale_amount=500&event_time=2025-10-23+10:00:00",
        // No rates of these currencies are imported.
        "conversion_id=s5&event=purchase&sale_amount_local=70.50&payout_local=7&conversion_currency=THB&event_time=2025-10-24+10:00:00",
        "conversion_id=s6&event=purchase&status=Rejected&payout_local=9&conversion_currency=THB&event_time=2025-10-24+10:00:00",
      ]) await send("involve", query);
      await until("statistics to have them", async () => (await asked("involve/event/stats?from=2025-10-15&to=2025-11-05")).total.sales > 2, { everyMs: 100, timeoutMs: 20_000 });
      await until("processing", async () => databases.rows("involve_asia_db", "select 1 as one from work_items where state = 'waiting'").length === 0, { everyMs: 100, timeoutMs: 10_000 });
      const rows = databases.rows("involve_asia_db", COUNTED);
      assert.ok(rows.length >= 13);
      const of = (name) => inTotal(rows)[name];
      assert.deepEqual(["refunds", "chargebacks", "registrations", "rejected", "waiting_for_rates"].map(of), [1, 1, 1, 2, 1]);
      for (const zone of ["Europe/Berlin", "America/New_York", "UTC"]) {
        const { periods, total, waiting } = await asked(`involve/event/stats?from=2025-10-15&to=2025-11-05&tz=${encodeURIComponent(zone)}`);
        assert.equal(periods.length, 22);
        const days = byDay(rows, zone);
        assert.deepEqual(Object.fromEntries(answered(periods)), Object.fromEntries([...days].sort()), zone);
        assert.deepEqual(sums(total), inTotal(rows), zone);
        assert.deepEqual(waiting.map((row) => ({ ...row, sale_amount: micros(row.sale_amount), payout: micros(row.payout) })), waitingByCurrency(rows));
        assert.deepEqual(waiting, [{ currency: "THB", conversions: 1, sale_amount: "70.50", payout: "7.00" }]);
      }
      const hours = await asked("involve/event/stats?from=2025-10-26&to=2025-10-26&tz=Europe/Berlin&interval=hour");
      assert.equal(hours.periods.length, 25, "the day on which the clocks go back");
      await until("/health to count what waits", async () => (await (await origin.fetch("/health")).json()).waiting_for_rates.involve_asia === 1, { everyMs: 200, timeoutMs: 20_000 });
    });

    test("the command reports what the API answers", async () => {
      const question = "--from 2025-10-15 --to 2025-11-05 --tz Europe/Berlin --partner involve_asia";
      const { total, periods, waiting } = await asked("involve/event/stats?from=2025-10-15&to=2025-11-05&tz=Europe/Berlin");
      assert.deepEqual(JSON.parse(done(`report ${question} --json`)).periods, periods);
      const lines = done(`report ${question}`).trimEnd().split("\n");
      assert.match(lines[0], /^involve_asia, Europe\/Berlin, amounts in USD$/);
      const cells = (line) => line.trim().split(/ {2,}/);
      const counted = ["conversions", "refunds", "chargebacks", "rejected", "duplicates", "first_deposits", "waiting_for_rates"];
      assert.deepEqual(cells(lines[1]), [...counted, "sale_amount", "payout"].map((name) => name.replaceAll("_", " ")));
      const busy = periods.filter((period) => counted.some((name) => period[name] > 0));
      const shown = [...busy.map((period) => [period.start, period]), ["total", total]];
      const rest = lines.slice(2);
      assert.deepEqual(rest.slice(0, shown.length).map(cells), shown.map(([name, row]) => [name, ...counted.map((count) => row[count]), row.sale_amount, row.payout].map(String)));
      assert.deepEqual(rest.slice(shown.length, shown.length + 3).map(cells), [
        ["gross", total.gross_sale_amount, total.gross_payout],
        ["returned", total.returned_sale_amount, total.returned_payout],
        ["of the total, pending", total.pending_sale_amount, total.pending_payout],
      ]);
      assert.deepEqual(rest.slice(shown.length + 3).map((line) => line.trim()), waiting.map(({ currency, conversions, sale_amount, payout }) =>
        `no rate yet from ${currency} to USD, in no sum above: conversions ${conversions}, sale amount ${sale_amount}, payout ${payout}`));
      assert.equal(waiting.length, 1);
      const csv = done(`report ${question} --csv`).trimEnd().split("\r\n");
      assert.equal(csv.length, 1 + periods.length);
      const column = csv[0].split(",").indexOf("waiting_for_rates");
      assert.equal(csv.slice(1).reduce((sum, row) => sum + Number(row.split(",")[column]), 0), total.waiting_for_rates);
      for (const [line, problem] of [["report --csv", /one partner/], ["report --tz Mars/Olympus", /--tz: /], ["report --from yesterday", /--from: /]]) {
        const { status, stderr } = command(line);
        assert.deepEqual([status, problem.test(stderr)], [2, true], stderr);
      }
    });

    test("pages come to all conversions once, whatever comes meanwhile", async () => {
      for (let number = 0; number < 25; number++) await send("rector", `conversion_id=p${number}&usd_earning=1&conversion_datetime=2025-10-${10 + (number % 10)}`);
      const seen = [];
      let cursor = "";
      do {
        const page = await asked(`rector/event/conversions?limit=4${cursor ? `&cursor=${cursor}` : ""}`);
        seen.push(...page.conversions.map(({ conversion_id }) => conversion_id));
        cursor = page.next_cursor;
        if (seen.length === 8) await send("rector", "conversion_id=later&usd_earning=1&conversion_datetime=2025-10-30");
      } while (cursor);
      assert.equal(seen.length, 25);
      assert.equal(new Set(seen).size, 25);
      const dates = (await asked("rector/event/conversions?limit=1000")).conversions.map(({ happened_at }) => happened_at);
      assert.deepEqual(dates, [...dates].sort().reverse(), "the latest first");
      const filtered = await asked("rector/event/conversions?from=2025-10-12&to=2025-10-13&limit=1000");
      assert.deepEqual(filtered.conversions.map(({ conversion_id }) => conversion_id).sort(), ["p12", "p13", "p2", "p22", "p23", "p3"]);
    });

    test("CSV is safe to open in a spreadsheet", async () => {
      await send("rector", `conversion_id=x1&usd_earning=2&offer_name=${encodeURIComponent("=HYPERLINK(\"http://evil.example\")")}`);
      const reply = await ask("rector/event/conversions?conversion_id=x1", { accept: "text/csv" });
      assert.equal(reply.headers.get("content-type"), "text/csv; charset=utf-8");
      const [head, row] = (await reply.text()).split("\r\n");
      assert.match(head, /^conversion_id,occurrence,/);
      assert.ok(row.includes(`"'=HYPERLINK(""http://evil.example"")"`), row);
      const stats = await (await ask("rector/event/stats?format=csv&from=2025-10-12&to=2025-10-12")).text();
      assert.equal(stats.split("\r\n")[1].split(",")[2], "3");
    });

    test("a rate that cannot be right is refused, and a wrong one that is stored is set or deleted by command", async () => {
      const refused = (line, input, problem) => {
        const { status, stdout, stderr } = command(line, input);
        assert.deepEqual([status, stdout], [2, ""], stderr);
        assert.match(stderr, problem);
      };
      refused("rates import -", "Date,USD\n2025-10-28,1.16\n2130-01-01,1.16\n", /^-: line 3: 2130-01-01 is in the future: today is \d{4}-\d\d-\d\d \(UTC\)\nnothing was imported$/m);
      refused("rates import -", "Date,USD\n2025-10-28,1.16\n-0005-02-03,1.16\n0000-12-31,1.16\n", /^-: line 3: -0005-02-03 is before 1990: .*\n-: line 4: 0000-12-31 is before 1990: /m);
      refused("rates import -", "Date,USD,USD\n2025-10-28,1.16,1.17\n", /^-: line 1: USD is named twice/m);
      refused("rates import -", "Date,USD\n2025-10-28,1.16\n2025-10-28,1.17\n", /^-: line 3: 2025-10-28 is listed twice: also on line 2$/m);
      refused("rates import -", "Date,USD\n2025-10-29,1.17\n2025-10-28,11.7\n", /^-: line 2: 1\.17 USD of 2025-10-29 is less than a third of the 11\.7 of 2025-10-28 \(in this file\)\n-: line 3: 11\.7 USD of 2025-10-28 is more than 3 times the 1\.17 of 2025-10-27 \(stored\)\nnothing was imported: /m);
      refused("rates import - --sql", "Date,USD\n2025-10-29,1.17\n2025-10-28,11.7\n", /line 2: /);
      assert.match(done("rates show 2025-10-29"), /^2025-10-27, /, "nothing of these files came in");

      // Somebody forces it, and a sale is converted by it.
      assert.match(done("rates import - --force", "Date,USD\n2025-10-28,11.7\n"), /; 1 far off those around them \(--force\)$/m);
      await send("involve", "conversion_id=f1&event=purchase&sale_amount_local=10&conversion_currency=EUR&event_time=2025-10-28+12:00:00");
      const becomes = (amount, findings) => until(`f1 at ${amount}`, async () => {
        const known = await conversion("f1");
        return known.reporting_sale_amount === amount && `${known.findings}` === findings;
      }, { everyMs: 50, timeoutMs: 10_000 });
      await becomes("117.00", "");
      refused("rates set 2025-10-28 USD 117 --yes", "", /^117 USD of 2025-10-28 is more than 3 times the 1\.17 of 2025-10-27 \(stored\); if it is right, --force$/m);
      refused("rates set 2130-01-01 USD 1.17 --yes", "", /^2130-01-01 is in the future/m);
      refused("rates set 0000-12-31 USD 1.17 --yes", "", /^0000-12-31 is before 1990: /m);
      refused("rates set 2025-10-28 USD 1.18", "", /--dry-run/);
      assert.match(done("rates set 2025-10-28 USD 117 --sql"), /^-- 117 USD of 2025-10-28 was compared with no other rate, [^]*\nwith /);
      const told = (line) => JSON.parse(done(`${line} --partner involve_asia --json`));
      const rates = { USD: { before: "11.7", after: "1.18" } };
      assert.deepEqual(told("rates set 2025-10-28 USD 1.18 --dry-run"), { applied: false, day: "2025-10-28", rates, conversions: { involve_asia: 1 } });
      assert.match(done("rates show 2025-10-28"), /^USD {2}11\.7$/m, "a dry run changes nothing");
      assert.deepEqual(told("rates set 2025-10-28 USD 1.18 --yes"), { applied: true, day: "2025-10-28", rates, conversions: { involve_asia: 1 } });
      done("reprocess --yes --partner involve_asia");
      await becomes("11.80", "");

      const lines = done("rates delete 2025-10-28 --yes").trimEnd().split("\n");
      assert.deepEqual(lines.slice(0, -1), [
        "2025-10-28 USD: 1.18 -> none",
        "involve_asia: 1 conversion was converted by it",
        "rector: 0 conversions were converted by it",
        "s2s: 0 conversions were converted by it",
      ]);
      assert.match(lines.at(-1), /`bytec-origin reprocess --yes`/);
      done("reprocess --yes --partner involve_asia");
      // The deleted day was the last of all: no rate is final any more for what happened on it.
      await becomes("11.70", "rate_provisional");
      const again = command("rates delete 2025-10-28 --yes");
      assert.deepEqual([again.status, again.stderr], [1, "a rate of 2025-10-28 is not stored: nothing to delete\n"]);
      const noted = JSON.parse(done("audit --json")).filter(({ subject, action }) => subject === "2025-10-28" && action.startsWith("rates."));
      assert.deepEqual(noted.map(({ action, details }) => [action, details.forced ?? details.before]), [["rates.import", 1], ["rates.set", "11.7"], ["rates.delete", { USD: "1.18" }]]);
    });

    test("a recount finds what is wrong, says it in its exit code, and fixes it", () => {
      const lines = (line) => {
        const { status, stdout, stderr } = command(`recount ${line} --partner involve_asia --json`);
        return { status, stderr, lines: stdout.trim().split("\n").map((text) => JSON.parse(text)) };
      };
      const clean = lines("--dry-run");
      assert.deepEqual([clean.status, clean.lines.length], [0, 1], JSON.stringify(clean));
      assert.ok(clean.lines[0].found.keys >= 7 && clean.lines[0].found.days >= 5, JSON.stringify(clean));
      assert.equal(command("recount --partner involve_asia").status, 2, "dry run or yes");
      databases.execute("involve_asia_db", "update conversions set status = 'rejected' where conversion_key = 'd2'");
      databases.execute("involve_asia_db", "update totals_by_hour set first_deposits = first_deposits + 1");
      const found = lines("--dry-run");
      assert.equal(found.status, 1, found.stderr);
      const conversions = found.lines.filter(({ kind }) => kind === "conversion").map(({ difference }) => difference);
      assert.deepEqual(conversions, [{ conversion_key: "d2", occurrence: 1, revision: null, found: "differs", columns: ["status"] }]);
      const tables = new Set(found.lines.filter(({ kind }) => kind === "total").map(({ difference }) => difference.total.table));
      assert.deepEqual([...tables].sort(), ["totals", "totals_by_day", "totals_by_hour"]);
      assert.match(command("recount --dry-run --partner involve_asia").stdout, /^involve_asia: conversion d2, occurrence 1: differs in status$/m);
      const fixed = lines("--yes");
      assert.equal(fixed.status, 0, fixed.stderr);
      const { applied, found: before, left } = fixed.lines.at(-1);
      assert.deepEqual([applied, before.conversions_differ, left.conversions_differ, left.totals_differ], [true, 1, 0, 0]);
      assert.equal(lines("--dry-run").status, 0);
      const noted = JSON.parse(done("audit --json")).filter(({ action }) => action === "recount");
      assert.deepEqual(noted.map(({ subject, details }) => [subject, details.conversions_differ]), [["involve_asia", 1]]);
    });

    test("a key opens its own partner's data and nothing else, by any way", async () => {
      const rectors = JSON.parse(done("keys create --tenant bytec --scope read --for-partner rector --json")).secret;
      await until("the key", async () => (await ask("rector/event/stats", { secret: rectors })).status === 200, { everyMs: 200, timeoutMs: 20_000 });
      for (const path of ["involve/event/stats", "involve/event/conversions", "stats", "conversions", "involve/event/conversions?conversion_id=x1", "involve/event/stats?format=csv"]) {
        const reply = await ask(path, { secret: rectors });
        assert.equal(reply.status, 403, path);
        assert.equal((await reply.json()).error, "key_invalid");
      }
      for (const secret of [TOKEN, "bck_00", "no"]) assert.equal((await ask("rector/event/stats", { secret })).status, 403, secret);
      const bare = await ask("rector/event/stats", { secret: "" });
      assert.deepEqual([bare.status, (await bare.json()).error, bare.headers.get("www-authenticate")], [401, "key_missing", "Bearer"]);
      assert.equal((await origin.fetch(`/partner/rector/event/stats?ts_token=${rectors}`)).status, 401, "a key is in no URL");
      assert.equal((await ask("nobody/event/stats")).status, 404);
      assert.equal((await origin.fetch("/partner/rector/event/stats", { method: "POST", headers: { authorization: `Bearer ${key}` } })).status, 405);
      const { conversions } = await (await ask("rector/event/conversions?conversion_id=r1", { secret: rectors })).json();
      assert.deepEqual(conversions, [], "another partner's conversion is none of this one's");
    });

    test("what cannot be read is told, by code and parameter", async () => {
      for (const [path, code, field] of [
        ["stats?tz=Mars/Olympus", "invalid_time_zone", "tz"],
        ["stats?from=yesterday", "invalid_time", "from"],
        ["stats?from=2025-01-02&to=2025-01-01", "invalid_range", "to"],
        ["stats?from=2020-01-01&to=2025-01-01", "invalid_range", "to"],
        ["stats?interval=week", "invalid_interval", "interval"],
        ["stats?form=2025-01-01", "unknown_param", undefined],
        ["stats?tz=UTC&tz=Asia/Tokyo", "invalid_query", undefined],
        ["stats?tz=%zz", "invalid_query", undefined],
        ["conversions?limit=0", "invalid_limit", "limit"],
        ["conversions?limit=1001", "invalid_limit", "limit"],
        ["conversions?cursor=abc", "invalid_cursor", "cursor"],
        ["conversions?status=Approved", "invalid_status", "status"],
        ["conversions?format=xml", "invalid_format", "format"],
        [`conversions?click_id=${"x".repeat(513)}`, "invalid_id", "click_id"],
        ["conversions?conversion_id=%27%20or%201%3D1", undefined, undefined],
      ]) {
        const reply = await ask(`rector/event/${path}`);
        const body = await reply.json();
        assert.deepEqual([reply.status, body.error, body.field], [code ? 400 : 200, code, field], `${path}: ${JSON.stringify(body)}`);
      }
    });
  });
}
