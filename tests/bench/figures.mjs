// What benchmarks make of what they have measured.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

/** `USER_HZ`, in which /proc counts, on every Linux that Node runs on. */
const TICKS_PER_S = 100;

export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Numbers of `/proc/<pid>/stat` from its fourth field on, the parent's id; undefined where there is none. */
function stat(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ").slice(1).map(Number);
  } catch {
    return undefined;
  }
}

/**
 * Processor time that a process has used, in seconds; NaN where the system does not say so in /proc. On a machine that does
 * other things as well it says more than what came of the time.
 */
export function cpuSeconds(pid) {
  const fields = stat(pid);
  return fields ? (fields[10] + fields[11]) / TICKS_PER_S : NaN;
}

/** The same of a process, its children, and those of them that have ended. */
export function cpuSecondsOfFamily(pid) {
  const parent = stat(pid);
  if (!parent) return NaN;
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(stat);
  const children = all.filter((fields) => fields?.[0] === pid);
  const ticks = [parent, ...children].map((fields) => fields[10] + fields[11]);
  return (ticks.reduce((sum, each) => sum + each) + parent[12] + parent[13]) / TICKS_PER_S;
}

const REST_LOOK_MS = 500;
const REST_WAIT_MS = 60_000;
/** Of one processor; who looks for work now and then takes less. */
const REST_SHARE = 0.1;

/**
 * Waits until processes, children included, have next to nothing to do, for a minute at most: what one of them puts off until it is
 * asked less would be done at the cost of whoever is measured next. Answers whether they came to rest.
 */
export async function untilAtRest(pids) {
  const used = () => pids.reduce((sum, pid) => sum + cpuSecondsOfFamily(pid), 0);
  for (const end = Date.now() + REST_WAIT_MS; Date.now() < end; ) {
    const before = used();
    await setTimeout(REST_LOOK_MS);
    if (!(used() - before > (REST_SHARE * REST_LOOK_MS) / 1000)) return true;
  }
  return false;
}

/** Memory that a process has now, and had at most, in MB; NaN where the system does not say so in /proc. */
export function memoryMb(pid) {
  const path = `/proc/${pid}/status`;
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const mb = (name) => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(text)?.[1] ?? NaN) / 1024;
  return { now: mb("VmRSS"), most: mb("VmHWM") };
}

/** Whether a figure keeps its target. */
export const isMet = ({ value, least, most }) => (least === undefined ? value <= most : value >= least);

/** Prints figures that have targets, and those beside them that have none. */
export function printTargets(print, targets, aside) {
  for (const target of targets) {
    const { name, value, least, most, digits = 2 } = target;
    const wanted = least === undefined ? `at most ${most}` : `at least ${least}`;
    print(`${isMet(target) ? "pass" : "FAIL"}  ${name.padEnd(46)}${value.toFixed(digits).padStart(7)}   (target ${wanted})`);
  }
  for (const { name, value, digits = 2 } of aside) print(`      ${name.padEnd(46)}${value.toFixed(digits).padStart(7)}`);
}
