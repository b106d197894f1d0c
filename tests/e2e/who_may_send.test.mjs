// Who may send: every way to prove oneself, in pairs of which both must hold, right and wrong in many ways. Whatever is
// wrong, the sender gets one answer, the origin hears nothing, and only our log knows the cause; no secret is kept anywhere.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { buildProvingEdge, PROVING, PROVING_EDGE } from "../../scripts/lib/proving-edge.mjs";
import { OPERATOR_TOKEN, startEdge } from "./lib/edge.mjs";
import { freshDatabases, startOrigin, uniqueId } from "./lib/origin.mjs";
import { bytecV1, ed25519, jcs, jwt, malleated, nowS, queryOf, secretHex } from "./lib/proofs.mjs";
import { send } from "./lib/raw.mjs";
import { involveA, rector } from "./lib/requests.mjs";
import { startTunnel } from "./lib/tunnel.mjs";

const DATABASES = ["involve_asia_db", "rector_db", "s2s_db"];

/** Everything that must not be found again. */
const secrets = new Set();
const secret = (text) => {
  secrets.add(text);
  return text;
};
const token = (prefix) => secret(`${prefix}-${randomBytes(18).toString("hex")}`);

// Two of each are valid at once, as while a secret is being changed.
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const TOKENS = [token("tok-A"), token("tok-B")];
const OTHER_TENANTS_TOKEN = token("tok-other");
const PATH_KEYS = [token("path-A"), token("path-B")];
const OTHER_PARTNERS_PATH_KEY = token("path-other");
const KEYS = { new: secretHex(), old: secretHex(), past: secretHex(), coming: secretHex() };
const OTHER_PARTNERS_KEY = secretHex();
const JWT_KEYS = { h1: secretHex(), h2: secretHex(), past: secretHex(), coming: secretHex() };
const ED = ed25519();
for (const hex of [...Object.values(KEYS), OTHER_PARTNERS_KEY, ...Object.values(JWT_KEYS)]) secret(hex);

const BINDINGS = {
  // The first as `bytec-origin tokens edge` has it.
  TENANT_TOKENS: [...TOKENS.map((text, index) => (index === 0 ? `bytec=sha256:${sha256(text)}@/2099-01-01T00:00:00Z` : `bytec=${text}`)), `${PROVING.otherTenant}=${OTHER_TENANTS_TOKEN}`].join(","),
  PATH_KEYS: [...PATH_KEYS.map((text) => `rector=${text}`), `involve_asia=${OTHER_PARTNERS_PATH_KEY}`].join(","),
  PARTNER_KEYS: [
    `s2s=new:${KEYS.new}`, `s2s=old:${KEYS.old}@2020-01-01/2099-01-01`, `s2s=past:${KEYS.past}@/2020-01-01`,
    `s2s=coming:${KEYS.coming}@2099-01-01/`, `rector=others:${OTHER_PARTNERS_KEY}`,
  ].join(","),
  JWT_KEYS: [
    `s2s=h1:HS256:${JWT_KEYS.h1}`, `s2s=h2:HS256:${JWT_KEYS.h2}@2020-01-01/2099-01-01`, `s2s=e1:EdDSA:${ED.publicHex}`,
    `s2s=past:HS256:${JWT_KEYS.past}@/2020-01-01`, `s2s=coming:HS256:${JWT_KEYS.coming}@2099-01-01/`,
  ].join(","),
  // What the origin does not take is parked at once.
  RETRY_DELAYS_S: "0",
};

// ---- involve_asia: ["ip", "mtls"] ----

const ADDRESS = "203.0.113.77";
const [PINNED, ALSO_PINNED] = PROVING.mtlsSha256;
const CERTIFICATE = { certPresented: "1", certVerified: "SUCCESS", certRevoked: "0", certFingerprintSHA256: PINNED };

/**
 * A request by address and certificate, as the platform tells of them. Without a certificate it tells nothing of TLS; without
 * `cf` the request comes over plain HTTP.
 */
function byConnection({ address = ADDRESS, certificate = CERTIFICATE, prefix = "", headers = {}, ...more } = {}) {
  const target = `${prefix}/involve/event?${involveA(uniqueId())}`;
  return { target, headers: { "cf-connecting-ip": address, ...headers }, cf: { tlsClientAuth: certificate ?? undefined }, ...more };
}
const cert = (change) => byConnection({ certificate: { ...CERTIFICATE, ...change } });

// ---- rector: ["path_key", "token"] ----

function byPath({ key = PATH_KEYS[0], bearer = TOKENS[0], scheme = "Bearer", prefix = "", query = "", ...more } = {}) {
  for (const text of [key, bearer]) if (text) secret(text);
  const target = `${prefix}/rector/event${key === null ? "" : `/${key}`}?${rector(uniqueId())}${query}`;
  return { target, headers: bearer ? { authorization: `${scheme} ${bearer}` } : {}, ...more };
}

// ---- s2s: ["signature", "jwt"] ----

const claims = (change = {}) => ({ iss: PROVING.issuer, aud: PROVING.audience, iat: nowS(), exp: nowS() + 600, sub: "backend", ...change });
const goodJwt = () => jwt({ alg: "HS256", kid: "h1", typ: "JWT" }, claims(), JWT_KEYS.h1);

const event = () => ({ event_id: uniqueId(), event: "deposit_success", conversion_id: uniqueId(), amount: "100.00", currency: "USD" });

/**
 * A signed request with a token. What is signed and what is sent are the same unless a test says otherwise: `signed` changes
 * the former, `sent` the latter. `at` is the distance of the signature's clock.
 */
