// The documents say what the code does: every code, variable, partner and command stands where its reader looks, and
// every link leads somewhere.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { unstable_readConfig } from "wrangler";
import { ROOT } from "../scripts/lib/run.mjs";

const read = (path) => readFileSync(join(ROOT, path), "utf8");
const find = (path, pattern) => [...read(path).matchAll(pattern)].map((match) => match[1]);

/** A page's part under a heading, its smaller headings included. */
const section = (path, heading) => read(path).split(`\n## ${heading}\n`)[1]?.split(/\n## /)[0] ?? "";

/** What stands in code in the first cells of a text's tables. */
const rowNames = (text) => [...text.matchAll(/^\| (`.+?) \|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));

/** Every Rust file of the edge. */
const EDGE = readdirSync(join(ROOT, "src"), { recursive: true }).filter((name) => name.endsWith(".rs")).map((name) => `src/${name}`);

/** wrangler.toml as wrangler reads it: by environment, the top level as development. */
const ENVIRONMENTS = (() => {
  const at = (env) => unstable_readConfig({ config: join(ROOT, "wrangler.toml"), env }, { hideWarnings: true });
  return new Map([["development", at()], ...at().definedEnvironments.map((env) => [env, at(env)])]);
})();

/** Names of what an environment is connected with. */
const bindings = ({ queues, d1_databases, ratelimits }) =>
  [...queues.producers, ...d1_databases].map(({ binding }) => binding).concat(ratelimits.map(({ name }) => name)).sort();

/** Variables and secrets of the edge. */
const EDGE_VARIABLES = [
  ...EDGE.filter((path) => path.startsWith("src/config/")).flatMap((path) => find(path, /\b(?:variable|text)\("([A-Z_]+)"\)/g)),
  ...read("src/config/origins.rs").match(/for name in \[(.*?)\]/)[1].replaceAll('"', "").split(", "),
];

/** Markdown pages for people. */
const PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", ...readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];

test("docs/api.md lists every error code and verdict", () => {
  const codes = [
    ...find("postback/src/rejection.rs", /=> "([a-z0-9_]+)"/g),
    ...find("postback/src/verdict.rs", /=> "([a-z0-9_]+)"/g),
    ...["src/error.rs", "origin/src/api/error.rs", "origin/src/reports/problem.rs"].flatMap((path) => [
      ...find(path, /whole\(\s*"([a-z0-9_]+)"/g),
      ...find(path, /code: "([a-z0-9_]+)"/g),
    ]),
  ];
  assert.ok(codes.length > 40, `found ${codes.length}`);
  const page = read("docs/api.md");
  assert.deepEqual(codes.filter((code) => !page.includes(`\`${code}\``)), []);
});

