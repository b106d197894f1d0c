// Requests to the origin, signed as the edge signs them: written from docs/api.md with Node's own cryptography, for tests that decide when
// the edge received a postback.
import { createHash, createHmac, randomBytes } from "node:crypto";
import { nowS } from "./proofs.mjs";

/** The public key of the development set-up. */
const DEVELOPMENT = { id: "development", key: Buffer.from("dev-only-not-a-secret-dev-only!!") };

const COVERED = ["@method", "@path", "@query", "content-digest", "bytec-event-id", "bytec-received-at", "bytec-auth", "bytec-client-ip", "bytec-original-target"];

/** Path and headers of a GET that brings a postback to the origin; `query` is canonical, `receivedAt` an RFC 3339 time in UTC. */
export function signedGet({ path, query, eventId, receivedAt, requestId, originalTarget = "/" }, { id, key } = DEVELOPMENT) {
  const created = nowS();
  const values = {
    "content-digest": `sha-256=:${createHash("sha256").update("").digest("base64")}:`,
    "bytec-event-id": eventId,
    "bytec-received-at": receivedAt,
    "bytec-auth": "open",
    "bytec-client-ip": "unknown",
    "bytec-original-target": originalTarget,
  };
  const names = COVERED.map((name) => `"${name}"`).join(" ");
  const nonce = randomBytes(16).toString("base64url");
  const parameters = `(${names});created=${created};expires=${created + 300};nonce="${nonce}";alg="hmac-sha256";keyid="${id}";tag="bytec-edge-v1"`;
  const all = { "@method": "GET", "@path": path, "@query": `?${query}`, ...values };
  const base = [...COVERED.map((name) => `"${name}": ${all[name]}`), `"@signature-params": ${parameters}`].join("\n");
  const code = createHmac("sha256", key).update(base).digest("base64");
  const headers = { ...values, "bytec-request-id": requestId, "signature-input": `sig1=${parameters}`, signature: `sig1=:${code}:`, accept: "application/json" };
  return { target: `${path}?${query}`, headers };
}
