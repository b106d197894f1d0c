// The document of the API and the origin say the same: schemathesis asks a real origin, and its answers are held to the document.
import assert from "node:assert/strict";
import { test } from "node:test";
import { schemathesis } from "../../scripts/lib/schemathesis.mjs";

test("every answer of the origin is one that its document promises", { timeout: 600_000 }, async () => {
  const { code, output, failures } = await schemathesis({ examples: 10 });
  assert.equal(code, 0, output.slice(-6_000));
  const count = (pattern) => Number(pattern.exec(output)?.[1]);
  assert.ok(count(/Operations: +(\d+) selected/) >= 36, output.slice(0, 2_000));
  assert.ok(count(/(\d+) generated/) >= 3_000, output.slice(-2_000));
  assert.deepEqual(failures, []);
});
