import assert from "node:assert/strict";
import test from "node:test";
import { Book } from "../book/book.js";
import { cumulative, curve, last, row, rows } from "../book/grid.js";

test("prices of the grid are whole rows, whatever floating point makes of them", () => {
  for (const tick of [0.1, 0.01, 0.005, 0.0025, 0.001]) {
    for (let at = 1; at < last(tick); at += 1) {
      for (const side of ["bid", "ask"]) assert.equal(row(Number((at * tick).toFixed(6)), tick, side), at);
    }
  }
});

test("what lies between two rows is behind the one nearer to the middle", () => {
  assert.equal(row(0.455, 0.01, "bid"), 45);
  assert.equal(row(0.455, 0.01, "ask"), 46);
});

test("levels of one row are added up once", () => {
  const found = rows([{ at: 0.452, size: 1, changed: 3 }, { at: 0.457, size: 2, changed: 9 }, { at: 0.46, size: 4, changed: 1 }], 0.01, "bid");
  assert.deepEqual([...found], [[45, { size: 3, changed: 9, levels: 2 }], [46, { size: 4, changed: 1, levels: 1 }]]);
});

test("depth adds up from the best price on", () => {
  assert.deepEqual(cumulative([{ at: 0.4, size: 1 }, { at: 0.3, size: 2.5 }]), [{ at: 0.4, total: 1 }, { at: 0.3, total: 3.5 }]);
});

test("the curve falls to nothing between the best prices, and each side is its own sum", () => {
  const book = new Book();
  book.take({ type: "snapshot", bids: [["0.45", "10"], ["0.4", "5"]], asks: [["0.5", "7"], ["0.6", "3"]], state: "live", epoch: 1, sequence: 1, tick_size: "0.01" });
  const [prices, bids, asks] = curve(book, 0.01);
  assert.deepEqual(prices.map((at) => +at.toFixed(6)), [0.075, 0.4, 0.45, 0.5, 0.6, 0.875]);
  assert.deepEqual(bids, [15, 10, 10, null, null, null]);
  assert.deepEqual(asks, [null, null, null, 7, 10, 10]);
});
