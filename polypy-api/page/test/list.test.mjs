import assert from "node:assert/strict";
import test from "node:test";
import { KEPT, Pages, PIECE } from "../list/pages.js";

/** A server with so many rows, of which each order is a moment that can be let go. */
function server(count) {
  const asked = [];
  let moment = 0;
  const ask = async ({ cursor, limit, isWay }) => {
    asked.push({ cursor, limit, isWay });
    const [of, from] = cursor ? cursor.split(":").map(Number) : [moment, 0];
    if (of !== moment) throw Object.assign(new Error("moment expired"), { status: 410 });
    const to = Math.min(from + limit, count);
    const rows = isWay ? [] : Array.from({ length: to - from }, (_, at) => `${of}-${from + at}`);
    return { rows, next: to < count ? `${moment}:${to}` : null, matched: count, answer: {} };
  };
  return { ask, asked, expire: () => (moment += 1) };
}

async function settled(pages) {
  for (let turn = 0; turn < 2000 && (pages.isAsking || pages.wanted.size); turn += 1) await Promise.resolve();
}

test("any jump among 50,000 rows shows the right ones, and few pieces are kept", async () => {
  const { ask, asked } = server(50_000);
  const pages = new Pages(ask, () => {}, assert.fail);
  pages.wanted.add(0);
  await pages.go();
  let seed = 7;
  for (let jump = 0; jump < 60; jump += 1) {
    seed = (seed * 16807) % 2147483647;
    const from = seed % 49_960;
    pages.see(from, from + 40);
    await settled(pages);
    for (let row = from; row <= from + 40; row += 1) assert.equal(pages.row(row), `0-${row}`);
    assert.ok(pages.pieces.size <= KEPT);
  }
  const far = asked.filter(({ isWay }) => isWay).length;
  // Cursors are kept: the way is gone once.
  assert.ok(far <= 50_000 / PIECE + 60, `${far} steps`);
});

test("no row is asked for twice at once", async () => {
  const { ask, asked } = server(1000);
  const pages = new Pages(ask, () => {}, assert.fail);
  pages.wanted.add(0);
  void pages.go();
  pages.see(0, 30);
  pages.see(0, 40);
  await settled(pages);
  assert.equal(asked.filter(({ isWay }) => !isWay).length, 1);
});

test("a moment that is gone leaves the rows that are here, and the next ones are of now", async () => {
  const { ask, expire } = server(3000);
  const pages = new Pages(ask, () => {}, assert.fail);
  pages.wanted.add(0);
  await pages.go();
  expire();
  pages.see(150, 250);
  await settled(pages);
  assert.equal(pages.row(150), "0-150");
  assert.equal(pages.row(250), "1-250");
  assert.equal(pages.renewed, 1);
});

test("a late answer of a list that is over is not taken", async () => {
  let answer = () => {};
  const pages = new Pages(() => new Promise((done) => (answer = done)), assert.fail, assert.fail);
  pages.wanted.add(0);
  const going = pages.go();
  pages.end();
  answer({ rows: ["old"], next: null, matched: 1, answer: {} });
  await going;
  assert.equal(pages.row(0), null);
});
