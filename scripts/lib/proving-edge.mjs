// An edge whose partners prove themselves in every way there is, and that panics when it is asked to, for tests: the live
// partners, so that the real origin knows their endpoints and databases, with other modes under `auth`.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildEdge } from "./edge-build.mjs";
import { CACHE, Complaint, ROOT } from "./run.mjs";

/** Where it is built. */
export const PROVING_EDGE = join(CACHE, "proving-edge");

/** What its partner files say; the secrets are the tests' own. */
export const PROVING = {
  ipAllow: ["203.0.113.0/24", "198.51.100.7/32", "2001:db8:aaaa::/48"],
  mtlsSha256: ["3f".repeat(31) + "0a", "b7".repeat(31) + "1c"],
  issuer: "https://issuer.example",
  audience: "bytec-postback",
  /** Whose tokens must not open what is another tenant's. */
  otherTenant: "neighbour",
};

const list = (texts) => JSON.stringify(texts);

/** What is different in each partner's file: whole lines, or null where one is missing, and tables behind its end. */
const CHANGES = {
  involve_asia: {
    lines: { auth: list(["ip", "mtls"]) },
    tables: `[ip]\nallow = ${list(PROVING.ipAllow)}\n\n[mtls]\nsha256 = ${list(PROVING.mtlsSha256)}\n`,
  },
  // Its words for statuses are wrong as well: one means something else, and one is missing.
  rector: { lines: { auth: list(["path_key", "token"]), [`"Paid"`]: `"rejected"`, [`"Pending"`]: null }, tables: "" },
  s2s: {
    lines: { auth: list(["signature", "jwt"]), tenant: JSON.stringify(PROVING.otherTenant) },
    tables: `[jwt]\nissuer = ${JSON.stringify(PROVING.issuer)}\naudience = ${JSON.stringify(PROVING.audience)}\n`,
  },
};

/** Builds it, unless it is there as it would be built. */
export async function buildProvingEdge() {
  const folder = join(CACHE, "proving-partners");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(join(ROOT, "partners")).filter((name) => name.endsWith(".toml"))) {
    const code = name.replace(".toml", "");
    if (CHANGES[code] === undefined) throw new Complaint(`scripts/lib/proving-edge.mjs does not say how ${code} proves itself`);
    const text = readFileSync(join(ROOT, "partners", name), "utf8");
    writeFileSync(join(folder, name), changed(text, name, CHANGES[code]));
  }
  await buildEdge({ partners: folder, features: ["faults"], out: PROVING_EDGE });
}

function changed(text, name, { lines, tables }) {
  for (const [key, value] of Object.entries(lines)) {
    const line = new RegExp(`^${key} = .*$`, "m");
    if (!line.test(text)) throw new Complaint(`partners/${name} has no line for ${key}`);
    text = text.replace(line, value === null ? "" : `${key} = ${value}`);
  }
  return `${text}\n${tables}`;
}
