// The origin as a Worker: what the platform calls. scripts/lib/worker-build.mjs bundles it with what wasm-bindgen makes of the
// crate ("./index.js"). Nothing in the WebAssembly panics that a request can reach. Should an instance stop all the same, the
// next call gets a new one; the edge has no acknowledgement then, and queues what it sent.
import * as origin from "./index.js";

/** What origin/src/api/headers.rs has for every answer. */
const HEADERS = {
  "cache-control": "no-store", "content-security-policy": "default-src 'none'; frame-ancestors 'none'", "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff", "x-frame-options": "DENY",
};

async function fetch(request, env) {
  try {
    return await origin.fetch(request, env);
  } catch (error) {
    // What was committed before cannot be known: the same request sent again finds out.
    console.error(JSON.stringify({ level: "ERROR", message: "the origin failed", reason: String(error?.message ?? error) }));
    const hint = "not confirmed as stored; send the same request again";
    return Response.json({ error: "unavailable", hint }, { status: 503, headers: { "retry-after": "1", ...HEADERS } });
  }
}

export default { fetch, scheduled: (event, env) => origin.scheduled(env) };
