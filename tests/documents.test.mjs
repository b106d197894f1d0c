// The documents say what the code does: every code, variable, partner and command stands where its reader looks, and
// every link leads somewhere.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../scripts/lib/run.mjs";

const read = (path) => readFileSync(join(ROOT, path), "utf8");
const find = (path, pattern) => [...read(path).matchAll(pattern)].map((match) => match[1]);

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

test("docs/configuration.md lists every variable", () => {
  const variables = [
    ...find("src/config.rs", /variable\("([A-Z_]+)"\)/g),
    ...find("origin/src/config.rs", /secret\("([A-Z_]+)"\)/g),
    ...find("origin/src/cli/mod.rs", /env = "([A-Z_]+)"/g),
    ...find("origin/src/cli/serve.rs", /try_from_env\("([A-Z_]+)"\)/g),
    ...find("scripts/start.mjs", /port\("([A-Z_]+)"/g),
  ];
  assert.ok(variables.length >= 12, `found ${variables.length}`);
  const page = read("docs/configuration.md");
  assert.deepEqual(variables.filter((name) => !page.includes(`\`${name}\``)), []);
});

test("docs/partner-files.md lists every key and canonical field", () => {
  const file = read("postback/src/partner/file.rs").split("struct PartnerFile {")[1].split("\n}")[0];
  const keys = [...file.matchAll(/^ {4}(\w+):/gm)].map((match) => match[1]);
  const fields = find("postback/src/field.rs", /= "([a-z0-9_]+)": \w+,/g);
  assert.ok(keys.length >= 14 && fields.length >= 31, `found ${keys.length} keys, ${fields.length} fields`);
  const page = read("docs/partner-files.md");
  assert.deepEqual([...keys, ...fields].filter((name) => !page.includes(`\`${name}\``)), []);
});

test("every partner file has its row in docs/partner-files.md", () => {
  const partners = readdirSync(join(ROOT, "partners")).map((name) => name.replace(".toml", ""));
  const page = read("docs/partner-files.md");
  assert.deepEqual(partners.filter((code) => !page.includes(`\`${code}\``)), []);
});

test("every npm command is in CONTRIBUTING.md or README.md", () => {
  const pages = read("CONTRIBUTING.md") + read("README.md");
  const commands = Object.keys(JSON.parse(read("package.json")).scripts);
  const spelled = (name) => (["start", "test"].includes(name) ? `npm ${name}` : `npm run ${name}`);
  assert.deepEqual(commands.filter((name) => !pages.includes(spelled(name))), []);
});

test("every link between documents leads somewhere", () => {
  const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)];
  const broken = [];
  for (const page of pages) {
    for (const [, target] of read(page).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      if (!existsSync(join(ROOT, dirname(page), target))) broken.push(`${page}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test("files that the documents name exist", () => {
  const named = find("ARCHITECTURE.md", /`((?:src|postback|origin|partners|scripts|tests|docs)\/[\w./-]+)`/g);
  assert.ok(named.length > 10, `found ${named.length}`);
  assert.deepEqual(named.filter((path) => !existsSync(join(ROOT, path))), []);
});
