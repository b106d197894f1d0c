// What would be deployed, by wrangler itself as far as it goes without an account: every environment is whole and apart from
// the others, small enough, and the development set-up cannot be deployed by leaving something out.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { experimental_readRawConfig as readRawConfig, unstable_readConfig as readConfig } from "wrangler";
import { COMPRESSED_KB_MAX } from "../../scripts/lib/edge-build.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";

const config = join(ROOT, "wrangler.toml");
const development = readConfig({ config });
const ENVIRONMENTS = Object.keys(readRawConfig({ config }).rawConfig.env);
const deployed = new Map(ENVIRONMENTS.map((name) => [name, readConfig({ config, env: name })]));

/** Every binding of a configuration: what the Worker knows it by, and its kind. */
function bindings({ vars, queues, d1_databases, ratelimits }) {
  return [
    ...Object.keys(vars).map((name) => `variable ${name}`),
    ...queues.producers.map(({ binding }) => `queue ${binding}`),
    ...d1_databases.map(({ binding }) => `database ${binding}`),
    ...ratelimits.map(({ name, simple }) => `rate limit ${name}: ${simple.limit} in ${simple.period} s`),
  ].sort();
}

/** What wrangler says, and how it ended. Nothing is sent anywhere: every command is a dry run. */
function wrangler(args, env = {}) {
  const program = join(ROOT, "node_modules", "wrangler", "bin", "wrangler.js");
  const quiet = { WRANGLER_SEND_METRICS: "false", NO_COLOR: "1", CLOUDFLARE_ENV: undefined };
  const child = spawn(process.execPath, [program, ...args, "--dry-run"], { cwd: ROOT, env: { ...process.env, ...quiet, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, output })));
}

test("there are a production and a staging, and nothing else", () => {
  assert.deepEqual(ENVIRONMENTS.toSorted(), ["production", "staging"]);
});

test("every kind of binding of the development set-up is looked at here", () => {
  const known = ["vars", "queues", "d1_databases", "ratelimits"];
  const plain = ["name", "main", "compatibility_date", "workers_dev", "build", "triggers", "env"];
  const raw = Object.keys(readRawConfig({ config }).rawConfig);
  assert.deepEqual(raw.filter((key) => !known.includes(key) && !plain.includes(key)), []);
});

for (const [name, environment] of deployed) {
  test(`${name} has every binding of the development set-up`, () => {
    assert.ok(bindings(development).length >= 9);
    assert.deepEqual(bindings(environment), bindings(development));
  });

  test(`${name} consumes its queues, and no queue of another environment`, () => {
    const { producers, consumers } = environment.queues;
    // By these ends the Worker tells them apart.
    const ends = { POSTBACKS: "-postbacks", CLICKS: "-clicks", REJECTIONS: "-rejections" };
    for (const { binding, queue } of producers) assert.ok(queue.endsWith(ends[binding]), `${binding}: ${queue}`);
    const deadLetters = consumers.find(({ queue }) => queue.endsWith("-dead-letters"))?.queue;
    assert.deepEqual(consumers.map(({ queue }) => queue), [...producers.map(({ queue }) => queue), deadLetters]);
    for (const { queue, dead_letter_queue } of consumers) assert.equal(dead_letter_queue, queue === deadLetters ? undefined : deadLetters, queue);
    const withoutNames = ({ consumers }) => consumers.map(({ queue: _, dead_letter_queue: __, ...settings }) => settings);
    assert.deepEqual(withoutNames(environment.queues), withoutNames(development.queues), "and treats them as they are tested");
    assert.deepEqual(environment.triggers, development.triggers);
  });

  test(`${name} says which it is, and calls its origin encrypted`, () => {
    assert.equal(environment.vars.ENVIRONMENT, name);
    assert.match(environment.vars.ORIGIN_URL, /^https:/);
    assert.ok(environment.observability.enabled);
  });
}

test("no two environments share a counter, a queue, a table, an address or a name", () => {
  const all = [development, ...deployed.values()];
  for (const own of [
    ({ ratelimits }) => ratelimits.map(({ namespace_id }) => namespace_id),
    ({ queues }) => queues.consumers.map(({ queue }) => queue),
    ({ d1_databases }) => d1_databases.map(({ database_name }) => database_name),
    ({ vars }) => [vars.ORIGIN_URL],
    ({ name }) => [name],
  ]) {
    const names = all.flatMap(own);
    assert.equal(new Set(names).size, names.length, `${names}`);
  }
});

