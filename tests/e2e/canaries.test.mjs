// Nothing of what is sent to us, or of what we keep secret, is told to anybody who has not stored it: not in logs, at any level, not on
// pages that anybody may look at, not in errors. Every place of a request that can hold a value gets one that stands nowhere else, and all
// that edge and origin say is searched for all of them. An event's id is the name by which we speak of it, and may be told.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { freePort, Running, until } from "../../scripts/lib/processes.mjs";
import { startEdge } from "./lib/edge.mjs";
import { BINARY, freshDatabases, uniqueId } from "./lib/origin.mjs";
import { bytecV1, nowS } from "./lib/proofs.mjs";
import { send } from "./lib/raw.mjs";
import { TOKEN } from "./lib/requests.mjs";

const FORM = { "content-type": "application/x-www-form-urlencoded" };
const JSON_TYPE = { "content-type": "application/json" };
const TEXTS = [
  "click_id", "original_event_id", "order_id", "media_id", "sub_id", "aff_sub", "aff_sub2", "aff_sub3", "aff_sub4", "aff_sub5", "offer_id", "offer_name", "account_id", "install_id",
  "session_id", "campaign", "creative_id", "payment_method", "geo", "device", "consent_version", "event",
];
const OTHERS = ["usd_sale_amount", "usd_payout", "payout", "sale_amount", "currency", "status", "is_ftd", "ts_event", "conversion_datetime"];
const HEADERS = [
  "user-agent", "referer", "cookie", "x-forwarded-for", "x-real-ip", "forwarded", "via", "origin", "accept-language", "x-request-id", "traceparent", "x-anything",
  "cf-access-client-id", "cf-access-client-secret", "proxy-authorization", "if-none-match", "x-api-key", "prefer",
];
const EDGE_HEADERS = [
  "bytec-event-id", "bytec-received-at", "bytec-auth", "bytec-client-ip", "bytec-original-target", "bytec-request-id", "content-digest", "signature-input", "signature",
];

/** Values that stand nowhere else, and where each was put. */
const canaries = new Map();
const random = () => randomBytes(7).toString("hex");
const canary = (where) => {
  const value = `cny${random()}`;
  canaries.set(value, where);
  return value;
};
/** Of names: an error repeats the name at fault. */
const nameCanaries = new Set();
const canaryName = (where) => {
  const value = canary(`the name of ${where}`);
  nameCanaries.add(value);
  return value;
};
const filled = (names, where) => Object.fromEntries(names.map((name) => [name, canary(`${name} of ${where}`)]));
const query = (values) => new URLSearchParams(values).toString();
const hex = (where) => {
  const value = randomBytes(32).toString("hex");
  canaries.set(value, where);
  return value;
};

/** The canaries in a text. */
function found(text) {
  const lower = text.toLowerCase();
  return [...canaries].filter(([value]) => lower.includes(value)).map(([value, where]) => `${where} (${value})`);
}

