// Requests byte by byte: neither target nor headers go through a parser that could mend them.
import { request } from "node:http";

/**
 * Sends a request and reads the answer whole. A header whose value is a list is sent as often as the list is long; `chunks`
 * in place of `body` are sent without a length, and `endless` leaves the end of them open.
 */
export function send(url, { method = "GET", target, headers = {}, body, chunks, endless = false }) {
  const { hostname, port } = new URL(url);
  const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    let answered = false;
    // A connection of its own: one on which a body was refused unread is closed by the other side, sooner or later.
    const asked = request({ hostname, port, path: target, method, agent: false, headers: { ...length, ...headers } }, (answer) => {
      answered = true;
      let text = "";
      const done = () => {
        resolve({ status: answer.statusCode, headers: answer.headers, text });
        // Whoever refuses a body half-way does not wait for the rest of it.
        asked.destroy();
      };
      answer.on("data", (chunk) => (text += chunk)).on("end", done);
    });
    asked.on("error", (error) => answered || reject(error));
    if (chunks === undefined) return asked.end(body);
    for (const chunk of chunks) asked.write(chunk);
    if (!endless) asked.end();
  });
}
