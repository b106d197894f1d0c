// A partner's report against what is stored: what is missing, extra, different, by the day; and what of it can be repaired (R55).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { freePort, until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { OPERATOR_TOKEN, startEdge } from "./lib/edge.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin } from "./lib/origin.mjs";
import { TOKEN } from "./lib/requests.mjs";
import { atTerminal } from "./lib/terminal.mjs";

function reconciler(databases) {
  const run = (args, { input = "", env = {} } = {}) => {
    const { OPERATOR_TOKEN: _, ...rest } = process.env;
    return spawnSync(BINARY, ["reconcile", ...args], { cwd: ROOT, env: { ...rest, ...databases.env, ...env }, input, encoding: "utf8" });
  };
  const asked = (report, args = [], options = {}) => {
    const { status, stdout, stderr } = run(["-", "--partner", "rector", "--json", ...args], { input: report, ...options });
    assert.ok(stdout, stderr);
    return { status, ...JSON.parse(stdout) };
  };
  return { run, asked };
}

/** `kind id field theirs ours` of each difference. */
const told = ({ differences }) => differences.map(({ kind, conversion_id, field, theirs, ours }) => [kind, conversion_id, field, theirs, ours].filter(Boolean).join(" "));

for (const kind of KINDS) {
  describe(`reconcile, on ${kind}`, () => {
    let databases, origin, run, asked, folder;
    const send = async (query, status = 200) => {
      const reply = await origin.fetch(`/postback/rector/event?${query}&ts_token=${TOKEN}`);
      assert.equal(reply.status, status, await reply.text());
    };

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), "bytec-reconcile-"));
      databases = freshDatabases(kind);
      origin = await startOrigin({ env: databases.env });
      ({ run, asked } = reconciler(databases));
      for (const query of [
        "conversion_id=same&status=Approved&usd_earning=10.50&conversion_datetime=2025-03-01+10:00:00",
        "conversion_id=cheap&status=Approved&usd_earning=9.99&conversion_datetime=2025-03-01+11:00:00",
        "conversion_id=early&status=Pending&usd_earning=5&conversion_datetime=2025-03-01+12:00:00",
        "conversion_id=late&status=Approved&usd_earning=1&conversion_datetime=2025-03-02+23:30:00",
        "conversion_id=ours&status=Approved&usd_earning=3&conversion_datetime=2025-03-02+12:00:00",
        "conversion_id=before&status=Approved&usd_earning=3&conversion_datetime=2025-02-27+12:00:00",
        "conversion_id=stale&status=Pending&usd_earning=4&conversion_datetime=2025-03-02+12:30:00",
        "conversion_id=broken&status=Approved&usd_earning=7.5&conversion_datetime=2025-03-02+14:00:00",
      ]) await send(query);
      await send("conversion_id=stale&status=Lost", 400);
      // What came behind a refused notice has overtaken it.
      await send("conversion_id=early&status=Lost", 400);
      await send("conversion_id=early&sub_id=later");
      await send("conversion_id=lost&status=Lost&usd_earning=20&conversion_datetime=2025-03-02+13:00:00", 400);
    });
    after(async () => {
      await origin?.stop();
      databases?.remove();
      rmSync(folder, { recursive: true, force: true });
    });

    const REPORT = `Conversion ID,Status,usd_earning,conversion_datetime,Remark
same,approved,10.50,2025-03-01 10:00:00,
cheap,Approved,10.00,2025-03-01 11:00:00,
early,Approved,5.00,2025-03-01 12:00:00,
late,Approved,1.00,2025-03-02 23:30:00,
lost,Lost,20.00,2025-03-02 13:00:00,
never,Approved,7.00,2025-03-02 14:00:00,
stale,Approved,4.00,2025-03-02 12:30:00,
broken,Approved,"7,5",2025-03-02 14:00:00,
`;

    test("what is missing, extra and different is told, by the day", () => {
      const found = asked(REPORT);
      assert.equal(found.status, 1);
      assert.deepEqual(told(found), [
        "differs cheap usd_payout 10.00 9.99",
        "differs early status approved pending",
        "missing lost 20.00",
        "missing never approved 7.00",
        "extra ours approved 3.00",
        "differs stale status approved pending",
      ]);
      assert.deepEqual([found.from, found.to, found.time_zone], ["2025-03-01", "2025-03-02", "UTC"]);
      const day = ({ day, theirs, ours, missing, extra, differing, discrepancy_percent, payout, flagged }) =>
        [day, theirs, ours, missing, extra, differing, discrepancy_percent, ...payout.map((paid) => `${paid.theirs} ${paid.ours} ${paid.currency} ${paid.discrepancy_percent}`), flagged];
      assert.deepEqual(found.days.map(day), [
        ["2025-03-01", 3, 3, 0, 0, 2, "66.67", "25.50 25.49 USD 0.04", true],
        ["2025-03-02", 4, 3, 2, 1, 1, "80", "32.00 8.00 USD 75", true],
      ]);
      assert.deepEqual(day(found.total).slice(1, 6), [7, 6, 2, 1, 3]);
      assert.deepEqual(found.unread.map(({ line, code, column }) => [line, code, column]), [[9, "invalid_amount", "usd_earning"]]);
      assert.deepEqual([found.ignored_columns, found.unknown_statuses], [["Remark"], { Lost: 1 }]);
      const repairs = Object.fromEntries(found.differences.filter((line) => line.repair).map((line) => [line.conversion_id, line.repair]));
      assert.match(repairs.stale, /^rejected, and still would be \(unknown_status\): /);
      assert.match(repairs.lost, /^rejected, and still would be \(unknown_status\): \S+ of 20\S+, unknown_status$/);
      assert.equal(repairs.never, "nothing was found that tells of it");
      assert.deepEqual(found.repairable, []);
    });

    test("days are the zone's, few at that, and a tolerance and a threshold are kept", () => {
      const tokyo = asked(REPORT, ["--tz", "Asia/Tokyo"]);
      assert.deepEqual(tokyo.days.map(({ day, theirs }) => [day, theirs]), [["2025-03-01", 3], ["2025-03-02", 3], ["2025-03-03", 1]]);
      const first = asked(REPORT, ["--from", "2025-03-01", "--to", "2025-03-01", "--tolerance", "0.01"]);
      assert.deepEqual(told(first), ["differs early status approved pending"]);
      assert.deepEqual(first.days.map(({ day, discrepancy_percent }) => [day, discrepancy_percent]), [["2025-03-01", "33.33"]]);
      const whole = REPORT.split("\n").filter((line) => !line.startsWith("broken")).join("\n");
      assert.equal(asked(whole, ["--threshold", "84"]).status, 0);
      assert.equal(asked(whole, ["--threshold", "83"]).status, 1);
      const earlier = asked(REPORT, ["--from", "2025-02-27", "--to", "2025-02-28"]);
      assert.deepEqual(told(earlier), ["extra before approved 3.00"]);
    });

    test("people get columns, spreadsheets CSV that runs nothing", () => {
      const text = run(["-", "--partner", "rector"], { input: REPORT });
      assert.equal(text.status, 1, text.stderr);
      assert.match(text.stdout, /^rector, UTC, 2025-03-01 to 2025-03-02: the report against what is stored$/m);
      assert.match(text.stdout, /^2025-03-02 +4 +3 +2 +1 +1 +80 +32\.00 USD +8\.00 USD +75 +!$/m);
      assert.match(text.stdout, /^  2025-03-01 cheap: usd_payout 10\.00, 9\.99$/m);
      assert.match(text.stdout, /^2 days are more than 3 % off \(!\)$/m);
      const csv = run(["-", "--partner", "rector", "--csv"], { input: "conversion_id,conversion_datetime\n=1+1,2025-03-05\n" });
      assert.equal(csv.stdout, "kind,day,conversion_id,event,report_line,field,theirs,ours,repair\r\nmissing,2025-03-05,'=1+1,,2,,,,nothing was found that tells of it\r\n");
    });

    test("what is no report, or no question, is told and ends with 2", () => {
      const wrong = (args, input, expected) => {
        const { status, stdout, stderr } = run(args, { input });
        assert.deepEqual([status, stdout], [2, ""], args.join(" "));
        assert.match(stderr, expected);
      };
      const of = ["-", "--partner", "rector"];
      wrong(of, "id,payout\n", /none of its columns is the conversion's id \(they are "payout", "id"\): say which, --column 'NAME=conversion_id'/);
      wrong(["-"], REPORT, /say whose, --partner CODE/);
      wrong(["-", "--partner", "nobody"], REPORT, /nobody/);
      wrong([...of, "--tz", "Mars/Base"], REPORT, /is not an IANA time zone/);
      wrong([...of, "--from", "2025-03-02", "--to", "2025-03-01"], REPORT, /--from is after --to/);
      wrong([...of, "--column", "id=nothing"], REPORT, /"nothing" is not a canonical field/);
      wrong([...of, "--edge", "http://network.bytec.com"], REPORT, /must begin with https/);
      wrong([...of, "--edge", "https://network.bytec.com"], REPORT, /OPERATOR_TOKEN is not set/);
      wrong([...of, "--partners", ROOT, "--replay"], REPORT, /cannot be used with/);
      wrong(["/nowhere.csv", "--partner", "rector"], "", /\/nowhere\.csv: cannot be read/);
      wrong([...of, "--column", "Comission=usd_payout"], REPORT, /it has no column "Comission" \(they are "Conversion ID", "Status"/);
      wrong([...of, "--column", "a=payout", "--column", "a=status"], REPORT, /one name means one field/);
      wrong(of, 'conversion_id,note\nsame,"x\n', /line 2: a quoted cell that is not closed/);
      wrong(of, "conversion_id,usd_earning,conversion_datetime\nsame,1,1.3.2025 10h\n", /none of its 1 rows can be read\nline 2: invalid_time/);
      wrong(of, "conversion_id\nsame\n", /it has no times/);
      const named = asked("id,usd_earning\nsame,10.50\n", ["--column", "id=conversion_id", "--from", "2025-03-01", "--to", "2025-03-01"]);
      assert.deepEqual(told(named), ["extra cheap approved 9.99", "extra early pending 5.00"]);
    });

    test("what was rejected is read by a mended file, and recorded when it would be taken", async () => {
      const files = join(folder, "partners");
      mkdirSync(files);
      for (const name of ["involve_asia", "s2s"]) copyFileSync(join(ROOT, "partners", `${name}.toml`), join(files, `${name}.toml`));
      writeFileSync(join(files, "rector.toml"), `${readFileSync(join(ROOT, "partners", "rector.toml"), "utf8")}\n"Lost" = "rejected"\n`);
      const mended = asked(REPORT, ["--partners", files]);
      assert.match(mended.differences.find((line) => line.conversion_id === "lost").repair, /^rejected, would be taken today: /);
      assert.deepEqual(mended.repairable, ["lost"]);
      // By that file it says that the conversion was rejected, and the report says that it was approved.
      assert.match(mended.differences.find((line) => line.conversion_id === "stale").repair, /^rejected, says other than the report: /);
      assert.match(mended.differences.find((line) => line.conversion_id === "early").repair, /^rejected, and overtaken: /);
      // With the mended file in the program it would be taken: here the request is mended in its place.
      databases.execute("rector_db", "update rejections set target = replace(target, 'Lost', 'Approved')");
      const dry = asked(REPORT);
      assert.deepEqual(dry.repairable, ["lost", "stale"]);
      const unasked = run(["-", "--partner", "rector", "--replay"], { input: REPORT });
      assert.deepEqual([unasked.status, /^missing: /m.test(unasked.stdout)], [1, true], "what was found is told all the same");
      assert.match(unasked.stderr, /nothing was replayed: there is no terminal to ask at/);
      const done = asked(REPORT, ["--replay", "--yes"]);
      assert.deepEqual(done.replayed, { lost: ["created"], stale: ["revised"] });
      assert.equal(done.differences.find((line) => line.conversion_id === "lost").repair, "of this id were replayed: created");
      assert.deepEqual([done.repairable, done.changed_meanwhile], [[], []]);
      const again = asked(REPORT);
      assert.deepEqual(told(again), ["differs cheap usd_payout 10.00 9.99", "differs early status approved pending", "missing never approved 7.00", "extra ours approved 3.00"]);
      assert.deepEqual(again.repairable, []);
      const stored = databases.rows("rector_db", "select method, target from postbacks order by postback_id desc limit 2");
      assert.deepEqual(stored.map(({ method, target }) => [method, /lost|stale/.test(target)]), [["GET", true], ["GET", true]]);
      const audit = spawnSync(BINARY, ["audit", "--json"], { cwd: ROOT, env: { ...process.env, ...databases.env }, encoding: "utf8" });
      const noted = JSON.parse(audit.stdout).filter(({ action }) => action === "reconcile.replay").map(({ details }) => details);
      assert.deepEqual(noted, [{ begins: ["lost", "stale"] }, { conversions: { lost: ["created"], stale: ["revised"] }, changed_meanwhile: [] }]);
    });
  });
}

