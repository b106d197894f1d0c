// `npm run deploy -- --env production`: builds the edge, refuses one that is too large, and deploys it to the environment that is
// named. Nothing is deployed to an environment that nobody named.
import { join } from "node:path";
import { readCommandLine } from "./lib/command-line.mjs";
import { buildEdge } from "./lib/edge-build.mjs";
import { deployed, environment } from "./lib/environments.mjs";
import { Complaint, main, ROOT, run, say, step } from "./lib/run.mjs";

const HELP = `
npm run deploy -- --env NAME [--dry-run]

Builds the edge, checks its size, and runs wrangler deploy for one environment of wrangler.toml. Then check it:
npm run smoke -- --env NAME

  --env NAME   production, staging, ... as in wrangler.toml
  --dry-run    build and check everything, deploy nothing`;

/** What stands in wrangler.toml until the database is made. */
const NO_DATABASE = "00000000-0000-0000-0000-000000000000";

await main(async () => {
  const line = readCommandLine(HELP, { env: { type: "string" }, "dry-run": { type: "boolean", default: false } });
  if (!line) return;
  const { env, "dry-run": isDry } = line.values;
  if (!env) throw new Complaint(`say which environment: --env ${(await deployed()).join(", --env ")}`);
  const settings = await environment(env);
  const unmade = settings.d1_databases.filter(({ database_id: id }) => id === NO_DATABASE);
  if (unmade.length && !isDry) {
    const names = unmade.map(({ database_name: name }) => `npx wrangler d1 create ${name}`);
    throw new Complaint(`${names.join(", ")}: write the id that it prints into wrangler.toml under [[env.${env}.d1_databases]]`);
  }
  await buildEdge();
  const wrangler = join(ROOT, "node_modules", "wrangler", "bin", "wrangler.js");
  const args = ["deploy", "--env", env, ...(isDry ? ["--dry-run"] : [])];
  // It may have to ask which account.
  await step(`wrangler ${args.join(" ")}`, () => run(process.execPath, [wrangler, ...args], { asks: true }));
  say(isDry ? "nothing was deployed (--dry-run)" : `deployed; now check it: npm run smoke -- --env ${env}`);
});
