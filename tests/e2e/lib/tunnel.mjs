// The tunnel between edge and origin: a plain proxy that keeps what went through it, byte for byte, and can be told to
// fail in the ways that tunnels do.
import { createServer, request } from "node:http";

/** Starts a tunnel to an origin. Set `mode` to one of FAULTS' names to break it. */
export async function startTunnel(originUrl) {
  const tunnel = { originUrl, mode: "through", requests: [], reports: [] };
  const server = createServer(async (incoming, reply) => {
    const body = await collect(incoming);
    const captured = { method: incoming.method, target: incoming.url, headers: pairs(incoming.rawHeaders), body };
    // What the edge reports of itself comes when it comes; tests of postbacks and clicks look at these alone.
    (captured.target.startsWith("/rejections/") ? tunnel.reports : tunnel.requests).push(captured);
    const fault = FAULTS[tunnel.mode];
    if (fault) return fault(reply, captured, tunnel);
    try {
      const answer = await replay(tunnel.originUrl, captured);
      reply.writeHead(answer.status, answer.headers);
      reply.end(answer.body);
    } catch {
      reply.writeHead(502, { "content-type": "text/html" });
      reply.end("<html>502 Bad Gateway</html>");
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  tunnel.url = `http://127.0.0.1:${server.address().port}`;
  tunnel.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return tunnel;
}

const html = (status) => (reply) => {
  reply.writeHead(status, { "content-type": "text/html" });
  reply.end("<html><body>OK</body></html>");
};

/** What can stand where our origin should be. */
export const FAULTS = {
  "refuses with 502": html(502),
  "answers 530 and HTML": html(530),
  "answers 200 and HTML": html(200),
  "redirects": (reply) => {
    reply.writeHead(302, { location: "http://127.0.0.1:9/" });
    reply.end();
  },
  "resets": (reply) => reply.socket.destroy(),
  "answers 503 after the commit": async (reply, captured, tunnel) => {
    await replay(tunnel.originUrl, captured);
    reply.writeHead(503, { "content-type": "text/plain" });
    reply.end("busy");
  },
  // The origin has committed; what it answers arrives in part.
  "cuts the reply within its head": async (reply, captured, tunnel) => {
    await replay(tunnel.originUrl, captured);
    reply.socket.end("HTTP/1.1 200 OK\r\nContent-Type: text/pl");
  },
  "cuts the reply behind its head": async (reply, captured, tunnel) => {
    const answer = await replay(tunnel.originUrl, captured);
    reply.writeHead(200, { ...answer.headers, "content-length": "1000" });
    reply.write("{", () => reply.socket.destroy());
  },
  "sends a byte a second": (reply) => {
    const bytes = [..."HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"];
    const timer = setInterval(() => (bytes.length ? reply.socket.write(bytes.shift()) : clearInterval(timer)), 1_000);
    reply.socket.on("close", () => clearInterval(timer));
  },
  "never answers": () => {},
  // Everything of a right answer but the key.
  "answers 200 with a forged acknowledgement": (reply, captured) => {
    const id = captured.headers.find(([name]) => name.toLowerCase() === "bytec-event-id")[1];
    const mac = Buffer.alloc(32, 1).toString("base64url");
    reply.writeHead(200, { "bytec-ack": `v1;verdict=created;kid=development;mac=${mac}`, "bytec-event-id": id });
    reply.end("OK");
  },
  // A right answer, to an earlier request.
  "answers with a recorded acknowledgement": async (reply, captured, tunnel) => {
    tunnel.recorded ??= await replay(tunnel.originUrl, captured);
    reply.writeHead(tunnel.recorded.status, tunnel.recorded.headers);
    reply.end(tunnel.recorded.body);
  },
};

/** Sends a captured request, exactly as it was, and reads the answer whole. */
export function replay(originUrl, { method, target, headers, body }) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(originUrl);
    const flat = headers.filter(([name]) => !/^(host|connection)$/i.test(name)).flat();
    const outgoing = request({ hostname, port, method, path: target, headers: [...flat, "Host", `${hostname}:${port}`] }, async (answer) => {
      const { "transfer-encoding": _, connection: __, "keep-alive": ___, ...kept } = answer.headers;
      resolve({ status: answer.statusCode, headers: kept, body: await collect(answer) });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function pairs(rawHeaders) {
  const found = [];
  for (let i = 0; i < rawHeaders.length; i += 2) found.push([rawHeaders[i], rawHeaders[i + 1]]);
  return found;
}
