// The edge's job for InvolveAsia's postbacks in JavaScript, as a careful author would write it: everything that does not
// change is made once, nothing is awaited that need not be, no libraries. It is what the edge's speed is compared with, so
// it must do all that the edge does; tests/bench/same.mjs holds it to that.
//
// With the variable PREFER the origin is asked to leave out the body of its reply, as the edge does; without it the reply is read.
//
// Left out, because no request that is measured gets there: POST bodies, names damaged by HTML, months by name, macros in
// the middle of a value, the other partners.

const ENDPOINT = "/postback/involve/event";
const PATHS = new Set(["/involve/event", "/postback/involve/event", "/partner/involve/event"]);
const PARTNER = "involve_asia";
const ATTEMPT_TIMEOUT_MS = 2000;
const SIGNATURE_WINDOW_S = 300;
const TIME_AHEAD_MS_MAX = 24 * 60 * 60 * 1000;
const TARGET_BYTES_MAX = 8192;
const PARAMS_MAX = 64;
const NAME_BYTES_MAX = 64;
const VALUE_BYTES_MAX = 1024;
const ID_BYTES_MAX = 128;
const HEADERS_MAX = 50;
const HEADERS_BYTES_MAX = 16384;

/** The canonical fields in canonical order, and how each is read. */
const KINDS = Object.entries({
  event_id: "eventId", event: "event", click_id: "id", conversion_id: "conversionId", original_event_id: "originalEventId", order_id: "id", media_id: "id", sub_id: "id",
  aff_sub: "text", aff_sub2: "text", aff_sub3: "text", aff_sub4: "text", aff_sub5: "text", offer_id: "id", offer_name: "text",
  account_id: "id", install_id: "id", session_id: "id", campaign: "text", creative_id: "id", status: "status", ts_event: "time",
  conversion_datetime: "time", sale_amount: "amount", payout: "amount", currency: "currency", usd_sale_amount: "amount",
  usd_payout: "amount", is_ftd: "flag", payment_method: "text", geo: "text", device: "text", consent_version: "text",
});
const ALIASES = {
  rewars: "usd_payout", rewards: "usd_payout", usd_earning: "usd_payout", event_time: "ts_event",
  datetime_conversion: "conversion_datetime", sale_amount_local: "sale_amount", payout_local: "payout",
  conversion_currency: "currency",
};
const STATUSES = { pending: "pending", "yet to consumed": "pending", approved: "approved", rejected: "rejected", invalid: "rejected", paid: "paid" };
const PROOFS = new Set(["ts_token", "_kid", "_ts", "_nonce", "_sig"]);

/** What the platform adds is not the sender's. */
const PLATFORMS = new Set([
  "cdn-loop", "cf-connecting-ip", "cf-connecting-ipv6", "cf-ew-via", "cf-ipcountry", "cf-pseudo-ipv4", "cf-ray",
  "cf-visitor", "cf-worker", "x-forwarded-for", "x-forwarded-proto", "x-real-ip",
]);

const FIELD_OF = new Map(KINDS.map(([name], index) => [name, index]));
for (const [alias, name] of Object.entries(ALIASES)) FIELD_OF.set(alias, FIELD_OF.get(name));
const NAMES = KINDS.map(([name]) => name);
const NAMED = NAMES.map((name) => `${name.length}:${name}`);
const READERS = { id, eventId, conversionId, originalEventId, text: (text) => text, event, status, time, amount, currency, flag };
const READ = KINDS.map(([, kind]) => READERS[kind]);
const CODES = { id: "invalid_id", eventId: "invalid_id", conversionId: "invalid_id", originalEventId: "invalid_id", time: "invalid_time", amount: "invalid_amount", currency: "invalid_currency", flag: "invalid_flag" };
const CODE = KINDS.map(([, kind]) => CODES[kind]);
const AMOUNTS = KINDS.flatMap(([, kind], index) => (kind === "amount" ? [index] : []));
const TIMES = KINDS.flatMap(([, kind], index) => (kind === "time" ? [index] : []));
const [EVENT, CONVERSION_ID] = [FIELD_OF.get("event"), FIELD_OF.get("conversion_id")];

const utf8 = new TextEncoder();
const HMAC = { name: "HMAC", hash: "SHA-256" };
const BASE64URL = { alphabet: "base64url", omitPadding: true };
const importKey = (bytes, uses) => crypto.subtle.importKey("raw", bytes, HMAC, false, uses);

