// What PostgreSQL plans for the origin's statements is what docs/query-plans.md says: lookups by key.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { plans, PLANS_PAGE } from "../../scripts/lib/plans.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";

describe("the plans of the origin's statements", () => {
  const page = readFileSync(join(ROOT, PLANS_PAGE), "utf8");
  let found;
  before(async () => {
    found = await plans();
  });

  test("no statement reads a table from end to end", () => {
    const reading = found.filter(({ plan }) => /Seq Scan on (?!raw\b)/.test(plan));
    assert.deepEqual(reading, []);
    // Each statement that looks into a table does so by one of its indexes.
    const without = found.filter(({ plan }) => !plan.includes("Index")).map(({ title }) => title);
    assert.deepEqual(without, ["take turns", "change settings"]);
  });

  test("the page has each of them", () => {
    const headings = [...page.matchAll(/^### (.*)$/gm)].map(([, heading]) => heading);
    assert.deepEqual(headings, found.map(({ title }) => title));
    assert.ok(headings.length >= 8 && headings.includes("insert into postbacks"));
  });

  test("each finds its rows by the indexes that the page shows", () => {
    // How an index is gone through, PostgreSQL decides by what is stored.
    const indexes = (plan) => {
      const names = [...plan.matchAll(/Index (?:Only )?Scan (?:Backward )?(?:using|on) (\w+)/g)].map(([, name]) => name);
      return [...new Set(names.map((name) => name.replace(/_(?:\d{4}_\d{2}|default)_/, "_")))].sort();
    };
    const shown = page.split(/^### .*$/m).slice(1).map(indexes);
    assert.deepEqual(shown, found.map(({ plan }) => indexes(plan)));
    assert.ok(new Set(shown.flat()).size >= 6);
  });
});