test("the origin on D1 has a database of its own for each partner and one that they share, in every environment", () => {
  const origin = join(ROOT, "origin", "wrangler.toml");
  const files = readdirSync(join(ROOT, "partners")).filter((name) => name.endsWith(".toml"));
  const partners = files.map((name) => /^database = "(\w+)"/m.exec(readFileSync(join(ROOT, "partners", name), "utf8"))[1]);
  const databases = [...partners, "bytec_db"];
  const environments = [undefined, ...Object.keys(readRawConfig({ config: origin }).rawConfig.env)];
  for (const env of environments) {
    const { d1_databases, triggers, workers_dev, routes } = readConfig({ config: origin, env });
    assert.deepEqual(d1_databases.map(({ binding }) => binding).sort(), databases.map((name) => name.toUpperCase()).sort(), env);
    for (const { binding, database_name, migrations_dir } of d1_databases) {
      assert.equal(database_name.toUpperCase(), binding);
      assert.equal(migrations_dir, binding === "BYTEC_DB" ? "migrations/shared/sqlite" : "migrations/sqlite");
    }
    assert.deepEqual(triggers.crons, ["* * * * *"]);
    assert.ok(!workers_dev && !routes, "it is reached by the edge's binding alone");
  }
});

test("production is reached by its domain alone", () => {
  const { routes, workers_dev, preview_urls } = deployed.get("production");
  assert.deepEqual(routes, [{ pattern: "network.bytec.com", custom_domain: true }]);
  assert.equal(workers_dev, false);
  assert.ok(!preview_urls);
  for (const other of [development, deployed.get("staging")]) assert.equal(other.routes, undefined);
});

describe("wrangler", () => {
  let folder;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "bytec-deploy-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("would deploy the origin on D1, and not its development set-up", async () => {
    const origin = ["deploy", "--config", join("origin", "wrangler.toml"), "--outdir", join(folder, "origin")];
    const { code, output } = await wrangler([...origin, "--env", "production"]);
    assert.equal(code, 0, output);
    for (const binding of ["INVOLVE_ASIA_DB", "RECTOR_DB", "S2S_DB"]) assert.ok(output.includes(`env.${binding}`), output);
    assert.notEqual((await wrangler(origin)).code, 0);
  });

  for (const [name, environment] of deployed) {
    test(`would deploy ${name} with its bindings, smaller than ${COMPRESSED_KB_MAX} KB`, async (t) => {
      const outdir = join(folder, name);
      const { code, output } = await wrangler(["deploy", "--env", name, "--outdir", outdir]);
      assert.equal(code, 0, output);
      const bound = [...output.matchAll(/^env\.(\w+) \(/gm)].map(([, binding]) => binding);
      const expected = bindings(environment).map((text) => text.match(/(?:variable|queue|database|rate limit) (\w+)/)[1]);
      assert.deepEqual(bound.toSorted(), expected.toSorted());
      assert.match(output, new RegExp(`env\\.ENVIRONMENT \\("${name}"\\)`));
      for (const { binding, queue } of environment.queues.producers) assert.ok(output.includes(`env.${binding} (${queue})`), output);

      const [, said] = output.match(/gzip: ([\d.]+) KiB/);
      const files = readdirSync(outdir).filter((file) => /\.(js|wasm)$/.test(file));
      assert.deepEqual(files.map((file) => file.replace(/.*\./, "")).sort(), ["js", "wasm"]);
      const compressed = files.reduce((sum, file) => sum + gzipSync(readFileSync(join(outdir, file)), { level: 9 }).length, 0) / 1024;
      t.diagnostic(`${name}: ${compressed.toFixed(1)} KB compressed, ${said} KB by wrangler's count`);
      assert.ok(compressed < COMPRESSED_KB_MAX && Number(said) < COMPRESSED_KB_MAX);
    });
  }

  test("refuses to deploy the development set-up, and says what to do", async () => {
    const commands = [
      [["deploy"]],
      [["deploy", "--env", ""]],
      [["deploy", "--env="], { CLOUDFLARE_ENV: "production" }],
      [["deploy", "-e", ""], { CLOUDFLARE_ENV: "" }],
      [["versions", "upload"]],
    ];
    const answers = await Promise.all(commands.map(([args, env]) => wrangler(args, env)));
    for (const [i, { code, output }] of answers.entries()) {
      const [args] = commands[i];
      const command = args[0] === "versions" ? "versions upload" : "deploy";
      assert.notEqual(code, 0, `${args}\n${output}`);
      const sentence = `this is the development set-up: deploy an environment, such as: npx wrangler ${command} --env production`;
      assert.ok(output.includes(sentence), `${args}\n${output}`);
      assert.ok(!output.includes("Total Upload"), "nothing was put together");
    }
  });

  test("refuses an environment that there is not", async () => {
    const { code, output } = await wrangler(["deploy", "--env", "prod"]);
    assert.notEqual(code, 0);
    assert.match(output, /No environment found in configuration with name "prod"/);
  });

  test("takes the environment from CLOUDFLARE_ENV where the command line names none", async () => {
    const { code, output } = await wrangler(["versions", "upload"], { CLOUDFLARE_ENV: "staging" });
    assert.equal(code, 0, output);
    assert.match(output, /env\.ENVIRONMENT \("staging"\)/);
  });
});
