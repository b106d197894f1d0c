// The documents' explanations and signatures: every command that stands there prints what stands behind it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ROOT } from "../../scripts/lib/run.mjs";

const BINARY = join(ROOT, "target", "debug", "bytec-origin");
const CARGO = "cargo run -q -p bytec-origin --";
const PAGES = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)];

/** Runs a documented line in a shell, with the program that is built already. */
function shell(line) {
  const { SIGN_KEY, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync("bash", ["-c", line.replaceAll(CARGO, BINARY)], { cwd: ROOT, env, encoding: "utf8" });
  return { status, printed: (stdout + stderr).trimEnd() };
}

describe("commands of the documents", () => {
  const blocks = PAGES.flatMap((page) => {
    const text = readFileSync(join(ROOT, page), "utf8");
    const found = text.matchAll(/```sh\n([^`]*bytec-origin -- (?:explain|sign) [^`]*)\n```\n```text\n([^]*?)\n```/g);
    return [...found].map(([, command, expected]) => ({ page, command, expected }));
  });

  test("there are some of both kinds, on several pages", () => {
    const of = (name) => blocks.filter(({ command }) => command.includes(`-- ${name} `)).length;
    assert.ok(of("explain") >= 8 && of("sign") >= 4 && new Set(blocks.map(({ page }) => page)).size >= 3);
  });

  for (const { page, command, expected } of blocks) {
    test(`${page}: ${command.replace(/^.*?-- /, "").slice(0, 100)}`, () => {
      assert.equal(shell(command).printed, expected);
    });
  }

  test("exit codes are as docs/explain.md says", () => {
    const key = `SIGN_KEY=k:${"0b".repeat(32)}`;
    for (const [line, status] of [
      [`${CARGO} explain '/rector/event?conversion_id=c1'`, 0],
      [`${CARGO} explain '/rector/event'`, 1],
      [`${CARGO} explain --received-at yesterday '/rector/event?conversion_id=c1'`, 2],
      [`${CARGO} explain --partners no-such-folder '/rector/event?conversion_id=c1'`, 2],
      [`${CARGO} explain`, 2],
      [`${key} ${CARGO} sign '/postback'`, 0],
      [`${key} ${CARGO} sign '/postback?a=1&a=1'`, 1],
      [`SIGN_KEY=k:00 ${CARGO} sign '/postback'`, 2],
      [`${CARGO} sign '/postback'`, 2],
      // What would be signed and never verify is refused.
      [`${key} ${CARGO} sign --form query --profile jcs -d '{}' '/postback'`, 2],
      [`${key} ${CARGO} sign -X GET -d x '/postback'`, 2],
      [`${key} ${CARGO} sign --nonce 'a b' '/postback'`, 2],
      [`SIGN_KEY=k:${"0b".repeat(32)}@/2020-01-01 ${CARGO} sign '/postback'`, 2],
      [`${key} ${CARGO} sign --key-file no-such-file '/postback'`, 2],
    ]) {
      assert.equal(shell(line).status, status, line);
    }
  });
});
