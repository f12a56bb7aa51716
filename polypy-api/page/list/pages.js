// @ts-check
// The rows of a list of any length, in pieces that are asked for when they come in sight
// and let go when others do. All of it is one moment of the server's order; where that
// moment is gone, what is loaded stays, and what is not begins with the order of now.

export const PIECE = 200;
/** Pieces that are kept at once. */
export const KEPT = 10;
/** Rows that a way to a far piece takes at a time: the server's most. */
const STRIDE = 1000;

/**
 * @typedef {{ rows: any[], next: string | null, matched: number, answer: any }} Answer
 * @typedef {(query: { cursor: string | null, limit: number, isWay: boolean }) => Promise<Answer>} Ask
 * isWay: only the cursor behind it is wanted.
 */

export class Pages {
  /** @param {Ask} ask @param {() => void} onChange @param {(error: Error) => void} onError */
  constructor(ask, onChange, onError) {
    this.ask = ask;
    this.onChange = onChange;
    this.onError = onError;
    /** @type {Map<number, any[]>} pieces by number; the last one used is the last one */
    this.pieces = new Map();
    /** Where a piece or stride begins. @type {Map<number, string | null>} */
    this.cursors = new Map([[0, null]]);
    /** @type {number | null} */
    this.matched = null;
    /** @type {any} the newest answer without its rows */
    this.answer = null;
    /** @type {Set<number>} */
    this.wanted = new Set();
    this.isAsking = false;
    this.isOver = false;
    /** How often the order had to begin again. */
    this.renewed = 0;
  }

  /** A row, if it is here. @param {number} index */
  row(index) {
    const piece = this.pieces.get(Math.floor(index / PIECE));
    return piece?.[index % PIECE] ?? null;
  }

  /** Rows `from` to `to` are in sight. @param {number} from @param {number} to */
  see(from, to) {
    this.wanted.clear();
    const most = this.matched === null ? 0 : Math.max(Math.ceil(this.matched / PIECE) - 1, 0);
    for (let piece = Math.floor(from / PIECE); piece <= Math.min(Math.floor(to / PIECE), most); piece += 1) {
      const rows = this.pieces.get(piece);
      if (!rows) this.wanted.add(piece);
      else {
        this.pieces.delete(piece);
        this.pieces.set(piece, rows);
      }
    }
    void this.go();
  }

  /** Whoever asked last is answered first; one question at a time. */
  async go() {
    if (this.isAsking) return;
    this.isAsking = true;
    try {
      while (!this.isOver && this.wanted.size > 0) {
        const piece = [...this.wanted][0];
        await this.load(piece);
        this.wanted.delete(piece);
      }
    } catch (error) {
      this.wanted.clear();
      if (!this.isOver) this.onError(/** @type {Error} */ (error));
    } finally {
      this.isAsking = false;
    }
  }

  /** @param {number} piece */
  async load(piece) {
    const first = piece * PIECE;
    try {
      // The nearest place whose cursor is known, and from there in strides.
      let at = Math.max(...[...this.cursors.keys()].filter((row) => row <= first));
      while (at < first) {
        const limit = Math.min(STRIDE, first - at);
        const { next } = await this.ask({ cursor: this.cursors.get(at) ?? null, limit, isWay: true });
        if (this.isOver) return;
        // It became shorter meanwhile.
        if (next === null) return;
        at += limit;
        this.cursors.set(at, next);
        // It is not in sight any more.
        if (!this.wanted.has(piece)) return;
      }
      const answer = await this.ask({ cursor: this.cursors.get(first) ?? null, limit: PIECE, isWay: false });
      if (this.isOver) return;
      this.keep(piece, answer);
    } catch (error) {
      if (/** @type {any} */ (error).status !== 410 || this.isOver) throw error;
      // The moment is gone: rows that are loaded stay, and cursors are all of no use.
      this.cursors = new Map([[0, null]]);
      this.renewed += 1;
      if (this.renewed > 100) throw error;
      await this.load(piece);
    }
  }

  /** @param {number} piece @param {Answer} answer */
  keep(piece, answer) {
    this.pieces.set(piece, answer.rows);
    if (answer.next !== null) this.cursors.set((piece + 1) * PIECE, answer.next);
    this.matched = answer.matched;
    this.answer = answer.answer;
    for (const old of this.pieces.keys()) {
      if (this.pieces.size <= KEPT) break;
      if (old !== piece) this.pieces.delete(old);
    }
    this.onChange();
  }

  /** Nothing of it is wanted any more: late answers are not taken. */
  end() {
    this.isOver = true;
    this.wanted.clear();
  }
}
