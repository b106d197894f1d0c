// Postbacks at a rate, and what became of each: the one side of the check whether anything was lost or doubled.
import { setTimeout as wait } from "node:timers/promises";

/** How often a postback is sent that gets no answer at all: a busy machine drops connections that workerd has not accepted in time. */
const SENDS_MAX = 4;

/** How many are under way at most: a machine that cannot keep up with the rate is not asked for ever more, but later. */
const IN_FLIGHT_MAX = 300;

/**
 * Sends `perSecond` postbacks a second, or as many as the machine can take, until `stop()`; `target(n)` is the URL of the n-th. One that
 * gets no answer is sent again, as partners are told to. Answers the history: one entry for each, with the status of its reply (0: none),
 * how often it was sent, and how long the reply took.
 */
export function startLoad(target, { perSecond }) {
  const history = [];
  const inFlight = new Set();
  const began = Date.now();
  let isOver = false;
  const send = async (entry) => {
    while (entry.status === 0 && entry.sends < SENDS_MAX) {
      const sent = Date.now();
      entry.sends += 1;
      try {
        const reply = await fetch(entry.url, { redirect: "manual", signal: AbortSignal.timeout(10_000) });
        await reply.arrayBuffer();
        entry.status = reply.status;
        entry.verdict = reply.headers.get("bytec-verdict");
      } catch (error) {
        entry.problem = `${error.cause ?? error}`;
      }
      entry.tookMs = Date.now() - sent;
    }
    inFlight.delete(entry);
  };
  const running = (async () => {
    for (let n = 0; !isOver; n++) {
      const dueMs = (n * 1_000) / perSecond - (Date.now() - began);
      if (dueMs > 0) await wait(dueMs);
      while (inFlight.size >= IN_FLIGHT_MAX) await wait(5);
      const entry = { n, atMs: Date.now() - began, url: target(n), status: 0, sends: 0 };
      history.push(entry);
      inFlight.add(entry);
      void send(entry);
    }
    while (inFlight.size > 0) await wait(20);
    return history;
  })();
  return {
    history,
    stop: () => {
      isOver = true;
      return running;
    },
  };
}

/** The value below which a share of all values lies. */
export function percentile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
