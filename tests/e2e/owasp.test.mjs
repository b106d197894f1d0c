// The OWASP API Security Top 10 of 2023, risk by risk, against a real origin (docs/security.md says what holds what). Requests go out
// byte by byte: no library mends a path or a header on the way.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { ask, ROOT } from "../../scripts/lib/run.mjs";
import { startEdge } from "./lib/edge.mjs";
import { BINARY, freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { send } from "./lib/raw.mjs";
import { involveA, rector, TOKEN } from "./lib/requests.mjs";
import { replay, startTunnel } from "./lib/tunnel.mjs";

const JSON_TYPE = { "content-type": "application/json" };
const bearer = (secret) => ({ authorization: `Bearer ${secret}` });

/** What stands in rector's database and must be seen with rector's key alone. */
const HIDDEN = "hidden-of-rector";

let databases, origin, keys;

/** A request as it is written here. */
const asked = (target, init = {}) => send(origin.url, { target, ...init });
/** The code of an answer, in JSON or text. */
const codeOf = ({ text }) => /^ERROR (\w+)/.exec(text)?.[1] ?? JSON.parse(text).error;

/** Runs a command of the origin beside it. */
function command(line) {
  const { status, stdout, stderr } = spawnSync(BINARY, line.split(" "), { cwd: ROOT, env: { ...process.env, ...databases.env }, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}
const made = (line) => JSON.parse(command(`${line} --json`));

/** Changes a database directly: what no command does, such as making a key older. */
function change(database, sql) {
  const program = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1], timeout=10); c.execute(sys.argv[2]); c.commit()";
  assert.notEqual(ask(process.env.TEST_PYTHON, ["-c", program, join(databases.env.DATA_DIR, `${database}.sqlite`), sql]), undefined);
}

/** Waits until a credential is known to the running origin. */
const opened = (target, secret) => until("the key", async () => (await asked(target, { headers: bearer(secret) })).status === 200, { everyMs: 200 });

before(async () => {
  databases = freshDatabases("sqlite");
  origin = await startOrigin(databases);
  for (let n = 0; n < 3; n++) {
    assert.equal((await asked(`/postback/rector/event?conversion_id=${HIDDEN}-${n}&usd_earning=77.77&ts_token=${TOKEN}`)).status, 200);
    assert.equal((await asked(`/postback/involve/event?${involveA(`ours-${n}`)}&ts_token=${TOKEN}`)).status, 200);
  }
  keys = {
    involve: made("keys create --tenant bytec --scope read --for-partner involve_asia").secret,
    rector: made("keys create --tenant bytec --scope read --for-partner rector").secret,
    operate: made("keys create --tenant bytec --scope operate").secret,
    token: made("tokens create --tenant bytec").secret,
  };
  await opened("/partner/involve/event/conversions", keys.involve);
  await opened("/partner/rector/event/conversions", keys.rector);
  await opened("/partner/rector/event/conversions", keys.operate);
});
after(async () => {
  await origin?.stop();
  databases?.remove();
});

describe("API1, object level: one partner's key", () => {
  test("opens nothing of another's, however the path is written", async () => {
    const paths = ["conversions", "stats", "postbacks", "rejections", "trace"].flatMap((about) => [
      `/partner/rector/event/${about}`,
      `/partner/rector/event/${about}?limit=1000`,
      `/partner/rector/event/${about}?partner=involve_asia`,
      `/partner/rector/event/${about}?tenant=bytec&endpoint=involve/event`,
      `/partner/rector/event/${about}/`,
      `/partner/rector/event/${about}%2f`,
      `/partner/rector/event/${about}%00`,
      `/partner/rector/event/${about};involve`,
      `/partner/rector/event//${about}`,
      `/partner/rector%2Fevent/${about}`,
      `/partner/rector%252Fevent/${about}`,
      `/partner/rector\\event/${about}`,
      `/partner/RECTOR/event/${about}`,
      `/partner/rector/Event/${about.toUpperCase()}`,
      `//partner/rector/event/${about}`,
      `/./partner/rector/event/${about}`,
      `/partner/involve/event/../../rector/event/${about}`,
      `/partner/involve/event/%2e%2e/%2e%2e/rector/event/${about}`,
      `/partner/involve/event/..%2f..%2frector/event/${about}`,
      `/partner/involve/event/${about}/../../../rector/event/${about}`,
      `/postback/rector/event/${about}`,
      `/rector/event/${about}`,
      `/partner/${about}`,
      `${origin.url}/partner/rector/event/${about}`,
    ]);
    const elsewhere = ["x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-path", "x-partner", "bytec-partner"];
    for (const path of paths) {
      for (const method of ["GET", "HEAD", "POST"]) {
        const reply = await asked(path, { method, headers: bearer(keys.involve) });
        assert.ok([400, 401, 403, 404, 405].includes(reply.status), `${method} ${path}: ${reply.status}`);
        assert.ok(!`${reply.text}${JSON.stringify(reply.headers)}`.includes(HIDDEN), `${method} ${path}`);
      }
    }
    for (const header of elsewhere) {
      const headers = { ...bearer(keys.involve), [header]: "/partner/rector/event/conversions" };
      const reply = await asked("/partner/involve/event/conversions", { headers });
      assert.deepEqual([reply.status, reply.text.includes(HIDDEN), reply.text.includes("ours-0")], [200, false, true], header);
    }
  });

  test("sees its own alone, whatever it asks for: another's cursor, ids, and what a database could take for a statement", async () => {
    const theirs = JSON.parse((await asked("/partner/rector/event/conversions?limit=1", { headers: bearer(keys.rector) })).text);
    assert.ok(theirs.conversions[0].conversion_id.startsWith(HIDDEN) && theirs.next_cursor);
    const words = [`${HIDDEN}-0`, "' or '1'='1", "x') union select * from conversions --", "%", "*", "../rector_db.sqlite"];
    const queries = [`cursor=${theirs.next_cursor}`, "", ...["click_id", "conversion_id", "account_id"].flatMap((name) => words.map((word) => `${name}=${encodeURIComponent(word)}`))];
    for (const query of queries) {
      for (const form of ["json", "csv"]) {
        const reply = await asked(`/partner/involve/event/conversions?format=${form}&${query}`, { headers: bearer(keys.involve) });
        assert.deepEqual([reply.status, reply.text.includes(HIDDEN), reply.text.includes("77.77")], [200, false, false], query);
      }
    }
    for (const word of words) {
      for (const question of ["trace?id", "postbacks?conversion_id", "postbacks?request_id", "rejections?click_id"]) {
        const reply = await asked(`/partner/involve/event/${question}=${encodeURIComponent(word)}`, { headers: bearer(keys.involve) });
        // An id is told again, and nothing that is stored under it elsewhere.
        assert.deepEqual([reply.status, reply.text.replaceAll(JSON.stringify(word), "").includes(HIDDEN), reply.text.includes("77.77")], [200, false, false], question);
      }
    }
    const filtered = JSON.parse((await asked(`/partner/involve/event/conversions?conversion_id=${encodeURIComponent("' or '1'='1")}`, { headers: bearer(keys.involve) })).text);
    assert.deepEqual(filtered.conversions, []);
  });
});

describe("API2, authentication", () => {
  const TARGET = "/partner/involve/event/conversions";
  /** An answer without what is new in each. */
  const said = ({ status, text }) => `${status} ${text.replace(/"request_id":"[^"]*"/, "")}`;

  test("what opens nothing gets one answer, whatever is wrong with it", async () => {
    const past = made("keys create --tenant bytec --scope read");
    const revoked = made("keys create --tenant bytec --scope read");
    for (const { secret } of [past, revoked]) await opened(TARGET, secret);
    change("bytec_db", `update credentials set expires_at = '2020-01-01T00:00:00.000000Z', created_at = '2019-01-01T00:00:00.000000Z' where credential_id = '${past.id}'`);
    command(`keys revoke ${revoked.id}`);
    for (const { secret } of [past, revoked]) {
      await until("its end", async () => (await asked(TARGET, { headers: bearer(secret) })).status === 403, { everyMs: 500, timeoutMs: 15_000 });
    }
    const flipped = keys.involve.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    const digest = databases.rows("bytec_db", "select digest from credentials limit 1")[0].digest;
    const wrong = [
      past.secret, revoked.secret, keys.rector, keys.token, TOKEN, flipped, keys.involve.slice(0, -1), `${keys.involve}0`,
      keys.involve.toUpperCase(), "bck_", `bck_${"0".repeat(64)}`, digest, `bck_${digest}`, "null", "undefined", `${keys.involve},${keys.involve}`,
      `${keys.involve} ${keys.involve}`,
    ];
    const answers = new Set();
    for (const secret of wrong) answers.add(said(await asked(TARGET, { headers: bearer(secret) })));
    assert.equal(answers.size, 1, [...answers].join("\n"));
    assert.match([...answers][0], /^403 \{"error":"key_invalid"/);
  });

  test("a key counts as bearer alone: not in the URL, a cookie, a body or another header", async () => {
    const key = keys.involve;
    const nowhere = [
      [`${TARGET}?key=${key}`, {}], [`${TARGET}?api_key=${key}`, {}], [`${TARGET}?access_token=${key}`, {}], [`${TARGET}?ts_token=${key}`, {}],
      [TARGET, { headers: { cookie: `authorization=Bearer ${key}; key=${key}` } }], [TARGET, { headers: { "x-api-key": key } }],
      [TARGET, { headers: { authorization: key } }], [TARGET, { headers: { authorization: `Basic ${Buffer.from(`${key}:`).toString("base64")}` } }],
      [TARGET, { headers: { authorization: `Token ${key}` } }], [TARGET, { headers: { "proxy-authorization": `Bearer ${key}` } }],
      [TARGET, { headers: { authorization: "Bearer" } }], [TARGET, { headers: { authorization: "Bearer " } }], [TARGET, {}],
      [TARGET, { headers: { "content-type": "application/json" }, body: JSON.stringify({ key, authorization: `Bearer ${key}` }) }],
    ];
    for (const [target, init] of nowhere) {
      const reply = await asked(target, init);
      assert.deepEqual([reply.status, codeOf(reply), reply.headers["www-authenticate"]], [401, "key_missing", "Bearer"], `${target} ${JSON.stringify(init)}`);
    }
  });

  test("two Authorization headers are none: whoever stands between may read the other one", async () => {
    const values = [`Bearer ${keys.involve}`, `Bearer bck_${"0".repeat(64)}`, "Basic eDp5"];
    for (const pair of values.flatMap((first) => values.map((second) => [first, second]))) {
      const reply = await asked(TARGET, { headers: { authorization: pair } });
      assert.deepEqual([reply.status, codeOf(reply)], [401, "key_missing"], pair.join(" + "));
    }
    for (const second of [`Bearer ${TOKEN}`, "Bearer wrong"]) {
      const reply = await asked(`/postback/rector/event?${rector(uniqueId())}`, { headers: { authorization: [`Bearer ${TOKEN}`, second] } });
      assert.deepEqual([reply.status, codeOf(reply)], [401, "token_missing"], second);
    }
  });
});

describe("API3, mass assignment", () => {
  test("what is ours to say is not a sender's, in names, bodies or headers", async () => {
    const id = uniqueId();
    const ours = {
      received_at: "2001-01-01T00:00:00Z", created_at: "2001-01-01T00:00:00Z", updated_at: "2001-01-01T00:00:00Z", verdict: "rejected",
      partner: "involve_asia", tenant: "other", database: "involve_asia_db", is_duplicate: true, is_processed: true, processing_error: "theirs",
      revision: 9, occurrence: 9, conversion_key: "theirs", auth_mode: "signature", key_id: "theirs", client_ip: "203.0.113.9", request_id: "theirs",
      nonce: "theirs", receipt_id: "theirs", warnings: "[]", fx_rate: "99", reporting_payout: "9999.00", attribution: "theirs", deposit: "first",
      findings: "[]", kind: "theirs", __proto__x: "theirs", "constructor.prototype": "theirs",
    };
    const headers = {
      "bytec-event-id": "theirs", "bytec-received-at": "2001-01-01T00:00:00Z", "bytec-auth": "edge", "bytec-client-ip": "203.0.113.9",
      "bytec-request-id": "A".repeat(22), "bytec-verdict": "created", "bytec-original-target": "/theirs", "x-forwarded-for": "203.0.113.9",
      "cf-connecting-ip": "203.0.113.9", "true-client-ip": "203.0.113.9", "x-real-ip": "203.0.113.9", forwarded: "for=203.0.113.9",
      "x-http-method-override": "DELETE",
    };
    const began = new Date(Date.now() - 1_000).toISOString();
    const body = JSON.stringify({ conversion_id: id, usd_earning: "1.50", event: "deposit", is_ftd: false, ...ours });
    const reply = await asked("/postback/rector/event", { method: "POST", headers: { ...JSON_TYPE, ...bearer(TOKEN), ...headers }, body });
    assert.equal(reply.status, 200, reply.text);
    const told = JSON.parse(reply.text);
    assert.deepEqual([told.verdict, /^evt_[0-9a-f]{32}$/.test(told.event_id)], ["created", true]);
    assert.notEqual(told.request_id, headers["bytec-request-id"]);
    const [stored] = databases.rows("rector_db", `select * from conversions where conversion_id = '${id}'`);
    const [receipt] = databases.rows("rector_db", `select * from postbacks where body like '%${id}%'`);
    assert.ok(stored.received_at > began && receipt.received_at > began, "our clock");
    assert.deepEqual([receipt.auth_mode, receipt.client_ip, receipt.request_id === told.request_id], ["token", "127.0.0.1", true]);
    assert.deepEqual([stored.is_duplicate, `${stored.usd_payout}`, receipt.target], [0, "1.50", "/postback/rector/event"]);
    for (const [name, value] of Object.entries(stored)) assert.ok(!`${value}`.includes("theirs"), `${name}: ${value}`);
    assert.equal(databases.rows("involve_asia_db", `select count(*) as n from conversions where conversion_id = '${id}'`)[0].n, 0);
  });

  test("an id of the kind that we make, a signature without a key: refused, nothing stored", async () => {
    const count = () => databases.rows("rector_db", "select count(*) as n from conversions")[0].n;
    const before = count();
    for (const [more, status, code] of [
      [`&event_id=evt_${"0".repeat(32)}`, 400, "invalid_id"], ["&conversion_id=event:x", 400, "duplicate_param"],
      ["&_sig=sha256=00", 403, "signature_invalid"], ["&_kid=a&_ts=1&_nonce=n&_sig=x", 403, "signature_invalid"],
    ]) {
      const reply = await asked(`/postback/rector/event?${rector(uniqueId())}${more}&ts_token=${TOKEN}`);
      assert.deepEqual([reply.status, codeOf(reply)], [status, code], more);
    }
    assert.equal(count(), before);
  });
});

describe("API4, resources", () => {
  const post = (more) => asked("/postback/rector/event", { method: "POST", ...more, headers: { ...JSON_TYPE, ...bearer(TOKEN), ...more.headers } });

  test("each limit holds, before anything is stored", async () => {
    const before = databases.rows("rector_db", "select count(*) as n from conversions")[0].n;
    const deep = `{"a":${"[".repeat(9)}${"]".repeat(9)}}`;
    const many = Array.from({ length: 65 }, (_, n) => `p${n}=1`).join("&");
    const get = (query) => asked(`/postback/rector/event?${query}`, { headers: bearer(TOKEN) });
    const page = (query) => asked(`/partner/rector/event/conversions?${query}`, { headers: bearer(keys.rector) });
    for (const [what, reply, status, code] of [
      ["a long URL", get(`conversion_id=a&x=${"a".repeat(8_200)}`), 414, "url_too_long"],
      ["many parameters", get(many), 400, "too_many_params"],
      ["a long name", get(`${"n".repeat(65)}=1`), 400, "name_too_long"],
      ["a long value", get(`conversion_id=${"a".repeat(1_025)}`), 400, "value_too_long"],
      ["a large body, announced", post({ body: " ".repeat(65_537) }), 413, "body_too_large"],
      ["a large body, in pieces", post({ chunks: Array.from({ length: 20 }, () => " ".repeat(4_096)) }), 413, "body_too_large"],
      ["a body without an end", post({ chunks: Array.from({ length: 20 }, () => " ".repeat(4_096)), endless: true }), 413, "body_too_large"],
      ["a body that stands still", post({ chunks: ["{"], endless: true }), 400, "body_incomplete"],
      ["a deep body", post({ body: deep }), 400, "json_too_deep"],
      ["a compressed body", post({ body: "x", headers: { "content-encoding": "gzip" } }), 415, "unsupported_encoding"],
      ["a large page", page("limit=1001"), 400, "invalid_limit"],
      ["a page below zero", page("limit=-1"), 400, "invalid_limit"],
      ["a large number", page(`limit=${"9".repeat(40)}`), 400, "invalid_limit"],
      ["ten years by the day", asked("/partner/rector/event/stats?from=2015-01-01&to=2025-01-01", { headers: bearer(keys.rector) }), 400, "invalid_range"],
      ["a long question", page(`click_id=${"a".repeat(8_200)}`), 414, "url_too_long"],
    ]) {
      const answer = await reply;
      assert.deepEqual([answer.status, codeOf(answer)], [status, code], what);
    }
    assert.equal(databases.rows("rector_db", "select count(*) as n from conversions")[0].n, before);
  });

  test("a head that does not come to its end is hung up on", async () => {
    const began = Date.now();
    const { hostname, port } = new URL(origin.url);
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    socket.write("GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ");
    const trickle = setInterval(() => socket.writable && socket.write("a"), 500);
    await new Promise((resolve) => socket.on("close", resolve));
    clearInterval(trickle);
    assert.ok(Date.now() - began < 10_000);
  });

  test("requests that hold places are one partner's trouble: the others are served, and it recovers", async () => {
    const head = `POST /postback/rector/event HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\ncontent-type: application/json\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{`;
    const held = [];
    // Opens connections until one request is refused: a slow machine accepts them late, and drops the first after five seconds.
    const full = async () => {
      if (codeOf(await post({ body: "{}" })) === "overloaded") return true;
      for (let n = 0; n < 20 && held.length < 1_000; n++) held.push(await slowly(head));
      return false;
    };
    await until("the concurrency limit", full, { everyMs: 20 });
    const other = await asked(`/postback/involve/event?${involveA(uniqueId())}&ts_token=${TOKEN}`);
    assert.deepEqual([other.status, other.text], [200, "OK"]);
    const codes = new Set((await Promise.all(held.map(({ answer }) => answer))).map((text) => /"error":"(\w+)"/.exec(text)?.[1]));
    codes.delete("overloaded");
    assert.deepEqual([...codes], ["body_incomplete"]);
    assert.equal((await asked(`/postback/rector/event?${rector(uniqueId())}&ts_token=${TOKEN}`)).status, 200);
  });

  test("whoever proves nothing holds no place and is not waited for", async () => {
    const began = Date.now();
    const reply = await asked("/postback/rector/event", { method: "POST", headers: { ...JSON_TYPE, ...bearer("wrong") }, chunks: ["{"], endless: true });
    assert.deepEqual([reply.status, codeOf(reply)], [403, "token_invalid"]);
    assert.ok(Date.now() - began < 2_000);
  });
});

describe("API5, functions", () => {
  test("what sends does not read, what reads does not send, and neither is the edge", async () => {
    for (const secret of [keys.involve, keys.operate]) {
      const reply = await asked(`/postback/involve/event?${involveA(uniqueId())}`, { headers: bearer(secret) });
      assert.deepEqual([reply.status, codeOf(reply)], [403, "token_invalid"]);
    }
    for (const secret of [keys.token, TOKEN]) {
      const reply = await asked("/partner/involve/event/stats", { headers: bearer(secret) });
      assert.deepEqual([reply.status, codeOf(reply)], [403, "key_invalid"]);
    }
    for (const target of ["/smoke/rector/event", "/smoke", "/clicks/rector", "/clicks/s2s"]) {
      for (const secret of [TOKEN, keys.token, keys.operate, undefined]) {
        const reply = await asked(target, { method: "POST", headers: secret ? bearer(secret) : {}, body: "{}" });
        assert.deepEqual([reply.status, codeOf(reply)], [403, "signature_invalid"], target);
      }
    }
  });

  test("a method that is not there is refused, whatever stands in a header", async () => {
    for (const [target, methods] of [
      ["/health", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "CONNECTX"]],
      ["/postback/rector/event", ["PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND"]],
      ["/partner/rector/event/conversions", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"]],
    ]) {
      for (const method of methods) {
        const raw = await rawly(`${method} ${target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${keys.rector}\r\nx-http-method-override: GET\r\nx-echo: echoed\r\nconnection: close\r\n\r\n`);
        assert.match(raw, /^HTTP\/1\.1 405 [^]*\r\nallow: GET, HEAD/i, `${method} ${target}`);
        assert.ok(!raw.includes("echoed") && !/access-control-/i.test(raw), `${method} ${target}`);
      }
    }
  });
});

/** A connection on which a request has begun, and what will be answered. */
function slowly(bytes) {
  const { hostname, port } = new URL(origin.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(bytes);
      let text = "";
      resolve({ answer: new Promise((done) => socket.on("data", (chunk) => (text += chunk)).on("close", () => done(text))) });
    });
    socket.on("error", reject);
  });
}

