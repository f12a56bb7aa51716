import assert from "node:assert/strict";
import test from "node:test";
import { Connections, ended, KEPT as BARS } from "../core/connections.js";
import { asked, AWAITED, booksOf, KEPT, Samples, valueOf } from "../core/sample.js";

const second = (at, live) => ({ ts_ms: at * 1000, books_live: live, cpu_cores: 0.1 });
const past = (...rows) => ({ columns: ["ts_ms", "books_live"], rows: rows.map(([at, live]) => [at * 1000, live]) });

test("the past is shown before what is heard, each second once, in its order", () => {
  const samples = new Samples();
  samples.take(second(12, 7));
  samples.remember(past([10, 5], [11, 6], [12, 99]));
  samples.take(second(13, 8));
  samples.take(second(13, 9));
  samples.take(null);
  assert.deepEqual(samples.columns(["books_live"]), [[10, 11, 12, 13], [5, 6, 7, 9]]);
  assert.equal(samples.newest.cpu_cores, 0.1);
});

test("what is remembered of a later second is not the newest: it may have fewer values", () => {
  const samples = new Samples();
  samples.take(second(12, 7));
  samples.remember(past([11, 6], [13, 8]));
  assert.equal(samples.newest.books_live, 7);
  samples.take(second(13, 8));
  assert.equal(samples.newest.cpu_cores, 0.1);
  assert.deepEqual(samples.columns([])[0], [11, 12, 13]);
});

test("what was read first is shown until a message comes, and never after it", () => {
  const samples = new Samples();
  samples.begin(past());
  assert.equal(samples.newest.books_live, undefined);
  samples.begin(past([5, 3]));
  assert.equal(samples.newest.books_live, 3);
  samples.take(second(6, 4));
  samples.begin(past([7, 1]));
  assert.equal(samples.newest.books_live, 4);
});

test("a hole is a hole in the charts, a late second is none, and no value is no zero", () => {
  const samples = new Samples();
  for (const at of [1, 2, 4, 9]) samples.take(second(at, at === 2 ? null : at));
  assert.deepEqual(samples.columns(["books_live"]), [[1, 2, 4, 5, 9], [1, null, 4, null, 9]]);
});

test("a clock that was set back begins anew there, and as many are kept as are promised", () => {
  const samples = new Samples();
  for (const at of [10, 11, 12, 11]) samples.take(second(at, at));
  assert.deepEqual(samples.columns([])[0], [10, 11]);
  for (let at = 20; at < 30 + KEPT; at += 1) samples.take(second(at, at));
  assert.equal(samples.kept.length, KEPT);
  samples.remember(past(...Array.from({ length: 9 }, (_, at) => [at, at])));
  assert.equal(samples.kept.length, KEPT);
  assert.equal(samples.kept[KEPT - 1].at, (29 + KEPT) * 1000);
});

const row = (connection, more = {}) => ({ connection, state: "live", tokens: 400, awaited_books: 0, messages: 100, messages_per_second: 8, last_end: null, ...more });
const answer = (at, connections, matched = connections.length) => ({ connections, matched, open: connections.filter(({ state }) => state !== "lost").length, moment_ms: at * 1000 });
const end = (at, cause = "closed", detail = "1013 slow") => ({ cause, detail, at_ms: at * 1000 });
const texts = (notes) => notes.map(({ text }) => text);

test("the frames of a connection are its own, one bar a second, with a gap for what was not seen", () => {
  const found = new Connections();
  found.take(answer(1, [row("conn-0")]));
  found.take(answer(2, [row("conn-0", { messages_per_second: 9, messages: 109 })]));
  found.take(answer(2.2, [row("conn-0", { messages_per_second: 9, messages: 111 })]));
  assert.deepEqual(found.shown.get("conn-0").history, [8, 9]);
  found.take(answer(5, [row("conn-0", { messages_per_second: 7, messages: 130 })]));
  assert.deepEqual(found.shown.get("conn-0").history, [8, 9, null, null, 7]);
  // Another connection of that name.
  found.take(answer(6, [row("conn-0", { messages_per_second: 3, messages: 3 })]));
  assert.deepEqual(found.shown.get("conn-0").history, [3]);
  // Answers do not come on the second: nothing was missed in less than two.
  found.take(answer(7.9, [row("conn-0", { messages_per_second: 4, messages: 9 })]));
  assert.deepEqual(found.shown.get("conn-0").history, [3, 4]);
  found.take(answer(900, [row("conn-0", { messages_per_second: 4, messages: 200 })]));
  assert.equal(found.shown.get("conn-0").history.length, BARS);
});

