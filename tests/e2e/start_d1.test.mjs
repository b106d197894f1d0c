// `npm run start:d1` as docs/d1.md has it: its curl against it, and what its look into the database finds.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { freePort, portIsFree, Running, until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";

describe("npm run start:d1", () => {
  let folder, edgePort, started;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "bytec-start-d1-"));
    edgePort = await freePort();
    started = new Running("npm run start:d1", "npm", ["run", "start:d1"], { env: { EDGE_PORT: `${edgePort}`, DATA_DIR: folder } });
    const invited = async () => started.output.some((line) => line.includes("npx wrangler d1 execute"));
    await until("npm run start:d1", invited, { running: [started], timeoutMs: 10 * 60 * 1000 });
  });
  after(async () => {
    await started?.stop("SIGINT", 30_000);
    rmSync(folder, { recursive: true, force: true });
  });

  test("the curl and the look into the database of docs/d1.md find the postback", () => {
    const local = readFileSync(join(ROOT, "docs", "d1.md"), "utf8").split("\n## ")[1];
    const [curl, look] = [...local.matchAll(/```sh\n((?:curl|npx) [^]*?)```/g)].map(([, command]) => command);
    const shell = (command) => {
      const here = command.replaceAll("127.0.0.1:8787", `127.0.0.1:${edgePort}`).replaceAll(".wrangler/state", folder);
      const { status, stdout, stderr } = spawnSync("bash", ["-c", here], { cwd: ROOT, encoding: "utf8", env: { ...process.env, CI: "1" } });
      assert.equal(status, 0, `${here}\n${stderr}`);
      return stdout;
    };
    assert.match(shell(curl), /^HTTP\/1\.1 200 OK[^]*bytec-verdict: created[^]*\r\n\r\nOK$/i);
    assert.match(shell(curl), /bytec-verdict: duplicate/i);
    const rows = shell(look);
    assert.match(rows, /"conversion_id": "conv789"/);
    assert.match(rows, /"usd_payout": "10\.50"/);
  });

  test("Ctrl-C stops all of it", async () => {
    started.signal("SIGINT");
    await until("the end of it", async () => !started.alive, { timeoutMs: 30_000 });
    assert.ok(started.output.some((line) => line.endsWith("stopped")), started.output.slice(-3).join("\n"));
    assert.ok(await portIsFree(edgePort));
  });
});
