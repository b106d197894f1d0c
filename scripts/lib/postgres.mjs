// A throw-away PostgreSQL: its own cluster in a temporary folder, on a port of its own, removed afterwards. Durability is
// left as it is in production (fsync on), because the tests are about it.
import { existsSync, mkdtempSync, readdirSync, rmSync, chownSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, Running, until } from "./processes.mjs";
import { aptInstall, ask, Complaint, run } from "./run.mjs";

/** The folder of the server's programs, installed where they are absent. */
export async function postgresPrograms() {
  const found = findPrograms();
  if (found) return found;
  await aptInstall(["postgresql"], "PostgreSQL server for the tests");
  const installed = findPrograms();
  if (!installed) throw new Complaint("no PostgreSQL server programs (initdb) found; install the postgresql package");
  return installed;
}

function findPrograms() {
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql") : [];
  const newestFirst = versions.sort((a, b) => Number(b) - Number(a)).map((v) => `/usr/lib/postgresql/${v}/bin`);
  const fromConfig = ask("pg_config", ["--bindir"]);
  return [...newestFirst, fromConfig].find((folder) => folder && existsSync(join(folder, "initdb")));
}

/** Starts a cluster; answers its URL, its first process, and how to stop it. `more` are further settings, `onLine` gets its log. */
export async function startPostgres({ more = [], onLine } = {}) {
  const programs = await postgresPrograms();
  const folder = mkdtempSync(join(tmpdir(), "bytec-postgres-"));
  const user = ordinaryUser();
  if (user) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const as = user ? ["setpriv", [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups", "--"]] : undefined;
  const asUser = (program, args) => (as ? [as[0], [...as[1], join(programs, program), ...args]] : [join(programs, program), args]);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    await run(...asUser("initdb", ["-D", data, "-U", "bytec", "-A", "trust", "-E", "UTF8", "--locale=C"]), { quiet: true, cwd: "/" });
    const port = await freePort();
    const settings = ["-p", `${port}`, "-c", "listen_addresses=127.0.0.1", "-c", `unix_socket_directories=${folder}`, "-c", "max_connections=200", ...more.flatMap((setting) => ["-c", setting])];
    const isReady = async () => ask(join(programs, "pg_isready"), ["-h", "127.0.0.1", "-p", `${port}`]) !== undefined;
    let server;
    const start = async () => {
      server = new Running("postgres", ...asUser("postgres", ["-D", data, ...settings]), { cwd: "/", onLine });
      await until("PostgreSQL", isReady, { running: [server] });
    };
    await start();
    /** Stops it at once, as a loss of power would: what was not on the disk is gone (pg_ctl stop -m immediate). */
    const crash = () => server.stop("SIGQUIT");
    const stop = async () => {
      // SIGINT is PostgreSQL's fast shutdown: clients are disconnected, nothing is lost.
      await server.stop("SIGINT");
      remove();
    };
    return { url: `postgres://bytec@127.0.0.1:${port}/postgres`, port, pid: server.pid, psql: join(programs, "psql"), start, crash, stop };
  } catch (error) {
    remove();
    throw error;
  }
}

/** PostgreSQL refuses to run as root; its own user exists where its package is installed. */
function ordinaryUser() {
  if (process.getuid() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const uid = ask("id", ["-u", name]);
    const gid = ask("id", ["-g", name]);
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Complaint("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as");
}