test("what is lost and what is back is said once, with why", () => {
  const found = new Connections();
  assert.deepEqual(found.take(answer(1, [row("conn-1", { last_end: end(0) }), row("conn-0")])), [], "what was before is nothing new");
  const lost = row("conn-0", { state: "lost", last_end: end(1.5) });
  assert.deepEqual(found.take(answer(2, [lost, row("conn-1")])), [{ text: "conn-0 lost: closed (1013 slow), 400 tokens", tone: "bad" }]);
  assert.deepEqual(found.take(answer(3, [lost, row("conn-1")])), []);
  assert.deepEqual(found.take(answer(4, [row("conn-0", { last_end: end(1.5) }), row("conn-1")])), [{ text: "conn-0 is back", tone: "live" }]);
  assert.deepEqual(found.take(answer(5, [row("conn-0", { last_end: end(4.5, "broken", "") }), row("conn-1")])), [{ text: "conn-0 was lost and is back within a second: broken", tone: "stale" }]);
  assert.deepEqual(found.take(answer(6, [row("conn-0", { last_end: end(4.5) }), row("conn-1")])), []);
});

test("one that was lost before the first look is back as any other, and one that is gone is not", () => {
  const found = new Connections();
  found.take(answer(1, [row("conn-0", { state: "lost" }), row("conn-1", { state: "lost" })]));
  assert.deepEqual(texts(found.take(answer(2, [row("conn-0")]))), ["conn-0 is back"]);
});

test("many at once are counted, and those that the answer leaves out are not forgotten", () => {
  const found = new Connections();
  const all = (state, count) => Array.from({ length: count }, (_, at) => row(`conn-${at}`, { state }));
  found.take(answer(1, all("live", 60), 200));
  assert.deepEqual(texts(found.take(answer(2, all("lost", 60), 200))), ["60 connections lost"]);
  // The others of them were lost, too: nothing is known of the first ones.
  const others = all("lost", 60).map((one) => ({ ...one, connection: `other-${one.connection}` }));
  assert.deepEqual(texts(found.take(answer(3, others, 200))), ["60 connections lost"]);
  assert.deepEqual(texts(found.take(answer(4, all("live", 60), 200))), ["120 connections are back"]);
  assert.equal(found.lost.size, 0);
});

test("why a connection ended has the runbook's name, and what others say of it is plain", () => {
  assert.equal(ended(row("a", { last_end: end(1, "closed", "a\u202eb") })), "closed (a\ufffdb)");
  assert.equal(ended(row("a", { last_end: end(1, "new_cause", "") })), "new_cause");
});

test("books that are awaited are pending, and all kinds add up to what is wanted", () => {
  const health = { books: { wanted: 1498, live: 1480, stale: 10, awaited: 8 } };
  const sample = { ts_ms: 9000, tokens: 1498, books_live: 1480, books_stale: 10, books_pending: 0, books_settled: 3 };
  const { wanted, live, stale, pending, settled } = booksOf(health, sample);
  assert.deepEqual([live + stale + pending, pending, settled], [wanted, 8, 3]);
  const samples = new Samples();
  samples.take(sample);
  samples.take({ ts_ms: 10000, books_live: 7 });
  assert.deepEqual(samples.columns([AWAITED]), [[9, 10], [8, null]]);
  assert.deepEqual(asked(["books_live", AWAITED]), ["books_live", "tokens", "books_stale"]);
  // Counted a moment apart, there may be more books than tokens.
  assert.equal(valueOf({ tokens: 5, books_live: 6, books_stale: 0 }, AWAITED), 0);
});