/** The public key of the development set-up: imported once. */
const KEY_ID = "development";
let key, logKey;
const KEY_HEX = "6465762d6f6e6c792d6e6f742d612d7365637265742d6465762d6f6e6c792121";
const keysReady = Promise.all([
  importKey(Uint8Array.fromHex(KEY_HEX), ["sign", "verify"]).then((imported) => (key = imported)),
  importKey(utf8.encode("bytec-log-v1"), ["sign"]).then((imported) => (logKey = imported)),
]);

const COMPONENTS = `("@method" "@path" "@query" "content-digest" "bytec-event-id" "bytec-received-at" "bytec-auth" "bytec-client-ip" "bytec-original-target")`;
/** A GET has no body, and its digest is always this. */
const NO_BODY_DIGEST = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

class Refusal extends Error {
  constructor(code, field, status = 400) {
    super(code);
    Object.assign(this, { code, field, status });
  }
}

export default {
  async fetch(request, env) {
    const now = Date.now();
    if (!key || !logKey) await keysReady;
    const requestId = nonce();
    const url = request.url;
    const target = url.slice(url.indexOf("/", 8));
    const question = target.indexOf("?");
    const path = question < 0 ? target : target.slice(0, question);
    const head = headOf(request);
    const wantsJson = head.accept?.includes("application/json");
    if (!PATHS.has(path)) return failed(new Refusal("partner_not_found", null, 404), wantsJson, requestId);
    if (request.method !== "GET") return failed(new Refusal("method_not_allowed", null, 405), wantsJson, requestId);

    const targetDigest = crypto.subtle.sign(HMAC, logKey, utf8.encode(target));
    let eventId;
    try {
      if (target.length > TARGET_BYTES_MAX) throw new Refusal("url_too_long", null, 414);
      if (head.count > HEADERS_MAX || head.size > HEADERS_BYTES_MAX) throw new Refusal("headers_too_large", null, 431);
      const values = read(question < 0 ? "" : target.slice(question + 1), now);
      eventId = await eventIdOf(values);
      const reply = await forward(head, env, target, values, eventId, requestId, wantsJson, now);
      log("info", "postback stored", requestId, await targetDigest, eventId, reply.verdict, reply.status, 1, now);
      return new Response(reply.body, {
        status: reply.status,
        headers: {
          "cache-control": "no-store",
          "bytec-request-id": requestId,
          "bytec-event-id": eventId,
          "bytec-verdict": reply.verdict,
          "content-type": reply.contentType,
        },
      });
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal("unavailable", null, 503);
      log("warn", "postback refused", requestId, await targetDigest, eventId, refusal.code, refusal.status, undefined, now);
      return failed(refusal, wantsJson, requestId, eventId);
    }
  },
};

/** What of the headers matters, in one pass. */
function headOf(request) {
  let accept, address;
  let count = 0;
  let size = 0;
  for (const [name, value] of request.headers) {
    if (name === "accept") accept = value;
    else if (name === "cf-connecting-ip") address = value;
    if (PLATFORMS.has(name)) continue;
    count++;
    size += name.length + value.length;
  }
  return { accept, address, count, size };
}

/** The canonical texts by field, out of a raw query. */
function read(query, now) {
  const values = new Array(NAMES.length);
  const sent = new Map();
  let unfilled = false;
  for (const piece of query.split("&")) {
    if (piece === "") continue;
    const equals = piece.indexOf("=");
    const name = decode(equals < 0 ? piece : piece.slice(0, equals), null);
    const raw = equals < 0 ? "" : piece.slice(equals + 1);
    const value = decode(raw, name);
    if (name.length > NAME_BYTES_MAX) throw new Refusal("name_too_long", null);
    if (bytes(value) > VALUE_BYTES_MAX) throw new Refusal("value_too_long", name);
    const known = sent.get(name);
    if (known !== undefined) {
      if (known !== value) throw new Refusal("duplicate_param", name);
      continue;
    }
    sent.set(name, value);
    if (sent.size > PARAMS_MAX) throw new Refusal("too_many_params", null);
  }
  for (const [name, value] of sent) {
    if (PROOFS.has(name)) continue;
    const field = FIELD_OF.get(name) ?? FIELD_OF.get(name.toLowerCase());
    if (field === undefined) continue;
    const text = value.trim();
    if (text === "") continue;
    if (isUnfilled(name, text)) {
      if (field === CONVERSION_ID) unfilled = name;
      continue;
    }
    const canonical = READ[field](text);
    if (canonical === undefined) {
      // A publisher's free text must not cost a conversion, nor a status of tomorrow.
      if (CODE[field] === undefined) continue;
      throw new Refusal(CODE[field], name);
    }
    if (values[field] !== undefined && values[field] !== canonical) throw new Refusal("conflicting_values", name);
    values[field] = canonical;
  }
  values[EVENT] ??= "conversion";
  if (values[CONVERSION_ID] === undefined) {
    throw unfilled ? new Refusal("macro_not_replaced", unfilled) : new Refusal("missing_field", "conversion_id");
  }
  const takesBack = values[EVENT] === "refund" || values[EVENT] === "chargeback";
  for (const field of AMOUNTS) {
    const value = values[field];
    if (value === undefined) continue;
    if (takesBack) values[field] = /^-|^0\.00$/.test(value) ? value : `-${value}`;
    else if (value.charCodeAt(0) === 45) throw new Refusal("negative_amount", NAMES[field]);
    if (isTooLarge(value)) throw new Refusal("amount_too_large", NAMES[field]);
  }
  for (const field of TIMES) {
    const value = values[field];
    if (value !== undefined && Date.parse(value) - now > TIME_AHEAD_MS_MAX) throw new Refusal("time_in_future", NAMES[field]);
  }
  return values;
}