function bySignature({
  keyId = "new", keyHex = KEYS[keyId], at = 0, nonce = randomBytes(16).toString("base64url"), bearer = goodJwt(),
  method = "POST", pairs = [], value = event(), profile, form = "headers", signed = {}, sent = {},
} = {}) {
  const body = method === "POST" ? JSON.stringify(value) : "";
  const inQuery = method === "GET" ? Object.entries(value) : [];
  const timestamp = nowS() + at;
  const proof = form === "query" ? [["_kid", keyId], ["_ts", `${timestamp}`], ["_nonce", nonce]] : [];
  const all = [...inQuery, ...pairs, ...proof];
  const digestOf = profile === "jcs" ? jcs(value) : body;
  const code = secret(bytecV1({ keyId, keyHex, timestamp, nonce, method, path: "/postback", pairs: all, body, digestOf, ...signed }));
  secret(code.replace("sha256=", ""));
  if (bearer) secret(bearer);
  const head = form === "query" ? {} : { "x-key-id": keyId, "x-timestamp": `${timestamp}`, "x-nonce": nonce, "x-signature": code };
  const { headers = {}, pairs: others = all, path = "/postback", ...rest } = sent;
  const query = queryOf(form === "query" ? [...others, ["_sig", rest.code ?? code]] : others);
  return {
    method,
    target: query ? `${path}?${query}` : path,
    headers: {
      ...(method === "POST" ? { "content-type": "application/json" } : {}),
      ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
      ...(profile ? { "x-signature-profile": profile } : {}),
      ...head,
      ...headers,
    },
    ...(method === "POST" ? { body } : {}),
    ...rest,
  };
}
const without = (request, ...names) => ({ ...request, headers: Object.fromEntries(Object.entries(request.headers).filter(([name]) => !names.includes(name))) });
const withHeader = (request, name, value) => ({ ...request, headers: { ...request.headers, [name]: value } });
const withJwt = (bearer) => bySignature({ bearer });
const hs = (header = {}, change = {}, keyId = "h1", forge) => withJwt(jwt({ alg: "HS256", kid: keyId, ...header }, claims(change), JWT_KEYS[keyId] ?? JWT_KEYS.h1, forge));
const ed = (header = {}, change = {}, key = ED.privateKey, forge) => withJwt(jwt({ alg: "EdDSA", kid: "e1", ...header }, claims(change), key, forge));

/** Believed: what is sent, and by which modes the origin learns that it came. */
const RIGHT = {
  "ip+mtls": {
    "an address in a range, and a pinned certificate": () => byConnection(),
    "the one address of a range of one": () => byConnection({ address: "198.51.100.7" }),
    "an IPv6 address in a range": () => byConnection({ address: "2001:db8:aaaa:1::9" }),
    "an IPv6 address spelled in full and in capitals": () => byConnection({ address: "2001:0DB8:AAAA:0000:0000:0000:0000:0001" }),
    "an IPv4 address written as IPv6": () => byConnection({ address: "::ffff:203.0.113.9" }),
    "the other pinned certificate": () => cert({ certFingerprintSHA256: ALSO_PINNED }),
    "a fingerprint in capitals": () => cert({ certFingerprintSHA256: PINNED.toUpperCase() }),
    "the same under /postback": () => byConnection({ prefix: "/postback" }),
    "the same under /partner": () => byConnection({ prefix: "/partner" }),
  },
  "path_key+token": {
    "a path key, and a token as bearer": () => byPath(),
    "the other of both, while they are being changed": () => byPath({ key: PATH_KEYS[1], bearer: TOKENS[1] }),
    "a token as parameter": () => byPath({ bearer: null, query: `&ts_token=${TOKENS[1]}` }),
    "a token as parameter with all of it percent-encoded": () => byPath({ bearer: null, query: `&ts%5Ftoken=${percent(TOKENS[0])}` }),
    "a token as bearer, and damaged as parameters beside it": () => byPath({ query: `&TS_TOKEN=${TOKENS[1]}&amp;ts_token=${TOKENS[1]}&_SIG=${TOKENS[1]}` }),
    "a bearer in another case": () => byPath({ scheme: "bEARER" }),
    "a path key under /postback": () => byPath({ prefix: "/postback" }),
    "a path key under /partner": () => byPath({ prefix: "/partner" }),
    "a POST of a form": () => byPath({ method: "POST", body: `geo=MY&ts_token=${TOKENS[0]}`, form: true }),
  },
  "signature+jwt": {
    "a signature in headers, and a token of HS256": () => bySignature(),
    "the older key, which runs out later": () => bySignature({ keyId: "old" }),
    "the other HS256 key, which runs out later": () => hs({}, {}, "h2"),
    "a token of EdDSA": () => ed(),
    "a token for several audiences": () => hs({}, { aud: ["https://elsewhere.example", PROVING.audience] }),
    "a token without a type or a subject, and with a time before which it is not valid": () => hs({}, { sub: undefined, nbf: nowS() }),
    "a token of the longest life": () => hs({}, { exp: nowS() + 900, iat: nowS() }),
    "a signature in the query": () => bySignature({ form: "query" }),
    "a signed GET": () => bySignature({ method: "GET" }),
    "a signed GET with its signature in the query": () => bySignature({ method: "GET", form: "query", pairs: [["offer_name", "a b*c'(d)~é&="]] }),
    "a signed GET whose parameters come in another order and spelling": () => {
      const request = bySignature({ method: "GET", pairs: [["offer_name", "a b~c"]] });
      const [path, query] = request.target.split("?");
      return { ...request, target: `${path}?${query.split("&").reverse().join("&").replaceAll("%20", "+").replace("~", "%7e")}` };
    },
    "a clock that is nearly five minutes slow": () => bySignature({ at: -290 }),
    "a clock that is nearly five minutes fast": () => bySignature({ at: 290 }),
    "three signatures of which one holds": () => {
      const request = bySignature();
      const other = `sha256=${"0".repeat(64)}`;
      return withHeader(request, "x-signature", `${other}, ${request.headers["x-signature"]},${other}`);
    },
    "a body signed by what it says, and spelled anew on its way": () => {
      const value = event();
      return bySignature({ profile: "jcs", value, sent: { body: JSON.stringify(Object.fromEntries(Object.entries(value).reverse()), null, 2) } });
    },
  },
};

