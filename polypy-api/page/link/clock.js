// @ts-check
// The server's time. Ages are counted from it and never from the reader's clock, which
// may be minutes off.

/** Moments that are kept: the one that took the shortest way says most. */
const KEPT = 30;

export class Clock {
  constructor() {
    /** @type {number[]} */
    this.offsets = [];
    this.greatest = NaN;
  }

  /**
   * A message that said what time it was.
   * @param {number} serverMs since 1970
   * @param {number} now on the page's own clock
   */
  take(serverMs, now) {
    const offset = serverMs - now;
    // After a sleep the page's own clock may have stood still: begin anew.
    if (Math.abs(offset - this.greatest) > 5000) this.offsets = [];
    this.offsets.push(offset);
    if (this.offsets.length > KEPT) this.offsets.shift();
    this.greatest = Math.max(...this.offsets);
  }

  /**
   * The server's time, in ms since 1970; `null` before it said anything.
   * @param {number} now
   */
  at(now) {
    return Number.isNaN(this.greatest) ? null : now + this.greatest;
  }

  /**
   * How long ago that was; never below nothing.
   * @param {number | null | undefined} serverMs
   * @param {number} now
   */
  age(serverMs, now) {
    const at = this.at(now);
    return at === null || serverMs === null || serverMs === undefined ? null : Math.max(at - serverMs, 0);
  }
}
