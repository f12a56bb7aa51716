import assert from "node:assert/strict";
import test from "node:test";
import { Clock } from "../link/clock.js";
import { GIVE_UP_MS, next, SILENCE_MS, start } from "../link/link.js";
import { Stream } from "../link/stream.js";

const LINKS = {
  connecting: { is: "connecting", tries: 0, since: 1000, heard: null },
  open: { is: "open", heard: 1000 },
  silent: { is: "silent", heard: 1000 },
  lost: { is: "lost", tries: 2, until: 5000, heard: 1000 },
  login: { is: "login", heard: 1000 },
};
/** Of every link and every input: where it goes, and what is done. */
const TABLE = [
  ["heard", { type: "heard", now: 1500 }, { connecting: ["open"], open: ["open"], silent: ["open"], lost: ["lost"], login: ["login"] }],
  ["closed", { type: "closed", now: 1500, chance: 1, retry: null }, { connecting: ["lost"], open: ["lost"], silent: ["lost"], lost: ["lost"], login: ["login"] }],
  ["offline", { type: "offline", now: 1500, chance: 1 }, { connecting: ["lost", "close"], open: ["lost", "close"], silent: ["lost", "close"], lost: ["lost"], login: ["login"] }],
  ["online", { type: "online", now: 1500 }, { connecting: ["connecting"], open: ["open"], silent: ["silent"], lost: ["connecting", "open"], login: ["login"] }],
  ["denied", { type: "denied" }, { connecting: ["login", "close"], open: ["login", "close"], silent: ["login", "close"], lost: ["login", "close"], login: ["login"] }],
  ["logged_in", { type: "logged_in", now: 1500 }, { connecting: ["connecting"], open: ["open"], silent: ["silent"], lost: ["lost"], login: ["connecting", "open"] }],
  ["a moment", { type: "time", now: 1000 + SILENCE_MS - 1, chance: 1 }, { connecting: ["connecting"], open: ["open"], silent: ["silent"], lost: ["lost"], login: ["login"] }],
  ["silence", { type: "time", now: 1000 + SILENCE_MS, chance: 1 }, { connecting: ["connecting"], open: ["silent"], silent: ["silent"], lost: ["lost"], login: ["login"] }],
  ["long silence", { type: "time", now: 1000 + GIVE_UP_MS, chance: 1 }, { connecting: ["lost", "close"], open: ["silent"], silent: ["lost", "close"], lost: ["connecting", "open"], login: ["login"] }],
];

test("every input of every link", () => {
  for (const [name, input, expected] of TABLE) {
    for (const [from, [to, ...effects]] of Object.entries(expected)) {
      const [link, done] = next(LINKS[from], input);
      assert.equal(link.is, to, `${name} of ${from}`);
      assert.deepEqual(done, effects, `${name} of ${from}`);
    }
  }
});

test("a link that worked is tried again at once, then later and later, or as the server asks", () => {
  const until = (link, input) => next(link, { type: "closed", now: 0, chance: 1, retry: null, ...input })[0].until;
  assert.equal(until(LINKS.open), 0);
  assert.equal(until(LINKS.open, { retry: 1700 }), 1700);
  assert.equal(until({ ...LINKS.connecting, tries: 1 }), 1000);
  assert.equal(until({ ...LINKS.connecting, tries: 1 }, { chance: 0 }), 500);
  assert.equal(until({ ...LINKS.connecting, tries: 20 }), 10_000);
});

test("a new link begins by opening a socket", () => {
  assert.deepEqual(start(7), [{ is: "connecting", tries: 0, since: 7, heard: null }, ["open"]]);
});

test("ages are counted from the server's clock, by the message that came fastest", () => {
  const clock = new Clock();
  assert.equal(clock.at(0), null);
  clock.take(1_000_000, 500);
  clock.take(1_000_900, 1450);
  assert.equal(clock.at(1500), 1_001_000);
  assert.equal(clock.age(1_000_600, 1500), 400);
  assert.equal(clock.age(2_000_000, 1500), 0);
  // The page slept: what was known of the clock is of no use.
  clock.take(9_000_000, 2000);
  assert.equal(clock.at(2000), 9_000_000);
});

/** A stream over sockets that the test holds. */
function streamed() {
  const sent = [];
  const sockets = [];
  let now = 0;
  const stream = new Stream({
    url: () => "ws:",
    now: () => now,
    open: () => {
      const socket = { send: (text) => sent.push(JSON.parse(text)), close: () => (socket.isClosed = true) };
      sockets.push(socket);
      return socket;
    },
    onLink() {},
    onMessage() {},
    onDoubt() {},
  });
  const say = (message, socket = sockets.at(-1)) => socket.onmessage({ data: JSON.stringify(message) });
  return { stream, sent, sockets, say, at: (ms) => (now = ms) };
}

test("subscriptions are made anew after each loss, under numbers that were never used", () => {
  const { stream, sent, sockets, say, at } = streamed();
  stream.want("market", { fields: { markets: ["a"] }, take() {} });
  assert.deepEqual(sent, []);
  say({ type: "hello" });
  assert.deepEqual(sent.splice(0), [{ op: "subscribe", id: 1, markets: ["a"] }]);
  stream.want("market", { fields: { markets: ["b"] }, take() {} });
  assert.deepEqual(sent.splice(0).map(({ op, id }) => [op, id]), [["unsubscribe", 1], ["subscribe", 2]]);
  stream.want("market", { fields: { markets: ["c"] }, take() {} }, true);
  assert.deepEqual(sent.splice(0).map(({ op, id }) => [op, id]), [["subscribe", 3], ["unsubscribe", 2]]);
  sockets[0].onclose();
  at(10);
  stream.look();
  assert.equal(sockets.length, 2);
  say({ type: "hello" });
  assert.deepEqual(sent.splice(0), [{ op: "subscribe", id: 4, markets: ["c"] }]);
  stream.want("market", null);
  assert.deepEqual(sent.splice(0), [{ op: "unsubscribe", id: 4 }]);
});

test("a refusal goes to whom it concerns, and what an old socket says to nobody", () => {
  const { stream, sockets, say, at } = streamed();
  const refused = [];
  const taken = [];
  stream.want("a", { fields: {}, take: (message) => taken.push(message.type), refused: (message) => refused.push(message.code) });
  say({ type: "hello" });
  say({ type: "error", id: 1, code: "unknown_token" });
  say({ type: "error", id: 77, code: "conflict" });
  assert.deepEqual(refused, ["unknown_token"]);
  sockets[0].onclose();
  at(10);
  stream.look();
  taken.length = 0;
  say({ type: "delta" }, sockets[0]);
  assert.deepEqual(taken, []);
});
