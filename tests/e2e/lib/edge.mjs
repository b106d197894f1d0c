// The edge as it is deployed: the built WebAssembly in workerd.
import { join } from "node:path";
import { Miniflare, Log, LogLevel } from "miniflare";
import { ROOT } from "../../../scripts/lib/run.mjs";

/** Starts the edge in front of an origin; `fetch` calls it as a partner would. */
export async function startEdge({ originUrl, bindings = {} }) {
  const lines = [];
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    log: new Log(LogLevel.NONE),
    handleRuntimeStdio(stdout, stderr) {
      for (const stream of [stdout, stderr]) stream.on("data", (chunk) => lines.push(...`${chunk}`.trim().split("\n")));
    },
    modulesRoot: join(ROOT, "build"),
    modules: [
      { type: "ESModule", path: join(ROOT, "build", "index.js") },
      { type: "CompiledWasm", path: join(ROOT, "build", "index_bg.wasm") },
    ],
    compatibilityDate: "2026-04-01",
    bindings: { ENVIRONMENT: "development", ORIGIN_URL: originUrl, ...bindings },
  });
  const url = (await miniflare.ready).origin;
  return {
    url,
    /** What the Worker logged. */
    lines,
    fetch: (target, init = {}) => fetch(`${url}${target}`, { redirect: "manual", ...init }),
    stop: () => miniflare.dispose(),
  };
}
