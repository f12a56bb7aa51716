// @ts-check
// The demo's panel: the exchange's faults and flow, and its true book beside the shown one.
// The demo alone has the routes that it asks.

import { el, fill, mark, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { UNKNOWN } from "../core/state.js";
import { badge, box, setBadge } from "../core/widgets.js";
import { AHEAD_MS, Judge, rows } from "../book/truth.js";

const LOOK_MS = 500;
/** How long a fault lasts; those longer of which the end would not be seen: a silent connection is given up after some 20 seconds. */
const LASTS_S = 10;
const LONGER = /** @type {Record<string, number>} */ ({ stall_all: 30, stall_socket: 30, handshake_429: 20 });
/** Levels of a side. */
const LEVELS = 5;
const RATES = /** @type {const} */ ([["500", "500"], ["2000", "2,000"], ["10000", "10,000"]]);

/** @type {Record<import("../book/truth.js").Verdict, import("../core/state.js").Look>} */
const LOOKS = {
  equal: { shape: "disc", word: "shown is true", tone: "live" },
  marked: { shape: "triangle", word: "not shown as live", tone: "stale" },
  newer: { shape: "ring", word: "a newer truth is on its way", tone: "pending" },
  older: { shape: "ring", word: "shown is newer than the answer", tone: "pending" },
  unsure: { shape: "ring", word: "looking again", tone: "pending" },
  wrong: { shape: "cross", word: "SHOWN AS LIVE AND WRONG", tone: "bad" },
};

/** What is asked for once, whatever view is opened. */
const kept = { isOpen: false, judge: new Judge() };

export class Demo {
  /** @param {any} app @param {boolean} hasBook a book is shown beside it */
  constructor(app, hasBook) {
    this.app = app;
    this.abort = new AbortController();
    this.state = badge({ shape: "dotted", word: "not looked yet", tone: "pending" });
    this.count = el("span", { class: "muted" });
    this.toggle = el("button", { type: "button", class: "button", "aria-expanded": "false", "aria-controls": "demo-body", on: { click: () => this.open(!kept.isOpen) } });
    this.faults = el("div", { class: "faults", role: "group", "aria-label": "Faults of the exchange" });
    this.pause = el("button", { type: "button", class: "button", "aria-pressed": "false", text: "Pause the flow", on: { click: () => this.flow({ paused: this.pause.getAttribute("aria-pressed") !== "true" }) } });
    this.rate = el("select", { "aria-label": "Events a second", on: { change: () => this.flow({ events_per_second: Number(this.rate.value) }) } }, ...RATES.map(([value, text]) => el("option", { value, text: `${text} events a second` })));
    this.wrong = el("p", { class: "wrong", role: "alert" });
    this.table = el("tbody", {});
    const truth = hasBook && el("table", { class: "truth" },
      el("caption", { text: "the best levels" }),
      el("thead", {}, el("tr", {}, ...["price", "shown", "true"].map((text) => el("th", { scope: "col", text })))), this.table);
    this.body = el("div", { class: "body", id: "demo-body", hidden: true },
      el("div", { class: "switches" }, el("p", { class: "muted", text: `Each lasts ${LASTS_S} seconds, silence ${LONGER.stall_all}: so long it takes until it is found out. That no connection is let in is seen once connections are cut, too. ${hasBook ? "Those of books are for this market; those of connections for all." : "For all books and connections."}` }), this.faults, el("div", { class: "flow" }, this.pause, this.rate), this.wrong),
      truth || null);
    const made = box("demo", "The demo's exchange", this.body);
    this.box = made.box;
    made.head.replaceChildren(made.head.firstChild, ...(hasBook ? [this.state, this.count] : []), el("span", { class: "end" }), this.toggle);
    this.hasBook = hasBook;
    this.showCount();
    this.lookedAt = 0;
    this.isLooking = false;
    /** @type {any} */
    this.token = null;
    /** For how long the exchange has been ahead of the shown book, in ms; 0 while that is just on its way. */
    this.ahead = 0;
    /** @type {string[]} */
    this.tokens = [];
    /** @type {Map<string, any>} */
    this.buttons = new Map();
    this.open(kept.isOpen);
  }

  /** @param {boolean} isOpen */
  open(isOpen) {
    kept.isOpen = isOpen;
    this.body.hidden = !isOpen;
    mark(this.toggle, "aria-expanded", String(isOpen));
    put(this.toggle, isOpen ? "Hide the faults" : "Let things go wrong");
    this.lookedAt = 0;
  }

  /** @param {number} now @param {any} token the shown one @param {string[]} tokens of its market */
  frame(now, token = null, tokens = []) {
    if (token !== this.token) this.ahead = 0;
    this.token = token;
    this.tokens = tokens;
    // What was last compared says nothing of now.
    if (this.app.isDown()) setBadge(this.state, { ...UNKNOWN, word: "not known: the link is down" });
    if (now - this.lookedAt < LOOK_MS || this.isLooking || !this.app.isLinked()) return;
    this.lookedAt = now;
    void this.look();
  }

  async look() {
    this.isLooking = true;
    try {
      if (kept.isOpen) await Promise.all([this.showFaults(), this.showFlow()]);
      if (this.token) await this.compare(this.token);
    } catch (error) {
      if (!this.abort.signal.aborted) put(this.wrong, /** @type {Error} */ (error).message);
    } finally {
      this.isLooking = false;
    }
  }

  /** @param {any} token */
  async compare(token) {
    const { signal } = this.abort;
    const real = await this.app.reads.json(`demo/books/${token.id}`, { signal, allow: [404] });
    if (token !== this.token || !real?.bids || this.app.isDown()) return;
    const { judge } = kept;
    const now = this.app.now();
    const verdict = judge.look(token.book, real, token.book.isLive && this.app.isLinked(), now);
    const ahead = judge.aheadFor(now);
    this.ahead = ahead < AHEAD_MS ? 0 : ahead;
    setBadge(this.state, ahead < AHEAD_MS ? LOOKS[verdict] : { shape: "half", word: `the exchange has been ahead for ${format.age(ahead)}`, tone: "stale" });
    this.showCount();
    if (!kept.isOpen) return;
    const digits = format.places(token.book.tick);
    fill(this.table, rows(token.book, real, LEVELS).map((row) =>
      el("tr", { "data-side": row.side, "data-differs": row.differs }, el("td", { text: format.price(row.price, digits) }), el("td", { text: row.shown === null ? "–" : format.size(row.shown) }), el("td", { text: `${row.differs ? "≠ " : ""}${row.real === null ? "–" : format.size(row.real)}` }))));
  }

  /** Before the first look, too: a line that comes later moves what is below it. */
  showCount() {
    const { judge } = kept;
    put(this.count, `shown live and wrong: ${format.count(judge.wrong)}, older: ${format.count(judge.older)}, in ${format.count(judge.looks)} looks`);
    mark(this.count, "title", "older: the exchange had another book for more than a second and a half, and had not said so");
    mark(this.count, "data-tone", judge.wrong ? "bad" : judge.older ? "stale" : null);
  }

  async showFaults() {
    this.take(await this.app.reads.json("demo/faults", { signal: this.abort.signal }));
  }

  /** @param {any} answer */
  take({ active, offered }) {
    for (const { name, about, summary, of_tokens: ofTokens } of offered) {
      if (this.buttons.has(name)) continue;
      const button = el("button", { type: "button", class: "button", "aria-pressed": "false", title: summary, on: { click: () => this.switch(name, ofTokens) } }, el("span", { text: about }), el("span", { class: "left-of", "aria-hidden": "true" }));
      this.buttons.set(name, button);
      this.faults.append(button);
    }
    for (const [name, button] of this.buttons) {
      const on = active.find((/** @type {any} */ one) => one.name === name);
      mark(button, "aria-pressed", String(Boolean(on)));
      put(button.lastChild, on?.ends_in_s ? `${Math.ceil(on.ends_in_s)} s` : "");
      button.ids = active.filter((/** @type {any} */ one) => one.name === name).map((/** @type {any} */ one) => one.id);
    }
  }

  async showFlow() {
    const { paused, events_per_second: rate } = await this.app.reads.json("demo/flow", { signal: this.abort.signal });
    mark(this.pause, "aria-pressed", String(paused));
    if (document.activeElement !== this.rate) this.rate.value = String(rate);
  }

  /** On, or off if it is on. @param {string} name @param {boolean} ofTokens */
  async switch(name, ofTokens) {
    const button = this.buttons.get(name);
    const on = button.getAttribute("aria-pressed") === "true";
    await this.tell(async () => {
      if (!on) {
        const tokens = ofTokens && this.tokens.length ? this.tokens : undefined;
        this.take(await this.app.reads.send("POST", "demo/faults", { name, token_ids: tokens, for_s: LONGER[name] ?? LASTS_S }));
      }
      // One whose time is over meanwhile is off as well.
      else for (const id of button.ids) this.take((await this.app.reads.send("POST", "demo/faults/off", { id }, [404])) ?? { active: [], offered: [] });
    });
  }

  /** @param {any} wanted */
  async flow(wanted) {
    await this.tell(async () => {
      await this.app.reads.send("PUT", "demo/flow", wanted);
      await this.showFlow();
    });
  }

  /** @param {() => Promise<void>} what */
  async tell(what) {
    put(this.wrong, "");
    try {
      await what();
    } catch (error) {
      put(this.wrong, /** @type {Error} */ (error).message);
    }
  }

  end() {
    this.abort.abort();
  }
}
