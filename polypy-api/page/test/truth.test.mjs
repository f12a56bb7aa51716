import assert from "node:assert/strict";
import test from "node:test";
import { Book } from "../book/book.js";
import { differences, Judge, rows } from "../book/truth.js";

function book(levels, eventMs = 100) {
  const made = new Book();
  made.take({ type: "snapshot", epoch: 1, sequence: 7, state: "live", reason: null, verified: true, outcome: "Yes", condition_id: "0x1", tick_size: "0.01", hash: "h", ts_event_ms: eventMs, ts_recv_us: eventMs * 1000, ...levels });
  return made;
}

const levels = { bids: [["0.4", "10"], ["0.39", "5"]], asks: [["0.42", "7.5"]] };
const real = (over = {}) => ({ sequence: 3, ts_event_ms: 100, ...levels, ...over });

test("differences count levels that one lacks and sizes that differ", () => {
  assert.equal(differences(book(levels), real()), 0);
  assert.equal(differences(book(levels), real({ asks: [["0.42", "7.50"]] })), 0);
  assert.equal(differences(book(levels), real({ bids: [["0.4", "11"], ["0.38", "5"]] })), 3);
  assert.equal(differences(book(levels), real({ asks: [] })), 1);
});

test("another moment is no error, and what is not shown as live is none", () => {
  const judge = new Judge();
  const other = { bids: [["0.4", "11"]] };
  assert.equal(judge.look(book(levels), real(), true), "equal");
  assert.equal(judge.look(book(levels), real({ ...other, ts_event_ms: 101 }), true), "newer");
  assert.equal(judge.look(book(levels), real({ ...other, ts_event_ms: 99 }), true), "older");
  assert.equal(judge.look(book(levels), real(other), false), "marked");
  assert.deepEqual([judge.wrong, judge.looks], [0, 4]);
});

test("other levels at the same moment count once the next look confirms them, and once", () => {
  const judge = new Judge();
  const shown = book(levels);
  const other = real({ bids: [["0.4", "11"]] });
  assert.equal(judge.look(shown, other, true), "unsure");
  // Meanwhile the second change of that moment came.
  assert.equal(judge.look(shown, real({ bids: [["0.4", "12"]], sequence: 4 }), true), "unsure");
  assert.equal(judge.wrong, 0);
  assert.equal(judge.look(shown, real({ bids: [["0.4", "12"]], sequence: 4 }), true), "wrong");
  assert.equal(judge.look(shown, real({ bids: [["0.4", "12"]], sequence: 4 }), true), "wrong");
  assert.equal(judge.wrong, 1);
});

test("the best levels of both stand side by side, asks above bids", () => {
  const found = rows(book(levels), real({ bids: [["0.41", "1"], ["0.4", "10"]] }), 2);
  assert.deepEqual(found.map(({ side, price, differs }) => [side, price, differs]), [["ask", "", false], ["ask", "0.42", false], ["bid", "0.41", true], ["bid", "0.4", false]]);
});

test("there are as many rows however many levels there are, and the best prices keep their places", () => {
  const places = (/** @type {any} */ shown, /** @type {any} */ truth) => rows(shown, truth, 3).map(({ side, price }) => `${side} ${price}`);
  assert.deepEqual(places(book(levels), real()), ["ask ", "ask ", "ask 0.42", "bid 0.4", "bid 0.39", "bid "]);
  assert.equal(places(book({ bids: [], asks: [] }), real({ bids: [], asks: [] })).length, 6);
});

test("for how long the exchange is ahead is counted from the first truth that has not come", () => {
  const judge = new Judge();
  const shown = book(levels);
  const newer = (/** @type {number} */ ms) => real({ bids: [["0.4", String(ms)]], ts_event_ms: ms });
  judge.look(shown, real(), true, 1000);
  assert.equal(judge.aheadFor(1000), 0);
  judge.look(shown, newer(101), true, 2000);
  judge.look(shown, newer(150), true, 4000);
  assert.equal(judge.aheadFor(6000), 4000);
  // At 4,000 an older book stood there as live, and not just for a moment.
  assert.deepEqual([judge.older, judge.wrong], [1, 0]);
  // It comes on, and is behind a newer one: that is counted from now.
  shown.eventMs = 120;
  judge.look(shown, newer(200), true, 6500);
  assert.equal(judge.aheadFor(7000), 500);
  // It goes on, but not to what was true at 6,500.
  shown.eventMs = 180;
  judge.look(shown, newer(300), true, 8500);
  assert.equal(judge.aheadFor(8500), 2000);
  judge.look(shown, newer(300), false, 9000);
  assert.equal(judge.aheadFor(9500), 0, "it is not shown as live");
});