/** Bytes as they are, and what is answered until the other side hangs up. */
function rawly(bytes) {
  const { hostname, port } = new URL(origin.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let text = "";
    socket.on("data", (chunk) => (text += chunk)).on("close", () => resolve(text)).on("error", reject);
    socket.write(bytes);
  });
}

describe("API6 and API7, through the edge", () => {
  let tunnel, edge, listener, visits;
  before(async () => {
    tunnel = await startTunnel(origin.url);
    edge = await startEdge({ originUrl: tunnel.url });
    visits = [];
    listener = createServer((request, reply) => {
      visits.push(request.url);
      reply.end();
    });
    await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  });
  after(async () => {
    await edge?.stop();
    await tunnel?.stop();
    listener?.close();
  });

  test("a request of the edge's counts once: sent again as it was, it is a replay, and changed, it is no one's", async () => {
    const id = uniqueId();
    assert.equal((await edge.fetch(`/rector/event?${rector(id)}`)).status, 200);
    const captured = tunnel.requests.at(-1);
    for (let n = 0; n < 3; n++) {
      const again = await replay(origin.url, captured);
      assert.deepEqual([again.status, JSON.parse(`${again.body}`).error], [409, "replay"]);
    }
    const changed = await replay(origin.url, { ...captured, target: captured.target.replace("9.99", "9999.99") });
    assert.deepEqual([changed.status, JSON.parse(`${changed.body}`).error], [403, "signature_invalid"]);
    for (let n = 0; n < 3; n++) assert.equal((await (await edge.fetch(`/rector/event?${rector(id)}`)).json()).verdict, "duplicate");
    const rows = databases.rows("rector_db", `select usd_payout, revision from conversions where conversion_id = '${id}'`);
    assert.deepEqual(rows, [{ usd_payout: rows[0].usd_payout, revision: 1 }]);
    assert.match(`${rows[0].usd_payout}`, /^9\.99/);
  });

  test("nothing that is sent makes us ask anybody anything, and clicks lead where the configuration says", async () => {
    const url = `http://127.0.0.1:${listener.address().port}/fetched`;
    const names = [
      "url", "uri", "callback", "callback_url", "postback_url", "redirect", "redirect_uri", "next", "return", "webhook", "src", "dest", "host", "landing",
      "offer_name", "campaign", "sub_id", "media_id", "device", "geo", "referrer", "utm_source",
    ];
    const query = names.map((name) => `${name}=${encodeURIComponent(url)}`).join("&");
    const headers = {
      referer: url, origin: url, forwarded: `host=${new URL(url).host}`, "x-forwarded-host": new URL(url).host, "x-forwarded-proto": "http", "x-callback": url,
      from: url, link: `<${url}>; rel=preload`, "x-original-url": url,
    };
    const body = JSON.stringify({ conversion_id: uniqueId(), ...Object.fromEntries(names.map((name) => [name, url])), $ref: url, "@context": url });
    const before = tunnel.requests.length;
    for (const target of ["/rector/event", "/postback/rector/event"]) {
      assert.equal((await edge.fetch(`${target}?conversion_id=${uniqueId()}&${query}`, { headers })).status, 200);
      assert.equal((await edge.fetch(target, { method: "POST", headers: { ...headers, ...JSON_TYPE }, body })).status, 200);
    }
    assert.ok(tunnel.requests.length > before, "the tunnel sees what the edge asks");
    const direct = await asked("/postback/rector/event", { method: "POST", headers: { ...headers, ...bearer(TOKEN), ...JSON_TYPE }, body });
    assert.equal(direct.status, 200, direct.text);
    for (const offer of ["example", `example/../${encodeURIComponent(url)}`, encodeURIComponent(url)]) {
      const reply = await edge.fetch(`/click/${offer}?${query}`, { headers });
      const location = reply.headers.get("location");
      assert.ok(location === null ? reply.status === 404 : new URL(location).origin === "https://example.com", `${offer}: ${location}`);
    }
    // Processed, too: that is when something could be looked up.
    const left = () => databases.rows("rector_db", "select count(*) as n from conversions where is_processed = 0")[0].n;
    await until("processing", async () => left() === 0);
    assert.deepEqual(visits, []);
  });

  test("the edge's operations want an operator", async () => {
    for (const token of ["wrong", TOKEN, keys.operate, keys.involve]) {
      for (const target of ["parked", "parked/x", "smoke", "nothing"]) {
        const { status } = await edge.ops(target, { token });
        assert.equal(status, 403, `${target} ${token.slice(0, 4)}`);
      }
    }
  });
});