test("docs/openapi.json names every error code of the origin, and no other", () => {
  const codes = [
    ...find("postback/src/rejection.rs", /=> "([a-z0-9_]+)"/g),
    ...find("origin/src/api/error.rs", /whole\(\s*"([a-z0-9_]+)"/g),
    ...find("origin/src/reports/problem.rs", /code: "([a-z0-9_]+)"/g),
  ];
  const named = [];
  JSON.parse(read("docs/openapi.json"), (key, value) => {
    if (key === "error" && Array.isArray(value?.enum)) named.push(...value.enum);
    return value;
  });
  assert.ok(named.length > 40 && named.includes("invalid_cursor"), `found ${named.length}`);
  assert.deepEqual([...new Set(named)].sort(), [...new Set(codes)].sort());
});

test("docs/api.md lists every code of the edge among the edge's", () => {
  const codes = find("src/error.rs", /(?:whole|Failure::of)\(\s*"([a-z0-9_]+)"/g);
  assert.ok(codes.length >= 14 && codes.includes("unclear_filter"), `found ${codes}`);
  const [, edge] = section("docs/api.md", "Errors").split(/\n### (?:Edge|Origin)\n/);
  const rows = rowNames(edge);
  assert.deepEqual(codes.filter((code) => !rows.includes(code)), []);
  // What only the origin says is not promised of the edge.
  assert.ok(!rows.includes("not_accepted") && !rows.includes("overloaded"));
});

test("docs/api.md lists every warning code in its section", () => {
  const codes = [
    ...find("postback/src/reading/warning.rs", /WarningCode::\w+ => "([a-z_]+)",/g),
    ...find("origin/src/store/ledger/requests.rs", /^const \w+: &str = "([a-z_]+)(?::[a-z_]+)?";/gm),
  ];
  assert.ok(codes.length >= 11 && codes.includes("superseded_event"), `found ${codes}`);
  const rows = rowNames(section("docs/api.md", "Warnings"));
  assert.deepEqual(rows.toSorted(), codes.toSorted());
});

test("docs/processing.md has every finding, and every word for a deposit", () => {
  // Those of a conversion by itself, and those that its account's other deposits decide.
  const codes = [
    ...find("origin/src/processing/finding.rs", /=> "([a-z_]+)"/g),
    ...find("origin/src/store/worklist/conclude.rs", /const (?:FTD|FIRST)_[A-Z_]+: &'static str = "([a-z_]+)"/g),
  ];
  assert.ok(codes.length >= 22 && ["ftd_differs", "first_deposit_reversed"].every((code) => codes.includes(code)), `found ${codes}`);
  const page = section("docs/processing.md", "What is evaluated");
  assert.deepEqual(rowNames(page.split("| finding |")[1]).toSorted(), codes.toSorted());
  // A later migration replaces the constraint.
  const words = find("origin/migrations/postgres/0014_order_of_receipt.sql", /check \(deposit in \(([^)]*)\)\)/g).at(-1);
  const deposits = rowNames(section("docs/processing.md", "First deposits").split("| `deposit` |")[1]);
  assert.deepEqual(deposits.toSorted(), words.replaceAll("'", "").split(/,\s+/).toSorted());
});

test("docs/api.md has the state machine of the rules", () => {
  const rows = (page) => page.match(/^(?:\/\/\/ )?\| (?:none|pending|approved|rejected|paid) (?:\| \w+ ){4}\|$/gm).map((row) => row.replace("/// ", ""));
  const rules = rows(read("postback/src/status.rs").replaceAll("\n    /// ", "\n/// "));
  assert.equal(rules.length, 5);
  assert.deepEqual(rows(read("docs/api.md")), rules);
});

test("docs/explain.md has both commands and every option", () => {
  const cli = read("origin/src/cli/mod.rs");
  const explain = cli.split(" Explain {")[1].split(" Sign {")[0];
  const sources = [explain, read("origin/src/cli/request.rs"), read("origin/src/cli/sign.rs")];
  const options = sources.flatMap((text) => [...text.matchAll(/#\[arg\(long\b[^\]]*\)\]\s+(\w+):/g)].map(([, name]) => `--${name.replaceAll("_", "-")}`));
  assert.ok(options.length >= 12, `found ${options}`);
  const page = read("docs/explain.md");
  assert.ok(["\n## Explain\n", "\n## Sign\n"].every((heading) => page.includes(heading)));
  const rows = rowNames(page);
  assert.deepEqual(options.filter((option) => !rows.includes(option)), []);
});

test("every command of the origin is in docs/operations.md", () => {
  const commands = [...read("origin/src/cli/mod.rs").split("enum Command {")[1].split("\n}")[0].matchAll(/^ {4}(\w+)[({]?/gm)].map(([, name]) => name.toLowerCase());
  assert.ok(commands.length >= 5, `found ${commands}`);
  const page = read("docs/operations.md");
  assert.deepEqual(commands.filter((name) => !page.includes(`\`bytec-origin ${name}`)), []);
});

test("docs/operations.md has every option of what looks after what is parked", () => {
  const options = ["mod", "list", "show", "replay"].flatMap((name) => find(`origin/src/cli/parked/${name}.rs`, /#\[arg\(long\b.*\)\]\s+(\w+):/g));
  assert.ok(options.length >= 14 && options.includes("dry_run"), `found ${options}`);
  const rows = rowNames(section("docs/operations.md", "Parked postbacks"));
  assert.deepEqual(options.map((name) => `--${name.replaceAll("_", "-")}`).filter((option) => !rows.includes(option)), []);
});

test("docs/tokens.md has every action of the audit log that a command notes", () => {
  const files = readdirSync(join(ROOT, "origin/src/cli"), { recursive: true }).filter((name) => name.endsWith(".rs"));
  const sources = files.map((name) => read(`origin/src/cli/${name}`)).join("\n");
  const actions = [...sources.matchAll(/const ACTION: &str = "([a-z._]+)"|\.note\("([a-z._]+)"/g)].map(([, named, noted]) => named ?? noted);
  assert.ok(actions.length >= 4, actions.join(", "));
  const rows = rowNames(section("docs/tokens.md", "The audit log"));
  assert.deepEqual(actions.filter((action) => !rows.includes(action)), []);
});

test("docs/doctor.md has every code of doctor, and how bad it is", () => {
  const codes = [...read("origin/src/cli/doctor/code.rs").matchAll(/^ {4}\w+ = "([a-z_]+)": (Problem|Warning),/gm)];
  assert.ok(codes.length >= 60, `found ${codes.length}`);
  const rows = [...section("docs/doctor.md", "Codes").matchAll(/^\| `([a-z_]+)` \| (problem|warning) \| .+ \| .+ \|$/gm)];
  const told = (found) => found.map(([, code, level]) => `${code} ${level.toLowerCase()}`);
  assert.deepEqual(told(rows), told(codes));
  const options = [...read("origin/src/cli/doctor/mod.rs").matchAll(/#\[arg\(long.*\)\]\n {4}(\w+): /g)].map(([, name]) => name.replaceAll("_", "-"));
  assert.ok(options.length >= 8, `found ${options}`);
  assert.deepEqual(options.filter((name) => !read("docs/doctor.md").includes(`\`--${name}`)), []);
});

test("docs/configuration.md lists every variable", () => {
  const variables = [
    ...EDGE_VARIABLES,
    ...find("origin/src/config.rs", /secret\("([A-Z_]+)"\)/g),
    ...find("origin/src/cli/mod.rs", /env = "([A-Z_]+)"/g),
    ...find("origin/src/cli/sign.rs", /env = "([A-Z_]+)"/g),
    ...find("origin/src/cli/parked/mod.rs", /env = "([A-Z_]+)"/g),
    ...find("origin/src/cli/edge/mod.rs", /secret\("([A-Z_]+)"/g),
    ...find("origin/src/cli/serve.rs", /try_from_env\("([A-Z_]+)"\)/g),
    ...find("scripts/start.mjs", /port\("([A-Z_]+)"/g),
    ...["scripts/lib/operator.mjs", "scripts/lib/environments.mjs"].flatMap((path) => find(path, /process\.env\.([A-Z_]+)/g)),
    ...find("scripts/parked.mjs", /\benv\.([A-Z_]+)/g),
  ];
  assert.ok(variables.length >= 24 && ["ORIGIN_FALLBACK_URL", "JWT_KEYS", "EDGE_URL"].every((name) => variables.includes(name)), `found ${variables}`);
  const page = read("docs/configuration.md");
  assert.deepEqual(variables.filter((name) => !page.includes(`\`${name}\``)), []);
});

test(".dev.vars.example has every secret of the edge", () => {
  const inWrangler = [...ENVIRONMENTS.values()].flatMap(({ vars }) => Object.keys(vars)).concat("ORIGIN_FALLBACK_URL");
  const example = find(".dev.vars.example", /^#([A-Z_]+)="/gm);
  assert.deepEqual(example.toSorted(), EDGE_VARIABLES.filter((name) => !inWrangler.includes(name)).toSorted());
});

test("docs/configuration.md lists the bindings that every environment has", () => {
  const rows = rowNames(read("docs/configuration.md").split("\n### Bindings\n")[1].split("\n### ")[0].replaceAll(/(^\| `[^|]+` \|).*/gm, "$1"));
  assert.ok(rows.length >= 8);
  for (const [env, settings] of ENVIRONMENTS) assert.deepEqual(bindings(settings), rows.toSorted(), env);
});

test("the steps of a partner's rate are those of wrangler.toml, in every environment, and of docs/partner-files.md", () => {
  const steps = [...read("src/guard/limits.rs").matchAll(/\("(RATE_\d+)", ([\d_]+)\)/g)].map(([, name, limit]) => [name, Number(limit.replaceAll("_", ""))]);
  assert.equal(steps.length, 4);
  for (const [env, { ratelimits }] of ENVIRONMENTS) {
    const bound = ratelimits.filter(({ name }) => name.startsWith("RATE_"));
    assert.deepEqual(bound.map(({ name, simple }) => [name, simple.limit]), steps, env);
    assert.ok(ratelimits.every(({ simple }) => simple.period === 60), env);
  }
  const rows = [...read("docs/partner-files.md").matchAll(/^\| `(RATE_\d+)` \| (\d+) \| .*?(\d+) \|$/gm)];
  assert.deepEqual(rows.map(([, name, limit]) => [name, Number(limit)]), steps);
  assert.ok(rows.every(([, , limit, last]) => limit === last), "a step is for limits up to its own");
});

test("docs/operations.md has the schedule of the rules, and every queue its retries", () => {
  const rules = read("postback/src/retry.rs");
  const numbers = (name) => rules.match(new RegExp(`const ${name}: [^=]+ = \\[?([\\d_, ]+)\\]?;`))[1].replaceAll("_", "").split(", ").map(Number);
  const [delays, [last], [retries]] = ["FIRST_DELAYS_S", "LAST_DELAY_S", "RETRIES_MAX"].map(numbers);
  const seconds = { s: 1, min: 60, h: 3600 };
  const table = read("docs/operations.md").split("\n### The schedule\n")[1].split("\n### ")[0];
  const rows = [...table.matchAll(/^\| ([\d to]+) \| (\d+) (s|min|h)\b/gm)].map(([, retry, count, unit]) => [retry, count * seconds[unit]]);
  assert.deepEqual(rows, [...delays.map((delay, place) => [`${place + 1}`, delay]), [`${delays.length + 1} to ${retries}`, last]]);
  for (const [env, { queues }] of ENVIRONMENTS) {
    const delivering = queues.consumers.filter(({ queue }) => !queue.endsWith("-dead-letters"));
    assert.deepEqual(delivering.map(({ max_retries }) => max_retries), delivering.map(() => retries), env);
    assert.ok(delivering.every(({ dead_letter_queue: name }) => queues.consumers.some(({ queue }) => queue === name)), env);
  }
});

test("docs/operations.md has every state and reason of what is parked", () => {
  const states = find("src/parked/filter.rs", /State::\w+ => "([a-z]+)"/g);
  const reasons = find("src/parked/cause.rs", /Cause::\w+ => "([a-z_]+)"/g);
  assert.deepEqual([states.length, reasons.length], [3, 5]);
  const rows = rowNames(section("docs/operations.md", "Parked postbacks").replaceAll(/(^\| `\w+` \|).*/gm, "$1").replaceAll(/^\| `--.*/gm, ""));
  assert.deepEqual(rows, [...states, ...reasons]);
});

test("docs/operations.md has every operation and every name of a filter", () => {
  const arms = [...read("src/ops/mod.rs").matchAll(/\("([a-z/]+)", "([A-Z]+)"\) =>/g)].map(([, name, method]) => `${method} /ops/${name}`);
  const operations = [...arms, "GET /ops/parked/<request_id>"];
  const text = read("docs/operations.md").split("\n### Operations over HTTP\n")[1].split("\n### ")[0];
  assert.deepEqual(rowNames(text.replaceAll(/(^\| `[^|]+` \|).*/gm, "$1")).toSorted(), operations.toSorted());
  const names = find("src/parked/filter.rs", /^ {16}"([a-z_]+)" => \{/gm);
  assert.ok(names.length >= 10, `found ${names}`);
  assert.deepEqual(names.filter((name) => !text.includes(`\`${name}\``)), []);
});

test("docs/operations.md has every sentence of the edge's log, and every cause of a refused proof", () => {
  const sources = EDGE.map(read).join("\n").replaceAll(/#\[cfg\(test\)\][^]*?\n}\n/g, "");
  const sentences = [...sources.matchAll(/(?:Line::of\(\s*|(?:Level::\w+|\blevel), |\{ (?="(?:click|postback) ))"([a-z]+(?: [a-z]+)+|operation|parked)"/g)].map(([, sentence]) => sentence);
  assert.ok(sentences.length >= 14, `found ${sentences}`);
  sentences.push(...find("src/entry.js", /\bmessage: "([^"]+)"/g));
  const [, table] = section("docs/operations.md", "Logs").split("| message | level |");
  const rows = rowNames(table.split("\n\n")[0].replaceAll(/(^\| `[^|]+` \|).*/gm, "$1"));
  assert.deepEqual(rows.toSorted(), [...new Set(sentences)].sort());
  const causes = [
    ...find("src/guard/credentials.rs", /(?:Err|ok_or|ok_or_else\(\|\| unproven)\("([a-z_]+)"\)/g),
    ...["postback/src/jwt.rs", "postback/src/signature/mod.rs"].flatMap((path) => find(path, /(?:Refusal|Cause)::\w+ => "([a-z_]+)"/g)),
  ];
  assert.ok(causes.length >= 20, `found ${causes}`);
  const known = rowNames(section("docs/operations.md", "Reasons and where to look"));
  assert.deepEqual(causes.filter((cause) => !known.includes(cause)), []);
});

test("docs/operations.md has every error of processing that the origin logs", () => {
  const files = readdirSync(join(ROOT, "origin/src/processing")).filter((name) => name.endsWith(".rs"));
  const sentences = files.flatMap((name) => find(`origin/src/processing/${name}`, /\berror!\([^;]*?"([^"]+)"\s*\)/g));
  assert.ok(sentences.length >= 2 && sentences.includes("an item was given up"), `found ${sentences}`);
  const [, , table] = section("docs/operations.md", "Logs").split("| message | level |");
  assert.deepEqual(sentences.filter((sentence) => !rowNames(table).includes(sentence)), []);
});

test("the commands of the first deployment make what wrangler.toml names", () => {
  const page = read("docs/operations.md");
  const { queues, d1_databases: databases, vars } = ENVIRONMENTS.get("production");
  assert.deepEqual(find("docs/operations.md", /wrangler queues create (\S+) /g).toSorted(), queues.consumers.map(({ queue }) => queue).toSorted());
  assert.deepEqual(find("docs/operations.md", /wrangler d1 create (\S+)/g), databases.map(({ database_name: name }) => name));
  const retentions = find("docs/operations.md", /--message-retention-period-secs (\d+)/g).map(Number);
  assert.ok(retentions.every((seconds) => seconds > 100 * 3600), "longer than the whole schedule with its jitter");
  assert.ok(page.includes(`ORIGIN_URL = "${vars.ORIGIN_URL}"`));
  assert.deepEqual(find("cloudflared/config.yml", /- hostname: (\S+)/g), [new URL(vars.ORIGIN_URL).hostname]);
});

test("docs/partner-files.md lists every key, that of tables included, and every canonical field", () => {
  const files = readdirSync(join(ROOT, "postback/src/partner"), { recursive: true }).filter((name) => name.endsWith(".rs"));
  const sources = files.map((name) => read(`postback/src/partner/${name}`)).join("\n");
  const structs = new Map([...sources.matchAll(/struct (\w+) \{\n([^]*?)\n\}/g)].map(([, name, body]) => [name, body]));
  const members = (name) =>
    [...structs.get(name).matchAll(/^ {4}(?:pub )?(\w+): (.+),$/gm)].map(([, key, type]) => {
      const [, map, table] = type.match(/^(?:Option<|(BTreeMap<String, ))?(\w+)>?$/) ?? [];
      return { key: map && structs.has(table) ? `${key}.<code>` : key, table };
    });
  // A key whose type is one of these structs is a table, and stands in the document by its keys.
  const keys = members("PartnerFile").flatMap(({ key, table }) => (structs.has(table) ? members(table).map((inner) => `${key}.${inner.key}`) : [key]));
  const fields = find("postback/src/field.rs", /= "([a-z0-9_]+)": \w+,/g);
  assert.ok(keys.length >= 32 && keys.includes("jwt.issuer") && fields.length >= 31, `found ${keys.length} keys, ${fields.length} fields`);
  const page = "docs/partner-files.md";
  const rows = rowNames(section(page, "Keys").split("\n### ")[0] + section(page, "Tables"));
  assert.deepEqual(rows.toSorted(), keys.toSorted());
  assert.deepEqual(rowNames(section(page, "Canonical fields")), fields);
});

test("every partner file and every example has its row in docs/partner-files.md", () => {
  const codes = (folder) => readdirSync(join(ROOT, folder)).filter((name) => name.endsWith(".toml")).map((name) => name.replace(".toml", "")).sort();
  const page = "docs/partner-files.md";
  assert.deepEqual(rowNames(read(page).split("\n## ")[0].replaceAll(/(^\| `\w+` \|).*/gm, "$1")), codes("partners"));
  assert.deepEqual(rowNames(section(page, "Example networks").replaceAll(/(^\| `\w+` \|).*/gm, "$1")), codes("partners/examples"));
});

test("every npm command is in CONTRIBUTING.md or README.md", () => {
  const pages = read("CONTRIBUTING.md") + read("README.md");
  const commands = Object.keys(JSON.parse(read("package.json")).scripts);
  const spelled = (name) => (["start", "test"].includes(name) ? `npm ${name}` : `npm run ${name}`);
  assert.deepEqual(commands.filter((name) => !pages.includes(spelled(name))), []);
});

test("every link between documents leads somewhere", () => {
  const broken = [];
  for (const page of PAGES) {
    for (const [, target] of read(page).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      if (!existsSync(join(ROOT, dirname(page), target))) broken.push(`${page}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test("every link into a page leads to a heading of it", () => {
  const anchors = (page) => {
    const headings = read(page).replaceAll(/```[^]*?```/g, "").matchAll(/^#+ (.*)$/gm);
    return new Set([...headings].map(([, heading]) => heading.toLowerCase().replaceAll(/[^\w\s-]/g, "").replaceAll(" ", "-")));
  };
  const broken = [];
  for (const page of PAGES) {
    for (const [, target, anchor] of read(page).matchAll(/\]\((?!https?:)([^)#]*)#([^)]*)\)/g)) {
      const other = target ? join(dirname(page), target) : page;
      if (!existsSync(join(ROOT, other)) || !anchors(other).has(anchor)) broken.push(`${page}: ${target}#${anchor}`);
    }
  }
  assert.deepEqual(broken, []);
});

test("files that the documents name exist", () => {
  const pages = PAGES.filter((page) => page !== "CHANGELOG.md");
  const named = pages.flatMap((page) => find(page, /`((?:src|postback|origin|partners|scripts|tests|docs|fuzz|cloudflared)\/[\w./-]+)`/g));
  assert.ok(named.length > 10, `found ${named.length}`);
  assert.deepEqual(named.filter((path) => !existsSync(join(ROOT, path))), []);
});
