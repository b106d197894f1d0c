import { within } from "./timer.js";

/** Counts one for a key: an empty text within the limit. A limiter that does not answer in time lets pass. */
export async function count(limiter, key, timeoutMs) {
  const { success } = await within(timeoutMs, limiter.limit({ key }), () => ({ success: true }));
  return success ? "" : "over";
}