for (const kind of KINDS) {
  describe(`reconcile with our own export, on ${kind}`, () => {
    let databases, origin, run, key;
    const command = (args, input = "") => {
      const { status, stdout, stderr } = spawnSync(BINARY, args, { cwd: ROOT, env: { ...process.env, ...databases.env }, input, encoding: "utf8" });
      assert.equal(status, 0, stderr);
      return stdout;
    };
    const send = async (query) => {
      const reply = await origin.fetch(`/postback/involve/event?${query}&ts_token=${TOKEN}`);
      assert.equal(reply.status, 200, await reply.text());
    };
    const page = (query) => origin.fetch(`/partner/involve/event/conversions?format=csv&${query}`, { headers: { authorization: `Bearer ${key}` } });
    /** Every page, one behind the other, as `curl >>` would write them. */
    const exported = async (query = "") => {
      let [all, cursor] = ["", ""];
      do {
        const reply = await page(`limit=3${query}${cursor ? `&cursor=${cursor}` : ""}`);
        assert.equal(reply.status, 200);
        all += await reply.text();
        cursor = reply.headers.get("bytec-next-cursor");
      } while (cursor);
      return all;
    };
    const compared = (report, args = []) => {
      const { status, stdout, stderr } = run(["-", "--partner", "involve_asia", "--json", ...args], { input: report });
      assert.ok(stdout, stderr);
      return { status, ...JSON.parse(stdout) };
    };

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin({ env: databases.env });
      ({ run } = reconciler(databases));
      key = JSON.parse(command(["keys", "create", "--tenant", "bytec", "--scope", "read", "--json"])).secret;
      command(["rates", "import", "-"], "Date,USD,MYR\n2025-10-20,1.16,4.9\n2025-10-21,1.17,4.91\n");
      const formula = encodeURIComponent('=HYPERLINK("http://evil.example")');
      for (const query of [
        `conversion_id=s1&event=purchase&status=Approved&usd_sale_amount=100.00&rewars=10.50&event_time=2025-10-20+10:00:00&offer_name=${formula}`,
        "conversion_id=s1&event=refund&event_time=2025-10-21+10:00:00",
        "conversion_id=s2&event=purchase&status=Approved&usd_sale_amount=30&rewars=3&event_time=2025-10-20+23:30:00",
        "conversion_id=s2&event=refund&event_id=r1&usd_sale_amount=10&rewars=1&event_time=2025-10-21+07:00:00",
        "conversion_id=s2&event=refund&event_id=r2&usd_sale_amount=10&rewars=1&event_time=2025-10-21+07:30:00",
        "conversion_id=s2&event=chargeback&usd_sale_amount=5&event_time=2025-10-21+07:45:00",
        "conversion_id=s3&event=purchase&status=Rejected&usd_sale_amount=70&rewars=7&event_time=2025-10-20+11:00:00",
        "conversion_id=e1&event=purchase&status=Pending&sale_amount_local=50.00&payout_local=5.123456&conversion_currency=EUR&event_time=2025-10-20+12:00:00",
        "conversion_id=e1&event=refund&sale_amount_local=20.00&payout_local=2&conversion_currency=EUR&event_time=2025-10-21+12:00:00",
        // Of this one the rate is not known.
        "conversion_id=e2&event=purchase&payout_local=4&conversion_currency=EUR&event_time=2025-10-01+12:00:00",
        `conversion_id=${encodeURIComponent("=1+1")}&event=${encodeURIComponent("level 5")}&rewars=2&event_time=2025-10-20+13:00:00`,
        `conversion_id=${encodeURIComponent("'=1+1")}&event=deposit&rewars=4&event_time=2025-10-20+13:00:00`,
        "conversion_id=-7&event=purchase&rewars=1&event_time=2025-10-20+13:00:00",
      ]) await send(query);
      const left = () => databases.rows("involve_asia_db", "select state from work_items");
      await until("processing", async () => left().every(({ state }) => state === "delayed"), { everyMs: 100, timeoutMs: 10_000 });
      await until("the key", async () => (await page("limit=1")).status === 200, { everyMs: 200, timeoutMs: 20_000 });
    });
    after(async () => {
      await origin?.stop();
      databases?.remove();
    });

    test("what is exported differs in nothing from what it was exported of", async () => {
      const report = await exported();
      assert.match(report, /^'=1\+1,/m);
      const found = compared(report);
      assert.deepEqual([found.status, told(found), found.unread, found.ignored_columns], [0, [], [], []]);
      const { total } = found;
      assert.deepEqual([found.report_form, found.time_zone, found.rows, total.theirs, total.ours], ["export", "UTC", 13, 13, 13]);
      assert.deepEqual([found.from, found.to], ["2025-10-01", "2025-10-21"]);
      // The rejected sale pays nothing, and what goes back is below zero.
      const paid = Object.fromEntries(total.payout.map(({ currency, theirs, ours }) => [currency, [theirs, ours]]));
      // The chargeback of 5 of 30 takes its part of the payout back: 0.50 of 3.00.
      assert.deepEqual(paid, { EUR: ["7.123456", "7.123456"], USD: ["7.50", "7.50"] });
      for (const day of found.days) assert.ok(!day.flagged, JSON.stringify(day));
      assert.match(run(["-", "--partner", "involve_asia"], { input: report }).stdout, /^involve_asia, UTC, 2025-10-01 to 2025-10-21: our own export against what is stored$/m);
    });

    test("days of a zone are compared in it", async () => {
      const report = await exported("&from=2025-10-20&to=2025-10-20&tz=Asia/Kuala_Lumpur");
      const found = compared(report, ["--tz", "Asia/Kuala_Lumpur"]);
      assert.deepEqual([found.status, told(found), found.from, found.to, found.rows], [0, [], "2025-10-20", "2025-10-20", 7]);
    });

    test("what has changed since differs, and what was stored since is extra", async () => {
      const report = await exported();
      await send("conversion_id=s3&event=purchase&status=Approved&usd_sale_amount=70&rewars=8&event_time=2025-10-20+11:00:00");
      await send("conversion_id=s4&event=purchase&rewars=6&event_time=2025-10-20+11:00:00");
      const found = compared(report.replace(/^-7,.*\r\n/m, ""));
      assert.deepEqual(told(found), ["extra -7 1.00", "differs s3 status rejected approved", "differs s3 usd_payout 7.00 8.00", "extra s4 6.00"]);
    });
  });
}

