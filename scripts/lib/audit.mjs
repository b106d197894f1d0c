// What comes into our programs from elsewhere: its licences, sources and versions (deny.toml), and the weaknesses that are known of it.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ask, ROOT, run } from "./run.mjs";
import { cargoTool } from "./toolchain.mjs";

/** In the version that deny.toml is written for. */
const CARGO_DENY = "0.20.2";
/** The fuzz targets are a workspace of their own. */
const WORKSPACES = ["Cargo.toml", "fuzz/Cargo.toml"];

/** What can be asked without the network: every workspace against deny.toml. Answers what failed. */
export async function checkRules() {
  return withDeny("licences, sources, versions", ["bans", "licenses", "sources"], ["--offline"]);
}

/** Known weaknesses of crates. Answers what failed; `unreachable` where nobody could be asked. */
export async function checkCrates() {
  const failed = await withDeny("known weaknesses of crates", ["advisories"], []);
  return failed.map((failure) => ({ ...failure, unreachable: /failed to fetch advisory database|failed to open advisory database/.test(failure.output) }));
}

/** Known weaknesses of npm packages. */
export function checkNpm() {
  const { status, stdout, stderr } = spawnSync("npm", ["audit", "--audit-level=low", "--loglevel=error"], { cwd: ROOT, encoding: "utf8" });
  const output = `${stdout}${stderr}`;
  return status === 0 ? [] : [{ what: "known weaknesses of npm packages", output, unreachable: /audit endpoint returned an error|ENOTFOUND|ECONNREFUSED|ETIMEDOUT/.test(output) }];
}

async function withDeny(what, checks, options) {
  const program = await deny();
  // Crates of other systems are not there from building for this one, and cargo-deny looks at all.
  for (const manifest of WORKSPACES) await run("cargo", ["fetch", "--quiet", "--locked", "--manifest-path", join(ROOT, manifest)]);
  return WORKSPACES.flatMap((manifest) => {
    const config = ["--manifest-path", join(ROOT, manifest), "--config", join(ROOT, "deny.toml")];
    const args = [...options, ...config, "--locked", "--log-level", "error", "check", "--hide-inclusion-graph", ...checks];
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: ROOT, encoding: "utf8" });
    return status === 0 ? [] : [{ what: `${what} (${manifest})`, output: `${stdout}${stderr}` }];
  });
}

/** The program that asks: the system's where it has the version, or one in .cache/. */
export async function deny() {
  if (ask("cargo-deny", ["--version"]) === `cargo-deny ${CARGO_DENY}`) return "cargo-deny";
  // Quick to compile rather than quick to run: it runs for a second.
  return cargoTool("cargo-deny", CARGO_DENY, "cargo-deny", { how: ["--debug"] });
}
