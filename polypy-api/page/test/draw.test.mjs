import assert from "node:assert/strict";
import test from "node:test";
import * as grid from "../book/grid.js";
import { GROUPS } from "../views/ladder.js";
import { byteOf, COLUMNS, Depth, ramp, ROWS, sizeOf } from "../draw/heatmap.js";
import { bar, centred, clamp, ROW, visible, yOf } from "../draw/ladder.js";

test("sizes are bytes by their logarithm, and back", () => {
  assert.equal(byteOf(0), 0);
  assert.equal(byteOf(0.001), 1);
  assert.equal(byteOf(1e9), 255);
  for (const size of [0.01, 1, 12.5, 4000, 1e6]) assert.ok(Math.abs(sizeOf(byteOf(size)) / size - 1) < 0.05, String(size));
});

const book = (rows) => new Map(Object.entries(rows).map(([row, size]) => [Number(row), { size }]));

test("a second holds the greatest size that stood in it", () => {
  const depth = new Depth();
  depth.take(1000, book({ 45: 10 }), book({ 47: 5 }), 45, 47);
  depth.take(1000, book({ 45: 2 }), book({ 47: 90 }), 45, 47);
  const at = (row) => depth.bytes[depth.column * ROWS + row - depth.base];
  assert.equal(at(45), byteOf(10));
  assert.equal(at(47), byteOf(90));
});

test("time without the exchange's book is not joined over", () => {
  const depth = new Depth();
  depth.take(1000, book({ 45: 10 }), book({}), 45, null);
  depth.doubt(1001);
  depth.take(1004, book({ 45: 10 }), book({}), 45, null);
  assert.deepEqual([1000, 1001, 1002, 1003, 1004].map((second) => depth.seen[second % COLUMNS]), [1, 2, 0, 0, 1]);
  // A second of which a part was doubted stays so.
  depth.take(1005, book({ 45: 10 }), book({}), 45, null);
  depth.doubt(1005);
  depth.take(1005, book({ 45: 10 }), book({}), 45, null);
  assert.equal(depth.seen[1005 % COLUMNS], 2);
  // Longer than is kept: all of it is gone.
  depth.take(9000, book({ 45: 1 }), book({}), 45, null);
  assert.equal([...depth.seen].filter(Boolean).length, 1);
});

test("of seconds that were not seen nothing stands there of ten minutes before", () => {
  const depth = new Depth();
  for (let second = 1000; second < 1000 + COLUMNS; second += 1) depth.take(second, book({ 45: 10 }), book({}), 45, null);
  const now = 1000 + COLUMNS + 5;
  depth.take(now, book({ 45: 10 }), book({}), 45, null);
  for (let second = now - 5; second < now; second += 1) {
    const column = second % COLUMNS;
    assert.deepEqual([depth.seen[column], depth.bids[column], Math.max(...depth.bytes.subarray(column * ROWS, (column + 1) * ROWS))], [0, -1, 0]);
  }
});

test("the window of prices moves by copying when the middle comes near its end", () => {
  const depth = new Depth();
  depth.take(1000, book({ 499: 7 }), book({ 501: 9 }), 499, 501);
  const before = depth.base;
  depth.take(1001, book({ 600: 7 }), book({ 602: 9 }), 600, 602);
  assert.notEqual(depth.base, before);
  const old = depth.bytes[(1000 % COLUMNS) * ROWS + 501 - depth.base];
  assert.equal(old, byteOf(9));
});

test("a row keeps its place whatever the best prices do", () => {
  const height = 20 * ROW;
  const top = centred(45, 47, height, 100);
  assert.equal(yOf(46, top), height / 2);
  assert.equal(yOf(45, top) - yOf(46, top), ROW);
  const { first, lowest } = visible(top, height, 100);
  assert.ok(yOf(first, top) <= 0 && yOf(lowest, top) >= height);
});

test("all sizes of a book are in rows that can be scrolled to, whatever a row holds", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let time = 0; time < 400; time += 1) {
    const finest = [0.1, 0.01, 0.005, 0.0025, 0.001][random(5)];
    const ticks = Math.round(1 / finest);
    const middle = 1 + random(ticks - 1);
    const levels = { bid: new Map(), ask: new Map() };
    for (let count = random(30); count > 0; count -= 1) {
      const at = 1 + random(ticks - 1);
      levels[at < middle ? "bid" : "ask"].set(at, { at: Number((at * finest).toFixed(6)), size: 1 + random(1000), changed: 0 });
    }
    for (const group of GROUPS) {
      const [tick, height] = [finest * group, 41 + random(900)];
      const lastRow = grid.last(tick);
      for (const side of ["bid", "ask"]) {
        const found = grid.rows(levels[side].values(), tick, side);
        const seen = new Map();
        for (let top = clamp(1e9, height, lastRow), before = NaN; top !== before; before = top, top = clamp(top - 1, height, lastRow)) {
          const { first, lowest } = visible(top, height, lastRow);
          for (let row = first; row >= lowest; row -= 1) if (yOf(row, top) >= 0 && yOf(row, top) + ROW <= height) seen.set(row, found.get(row)?.size ?? 0);
        }
        const sum = (sizes) => [...sizes].reduce((total, size) => total + size, 0);
        assert.equal(sum(seen.values()), sum([...levels[side].values()].map(({ size }) => size)), `${side}s at ${finest}, ×${group}, ${height} pixels`);
      }
    }
  }
});

test("bids below the first row have a row, and asks above the last but one", () => {
  const level = (at, size) => ({ at, size, changed: 0 });
  const found = grid.rows([level(0.11, 40), level(0.1, 335.8), level(0.06, 176.01)], 0.1, "bid");
  assert.deepEqual([...found].map(([row, { size }]) => [row, size]), [[1, 375.8], [0, 176.01]]);
  assert.equal(visible(clamp(-1e9, 400, 10), 400, 10).lowest, 0);
  assert.equal(visible(clamp(1e9, 400, 10), 400, 10).first, 10);
});

test("the grid is never scrolled out of sight", () => {
  const height = 20 * ROW;
  assert.equal(clamp(1e9, height, 100), 101);
  assert.equal(clamp(-1e9, height, 100), 19);
  // A grid that is shorter than the box.
  assert.equal(clamp(50, height, 10), 11);
});

test("bars are seen beside great ones", () => {
  assert.equal(bar(100, 100, 80), 80);
  assert.equal(bar(25, 100, 80), 40);
  assert.equal(bar(0.0001, 1e6, 80), 2);
  assert.equal(bar(1, 0, 80), 0);
});

test("sizes below the lower cut-off have the ground's colour, and from the upper one on the darkest", () => {
  const theme = { "--heat-0": "#ffffff", "--heat-5": "#000000" };
  globalThis.document = /** @type {any} */ ({ documentElement: {} });
  globalThis.getComputedStyle = /** @type {any} */ (() => ({ getPropertyValue: (/** @type {keyof theme} */ name) => theme[name] ?? "#808080" }));
  const red = (/** @type {number} */ at) => ramp(100, 200)[at] & 255;
  assert.deepEqual([0, 50, 100].map(red), [255, 255, 255]);
  assert.deepEqual([200, 230, 255].map(red), [0, 0, 0]);
  assert.equal(red(150), 128);
});
