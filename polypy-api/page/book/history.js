// @ts-check
// Mid and spread of a book, second by second, as the columns of a chart.

/** Points that are kept: an hour of seconds. */
const POINTS = 3600;

export class History {
  constructor() {
    /** Seconds since 1970. @type {number[]} */
    this.times = [];
    /** @type {(number | null)[]} */
    this.mids = [];
    /** @type {(number | null)[]} */
    this.spreads = [];
    /** What was before the page was opened is here. */
    this.hasPast = false;
  }

  /** For the chart. @returns {[number[], (number | null)[], (number | null)[]]} */
  columns() {
    return [this.times, this.mids, this.spreads];
  }

  /** What the server has of before the first second that is here. @param {any[]} points of `/v1/tops/{token_id}` */
  before(points) {
    const first = this.times[0] ?? Infinity;
    const old = points.filter((point) => point.ts_event_ms / 1000 < first && point.mid_price !== null);
    this.times.unshift(...old.map((point) => point.ts_event_ms / 1000));
    this.mids.unshift(...old.map((point) => Number(point.mid_price)));
    this.spreads.unshift(...old.map((point) => Number(point.spread)));
    this.hasPast = true;
  }

  /** A second has what came last in it. @param {number} second @param {number | null} mid @param {number | null} spread */
  take(second, mid, spread) {
    if (this.times[this.times.length - 1] !== second) {
      this.times.push(second);
      this.mids.push(null);
      this.spreads.push(null);
    }
    this.mids[this.mids.length - 1] = mid;
    this.spreads[this.spreads.length - 1] = spread;
    while (this.times.length > POINTS) for (const column of this.columns()) column.shift();
  }

  /** What held before this second is held from it on, and the rest is let go. @param {number} second */
  begin(second) {
    const early = this.times.findIndex((time) => time >= second);
    const gone = early < 0 ? this.times.length - 1 : early - 1;
    if (gone < 0) return;
    for (const column of this.columns()) column.splice(0, gone);
    this.times[0] = second;
  }
}
