// `npm run schemathesis`: asks an origin of its own everything that the OpenAPI document allows, and much that it does not, and says
// what is not as the document says. --examples is how many cases are made up for each operation,
// --seed asks about others.
import { parseArgs } from "node:util";
import { Complaint, main, run } from "./lib/run.mjs";
import { schemathesis } from "./lib/schemathesis.mjs";

await main(async () => {
  const { values } = parseArgs({ options: { examples: { type: "string", default: "100" }, seed: { type: "string", default: "43" } } });
  const [examples, seed] = [values.examples, values.seed].map(Number);
  if (![examples, seed].every((number) => Number.isInteger(number) && number >= 1)) throw new Complaint("--examples and --seed are numbers from 1 on");
  await run("cargo", ["build", "--quiet", "--locked", "--package", "bytec-origin"]);
  const { code } = await schemathesis({ examples, seed, show: true });
  if (code !== 0) throw new Complaint("the origin is not as its document says");
});
