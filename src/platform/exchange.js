// One request to an origin and what it answered.

import { env } from "cloudflare:workers";
import { headOf } from "./head.js";

/** How an origin is named that is a Worker bound to this one; the binding's name comes behind. */
const SERVICE = "service://";

/** Fetches by the network, or by a service binding: that way there is no tunnel. */
function reach(url, init) {
  if (!url.startsWith(SERVICE)) return fetch(url, init);
  const [name] = url.slice(SERVICE.length).split("/", 1);
  if (env[name] === undefined) throw new Error(`no service is bound as ${name}`);
  // A binding leads to one Worker, whatever the host is called.
  return env[name].fetch(`https://origin${url.slice(SERVICE.length + name.length)}`, init);
}

/**
 * Answers the status and the acknowledgement, a line each; then Content-Type, Retry-After and the body, where they matter: of an
 * acknowledged success they say nothing that the acknowledgement does not. What body it has in spite of that is read to its end
 * behind the reply, which keeps the connection. Others' bodies are let go of. The signal bounds headers and body together.
 */
export async function exchange(context, head, body, timeoutMs, bodyCharsMax) {
  const [[, method, url], headers] = headOf(head, 2);
  const reply = await reach(url, { method, headers, body, redirect: "manual", signal: AbortSignal.timeout(timeoutMs) });
  const { status, headers: told } = reply;
  const acknowledgement = told.get("bytec-ack");
  if (acknowledgement && status < 300 && context) {
    if (told.get("content-length") !== "0") context.waitUntil(reply.arrayBuffer().catch(() => {}));
    return `${status}\n${acknowledgement}`;
  }
  let text = "";
  if (acknowledgement) text = (await reply.text()).slice(0, bodyCharsMax);
  else reply.body?.cancel().catch(() => {});
  return `${status}\n${acknowledgement ?? ""}\n${told.get("content-type") ?? ""}\n${told.get("retry-after") ?? ""}\n${text}`;
}
