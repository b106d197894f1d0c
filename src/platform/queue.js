import { timeout, within } from "./timer.js";

/** Sends texts. What is still under way when time has run out goes on in the background, where there is one. */
export async function enqueue(context, queue, texts, timeoutMs) {
  const sent = texts.length === 1
    ? queue.send(texts[0], { contentType: "text" })
    : queue.sendBatch(texts.map((body) => ({ body, contentType: "text" })));
  context?.waitUntil(sent.catch(() => {}));
  await within(timeoutMs, sent, timeout("the queue did not answer in time"));
  return "";
}