/** Not believed: the cause that our log has, and the request. */
const WRONG = {
  "an address beside the range": ["ip: not_allowed", () => byConnection({ address: "203.0.114.1" })],
  "an address beside a range of one": ["ip: not_allowed", () => byConnection({ address: "198.51.100.8" })],
  "an IPv6 address beside the range": ["ip: not_allowed", () => byConnection({ address: "2001:db8:aaab::1" })],
  "an IPv4 address outside, written as IPv6": ["ip: not_allowed", () => byConnection({ address: "::ffff:198.51.100.8" })],
  "an IPv4 address in the old way of IPv6": ["ip: not_allowed", () => byConnection({ address: "::203.0.113.77" })],
  "an address that others claim to have forwarded": ["ip: not_allowed", () => {
    const headers = { "x-forwarded-for": ADDRESS, "x-real-ip": ADDRESS, "true-client-ip": ADDRESS };
    return byConnection({ address: "192.0.2.1", headers });
  }],
  "two addresses": ["ip: no_address", () => byConnection({ address: `${ADDRESS}, 192.0.2.1` })],
  "an address with a port": ["ip: no_address", () => byConnection({ address: `${ADDRESS}:443` })],
  "a name for an address": ["ip: no_address", () => byConnection({ address: "localhost" })],
  "an address with a zero in front": ["ip: no_address", () => byConnection({ address: "203.0.113.077" })],
  "a wrong address and no certificate": ["ip: not_allowed", () => byConnection({ address: "192.0.2.1", certificate: null })],

  "a right address without a word of TLS": ["mtls: no_certificate", () => byConnection({ certificate: null })],
  "a right address over plain HTTP": ["mtls: no_certificate", () => byConnection({ cf: undefined })],
  "a right address where the platform says nothing at all": ["mtls: no_certificate", () => byConnection({ cf: undefined, headers: { "mf-cf-blob": "{}" } })],
  "the platform's placeholder for no certificate": ["mtls: no_certificate", () => cert({ certPresented: "0", certVerified: "NONE", certFingerprintSHA256: "" })],
  "a certificate that was not presented, all else right": ["mtls: no_certificate", () => cert({ certPresented: "0" })],
  "a certificate presented as a number": ["mtls: no_certificate", () => cert({ certPresented: 1 })],
  "a certificate that did not verify": ["mtls: not_verified", () => cert({ certVerified: "FAILED:self signed certificate" })],
  "a certificate that failed": ["mtls: not_verified", () => cert({ certVerified: "FAILED" })],
  "a certificate that nobody verified": ["mtls: not_verified", () => cert({ certVerified: "NONE" })],
  "a certificate of which it is not said whether it verified": ["mtls: not_verified", () => cert({ certVerified: undefined })],
  "a revoked certificate": ["mtls: revoked", () => cert({ certRevoked: "1" })],
  "a certificate of which it is not said whether it is revoked": ["mtls: revoked", () => cert({ certRevoked: undefined })],
  "another certificate": ["mtls: not_pinned", () => cert({ certFingerprintSHA256: "3f".repeat(32) })],
  "a fingerprint with colons": ["mtls: not_pinned", () => cert({ certFingerprintSHA256: PINNED.match(/../g).join(":") })],
  "the beginning of a fingerprint": ["mtls: not_pinned", () => cert({ certFingerprintSHA256: PINNED.slice(0, 40) })],
  "a certificate without a fingerprint": ["mtls: not_pinned", () => cert({ certFingerprintSHA256: "" })],
  "a certificate in headers of the sender's own": ["mtls: no_certificate", () => {
    const headers = { "cf-client-cert-sha256": PINNED, "cf-cert-presented": "true", "cf-cert-verified": "true" };
    return byConnection({ cf: undefined, headers });
  }],

  "no path key": ["path_key: missing", () => byPath({ key: null })],
  "no path key under /postback": ["path_key: missing", () => byPath({ key: null, prefix: "/postback" })],
  "neither path key nor token": ["path_key: missing", () => byPath({ key: null, bearer: null })],
  "another path key of the same length": ["path_key: wrong_key", () => byPath({ key: token("path-A") })],
  "another path key under /partner": ["path_key: wrong_key", () => byPath({ key: token("path-A"), prefix: "/partner" })],
  "another path key under /postback": ["path_key: wrong_key", () => byPath({ key: token("path-A"), prefix: "/postback" })],
  "a path key with its end missing": ["path_key: wrong_key", () => byPath({ key: PATH_KEYS[0].slice(0, -1) })],
  "a path key and one letter more": ["path_key: wrong_key", () => byPath({ key: `${PATH_KEYS[0]}a` })],
  "a path key in capitals": ["path_key: wrong_key", () => byPath({ key: PATH_KEYS[0].toUpperCase() })],
  "a path key with one letter encoded": ["path_key: wrong_key", () => byPath({ key: `%70${PATH_KEYS[0].slice(1)}` })],
  "a path key with a slash encoded behind it": ["path_key: wrong_key", () => byPath({ key: `${PATH_KEYS[0]}%2F` })],
  "two path keys in one": ["path_key: wrong_key", () => byPath({ key: PATH_KEYS.join(",") })],
  "the path key of another partner": ["path_key: wrong_key", () => byPath({ key: OTHER_PARTNERS_PATH_KEY })],
  "the token in place of the path key": ["path_key: wrong_key", () => byPath({ key: TOKENS[0] })],

  "a path key without a token": ["token: missing", () => byPath({ bearer: null })],
  "a token with the wrong scheme": ["token: missing", () => byPath({ scheme: "Basic" })],
  "a token without a scheme": ["token: missing", () => ({ ...byPath(), headers: { authorization: TOKENS[0] } })],
  "a token in a header of its own": ["token: missing", () => ({ ...byPath(), headers: { "ts_token": TOKENS[0], "x-token": TOKENS[0] } })],
  "a token in the body": ["token: missing", () => byPath({ bearer: null, method: "POST", form: true, body: `ts_token=${TOKENS[0]}` })],
  "a token under a name in another case": ["token: missing", () => byPath({ bearer: null, query: `&TS_TOKEN=${TOKENS[0]}` })],
  "another token": ["token: wrong_token", () => byPath({ bearer: token("tok-A") })],
  "another token as parameter": ["token: wrong_token", () => byPath({ bearer: null, query: `&ts_token=${token("tok-A")}` })],
  "an empty token": ["token: wrong_token", () => byPath({ bearer: null, query: "&ts_token=" })],
  "the beginning of a token": ["token: wrong_token", () => byPath({ bearer: TOKENS[0].slice(0, -1) })],
  "a token and more": ["token: wrong_token", () => byPath({ bearer: `${TOKENS[0]}a` })],
  "both tokens in one": ["token: wrong_token", () => byPath({ bearer: TOKENS.join(",") })],
  "the token of another tenant": ["token: wrong_token", () => byPath({ bearer: OTHER_TENANTS_TOKEN })],
  "an operator's token": ["token: wrong_token", () => byPath({ bearer: OPERATOR_TOKEN })],
  "the path key in place of the token": ["token: wrong_token", () => byPath({ bearer: PATH_KEYS[0] })],
  "a wrong bearer beside a right parameter": ["token: wrong_token", () => byPath({ bearer: token("tok-A"), query: `&ts_token=${TOKENS[0]}` })],
  "a right token behind a wrong one": ["token: wrong_token", () => byPath({ bearer: null, query: `&ts_token=${token("tok-A")}&ts_token=${TOKENS[0]}` })],

  "a token without a signature": ["signature: missing", () => without(bySignature(), "x-key-id", "x-timestamp", "x-nonce", "x-signature")],
  "all of a signature but the code": ["signature: missing", () => without(bySignature(), "x-signature")],
  "a signature in the body": ["signature: missing", () => {
    const value = { ...event(), _kid: "new", _ts: `${nowS()}`, _nonce: "abcdefghijklmnop", _sig: `sha256=${"0".repeat(64)}` };
    return without(bySignature({ value }), "x-key-id", "x-timestamp", "x-nonce", "x-signature");
  }],
  "a key id that is none": ["signature: unknown_key", () => bySignature({ keyId: "nobody", keyHex: KEYS.new })],
  "another partner's key": ["signature: unknown_key", () => bySignature({ keyId: "others", keyHex: OTHER_PARTNERS_KEY })],
  "two key ids": ["signature: unknown_key", () => withHeader(bySignature(), "x-key-id", ["new", "new"])],
  "a key that has run out": ["signature: key_not_in_force", () => bySignature({ keyId: "past" })],
  "a key that is not yet in force": ["signature: key_not_in_force", () => bySignature({ keyId: "coming" })],
  "another secret under a known id": ["signature: signature_mismatch", () => bySignature({ keyHex: secret(secretHex()) })],
  "the older key's secret under the newer key's id": ["signature: signature_mismatch", () => bySignature({ keyHex: KEYS.old })],
  "the token's secret for the signature": ["signature: signature_mismatch", () => bySignature({ keyHex: JWT_KEYS.h1 })],
  "the key's digits in place of its bytes": ["signature: signature_mismatch", () => bySignature({ keyHex: Buffer.from(KEYS.new).toString("hex") })],
  "a signature made too long ago": ["signature: outside_window", () => bySignature({ at: -330 })],
  "a signature from a clock far ahead": ["signature: outside_window", () => bySignature({ at: 330 })],
  "a timestamp changed afterwards": ["signature: signature_mismatch", () => withHeader(bySignature(), "x-timestamp", `${nowS() - 7}`)],
  "a timestamp in milliseconds": ["signature: outside_window", () => {
    const timestamp = Date.now();
    return withHeader(bySignature({ signed: { timestamp } }), "x-timestamp", `${timestamp}`);
  }],
  "a timestamp with a sign": ["signature: malformed", () => {
    const timestamp = `+${nowS()}`;
    return withHeader(bySignature({ signed: { timestamp } }), "x-timestamp", timestamp);
  }],
  "two timestamps": ["signature: malformed", () => {
    const request = bySignature();
    return withHeader(request, "x-timestamp", [request.headers["x-timestamp"], request.headers["x-timestamp"]]);
  }],
  "a nonce changed afterwards": ["signature: signature_mismatch", () => withHeader(bySignature(), "x-nonce", "abcdefghijklmnop")],
  "a nonce of fifteen letters": ["signature: malformed", () => bySignature({ nonce: "abcdefghijklmno" })],
  "a nonce of other letters": ["signature: malformed", () => bySignature({ nonce: "abcdefghijklmno+" })],
  "no nonce": ["signature: malformed", () => without(bySignature(), "x-nonce")],
  "no timestamp": ["signature: malformed", () => without(bySignature(), "x-timestamp")],
  "no key id": ["signature: malformed", () => without(bySignature(), "x-key-id")],
  "an empty signature": ["signature: signature_mismatch", () => withHeader(bySignature(), "x-signature", "")],
  "a signature in capitals": ["signature: signature_mismatch", () => {
    const request = bySignature();
    return withHeader(request, "x-signature", request.headers["x-signature"].toUpperCase().replace("SHA256", "sha256"));
  }],
  "a signature without its method": ["signature: signature_mismatch", () => {
    const request = bySignature();
    return withHeader(request, "x-signature", request.headers["x-signature"].replace("sha256=", ""));
  }],
  "half a signature": ["signature: signature_mismatch", () => {
    const request = bySignature();
    return withHeader(request, "x-signature", request.headers["x-signature"].slice(0, -32));
  }],
  "four signatures of which one holds": ["signature: malformed", () => {
    const request = bySignature();
    const other = `sha256=${"0".repeat(64)}`;
    return withHeader(request, "x-signature", [request.headers["x-signature"], other, other, other].join(","));
  }],
  "a query changed afterwards": ["signature: signature_mismatch", () => bySignature({ pairs: [["geo", "MY"]], sent: { pairs: [["geo", "SG"]] } })],
  "a parameter added afterwards": ["signature: signature_mismatch", () => bySignature({ sent: { pairs: [["geo", "SG"]] } })],
  "a parameter taken away afterwards": ["signature: signature_mismatch", () => bySignature({ pairs: [["geo", "MY"]], sent: { pairs: [] } })],
  "a GET's amount changed afterwards": ["signature: signature_mismatch", () => {
    const request = bySignature({ method: "GET" });
    return { ...request, target: request.target.replace("amount=100.00", "amount=900.00") };
  }],
  "a body changed afterwards": ["signature: signature_mismatch", () => {
    const request = bySignature();
    return { ...request, body: request.body.replace("100.00", "900.00") };
  }],
  "a body with one space more": ["signature: signature_mismatch", () => {
    const request = bySignature();
    return { ...request, body: `${request.body} ` };
  }],
  "a body signed by what it says, and saying something else": ["signature: signature_mismatch", () => {
    const request = bySignature({ profile: "jcs" });
    return { ...request, body: request.body.replace("100.00", "900.00") };
  }],
  "a profile that was not signed": ["signature: signature_mismatch", () => withHeader(bySignature(), "x-signature-profile", "jcs")],
  "a profile that is none": ["signature: malformed", () => withHeader(bySignature(), "x-signature-profile", "raw")],
  "another method than the signed one": ["signature: signature_mismatch", () => bySignature({ method: "GET", signed: { method: "POST" } })],
  "another path than the signed one": ["signature: signature_mismatch", () => bySignature({ signed: { path: "/rector/event" } })],
  "a signature in the query that was changed": ["signature: signature_mismatch", () => bySignature({ form: "query", sent: { code: `sha256=${"0".repeat(64)}` } })],
  "a signature in the query, made too long ago": ["signature: outside_window", () => bySignature({ form: "query", at: -330 })],
  "a signature in the query without its key id": ["signature: malformed", () => {
    const request = bySignature({ form: "query" });
    return { ...request, target: request.target.replace("_kid=new&", "") };
  }],
  "two signatures in the query": ["signature: malformed", () => {
    const request = bySignature({ form: "query" });
    return { ...request, target: `${request.target}&_sig=sha256%3D${"0".repeat(64)}` };
  }],

  "a signature without a token": ["jwt: missing", () => bySignature({ bearer: null })],
  "neither signature nor token": ["jwt: missing", () => without(bySignature({ bearer: null }), "x-key-id", "x-timestamp", "x-nonce", "x-signature")],
  "a token as parameter in place of the header": ["jwt: missing", () => bySignature({ bearer: null, pairs: [["ts_token", secret(goodJwt())]] })],
  "a token with another scheme": ["jwt: missing", () => {
    const request = bySignature();
    return withHeader(request, "authorization", request.headers.authorization.replace("Bearer", "JWT"));
  }],
  "a tenant's token in place of a JSON Web Token": ["jwt: malformed", () => withJwt(OTHER_TENANTS_TOKEN)],
  "an unsigned token": ["jwt: malformed", () => withJwt(jwt({ alg: "none", kid: "h1" }, claims(), JWT_KEYS.h1, () => Buffer.alloc(0)))],
  "a signed token that says it is unsigned": ["jwt: malformed", () => hs({ alg: "none" })],
  "an unsigned token in another case": ["jwt: malformed", () => hs({ alg: "nOnE" }, {}, "h1", () => Buffer.alloc(0))],
  "a token of HS256 without its signature": ["jwt: signature_mismatch", () => hs({}, {}, "h1", () => Buffer.alloc(0))],
  "a token of HS256 with half its signature": ["jwt: signature_mismatch", () => hs({}, {}, "h1", (code) => code.subarray(0, 16))],
  "a token of HS256 under another key": ["jwt: signature_mismatch", () => withJwt(jwt({ alg: "HS256", kid: "h1" }, claims(), secret(secretHex())))],
  "a token of HS256 under the other key's secret": ["jwt: signature_mismatch", () => withJwt(jwt({ alg: "HS256", kid: "h1" }, claims(), JWT_KEYS.h2))],
  "a token under the signature's secret": ["jwt: signature_mismatch", () => withJwt(jwt({ alg: "HS256", kid: "h1" }, claims(), KEYS.new))],
  "a token of HS512": ["jwt: wrong_algorithm", () => hs({ alg: "HS512" })],
  "a token of RS256": ["jwt: wrong_algorithm", () => hs({ alg: "RS256" })],
  "a token of EdDSA under an HS256 key's id": ["jwt: wrong_algorithm", () => ed({ kid: "h1" })],
  "a token of HS256 with the public key as secret": ["jwt: wrong_algorithm", () => withJwt(jwt({ alg: "HS256", kid: "e1" }, claims(), ED.publicHex))],
  "a token of EdDSA by another key": ["jwt: signature_mismatch", () => ed({}, {}, ed25519().privateKey)],
  "a token of EdDSA whose signature was spelled anew": ["jwt: signature_mismatch", () => ed({}, {}, ED.privateKey, malleated)],
  "a token of EdDSA with a short signature": ["jwt: signature_mismatch", () => ed({}, {}, ED.privateKey, (code) => code.subarray(0, 63))],
  "a token whose claims were changed": ["jwt: signature_mismatch", () => {
    const [header, , code] = goodJwt().split(".");
    return withJwt([header, Buffer.from(JSON.stringify(claims({ sub: "root" }))).toString("base64url"), code].join("."));
  }],
  "a token with a key id that is none": ["jwt: unknown_key", () => hs({ kid: "nobody" })],
  "a token with a key that has run out": ["jwt: unknown_key", () => hs({}, {}, "past")],
  "a token with a key that is not yet in force": ["jwt: unknown_key", () => hs({}, {}, "coming")],
  "a token without a key id": ["jwt: malformed", () => hs({ kid: undefined })],
  "a token that brings its key": ["jwt: malformed", () => ed({ jwk: { kty: "OKP", crv: "Ed25519", x: "AAAA" } })],
  "a token that says where its key is": ["jwt: malformed", () => hs({ jku: "https://evil.example/keys" })],
  "a token with demands": ["jwt: malformed", () => hs({ crit: ["exp"] })],
  "a token of another type": ["jwt: malformed", () => hs({ typ: "dpop+jwt" })],
  "a token with a part too many": ["jwt: malformed", () => withJwt(`${goodJwt()}.AAAA`)],
  "a token with a part too few": ["jwt: malformed", () => withJwt(goodJwt().split(".").slice(0, 2).join("."))],
  "a token over its size": ["jwt: malformed", () => hs({}, { sub: "x".repeat(4096) })],
  "a token for somebody else": ["jwt: wrong_party", () => hs({}, { aud: "https://elsewhere.example" })],
  "a token for several, none of them us": ["jwt: wrong_party", () => hs({}, { aud: ["a", "b"] })],
  "a token for nobody": ["jwt: malformed", () => hs({}, { aud: undefined })],
  "a token of another issuer": ["jwt: wrong_party", () => hs({}, { iss: "https://evil.example" })],
  "a token of an issuer in another spelling": ["jwt: wrong_party", () => hs({}, { iss: `${PROVING.issuer}/` })],
  "a token that has expired": ["jwt: outside_window", () => hs({}, { iat: nowS() - 600, exp: nowS() - 90 })],
  "a token that lives too long": ["jwt: outside_window", () => hs({}, { exp: nowS() + 1000 })],
  "a token that never ends": ["jwt: malformed", () => hs({}, { exp: undefined })],
  "a token that ends before it begins": ["jwt: outside_window", () => hs({}, { exp: nowS() - 10 })],
  "a token of the future": ["jwt: outside_window", () => hs({}, { iat: nowS() + 90 })],
  "a token that is not valid yet": ["jwt: outside_window", () => hs({}, { nbf: nowS() + 90 })],
  "a token whose end is a text": ["jwt: malformed", () => hs({}, { exp: `${nowS() + 600}` })],
};

