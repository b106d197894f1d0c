// Tokens and keys by command, believed by a running origin (docs/tokens.md).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { ROOT } from "../../scripts/lib/run.mjs";
import { BINARY, freshDatabases, KINDS, startOrigin, uniqueId } from "./lib/origin.mjs";
import { involveA, TOKEN } from "./lib/requests.mjs";

const PRODUCTION = { ENVIRONMENT: "production", EDGE_KEYS: `k1:${"5a".repeat(32)}` };

for (const kind of KINDS) {
  describe(`tokens and keys on ${kind}`, () => {
    let databases;
    let origin;
    /** Runs a command; answers what it printed, and its exit code. */
    const command = (line, input = "") => {
      const { status, stdout, stderr } = spawnSync(BINARY, line.split(" "), { cwd: ROOT, env: { ...process.env, USER: "ann", SUDO_USER: "", ...databases.env }, input, encoding: "utf8" });
      return { status, stdout, stderr };
    };
    const made = (line) => {
      const { status, stdout, stderr } = command(`${line} --json`);
      assert.equal(status, 0, stderr);
      return JSON.parse(stdout);
    };
    // An origin whose database has taken too long to answer says 503 to whom it does not know, and does not ask it for a few seconds.
    const sent = async (token, id = uniqueId()) => {
      let answer;
      await until("an answer about the token", async () => {
        const reply = await origin.fetch(`/postback/involve/event?${involveA(id)}&ts_token=${token}`);
        answer = `${reply.status} ${await reply.text()}`.split(/[ :]/).slice(0, 3).join(" ");
        return reply.status !== 503;
      }, { everyMs: 200, timeoutMs: 20_000 });
      return answer;
    };

    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin({ env: { ...databases.env, ...PRODUCTION } });
    });
    after(async () => {
      await origin?.stop();
      databases?.remove();
    });

    test("a token lets in, from the moment that it is made, and its name stands with what it sent", async () => {
      assert.match(await sent("no-such-token"), /^403/);
      const token = made("tokens create --tenant bytec --label involve");
      assert.match(token.secret, /^bct_[0-9a-f]{64}$/);
      const id = uniqueId();
      // Whoever guessed a moment ago has used up the question to the database; the next is a second later.
      await until("the new token", async () => (await sent(token.secret, id)) === "200 OK", { everyMs: 200, timeoutMs: 20_000 });
      const stored = databases.rows("involve_asia_db", `select distinct auth_mode, key_id from postbacks where target like '%${id}%'`);
      assert.deepEqual(stored, [{ auth_mode: "token", key_id: token.id }]);
      const kept = databases.rows("bytec_db", `select digest, last_used_at from credentials where credential_id = '${token.id}'`);
      assert.equal(kept[0].digest, createHash("sha256").update(token.secret).digest("hex"));
    });

    test("the public token of the development set-up is none, and a key is no token", async () => {
      assert.match(await sent(TOKEN), /^403/);
      for (const scope of ["read", "operate"]) {
        const key = made(`keys create --tenant bytec --scope ${scope}`);
        assert.match(key.secret, /^bck_[0-9a-f]{64}$/);
        assert.match(await sent(key.secret), /^403/);
      }
    });

    test("a rotated token holds beside the new one, and a revoked one is over within ten seconds", async () => {
      const old = made("tokens create --tenant bytec");
      await until("the token", async () => (await sent(old.secret)) === "200 OK", { everyMs: 200, timeoutMs: 20_000 });
      const fresh = made(`tokens rotate ${old.id} --overlap-hours 1`);
      assert.equal(fresh.replaces, old.id);
      await until("the new token", async () => (await sent(fresh.secret)) === "200 OK", { everyMs: 200, timeoutMs: 20_000 });
      assert.equal(await sent(old.secret), "200 OK");
      assert.equal(command(`tokens revoke ${old.id}`).status, 0);
      await until("the end of the old one", async () => (await sent(old.secret)).startsWith("403"), { everyMs: 500, timeoutMs: 12_000 });
      assert.equal(await sent(fresh.secret), "200 OK");
    });

    test("lists and checks tell people what there is, and no secret", () => {
      const token = made("tokens create --tenant bytec --label shown");
      const listed = command("tokens list --all");
      assert.match(listed.stdout, new RegExp(`^${token.id}  in force ingest   bytec .* shown$`, "m"));
      assert.match(listed.stdout, /revoked/);
      assert.ok(!listed.stdout.includes(token.secret) && !listed.stdout.includes("key-"));
      assert.match(command("tokens check", `${token.secret}\n`).stdout, new RegExp(`^${token.id}`));
      for (const [line, input] of [["tokens check", "bct_00"], ["keys check", token.secret]]) {
        const { status, stderr } = command(line, input);
        assert.equal(status, 1);
        assert.match(stderr, /this is no (token|key) that was made here/);
      }
      // What the edge's TENANT_TOKENS is set to: digests alone.
      const entries = command("tokens edge").stdout.trim().split(",");
      const digest = createHash("sha256").update(token.secret).digest("hex");
      const entry = entries.find((each) => each.startsWith(`bytec=sha256:${digest}@/`));
      assert.equal(entry, `bytec=sha256:${digest}@/${token.expires_at}`);
    });

    test("what is wrong is said, and changes nothing", () => {
      const audited = () => command("audit --json").stdout;
      const before = audited();
      const token = JSON.parse(command("tokens list --json").stdout)[0];
      for (const [line, status, words] of [
        ["tokens create --tenant nobody", 1, /--tenant: no partner file has the tenant "nobody"; there are bytec/],
        ["keys create --tenant bytec --scope read --for-partner nobody", 1, /--for-partner: bytec has no partner "nobody"/],
        ["keys create --tenant bytec --scope ingest", 2, /possible values: read, operate/],
        ["tokens create --tenant bytec --days 0", 2, /--days/],
        ["tokens revoke token-000000000000", 1, /there is no token token-000000000000/],
        [`keys rotate ${token.id}`, 1, new RegExp(`${token.id} is a token: bytec-origin tokens`)],
      ]) {
        const told = command(line);
        assert.deepEqual([told.status, words.test(told.stderr)], [status, true], `${line}: ${told.stderr}`);
      }
      assert.equal(audited(), before);
    });

    test("every change is in the audit log, with who made it", () => {
      const entries = JSON.parse(command("audit --json --limit 1000").stdout);
      const actions = new Set(entries.map(({ action }) => action));
      assert.deepEqual([...actions].sort(), ["key.create", "partner.sync", "token.create", "token.revoke", "token.rotate"]);
      for (const { action, actor } of entries) assert.match(actor, action === "partner.sync" ? /^origin:[0-9a-f]{8}$/ : /^cli:ann$/);
      const partners = databases.rows("bytec_db", "select partner, tenant from partners order by partner");
      assert.deepEqual(partners, ["involve_asia", "rector", "s2s"].map((partner) => ({ partner, tenant: "bytec" })));
    });

    test("neither log nor database has a secret", () => {
      const token = made("tokens create --tenant bytec");
      const tables = ["credentials", "audit_log"].map((table) => JSON.stringify(databases.rows("bytec_db", `select * from ${table}`))).join("");
      assert.ok(!tables.includes(token.secret.slice(4)) && !tables.includes("bct_"));
      assert.ok(!origin.lines.some((line) => line.includes("bct_") || line.includes("bck_")));
    });
  });
}

describe("tokens where no command reaches the database", () => {
  test("the printed SQL makes them on D1", async () => {
    const databases = freshDatabases("d1");
    const origin = await startOrigin(databases);
    try {
      const { stdout, stderr } = spawnSync(BINARY, ["tokens", "create", "--tenant", "bytec", "--sql"], { encoding: "utf8" });
      const [id, secret] = stderr.trim().split("\n");
      assert.ok(!stdout.includes(secret.slice(4)));
      for (const statement of stdout.split(";\n").filter((text) => text.trim())) databases.rows("bytec_db", statement);
      const reply = await origin.fetch(`/postback/involve/event?${involveA(uniqueId())}&ts_token=${secret}`);
      assert.equal(reply.status, 200, await reply.text());
      assert.deepEqual(databases.rows("involve_asia_db", "select key_id from postbacks"), [{ key_id: id }]);
      assert.equal((await (await origin.fetch("/health")).json()).shared_database, "ok");
    } finally {
      await origin.stop();
      databases.remove();
    }
  });
});
