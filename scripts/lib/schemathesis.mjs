// Schemathesis: asks a real origin everything that its OpenAPI document allows, and much that it does not, and holds each answer to the
// document.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { freePort, Running, until } from "./processes.mjs";
import { testPython } from "./python.mjs";
import { ROOT } from "./run.mjs";

const BINARY = join(ROOT, "target", "debug", "bytec-origin");
const FOLDER = join(ROOT, "tests", "schemathesis");
const TENANT_TOKEN = "default-ts-token";

/** Conversions that are there when the asking begins. */
const SEEDS = ["involve", "rector"].flatMap((name) =>
  Array.from({ length: 30 }, (_, i) => `/postback/${name}/event?conversion_id=seed-${i}&usd_payout=${i}.50&event=deposit&ts_token=${TENANT_TOKEN}`));

/** Runs it, `examples` for each operation, the same ones wherever `seed` is the same, and answers its exit code, what it said, and what the origin called a failure of its own. */
export async function schemathesis({ examples, seed = 43, show = false }) {
  const python = await testPython();
  const folder = mkdtempSync(join(tmpdir(), "bytec-schemathesis-"));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = { ...process.env, ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${port}`, DATA_DIR: folder };
  const failures = [];
  const onLine = (line) => /"level":"ERROR"|panicked/.test(line) && failures.push(line);
  const origin = new Running("origin", BINARY, ["serve"], { env, onLine });
  try {
    await until("the origin", async () => (await (await fetch(`${url}/health`)).json()).status === "healthy", { running: [origin] });
    const made = spawnSync(BINARY, ["keys", "create", "--tenant", "bytec", "--scope", "read", "--json"], { env, encoding: "utf8" });
    const key = JSON.parse(made.stdout).secret;
    for (const target of SEEDS) {
      const reply = await fetch(`${url}${target}`);
      if (reply.status !== 200) throw new Error(`${target}: ${reply.status}`);
    }
    const open = async () => (await fetch(`${url}/partner/stats`, { headers: { authorization: `Bearer ${key}` } })).status === 200;
    await until("the key", open, { running: [origin] });
    const config = join(FOLDER, "schemathesis.toml");
    const asked = ["--config-file", config, "run", `${url}/openapi.json`, "--checks", "all", "--max-examples", `${examples}`, "--seed", `${seed}`];
    const program = join(dirname(python), "schemathesis");
    const with_ = { ...process.env, API_KEY: key, TENANT_TOKEN, SCHEMATHESIS_HOOKS: "checks", PYTHONPATH: FOLDER, NO_COLOR: "1" };
    const { code, output } = await collected(spawn(program, asked, { cwd: folder, env: with_, stdio: ["ignore", "pipe", "pipe"] }), show);
    return { code, output, failures };
  } finally {
    await origin.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function collected(child, show) {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
      if (show) process.stdout.write(chunk);
    });
  }
  const code = await new Promise((resolve) => child.on("close", resolve));
  return { code, output };
}
