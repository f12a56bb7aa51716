// @ts-check
// The connections to the venue as `/v1/connections` has them, those in trouble first, and
// what became of them between two looks.

import * as format from "./format.js";

/** Seconds of frames that are kept of each. */
export const KEPT = 60;
/** So many that were lost at once are named; more are counted. */
const NAMED = 3;

/**
 * @typedef {{ row: any, history: (number | null)[] }} Connection
 * history: frames a second, oldest first; `null` for a second that was not seen
 * @typedef {{ text: string, tone: string }} Note
 */

export class Connections {
  constructor() {
    /** In the server's order. @type {Map<string, Connection>} */
    this.shown = new Map();
    this.matched = 0;
    this.open = 0;
    /** When the last look was, by the server's clock. @type {number | null} */
    this.at = null;
    /** The link was lost since the last look: what that saw may be of a process that is gone. */
    this.isOld = false;
    /** When the newest bar was made. */
    this.barAt = -Infinity;
    /** Those that were seen without a socket. @type {Set<string>} */
    this.lost = new Set();
  }

  /**
   * An answer; what is to be said of it.
   * @param {any} answer
   * @returns {Note[]}
   */
  take(answer) {
    const passed = (answer.moment_ms - this.barAt) / 1000;
    // Asked twice within a second: the rates are those that are known.
    const isNew = passed > 0.5 || passed < 0;
    const missed = Array.from({ length: Math.min(Math.max(Math.floor(passed) - 1, 0), KEPT) }, () => null);
    if (isNew) this.barAt = answer.moment_ms;
    const shown = new Map();
    for (const row of answer.connections) {
      const before = this.shown.get(row.connection);
      // A name that another connection had begins anew.
      const known = before && before.row.messages <= row.messages ? before.history : null;
      const seen = known && [...known, ...missed, row.messages_per_second].slice(-KEPT);
      shown.set(row.connection, { row, history: known === null ? [row.messages_per_second] : isNew ? seen : known });
    }
    const notes = this.at === null ? [] : this.compare(answer);
    if (this.at === null) for (const row of answer.connections) if (row.state === "lost") this.lost.add(row.connection);
    this.isOld = false;
    [this.shown, this.matched, this.open, this.at] = [shown, answer.matched, answer.open, answer.moment_ms];
    return notes;
  }

  /** @param {any} answer @returns {Note[]} */
  compare(answer) {
    const rows = /** @type {any[]} */ (answer.connections);
    const down = rows.filter(({ state }) => state === "lost");
    const lost = down.filter(({ connection }) => !this.lost.has(connection));
    // Trouble is first: where the last row is well, what is not here is well or gone.
    const isWhole = rows.length === answer.matched || rows[rows.length - 1]?.state !== "lost";
    const names = new Set(down.map(({ connection }) => connection));
    const back = isWhole ? [...this.lost].filter((name) => !names.has(name)) : [];
    const again = rows.filter((row) => row.state !== "lost" && !this.lost.has(row.connection) && this.at !== null && row.last_end && row.last_end.at_ms > this.at);
    for (const { connection } of lost) this.lost.add(connection);
    for (const name of back) this.lost.delete(name);
    return [
      ...said(lost, (row) => `${row.connection} lost: ${ended(row)}, ${format.count(row.tokens)} tokens`, (many) => `${many} connections lost`, "bad"),
      ...said(again, (row) => `${row.connection} was lost and is back within a second: ${ended(row)}`, (many) => `${many} connections were lost and are back within a second`, "stale"),
      ...said(back.filter((name) => rows.length < answer.matched || rows.some(({ connection }) => connection === name)), (name) => `${name} is back`, (many) => `${many} connections are back`, "live"),
    ];
  }
}

/**
 * @template T
 * @param {T[]} all @param {(one: T) => string} one @param {(many: string) => string} many @param {string} tone
 * @returns {Note[]}
 */
function said(all, one, many, tone) {
  if (all.length > NAMED) return [{ text: many(format.count(all.length)), tone }];
  return all.map((it) => ({ text: one(it), tone }));
}

/** Seconds of which the rate has to be known, and frames that have to be missing at that rate. */
const [USUAL_S, MISSING] = [5, 20];
/** Nothing shorter is a silence. */
const QUIET_MS = 3000;

/**
 * The frames a second that a connection brought before it fell silent, where its silence is clearly longer than
 * usual: a good many frames are missing by now, and no pause that was seen was half as long. `null`: it is as ever.
 * @param {any} row @param {(number | null)[]} history frames a second, oldest first
 * @returns {number | null}
 */
export function quietFor(row, history) {
  // One that has books and waits for a few more is well but for that.
  const isUp = row.state === "live" || (row.state === "loading" && row.awaited_books * 2 < row.tokens);
  if (!isUp || row.silent_ms === null || row.silent_ms < QUIET_MS) return null;
  // The second in which it began is half of both.
  const before = history.slice(0, Math.max(history.length - Math.floor(row.silent_ms / 1000) - 1, 0));
  const known = before.filter((many) => many !== null);
  if (known.length < USUAL_S) return null;
  let [pause, longest] = [0, 0];
  for (const many of before) {
    pause = many === 0 ? pause + 1 : 0;
    longest = Math.max(longest, pause);
  }
  const rate = known.reduce((total, many) => total + many, 0) / known.length;
  return row.silent_ms * rate >= MISSING * 1000 && row.silent_ms >= 2000 * (longest + 1) ? rate : null;
}

/** How its last socket ended, as the runbook names it. @param {any} row */
export function ended(row) {
  const end = row.last_end;
  if (!end) return "it was not opened yet";
  return end.detail ? `${end.cause} (${format.plain(end.detail, 80)})` : end.cause;
}
