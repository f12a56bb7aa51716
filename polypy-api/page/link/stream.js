// @ts-check
// The page's one WebSocket, with a subscription for each thing that is shown. Numbers of
// subscriptions are never used again, so that a late message of an old one is known as such.

import { next, start } from "./link.js";

/**
 * @typedef {Record<string, any>} Message
 * @typedef {{ fields: Record<string, any>, take: (message: Message) => void, refused?: (message: Message) => void }} Wanted
 */

export class Stream {
  /**
   * @param {{ url: () => string, now: () => number, open?: (url: string) => WebSocket,
   *   onLink: (link: import("./link.js").Link) => void, onMessage: (message: Message, now: number) => void,
   *   onDoubt: () => void }} parts
   * onDoubt: a socket could not be opened; whether a token is asked for is seen by a read.
   */
  constructor({ url, now, open = (url) => new WebSocket(url), onLink, onMessage, onDoubt }) {
    this.url = url;
    this.now = now;
    this.openSocket = open;
    this.onLink = onLink;
    this.onMessage = onMessage;
    this.onDoubt = onDoubt;
    /** @type {Map<string, Wanted & { id: number | null }>} */
    this.wanted = new Map();
    /** @type {Map<number, string>} */
    this.keys = new Map();
    this.lastId = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.isReady = false;
    /** @type {number | null} */
    this.retry = null;
    const [link, effects] = start(now());
    /** @type {import("./link.js").Link} */
    this.link = link;
    this.run(effects);
  }

  /** @param {import("./link.js").Input} input */
  tell(input) {
    const before = this.link;
    const [link, effects] = next(before, input);
    this.link = link;
    this.run(effects);
    if (link !== before) this.onLink(link);
  }

  /** To be called a few times a second. */
  look() {
    this.tell({ type: "time", now: this.now(), chance: Math.random() });
  }

  /** @param {import("./link.js").Effect[]} effects */
  run(effects) {
    for (const effect of effects) {
      if (effect === "open") this.open();
      else this.close();
    }
  }

  open() {
    this.close();
    const socket = this.openSocket(this.url());
    this.socket = socket;
    let opened = false;
    socket.onmessage = (event) => {
      // Another socket has taken its place.
      if (this.socket !== socket) return;
      opened = true;
      const now = this.now();
      this.tell({ type: "heard", now });
      this.dispatch(JSON.parse(event.data), now);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.close();
      if (!opened) this.onDoubt();
      this.tell({ type: "closed", now: this.now(), chance: Math.random(), retry: this.retry });
    };
  }

  close() {
    const socket = this.socket;
    this.socket = null;
    this.isReady = false;
    this.keys.clear();
    for (const one of this.wanted.values()) one.id = null;
    socket?.close();
  }

  /** @param {Message} message @param {number} now */
  dispatch(message, now) {
    if (message.type === "hello") {
      this.retry = null;
      this.isReady = true;
      for (const key of this.wanted.keys()) this.subscribe(key);
    }
    if (message.type === "closing") this.retry = message.retry_ms ?? null;
    if (message.type === "error" && message.id !== null) {
      const key = this.keys.get(message.id);
      // One that was given up meanwhile concerns nobody.
      if (key !== undefined) this.wanted.get(key)?.refused?.(message);
    }
    this.onMessage(message, now);
    const mine = typeof message.id === "number" ? this.keys.get(message.id) : undefined;
    if (mine !== undefined) this.wanted.get(mine)?.take(message);
    else for (const one of [...this.wanted.values()]) one.take(message);
  }

  /**
   * Subscribes, in the place of what was wanted under this key. `overlap`: the new
   * subscription begins before the old one ends, so that what both cover goes on.
   * @param {string} key
   * @param {Wanted | null} wanted
   * @param {boolean} [overlap]
   */
  want(key, wanted, overlap = false) {
    const before = this.wanted.get(key)?.id ?? null;
    if (before !== null && !overlap) this.unsubscribe(before);
    if (wanted) {
      this.wanted.set(key, { ...wanted, id: null });
      if (this.isReady) this.subscribe(key);
    } else {
      this.wanted.delete(key);
    }
    if (before !== null && overlap) this.unsubscribe(before);
  }

  /** @param {string} key */
  subscribe(key) {
    const wanted = this.wanted.get(key);
    if (!wanted) return;
    this.lastId += 1;
    wanted.id = this.lastId;
    this.keys.set(this.lastId, key);
    this.send({ op: "subscribe", id: this.lastId, ...wanted.fields });
  }

  /** @param {number} id */
  unsubscribe(id) {
    this.keys.delete(id);
    this.send({ op: "unsubscribe", id });
  }

  /** @param {Message} operation */
  send(operation) {
    if (this.isReady && this.socket) this.socket.send(JSON.stringify(operation));
  }
}