describe("reconcile, what is replayed and what is not", () => {
  let databases, origin, asked, folder;
  const send = async (query, status = 200) => {
    const reply = await origin.fetch(`/postback/rector/event?${query}&ts_token=${TOKEN}`);
    assert.equal(reply.status, status, await reply.text());
  };
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "bytec-reconcile-"));
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
    ({ asked } = reconciler(databases));
  });
  after(async () => {
    await origin?.stop();
    databases?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("only what is missing, in the order in which it came, and nothing that was overtaken", async () => {
    const at = "ts_event=2025-03-01T10:00:00Z";
    // Rejected, and then taken with another amount: the old one must not come back.
    await send(`conversion_id=s1&event=purchase&usd_payout=10&sale_amount=XXXX&${at}`, 400);
    await send(`conversion_id=s1&event=purchase&usd_payout=12&${at}`);
    // Of two events that were rejected the report has one.
    for (const [event, payout] of [["purchase", 7], ["refund", 70]]) await send(`conversion_id=m1&event=${event}&usd_payout=${payout}&sale_amount=XXXX&${at}`, 400);
    // Of one refund that is missing two were rejected; of another conversion a postback says ten times as much.
    for (const id of ["r1", "r2"]) await send(`conversion_id=o1&event=refund&event_id=${id}&usd_payout=10&sale_amount=XXXX&${at}`, 400);
    await send(`conversion_id=y1&event=purchase&usd_payout=70&sale_amount=XXXX&${at}`, 400);
    // Six tries of one that say other things.
    for (let number = 1; number <= 6; number += 1) await send(`conversion_id=z1&event=purchase&usd_payout=${number}00&sale_amount=XXXX&${at}`, 400);
    // The first has the money, the second the standing.
    await send(`conversion_id=d1&event=purchase&usd_payout=5&click_id=k1&sale_amount=XXXX&${at}`, 400);
    await send(`conversion_id=d1&event=purchase&status=Approved&sale_amount=XXXX&${at}`, 400);
    databases.execute("rector_db", "update rejections set target = replace(target, '&sale_amount=XXXX', '')");
    const report = "conversion_id,event,usd_payout,ts_event\ns1,purchase,12,2025-03-01T10:00:00Z\ns1,purchase,3,2025-03-01T10:00:00Z\nm1,purchase,7,2025-03-01T10:00:00Z\nd1,purchase,5,2025-03-01T10:00:00Z\n" +
      "o1,purchase,10,2025-03-01T10:00:00Z\no1,refund,10,2025-03-01T10:00:00Z\ny1,purchase,7,2025-03-01T10:00:00Z\nz1,purchase,1,2025-03-01T10:00:00Z\n";
    const found = asked(report);
    assert.deepEqual(found.repairable, ["d1", "m1"]);
    const repair = (id) => found.differences.find((line) => line.conversion_id === id).repair;
    // What is stored agrees with one row: its amount is not the other one's.
    assert.match(repair("s1"), /^rejected, of another conversion: /);
    assert.match(repair("m1"), /rejected, of another conversion: /);
    assert.match(repair("o1"), /^rejected, one of more than are missing: .+; rejected, one of more than are missing: /);
    assert.match(repair("y1"), /^rejected, says other than the report: /);
    assert.match(repair("z1"), /^(rejected, says other than the report: [^;]+; ){5}and 1 more$/);
    const done = asked(report, ["--replay", "--yes"]);
    assert.deepEqual(Object.keys(done.replayed), ["d1", "m1"]);
    assert.deepEqual(done.replayed.d1, ["created", "revised"]);
    // What was replayed hides nothing of what was not.
    const m1 = done.differences.find((line) => line.conversion_id === "m1");
    assert.match(m1.repair, /^of this id were replayed: created; rejected, of another conversion: /);
    const rows = databases.rows("rector_db", "select conversion_id, event, status, usd_payout, click_id from conversions order by conversion_id, event");
    const kept = rows.map(({ conversion_id, event, status, usd_payout, click_id }) => [conversion_id, event, status, usd_payout, click_id].join(" "));
    assert.ok(kept.includes("d1 purchase approved 5.00 k1"), kept.join("; "));
    assert.ok(kept.includes("s1 purchase  12.00 "), kept.join("; "));
    assert.ok(!kept.some((row) => /refund|y1|z1/.test(row)), kept.join("; "));
  });

  test("what comes while somebody reads the question is not undone by the answer", async () => {
    for (const id of ["q1", "q2"]) await send(`conversion_id=${id}&usd_payout=10&sale_amount=XXXX&ts_event=2025-07-01T10:00:00Z`, 400);
    databases.execute("rector_db", "update rejections set target = replace(target, '&sale_amount=XXXX', '')");
    const report = join(folder, "report.csv");
    writeFileSync(report, "conversion_id,usd_payout,ts_event\nq1,10,2025-07-01T10:00:00Z\nq2,10,2025-07-01T10:00:00Z\n");
    const { code, out } = await atTerminal(["reconcile", report, "--partner", "rector", "--replay"], databases.env, "yes", () =>
      send("conversion_id=q1&usd_payout=12&ts_event=2025-07-01T10:00:00Z"),
    );
    assert.equal(code, 1, out);
    assert.match(out, /replay what tells of q1, q2\? Write yes: /);
    assert.match(out, /q1: 10\.00; rejected, not replayed: it has changed meanwhile: /);
    assert.match(out, /q2: 10\.00; of this id were replayed: created/);
    assert.match(out, /1 conversion has changed since it was compared, and was left as it is: reconcile again/);
    const kept = databases.rows("rector_db", "select conversion_id, usd_payout from conversions where conversion_id in ('q1', 'q2') order by 1");
    assert.deepEqual(kept.map(({ conversion_id, usd_payout }) => `${conversion_id} ${usd_payout}`), ["q1 12.00", "q2 10.00"]);
  });

  test("a sale is found under another day, beside a refund of its id on this one", async () => {
    await send("conversion_id=far&event=purchase&usd_payout=10&ts_event=2025-04-01T10:00:00Z");
    await send("conversion_id=far&event=refund&usd_payout=10&ts_event=2025-04-10T10:00:00Z");
    const found = asked("conversion_id,usd_payout,ts_event\nfar,10,2025-04-10T10:00:00Z\n");
    assert.deepEqual(told(found), ["differs far day 2025-04-10 2025-04-01", "extra far -10.00"]);
  });

  test("what is in another currency is compared as it was converted, and what is not said on neither side", async () => {
    const { status } = spawnSync(BINARY, ["rates", "import", "-"], { cwd: ROOT, env: { ...process.env, ...databases.env }, input: "Date,USD\n2025-05-01,1.1\n2025-05-02,1.1\n", encoding: "utf8" });
    assert.equal(status, 0);
    await send("conversion_id=eur&event=purchase&status=Approved&payout=10&currency=EUR&ts_event=2025-05-02T10:00:00Z");
    await until("the conversion", async () => databases.rows("rector_db", "select fx_payout from conversions where conversion_id = 'eur'")[0].fx_payout !== null, { everyMs: 100, timeoutMs: 20_000 });
    const alike = (report) => {
      const found = asked(report);
      assert.deepEqual([found.status, told(found)], [0, []], report);
      return found.days[0].payout.map(({ theirs, ours, currency }) => `${theirs} ${ours} ${currency}`);
    };
    assert.deepEqual(alike("conversion_id,usd_payout,ts_event\neur,11,2025-05-02\n"), ["11.00 11.00 USD"]);
    assert.deepEqual(alike("conversion_id,payout,ts_event\neur,10,2025-05-02\n"), ["10.00 10.00 EUR"]);
    assert.deepEqual(alike("conversion_id,status,ts_event\neur,approved,2025-05-02\n"), []);
  });

  test("a word that is no event's name is no sale, and a date alone is that day on every clock", async () => {
    await send("conversion_id=word&event=purchase&usd_payout=10&ts_event=2025-06-02T20:00:00Z");
    const odd = asked("conversion_id,event,usd_payout,ts_event\nword,Rückerstattung,10,2025-06-02\nnext,purchase,1,2025-06-02\n");
    assert.deepEqual([odd.status, told(odd)], [1, ["missing next 1.00"]]);
    assert.deepEqual(odd.unread.map(({ line, code, column, conversion_id }) => [line, code, column, conversion_id]), [[2, "invalid_event", "event", "word"]]);
    const report = "conversion_id,usd_payout,ts_event\nword,10,2025-06-03\n";
    const kl = asked(report, ["--tz", "Asia/Kuala_Lumpur"]);
    assert.deepEqual([kl.status, kl.from, told(kl)], [0, "2025-06-03", []]);
    const honolulu = asked(report, ["--tz", "Pacific/Honolulu"]);
    assert.deepEqual([honolulu.from, told(honolulu)], ["2025-06-03", ["differs word day 2025-06-03 2025-06-02"]]);
  });

  test("a key to one partner's data is not made by another word", () => {
    const made = (args) => spawnSync(BINARY, ["keys", "create", "--tenant", "bytec", "--scope", "read", "--json", ...args], { cwd: ROOT, env: { ...process.env, ...databases.env }, encoding: "utf8" });
    const wrong = made(["--partner", "rector"]);
    assert.deepEqual([wrong.status, wrong.stdout, /say --for-partner CODE/.test(wrong.stderr)], [2, "", true], wrong.stderr);
    assert.equal(JSON.parse(made(["--for-partner", "rector"]).stdout).partner, "rector");
  });
});

