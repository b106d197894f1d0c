// D1 for development and tests.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Running, until } from "./processes.mjs";
import { ROOT } from "./run.mjs";

/** Migrations of a partner's database, and of the one that all partners share. */
export const D1_MIGRATIONS = { partner: join("migrations", "sqlite"), shared: join("migrations", "shared", "sqlite") };

/** Starts throw-away databases (scripts/lib/d1-bridge.mjs); answers their address and how to stop them. */
export async function startD1() {
  let url;
  const bridge = new Running("the D1 databases", process.execPath, [join(ROOT, "scripts", "lib", "d1-bridge.mjs")], {
    onLine: (line) => {
      if (line.startsWith("http://")) url = line;
    },
  });
  await until("the D1 databases", async () => url !== undefined, { running: [bridge], timeoutMs: 60_000 });
  return { url, stop: () => bridge.stop() };
}

/**
 * The names of the origin's D1 databases in the development set-up. Not by wrangler's own reader: its handlers of signals would end
 * a program that has others to stop.
 */
export function originD1Databases() {
  return [...developmentOrigin().matchAll(/^database_name = "(\w+)"$/gm)].map(([, name]) => name);
}

/** The name of the origin's Worker in the development set-up. */
export function originD1Name() {
  return /^name = "([\w-]+)"$/m.exec(developmentOrigin())[1];
}

function developmentOrigin() {
  return readFileSync(join(ROOT, "origin", "wrangler.toml"), "utf8").split(/^\[env\./m)[0];
}

/** The statements of every migration in a folder of the origin's, in order, as wrangler parts them. */
export async function d1Migrations(folderName) {
  const { unstable_splitSqlQuery: split } = await import("wrangler");
  const folder = join(ROOT, "origin", folderName);
  const files = readdirSync(folder).filter((name) => name.endsWith(".sql")).sort();
  return files.flatMap((name) => split(readFileSync(join(folder, name), "utf8")));
}
