// The documents say what the code does: every code, variable, partner and command stands where its reader looks, and
// every link leads somewhere.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../scripts/lib/run.mjs";

const read = (path) => readFileSync(join(ROOT, path), "utf8");
const find = (path, pattern) => [...read(path).matchAll(pattern)].map((match) => match[1]);

/** A page's part under a heading, its smaller headings included. */
const section = (path, heading) => read(path).split(`\n## ${heading}\n`)[1]?.split(/\n## /)[0] ?? "";

/** What stands in code in the first cells of a text's tables. */
const rowNames = (text) => [...text.matchAll(/^\| (`.+?) \|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));

/** Markdown pages for people. */
const PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)];

test("docs/api.md lists every error code and verdict", () => {
  const codes = [
    ...find("postback/src/rejection.rs", /=> "([a-z0-9_]+)"/g),
    ...find("postback/src/verdict.rs", /=> "([a-z0-9_]+)"/g),
    ...["src/error.rs", "origin/src/api/error.rs"].flatMap((path) => [
      ...find(path, /whole\(\s*"([a-z0-9_]+)"/g),
      ...find(path, /code: "([a-z0-9_]+)"/g),
    ]),
  ];
  assert.ok(codes.length > 40, `found ${codes.length}`);
  const page = read("docs/api.md");
  assert.deepEqual(codes.filter((code) => !page.includes(`\`${code}\``)), []);
});

test("docs/api.md lists every warning code in its section", () => {
  const codes = [
    ...find("postback/src/reading/warning.rs", /WarningCode::\w+ => "([a-z_]+)",/g),
    ...find("origin/src/store/ledger.rs", /^const \w+: &str = "([a-z_]+)(?::[a-z_]+)?";/gm),
  ];
  assert.ok(codes.length >= 11 && codes.includes("superseded_event"), `found ${codes}`);
  const rows = rowNames(section("docs/api.md", "Warnings"));
  assert.deepEqual(rows.toSorted(), codes.toSorted());
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

test("docs/configuration.md lists every variable", () => {
  const variables = [
    ...find("src/config.rs", /variable\("([A-Z_]+)"\)/g),
    ...find("origin/src/config.rs", /secret\("([A-Z_]+)"\)/g),
    ...find("origin/src/cli/mod.rs", /env = "([A-Z_]+)"/g),
    ...find("origin/src/cli/sign.rs", /env = "([A-Z_]+)"/g),
    ...find("origin/src/cli/serve.rs", /try_from_env\("([A-Z_]+)"\)/g),
    ...find("scripts/start.mjs", /port\("([A-Z_]+)"/g),
  ];
  assert.ok(variables.length >= 12, `found ${variables.length}`);
  const page = read("docs/configuration.md");
  assert.deepEqual(variables.filter((name) => !page.includes(`\`${name}\``)), []);
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
  const pages = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/partner-files.md"];
  const named = pages.flatMap((page) => find(page, /`((?:src|postback|origin|partners|scripts|tests|docs|fuzz)\/[\w./-]+)`/g));
  assert.ok(named.length > 10, `found ${named.length}`);
  assert.deepEqual(named.filter((path) => !existsSync(join(ROOT, path))), []);
});
