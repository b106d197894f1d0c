// What makes the comparison honest: before anything is measured, the JavaScript Worker must do what the edge does. Both
// are put before an origin that writes down, byte for byte, what reaches it; apart from the values that are fresh in every
// request nothing may differ, in what they forward, answer and log. Signatures are checked here, with Node's own HMAC.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const KEY = Buffer.from("6465762d6f6e6c792d6e6f742d612d7365637265742d6465762d6f6e6c792121", "hex");

/** What each of these requests has beside. */
const BASE = "click_id=test123&conversion_id=conv789&offer_name=test_offer&usd_sale_amount=100.00";

/** InvolveAsia's requests that both must treat alike, and the code of those that must be refused. */
const QUERIES = [
  ["rewars=10.50", ""],
  ["rewars=10.5&sub_id=a%20b%2Bc%26%C3%A9~*!'()", ""],
  ["rewars=-1", "negative_amount"],
  ["rewars=10000000000", ""],
  ["rewars=10000000000.01", "amount_too_large"],
  ["rewars=99999999999&event=refund", "amount_too_large"],
  ["rewars=10,50", "invalid_amount"],
  ["rewars=1e3", "invalid_amount"],
  ["rewars=%7Bpayout%7D", ""],
  ["rewars=1&event=refund", ""],
  ["rewars=1&usd_payout=2", "conflicting_values"],
  ["rewars=1&event_id=cnv_1", "invalid_id"],
  ["rewars=1&event=refund&event_id=r1&original_event_id=evt_1", ""],
  ["rewars=1&rewars=2", "duplicate_param"],
  ["rewars=%zz", "bad_percent"],
  ["rewars=%ff", "bad_utf8"],
  ["rewars=1%0a", "control_char"],
  ["rewars=1&ts_event=2025-02-30%2012:00:00", "invalid_time"],
  ["rewars=1&conversion_datetime=2025-01-01T00:00:00.250-05:00", ""],
  ["rewars=1&status=Yet+to+consumed&currency=myr&ts_token=secret", ""],
];

/** An origin that answers as ours does and keeps every request's head as it came. */
export async function startRecorder() {
  const heads = [];
  const server = createServer({ noDelay: true }, (socket) => {
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (let end; (end = text.indexOf("\r\n\r\n")) >= 0; text = text.slice(end + 4)) {
        const head = text.slice(0, end);
        heads.push(head);
        socket.write(reply(head));
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, heads, stop: () => server.close() };
}

function reply(head) {
  const nonce = /;nonce="([^"]+)"/.exec(head)?.[1];
  const message = `bytec-ack-v1\n${header(head, "bytec-event-id")}\ncreated\n${nonce}`;
  const ack = `bytec-ack: v1;verdict=created;kid=development;mac=${createHmac("sha256", KEY).update(message).digest("base64url")}\r\n`;
  return `HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 2\r\n${nonce ? ack : ""}\r\nOK`;
}

const header = (head, name) => new RegExp(`^${name}: (.*?)\r?$`, "im").exec(head)?.[1];

/**
 * Fails where two Workers that both stand before the recorder differ; answers how many requests it sent to each. `target`
 * is the one to be measured. Where the edge has learnt something, tests/bench/workers/same_job.js has to learn it, too.
 */
export async function assertSameJob({ edge, javascript, recorder, target, headers }) {
  const [path] = target.split("?");
  const many = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`x-${n}`, "1"]));
  const targets = [
    [target, ""],
    [target, "", { accept: "application/json" }],
    [target, "headers_too_large", many, 431],
    ...QUERIES.map(([query, code]) => [`${path}?${BASE}&${query}`, code]),
    [`${path}?rewars=1`, "missing_field"],
    [`${path}?conversion_id=%7Bconversion_id%7D`, "macro_not_replaced"],
  ];
  for (const [each, code, more = {}, status = code ? 400 : 200] of targets) {
    const ours = await exchange(edge, recorder, each, { ...headers, ...more });
    const theirs = await exchange(javascript, recorder, each, { ...headers, ...more });
    assert.equal(ours.status, status, `the edge: ${each}: ${ours.body}`);
    if (code) {
      for (const { body, forwarded } of [ours, theirs]) {
        assert.equal(/^ERROR (\w+)/.exec(body)?.[1], code, each);
        assert.equal(forwarded, undefined, each);
      }
    } else {
      assertSigned(ours.forwarded);
      assertSigned(theirs.forwarded);
      assert.equal(masked(theirs.forwarded), masked(ours.forwarded), `what is forwarded of ${each}`);
      assert.equal(masked(theirs.body), masked(ours.body), each);
    }
    assert.equal(theirs.status, ours.status, each);
    if (!code) assert.deepEqual(theirs.headers, ours.headers, each);
    assert.deepEqual(theirs.log, ours.log, `what is logged of ${each}`);
  }
  return targets.length;
}

async function exchange({ url, logs }, recorder, target, headers) {
  recorder.heads.length = 0;
  const reply = await fetch(`${url}${target}`, { headers, redirect: "manual" });
  const body = await reply.text();
  const lines = readFileSync(logs, "utf8").trim().split("\n");
  const { request_id, duration_ms, ...log } = JSON.parse(lines.at(-1));
  assert.equal(reply.headers.get("bytec-request-id"), request_id, target);
  assert.ok(Number.isInteger(duration_ms), target);
  const fresh = new Set(["bytec-request-id", "date"]);
  const kept = Object.fromEntries([...reply.headers].filter(([name]) => !fresh.has(name)));
  return { status: reply.status, body, headers: kept, log, forwarded: recorder.heads[0] };
}

/** A text without the values that are fresh in every request. */
function masked(text) {
  return text
    .replace(/nonce="[^"]{22}"/, "nonce=")
    .replace(/;created=\d{10};expires=\d{10};/, ";")
    .replace(/^(signature: sig1=:).{44}:/im, "$1")
    .replace(/^(bytec-request-id: ).{22}/im, "$1")
    .replace(/("request_id":").{22}"/, '$1"')
    .replace(/^(bytec-received-at: )\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z/im, "$1");
}

/** Recomputes the signature of a forwarded request as RFC 9421 has it. */
function assertSigned(head) {
  const [method, target] = head.split(" ");
  const [path, query] = target.split("?");
  const parameters = header(head, "signature-input").replace("sig1=", "");
  const lines = [...parameters.slice(0, parameters.indexOf(")")).matchAll(/"([^"]+)"/g)].map(([, name]) => {
    const derived = { "@method": method, "@path": path, "@query": `?${query}` };
    return `"${name}": ${derived[name] ?? header(head, name)}`;
  });
  const base = [...lines, `"@signature-params": ${parameters}`].join("\n");
  const code = createHmac("sha256", KEY).update(base).digest("base64");
  assert.equal(header(head, "signature"), `sig1=:${code}:`, "the signature holds");
}
