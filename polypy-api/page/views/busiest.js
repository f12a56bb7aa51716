// @ts-check
// The markets that most was traded in today, with live prices, for the overview.

import { el, mark, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { ofBook, topAfter } from "../core/state.js";
import { badge, box, setBadge } from "../core/widgets.js";

const MARKETS = 8;

export class Busiest {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.list = el("ul", {});
    const names = ["Market", "Book", "Bid", "Ask", "24 h volume"].map((text) => el("span", { text }));
    const made = box("busiest", "Busiest markets", el("div", { class: "names", "aria-hidden": "true" }, ...names), this.list);
    this.box = made.box;
    made.more.append(el("a", { href: "#/markets", text: "all markets →" }));
    /** @type {Map<string, { link: any, state: any, bid: any, ask: any, tick: string | null }>} by first token */
    this.rows = new Map();
    /** The newest of each. @type {Map<string, any>} */
    this.tops = new Map();
    this.abort = new AbortController();
  }

  async learn() {
    const { app } = this;
    try {
      const query = { limit: MARKETS, tops: true, fields: "slug,condition_id,question,tokens,tick_size,volume_day" };
      const answer = await app.reads.json("v1/markets", { query, signal: this.abort.signal });
      this.show(answer.markets.filter((/** @type {any} */ one) => one.tokens.length));
    } catch {
      // The overview is whole without it, and it is asked for again when the link is back.
    }
  }

  /** @param {any[]} markets */
  show(markets) {
    this.box.hidden = markets.length === 0;
    this.rows.clear();
    this.tops.clear();
    this.list.replaceChildren(...markets.map((market) => {
      const [token] = market.tokens;
      const row = { state: badge(), bid: el("span", { class: "mono bid" }), ask: el("span", { class: "mono ask" }), tick: market.tick_size, link: null };
      const called = format.plain(format.called(market));
      const question = token.outcome === "Yes" ? called : `${called} · ${format.plain(token.outcome)}`;
      row.link = el("a", { href: `#/market/${encodeURIComponent(market.slug ?? market.condition_id)}`, title: format.plain(format.called(market), 1000) }, el("span", { text: question }), row.state, row.bid, row.ask, el("span", { class: "muted", text: format.dollars(market.volume_day), title: "traded in 24 h" }));
      this.rows.set(token.token_id, /** @type {any} */ (row));
      this.set(token.token_id, token.top ?? { state: "pending" });
      return el("li", {}, row.link);
    }));
    this.follow();
  }

  follow() {
    if (this.rows.size === 0) return;
    const fields = { tokens: [...this.rows.keys()], channels: ["top", "state"], mode: "conflated", interval_ms: 200 };
    const take = (/** @type {any} */ message) => {
      if (message.type === "top" || message.type === "state") this.set(message.token_id, topAfter(this.tops.get(message.token_id), message));
    };
    this.app.stream.want("busiest", { fields, take });
  }

  /** @param {string} token @param {any} top */
  set(token, top) {
    const row = this.rows.get(token);
    if (!row) return;
    this.tops.set(token, top);
    const isDown = this.app.isDown();
    setBadge(row.state, isDown ? { shape: "triangle", word: "old", tone: "stale" } : ofBook(top.state, top.reason, top.verified));
    mark(row.link, "data-old", top.state === "live" && !isDown ? null : "");
    const digits = format.placesOf(row.tick, top.best_bid, top.best_ask);
    for (const [cell, price] of /** @type {const} */ ([[row.bid, top.best_bid], [row.ask, top.best_ask]])) {
      const text = format.price(price, digits);
      if (cell.textContent && cell.textContent !== text) flash(cell);
      put(cell, text);
    }
  }

  /** The link was lost, or is back. */
  repaint() {
    for (const [token, top] of this.tops) this.set(token, top);
  }

  end() {
    this.abort.abort();
    this.app.stream.want("busiest", null);
  }
}

/** The animation begins anew only after a layout without it: it is taken off now, and put on with the next frame. @param {any} cell */
export function flash(cell) {
  cell.classList.remove("moved");
  requestAnimationFrame(() => cell.classList.add("moved"));
}
