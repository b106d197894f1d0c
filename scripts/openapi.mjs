// `npm run openapi`: prints what can be asked of the origin, as its code says it. With --write it is put into docs/openapi.json, which
// a test holds to the code.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ask, Complaint, main, ROOT, say } from "./lib/run.mjs";

const PAGE = "docs/openapi.json";

await main(async () => {
  const { values } = parseArgs({ options: { write: { type: "boolean", default: false } } });
  const command = ["run", "--quiet", "--locked", "--package", "bytec-origin", "--", "openapi"];
  const document = ask("cargo", command);
  if (document === undefined) throw new Complaint("the origin could not be built: cargo build -p bytec-origin");
  if (!values.write) return process.stdout.write(`${document.trimEnd()}\n`);
  writeFileSync(join(ROOT, PAGE), `${document.trimEnd()}\n`);
  say(`${PAGE} has it`);
});
