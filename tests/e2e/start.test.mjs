// `npm start` as a new user runs it, and every curl of the documents against it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { freePort, portIsFree, Running, until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";

describe("npm start", () => {
  let folder, edgePort, originPort, started;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "bytec-start-"));
    [edgePort, originPort] = [await freePort(), await freePort()];
    const env = { EDGE_PORT: `${edgePort}`, ORIGIN_PORT: `${originPort}`, DATA_DIR: folder, DATABASE_URL: "" };
    started = new Running("npm start", "npm", ["start"], { env });
    const invited = async () => started.output.some((line) => line.includes("curl -i"));
    await until("npm start", invited, { running: [started], timeoutMs: 10 * 60 * 1000 });
  });
  after(async () => {
    await started?.stop("SIGINT", 30_000);
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs a line in a shell, the documented ports replaced. */
  function shell(line) {
    const command = line.replaceAll("127.0.0.1:8787", `127.0.0.1:${edgePort}`).replaceAll("127.0.0.1:8000", `127.0.0.1:${originPort}`);
    const { status, stdout, stderr } = spawnSync("bash", ["-c", command], { encoding: "utf8" });
    assert.equal(status, 0, `${command}\n${stderr}`);
    return stdout;
  }

  test("the curl line that it prints works", () => {
    const line = started.output.find((text) => text.includes("curl -i"));
    assert.match(shell(line), /^HTTP\/1\.1 200 OK[^]*\r\n\r\nOK$/);
  });

  for (const page of ["README.md", "docs/api.md"]) {
    test(`every curl of ${page} answers what ${page} says`, () => {
      const text = readFileSync(join(ROOT, page), "utf8");
      const blocks = [...text.matchAll(/```sh\n(curl [^]*?)```\s*(?:```text\n([^]*?)```)?/g)];
      assert.ok(blocks.length >= 3, `found ${blocks.length}`);
      for (const [, command, expected] of blocks) {
        const body = shell(command).trim();
        if (expected === undefined) continue;
        const pieces = expected.trim().split("...").map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
        assert.match(body, new RegExp(`^${pieces.join(".*?")}$`, "s"), command);
      }
    });
  }

  test("a second start on the same ports says which is taken", () => {
    const env = { ...process.env, EDGE_PORT: `${edgePort}`, ORIGIN_PORT: `${originPort}` };
    const { status, stderr } = spawnSync(process.execPath, [join(ROOT, "scripts", "start.mjs")], { env, encoding: "utf8" });
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`port ${edgePort} is taken; stop what listens there or set EDGE_PORT`));
  });

  test("an origin that was stopped is started again, and the queue holds what comes meanwhile", async () => {
    const pids = spawnSync("pgrep", ["-f", `bytec-origin serve`], { encoding: "utf8" }).stdout.trim();
    const environment = (pid) => readFileSync(`/proc/${pid}/environ`, "utf8");
    const ours = pids.split("\n").find((pid) => environment(pid).includes(`ORIGIN_BIND=127.0.0.1:${originPort}`));
    process.kill(Number(ours), "SIGTERM");
    const url = `http://127.0.0.1:${edgePort}/rector/event?conversion_id=restart`;
    const verdict = async () => {
      const reply = await fetch(url);
      assert.equal(reply.status, 200, "whatever happens behind the edge");
      return reply.headers.get("bytec-verdict");
    };
    await until("a postback in the queue", async () => (await verdict()) === "queued");
    await until("the origin again", async () => (await verdict()) === "duplicate", { timeoutMs: 90_000 });
  });

  test("Ctrl-C stops both", async () => {
    started.signal("SIGINT");
    await until("the end of npm start", async () => !started.alive, { timeoutMs: 30_000 });
    assert.ok(started.output.some((line) => line.includes("origin stopped")), "the origin drained");
    assert.ok((await portIsFree(edgePort)) && (await portIsFree(originPort)));
  });
});
