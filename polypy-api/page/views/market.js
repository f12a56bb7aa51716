// @ts-check
// One market: both outcomes, its ladder, its depth now and over time, its trades, and what
// speaks for it.

import { el, mark, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { ofBook } from "../core/state.js";
import { badge, setBadge } from "../core/widgets.js";
import { Book, Broken } from "../book/book.js";
import * as grid from "../book/grid.js";
import { History } from "../book/history.js";
import { Depth } from "../draw/heatmap.js";
import { Charts } from "./charts.js";
import { Demo } from "./demo.js";
import { Ladder } from "./ladder.js";
import { Proof, Siblings, Trades } from "./parts.js";

/** Books are asked for at most so often; the server merges what lies between. */
const PACE_MS = 16;
const CHARTS_MS = 250;
const PROOF_MS = 1000;
/** What has not come by then is not waited for. */
const SETTLED_MS = 3000;
/** What could not be read is asked for again so long after that. */
const AGAIN_MS = 3000;
/** What a server says of a name while its listing is not whole yet. */
const EARLY = "ask again later";
/** For those who do not see the ladder its words are renewed. */
const LABEL_MS = 5000;
const TABS = /** @type {const} */ ([["ladder", "Ladder"], ["heat", "Heat"], ["depth", "Depth"], ["mid", "Mid"], ["trades", "Trades"], ["proof", "Proof"], ["event", "Event"]]);

/**
 * @typedef {{ id: string, outcome: string, book: Book, depth: Depth, history: History, button: any, bid: any, ask: any, state: any }} Token
 */

/** @param {any} app @param {string} name slug or condition id @param {URLSearchParams} query @returns {import("../main.js").View} */
export function market(app, name, query) {
  let wantedOutcome = query.get("outcome");
  /** @type {Map<string, Token>} */
  const tokens = new Map();
  /** @type {Token | null} */
  let shown = null;
  /** @type {any} */
  let info = null;
  let ended = false;
  const abort = new AbortController();

  const heading = el("h1", { tabindex: "-1", text: format.plain(name) });
  const about = el("div", { class: "about" });
  const copy = el("button", { type: "button", class: "button", text: "Copy link", on: { click: copyLink } });
  const choices = el("div", { role: "tablist", "aria-label": "Outcomes" });
  const outcomes = el("div", { class: "outcomes" }, choices);
  const numbers = /** @type {Record<string, any>} */ ({});
  const list = el("dl", { class: "numbers" });
  for (const title of ["Mid", "Spread", "Last change", "Updates"]) list.append(el("div", {}, el("dt", { text: title }), (numbers[title] = el("dd", { text: "–" }))));
  const problem = el("p", { class: "nothing", hidden: true });

  const ladder = new Ladder();
  const digits = () => format.placesOf(shown?.book.tick ?? info?.tick_size ?? null, shown?.book.best("bid")?.price, shown?.book.best("ask")?.price);
  const pictures = new Charts(digits, () => tickOf(shown?.book), () => (chartsAt = 0));
  const proof = new Proof();
  const trades = new Trades();
  const siblings = new Siblings();
  const demo = app.reads.has("/demo/faults") ? new Demo(app, true) : null;
  const tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "Parts of the market" });
  const boxes = el("div", { class: "market", "data-tab": "ladder" }, ladder.box, pictures.heat.box, el("div", { class: "aside" }, proof.box, trades.box, siblings.box), pictures.depth.box, pictures.mid.box);
  for (const [id, text] of TABS) tabs.append(el("button", { type: "button", role: "tab", "aria-selected": String(id === "ladder"), text, on: { click: () => tab(id) }, data: { tab: id } }));
  app.root.append(el("div", { class: "title" }, heading, about, copy), outcomes, problem, ...(demo ? [demo.box] : []), tabs, boxes);
  outcomes.append(list);
  app.root.classList.add("settling");
  // Boxes are in the order in which they are read; the grid puts them where they are seen.
  const wanted = { fields: { markets: [name], channels: ["book", "trade", "state", "market"], mode: "conflated", interval_ms: PACE_MS }, take, refused };

  /** Of the event's other markets, once they are known. @type {any} */
  let followed = null;
  let hasTrades = false;
  let hasEvent = false;
  let wasOld = false;
  let chartsAt = 0;
  let proofAt = 0;
  let labelAt = -Infinity;
  /** What the label says of the state, and what was said of it. */
  let labelled = "";
  /** When what could not be read is read again, on the page's clock. @type {number | null} */
  let againAt = null;
  let isLearning = false;
  /** The stream knew nothing of it. */
  let isRefused = false;
  let wasDown = app.isDown();
  /** What is being read now may be of the process before. */
  let isOutdated = false;
  const begun = app.now();
  let updates = 0;
  /** @type {number[]} */
  const drawn = [];
  app.stream.want("market", wanted);
  void learn();

  /** @param {string} id */
  function tab(id) {
    mark(boxes, "data-tab", id);
    for (const button of tabs.children) mark(button, "aria-selected", String(button.dataset.tab === id));
    ladder.isDirty = true;
    chartsAt = 0;
  }

  /** What the catalogue says of it. */
  async function learn() {
    if (isLearning) return;
    isLearning = true;
    againAt = null;
    try {
      if (!info) know(await app.reads.json(`v1/markets/${encodeURIComponent(name)}`, { signal: abort.signal }));
      if (isRefused) {
        isRefused = false;
        app.stream.want("market", wanted);
      }
      await more();
    } catch (error) {
      if (!ended) unread(/** @type {any} */ (error));
    }
    isLearning = false;
    if (ended) return;
    app.root.classList.remove("settling");
    if (isOutdated) relearn();
  }

  /** What is not known because nobody answered, or not yet, is asked for again. @param {Error & { status?: number }} error */
  function unread({ status, message }) {
    const isEarly = status === 404 && message.includes(EARLY);
    if (status === undefined || status >= 500 || isEarly) againAt = app.now() + AGAIN_MS;
    // What the stream knows is shown, whatever the catalogue says.
    if (info) return;
    if (status === undefined) fail(`The server does not answer. The market's words come ${app.isLinked() ? "with the next try" : "when the link is back"}.`);
    else fail(message);
    if (status === 404 && !isEarly && tokens.size === 0) missing();
  }

  /** The link was lost and is back: another process may have other trades, prices and words. */
  function relearn() {
    isOutdated = isLearning;
    if (isOutdated) return;
    info = null;
    hasTrades = hasEvent = false;
    app.root.classList.remove("missing");
    problem.hidden = true;
    trades.forget();
    for (const one of tokens.values()) if (!one.history.hasPast) void before(one);
    void learn();
  }

  /** @param {any} market */
  function know(market) {
    if (ended || info) return;
    info = market;
    if (market.followed !== false) problem.hidden = true;
    const called = format.called(market);
    put(heading, format.plain(called));
    mark(heading, "title", format.plain(called, 1000));
    app.title(called);
    const end = market.end_ms ?? null;
    const words = [
      market.event?.title && market.event.title !== market.question ? market.event.title : market.event_slug && market.event_slug !== market.slug ? market.event_slug : null,
      end === null ? null : el("span", { text: `ends ${format.day(end)}`, title: format.utc(end) }),
      market.tick_size ? `tick ${market.tick_size}` : null,
      market.min_order_size ? `min. order ${market.min_order_size}` : null,
      market.neg_risk ? "negative risk" : null,
      market.volume_day ? `24 h volume ${format.dollars(market.volume_day)}` : null,
    ];
    about.replaceChildren(...words.filter(Boolean).map((word) => (typeof word === "string" ? el("span", { text: format.plain(word, 120) }) : word)));
    if (market.followed === false) fail(`This market is listed and not followed here (${market.not_followed}): there is no book of it.`);
    for (const one of market.tokens ?? []) token(one.token_id, one.outcome);
  }

  /** The rest of it, once its tokens are known. */
  async function more() {
    const condition = info?.condition_id;
    const { reads } = app;
    if (!hasTrades) {
      const answer = await reads.json("v1/trades", { query: { market: condition, limit: 200 }, signal: abort.signal, allow: [404] });
      if (ended) return;
      hasTrades = true;
      trades.digits = digits();
      trades.begin(answer?.trades ?? []);
      trades.show(shown?.id ?? null);
    }
    const slug = info?.event?.slug;
    if (slug && !hasEvent) {
      const event = await reads.json(`v1/events/${encodeURIComponent(slug)}`, { query: { tops: true }, signal: abort.signal });
      if (ended) return;
      hasEvent = true;
      const first = siblings.begin(event, condition);
      if (first.length) followed = { fields: { tokens: first, channels: ["top"], mode: "conflated", interval_ms: 500 }, take: (/** @type {any} */ message) => message.type === "top" && siblings.set(message.token_id, message) };
      app.stream.want("siblings", followed);
    }
  }

  /** Mid and spread of a token before now. @param {Token} one */
  async function before(one) {
    try {
      one.history.before((await app.reads.json(`v1/tops/${one.id}`, { signal: abort.signal })).history);
    } catch {
      // The chart begins now, then; what could not be asked is asked when the link is back.
    }
  }

  /** @param {string} id @param {string} outcome @returns {Token} */
  function token(id, outcome) {
    const known = tokens.get(id);
    if (known) return known;
    const [bid, ask, state] = [el("span", { class: "bid", text: "–" }), el("span", { class: "ask", text: "–" }), badge()];
    const button = el("button", { type: "button", class: "outcome", role: "tab", "aria-selected": "false", on: { click: () => choose(id) } },
      el("span", { class: "what", text: format.plain(outcome, 100), title: format.plain(outcome, 1000) }), el("span", { class: "prices" }, bid, el("span", { class: "slash", text: " / " }), ask), state);
    /** @type {Token} */
    const made = { id, outcome, book: new Book(), depth: new Depth(), history: new History(), button, bid, ask, state };
    tokens.set(id, made);
    choices.append(button);
    if (shown === null || outcome === wantedOutcome) choose(id, false);
    void before(made);
    return made;
  }

  /** @param {string} id @param {boolean} [byHand] */
  function choose(id, byHand = true) {
    shown = tokens.get(id) ?? null;
    for (const one of tokens.values()) mark(one.button, "aria-selected", String(one === shown));
    ladder.reset();
    trades.show(id);
    proof.read = null;
    chartsAt = proofAt = 0;
    labelAt = -Infinity;
    if (byHand && shown) {
      wantedOutcome = shown.outcome;
      app.replace(`#/market/${encodeURIComponent(name)}?outcome=${encodeURIComponent(shown.outcome)}`);
    }
  }

  /** @param {any} message */
  function take(message) {
    const now = app.now();
    if (message.type === "gap" && message.scope !== "token") for (const one of tokens.values()) one.book.take(message, now);
    const id = message.token_id;
    if (message.type === "market") return changed(message);
    if (!id) return;
    if (message.type === "snapshot" || (message.type === "state" && message.outcome)) {
      token(id, message.outcome);
      app.root.classList.remove("missing");
    }
    const one = tokens.get(id);
    if (!one) return;
    if (message.type === "trade") {
      trades.digits = digits();
      if (trades.take(message)) {
        trades.show(shown?.id ?? null);
        if (one === shown) ladder.traded(message);
      }
      return;
    }
    try {
      if (!one.book.take(message, now)) return;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      app.note(`a book's messages contradict each other, it is asked for again: ${error.message}`, "stale");
      app.stream.want("market", wanted);
      return;
    }
    if (message.type === "snapshot") {
      problem.hidden = true;
    }
    if (one === shown) {
      updates += 1;
      ladder.isDirty = true;
    }
    remember(one, now);
  }

  /** @param {any} message */
  function changed(message) {
    if (message.change === "tick_size") ladder.isDirty = true;
    if (message.change === "resolved") app.note(`resolved: ${message.tokens.find((/** @type {any} */ one) => one[0] === message.winner)?.[1] ?? "a winner"} won`, "settled");
    if (message.change === "new") for (const [id, outcome] of message.tokens) token(id, outcome);
  }

  /** @param {any} message */
  function refused(message) {
    if (app.root.classList.contains("missing")) return;
    // A server that has just started may not know it yet: it is asked for again with the words, or after them.
    if (message.code === "unknown_token" && (info || againAt !== null)) {
      isRefused = true;
      againAt ??= app.now() + AGAIN_MS;
      return;
    }
    if (message.code === "unknown_token" || message.code === "not_followed") fail(message.message);
  }

  /** There is no such market: nothing of one is shown. */
  function missing() {
    app.root.classList.add("missing");
    put(heading, "No such market");
    app.title("No such market");
    problem.prepend(`There is no market “${format.plain(name, 100)}”.`, el("br"));
    problem.append(el("br"), el("a", { href: "#/markets", text: "all markets →" }));
  }

  /** @param {string} text */
  function fail(text) {
    app.root.classList.remove("settling");
    put(problem, format.plain(text));
    problem.hidden = false;
  }

  /** The heatmap's column of this second, and the point of the curves. @param {Token} one @param {number} now */
  function remember(one, now) {
    const at = app.clock.at(now);
    if (at === null) return;
    const second = Math.floor(at / 1000);
    const isLive = one.book.isLive && app.isLinked();
    // Until its first book comes nobody has looked at it.
    if (!isLive && one.book.following === "no" && one.depth.second < 0) return;
    const tick = tickOf(one.book);
    const [bid, ask] = [one.book.best("bid"), one.book.best("ask")];
    if (isLive) {
      one.depth.take(second, grid.rows(one.book.sides.bid.values(), tick, "bid"), grid.rows(one.book.sides.ask.values(), tick, "ask"), bid && grid.row(bid.at, tick, "bid"), ask && grid.row(ask.at, tick, "ask"));
    } else {
      one.depth.doubt(second);
    }
    const has = isLive && bid && ask;
    one.history.take(second, has ? (bid.at + ask.at) / 2 : null, has ? ask.at - bid.at : null);
  }

  /** @param {number} now */
  function frame(now) {
    const isLinked = app.isLinked();
    if (now - begun > SETTLED_MS) app.root.classList.remove("settling");
    for (const one of tokens.values()) outcome(one, isLinked);
    demo?.frame(now, shown, [...tokens.keys()]);
    if (!shown) return;
    const { book } = shown;
    const isOld = !isLinked || !book.isLive;
    // What is marked is marked everywhere at once.
    if (isOld !== wasOld) chartsAt = 0;
    wasOld = isOld;
    if (ladder.isDirty) {
      drawn.push(now);
      while (drawn.length && now - drawn[0] > 1000) drawn.shift();
    }
    mark(ladder.box, "class", isOld && book.state !== "settled" ? "box ladder stale" : "box ladder");
    const age = app.clock.age(book.receivedUs === null ? null : book.receivedUs / 1000, now);
    put(ladder.more, isOld ? `▲ ${isLinked ? (book.isFollowed ? ofBook(book.state, book.reason).word : "being fetched").replace(/^[^:]*/, (word) => word.toUpperCase()) : "LINK DOWN"} · ${format.age(age)}` : `${format.plain(shown.outcome, 40)} · changed ${format.age(age)} ago`);
    ladder.frame(book, { isOld, now, digits: digits(), title: `${format.plain(shown.outcome, 100)}, sequence ${book.sequence}` });
    put(numbers["Last change"], age === null ? "–" : `${format.age(age)} ago`);
    // What is heard is never of another outcome or state than what is seen.
    const said = `${shown.id} ${isOld} ${book.isFollowed} ${book.state} ${book.reason}`;
    if (now - labelAt > LABEL_MS || said !== labelled) {
      [labelAt, labelled] = [now, said];
      ladder.label(shown.outcome, book, isOld, digits());
      announce(shown, isOld);
    }
    if (againAt !== null && now >= againAt && isLinked) void learn();
    if (now - chartsAt >= CHARTS_MS) {
      chartsAt = now;
      for (const one of tokens.values()) remember(one, now);
      charts(isOld, now);
    }
    if (now - proofAt >= PROOF_MS) {
      proofAt = now;
      put(numbers.Updates, `${updates}/s`);
      updates = 0;
      void prove(shown);
    }
  }

  /** Whether each book was seen to be old. @type {Map<string, boolean>} */
  const wasSaid = new Map();

  /** A book that goes stale is heard, and so is one that comes back; that the link is lost is said of all. @param {Token} one @param {boolean} isOld */
  function announce(one, isOld) {
    if (!app.isLinked() || !one.book.isFollowed) return;
    const was = wasSaid.get(one.id);
    wasSaid.set(one.id, isOld);
    if (was === isOld || (was === undefined && !isOld)) return;
    app.say(`${format.plain(one.outcome, 40)}: ${isOld ? ofBook(one.book.state, one.book.reason).word : "the book is live again"}`, `book ${one.id}`);
  }

  /** @param {Token} one @param {boolean} isLinked */
  function outcome(one, isLinked) {
    const { book } = one;
    const [bid, ask] = [book.best("bid"), book.best("ask")];
    const digits = format.placesOf(book.tick, bid?.price, ask?.price);
    put(one.bid, format.price(bid?.price, digits));
    put(one.ask, format.price(ask?.price, digits));
    setBadge(one.state, isLinked ? ofBook(book.state, book.reason, book.verified) : { shape: "triangle", word: "old: link down", tone: "stale" });
    mark(one.button, "data-old", isLinked && book.isLive ? null : "");
  }

  /** @param {boolean} isOld @param {number} now */
  function charts(isOld, now) {
    if (!shown) return;
    const { book } = shown;
    const [bid, ask] = [book.best("bid"), book.best("ask")];
    put(numbers.Mid, isOld ? "–" : format.price(book.mid, digits() + 1));
    put(numbers.Spread, isOld || !bid || !ask ? "–" : `${format.price(ask.at - bid.at, digits())}`);
    const [nowMs, up] = [app.clock.at(now), app.samples.newest.uptime_seconds];
    // The venue may have had a book for hours before this server was started: the curves begin with the server.
    if (nowMs !== null && typeof up === "number") shown.history.begin(nowMs / 1000 - up);
    pictures.show(shown, { isOld, digits: digits(), tick: tickOf(book), nowMs });
    proof.show(book, app.isLinked(), app.clock, now, isOld ? 0 : demo?.ahead ?? 0);
  }

  /** @param {Token} one */
  async function prove(one) {
    if (!app.isLinked()) return;
    try {
      const read = await app.reads.json(`v1/books/${one.id}`, { query: { depth: 1 }, signal: abort.signal, allow: [404, 503] });
      if (one !== shown || read?.token_id !== one.id) return;
      proof.read = read;
      const { feed } = read;
      if (feed !== null && feed !== proof.feed) proof.know(feed, await app.reads.json("v1/connections", { query: { limit: 1000 }, signal: abort.signal }));
    } catch {
      // The stream says what is known; the next look is in a second.
    }
  }

  async function copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      put(copy, "Copied");
    } catch {
      put(copy, "Copy the address");
    }
    setTimeout(() => put(copy, "Copy link"), 1500);
  }

  return {
    title: name,
    heading,
    frame,
    update(_, next) {
      const asked = [...tokens.values()].find(({ outcome }) => outcome === next.get("outcome"));
      if (asked && asked !== shown) choose(asked.id, false);
    },
    link() {
      // A silent link has lost nothing: what comes next continues the books. A lost one may have.
      const { is } = app.stream.link;
      if (is !== "open" && is !== "silent") for (const one of tokens.values()) one.book.interrupt();
      if (is === "lost") wasDown = true;
      if (is === "open" && wasDown) {
        wasDown = false;
        relearn();
      }
      ladder.isDirty = true;
    },
    sampled() {},
    theme() {
      ladder.isDirty = true;
      pictures.repaint();
      chartsAt = 0;
    },
    resize() {
      ladder.isDirty = true;
      chartsAt = 0;
    },
    sleep: () => {
      app.stream.want("market", null);
      app.stream.want("siblings", null);
      for (const one of tokens.values()) one.book.interrupt();
    },
    wake: () => {
      app.stream.want("market", wanted);
      app.stream.want("siblings", followed);
    },
    key(key) {
      if (key === "c") ladder.centre();
      else if (key === "t") ladder.switch();
      else if (key === "+" || key === "-") ladder.regroup(key === "+" ? 1 : -1);
      else if (key === "o") {
        const all = [...tokens.keys()];
        if (all.length) choose(all[(all.indexOf(shown?.id ?? "") + 1) % all.length]);
      } else return false;
      return true;
    },
    end() {
      ended = true;
      app.root.classList.remove("settling", "missing");
      abort.abort();
      app.stream.want("market", null);
      app.stream.want("siblings", null);
      pictures.end();
      demo?.end();
    },
  };
}

/** The grid of its prices. @param {Book | undefined} book */
function tickOf(book) {
  return Number(book?.tick ?? "0.01") || 0.01;
}
