// @ts-check
// One token's book by the messages of a stream, with the checks of docs/stream.md. Prices
// are the server's own texts, which are unique, beside their numbers for drawing.

/** The messages contradict each other: something was lost, and nothing said so. */
export class Broken extends Error {}

/**
 * @typedef {Record<string, any>} Message
 * @typedef {{ price: string, at: number, size: number, text: string, changed: number }} Level
 * at: the price as a number; text: the size as the server wrote it; changed: when, on the page's clock.
 */

export class Book {
  constructor() {
    /** @type {{ bid: Map<string, Level>, ask: Map<string, Level> }} */
    this.sides = { bid: new Map(), ask: new Map() };
    /** @type {"no" | "interrupted" | "yes"} */
    this.following = "no";
    this.epoch = 0;
    this.sequence = 0;
    this.state = "pending";
    /** @type {string | null} */
    this.reason = null;
    /** @type {boolean | null} */
    this.verified = null;
    /** @type {string | null} */
    this.outcome = null;
    /** @type {string | null} */
    this.condition = null;
    /** @type {string | null} */
    this.tick = null;
    /** @type {string | null} */
    this.hash = null;
    /** @type {string | null} */
    this.winner = null;
    /** @type {number | null} */
    this.since = null;
    /** @type {number | null} */
    this.eventMs = null;
    /** @type {number | null} */
    this.receivedUs = null;
    /** Grows with each change of levels or trust. */
    this.version = 0;
  }

  get isFollowed() {
    return this.following === "yes";
  }

  /** Whether the levels may be shown as the exchange's book. */
  get isLive() {
    return this.isFollowed && this.state === "live";
  }

  /** Best first. @param {"bid" | "ask"} side @returns {Level[]} */
  levels(side) {
    const sign = side === "bid" ? -1 : 1;
    return [...this.sides[side].values()].sort((one, other) => sign * (one.at - other.at));
  }

  /** @param {"bid" | "ask"} side @returns {Level | null} */
  best(side) {
    let best = null;
    for (const level of this.sides[side].values()) {
      if (!best || (side === "bid" ? level.at > best.at : level.at < best.at)) best = level;
    }
    return best;
  }

  /** Half way between the best prices; `null` while a side is empty. */
  get mid() {
    const [bid, ask] = [this.best("bid"), this.best("ask")];
    return bid && ask ? (bid.at + ask.at) / 2 : null;
  }

  /**
   * Takes a message of this token or of the connection; says whether anything is another.
   * @param {Message} message
   * @param {number} [now]
   */
  take(message, now = 0) {
    switch (message.type) {
      case "snapshot":
        this.replace(message, now);
        break;
      case "delta":
        try {
          this.change(message, now);
        } catch (error) {
          this.following = "no";
          this.version += 1;
          throw error;
        }
        break;
      case "state":
        this.trust(message);
        break;
      case "gap":
        if (message.next === "none") return false;
        if (this.following === "yes") this.following = "interrupted";
        break;
      default:
        return false;
    }
    this.version += 1;
    return true;
  }

  /** The connection is lost: nothing here is the exchange's book until a snapshot comes. */
  interrupt() {
    if (this.following === "yes") this.following = "interrupted";
    this.version += 1;
  }

  /** @param {Message} message @param {number} now */
  replace(message, now) {
    for (const side of /** @type {const} */ (["bid", "ask"])) {
      const before = this.sides[side];
      this.sides[side] = new Map();
      for (const [price, size] of message[`${side}s`]) {
        const known = before.get(price);
        const same = known && known.text === size;
        this.sides[side].set(price, same ? known : { price, at: Number(price), size: Number(size), text: size, changed: before.size ? now : 0 });
      }
    }
    this.following = "yes";
    this.epoch = message.epoch;
    this.sequence = message.sequence;
    this.state = message.state;
    this.reason = message.reason;
    this.verified = message.verified;
    this.outcome = message.outcome;
    this.condition = message.condition_id;
    this.tick = message.tick_size ?? this.tick;
    this.hash = message.hash;
    this.eventMs = message.ts_event_ms;
    this.receivedUs = message.ts_recv_us;
  }

  /** @param {Message} message @param {number} now */
  change(message, now) {
    const { epoch, prev_sequence: previous, sequence, changes } = message;
    if (this.following !== "yes") throw new Broken(`a delta to ${sequence} came without a book to apply it to`);
    if (epoch !== this.epoch) throw new Broken(`a delta of epoch ${epoch} came for a book of epoch ${this.epoch}`);
    if (previous !== this.sequence || sequence <= previous) {
      throw new Broken(`a delta from ${previous} to ${sequence} came for a book at ${this.sequence}`);
    }
    if (message.conflated === null && message.depth === null && sequence - previous !== changes.length) {
      throw new Broken(`a delta of ${sequence - previous} levels has ${changes.length}`);
    }
    for (const [side, price, size] of changes) {
      const levels = this.sides[/** @type {"bid" | "ask"} */ (side)];
      if (Number(size) === 0) levels.delete(price);
      else levels.set(price, { price, at: Number(price), size: Number(size), text: size, changed: now });
    }
    this.sequence = sequence;
    this.hash = null;
    this.eventMs = message.ts_event_ms;
    this.receivedUs = message.ts_recv_us;
    for (const side of /** @type {const} */ (["bid", "ask"])) {
      const ours = this.best(side)?.price ?? null;
      const theirs = message[`best_${side}`];
      if (ours !== theirs) throw new Broken(`best ${side} is ${ours} by the levels, and ${theirs} by the delta`);
    }
  }

  /** @param {Message} message */
  trust(message) {
    this.state = message.state;
    this.reason = message.reason;
    this.verified = message.verified;
    this.since = message.since_ms;
    this.winner = message.winner ?? this.winner;
    if (this.state === "forgotten") this.following = "no";
  }
}
