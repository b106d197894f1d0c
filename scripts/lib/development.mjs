// What the two ways to run the development set-up have in common.
import { portIsFree } from "./processes.mjs";
import { Complaint } from "./run.mjs";

/** A first build of the edge is part of the wait. */
export const EDGE_TIMEOUT_MS = 15 * 60 * 1000;

/** A port of a variable that nobody listens on. */
export async function freePortOf(name, otherwise) {
  const number = port(name, otherwise);
  if (!(await portIsFree(number))) throw new Complaint(`port ${number} is taken; stop what listens there or set ${name} to another`);
  return number;
}

/** The edge's port. */
export const edgePortOrComplain = () => freePortOf("EDGE_PORT", 8787);

function port(name, otherwise) {
  const text = process.env[name] || `${otherwise}`;
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > 65535) throw new Complaint(`${name} must be a port, not "${text}"`);
  return number;
}

/** Resolves at Ctrl-C or SIGTERM, and remembers that it did. */
export function onceStopped() {
  const stopped = new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
      process.on(signal, () => {
        stopped.isStopped = true;
        resolve(signal);
      });
    }
  });
  stopped.isStopped = false;
  return stopped;
}

/** The work, or nothing when we are told to stop first. */
export async function orStopped(stopped, work) {
  await Promise.race([stopped, work]);
  if (stopped.isStopped) work.catch(() => {});
}

/** Something to try. */
export function invite(edgeUrl) {
  const query =
    "click_id=test123&media_id=456&rewars=10.50&conversion_id=conv789&event=purchase" +
    "&event_time=2025-01-01%2012:00:00&offer_name=test_offer&datetime_conversion=2025-01-01%2012:00:00" +
    "&usd_sale_amount=100.00";
  process.stdout.write(`\n  curl -i '${edgeUrl}/involve/event?${query}'\n\n`);
}
