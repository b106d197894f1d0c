// Rules about the code that neither compiler nor linter holds.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../scripts/lib/run.mjs";

/** A file's code, without its tests and comments. */
const code = (path) => readFileSync(join(ROOT, path), "utf8").split("#[cfg(test)]")[0].replaceAll(/\/\/.*$/gm, "");

test("secrets are compared in constant time alone", () => {
  const guard = readdirSync(join(ROOT, "src", "guard")).map((name) => `src/guard/${name}`);
  const files = [
    ...guard, "src/config/secrets.rs", "src/ops/mod.rs", "origin/src/verify.rs", "postback/src/signature/mod.rs",
    ...["credential", "key", "jwt", "message_signature", "acknowledgement"].map((name) => `postback/src/${name}.rs`),
  ];
  // A secret, or what is shown as one, goes by one of these names in all of them.
  const secret = String.raw`(?:\w+\.)*(?:token|bearer|secret|mac|path_key|hex_digits)\b(?!\s*[.(:])`;
  // Whatever stops at the first difference: operators, and the methods that use them.
  const early = new RegExp(
    String.raw`\b${secret}\s*[!=]=|[!=]=\s*[&*]*${secret}|\.(?:eq|ne|contains|starts_with|ends_with|get)\(\s*[&*]*${secret}\)`,
  );
  const found = files.flatMap((path) => code(path).split("\n").filter((line) => early.test(line)).map((line) => `${path}: ${line.trim()}`));
  assert.deepEqual(found, []);

  // Where the comparing is done, it is done so.
  for (const [path, head, by] of [
    ["postback/src/credential.rs", "fn belong_to(", "known.digest.ct_eq("],
    ["postback/src/credential.rs", "fn owner_of(", "known.digest.ct_eq("],
    ["postback/src/key.rs", "fn verify(", "mac.verify_slice("],
    ["postback/src/jwt.rs", "impl signature::Verifier<Vec<u8>> for Hs256", "mac.verify_slice("],
  ]) {
    const body = code(path).split(head)[1].split("\n    }\n")[0];
    assert.ok(body.includes(by) && !/[!=]= /.test(body.replaceAll("known.owner == owner", "")), `${path}: ${head}`);
  }

  // The search finds what it is for.
  const forbidden = ["if token == known {", "known.1 != self.token", "if *mac == code_of(x)", "all.contains(&token)", "if expected == path_key {"];
  const allowed = ["known.id == key.id", "rejection.code() == Code::X", "token.len() < bytes_min", "partner.code == code_of(x)"];
  assert.deepEqual([forbidden.filter((line) => !early.test(line)), allowed.filter((line) => early.test(line))], [[], []]);
});
