// Calls of an operator to the edge: POST /ops/smoke. The token comes from the environment and goes nowhere but to the edge.
// What is parked the origin's program looks after (bytec-origin parked).
import { edgeUrl } from "./environments.mjs";
import { Complaint } from "./run.mjs";

/** The operator's token of the development set-up. Public, so believed nowhere else. */
export const DEVELOPMENT_TOKEN = "default-operator-token";

/** A rehearsal asks every origin of every partner one after the other, 5 s each. */
const TIMEOUT_MS = 120_000;

/** Options of a command for operators. */
export const OPERATOR_OPTIONS = {
  env: { type: "string" },
  url: { type: "string" },
  json: { type: "boolean", default: false },
};

/** How those options are explained. */
export const OPERATOR_HELP = `
  --env NAME   the edge of this environment: production, staging, ... as in wrangler.toml, or development (this machine,
               EDGE_PORT)
  --url URL    the edge at this address, in place of the environment's
  --json       print what the edge answered

The token is read from OPERATOR_TOKEN; development has a public one.`;

/** The edge that the options mean, and a way to call it. */
export async function operator({ env, url }) {
  if (!env && !url) throw new Complaint("say --env production (or another environment), or --url");
  const edge = url ? checkedUrl(url) : await edgeUrl(env);
  const token = process.env.OPERATOR_TOKEN || (env === "development" ? DEVELOPMENT_TOKEN : "");
  if (!token) throw new Complaint("OPERATOR_TOKEN is not set: it is your token out of the edge's secret OPERATOR_TOKENS");
  return {
    url: edge,
    /** Answers the JSON of a 200. */
    async post(operation, query) {
      const given = Object.entries(query).filter(([, value]) => value !== undefined);
      const target = given.length ? `${operation}?${new URLSearchParams(given)}` : operation;
      return read(edge, await post(`${edge}/ops/${target}`, token));
    },
  };
}

function checkedUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHere = ["127.0.0.1", "localhost", "[::1]"].includes(url?.hostname);
  if (!url || url.pathname !== "/" || url.search || url.username) throw new Complaint("--url is scheme and host alone, such as https://network.bytec.com");
  // A token that went over the wire in the clear is nobody's any more.
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isHere)) throw new Complaint("--url begins with https://; http:// is for this machine alone");
  return url.origin;
}

async function post(url, token) {
  const headers = { authorization: `Bearer ${token}`, accept: "application/json" };
  try {
    const reply = await fetch(url, { method: "POST", headers, redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { status: reply.status, retryAfter: reply.headers.get("retry-after"), text: await reply.text() };
  } catch (error) {
    const { origin } = new URL(url);
    if (error.name === "TimeoutError") throw new Complaint(`${origin} did not answer within ${TIMEOUT_MS / 1000} s`);
    // fetch says what went wrong in its cause; the token is in neither.
    throw new Complaint(`nothing answers at ${origin} (${error.cause?.code ?? error.cause?.message ?? error.name}): is the edge running, is the address right?`);
  }
}

/** What to do about an edge's refusal, by its code. */
const REFUSALS = {
  signature_invalid: () => "the edge does not know this token: is OPERATOR_TOKEN one of the secret OPERATOR_TOKENS of this environment?",
  rate_limited: ({ retryAfter }) => `too many calls with a wrong token from here: mend OPERATOR_TOKEN and try again in ${retryAfter ?? 60} s`,
  unclear_filter: (_, { field, hint }) => `${field} ${hint}`,
  operation_not_found: () => "this edge has no such operation: is it of an older version?",
  partner_not_found: () => "this edge has no operations: is it of an older version?",
  unavailable: () => "the edge's configuration is wrong, or the table of parked postbacks does not answer: the log of the edge has the reason (npx wrangler tail --env NAME)",
};

function read(edge, answer) {
  const { status, text } = answer;
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    const what = status >= 300 && status < 400 ? "a redirect" : "no JSON";
    throw new Complaint(`${edge} answered ${status} and ${what}: that is not the edge, or something stands in front of it`);
  }
  if (status === 200) return body;
  const advice = REFUSALS[body?.error]?.(answer, body) ?? body?.hint ?? "that is not an answer of the edge";
  const name = body?.request_id ? ` (request ${body.request_id})` : "";
  throw new Complaint(`${plain(`${edge} answered ${status} ${body?.error ?? ""}`).trim()}: ${plain(advice)}${plain(name)}`);
}

/** A text without what a terminal could take for a command. */
export const plain = (text) => `${text}`.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ");
