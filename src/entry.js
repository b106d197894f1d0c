// The Worker: what the platform calls, and how it reaches the WebAssembly. A plain object, because of a class the platform makes an
// instance for each request. scripts/lib/worker-build.mjs bundles it with what wasm-bindgen makes of the crate ("./index.js").
//
// Nothing in the WebAssembly panics that a request can reach. Should an instance stop all the same, the next call gets a new one
// (wasm-bindgen sees to that); what was under way in the old one ends here, and nothing is claimed of it.
import * as edge from "./index.js";

/** How often an instance has stopped. */
let stops = 0;
/** How soon a batch or the cron trigger notices that, in milliseconds. */
const WATCH_MS = 500;
/** Seconds after which messages come again whose batch was under way. */
const AGAIN_S = 30;

// Batches run between the calls from here, too: what stops then is nobody's exception.
addEventListener("error", ({ error }) => {
  if (error instanceof WebAssembly.RuntimeError) stops += 1;
});

let last = 0;

/** One request: begun, and driven from promise to promise (src/platform/task.rs). */
async function fetch(request, env, context) {
  const began = Date.now();
  last = (last + 1) >>> 0;
  const id = last;
  try {
    let step = edge.begin(id, request, env, context);
    while (step instanceof Promise) {
      let value;
      let hasFailed = false;
      try {
        value = await step;
      } catch (error) {
        value = error;
        hasFailed = true;
      }
      step = edge.proceed(id, value, hasFailed);
    }
    return step ?? lost(began, "no instance knows it any more");
  } catch (error) {
    // Hardly anything else throws, and a batch that comes again without need is harmless.
    stops += 1;
    return lost(began, kindOf(error));
  }
}

/** A batch of messages. Those that are not settled when the instance stops come again soon, and not by the queue's own delay. */
async function queue(batch, env, context) {
  const began = Date.now();
  try {
    await whileItLives(() => edge.queue(batch, env, context));
  } catch (error) {
    tell(began, kindOf(error));
    // Of a message that was settled the platform ignores this.
    for (const message of batch.messages) message.retry({ delaySeconds: AGAIN_S });
  }
}

async function scheduled(event, env, context) {
  const began = Date.now();
  try {
    await whileItLives(() => edge.scheduled(event, env, context));
  } catch (error) {
    tell(began, kindOf(error));
    throw error;
  }
}

/** What `work` comes to; an error when the instance stops before. Its own promise would then never settle. */
async function whileItLives(work) {
  const atFirst = stops;
  let watch;
  const stopped = new Promise((_, reject) => {
    watch = setInterval(() => {
      if (stops !== atFirst) reject(new Error("the instance stopped"));
    }, WATCH_MS);
  });
  try {
    return await Promise.race([work(), stopped]);
  } finally {
    clearInterval(watch);
  }
}

/** What our log says of an error: its words may quote what was sent. */
function kindOf(error) {
  return error instanceof Error ? error.name : "no error";
}

/** The reply to a request that has to be sent again. Only the WebAssembly knows whose it is, and in which form it is answered. */
function lost(began, reason) {
  const requestId = tell(began, reason, 503);
  const hint = "not confirmed as stored; send the same request again after Retry-After seconds";
  const headers = { "retry-after": "30", "cache-control": "no-store", "bytec-request-id": requestId };
  return Response.json({ error: "unavailable", hint, request_id: requestId }, { status: 503, headers });
}

/** A line in the log, and the name it goes by. */
function tell(began, reason, status) {
  const requestId = crypto.getRandomValues(new Uint8Array(16)).toBase64({ alphabet: "base64url", omitPadding: true });
  const line = { level: "error", message: "the edge failed", request_id: requestId, outcome: "lost", status, reason, duration_ms: Date.now() - began };
  console.error(JSON.stringify(line));
  return requestId;
}

export default { fetch, queue, scheduled };
