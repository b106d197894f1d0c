// Builds the edge into build/: what `npm run build` and wrangler's [build] command run. Does nothing when nothing that
// goes into the edge has changed since the last build.
import { refuseUnnamedDeploy } from "./lib/deploy-guard.mjs";
import { buildEdge } from "./lib/edge-build.mjs";
import { main } from "./lib/run.mjs";

await main(async () => {
  refuseUnnamedDeploy();
  await buildEdge();
});
