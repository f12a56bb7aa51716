import assert from "node:assert/strict";
import test from "node:test";
import * as format from "../core/format.js";
import { quietFor } from "../core/connections.js";
import { ofBook, ofConnection, ofHealth, reasonWords, RUNBOOK, topAfter, wayOfConnection, worse } from "../core/state.js";
import { Problem, Reads } from "../link/reads.js";
import { linked, sectionOf } from "../views/dialogs.js";

test("prices have the places of their grid, or their own", () => {
  assert.equal(format.price("0.5", 3), "0.500");
  assert.equal(format.price("0.4655", 3), "0.4655");
  assert.equal(format.price(null, 2), "–");
  assert.equal(format.places("0.0025"), 4);
});

test("text of others keeps its letters, shows what hides, and has an end", () => {
  assert.equal(format.plain("Łódź عربي 日本 👍"), "Łódź عربي 日本 👍");
  assert.equal(format.plain("a\u202eb\u2066c\u0000d\u001b[31m\r\n\u200be"), "a\ufffdb\ufffdc\ufffdd\ufffd[31m\ufffd\ufffd\ufffde");
  assert.equal(format.plain("👍".repeat(10_000), 5), "👍👍👍👍👍…");
  assert.equal(format.plain("<b>&amp;"), "<b>&amp;");
  assert.equal(format.plain(null), "");
});

test("sizes, dollars and rates are short and never another number", () => {
  assert.equal(format.size("1234567.89"), "1,234,568");
  assert.equal(format.size("426.67"), "426.7");
  assert.equal(format.size("0.29"), "0.29");
  assert.equal(format.dollars("1321616.85"), "$ 1,321,617");
  assert.equal(format.dollars(null), "–");
  assert.equal(format.rate(3.5), "3.5");
  assert.equal(format.rate(0), "0");
  assert.equal(format.rate(null), "–");
  assert.equal(format.bytes(149946368), "143 MiB");
});

test("the time of day is the reader's own, in two figures each", () => {
  assert.equal(format.clock(new Date(2026, 10, 3, 4, 5, 6).getTime()), "04:05:06");
  assert.equal(format.clock(new Date(2026, 10, 3, 23, 59, 0).getTime()), "23:59:00");
  assert.equal(format.clock(null), "–");
  assert.ok(format.day(Date.UTC(2026, 10, 3)).includes("2026"));
});

test("ages", () => {
  const of = [40, 9940, 12_000, 240_000, 7_200_000, 3 * 86_400_000].map(format.age);
  assert.deepEqual(of, ["0.0 s", "9.9 s", "12 s", "4 min", "2 h", "3 d"]);
});

test("each state has a shape and a word of its own", () => {
  const looks = [ofBook("live", null, true), ofBook("live", null, null), ofBook("stale", "hash"), ofBook("pending"), ofBook("settled")];
  assert.equal(new Set(looks.map(({ shape }) => shape)).size, looks.length);
  assert.equal(new Set(looks.map(({ word }) => word)).size, looks.length);
  assert.equal(ofBook("stale", "hash").word, "stale: hash differs");
  // What is not known to be verified never looks so.
  assert.deepEqual(ofBook("live"), ofBook("live", null, false));
  assert.equal(worse("live", "stale"), "stale");
  assert.equal(worse("pending", "settled"), "pending");
});

test("numbers of an axis are not rounded", () => {
  const steps = [0, 0.0025, 0.005, 0.0075].map((value) => format.step(value, 0.0025, 2));
  assert.deepEqual(steps, ["0.0000", "0.0025", "0.0050", "0.0075"]);
  assert.equal(format.step(0.25, 0.05, 3), "0.250");
  assert.equal(format.step(0.30000000000000004, 0.1, 1), "0.3");
});

test("prices side by side have the places of the finest", () => {
  assert.equal(format.placesOf("0.01", "0.95", "0.979"), 3);
  assert.equal(format.placesOf("0.001", "0.5", null), 3);
  assert.equal(format.placesOf(null, null, undefined), 2);
});

