// `npm run plans`: how PostgreSQL finds the rows that a request needs, statement by statement, in the words of its `explain`. With
// --write they are put into docs/query-plans.md, which a test holds to them.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { originBinary } from "./lib/origin-binary.mjs";
import { inDocument, plans, PLANS_PAGE } from "./lib/plans.mjs";
import { main, ROOT, say } from "./lib/run.mjs";

await main(async () => {
  const { values } = parseArgs({ options: { write: { type: "boolean", default: false } } });
  await originBinary();
  const found = await plans();
  if (!values.write) {
    for (const { title, plan } of found) process.stdout.write(`${title}\n\n${plan}\n\n`);
    return;
  }
  const path = join(ROOT, PLANS_PAGE);
  writeFileSync(path, inDocument(readFileSync(path, "utf8"), found));
  say(`${PLANS_PAGE} has them`);
});
