// The edge as it is deployed: the built WebAssembly in workerd, with the bindings that wrangler.toml gives it.
import { join } from "node:path";
import { Miniflare, Log, LogLevel } from "miniflare";
import { unstable_getMiniflareWorkerOptions as workerOptionsOf } from "wrangler";
import { BUILD } from "../../../scripts/lib/edge-build.mjs";
import { until } from "../../../scripts/lib/processes.mjs";
import { ROOT } from "../../../scripts/lib/run.mjs";
import { fetchFrom } from "./fetch.mjs";

/** The operator's token of the development set-up. */
export const OPERATOR_TOKEN = "default-operator-token";

/** The queues of the development set-up. */
export const QUEUE = "bytec-dev-postbacks";
export const DEAD_LETTERS = "bytec-dev-dead-letters";

/**
 * Starts the edge in front of an origin; `fetch` calls it as a partner would. `bindings` are variables and secrets, `limits`
 * the counts of rate-limit bindings, `build` the folder of another build, `change` whatever else a test needs to be different, and
 * `beside` Workers that run beside it.
 */
export async function startEdge({ originUrl, bindings = {}, limits = {}, build = BUILD, change = (options) => options, beside = [] }) {
  const lines = [];
  const { workerOptions } = workerOptionsOf(join(ROOT, "wrangler.toml"));
  const { bindings: variables, d1Databases, queueProducers, queueConsumers, ratelimits } = workerOptions;
  for (const [name, limit] of Object.entries(limits)) ratelimits[name].simple.limit = limit;
  const options = {
    name: "edge",
    modulesRoot: build,
    modules: [
      { type: "ESModule", path: join(build, "index.js") },
      { type: "CompiledWasm", path: join(build, "index_bg.wasm") },
    ],
    compatibilityDate: workerOptions.compatibilityDate,
    bindings: { ...variables, ORIGIN_URL: originUrl, ...bindings },
    d1Databases,
    queueProducers,
    queueConsumers,
    ratelimits,
  };
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    log: new Log(LogLevel.NONE),
    handleRuntimeStdio(stdout, stderr) {
      for (const stream of [stdout, stderr]) {
        let rest = "";
        stream.on("data", (chunk) => {
          const parts = `${rest}${chunk}`.split("\n");
          rest = parts.pop();
          lines.push(...parts);
        });
      }
    },
    workers: [change(options), ...beside],
  });
  const url = (await miniflare.ready).origin;
  const edge = {
    url,
    miniflare,
    /** What the Worker logged. */
    lines,
    /** The log's lines as objects. */
    logged: () => lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)),
    /** What is found in the log, whose lines arrive a moment after the reply. */
    said: async (what, find) => {
      let found;
      await until(`the log's word of ${what}`, async () => Boolean((found = find(edge.logged()))), { everyMs: 5 });
      return found;
    },
    fetch: fetchFrom(url),
    /** An operator's call. */
    ops: async (target, { method = "GET", token = OPERATOR_TOKEN } = {}) => {
      const reply = await edge.fetch(`/ops/${target}`, { method, headers: { authorization: `Bearer ${token}` } });
      return { status: reply.status, body: await reply.json() };
    },
    /** Brings messages to the Worker as the platform does, and answers how it settled them. */
    bring: async (messages, queue = QUEUE) => (await miniflare.getWorker("edge")).queue(queue, messages),
    /** The cron trigger. */
    tick: async () => (await miniflare.getWorker("edge")).scheduled({ cron: "*/5 * * * *", scheduledTime: new Date() }),
    /** Rows of the table of parked postbacks and clicks. */
    parked: async (sql = "select * from parked where message not like '{\"report\":%' order by parked_at") =>
      (await (await miniflare.getD1Database("PARKED", "edge")).prepare(sql).all()).results,
    stop: () => miniflare.dispose(),
  };
  return edge;
}