test("a top keeps what the last state said of its hash, and a state keeps the prices", () => {
  const read = { state: "live", reason: null, verified: true, best_bid: "0.4" };
  const top = topAfter(read, { type: "top", state: "live", reason: null, best_bid: "0.5" });
  assert.deepEqual([top.verified, top.best_bid], [true, "0.5"]);
  const state = topAfter(top, { type: "state", state: "live", reason: null, verified: null });
  assert.deepEqual([state.verified, state.best_bid, state.type], [null, "0.5", "top"]);
  assert.equal(topAfter(undefined, { type: "top", state: "live" }).verified, null);
});

test("each reason has words and a section of the runbook", () => {
  for (const reason of ["disconnected", "hash", "silent"]) {
    assert.notEqual(reasonWords(reason), reason);
    assert.ok(RUNBOOK[reason]);
  }
});

test("a connection looks as its state says, and only one that is well looks live", () => {
  const row = { state: "live", tokens: 200, awaited_books: 40, last_end: null };
  const states = ["lost", "mute", "silent", "lagging", "connecting", "loading", "draining", "idle"];
  assert.equal(ofConnection(row).tone, "live");
  for (const state of [...states, "unheard-of"]) assert.notEqual(ofConnection({ ...row, state }).tone, "live", state);
  assert.equal(ofConnection({ ...row, state: "loading" }).word, "160 of 200 books");
  assert.equal(ofConnection({ ...row, state: "lost" }).tone, "bad");
});

test("the verdict has a shape for well, not all well, and not healthy", () => {
  const look = (/** @type {boolean} */ healthy, /** @type {any[]} */ reasons) => ofHealth({ healthy, reasons }).shape;
  assert.deepEqual([look(true, []), look(true, [{}]), look(false, [{}])], ["disc", "triangle", "cross"]);
});

test("where few books are live the verdict does not say that all is healthy", () => {
  const word = (/** @type {number} */ live, /** @type {number} */ wanted) => ofHealth({ healthy: true, reasons: [{}], books: { live, wanted } }).word;
  assert.equal(word(4, 1214), "Few books are live");
  assert.equal(word(606, 1214), "Few books are live");
  assert.equal(word(607, 1214), "Healthy, not all well");
  assert.equal(word(0, 0), "Healthy, not all well");
});

test("a connection is quiet once its silence is clearly longer than usual", () => {
  const row = (/** @type {number | null} */ silentMs, state = "live") => ({ state, silent_ms: silentMs });
  const busy = Array.from({ length: 20 }, () => 100);
  assert.equal(quietFor(row(100), busy), null);
  assert.equal(quietFor(row(2900), [...busy, 40, 0, 0]), null, "no silence yet");
  assert.equal(quietFor(row(3400), [...busy, 40, 0, 0, 0]), 100);
  assert.equal(quietFor(row(3400, "silent"), [...busy, 40, 0, 0, 0]), null, "the server says it itself");
  assert.equal(quietFor(row(null), busy), null);
  const loading = (/** @type {number} */ awaited) => quietFor({ ...row(3400, "loading"), tokens: 100, awaited_books: awaited }, [...busy, 40, 0, 0, 0]);
  assert.deepEqual([loading(2), loading(90)], [100, null], "books of a new market are awaited, or almost all");
  // One of few tokens: at a frame in two seconds some seconds without one say nothing.
  const few = Array.from({ length: 40 }, (_, at) => (at % 2 ? 1 : 0));
  assert.equal(quietFor(row(9000), [...few, 0, 0, 0, 0, 0, 0, 0, 0, 0]), null);
  assert.ok(quietFor(row(41_000), [...few.slice(0, 18), ...Array.from({ length: 42 }, () => 0)]));
  // It comes in bursts: a pause that was seen before is no silence.
  const bursts = Array.from({ length: 40 }, (_, at) => (at % 5 === 0 ? 200 : 0));
  assert.equal(quietFor(row(6000), [...bursts, 0, 0, 0, 0, 0, 0]), null);
  assert.ok(quietFor(row(12_000), [...bursts, ...Array.from({ length: 12 }, () => 0)]));
  // What was before is not known yet.
  assert.equal(quietFor(row(5000), [null, null, 100, 100, 0, 0, 0, 0, 0]), null);
});

test("a market with a blank question is called by its slug", () => {
  assert.equal(format.called({ question: "Will it?", slug: "a" }), "Will it?");
  for (const question of ["", "  ", "\u200b \u2060", null, undefined]) assert.equal(format.called({ question, slug: "a-b" }), "a-b");
  assert.equal(format.called({ question: "", slug: null, condition_id: "0x1" }), "0x1");
});

