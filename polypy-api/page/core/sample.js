// @ts-check
// What the server says of itself once a second, a quarter of an hour of it: as the channel
// `health` brings it, and before the page was opened as the server remembers it.

/** Seconds that are kept: as many as the server does. */
export const KEPT = 900;
/** Books that are awaited, in columns: no sample has it, for the server counts them only in its verdict. */
export const AWAITED = "books_awaited";
/** What it is made of. */
const AWAITED_OF = /** @type {const} */ (["tokens", "books_live", "books_stale"]);
/** Seconds that lie further apart are not joined: what was between them nobody knows. */
const APART_MS = 2500;

/**
 * @typedef {Record<string, number | null>} Sample
 * @typedef {{ at: number, values: Sample }} Second
 */

/**
 * How many books there are of each kind: those of the verdict, which add up to what is wanted,
 * and those that are wanted no more.
 * @param {any} health @param {Sample} sample
 * @returns {Record<string, number | null | undefined>}
 */
export function booksOf(health, sample) {
  const { wanted, live, stale, awaited } = health?.books ?? {};
  return { wanted, live, stale, pending: awaited, settled: sample.books_settled };
}

/** @param {Sample} values @param {string} name */
export function valueOf(values, name) {
  if (name !== AWAITED) return values[name] ?? null;
  const [wanted, live, stale] = AWAITED_OF.map((one) => values[one]);
  return typeof wanted === "number" && typeof live === "number" && typeof stale === "number" ? Math.max(wanted - live - stale, 0) : null;
}

/** The columns that have to be asked for to show these. @param {string[]} names */
export function asked(names) {
  return [...new Set(names.flatMap((name) => (name === AWAITED ? AWAITED_OF : [name])))];
}

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
      columns.forEach((column, place) => column.push(place === 0 ? at / 1000 : valueOf(values, names[place - 1])));
      before = at;
    }
    return columns;
  }
}
