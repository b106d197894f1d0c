// The operators' commands against a real edge and a real origin: smoke, parked and deploy, as they are typed. What parked leaves to
// the origin's program is also in parked_command.test.mjs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { join } from "node:path";
import { freePort, until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { OPERATOR_TOKEN, startEdge } from "./lib/edge.mjs";
import { freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { rector } from "./lib/requests.mjs";

/** Runs a command with a token; answers its exit code and what it printed. */
function command(script, args, env = { OPERATOR_TOKEN }) {
  const { OPERATOR_TOKEN: _, EDGE_PORT: __, ...rest } = process.env;
  const child = spawn(process.execPath, [join(ROOT, "scripts", `${script}.mjs`), ...args], {
    env: { ...rest, ...env }, stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

/** A server that answers everything alike. */
async function startForeign(status, headers, body) {
  const server = createServer((_, reply) => reply.writeHead(status, headers).end(body));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => new Promise((resolve) => server.close(resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, stop };
}

describe("npm run smoke", () => {
  let databases, origin, edge, broken;

  before(async () => {
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
    const nobody = `http://127.0.0.1:${await freePort()}`;
    edge = await startEdge({ originUrl: origin.url, bindings: { ORIGIN_FALLBACK_URL: nobody } });
    broken = await startEdge({ originUrl: nobody, bindings: { ORIGIN_FALLBACK_URL: origin.url } });
  });
  after(async () => {
    await edge?.stop();
    await broken?.stop();
    await origin?.stop();
    databases?.remove();
  });

  test("with every partner served it says which origin answered, and ends with 0", async () => {
    const { code, out, err } = await command("smoke", ["--url", edge.url]);
    assert.equal(code, 0, out + err);
    for (const partner of ["involve_asia", "rector", "s2s"]) assert.match(out, new RegExp(`^${partner}$`, "m"));
    assert.match(out, new RegExp(`^  origin ${origin.url}: acknowledged, \\d+ ms$`, "m"));
    assert.match(out, /^    instance [0-9a-f]{8}, version \d+\.\d+\.\d+, development, started \d{4}-/m);
    assert.match(out, /^    database rector_db \(sqlite\)$/m);
    assert.match(out, /^  warning: fallback http:[^]*? no connection/m);
    assert.match(out, /^  parked: 0 waiting$/m);
    assert.equal(databases.rows("rector_db", "select count(*) as n from postbacks")[0].n, 0, "nothing is stored");
  });

  test("one partner, as JSON", async () => {
    const { code, out } = await command("smoke", ["--url", edge.url, "--partner", "rector", "--json"]);
    const { ok, partners } = JSON.parse(out);
    assert.deepEqual([code, ok, partners.map(({ partner }) => partner)], [0, true, ["rector"]]);
    const unknown = await command("smoke", ["--url", edge.url, "--partner", "nobody"]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /400 unclear_filter: partner is no active partner's code/);
  });

  test("an origin that is away is a problem with advice, and ends with 1, whatever the fallback does", async () => {
    const { code, out } = await command("smoke", ["--url", broken.url]);
    assert.equal(code, 1);
    assert.match(out, /^  PROBLEM: origin http:[^]*?\n    no connection: is the tunnel up/m);
    assert.match(out, new RegExp(`^  fallback ${origin.url}: acknowledged`, "m"));
    assert.match(out, /^not ok/m);
    assert.equal((await command("smoke", ["--url", broken.url, "--json"])).code, 1);
  });

  test("an edge of another environment than the one asked for is a problem", async () => {
    const { code, out } = await command("smoke", ["--url", edge.url, "--env", "production"]);
    assert.equal(code, 1);
    assert.match(out, /PROBLEM: this is the edge of development, not of production/);
  });

  test("development is this machine, with the public token", async () => {
    const { code, err } = await command("smoke", ["--env", "development"], { EDGE_PORT: new URL(edge.url).port });
    assert.equal(code, 0, err);
  });

  test("a secret that a partner lacks is named", async () => {
    const change = (options) => ({ ...options, bindings: { ...options.bindings, ENVIRONMENT: "staging" } });
    const staging = await startEdge({ originUrl: "https://127.0.0.1:9", bindings: {
      EDGE_KEYS: `k1:${"ab".repeat(32)}`, OPERATOR_TOKENS: `ann=${"t".repeat(24)}`,
    }, change });
    const { code, out } = await command("smoke", ["--url", staging.url], { OPERATOR_TOKEN: "t".repeat(24) });
    await staging.stop();
    assert.equal(code, 1);
    assert.match(out, /s2s\n  PROBLEM: nobody can prove to be this partner: put the secret TENANT_TOKENS/);
  });

  test("what is not an answer of the edge is told apart", async () => {
    const stopped = await freePort();
    for (const [status, headers, body, expected] of [
      [200, { "content-type": "text/html" }, "<html>", /answered 200 and no JSON: that is not the edge/],
      [302, { location: "http://127.0.0.1:9/" }, "", /answered 302 and a redirect/],
      [503, {}, '{"error":"unavailable","hint":"h"}', /503 unavailable: the edge's configuration is wrong/],
      [404, {}, '{"error":"partner_not_found","hint":"h"}', /404 partner_not_found: this edge has no operations/],
      [500, {}, '{"else":1}', /answered 500: that is not an answer of the edge/],
    ]) {
      const foreign = await startForeign(status, headers, body);
      const { code, err } = await command("smoke", ["--url", foreign.url]);
      await foreign.stop();
      assert.equal(code, 1);
      assert.match(err, expected);
    }
    const { code, err } = await command("smoke", ["--url", `http://127.0.0.1:${stopped}`]);
    assert.equal(code, 1);
    assert.match(err, /nothing answers at http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)/);
  });

  test("tokens: none, a wrong one, and too many wrong ones", async () => {
    const none = await command("smoke", ["--url", edge.url], {});
    assert.deepEqual([none.code, /OPERATOR_TOKEN is not set/.test(none.err)], [1, true]);
    const strict = await startEdge({ originUrl: origin.url, limits: { AUTH_FAILURES: 1 } });
    const wrong = () => command("smoke", ["--url", strict.url], { OPERATOR_TOKEN: "wrong-t0ken" });
    const first = await wrong();
    assert.match(first.err, /403 signature_invalid: the edge does not know this token/);
    assert.ok(first.code === 1 && !(first.out + first.err).includes("wrong-t0ken"));
    await until("429", async () => /429 rate_limited: .* try again in 60 s/.test((await wrong()).err));
    await strict.stop();
  });

  test("a command line that cannot be meant is refused", async () => {
    for (const [args, expected] of [
      [[], /say --env production/],
      [["--env", "nowhere"], /there is no environment "nowhere": development, production, staging/],
      [["--env", "staging"], /no route for staging: say --url/],
      [["--url", "http://network.bytec.com"], /--url begins with https/],
      [["--url", "https://network.bytec.com/ops"], /--url is scheme and host alone/],
      [["--all"], /Unknown option '--all'; --help/],
    ]) {
      const { code, err } = await command("smoke", args);
      assert.equal(code, 1);
      assert.match(err, expected);
    }
    const { code, out } = await command("smoke", ["--help"]);
    assert.deepEqual([code, /npm run smoke -- --env NAME/.test(out)], [0, true]);
  });
});

describe("npm run parked", () => {
  let databases, origin, edge;
  const parked = (...args) => command("parked", [...args, "--url", edge.url]);
  const ids = [];

  before(async () => {
    databases = freshDatabases("sqlite");
    const port = await freePort();
    edge = await startEdge({ originUrl: `http://127.0.0.1:${port}`, bindings: { RETRY_DELAYS_S: "0" } });
    for (let i = 0; i < 3; i++) ids.push((await edge.fetch(`/rector/event?${rector(uniqueId())}`)).headers.get("bytec-request-id"));
    await until("three parked postbacks", async () => (await edge.ops("parked")).body.parked.length === 3);
    origin = await startOrigin({ ...databases, port });
  });
  after(async () => {
    await edge?.stop();
    await origin?.stop();
    databases?.remove();
  });

  test("list shows what is parked, page by page where it must", async () => {
    const { code, out } = await parked("list", "--partner", "rector", "--reason", "exhausted");
    assert.equal(code, 0);
    assert.match(out, /^id +parked at +state +reason +partner +event +replays +what was seen\n/);
    for (const id of ids) assert.match(out, new RegExp(`^${id}  .* parked  exhausted  rector +evt_`, "m"));
    const first = JSON.parse((await parked("list", "--limit", "2", "--json")).out);
    assert.equal(first.parked.length, 2);
    const second = JSON.parse((await parked("list", "--cursor", first.next, "--json")).out);
    assert.deepEqual([...first.parked, ...second.parked].map((row) => row.request_id).sort(), ids.toSorted());
    assert.match((await parked("list", "--limit", "2")).out, /^there may be more: --cursor \S+~/m);
    assert.match((await parked("list", "--partner", "s2s")).out, /^nothing is parked that matches$/m);
    assert.match((await parked("list", "--reason", "bad")).err, /unclear_filter: reason is one of exhausted, refused/);
  });

  test("show prints one with what was sent", async () => {
    const { code, out } = await parked("show", ids[0]);
    assert.equal(code, 0);
    assert.match(out, /^reason +exhausted$/m);
    assert.match(out, /^  target +\/rector\/event\?media_id=media456/m);
    assert.equal(JSON.parse((await parked("show", ids[0], "--json")).out).postback.method, "GET");
    await edge.parked(`insert into parked select '-hA_1', partner, event_id, received_at, 'delivered', reason, detail, attempts, parked_at, changed_at, replays, message
      from parked where request_id = '${ids[0]}' returning request_id`);
    assert.match((await parked("show", "-hA_1")).out, /^request_id +-hA_1$/m);
    await edge.parked("delete from parked where request_id = '-hA_1' returning request_id");
    const nobody = await parked("show", "a/b c");
    assert.deepEqual([nobody.code, /404 not_parked/.test(nobody.err)], [1, true]);
  });

  test("replay changes nothing without a word, and delivers with one", async () => {
    const dry = await parked("replay", "--partner", "rector", "--limit", "1", "--dry-run");
    assert.deepEqual([dry.code, /rector +exhausted +3\n1 of 3 would be replayed/.test(dry.out)], [0, true]);
    const unasked = await parked("replay", "--partner", "rector");
    assert.equal(unasked.code, 1);
    assert.match(unasked.err, /3 of 3 will be replayed[^]*nothing was replayed: there is no terminal to ask at/);
    const states = async () => (await edge.ops("parked")).body.parked.map((row) => row.state);
    assert.deepEqual(await states(), ["parked", "parked", "parked"]);

    const { code, out } = await parked("replay", "--partner", "rector", "--limit", "2", "--yes");
    assert.deepEqual([code, out], [0, "2 in the queue again, 1 left\n"]);
    await until("two delivered", async () => (await states()).filter((state) => state === "delivered").length === 2);
    const [left] = (await edge.ops("parked?state=parked")).body.parked;
    const byId = await parked("replay", "--request-id", left.request_id, "--yes", "--json");
    assert.deepEqual([byId.code, JSON.parse(byId.out).replayed], [0, 1]);
    await until("all delivered", async () => (await states()).every((state) => state === "delivered"));
    assert.equal(databases.rows("rector_db", "select count(*) as n from conversions")[0].n, 3);
    assert.match((await parked("replay", "--yes")).out, /^0 in the queue again/);
  });

  test("the edge is that of an environment, development's with the public token", async () => {
    const EDGE_PORT = new URL(edge.url).port;
    const listed = async (args, env) => (await command("parked", ["list", "--json", ...args], env)).out;
    const all = `${JSON.stringify((await edge.ops("parked")).body, null, 2)}\n`;
    assert.equal(await listed(["--env", "development"], { EDGE_PORT }), all);
    assert.equal(await listed(["--env=development", "--reason", "exhausted"], { EDGE_PORT }), all);
    assert.equal(await listed([`--url=${edge.url}`]), all);
    assert.equal(await listed(["--edge", edge.url]), all);
    // Elsewhere nobody is an operator without a word, and a wrong one is not mended.
    for (const [args, env, expected, code] of [
      [["--url", edge.url], {}, /OPERATOR_TOKEN is not set/, 2],
      [["--env", "production"], {}, /OPERATOR_TOKEN is not set/, 2],
      [["--env", "development"], { EDGE_PORT, OPERATOR_TOKEN_FILE: "/nowhere/token" }, /OPERATOR_TOKEN_FILE: \/nowhere\/token cannot be read/, 2],
      [["--env", "development"], { EDGE_PORT, OPERATOR_TOKEN: "wrong-t0ken" }, /403 signature_invalid/, 1],
      [["--env", "nowhere"], {}, /there is no environment "nowhere": development, production, staging/, 1],
      [["--env", "staging"], {}, /no route for staging: say --url/, 1],
      [["--env"], {}, /--env needs a value/, 1],
      [["--url", "http://network.bytec.com"], {}, /must begin with https/, 2],
      [[], {}, /--edge <URL>/, 2],
    ]) {
      const answer = await command("parked", ["list", ...args], env);
      assert.deepEqual([answer.code, answer.out], [code, ""], args.join(" "));
      assert.match(answer.err, expected);
    }
  });

  test("a command line that cannot be meant is refused, and help is help", async () => {
    for (const args of [[], ["lst"], ["show"], ["show", "a", "b"], ["list", "a"], ["list", "--limit", "0"], ["list", "--reasn", "x"]]) {
      assert.equal((await parked(...args)).code, 2, args.join(" "));
    }
    const { code, out } = await parked("list", "--help");
    assert.deepEqual([code, /npm run parked -- list/.test(out), /--request-id <ID>/.test(out)], [0, true, true]);
  });
});

describe("npm run deploy", () => {
  test("it deploys nothing to an environment that nobody named, or that does not exist", async () => {
    for (const [args, expected] of [
      [[], /say which environment: --env production, --env staging/],
      [["--env", ""], /say which environment/],
      [["--env", "development"], /there is no environment "development"; wrangler.toml has production, staging/],
    ]) {
      const { code, err } = await command("deploy", args);
      assert.equal(code, 1);
      assert.match(err, expected);
    }
  });

  test("a dry run builds, checks the size and deploys nothing", async () => {
    const { code, out, err } = await command("deploy", ["--env", "production", "--dry-run"]);
    assert.equal(code, 0, err);
    assert.match(err, /KB compressed \(limit \d+ KB\)/);
    assert.match(out, /--dry-run: exiting now/);
    assert.match(err, /nothing was deployed/);
  });
});