describe("API8 and API9, configuration and inventory", () => {
  test("every answer has the headers, and none says what it is made of", async () => {
    const targets = [
      "/health", "/ready", "/info", "/openapi.json", "/docs", "/", "/nothing", "/postback", "/postback/rector/event", "/partner/rector/event/stats", "/smoke",
      "/clicks/x", "/partner/rector/event/conversions?format=csv", "/%00", "/postback/rector/event?conversion_id=%ff",
    ];
    for (const target of targets) {
      for (const [method, headers] of [["GET", {}], ["HEAD", {}], ["POST", {}], ["GET", bearer(keys.rector)], ["GET", bearer(TOKEN)], ["DELETE", {}]]) {
        const reply = await asked(target, { method, headers });
        const where = `${method} ${target}: ${reply.status}`;
        assert.equal(reply.headers["cache-control"], "no-store", where);
        assert.equal(reply.headers["x-content-type-options"], "nosniff", where);
        assert.equal(reply.headers["x-frame-options"], "DENY", where);
        assert.equal(reply.headers["referrer-policy"], "no-referrer", where);
        assert.match(reply.headers["content-security-policy"], /^default-src 'none';.*frame-ancestors 'none'/, where);
        for (const name of ["server", "x-powered-by", "via", "set-cookie", "access-control-allow-origin"]) assert.equal(reply.headers[name], undefined, `${where} ${name}`);
        if (reply.status >= 400) assert.doesNotMatch(reply.text, /\.rs\b|panick|sqlx|sqlite|select |\/(?:home|root|usr|tmp)\/|bytec-origin|\d+\.\d+\.\d+/i, where);
        assert.ok(!/unsafe/.test(reply.headers["content-security-policy"]), where);
      }
    }
  });

  test("there is nothing to be found that is in no list", async () => {
    const guesses = [
      "/debug", "/debug/pprof", "/admin", "/dashboard", "/actuator", "/actuator/env", "/console", "/status", "/env", "/config", "/.env", "/.git/config", "/graphql",
      "/swagger", "/swagger-ui", "/api", "/api/v1", "/v1", "/openapi.yaml", "/openapi", "/docs/", "/docs/index.html", "/test", "/internal", "/server-status", "/data/rector_db.sqlite",
      "/partner", "/partner/", "/postback/", "/clicks", "/clicks/", "/wp-login.php", "/favicon.ico", "/robots.txt", "/__scheduled", "/cdn-cgi/mf/scheduled",
    ];
    for (const target of guesses) {
      const reply = await asked(target, { headers: bearer(keys.operate) });
      assert.deepEqual([reply.status, codeOf(reply)], [404, "partner_not_found"], target);
    }
  });
});

