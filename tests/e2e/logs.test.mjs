// A log that nobody reads any more must not cost a postback.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { join } from "node:path";
import { freePort, until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { freshDatabases } from "./lib/origin.mjs";
import { rector, TOKEN } from "./lib/requests.mjs";

test("with nobody reading its output the origin still answers, and still stops", async () => {
  const databases = freshDatabases("sqlite");
  const port = await freePort();
  const env = { ...process.env, ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${port}`, ...databases.env };
  // Both outputs go into one pipe whose reader ends.
  const script = `exec 3>&1; ("$0" serve 2>&1 & echo "$!" >&3; wait) | head -n 1 > /dev/null`;
  const shell = spawn("bash", ["-c", script, join(ROOT, "target", "debug", "bytec-origin")], { env, stdio: ["ignore", "pipe", "inherit"] });
  const pid = await new Promise((resolve) => shell.stdout.once("data", (data) => resolve(Number(`${data}`))));
  try {
    const url = `http://127.0.0.1:${port}`;
    await until("the origin", async () => (await fetch(`${url}/health`)).status === 200);
    for (const id of ["broken-pipe-1", "broken-pipe-2"]) {
      const reply = await fetch(`${url}/postback/rector/event?${rector(id)}&ts_token=${TOKEN}`);
      assert.deepEqual([reply.status, (await reply.json()).verdict], [200, "created"]);
    }
    process.kill(pid, "SIGTERM");
    const gone = async () => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    };
    await until("the end of the origin", gone, { timeoutMs: 5_000 });
  } finally {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It is gone, as it should be.
    }
    databases.remove();
  }
});
