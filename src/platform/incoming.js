import { timeout, within } from "./timer.js";

/** The headers that matter, in the order of their lines. */
const LINES = [
  "accept", "content-type", "content-encoding", "content-length", "cf-connecting-ip", "authorization", "x-key-id",
  "x-timestamp", "x-nonce", "x-signature", "x-signature-profile", "user-agent", "referer", "sec-purpose",
];

/** The same with the names that browsers had for Sec-Purpose before, each with the place of its line. */
const PLACES = new Map([
  ...LINES.map((name, place) => [name, place]),
  ...["purpose", "x-purpose", "x-moz"].map((name) => [name, LINES.indexOf("sec-purpose")]),
]);

/** What the platform adds is not the sender's. */
const PLATFORMS = new Set([
  "cdn-loop", "cf-connecting-ip", "cf-connecting-ipv6", "cf-ew-via", "cf-ipcountry", "cf-pseudo-ipv4", "cf-ray",
  "cf-visitor", "cf-worker", "x-forwarded-for", "x-forwarded-proto", "x-real-ip",
]);

/**
 * A request's head: a line for the method, the URL, the number of headers and their size, each header that matters, then what the
 * platform knows of the sender. An absent value is an empty line, others begin with "+". None of them can hold a line break.
 */
export function pick(request) {
  const parts = new Array(LINES.length).fill("");
  let count = 0;
  let size = 0;
  for (const [name, value] of request.headers) {
    const place = PLACES.get(name);
    if (place !== undefined) parts[place] = "+" + value;
    if (PLATFORMS.has(name)) continue;
    count++;
    size += name.length + value.length;
  }
  const text = `${request.method}\n${request.url}\n${count}\n${size}\n${parts.join("\n")}`;
  const cf = request.cf;
  if (cf === undefined || cf === null) return text;
  const tls = cf.tlsClientAuth;
  const known = [cf.country, tls?.certPresented, tls?.certVerified, tls?.certRevoked, tls?.certFingerprintSHA256];
  return `${text}\n${known.map((value) => (typeof value === "string" ? "+" + value : "")).join("\n")}`;
}

/** Reads a request's body up to a limit, for so long; undefined when it is larger. */
export async function readBody(request, bytesMax, timeoutMs) {
  if (!request.body) return new Uint8Array();
  const reader = request.body.getReader();
  return within(timeoutMs, readAll(reader, bytesMax), timeout("the body did not arrive in time"));
}

async function readAll(reader, bytesMax) {
  const chunks = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > bytesMax) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return body;
}