describe("API10, what others say", () => {
  const evil = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'; drop table conversions; --", "a\u2028b", "%0d%0aset-cookie: x=1"];

  test("comes back as text: no formula in a table, no markup, no header", async () => {
    const ids = [];
    for (const word of evil) {
      ids.push(uniqueId());
      const body = JSON.stringify({ conversion_id: ids.at(-1), offer_name: word, campaign: word, sub_id: word, usd_earning: "1.00" });
      const reply = await asked("/postback/rector/event", { method: "POST", headers: { ...JSON_TYPE, ...bearer(TOKEN) }, body });
      assert.equal(reply.status, 200, `${word}: ${reply.text}`);
      const page = await asked(`/partner/rector/event/conversions?conversion_id=${ids.at(-1)}`, { headers: bearer(keys.rector) });
      assert.deepEqual([page.headers["content-type"], JSON.parse(page.text).conversions[0].offer_name], ["application/json", word]);
      const table = await asked(`/partner/rector/event/conversions?format=csv&conversion_id=${ids.at(-1)}`, { headers: bearer(keys.rector) });
      assert.equal(table.headers["content-type"], "text/csv; charset=utf-8");
      assert.doesNotMatch(table.text.split("\r\n")[1], /(?:^|,|,")[=+@]|(?:^|,|,")-[^0-9]|(?:^|,|,")-\d+[^\d.,]/, word);
      assert.equal(table.headers["set-cookie"], undefined);
    }
  });

  test("a name is repeated in an error where it is plain, and not where it could be more", async () => {
    for (const name of ["<script>", "a\"b", "x y", "=1", "é"]) {
      const reply = await asked(`/postback/rector/event?conversion_id=a&${encodeURIComponent(name)}%ff=1&ts_token=${TOKEN}`);
      assert.equal(reply.status, 400);
      assert.ok(!reply.text.includes(name), reply.text);
      assert.equal(reply.headers["content-type"], "application/json");
    }
  });
});
