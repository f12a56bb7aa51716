// @ts-check
// Boxes of the market's view that hold words and numbers: proof, trades, siblings.

import { el, fill, mark, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { ofBook, RUNBOOK } from "../core/state.js";
import { badge, box, facts, setBadge } from "../core/widgets.js";

const TRADES = 200;

/** What speaks for the book. */
export class Proof {
  constructor() {
    this.state = badge();
    this.first = el("p", { class: "first" }, this.state);
    this.says = el("p", { class: "says muted" });
    this.facts = facts(["exchange's hash", "last reproduced", "delivered by", "epoch, sequence", "so since", "exchange's time", "levels"]);
    this.way = el("p", { class: "way" });
    const made = box("proof", "Proof", el("div", { class: "body" }, this.first, this.says, this.way, this.facts.list));
    this.box = made.box;
    /** @type {any} the newest answer of `/v1/books/{token_id}` */
    this.read = null;
    /** The feed whose connection is known, and that. @type {number | null} */
    this.feed = null;
    this.connection = "";
  }

  /** Which connection delivers a feed. @param {number} feed @param {any} answer of `/v1/connections` */
  know(feed, answer) {
    this.feed = feed;
    this.connection = answer.connections.find((/** @type {any} */ one) => one.feed === feed)?.connection ?? "";
  }

  /**
   * @param {import("../book/book.js").Book} book @param {boolean} isLinked @param {any} clock @param {number} now
   * @param {number} [ahead] for how long the exchange of the demo, which is asked there, has had another book, in ms
   */
  show(book, isLinked, clock, now, ahead = 0) {
    const { read } = this;
    if (isLinked && ahead > 0) setBadge(this.state, { shape: "half", word: `older than the exchange's`, tone: "stale" });
    else setBadge(this.state, isLinked ? ofBook(book.state, book.reason, book.verified) : { shape: "triangle", word: "not known: the link is down", tone: "stale" });
    const section = book.state === "stale" && book.reason ? RUNBOOK[book.reason] : undefined;
    fill(this.way, section ? [el("a", { href: `#/runbook/${section}`, text: "what to do →" })] : []);
    const { of } = this.facts;
    const since = read?.since_ms ?? book.since;
    put(of["exchange's hash"], format.hash(book.hash ?? read?.hash));
    const verifiedAt = book.verified && read ? read.verified_at_ms : null;
    if (isLinked && ahead > 0) put(this.says, `The exchange has had another book for ${format.age(ahead)}, and has not said so: only who asks it can know, as this demo does. ${verifiedAt === null ? "" : `The hash came out ${format.age(clock.age(verifiedAt, now))} ago.`}`);
    else put(this.says, isLinked ? words(book, verifiedAt, clock.age(verifiedAt, now)) : "What is shown is what was last heard.");
    put(of["last reproduced"], verifiedAt === null ? "–" : `${format.age(clock.age(verifiedAt, now))} ago`);
    mark(of["last reproduced"], "title", format.utc(verifiedAt));
    const feed = read?.feed ?? null;
    put(of["delivered by"], feed === null ? "–" : `${this.feed === feed && this.connection ? `${this.connection}, ` : ""}feed ${feed}`);
    put(of["epoch, sequence"], `${format.count(book.epoch)}, ${format.count(book.sequence)}`);
    put(of["so since"], since === null || since === undefined ? "–" : `${format.age(clock.age(since, now))}`);
    mark(of["so since"], "title", format.utc(since));
    const late = book.receivedUs === null || book.eventMs === null ? null : format.age(Math.max(book.receivedUs / 1000 - book.eventMs, 0));
    put(of["exchange's time"], `${format.clock(book.eventMs)}${late === null ? "" : ` (+${late})`}`);
    mark(of["exchange's time"], "title", late === null ? null : `${format.utc(book.eventMs)}, received ${late} later`);
    put(of.levels, `${book.sides.bid.size} bids, ${book.sides.ask.size} asks`);
  }
}

/**
 * What is known of a book, and of when that is.
 * @param {import("../book/book.js").Book} book
 * @param {number | null} verifiedAt when the hash came out the last time; `null` while that is not known
 * @param {number | null} age how long ago that is
 */
export function words(book, verifiedAt, age) {
  if (book.state === "live") {
    if (book.verified === true) {
      if (verifiedAt === null) return "The exchange's own hash came out of all levels at the last check, and nothing has contradicted them since.";
      const isOfNow = book.receivedUs !== null && book.receivedUs / 1000 <= verifiedAt;
      return isOfNow
        ? `The exchange's own hash came out of these levels, all of them, ${format.age(age)} ago. They have not changed since.`
        : `The exchange's own hash came out of all levels ${format.age(age)} ago. Nothing has contradicted what changed since.`;
    }
    return "Nothing contradicts these levels, and no hash of the exchange confirms them at the moment.";
  }
  if (book.state === "stale") return "Not to be traded on: something spoke against these levels. They are fetched again by themselves.";
  if (book.state === "settled") return "The last book of a market that is over.";
  return "No book has come yet.";
}

/** Trades as they come; a hole in their numbers is a row. */
export class Trades {
  constructor() {
    this.list = el("ol", { tabindex: "0", "aria-label": "Trades, newest first" });
    const made = box("trades", "Trades", this.list);
    this.box = made.box;
    this.more = made.more;
    /** @type {Map<string, number>} */
    this.last = new Map();
    this.empty = el("li", { class: "none", text: "no trade yet" });
    this.list.append(this.empty);
    this.digits = 2;
  }

  /** What is here may be of a process that is gone, whose numbers say nothing of the next one's. */
  forget() {
    this.last.clear();
    this.list.replaceChildren(this.empty);
    put(this.more, "");
  }

  /** The trades there were, newest first. @param {any[]} trades */
  begin(trades) {
    for (const trade of [...trades].reverse()) this.take(trade);
  }

  /** @param {any} trade @returns {boolean} whether it is a new one */
  take(trade) {
    const last = this.last.get(trade.token_id);
    if (last !== undefined && trade.trade_sequence <= last) return false;
    this.empty.remove();
    const missing = last === undefined ? 0 : trade.trade_sequence - last - 1;
    if (missing > 0) this.list.prepend(el("li", { class: "hole", text: `${format.count(missing)} ${missing === 1 ? "trade" : "trades"} not seen` }));
    this.last.set(trade.token_id, trade.trade_sequence);
    const side = trade.aggressor_side ?? "–";
    this.list.prepend(
      el("li", { "data-side": side, "data-token": trade.token_id },
        el("time", { text: format.clock(trade.ts_event_ms), title: format.utc(trade.ts_event_ms) }),
        el("span", { text: side === "BUY" ? "BUY ▲" : side === "SELL" ? "SELL ▼" : side }),
        el("span", { text: format.price(trade.price, this.digits) }),
        el("span", { text: format.size(trade.size), title: trade.size })),
    );
    while (this.list.childElementCount > TRADES) this.list.lastChild.remove();
    return true;
  }

  /** Shows those of one token. @param {string | null} token */
  show(token) {
    let shown = 0;
    for (const item of this.list.children) {
      const of = item.dataset.token;
      item.hidden = of !== undefined && of !== token;
      if (!item.hidden && of) shown += 1;
    }
    put(this.more, shown ? `${format.count(shown)} newest` : "");
  }
}

/** The other markets of the event. */
export class Siblings {
  constructor() {
    this.list = el("ul", {});
    const made = box("siblings", "Same event", this.list);
    this.box = made.box;
    this.more = made.more;
    this.box.hidden = true;
    /** @type {Map<string, any>} */
    this.prices = new Map();
  }

  /** @param {any} event @param {string} own condition id @returns {string[]} first tokens */
  begin(event, own) {
    const others = event.markets.filter((/** @type {any} */ one) => one.condition_id !== own && one.tokens.length);
    this.box.hidden = others.length === 0;
    put(this.more, `${format.count(others.length)} more · ${format.plain(event.title, 100)}`);
    this.list.replaceChildren(...others.slice(0, 60).map((/** @type {any} */ one) => {
      const token = one.tokens[0];
      const price = el("span", { class: "mono" });
      price.tick = one.tick_size;
      price.state = el("span", { class: "mark" }, el("i", { "aria-hidden": "true" }), el("span", { class: "unseen" }));
      this.prices.set(token.token_id, price);
      if (token.top) this.set(token.token_id, token.top);
      return el("li", {}, el("a", { href: `#/market/${encodeURIComponent(one.slug ?? one.condition_id)}`, title: format.plain(format.called(one), 1000) }, el("span", { text: format.plain(one.group_title || format.called(one)) }), price, price.state));
    }));
    return others.slice(0, 60).filter((/** @type {any} */ one) => one.followed).map((/** @type {any} */ one) => one.tokens[0].token_id);
  }

  /** @param {string} token @param {any} top */
  set(token, top) {
    const price = this.prices.get(token);
    if (!price) return;
    const isLive = top.state === "live";
    const digits = format.placesOf(price.tick ?? null, top.best_bid, top.best_ask);
    put(price, `${format.price(top.best_bid, digits)} / ${format.price(top.best_ask, digits)}`);
    price.classList.toggle("old", !isLive);
    // In a place of its own: the price does not move.
    const look = ofBook(top.state, top.reason);
    mark(price.state, "data-tone", isLive ? null : look.tone);
    mark(price.state.firstChild, "data-shape", isLive ? null : look.shape);
    put(price.state.lastChild, isLive ? "" : look.word);
    mark(price.state, "title", isLive ? null : look.word);
  }
}
