// The redirector: visitors are sent on at once, their clicks reach the partner's database in batches (R30).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { until } from "../../scripts/lib/processes.mjs";
import { startEdge } from "./lib/edge.mjs";
import { ALL_KINDS, freshDatabases, startOrigin } from "./lib/origin.mjs";
import { startTunnel } from "./lib/tunnel.mjs";

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";
const QUEUE = "bytec-dev-clicks";

for (const kind of ALL_KINDS) {
  describe(`clicks, on ${kind}`, () => {
    let databases, origin, tunnel, edge;
    before(async () => {
      databases = freshDatabases(kind);
      origin = await startOrigin(databases);
      tunnel = await startTunnel(origin.url);
      edge = await startEdge({ originUrl: tunnel.url, bindings: { RETRY_DELAYS_S: "1,1,1,1,1,1,1,1" } });
    });
    after(async () => {
      await edge?.stop();
      await tunnel?.stop();
      await origin?.stop();
      databases?.remove();
    });

    const clicks = (where = "true") => databases.rows("s2s_db", `select * from clicks where ${where}`);
    const click = async (query = "", init = {}) => {
      const reply = await edge.fetch(`/click/example${query}`, init);
      return { reply, location: new URL(reply.headers.get("location") ?? "none:"), id: new URL(reply.headers.get("location") ?? "none:").searchParams.get("click_id") };
    };

    test("a visitor is sent to the offer's page, and the click is stored once", async () => {
      const { reply, location, id } = await click("?sub_id=a%20b%26c&utm_source=news&utm_x=1&media_id=m&url=https://evil.example&consent_version=v2", {
        headers: { "user-agent": IPHONE, referer: "https://blog.example/post?mail=a@b.c" },
      });
      assert.deepEqual([reply.status, reply.headers.get("cache-control"), await reply.text()], [302, "no-store", ""]);
      assert.equal(location.origin, "https://example.com");
      assert.match(id, /^[0-9a-v]{36}$/);
      assert.equal(location.searchParams.get("sub_id"), "a b&c");
      assert.ok(!location.href.includes("evil"));
      await until("the click", async () => clicks(`click_id = '${id}'`).length === 1);
      const [row] = clicks(`click_id = '${id}'`);
      assert.deepEqual(
        [row.offer, row.sub_id, row.media_id, row.device, row.referrer, row.consent_version],
        ["example", "a b&c", "m", "mobile", "https://blog.example/post", "v2"],
      );
      const utm = typeof row.utm === "string" ? JSON.parse(row.utm) : row.utm;
      assert.deepEqual(utm, { utm_source: "news", utm_x: "1" });
      assert.ok(!edge.lines.join("\n").includes("blog.example"), "nothing of a visitor is logged");
    });

    test("ids sort by time and no two are alike", async () => {
      const ids = [];
      for (let n = 0; n < 20; n++) {
        ids.push((await click()).id);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      assert.deepEqual(ids.toSorted(), ids);
      assert.equal(new Set(ids.map((id) => id.slice(10))).size, 20);
    });

    test("a dead origin delays nobody, and gets the clicks when it is back", async () => {
      tunnel.mode = "never answers";
      const ids = [];
      const began = Date.now();
      for (let n = 0; n < 25; n++) ids.push((await click(`?sub_id=dead${n}`)).id);
      assert.ok(Date.now() - began < 2_500, `25 clicks took ${Date.now() - began} ms`);
      // Long enough for a batch to have been tried in vain.
      await until("an attempt in vain", async () => edge.logged().some((line) => line.outcome === "retry"), { timeoutMs: 20_000 });
      tunnel.mode = "through";
      const before = tunnel.requests.length;
      await until("all clicks", async () => clicks("sub_id like 'dead%'").length === 25);
      assert.deepEqual(clicks("sub_id like 'dead%'").map((row) => row.click_id).toSorted(), ids.toSorted());
      assert.ok(tunnel.requests.length - before < 25, "in batches");
    });

    test("a click that cannot be read does not keep the others, and is parked", async () => {
      tunnel.requests.length = 0;
      const { id } = await click("?sub_id=template");
      await until("a template", async () => clicks("sub_id = 'template'").length === 1);
      const [good] = JSON.parse(tunnel.requests.at(-1).body).clicks;
      const message = (change, partner = "s2s") => JSON.stringify({ form: 1, partner, click: { ...good, ...change }, replays: 0 });
      // A letter that the id does not have in that place: none of these is the id itself, whatever that ends with.
      const letter = id.at(-2) === "a" ? "b" : "a";
      const other = (n) => id.slice(0, 34) + letter + n;
      const texts = [message({ click_id: other(1) }), "{}", message({ click_id: "x" }), message({ click_id: other(2) }, "nobody"), message({ click_id: other(3) }), message({ click_id: other(3) })];
      const { outcome, explicitAcks, retryMessages } = await edge.bring(texts.map((body, n) => ({ id: `c${n}`, timestamp: new Date(), body, attempts: 1 })), QUEUE);
      assert.deepEqual([outcome, explicitAcks.length, retryMessages], ["ok", 6, []]);
      assert.deepEqual([other(1), other(2), other(3)].map((name) => clicks(`click_id = '${name}'`).length), [1, 0, 1]);
      const parked = await edge.parked("select request_id, reason from parked order by request_id");
      const of = (name) => parked.find((row) => row.request_id === name)?.reason;
      assert.deepEqual(["c1", "c2", other(2)].map(of), ["unreadable", "unreadable", "unknown_partner"]);
      const { body } = await edge.ops(`parked/${other(2)}`);
      assert.equal(body.click.sub_id, "template");
    });

    test("unknown offers, other methods and HEAD leave no click", async () => {
      const count = clicks().length;
      const unknown = await edge.fetch("/click/nothing");
      assert.deepEqual([unknown.status, (await unknown.json()).error], [404, "offer_not_found"]);
      for (const path of ["/click/", "/click/example/x", "/click/EXAMPLE"]) assert.equal((await edge.fetch(path)).status, 404, path);
      const post = await edge.fetch("/click/example", { method: "POST", body: "x" });
      assert.deepEqual([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
      const head = await edge.fetch("/click/example", { method: "HEAD" });
      assert.equal(head.status, 302);
      await new Promise((resolve) => setTimeout(resolve, 5_500));
      assert.equal(clicks().length, count);
    });
  });
}
