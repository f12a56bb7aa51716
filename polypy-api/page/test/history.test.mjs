import assert from "node:assert/strict";
import test from "node:test";
import { History } from "../book/history.js";

const point = (second, mid, spread) => ({ ts_event_ms: second * 1000, mid_price: mid, spread });

test("a second has what came last in it, and none that is missing is made up", () => {
  const history = new History();
  history.take(100, 0.4, 0.02);
  history.take(100, 0.41, 0.01);
  history.take(103, null, null);
  assert.deepEqual(history.columns(), [[100, 103], [0.41, null], [0.01, null]]);
});

test("what the server had before comes before the first second that was seen, and is not repeated", () => {
  const history = new History();
  history.take(100, 0.4, 0.02);
  history.before([point(90, "0.3", "0.1"), point(95, null, null), point(99.5, "0.35", "0.05"), point(100.5, "0.9", "0.5")]);
  assert.deepEqual(history.columns(), [[90, 99.5, 100], [0.3, 0.35, 0.4], [0.1, 0.05, 0.02]]);
  assert.ok(history.hasPast);
});

test("curves begin where they are told to, with what held then", () => {
  const history = new History();
  history.before([point(10, "0.3", "0.1"), point(20, "0.31", "0.11"), point(40, "0.32", "0.12")]);
  history.begin(30);
  assert.deepEqual(history.columns(), [[30, 40], [0.31, 0.32], [0.11, 0.12]]);
  history.begin(30);
  assert.deepEqual(history.times, [30, 40]);
  // Nothing came since: it holds still.
  history.begin(50);
  assert.deepEqual(history.columns(), [[50], [0.32], [0.12]]);
});

test("an hour is kept", () => {
  const history = new History();
  for (let second = 1; second <= 3700; second += 1) history.take(second, 0.5, 0.01);
  assert.deepEqual([history.times.length, history.mids.length, history.spreads.length, history.times[0]], [3600, 3600, 3600, 101]);
});
