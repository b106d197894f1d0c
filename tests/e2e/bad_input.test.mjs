// Every row of the bad-input table against the running system: the real WebAssembly in workerd, and the origin directly.
// Each is refused with its status, code and field; nothing is stored, and nothing is ever our fault (5xx).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../../scripts/lib/run.mjs";
import { startEdge } from "./lib/edge.mjs";
import { freshDatabases, startOrigin } from "./lib/origin.mjs";
import { TOKEN } from "./lib/requests.mjs";

const rows = readFileSync(join(ROOT, "postback", "testdata", "bad_input.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));

/** Sends a row as it is, its target not touched by a URL parser. */
function send(url, row, { target = row.target, headers = {} } = {}) {
  const body = row.body_b64 ? Buffer.from(row.body_b64, "base64") : Buffer.from(row.body ?? "");
  const type = row.content_type === null ? {} : { "content-type": row.content_type };
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const options = { hostname, port, path: target, method: row.method, headers: { accept: "application/json", ...type, ...headers } };
    const asked = request(options, (answer) => {
      let text = "";
      answer.on("data", (chunk) => (text += chunk)).on("end", () => resolve({ status: answer.statusCode, text }));
    });
    asked.on("error", reject);
    asked.end(row.method === "POST" ? body : undefined);
  });
}

/** The rows that were not answered as they say, each with what was answered. */
async function wrongs(rows, ask) {
  const wrong = [];
  for (const row of rows) {
    const { status, text } = await ask(row);
    let found;
    try {
      const { error, field = null, hint, verdict } = JSON.parse(text);
      found = { status, code: error, field, verdict };
      assert.ok(hint?.length > 10);
    } catch {
      found = { status, text };
    }
    const expected = { status: row.status, code: row.code, field: row.field, verdict: "rejected" };
    if (JSON.stringify(found) !== JSON.stringify(expected)) wrong.push({ name: row.name, expected, found });
  }
  return wrong;
}

describe("bad input", () => {
  let databases, origin, edge;
  before(async () => {
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
    edge = await startEdge({ originUrl: origin.url });
  });
  after(async () => {
    await edge?.stop();
    await origin?.stop();
    databases?.remove();
  });

  test("the edge refuses every row with its status, code and field", async () => {
    // The generic endpoint is not open at the edge.
    const atTheEdge = rows.filter((row) => row.partner !== "s2s");
    assert.ok(atTheEdge.length > 250, `${atTheEdge.length} rows`);
    assert.deepEqual(await wrongs(atTheEdge, (row) => send(edge.url, row)), []);
  });

  test("the origin refuses every row with its status, code and field", async () => {
    const directly = (row) => {
      const target = row.target.startsWith("/postback") ? row.target : `/postback${row.target}`;
      return send(origin.url, row, { target, headers: { authorization: `Bearer ${TOKEN}` } });
    };
    assert.deepEqual(await wrongs(rows, directly), []);
  });

  test("nothing of it was stored", () => {
    for (const database of ["involve_asia_db", "rector_db", "s2s_db"]) {
      for (const table of ["postbacks", "events", "conversions"]) {
        assert.deepEqual(databases.rows(database, `select count(*) as n from ${table}`), [{ n: 0 }], `${database}.${table}`);
      }
    }
  });
});