/** One request for each way to be taken, refused or broken, at these paths. */
function* requests(prefix, { token, keyHex }) {
  const endpoint = `${prefix}/rector/event`;
  for (const method of ["GET", "POST form", "POST JSON"]) {
    const where = `${method} ${prefix || "edge"}`;
    const shaped = (values, more = "") => {
      if (method === "GET") return { target: `${endpoint}?${query(values)}${more}` };
      const isForm = method === "POST form";
      return { method: "POST", target: `${endpoint}?${more.slice(1)}`, headers: isForm ? FORM : JSON_TYPE, body: isForm ? query(values) : JSON.stringify(values) };
    };
    const proof = { authorization: `Bearer ${token}` };
    const with_ = (request, headers) => ({ ...request, headers: { ...request.headers, ...headers } });
    const good = () => ({ conversion_id: canary(`conversion_id of ${where}`), usd_payout: "1.00" });

    // Taken.
    const all = { ...good(), ...filled(TEXTS, where), [canaryName("a parameter")]: canary(`an unknown parameter of ${where}`) };
    yield with_(shaped(all), { ...proof, ...filled(HEADERS, where) });
    yield with_(shaped(all), proof);
    yield with_(shaped({ ...all, usd_payout: "2.00" }), proof);
    yield shaped(good(), `&ts_token=${token}`);
    // One event by one id with two contents.
    const id = uniqueId();
    for (const amount of ["1.00", "2.00"]) yield with_(shaped({ ...good(), event_id: id, usd_payout: amount }), proof);

    // Refused: each proof is wrong.
    const unproven = [
      { authorization: `Bearer ${canary("a bearer")}` }, { authorization: `Basic ${canary("basic credentials")}` }, { authorization: canary("a scheme") },
      { authorization: [`Bearer ${canary("one of two bearers")}`, `Bearer ${canary("the other bearer")}`] },
      { authorization: `Bearer ${["header", "claims", "mac"].map((part) => canary(`a token's ${part}`)).join(".")}` },
      { ...proof, ...filled(["x-key-id", "x-timestamp", "x-nonce", "x-signature", "x-signature-profile"], where) },
      { ...proof, "x-key-id": canary("a key id"), "x-timestamp": `${nowS()}`, "x-nonce": canary("a nonce").padEnd(22, "a"), "x-signature": `sha256=${hex("a signature")}` },
      { ...proof, ...filled(EDGE_HEADERS, where) }, { ...proof, signature: canary("a signature") },
    ];
    for (const headers of unproven) yield with_(shaped(good()), headers);
    yield shaped(good(), `&ts_token=${canary("a token in the query")}`);
    yield shaped(good(), `&ts_token=${token}&${query(filled(["_kid", "_ts", "_nonce", "_sig"], where))}`);
    yield { ...shaped(good()), target: `${endpoint}/${canary("a path key")}?ts_token=${token}` };

    // Read and refused: each value is none.
    for (const name of OTHERS) yield with_(shaped({ ...good(), [name]: canary(`${name} of ${where}`) }), proof);
    for (const name of ["conversion_id", "click_id"]) yield with_(shaped({ ...good(), [name]: `${canary(`a long ${name}`)}${"a".repeat(200)}` }), proof);
    yield with_(shaped({ ...good(), campaign: `${canary("a line")}\n${canary("a second line")}` }), proof);
    yield with_(shaped({ ...good(), campaign: `${canary("damage")}\ufffd` }), proof);
    yield with_(shaped({ ...good(), campaign: canary("a long value").padEnd(5_000, "b") }), proof);
    yield with_(shaped({ ...good(), [`${canaryName("a long name")}${"n".repeat(80)}`]: canary("a value") }), proof);
    yield with_(shaped({ campaign: canary("what has no conversion_id") }), proof);
    yield with_(shaped({ ...good(), usd_earning: "3.00", campaign: canary("beside a conflict") }), proof);
    yield with_(shaped({ ...good(), conversion_id: `{${canary("a macro")}}` }), proof);
  }

  // Broken.
  const proof = { authorization: `Bearer ${token}` };
  yield { target: `${endpoint}?conversion_id=${canary("beside bad percent")}%zz`, headers: proof };
  yield { target: `${endpoint}?conversion_id=${canary("beside bad UTF-8")}%ff`, headers: proof };
  yield { target: `${endpoint}?a=${canary("one of two")}&a=${canary("two of two")}`, headers: proof };
  yield { target: `${endpoint}?conversion_id=${canary("a long URL").padEnd(9_000, "c")}`, headers: proof };
  yield { target: `/${canary("a path")}/${canary("more of a path")}?${canaryName("q")}=${canary("the query of no path")}`, headers: proof };
  yield { target: `${endpoint}/%2e%2e/${canary("a path that climbs")}`, headers: proof };
  const post = (body, headers) => ({ method: "POST", target: endpoint, headers: { ...proof, ...headers }, body });
  yield post(`{"conversion_id":"${canary("broken JSON")}"`, JSON_TYPE);
  yield post(`{"conversion_id":"${canary("JSON and more")}"} ${canary("behind JSON")}`, JSON_TYPE);
  yield post(`{"conversion_id":["${canary("a list")}"]}`, JSON_TYPE);
  yield post(`{"x":${"[".repeat(12)}"${canary("deep JSON")}"${"]".repeat(12)}}`, JSON_TYPE);
  yield post(canary("a large body").padEnd(70_000, "d"), FORM);
  yield post(canary("a text"), { "content-type": `text/${canary("a media type")}` });
  yield post(canary("a compressed body"), { ...FORM, "content-encoding": canary("an encoding") });
  yield post(`conversion_id=${canary("beside a charset")}`, { "content-type": `application/x-www-form-urlencoded; charset=${canary("a charset")}` });
  yield { target: `${endpoint}?conversion_id=${canary("for an Accept")}`, headers: { ...proof, accept: `application/${canary("an Accept")}` } };
  yield { target: `${endpoint}?conversion_id=${canary("for a method")}`, method: "DELETE", headers: proof };
  yield { target: `${endpoint}?conversion_id=${canary("for a probe")}`, method: "HEAD", headers: { ...proof, cookie: canary("a probe's cookie") } };

  // Signed rightly, and with another's code.
  const pairs = [["conversion_id", canary("a signed conversion_id")], ["usd_earning", "1.00"]];
  const signed = { keyId: "k1", timestamp: nowS(), nonce: randomBytes(16).toString("base64url"), method: "GET", path: endpoint, pairs };
  const headers = { ...proof, "x-key-id": "k1", "x-timestamp": `${signed.timestamp}`, "x-nonce": signed.nonce };
  const right = bytecV1({ ...signed, keyHex });
  canaries.set(right.split("=")[1], "a right signature");
  yield { target: `${endpoint}?${query(pairs)}`, headers: { ...headers, "x-signature": right } };
  yield { target: `${endpoint}?${query(pairs)}`, headers: { ...headers, "x-signature": `sha256=${hex("a wrong signature")}` } };
}

/** What is asked of the origin alone. */
function* questions(key) {
  const headers = { authorization: `Bearer ${key}` };
  for (const about of ["stats", "conversions", "postbacks", "rejections", "trace"]) {
    const target = `/partner/rector/event/${about}`;
    yield { target, headers: { authorization: `Bearer ${canary("an API key")}` } };
    yield { target: `${target}?key=${canary("an API key in the query")}` };
    for (const name of ["from", "to", "tz", "format", "interval", "event", "status", "click_id", "conversion_id", "account_id", "limit", "cursor", "verdict", "code", "via", "authenticated", "request_id", "event_id", "order_id", "id", "x"]) {
      const value = canary(`${name} of a question`);
      // An answer to who may read is no leak.
      yield { target: `${target}?${name}=${value}`, headers: { ...headers, accept: canary("a question's Accept"), cookie: canary("a question's cookie") } };
    }
    yield { target: `${target}?${canaryName("a question's parameter")}=${canary("an unknown question")}%zz`, headers };
    yield { target, method: "PUT", headers, body: canary("a body that nobody reads") };
  }
  for (const target of ["/smoke/rector/event", "/clicks/rector", `/clicks/${canary("a partner's code")}`]) {
    yield { target, method: "POST", headers: { ...filled(EDGE_HEADERS, target), authorization: `Bearer ${canary("the edge's bearer")}` }, body: canary("a batch") };
  }
  for (const target of ["/health", "/ready", "/info", "/openapi.json", "/docs"]) {
    yield { target: `${target}?${canaryName("a page's query")}=${canary("a page's value")}`, headers: filled(HEADERS, target) };
    yield { target, method: "POST", headers: filled(HEADERS, target), body: canary("a page's body") };
  }
}

/** Bytes that are no HTTP. */
function broken(url) {
  const { hostname, port } = new URL(url);
  const texts = [
    `GET /${canary("a raw path")} HTTP/9.9\r\n\r\n`, `${canary("a raw method").toUpperCase()} / HTTP/1.1\r\nhost: ${canary("a raw host")}\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: x\r\n${canary("a header without a colon")}\r\n\r\n`, `GET /\u0001${canary("a raw control")} HTTP/1.1\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: x\r\nx-large: ${canary("a large header").padEnd(500_000, "e")}\r\n\r\n`,
    `POST /postback/rector/event HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\ntransfer-encoding: chunked\r\n\r\n${canary("no chunk")}\r\n`,
    `POST /postback/rector/event HTTP/1.1\r\nhost: x\r\ncontent-length: ${canary("no length")}\r\n\r\n`,
  ];
  return Promise.all(texts.map((bytes) => new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.end(bytes));
    let text = "";
    socket.setTimeout(8_000, () => socket.destroy());
    socket.on("data", (chunk) => (text += chunk)).on("error", () => {}).on("close", () => resolve(text));
  })));
}

