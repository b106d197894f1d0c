// Callers of the origin as a Worker that go away while their database hangs: workerd then neither continues nor drops what ran for
// them, and they must leave nothing behind that others need.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Log, LogLevel, Miniflare } from "miniflare";
import { ORIGIN_BUILD } from "../../scripts/lib/origin-worker-build.mjs";
import { uniqueId } from "./lib/origin.mjs";
import { migrateD1, originWorker } from "./lib/origin_worker.mjs";
import { rector, TOKEN } from "./lib/requests.mjs";

/** More than have room at a native origin. */
const ROUNDS = 3;
const AT_ONCE = 90;

/** The origin, its database of rector's behind a door that can be shut. */
const DOOR = `import origin from "./index.js";
let isShut = false;
const behindTheDoor = (database) => ({
  prepare: (sql) => database.prepare(sql),
  batch: async (statements) => { if (isShut) await scheduler.wait(60_000); return database.batch(statements); },
});
export default { async fetch(request, env) {
  const { pathname } = new URL(request.url);
  if (pathname === "/shut" || pathname === "/open") return new Response(String(isShut = pathname === "/shut"));
  // What passes for a binding goes by the name of its class.
  class D1Database {}
  const door = Object.assign(new D1Database(), behindTheDoor(env.RECTOR_DB));
  return origin.fetch(request, { ...env, RECTOR_DB: door });
} };`;

/** Asks for many at once, and goes away before they are answered. */
const CALLER = `export default { async fetch(request, env) {
  const targets = await request.json();
  const call = (target) => env.ORIGIN.fetch("http://origin" + target, { signal: AbortSignal.timeout(500) });
  const answers = await Promise.allSettled(targets.map(call));
  return Response.json(answers.map(({ value, reason }) => value?.status ?? reason.name));
} };`;

test("callers that go away from a database that hangs leave room for others", async () => {
  const origin = originWorker();
  const source = (name) => ({ type: "ESModule", path: join(ORIGIN_BUILD, name), contents: readFileSync(join(ORIGIN_BUILD, name), "utf8") });
  const miniflare = new Miniflare({
    cf: false,
    log: new Log(LogLevel.NONE),
    handleRuntimeStdio(stdout, stderr) {
      for (const stream of [stdout, stderr]) stream.resume();
    },
    workers: [
      { name: "caller", modules: true, script: CALLER, compatibilityDate: origin.compatibilityDate, serviceBindings: { ORIGIN: "origin" } },
      {
        ...origin,
        name: "origin",
        modules: [
          { type: "ESModule", path: join(ORIGIN_BUILD, "door.js"), contents: DOOR },
          source("index.js"),
          { type: "CompiledWasm", path: join(ORIGIN_BUILD, "index_bg.wasm"), contents: readFileSync(join(ORIGIN_BUILD, "index_bg.wasm")) },
        ],
        unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
      },
    ],
  });
  try {
    const caller = await miniflare.ready;
    const direct = await miniflare.unsafeGetDirectURL("origin");
    await migrateD1(miniflare, "origin");
    const target = () => `/postback/rector/event?${rector(uniqueId())}&ts_token=${TOKEN}`;
    const one = async () => (await fetch(new URL(target(), direct))).status;
    assert.equal(await one(), 200);
    await fetch(new URL("/shut", direct));
    for (let round = 0; round < ROUNDS; round += 1) {
      const targets = Array.from({ length: AT_ONCE }, target);
      const answers = await (await fetch(caller, { method: "POST", body: JSON.stringify(targets) })).json();
      assert.deepEqual([...new Set(answers)], ["TimeoutError"], `round ${round}`);
    }
    await fetch(new URL("/open", direct));
    assert.equal(await one(), 200);
  } finally {
    await miniflare.dispose();
  }
});
