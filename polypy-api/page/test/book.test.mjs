// The histories on which the Rust and Python clients were tried: the page finds the same.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { words } from "../views/parts.js";
import { Book, Broken } from "../book/book.js";

const histories = readFileSync(new URL("../../../polypy-client/tests/data/histories.ndjson", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));

/** As the page takes messages: it never resumes, so that `ready` and cursors say nothing to it. */
function found(messages) {
  const books = new Map();
  for (const [at, message] of messages.entries()) {
    const token = message.token_id;
    try {
      if (token) {
        if (!books.has(token)) books.set(token, new Book());
        books.get(token).take(message);
        if (message.type === "state" && message.state === "forgotten") books.delete(token);
      } else if (message.type === "gap") {
        for (const book of books.values()) book.take(message);
      }
    } catch (error) {
      if (error instanceof Broken) return { broken_at: at };
      throw error;
    }
  }
  return { books };
}

test("levels, numbers and states are those of the other clients", () => {
  let right = 0;
  let broken = 0;
  for (const { messages, found: expected, mutation } of histories) {
    // Those that resume are for clients that do, and trades are counted elsewhere.
    if (messages.some((one) => one.type === "closing" || one.was_resuming)) continue;
    const ours = found(messages);
    if (expected.broken_at !== undefined) {
      const message = messages[expected.broken_at];
      if (message.type === "trade") continue;
      assert.equal(ours.broken_at, expected.broken_at, JSON.stringify(mutation));
      broken += 1;
      continue;
    }
    assert.equal(ours.broken_at, undefined, JSON.stringify(mutation));
    for (const [token, book] of Object.entries(expected.books)) {
      const own = ours.books.get(token);
      const levels = (side) => own.levels(side).map(({ price, text }) => [price, text]);
      assert.deepEqual(
        { epoch: own.epoch, sequence: own.sequence, is_followed: own.isFollowed, is_live: own.isLive, state: own.state, reason: own.reason, bids: levels("bid"), asks: levels("ask") },
        book,
        JSON.stringify(mutation),
      );
    }
    right += 1;
  }
  assert.ok(right >= 5 && broken >= 5, `${right} right ones and ${broken} broken ones`);
});

test("a lost link leaves no book the exchange's", () => {
  const book = new Book();
  book.take({ type: "snapshot", epoch: 1, sequence: 4, state: "live", bids: [["0.4", "1"]], asks: [], tick_size: "0.1" });
  assert.ok(book.isLive);
  book.interrupt();
  assert.ok(!book.isLive);
  assert.throws(() => book.take({ type: "delta", epoch: 1, prev_sequence: 4, sequence: 5, changes: [["bid", "0.4", "2"]], conflated: null, depth: null, best_bid: "0.4", best_ask: null }), Broken);
});

test("a proof says of when it is: of these levels, or of those before the last changes", () => {
  const book = new Book();
  Object.assign(book, { state: "live", verified: true, receivedUs: 5_000_000 });
  assert.match(words(book, 5000, 1200), /came out of these levels, all of them, 1\.2 s ago\. They have not changed since/);
  // The sequence went on, and no hash came with it.
  book.receivedUs = 7_000_000;
  assert.match(words(book, 5000, 2300), /came out of all levels 2\.3 s ago\. Nothing has contradicted what changed since/);
  assert.doesNotMatch(words(book, null, null), /these levels/);
  book.verified = false;
  assert.match(words(book, null, null), /no hash/);
});
