// `npm run setup`: fetches everything that start and test need, so that they can do without the network afterwards.
import { deny } from "./lib/audit.mjs";
import { ensureNodePackages } from "./lib/node-packages.mjs";
import { postgresPrograms } from "./lib/postgres.mjs";
import { testPython } from "./lib/python.mjs";
import { main, say } from "./lib/run.mjs";
import { edgeToolchain } from "./lib/toolchain.mjs";

await main(async () => {
  await ensureNodePackages();
  await edgeToolchain();
  await postgresPrograms();
  await testPython();
  await deny();
  say("everything is here: npm start, npm test");
});