const percent = (text) => [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");

/** Proofs that are not shown at all, by the reason in the log: status and code. Wrong ones have one answer. */
const MISSING = {
  "token: missing": [401, "token_missing"],
  "jwt: missing": [401, "jwt_missing"],
  "signature: missing": [403, "signature_missing"],
  "path_key: missing": [403, "path_key_missing"],
  "mtls: no_certificate": [403, "certificate_missing"],
};

describe("who may send", () => {
  let databases, origin, tunnel, edge, replied, believed;
  // Of the first refusal: all others must be the same.
  let answer;

  before(async () => {
    await buildProvingEdge();
    databases = freshDatabases("sqlite");
    origin = await startOrigin(databases);
    tunnel = await startTunnel(origin.url);
    // More than all wrong requests of this file, so that nobody is shut out.
    edge = await startEdge({ originUrl: tunnel.url, build: PROVING_EDGE, bindings: BINDINGS, limits: { AUTH_FAILURES: 10_000 } });
    replied = [];
    believed = 0;
  });
  after(async () => {
    await edge?.stop();
    await tunnel?.stop();
    await origin?.stop();
    databases?.remove();
  });

  /** Sends a request: with `cf` by the platform's own way, else over HTTP. */
  async function ask({ cf, form, target, ...request }, { to = edge, accept = "application/json" } = {}) {
    const headers = { ...(accept ? { accept } : {}), ...(form ? { "content-type": "application/x-www-form-urlencoded" } : {}), ...request.headers };
    if (cf === undefined) return send(to.url, { ...request, headers, target });
    const reply = await to.miniflare.dispatchFetch(`${to.url}${target}`, { ...request, headers, cf });
    return { status: reply.status, headers: Object.fromEntries(reply.headers), text: await reply.text() };
  }

  /** The log's line about a request. */
  async function lineOf(reply, to = edge) {
    const find = () => to.logged().find((line) => line.request_id === reply.headers["bytec-request-id"]);
    await until("the log's line", async () => find() !== undefined, { everyMs: 5 });
    return find();
  }

  const rows = (sql) => DATABASES.flatMap((database) => databases.rows(database, sql));

  /** What a sender can see of a refusal, but for the request's name and how it came. */
  function seen({ status, headers, text }) {
    const name = headers["bytec-request-id"];
    assert.match(name, /^[\w-]{22}$/);
    const ofTheWay = ["bytec-request-id", "date", "connection", "keep-alive", "transfer-encoding", "content-length", "mf-content-encoding"];
    const rest = Object.fromEntries(Object.entries(headers).filter(([header]) => !ofTheWay.includes(header)).sort());
    return { status, headers: rest, text: text.replace(name, "") };
  }

  async function refused(request, reason, options) {
    const sent = tunnel.requests.length;
    const reply = await ask(request, options);
    replied.push(JSON.stringify([reply.headers, reply.text]));
    const [expected, code] = MISSING[reason] ?? [403, "signature_invalid"];
    assert.equal(reply.status, expected, reply.text);
    if (MISSING[reason]) {
      assert.equal(JSON.parse(reply.text).error, code);
      assert.equal(reply.headers["www-authenticate"], expected === 401 ? "Bearer" : undefined);
    } else {
      answer ??= seen(reply);
      assert.deepEqual(seen(reply), answer);
    }
    assert.equal(tunnel.requests.length, sent, "the origin is not asked");
    const { reason: found, outcome, status, level, event_id } = await lineOf(reply, options?.to);
    assert.deepEqual({ found, outcome, status, level, event_id }, { found: reason, outcome: code, status: expected, level: "warn", event_id: undefined });
  }

  for (const [modes, requests] of Object.entries(RIGHT)) {
    for (const [what, request] of Object.entries(requests)) {
      test(`${what}: believed, as ${modes}`, async () => {
        const reply = await ask(request());
        replied.push(JSON.stringify([reply.headers, reply.text]));
        assert.equal(reply.status, 200, reply.text);
        assert.equal(JSON.parse(reply.text).verdict, "created");
        const found = rows(`select auth_mode from postbacks where request_id = '${reply.headers["bytec-request-id"]}'`);
        assert.deepEqual(found, [{ auth_mode: modes }]);
        believed += 1;
      });
    }
  }

  for (const [what, [reason, request]] of Object.entries(WRONG)) {
    test(`${what}: not believed`, () => refused(request(), reason));
  }

  test("the answer to all of them says nothing but its code", () => {
    const { error, hint, status, request_id, ...rest } = JSON.parse(answer.text.replace('""', '"x"'));
    assert.deepEqual({ error, hint, rest }, { error: "signature_invalid", hint: "check canonical order", rest: {} });
  });

  test("in plain text the answer is one, too", async () => {
    const wrong = [byConnection({ address: "192.0.2.1" }), byConnection({ address: "198.51.100.1" })];
    const seenOfThem = [];
    for (const request of wrong) seenOfThem.push(seen(await ask(request, { accept: null })));
    assert.equal(seenOfThem[0].status, 403);
    assert.match(seenOfThem[0].text, /^ERROR signature_invalid /);
    assert.deepEqual(seenOfThem[0], seenOfThem[1]);
  });

  test("what a believed sender is told about its parameters, an unbelieved one is not", async () => {
    const bad = (request) => ({ ...request, target: `${request.target}&usd_payout=abc%ZZ` });
    const told = await ask(bad(byPath()));
    assert.deepEqual([told.status, JSON.parse(told.text).error], [400, "bad_percent"]);
    await refused(bad(byPath({ bearer: token("tok-A") })), "token: wrong_token");
    await refused({ ...byPath({ key: token("path-A") }), method: "POST", body: "x".repeat(100_000) }, "path_key: wrong_key");
    await refused(bad(byConnection({ address: "192.0.2.1" })), "ip: not_allowed");
  });

  test("a request that cannot be signed is told so, once its token holds", async () => {
    const two = (bearer) => {
      const request = bySignature({ form: "query", bearer });
      return { ...request, headers: { ...bySignature().headers, ...request.headers } };
    };
    const told = await ask(two(goodJwt()));
    assert.deepEqual([told.status, JSON.parse(told.text).error], [400, "two_signatures"]);
    const twice = await ask(bySignature({ pairs: [["geo", "MY"]], sent: { pairs: [["geo", "MY"], ["geo", "MY"]] } }));
    assert.deepEqual([twice.status, JSON.parse(twice.text).error], [400, "duplicate_param"]);
    const unreadable = bySignature({ profile: "jcs" });
    const body = await ask({ ...unreadable, body: unreadable.body.replace("{", '{"event_id":"x",') });
    assert.deepEqual([body.status, JSON.parse(body.text).error], [400, "malformed_json"]);
    const request = two(null);
    await refused({ ...request, headers: { ...request.headers, authorization: "Bearer x" } }, "jwt: malformed");
  });

  test("a path that is no endpoint is unknown, whatever key stands in it", async () => {
    const sent = tunnel.requests.length;
    const [key] = PATH_KEYS;
    for (const path of [`/rector/event/${key}/`, `/rector/event/${key}/${key}`, "/rector/event/", `/rector/${key}/event`, `/${key}`, `/involve/event/${key}`, `/postback/${key}`]) {
      const reply = await ask({ target: `${path}?${rector(uniqueId())}`, headers: byPath().headers });
      assert.deepEqual([reply.status, JSON.parse(reply.text).error], [404, "partner_not_found"], path);
      await lineOf(reply);
    }
    assert.equal(tunnel.requests.length, sent);
  });

  test("a partner whose secrets were never given believes nobody, and says no more", async () => {
    const bare = await startEdge({ originUrl: tunnel.url, build: PROVING_EDGE });
    const one = await startEdge({ originUrl: tunnel.url, build: PROVING_EDGE, bindings: { JWT_KEYS: BINDINGS.JWT_KEYS } });
    try {
      await refused(bySignature(), "jwt: no_keys", { to: bare });
      await refused(bySignature(), "signature: no_keys", { to: one });
      await refused(byPath(), "path_key: wrong_key", { to: bare });
    } finally {
      await bare.stop();
      await one.stop();
    }
  });

  test("of all that was not believed nothing is stored", () => {
    const expected = Object.values(RIGHT).reduce((sum, requests) => sum + Object.keys(requests).length, 0);
    assert.equal(believed, expected);
    assert.equal(rows("select request_id from postbacks").length, expected);
    assert.equal(tunnel.requests.length, expected);
  });

  test("a signed request that is sent again is a duplicate", async () => {
    const request = bySignature();
    const replies = [await ask(request), await ask(request)];
    assert.deepEqual(replies.map(({ text }) => JSON.parse(text).verdict), ["created", "duplicate"]);
  });

  test("a signed request that is sent again is the same receipt in reply, log, database and on the way; one signed anew is another", async () => {
    const value = event();
    const request = bySignature({ value });
    const replies = [await ask(request), await ask(request), await ask(bySignature({ value }))];
    const names = replies.map(({ text }) => JSON.parse(text).request_id);
    assert.deepEqual([names[0] === names[1], names[0] === names[2]], [true, false]);
    assert.match(names[0], /^[A-Za-z0-9_-]{22}$/);
    assert.deepEqual(replies.map(({ headers }) => headers["bytec-request-id"]), names);
    const stored = databases.rows("s2s_db", `select request_id from postbacks where event_id = '${value.event_id}' order by postback_id`);
    assert.deepEqual(stored.map(({ request_id }) => request_id), names);
    const lines = () => edge.logged().filter(({ event_id: id }) => id === value.event_id);
    await until("the log's lines", async () => lines().length === 3, { everyMs: 5 });
    assert.deepEqual(lines().map(({ request_id: name }) => name), names);
    const onTheWay = tunnel.requests.slice(-3).map(({ headers }) => headers.find(([name]) => name.toLowerCase() === "bytec-request-id")[1]);
    assert.deepEqual(onTheWay, names);
  });

  test("what waits and is parked while the origin is away holds no secret", async () => {
    tunnel.mode = "refuses with 502";
    const requests = [
      byPath({ bearer: null, query: `&ts_token=${TOKENS[0]}` }),
      byPath({ prefix: "/partner", method: "POST", form: true, body: `geo=MY&ts_token=${TOKENS[1]}` }),
      bySignature(), bySignature({ form: "query" }), bySignature({ method: "GET", form: "query" }), byConnection(),
    ];
    for (const request of requests) {
      const reply = await ask(request);
      assert.deepEqual([reply.status, JSON.parse(reply.text).status], [200, "queued"], reply.text);
    }
    await until("the postbacks to be parked", async () => (await edge.parked()).length === requests.length, { timeoutMs: 60_000 });
    tunnel.mode = "through";
    const parked = await edge.parked();
    const heads = parked.map(({ message }) => JSON.parse(message.split("\n")[0]));
    assert.deepEqual(
      heads.map(({ auth }) => auth).sort(),
      ["ip+mtls", "path_key+token", "path_key+token", "signature+jwt", "signature+jwt", "signature+jwt"],
    );
    const targets = heads.map(({ target }) => target);
    assert.ok(targets.some((target) => /^\/rector\/event\/\*\*\*\?.*&ts_token=\*\*\*$/.test(target)), `${targets}`);
    assert.ok(targets.some((target) => /^\/partner\/rector\/event\/\*\*\*\?/.test(target)), `${targets}`);
    assert.ok(targets.some((target) => /&_sig=\*\*\*$/.test(target)), `${targets}`);
    assert.deepEqual(kept(JSON.stringify(parked)), []);
  });

  test("postbacks that were signed with one nonce are parked each", async () => {
    tunnel.mode = "refuses with 502";
    const nonce = "the-very-same-nonce";
    const ids = [];
    for (let n = 0; n < 3; n++) {
      const reply = await ask(bySignature({ nonce }));
      const { status, event_id: id } = JSON.parse(reply.text);
      assert.equal(status, "queued");
      ids.push(id);
    }
    const parked = async () => (await edge.parked()).filter(({ event_id: id }) => ids.includes(id));
    await until("each to be parked", async () => (await parked()).length === ids.length, { timeoutMs: 60_000 });
    tunnel.mode = "through";
  });

  /** Secrets that a text holds, also where it holds them percent-encoded. */
  const kept = (text) => [...secrets].filter((known) => [known, percent(known), encodeURIComponent(known)].some((form) => text.includes(form)));

  test("each kind of missing and wrong proof is in the rejections, unauthenticated", async () => {
    const codes = (database) => databases.rows(database, "select distinct code from rejections where not is_authenticated and via = 'edge'").map(({ code }) => code);
    const expected = { rector_db: ["path_key_missing", "signature_invalid", "token_missing"], s2s_db: ["jwt_missing", "signature_invalid", "signature_missing", "two_signatures"], involve_asia_db: ["certificate_missing", "signature_invalid"] };
    for (const [database, some] of Object.entries(expected)) {
      await until(`rejections in ${database}`, async () => some.every((code) => codes(database).includes(code)), { everyMs: 200, timeoutMs: 30_000 });
    }
  });

  test("no secret is in any log, reply, database, or on the way to the origin", () => {
    assert.ok(secrets.size > 200, `${secrets.size} secrets`);
    assert.deepEqual(kept(edge.lines.join("\n")), [], "the edge's log");
    assert.deepEqual(kept(origin.lines.join("\n")), [], "the origin's log");
    assert.deepEqual(kept(replied.join("\n")), [], "replies");
    const onTheWay = [...tunnel.requests, ...tunnel.reports].map(({ target, headers, body }) => [target, ...headers.flat(), `${body}`].join("\n"));
    assert.deepEqual(kept(onTheWay.join("\n")), [], "requests to the origin");
    for (const database of DATABASES) {
      const tables = databases.rows(database, "select name from sqlite_master where type = 'table' and name not glob '_sqlx*'").map(({ name }) => name);
      assert.ok(tables.includes("postbacks") && tables.includes("conversions"));
      for (const table of tables) {
        assert.deepEqual(kept(JSON.stringify(databases.rows(database, `select * from "${table}"`))), [], `${database}.${table}`);
      }
    }
    // The search itself finds what is there.
    assert.ok(kept(`x${TOKENS[0]}x`).includes(TOKENS[0]) && kept(`x${percent(PATH_KEYS[0])}`).includes(PATH_KEYS[0]));
    assert.ok(databases.rows("rector_db", "select target from postbacks").every(({ target }) => /\/rector\/event\/\*\*\*\?/.test(target)));
  });
});