test("a connection in trouble has a way on, and one that is well has none", () => {
  const way = (state, last_end = null) => wayOfConnection({ state, last_end });
  assert.equal(way("lost", { cause: "closed" }), "PolypyConnectionsLost");
  // One of them is down, not all: that has a section of its own.
  assert.equal(way("lost", { cause: "not_opened" }), "PolypyConnectionsLost");
  assert.deepEqual(["mute", "silent"].map((state) => way(state)), ["PolypyFeedSilent", "PolypyFeedSilent"]);
  assert.equal(way("lagging"), "PolypyFeedDelayed");
  assert.deepEqual(["live", "loading", "connecting", "draining", "idle"].map((state) => way(state)), [null, null, null, null, null]);
});

test("addresses are below the page's own, whatever an answer names", () => {
  const reads = new Reads("http://host/a/b/", () => {});
  assert.equal(reads.address("/v1/markets/x?tops").href, "http://host/a/b/v1/markets/x?tops");
  assert.equal(reads.address("v1/markets", { q: "är & ü", cursor: null, limit: 5 }).href, "http://host/a/b/v1/markets?q=%C3%A4r+%26+%C3%BC&limit=5");
});

test("what is sent is JSON, and an allowed status is no answer and no error", async () => {
  const asked = [];
  const answers = [new Response('{"a":1}', { headers: { "Content-Type": "application/json" } }), new Response("{}", { status: 404 }), new Response('{"error":"for_s: too long"}', { status: 400, headers: { "Content-Type": "application/json" } })];
  const reads = new Reads("http://host/p/", () => {}, async (url, options) => asked.push([url, options]) && answers.shift());
  assert.deepEqual(await reads.send("POST", "/demo/faults", { name: "x" }), { a: 1 });
  const [url, { method, body, headers }] = asked[0];
  assert.deepEqual([url, method, body, headers["Content-Type"]], ["http://host/p/demo/faults", "POST", '{"name":"x"}', "application/json"]);
  assert.equal(await reads.send("POST", "a", {}, [404]), null);
  await assert.rejects(reads.send("PUT", "a", {}), { status: 400, message: "for_s: too long" });
});

test("problems have the server's words, and 401 asks for the token", async () => {
  let denied = 0;
  const answers = [
    new Response('{"type":"urn:polypy:problem:moment_expired","detail":"begin again"}', { status: 410, headers: { "Content-Type": "application/problem+json" } }),
    new Response("{}", { status: 401, headers: { "Content-Type": "application/json" } }),
    new Response('{"healthy":false}', { status: 503, headers: { "Content-Type": "application/json" } }),
  ];
  const reads = new Reads("http://host/", () => (denied += 1), async () => answers.shift());
  await assert.rejects(reads.json("a"), (error) => error instanceof Problem && error.status === 410 && error.type.endsWith("moment_expired") && error.message === "begin again");
  await assert.rejects(reads.json("a"), { status: 401 });
  assert.equal(denied, 1);
  assert.deepEqual(await reads.json("health", { allow: [503] }), { healthy: false });
});

test("names of sections in a text of the runbook are links, and other names are none", () => {
  const all = "### PolypyOne\n\nSee PolypyTwo, PolypyThree.\n\n### PolypyTwo\n\nx\n";
  assert.deepEqual(linked("See PolypyTwo, PolypyThree and PolypyOne.", all), ["See ", { section: "PolypyTwo" }, ", PolypyThree and ", { section: "PolypyOne" }, "."]);
});

test("a section of the runbook ends where the next one begins", () => {
  const all = "# R\n\n## A\n\n### One\n\n**Do.** this\n\n### Two\n\nthat\n";
  assert.equal(sectionOf(all, "One"), "Do. this");
  assert.equal(sectionOf(all, "Two"), "that");
  assert.equal(sectionOf(all, "Three"), null);
  const table = "### T\n\n| `cause` | what it is |\n|---|---|\n| `a`, `b` | see [One](#one) |\n\n```sh\ncurl $A | jq\n```\n\n- end\n";
  assert.equal(sectionOf(table, "T"), "cause: what it is\na, b: see One\n\ncurl $A | jq\n\n- end");
});