const ESCAPED = /[%+]/;
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

/** Strictly: a stray percent sign, broken UTF-8 and control characters are refused. */
function decode(piece, name) {
  let text = piece;
  if (ESCAPED.test(piece)) {
    if (/%(?![0-9a-f]{2})/i.test(piece)) throw new Refusal("bad_percent", name);
    try {
      text = decodeURIComponent(piece.replaceAll("+", " "));
    } catch {
      throw new Refusal("bad_utf8", name);
    }
    if (text.includes("\ufffd")) throw new Refusal("bad_utf8", name);
  }
  if (CONTROL.test(text)) throw new Refusal("control_char", name);
  return text;
}

const NOT_ASCII = /[^\x00-\x7f]/;

/** Bytes of a text in UTF-8. */
function bytes(text) {
  return NOT_ASCII.test(text) ? utf8.encode(text).length : text.length;
}

const NOTHING = new Set(["null", "undefined", "none", "nil", "empty", "n/a", "(not set)", '"null"', '""', "[object object]"]);
const MARKED = /^:|[{[(<#%!_$@*]/;
const NAME = "\\$*[A-Za-z_][A-Za-z0-9_.:|$-]*";
const MACRO = new RegExp(
  `\\{ *${NAME}.*\\}|^(?:\\[+${NAME}\\]+|\\(+${NAME}\\)+|<%=?${NAME}%>|<\\?=${NAME}\\?>|%\\(${NAME}\\)s|%+${NAME}%+|\\*\\|${NAME}\\|\\*|<${NAME}>|\\$${NAME}\\$?|@${NAME}@|#${NAME}#|!!!${NAME}!!!|:${NAME}|__[A-Z0-9_]+__)$`,
);

/** Whether a text is a macro that nobody expanded, or a word for nothing. */
function isUnfilled(name, text) {
  if (text.length <= 15 && NOTHING.has(text.toLowerCase())) return true;
  if (text === "REPLACE" || text === "OPTIONAL") return true;
  if (text.length === name.length && text.length >= 4 && text === text.toUpperCase() && text === name.toUpperCase()) return true;
  return MARKED.test(text) && MACRO.test(text);
}

function id(text) {
  return bytes(text) <= ID_BYTES_MAX && !/^\d(?:[.,]\d+)?[eE][+ ]\d+$/.test(text) ? text : undefined;
}

/** Our own names of conversions begin so. */
const isReserved = (text) => text.startsWith("cnv_") || text.startsWith("event:");

function conversionId(text) {
  return isReserved(text) ? undefined : id(text);
}

function originalEventId(text) {
  return /^[!-~]{1,128}$/.test(text) ? id(text) : undefined;
}

function eventId(text) {
  return /^[!-~]{1,128}$/.test(text) && !/^evt_[0-9a-fA-F]{32}$/.test(text) && !isReserved(text) ? id(text) : undefined;
}

function event(text) {
  return /^[A-Za-z0-9_ .-]{1,64}$/.test(text) ? text.replace(/^[ ._-]+|[ ._-]+$/g, "").replace(/[ .-]/g, "_").toLowerCase() || undefined : undefined;
}

function status(text) {
  return STATUSES[text.toLowerCase()];
}

/** Exact: the digits are kept, at least two behind the point and no zeros beyond them. */
function amount(text) {
  const found = /^(-?)(\d{1,12})(?:\.(\d{1,6}))?$/.exec(text);
  if (!found) return undefined;
  const [, sign, whole, fraction = ""] = found;
  const value = `${whole.replace(/^0+(?=\d)/, "")}.${fraction.replace(/0+$/, "").padEnd(2, "0")}`;
  return value === "0.00" ? value : sign + value;
}

/** Of a canonical amount, by its magnitude: more than ten thousand million. */
function isTooLarge(value) {
  const digits = value.replace("-", "");
  const whole = digits.indexOf(".");
  return whole > 11 || (whole === 11 && digits > "10000000000.00");
}

function currency(text) {
  return /^[A-Za-z]{3}$/.test(text) ? text.toUpperCase() : undefined;
}

function flag(text) {
  if (/^(?:true|1|yes)$/i.test(text)) return "true";
  return /^(?:false|0|no)$/i.test(text) ? "false" : undefined;
}

const TIME = /^(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?:[Tt ] *(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(?: *(?:([Zz])|([-+ ])(\d{2}):?(\d{2})))?)?$/;
/** Kuala Lumpur put its clocks from +7:30 to +8 at the end of 1981. */
const CHANGE_MS = Date.UTC(1982, 0, 1);

/** A time as the partner writes it, in UTC. */
function time(text) {
  if (/^(?:\d{10}|\d{13})$/.test(text)) return iso(Number(text) * (text.length === 10 ? 1000 : 1));
  const found = TIME.exec(text);
  if (!found) return undefined;
  const [, year, , month, day, hour = 0, minute = 0, second = 0, fraction = "", zulu, sign, offsetHours, offsetMinutes] = found;
  const [y, m, d] = [Number(year), Number(month), Number(day)];
  const localMs = Date.UTC(y, m - 1, d, Number(hour), Number(minute), Number(second));
  const date = new Date(localMs);
  if (date.getUTCMonth() !== m - 1 || date.getUTCDate() !== d || hour > 23 || minute > 59 || second > 59) return undefined;
  if (zulu) return iso(localMs, fraction);
  if (offsetHours === undefined) return iso(localMs - (localMs < CHANGE_MS ? 27_000_000 : 28_800_000), fraction);
  const offsetMs = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60_000;
  return iso(sign === "-" ? localMs + offsetMs : localMs - offsetMs, fraction);
}

function iso(ms, fraction = "") {
  const year = new Date(ms).getUTCFullYear();
  if (ms <= 0 || year < 1970 || year > 2099) return undefined;
  const text = new Date(ms).toISOString();
  const micros = fraction === "" ? (ms % 1000 === 0 ? "" : text.slice(20, 23)) : fraction.padEnd(6, "0").slice(0, 6);
  if (micros === "" || /^0+$/.test(micros)) return `${text.slice(0, 19)}Z`;
  return `${text.slice(0, 19)}.${micros.length === 6 && micros.endsWith("000") ? micros.slice(0, 3) : micros}Z`;
}

/** The id that follows from the canonical content: the length of each text stands before it. */
async function eventIdOf(values) {
  const given = values[0];
  if (given !== undefined) return given;
  let content = `14:bytec-event-v1${PARTNER.length}:${PARTNER}`;
  for (let field = 0; field < NAMED.length; field++) {
    const value = values[field];
    if (value !== undefined) content += `${NAMED[field]}${bytes(value)}:${value}`;
  }
  const digest = await crypto.subtle.digest("SHA-256", utf8.encode(content));
  return `evt_${new Uint8Array(digest, 0, 16).toHex()}`;
}

const LITERAL = /^[A-Za-z0-9*._-]*$/;

function encode(text) {
  if (LITERAL.test(text)) return text;
  return encodeURIComponent(text).replace(/%20|[!'()~]/g, (found) => (found === "%20" ? "+" : `%${found.charCodeAt(0).toString(16).toUpperCase()}`));
}

function queryOf(values) {
  let query = "";
  for (let field = 0; field < NAMES.length; field++) {
    const value = values[field];
    if (value !== undefined) query += `${query === "" ? "" : "&"}${NAMES[field]}=${encode(value)}`;
  }
  return query;
}

/** One signed attempt; what the origin said, where it proves that it is ours. */
async function forward(head, env, target, values, eventId, requestId, wantsJson, now) {
  const query = queryOf(values);
  const receivedAt = iso(now);
  const { address } = head;
  const clientIp = address !== undefined && /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/.test(address) ? address : "unknown";
  const originalTarget = redacted(target);
  const attempt = nonce();
  const created = Math.floor(now / 1000);
  const parameters = `${COMPONENTS};created=${created};expires=${created + SIGNATURE_WINDOW_S};nonce="${attempt}";alg="hmac-sha256";keyid="${KEY_ID}";tag="bytec-edge-v1"`;
  const base = `"@method": GET
"@path": ${ENDPOINT}
"@query": ?${query}
"content-digest": ${NO_BODY_DIGEST}
"bytec-event-id": ${eventId}
"bytec-received-at": ${receivedAt}
"bytec-auth": open
"bytec-client-ip": ${clientIp}
"bytec-original-target": ${originalTarget}
"@signature-params": ${parameters}`;
  const code = new Uint8Array(await crypto.subtle.sign(HMAC, key, utf8.encode(base)));
  const reply = await fetch(`${env.ORIGIN_URL}${ENDPOINT}?${query}`, {
    headers: {
      "bytec-event-id": eventId,
      "bytec-received-at": receivedAt,
      "bytec-auth": "open",
      "bytec-client-ip": clientIp,
      "bytec-original-target": originalTarget,
      "content-digest": NO_BODY_DIGEST,
      "signature-input": `sig1=${parameters}`,
      signature: `sig1=:${code.toBase64()}:`,
      "bytec-request-id": requestId,
      accept: wantsJson ? "application/json" : "text/plain",
      ...(env.PREFER && { prefer: env.PREFER }),
    },
    redirect: "manual",
    signal: AbortSignal.timeout(ATTEMPT_TIMEOUT_MS),
  });
  // Read while the acknowledgement is verified: a body that nobody reads closes the connection to the origin.
  const [body, verdict] = await Promise.all([reply.text(), acknowledged(reply.headers.get("bytec-ack"), eventId, attempt)]);
  if (verdict === undefined) throw new Refusal("unavailable", null, 503);
  const status = statusOf(verdict, reply.status);
  if (env.PREFER && status === 200) return { ...stored(wantsJson, verdict, eventId, requestId), verdict, status };
  return { body, verdict, status, contentType: reply.headers.get("content-type") ?? "text/plain" };
}

/** The reply about what the origin has stored, from its verdict alone. */
function stored(wantsJson, verdict, eventId, requestId) {
  if (!wantsJson) return { body: "OK", contentType: "text/plain; charset=utf-8" };
  const body = { status: "ok", idempotent: verdict === "duplicate", verdict, event_id: eventId, request_id: requestId };
  return { body: JSON.stringify(body), contentType: "application/json" };
}

/** The verdict that the origin's acknowledgement proves. */
async function acknowledged(header, eventId, attempt) {
  const found = /^v1;verdict=(created|duplicate|revised|conflict|rejected);kid=([\w.-]+);mac=([\w-]{43})$/.exec(header ?? "");
  if (!found || found[2] !== KEY_ID) return undefined;
  const message = utf8.encode(`bytec-ack-v1\n${eventId}\n${found[1]}\n${attempt}`);
  const mac = Uint8Array.fromBase64(found[3], BASE64URL);
  return (await crypto.subtle.verify(HMAC, key, mac, message)) ? found[1] : undefined;
}

function statusOf(verdict, status) {
  if (verdict === "conflict") return 409;
  if (verdict !== "rejected") return 200;
  return [400, 413, 415, 422].includes(status) ? status : 400;
}

const SECRET = /[?&](?:amp;)?(?:ts_token|_sig)=/i;

/** A target in printable ASCII, the values of secrets replaced. */
function redacted(target) {
  const shown = SECRET.test(target) ? target.replace(/([?&](?:amp;)?(?:ts_token|_sig)=)[^&]*/gi, "$1***") : target;
  return /^[!-~]*$/.test(shown) ? shown : encodeURI(shown);
}

function nonce() {
  return crypto.getRandomValues(new Uint8Array(16)).toBase64(BASE64URL);
}

function failed({ code, field, status }, wantsJson, requestId, eventId) {
  const body = wantsJson
    ? JSON.stringify({ error: code, field: field ?? undefined, event_id: eventId, request_id: requestId })
    : `ERROR ${code}${field ? ` field=${field}` : ""} request_id=${requestId}`;
  const headers = { "cache-control": "no-store", "bytec-request-id": requestId, "content-type": wantsJson ? "application/json" : "text/plain; charset=utf-8" };
  if (status === 503) headers["retry-after"] = "30";
  return new Response(body, { status, headers });
}

function log(level, message, requestId, digest, eventId, outcome, status, attempt, began) {
  const line = JSON.stringify({
    level,
    message,
    request_id: requestId,
    target_digest: new Uint8Array(digest, 0, 16).toHex(),
    partner: PARTNER,
    event_id: eventId,
    outcome,
    status,
    attempt,
    duration_ms: Date.now() - began,
  });
  if (level === "info") console.log(line);
  else console.warn(line);
}
