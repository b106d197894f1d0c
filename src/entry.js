// The Worker: what the platform calls, and how it reaches the WebAssembly. A plain object, because of a class the platform makes an
// instance for each request. scripts/lib/edge-build.mjs bundles it with what wasm-bindgen makes of the crate ("./index.js").
import { begin, proceed, queue, scheduled } from "./index.js";

let last = 0;

/** One request: begun, and driven from promise to promise (src/platform/task.rs). */
async function fetch(request, env, context) {
  last = (last + 1) >>> 0;
  const id = last;
  try {
    let step = begin(id, request, env, context);
    while (step instanceof Promise) {
      let value;
      let hasFailed = false;
      try {
        value = await step;
      } catch (error) {
        value = error;
        hasFailed = true;
      }
      step = proceed(id, value, hasFailed);
    }
    // Undefined: the instance that had begun it is gone.
    return step ?? lost("it was under way when the edge stopped");
  } catch (error) {
    return lost(error instanceof Error ? error.name : "no error");
  }
}

/**
 * The reply to a request whose WebAssembly has stopped, which takes a panic: the next call gets a new instance (wasm-bindgen
 * sees to that), and this one has to be sent again. Nothing is claimed of it.
 */
function lost(reason) {
  console.error(JSON.stringify({ level: "error", message: "the edge failed", outcome: "lost", status: 503, reason }));
  const hint = "not confirmed as stored; send the same request again after Retry-After seconds";
  const headers = { "retry-after": "30", "cache-control": "no-store" };
  return Response.json({ error: "unavailable", hint }, { status: 503, headers });
}

export default { fetch, queue, scheduled };