describe("reconcile with an edge", () => {
  let databases, origin, edge, asked;

  before(async () => {
    databases = freshDatabases("sqlite");
    const port = await freePort();
    edge = await startEdge({ originUrl: `http://127.0.0.1:${port}`, bindings: { RETRY_DELAYS_S: "0" } });
    for (const id of ["p1", "p2", "p3"]) await edge.fetch(`/rector/event?conversion_id=${id}&status=Approved&usd_earning=2&conversion_datetime=2025-03-01+10:00:00`);
    // Of one conversion two.
    for (const query of ["usd_earning=2", "usd_earning=2&status=Approved"]) {
      await edge.fetch(`/rector/event?conversion_id=two&${query}&conversion_datetime=2025-03-05+10:00:00`);
      // Of two within one second it is not known which is the later.
      const second = () => Math.floor(Date.now() / 1_000), now = second();
      await until("another second", async () => second() > now, { everyMs: 20, timeoutMs: 5_000 });
    }
    await until("five parked postbacks", async () => (await edge.ops("parked")).body.parked.length === 5);
    origin = await startOrigin({ ...databases, port });
    ({ asked } = reconciler(databases));
  });
  after(async () => {
    await edge?.stop();
    await origin?.stop();
    databases?.remove();
  });

  test("an edge that does not answer costs no comparison", () => {
    const report = "conversion_id,conversion_datetime\np1,2025-03-01\n";
    const found = asked(report, ["--edge", edge.url], { env: { OPERATOR_TOKEN: "wrong" } });
    assert.deepEqual([found.status, told(found), found.parked_were_looked_at], [1, ["missing p1"], false]);
    assert.match(found.edge_problem, /the edge does not know this token/);
  });

  test("what is missing and parked is given back to the queue, and nothing else is", async () => {
    const report = "conversion_id,usd_earning,conversion_datetime\np1,2,2025-03-01\np2,2,2025-03-01\nnever,2,2025-03-01\n";
    const env = { OPERATOR_TOKEN };
    const without = asked(report);
    assert.deepEqual([without.repairable, without.parked_were_looked_at], [[], false]);
    const found = asked(report, ["--edge", edge.url], { env });
    assert.deepEqual([found.repairable, found.parked_were_looked_at, found.replayed], [["p1", "p2"], true, {}]);
    assert.match(found.differences.find((line) => line.conversion_id === "p1").repair, /^parked at the edge: \S+$/);
    const states = async () => (await edge.ops("parked")).body.parked.map((row) => row.state).toSorted();
    assert.deepEqual(await states(), Array(5).fill("parked"));

    const done = asked(report, ["--edge", edge.url, "--replay", "--yes"], { env });
    assert.deepEqual(done.replayed, { p1: ["queued"], p2: ["queued"] });
    await until("two delivered", async () => (await states()).filter((state) => state === "delivered").length === 2);
    assert.deepEqual(await states(), ["delivered", "delivered", "parked", "parked", "parked"]);
    const after = asked(report, ["--edge", edge.url], { env });
    assert.deepEqual([told(after), after.repairable], [["missing never 2.00"], []]);
    assert.ok(!JSON.stringify(after).includes(OPERATOR_TOKEN));
  });

  test("of what is parked of one conversion the first alone is given back, because the queue keeps no order", async () => {
    const report = "conversion_id,status,usd_earning,conversion_datetime\ntwo,Approved,2,2025-03-05\n";
    const args = ["--edge", edge.url], options = { env: { OPERATOR_TOKEN } };
    const stored = () => databases.rows("rector_db", "select status, revision from conversions where conversion_id = 'two'").map(({ status, revision }) => [status, revision]);
    const [line] = asked(report, args, options).differences;
    assert.match(line.repair, /^parked at the edge: \S+; parked at the edge, behind another: \S+$/);
    for (const kept of [[[null, 1]], [["approved", 2]]]) {
      assert.deepEqual(asked(report, [...args, "--replay", "--yes"], options).replayed, { two: ["queued"] });
      await until("its delivery", async () => stored()[0]?.[1] === kept[0][1], { everyMs: 100, timeoutMs: 20_000 });
      assert.deepEqual(stored(), kept);
    }
    const after = asked(report, args, options);
    assert.deepEqual([after.status, told(after)], [0, []]);
  });
});
