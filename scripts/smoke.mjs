// `npm run smoke -- --env production`: whether a postback would go through, for each partner and each of its origins. Nothing is
// stored. Ends with 0 only when every partner is served.
import { readCommandLine } from "./lib/command-line.mjs";
import { operator, OPERATOR_HELP, OPERATOR_OPTIONS, plain } from "./lib/operator.mjs";
import { main } from "./lib/run.mjs";

const HELP = `
npm run smoke -- --env NAME [--partner CODE] [--url URL] [--json]

A test postback goes the whole way for each partner and each of its origins: edge, tunnel, origin, database. It is undone
there. Says which origin answered, and what to do where none did. Ends with 0 only when every partner is served by its
first origin and the edge has its queue and its table.

  --partner CODE   this partner alone
${OPERATOR_HELP}`;

/** What an origin's problem comes from, by the edge's words for it. */
const ADVICE = [
  [/^status 530/, "no tunnel is connected: systemctl status cloudflared, on the origin's machine"],
  [/^status 50[24]/, "the tunnel is there, the origin behind it is not: systemctl status bytec-origin"],
  [/^status 52\d/, "the address answers, but nothing behind it: does the tunnel's hostname lead to this tunnel?"],
  [/^status 40[13]/, "not believed: different EDGE_KEYS, a clock more than 5 minutes off, or Cloudflare Access; the origin's log has the cause"],
  [/^status 503/, "overloaded, or the partner's database is away: the origin's log and its /health"],
  [/^status 500/, "the origin's log has the reason (outcome internal)"],
  [/^status (?:404|405|200|3\d\d)/, "not our origin, or one without this partner or without rehearsals: is the address right, was the origin deployed first?"],
  [/^status 40[09]$/, "the origin refuses the test postback: edge and origin are of different versions, deploy both"],
  [/^status 4/, "edge and origin of different versions: deploy both"],
  [/^no key in force/, "the validities of the edge's EDGE_KEYS"],
  [/^TimeoutError|^AbortError/, "no answer within 5 s: is the database slow, is the machine?"],
  [/./, "no connection: is the tunnel up, is the address right?"],
];

await main(async () => {
  const line = readCommandLine(HELP, { ...OPERATOR_OPTIONS, partner: { type: "string" } });
  if (!line) return;
  const { values } = line;
  const edge = await operator(values);
  const body = await edge.post("smoke", { partner: values.partner });
  const isOther = Boolean(values.env) && body.environment !== values.env;
  const isOk = body.ok === true && !isOther;
  process.stdout.write(values.json ? `${JSON.stringify(body, null, 2)}\n` : `${report(edge.url, body, isOther && values.env)}\n`);
  if (!isOk) process.exitCode = 1;
});

/** The reply in lines for people. */
function report(url, { ok, environment, version, queue, left_out: leftOut, parked, partners }, wanted) {
  const lines = [`edge ${url}: ${environment}, version ${version}`];
  if (wanted) lines.push(`  PROBLEM: this is the edge of ${environment}, not of ${wanted}: does the route lead elsewhere?`);
  lines.push(queue ? "  queue: bound" : "  PROBLEM: no queue is bound to POSTBACKS: what the origin cannot take is answered 503");
  for (const problem of leftOut) lines.push(`  PROBLEM: left out of the secrets: ${problem}`);
  if (parked === null) lines.push("  PROBLEM: the table of parked postbacks does not answer: is the D1 database bound to PARKED and made?");
  else lines.push(`  parked: ${parked} waiting${parked ? ` (npm run parked -- list --state parked ...)` : ""}`);
  for (const { partner, missing_secrets: missing, origins } of partners) {
    lines.push(partner);
    if (missing.length) lines.push(`  PROBLEM: nobody can prove to be this partner: put the secret ${missing.join(", ")} with an entry of its own`);
    origins.forEach((origin, place) => lines.push(...ofOrigin(origin, place === 0, environment)));
  }
  lines.push(ok && !wanted ? "ok: every partner is served" : "not ok: see PROBLEM above");
  return lines.map(plain).join("\n");
}

function ofOrigin({ url, acknowledged, duration_ms: ms, answer, problem }, isFirst, environment) {
  const name = isFirst ? "origin" : "fallback";
  if (!acknowledged) {
    const advice = ADVICE.find(([pattern]) => pattern.test(problem))?.[1];
    // Partners are served without a fallback.
    return [`  ${isFirst ? "PROBLEM" : "warning"}: ${name} ${url}: ${problem} (${ms} ms)`, `    ${advice}`];
  }
  const { origin, database } = answer ?? {};
  const lines = [`  ${name} ${url}: acknowledged, ${ms} ms`];
  if (origin) lines.push(`    instance ${origin.instance}, version ${origin.version}, ${origin.environment}, started ${origin.started_at}`);
  if (database) lines.push(`    database ${database.name} (${database.kind})`);
  if (origin && origin.environment !== environment) lines.push(`    warning: the edge says ${environment}, this origin ${origin.environment}`);
  return lines;
}
