// The environments of wrangler.toml, and where the edge of each can be called.
import { join } from "node:path";
import { ensureNodePackages } from "./node-packages.mjs";
import { Complaint, ROOT } from "./run.mjs";

/** The top level of wrangler.toml, which is never deployed. */
const DEVELOPMENT = "development";

/** wrangler.toml as wrangler reads it: for an environment, or the top level. */
async function settings(env) {
  await ensureNodePackages();
  const { unstable_readConfig: read } = await import("wrangler");
  return read({ config: join(ROOT, "wrangler.toml"), env }, { hideWarnings: true });
}

/** The names of the environments that can be deployed. */
export async function deployed() {
  return (await settings()).definedEnvironments;
}

/** An environment's settings; a name that does not exist is answered with those that do. */
export async function environment(name) {
  const names = await deployed();
  if (names.includes(name)) return settings(name);
  throw new Complaint(`there is no environment "${name}"; wrangler.toml has ${names.join(", ")}`);
}

/** The URL of an environment's edge: that of its route, or this machine's for development. */
export async function edgeUrl(name) {
  if (name === DEVELOPMENT) return `http://127.0.0.1:${process.env.EDGE_PORT || 8787}`;
  const names = await deployed();
  if (!names.includes(name)) throw new Complaint(`there is no environment "${name}": ${[DEVELOPMENT, ...names].join(", ")}`);
  const { route, routes, name: worker } = await settings(name);
  const [first] = [route, routes].flat().filter(Boolean);
  const host = (first?.pattern ?? first)?.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  if (host && !host.includes("*")) return `https://${host}`;
  throw new Complaint(`wrangler.toml has no route for ${name}: say --url https://${worker}.<your subdomain>.workers.dev`);
}
