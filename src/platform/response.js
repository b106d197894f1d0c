import { headOf } from "./head.js";

/** A response. */
export function respond(head, body) {
  const [[, status], headers] = headOf(head, 1);
  return new Response(body, { status: Number(status), headers });
}