// The usual one, and the one that has everything.
for (const level of ["info,sqlx=warn", "trace"]) {
  describe(`with LOG=${level}`, () => {
    const spoken = [];
    const answers = [];
    let databases, origin, edge, url, secrets;

    before(async () => {
      canaries.clear();
      nameCanaries.clear();
      databases = freshDatabases("sqlite");
      const port = await freePort();
      url = `http://127.0.0.1:${port}`;
      secrets = { token: canary("the tenant's token").padEnd(40, "f"), keyHex: hex("the partner's key") };
      const env = {
        ENVIRONMENT: "development", ORIGIN_BIND: `127.0.0.1:${port}`, LOG: level, RUST_BACKTRACE: "1", ...databases.env,
        TENANT_TOKENS: `bytec=${secrets.token}`, PARTNER_KEYS: `rector=k1:${secrets.keyHex}`,
      };
      origin = new Running("origin", BINARY, ["serve"], { env, onLine: (line) => spoken.push(line) });
      await until("the origin", async () => (await (await fetch(`${url}/health`)).json()).status === "healthy", { running: [origin] });
      const made = spawnSync(BINARY, ["keys", "create", "--tenant", "bytec", "--scope", "read", "--json"], { env: { ...process.env, ...env }, encoding: "utf8" });
      secrets.key = JSON.parse(made.stdout).secret;
      canaries.set(secrets.key, "the API key");
      const bindings = { TENANT_TOKENS: `bytec=${secrets.token}`, PARTNER_KEYS: `rector=k1:${secrets.keyHex}`, OPERATOR_TOKENS: `ann=${canary("the operator's token").padEnd(40, "a")}` };
      edge = await startEdge({ originUrl: url, bindings });
    });
    /** Both, so that what they say is complete. */
    const stop = async () => {
      const running = [edge, origin];
      [edge, origin] = [undefined, undefined];
      for (const each of running) await each?.stop();
    };
    after(async () => {
      await stop();
      databases?.remove();
    });

    const ask = async (base, request) => {
      const reply = await send(base, request);
      // Who may read is answered with what was asked for.
      const isData = reply.status === 200 && /^\/partner\/.*(?:stats|conversions|postbacks|rejections|trace)/.test(request.target);
      answers.push({ request, status: reply.status, text: isData ? "" : reply.text, headers: JSON.stringify(isData ? {} : reply.headers) });
      return reply.status;
    };

    test("the origin tells nobody anything of what it was sent", async () => {
      const statuses = new Set();
      for (const prefix of ["/postback", "/partner"]) for (const request of requests(prefix, secrets)) statuses.add(await ask(url, request));
      for (const request of questions(secrets.key)) statuses.add(await ask(url, request));
      for (const status of [200, 400, 401, 403, 404, 405, 409, 413, 414, 415]) assert.ok(statuses.has(status), `no ${status} among ${[...statuses]}`);
      answers.push(...(await broken(url)).map((text) => ({ request: "raw", status: 0, text, headers: "" })));
    });

    test("nor does the edge", async () => {
      const statuses = new Set();
      for (const prefix of ["", "/postback"]) for (const request of requests(prefix, secrets)) statuses.add(await ask(edge.url, request));
      for (const status of [200, 400, 403, 404, 405, 409, 413, 414, 415]) assert.ok(statuses.has(status), `no ${status} among ${[...statuses]}`);
      const operator = { authorization: `Bearer ${canary("no operator's token")}` };
      for (const target of [`parked?partner=${canary("a filter")}`, `parked/${canary("a parked id")}`, canary("no operation")]) await ask(edge.url, { target: `/ops/${target}`, headers: operator });
      const link = `?${query(filled(["sub_id", "utm_source", "media_id", "device", "referrer", "consent_version"], "a link"))}`;
      const followed = await send(edge.url, { target: `/click/example${link}`, headers: filled(HEADERS, "a click") });
      assert.equal(followed.status, 302, "the visitor is sent on with what the file allows");
      await ask(edge.url, { target: `/click/${canary("an offer")}${link}` });
      await ask(edge.url, { target: `/health?deep=1&x=${canary("a look at the edge")}`, headers: filled(HEADERS, "a look") });
    });

    test("nothing of it is in a log, on a page, or in an error", async () => {
      // Events are processed, and what is said of that is said.
      const left = () => databases.rows("rector_db", "select count(*) as n from conversions where is_processed = 0")[0].n;
      await until("processing", async () => left() === 0);
      for (const target of ["/health", "/ready", "/info", "/openapi.json", "/docs"]) await ask(url, { target });
      await ask(edge.url, { target: "/health?deep=1" });
      const isToldOfNames = (text) => found(text).filter((what) => ![...nameCanaries].some((name) => what.includes(name)));
      const told = answers.flatMap(({ request, status, text, headers }) => isToldOfNames(`${text}${headers}`).map((what) => `${status} to ${request.method ?? "GET"}: ${what}`));
      assert.deepEqual(told, [], "in answers");
      const { lines } = edge;
      await stop();
      assert.ok(spoken.length > 300 && lines.length > 100 && canaries.size > 500, `${spoken.length} and ${lines.length} lines, ${canaries.size} values`);
      assert.deepEqual(found(spoken.join("\n")), [], "in the origin's log");
      assert.deepEqual(found(lines.join("\n")), [], "in the edge's log");
      // The search would have found them: they are where they belong.
      const kept = databases.rows("rector_db", "select target, body from postbacks").map((row) => JSON.stringify(row)).join("");
      assert.ok(found(kept).length > 50);
    });
  });
}
