// @ts-check
// The ladder's box: scrolled by wheel, finger and keys, centred when asked or left alone,
// and a table in its place for those who want one.

import { el, mark, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { moves } from "../core/theme.js";
import { ofBook } from "../core/state.js";
import { box } from "../core/widgets.js";
import * as grid from "../book/grid.js";
import { centred, clamp, draw, ROW, yOf } from "../draw/ladder.js";

/** Left alone for so long, and out of sight, the best prices come back to the middle. */
const IDLE_MS = 10_000;
/** For so long the last trade is marked. */
const TRADE_MS = 2000;

/** Ticks of a row. */
export const GROUPS = [1, 2, 5, 10, 20, 50];

/** @typedef {import("../book/book.js").Book} Book */

export class Ladder {
  constructor() {
    this.canvas = el("canvas", { role: "img", "aria-label": "the book is not here yet" });
    this.stage = el("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "Ladder: arrow keys scroll, C centres, T shows a table" }, this.canvas);
    this.table = el("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Levels of the book", hidden: true });
    const centre = el("button", { type: "button", class: "button", text: "Centre", title: "C", on: { click: () => this.centre() } });
    this.toggle = el("button", { type: "button", class: "button", text: "Table", title: "T", "aria-pressed": "false", on: { click: () => this.switch() } });
    const finer = el("button", { type: "button", class: "button", text: "−", title: "fewer prices a row (−)", "aria-label": "fewer prices a row", on: { click: () => this.regroup(-1) } });
    const coarser = el("button", { type: "button", class: "button", text: "+", title: "more prices a row (+)", "aria-label": "more prices a row", on: { click: () => this.regroup(1) } });
    this.grouped = el("span", { class: "grouped", title: "ticks a row" });
    this.imbalance = el("span", { class: "end" });
    this.priceTitle = el("span", { text: "price" });
    this.group = 1;
    this.isGroupChosen = false;
    const made = box(
      "ladder",
      "Ladder",
      el("div", { class: "titles", "aria-hidden": "true" }, el("span", { text: "bid size" }), this.priceTitle, el("span", { text: "ask size" })),
      this.stage,
      this.table,
      el("div", { class: "foot" }, centre, this.toggle, finer, this.grouped, coarser, this.imbalance),
    );
    this.box = made.box;
    this.more = made.more;
    /** @type {number | null} */
    this.top = null;
    this.touched = 0;
    this.isTable = false;
    /** @type {number | null} */
    this.hovered = null;
    /** @type {{ row: number, side: string | null, at: number } | null} */
    this.trade = null;
    this.tick = 0.01;
    this.lastRow = 100;
    this.isDirty = true;
    this.tableVersion = -1;
    this.listen();
  }

  listen() {
    this.stage.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
      if (event.ctrlKey) return;
      event.preventDefault();
      this.scroll(-event.deltaY / (event.deltaMode === 1 ? 1 : ROW));
    }, { passive: false });
    /** @type {number | null} */
    let from = null;
    this.stage.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      from = event.clientY;
      this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (from !== null) {
        this.scroll((event.clientY - from) / ROW);
        from = event.clientY;
      }
      const hovered = this.top === null ? null : Math.ceil(this.top - event.offsetY / ROW);
      if (hovered !== this.hovered) {
        this.hovered = hovered;
        this.isDirty = true;
      }
    });
    const ends = () => (from = null);
    this.stage.addEventListener("pointerup", ends);
    this.stage.addEventListener("pointercancel", ends);
    this.stage.addEventListener("pointerleave", () => {
      this.hovered = null;
      this.isDirty = true;
    });
    this.stage.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const page = Math.floor(this.canvas.clientHeight / ROW) - 2;
      const by = /** @type {Record<string, number>} */ ({ ArrowUp: 1, ArrowDown: -1, PageUp: page, PageDown: -page, Home: 1e6, End: -1e6 })[event.key];
      if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.scroll(by);
    });
  }

  /** @param {number} rows upwards */
  scroll(rows) {
    if (this.top === null) return;
    this.top = clamp(this.top + rows, this.canvas.clientHeight, this.lastRow);
    this.touched = performance.now();
    this.isDirty = true;
  }

  /** The best prices to the middle. */
  centre() {
    this.top = null;
    this.isDirty = true;
  }

  /** Another token: its own middle. */
  reset() {
    this.trade = null;
    this.isGroupChosen = false;
    this.tableVersion = -1;
    this.centre();
  }

  /** More or fewer prices a row. @param {1 | -1} by */
  regroup(by) {
    const at = GROUPS.indexOf(this.group) + by;
    this.group = GROUPS[Math.min(Math.max(at, 0), GROUPS.length - 1)];
    this.isGroupChosen = true;
    this.centre();
  }

  switch() {
    this.isTable = !this.isTable;
    this.tableVersion = -1;
    mark(this.toggle, "aria-pressed", String(this.isTable));
    this.stage.hidden = this.isTable;
    this.table.hidden = !this.isTable;
    this.isDirty = true;
  }

  /** @param {any} message */
  traded(message) {
    this.trade = { row: grid.row(Number(message.price), this.tick, message.aggressor_side === "BUY" ? "ask" : "bid"), side: message.aggressor_side, at: performance.now() };
    this.isDirty = true;
  }

  /**
   * @param {Book} book @param {{ isOld: boolean, now: number, digits: number, title: string }} view
   */
  frame(book, { isOld, now, digits, title }) {
    // It comes back to the middle also while nothing changes.
    if (this.touched > 0 && now - this.touched >= IDLE_MS) {
      this.touched = 0;
      this.isDirty = true;
    }
    if (!this.isDirty) return;
    this.isDirty = false;
    const [bid, ask] = [book.best("bid"), book.best("ask")];
    const finest = Number(book.tick ?? "0.01") || 0.01;
    const height = this.canvas.clientHeight;
    if (this.top === null && !this.isGroupChosen && bid && ask && height > 0) this.group = fitting((ask.at - bid.at) / finest, height);
    this.tick = finest * this.group;
    this.lastRow = grid.last(this.tick);
    if (this.isTable) this.showTable(book, digits, title);
    const [bidRow, askRow] = [bid && grid.row(bid.at, this.tick, "bid"), ask && grid.row(ask.at, this.tick, "ask")];
    if (height > 0) {
      if (this.top === null && (bidRow !== null || askRow !== null)) this.top = centred(bidRow, askRow, height, this.lastRow);
      this.top = this.recentred(bidRow, askRow, height, now);
      if (this.trade && now - this.trade.at > TRADE_MS) this.trade = null;
      const fades = draw(this.canvas, {
        top: this.top ?? this.lastRow / 2 + height / ROW / 2,
        tick: this.tick,
        lastRow: this.lastRow,
        digits,
        bids: grid.rows(book.sides.bid.values(), this.tick, "bid"),
        asks: grid.rows(book.sides.ask.values(), this.tick, "ask"),
        bidRow,
        askRow,
        isOld,
        now,
        moves: moves(),
        trade: this.trade,
        hovered: this.hovered,
        spread: bid && ask ? format.price(ask.at - bid.at, digits) : null,
      });
      if (fades || this.trade) this.isDirty = true;
    }
    const [bids, asks] = [total(book.sides.bid.values()), total(book.sides.ask.values())];
    put(this.grouped, `×${this.group}`);
    // A row of several prices is named by one of them, which the best price need not be.
    put(this.priceTitle, this.group === 1 ? "price" : `${this.group} ticks`);
    put(this.imbalance, bids + asks > 0 ? `${Math.round((bids / (bids + asks)) * 100)} % bid` : "");
    mark(this.imbalance, "title", `${format.size(Math.round(bids))} shares bid, ${format.size(Math.round(asks))} offered`);
  }

  /** @param {number | null} bidRow @param {number | null} askRow @param {number} height @param {number} now */
  recentred(bidRow, askRow, height, now) {
    if (this.top === null || now - this.touched < IDLE_MS) return this.top;
    const middle = bidRow !== null && askRow !== null ? (bidRow + askRow) / 2 : bidRow ?? askRow;
    if (middle === null) return this.top;
    const y = yOf(middle, this.top);
    return y > height * 0.15 && y < height * 0.85 ? this.top : centred(bidRow, askRow, height, this.lastRow);
  }

  /** A label for those who do not see it. @param {string} outcome @param {Book} book @param {boolean} isOld @param {number} digits */
  label(outcome, book, isOld, digits) {
    const [bid, ask] = [book.best("bid"), book.best("ask")];
    const look = ofBook(book.state, book.reason, book.verified);
    const text = `${format.plain(outcome, 100)}: bid ${bid ? format.price(bid.price, digits) : "none"}, ask ${ask ? format.price(ask.price, digits) : "none"}, ${bid ? format.size(bid.text) : 0} against ${ask ? format.size(ask.text) : 0} shares, ${isOld && book.state === "live" ? "old" : look.word}`;
    mark(this.canvas, "aria-label", text);
  }

  /** @param {Book} book @param {number} digits @param {string} title */
  showTable(book, digits, title) {
    if (this.tableVersion === book.version) return;
    this.tableVersion = book.version;
    const [bids, asks] = [book.levels("bid"), book.levels("ask")];
    const rows = [];
    for (let at = 0; at < Math.max(bids.length, asks.length); at += 1) {
      const [bid, ask] = [bids[at], asks[at]];
      rows.push(el("tr", {}, el("td", { text: bid?.text ?? "" }), el("td", { text: bid ? format.price(bid.price, digits) : "" }), el("td", { text: ask ? format.price(ask.price, digits) : "" }), el("td", { text: ask?.text ?? "" })));
    }
    const scrolled = this.table.scrollTop;
    this.table.replaceChildren(
      el("table", {}, el("caption", { text: title }), el("thead", {}, el("tr", {}, ...["bid size", "bid", "ask", "ask size"].map((text) => el("th", { scope: "col", text })))), el("tbody", {}, ...rows)),
    );
    this.table.scrollTop = scrolled;
  }
}

/** The fewest ticks a row with which both sides of the spread are in sight. @param {number} spread in ticks @param {number} height */
export function fitting(spread, height) {
  const room = (height / ROW) * 0.4;
  return GROUPS.find((group) => spread / group <= room) ?? GROUPS[GROUPS.length - 1];
}

/** @param {Iterable<{ size: number }>} levels */
function total(levels) {
  let all = 0;
  for (const { size } of levels) all += size;
  return all;
}
