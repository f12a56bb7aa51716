// @ts-check
// What the server says of itself once a second, a quarter of an hour of it: as the channel
// `health` brings it, and before the page was opened as the server remembers it.

/** Seconds that are kept: as many as the server does. */
export const KEPT = 900;
/** Seconds that lie further apart are not joined: what was between them nobody knows. */
const APART_MS = 2500;

/**
 * @typedef {Record<string, number | null>} Sample
 * @typedef {{ at: number, values: Sample }} Second
 */

export class Samples {
  constructor() {
    /** Oldest first. @type {Second[]} */
    this.kept = [];
    /** The newest second; what is remembered of one may have fewer values. @type {Sample} */
    this.newest = {};
    /** @type {any} the newest verdict */
    this.health = null;
  }

  /** The newest second, as a message has it. @param {Sample | null} sample */
  take(sample) {
    if (sample === null) return;
    const at = Number(sample.ts_ms);
    // What is later is of a clock that was set back since.
    this.kept = this.kept.filter((one) => one.at < at);
    this.kept.push({ at, values: sample });
    if (this.kept.length > KEPT) this.kept.shift();
    this.newest = sample;
  }

  /** An answer with the newest second, all of it, before a message said anything. @param {{ columns: string[], rows: (number | null)[][] }} history */
  begin(history) {
    if (this.newest.ts_ms !== undefined || history.rows.length === 0) return;
    this.remember(history);
    this.newest = this.kept[this.kept.length - 1].values;
  }

  /** What there was before. @param {{ columns: string[], rows: (number | null)[][] }} history */
  remember({ columns, rows }) {
    const known = new Set(this.kept.map(({ at }) => at));
    const read = rows.map((row) => ({ at: Number(row[0]), values: Object.fromEntries(columns.map((name, place) => [name, row[place]])) }));
    const all = [...this.kept, ...read.filter(({ at }) => !known.has(at))];
    this.kept = all.sort((one, other) => one.at - other.at).slice(-KEPT);
  }

  /** Columns for a chart: times in seconds, then these values. @param {string[]} names */
  columns(names) {
    /** @type {(number | null)[][]} */
    const columns = [[], ...names.map(() => [])];
    let before = Infinity;
    for (const { at, values } of this.kept) {
      if (at - before > APART_MS) columns.forEach((column, place) => column.push(place === 0 ? (before + 1000) / 1000 : null));
      columns.forEach((column, place) => column.push(place === 0 ? at / 1000 : values[names[place - 1]] ?? null));
      before = at;
    }
    return columns;
  }
}
