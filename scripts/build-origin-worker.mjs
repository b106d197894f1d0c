// Builds the origin as a Worker into origin/build/: what wrangler's [build] command of origin/wrangler.toml runs. Does nothing when
// nothing that goes into it has changed since the last build.
import { refuseUnnamedDeploy } from "./lib/deploy-guard.mjs";
import { buildOriginWorker } from "./lib/origin-worker-build.mjs";
import { main } from "./lib/run.mjs";

await main(async () => {
  refuseUnnamedDeploy();
  await buildOriginWorker();
});
