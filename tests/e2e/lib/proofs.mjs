// How senders prove who they are, written from docs/api.md with Node's own cryptography: nothing of the project's code signs
// here, so a mistake would have to be made twice to go unseen.
import { createHash, createHmac, generateKeyPairSync, randomBytes, sign as signEd25519 } from "node:crypto";

/** 64 hexadecimal digits that nobody else has. */
export const secretHex = () => randomBytes(32).toString("hex");

/** Unix seconds. */
export const nowS = () => Math.floor(Date.now() / 1000);

/** Percent-encoding with `A-Za-z0-9-._~` literal. */
export const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** Pairs as a query that a sender may write. */
export const queryOf = (pairs) => pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");

/** RFC 8785 of values without numbers that need care: members sorted, nothing between them. */
export function jcs(value) {
  if (Array.isArray(value)) return `[${value.map(jcs).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${jcs(value[name])}`).join(",")}}`;
}

/** The value of X-Signature or _sig: bytec-v1 over the request. `pairs` are the query's, decoded, without `_sig`. */
export function bytecV1({ keyId, keyHex, timestamp, nonce, method, path, pairs = [], body = "", digestOf = body }) {
  const query = pairs.map(([name, value]) => [encode(name), encode(value)]).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = [
    "bytec-v1", keyId, `${timestamp}`, nonce, method, path, query.map(([name, value]) => `${name}=${value}`).join("&"),
    createHash("sha256").update(digestOf).digest("hex"),
  ];
  return `sha256=${createHmac("sha256", Buffer.from(keyHex, "hex")).update(lines.join("\n")).digest("hex")}`;
}

/** A key pair for EdDSA tokens; the public key in hexadecimal digits, as JWT_KEYS has it. */
export function ed25519() {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return { privateKey, publicHex: Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url").toString("hex") };
}

const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** A token of any header and claims. `key` is hexadecimal digits or a private key; what `forge` makes of the code is sent. */
export function jwt(header, claims, key, forge = (code) => code) {
  const signed = `${part(header)}.${part(claims)}`;
  const code = typeof key === "string"
    ? createHmac("sha256", Buffer.from(key, "hex")).update(signed).digest()
    : signEd25519(null, Buffer.from(signed), key);
  return `${signed}.${forge(code).toString("base64url")}`;
}

/** Another spelling of an Ed25519 signature: the order of the group added to its second half. */
export function malleated(code) {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const half = BigInt(`0x${Buffer.from(code.subarray(32)).reverse().toString("hex")}`) + order;
  const bytes = Buffer.from(half.toString(16).padStart(64, "0"), "hex").reverse();
  return Buffer.concat([code.subarray(0, 32), bytes]);
}
