// @ts-check
// A shown book held against the exchange's true one, level by level. Two moments are
// compared only where the exchange's own time is the same: what is newer there is on its way.

/**
 * @typedef {import("./book.js").Book} Book
 * @typedef {{ sequence: number, ts_event_ms: number, bids: [string, string][], asks: [string, string][] }} True
 * @typedef {"equal" | "marked" | "newer" | "older" | "unsure" | "wrong"} Verdict
 * marked: it is not shown as live; newer, older: the true book is of a later or earlier
 * moment; unsure: the same moment and other levels, which the next look has to confirm, for
 * a moment of the exchange may have several changes.
 * @typedef {{ side: "bid" | "ask", price: string, shown: string | null, real: string | null, differs: boolean }} Row
 */

/** A truth that has not come by then, in ms, is not just on its way. */
export const AHEAD_MS = 1500;

export class Judge {
  constructor() {
    this.looks = 0;
    /** Moments at which levels were shown as live and were not the exchange's. */
    this.wrong = 0;
    /** Looks in which an older book was shown as live, though its truth had been another one for a while. */
    this.older = 0;
    /** What the last look was unsure of. @type {string | null} */
    this.doubt = null;
    /** @type {string | null} */
    this.counted = null;
    /** The oldest truth that the shown book has not come to, and when it was seen. @type {{ book: Book, ms: number, at: number } | null} */
    this.ahead = null;
  }

  /**
   * @param {Book} book @param {True} real @param {boolean} isShownLive
   * @param {number} [now] @returns {Verdict}
   */
  look(book, real, isShownLive, now = 0) {
    const verdict = this.compare(book, real, isShownLive);
    const at = book.eventMs ?? -Infinity;
    // A book that moves on may still be behind what was true a while ago.
    const isBehind = this.ahead !== null && this.ahead.book === book && at < this.ahead.ms;
    if (verdict !== "newer") this.ahead = null;
    else if (!isBehind) this.ahead = { book, ms: real.ts_event_ms, at: now };
    if (this.aheadFor(now) >= AHEAD_MS) this.older += 1;
    return verdict;
  }

  /** For how long the exchange has been ahead of what is shown, in ms. @param {number} now */
  aheadFor(now) {
    return this.ahead === null ? 0 : now - this.ahead.at;
  }

  /** @param {Book} book @param {True} real @param {boolean} isShownLive @returns {Verdict} */
  compare(book, real, isShownLive) {
    this.looks += 1;
    const { doubt } = this;
    this.doubt = null;
    if (!isShownLive) return "marked";
    if (differences(book, real) === 0) return "equal";
    const at = book.eventMs ?? -Infinity;
    if (real.ts_event_ms > at) return "newer";
    if (real.ts_event_ms < at) return "older";
    this.doubt = `${book.epoch} ${book.sequence} ${real.sequence}`;
    if (this.doubt !== doubt) return "unsure";
    if (this.counted !== doubt) this.wrong += 1;
    this.counted = doubt;
    return "wrong";
  }
}

/** Levels that only one of them has, or with another size. @param {Book} book @param {True} real */
export function differences(book, real) {
  let many = 0;
  for (const side of /** @type {const} */ (["bid", "ask"])) {
    const shown = book.sides[side];
    let both = 0;
    for (const [price, size] of real[`${side}s`]) {
      const level = shown.get(price);
      if (level) both += 1;
      if (!level || level.size !== Number(size)) many += 1;
    }
    many += shown.size - both;
  }
  return many;
}

/**
 * The best levels of both, side by side: asks from the highest down, then bids. There are always as
 * many rows, so that none has another place when a side is short; those without a level have no price.
 * @param {Book} book @param {True} real @param {number} most of a side
 * @returns {Row[]}
 */
export function rows(book, real, most) {
  const of = (/** @type {"bid" | "ask"} */ side) => {
    const truth = new Map(real[`${side}s`]);
    const sign = side === "bid" ? -1 : 1;
    const prices = [...new Set([...truth.keys(), ...book.sides[side].keys()])].sort((one, other) => sign * (Number(one) - Number(other))).slice(0, most);
    const empty = Array.from({ length: most - prices.length }, () => ({ side, price: "", shown: null, real: null, differs: false }));
    return [...prices.map((price) => {
      const [shown, is] = [book.sides[side].get(price)?.text ?? null, truth.get(price) ?? null];
      return { side, price, shown, real: is, differs: Number(shown) !== Number(is) };
    }), ...empty];
  };
  return [...of("ask").reverse(), ...of("bid")];
}
