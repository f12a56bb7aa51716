// @ts-check
// The depth of a book over time: a column is a second, a row a price, a byte the greatest
// size that stood there in that second, by its logarithm. What was not seen is not joined.

import { colours, fit, hatch, rgb, SANS } from "./canvas.js";
import * as format from "../core/format.js";

export const COLUMNS = 600;
export const ROWS = 256;

/** A size as a byte: 0.01 to 100,000,000 in 255 steps; 0 is nothing. @param {number} size */
export function byteOf(size) {
  if (size <= 0) return 0;
  return Math.min(Math.max(1 + Math.round(25.4 * (Math.log10(size) + 2)), 1), 255);
}

/** The size that a byte stands for. @param {number} byte */
export function sizeOf(byte) {
  return byte === 0 ? 0 : 10 ** ((byte - 1) / 25.4 - 2);
}

export class Depth {
  constructor() {
    this.bytes = new Uint8Array(COLUMNS * ROWS);
    /** Best rows of each second; -1: that side was empty. */
    this.bids = new Int32Array(COLUMNS).fill(-1);
    this.asks = new Int32Array(COLUMNS).fill(-1);
    /** 0: nobody looked; 1: the exchange's book; 2: some of that second it was not. */
    this.seen = new Uint8Array(COLUMNS);
    /** The row at the bottom of the window. */
    this.base = 0;
    /** The second that the newest column is of. */
    this.second = -1;
  }

  /** The column of the newest second. */
  get column() {
    return this.second < 0 ? 0 : this.second % COLUMNS;
  }

  /** Goes on to this second; those between were not seen. @param {number} second */
  advance(second) {
    if (this.second < 0 || second - this.second > COLUMNS) {
      this.seen.fill(0);
      this.bytes.fill(0);
      this.second = second;
      this.clear(this.column);
      return;
    }
    while (this.second < second) {
      this.second += 1;
      this.clear(this.column);
    }
  }

  /** @param {number} column */
  clear(column) {
    this.bytes.fill(0, column * ROWS, (column + 1) * ROWS);
    this.seen[column] = 0;
    this.bids[column] = this.asks[column] = -1;
  }

  /**
   * The book of a moment.
   * @param {number} second
   * @param {Map<number, { size: number }>} bids by row @param {Map<number, { size: number }>} asks
   * @param {number | null} bid @param {number | null} ask best rows
   */
  take(second, bids, asks, bid, ask) {
    if (second < this.second) return;
    this.advance(second);
    this.aim(bid, ask);
    const column = this.column;
    const start = column * ROWS;
    for (const side of [bids, asks]) {
      for (const [row, { size }] of side) {
        const at = row - this.base;
        if (at < 0 || at >= ROWS) continue;
        const byte = byteOf(size);
        if (byte > this.bytes[start + at]) this.bytes[start + at] = byte;
      }
    }
    if (bid !== null) this.bids[column] = bid;
    if (ask !== null) this.asks[column] = ask;
    if (this.seen[column] === 0) this.seen[column] = 1;
  }

  /** In this second the book was not the exchange's. @param {number} second */
  doubt(second) {
    if (second < this.second) return;
    this.advance(second);
    this.seen[this.column] = 2;
  }

  /** Keeps the best prices in the window: it moves by a quarter when they come near its end. @param {number | null} bid @param {number | null} ask */
  aim(bid, ask) {
    const middle = bid !== null && ask !== null ? Math.round((bid + ask) / 2) : bid ?? ask;
    if (middle === null) return;
    const at = middle - this.base;
    if (at >= ROWS / 8 && at < ROWS - ROWS / 8) return;
    this.move(Math.max(middle - ROWS / 2, 0));
  }

  /** @param {number} base */
  move(base) {
    const by = base - this.base;
    if (by === 0) return;
    this.base = base;
    const column = new Uint8Array(ROWS);
    for (let start = 0; start < this.bytes.length; start += ROWS) {
      column.fill(0);
      for (let row = 0; row < ROWS; row += 1) {
        const from = row + by;
        if (from >= 0 && from < ROWS) column[row] = this.bytes[start + from];
      }
      this.bytes.set(column, start);
    }
  }

  /** Seconds that are worth showing: since the first one that was seen, a minute at least. */
  span() {
    for (let back = COLUMNS - 1; back > 60; back -= 1) {
      const second = this.second - back;
      if (second >= 0 && this.seen[second % COLUMNS] !== 0) return back + 1;
    }
    return 60;
  }

  /** Rows that hold what matters: the best prices of all seconds, and some around them. */
  range() {
    let [low, high] = [Infinity, -Infinity];
    for (let column = 0; column < COLUMNS; column += 1) {
      if (this.seen[column] === 0) continue;
      if (this.bids[column] >= 0) [low, high] = [Math.min(low, this.bids[column]), Math.max(high, this.bids[column])];
      if (this.asks[column] >= 0) [low, high] = [Math.min(low, this.asks[column]), Math.max(high, this.asks[column])];
    }
    if (low > high) return { low: this.base, high: this.base + 40 };
    const around = Math.max(Math.round((high - low) * 0.5), 12);
    return { low: Math.max(low - around, this.base, 1), high: Math.min(high + around, this.base + ROWS - 1) };
  }
}

/** 256 colours, from the theme's six. @param {number} lower byte @param {number} upper byte */
export function ramp(lower, upper) {
  const colour = colours();
  const stops = [0, 1, 2, 3, 4, 5].map((at) => rgb(colour[`heat-${at}`]));
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    const share = byte === 0 ? 0 : Math.min(Math.max((byte - lower) / Math.max(upper - lower, 1), 0), 1);
    const place = share * 5;
    const from = Math.min(Math.floor(place), 4);
    const [one, other] = [stops[from], stops[from + 1]];
    const mix = (/** @type {0 | 1 | 2} */ at) => Math.round(one[at] + (other[at] - one[at]) * (place - from));
    table[byte] = (255 << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0);
  }
  return table;
}

/** @type {OffscreenCanvas | null} */
let sheet = null;

/**
 * Draws it: the newest second at the right.
 * @param {HTMLCanvasElement} canvas
 * @param {Depth} depth
 * @param {{ lower: number, upper: number, tick: number, digits: number, seconds: number, nowMs: number | null, isOld: boolean }} view
 */
export function draw(canvas, depth, view) {
  const { context, width, height } = fit(canvas);
  const colour = colours();
  context.fillStyle = colour.panel;
  context.fillRect(0, 0, width, height);
  const [edge, foot] = [46, 18];
  const [wide, high] = [width - edge, height - foot];
  if (depth.second < 0 || wide < 10 || high < 10) return;
  const { low, high: top } = depth.range();
  const count = top - low + 1;
  const columns = Math.min(view.seconds, COLUMNS);
  if (!sheet || sheet.width !== columns || sheet.height !== count) sheet = new OffscreenCanvas(columns, count);
  const inner = /** @type {OffscreenCanvasRenderingContext2D} */ (sheet.getContext("2d"));
  const pixels = inner.createImageData(columns, count);
  const words = new Uint32Array(pixels.data.buffer);
  const table = ramp(view.lower, view.upper);
  /** @type {[number, number][]} */
  const unseen = [];
  for (let x = 0; x < columns; x += 1) {
    const column = columnAt(depth, columns, x);
    const known = column !== null && depth.seen[column] === 1;
    if (!known) unseen.push([x, column !== null && depth.seen[column] === 2 ? 2 : 0]);
    for (let row = 0; row < count; row += 1) {
      const at = low + row - depth.base;
      const byte = known && at >= 0 && at < ROWS ? depth.bytes[column * ROWS + at] : 0;
      words[(count - 1 - row) * columns + x] = table[byte];
    }
  }
  inner.putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet, edge, 0, wide, high);
  const xOf = (/** @type {number} */ x) => edge + (x * wide) / columns;
  const yOf = (/** @type {number} */ row) => high - ((row - low + 0.5) * high) / count;
  for (const [x, why] of unseen) {
    context.fillStyle = why === 2 ? hatch(context, colour.stale, colour["stale-fill"]) : hatch(context, colour.raised, colour.panel);
    context.fillRect(xOf(x), 0, wide / columns + 0.5, high);
  }
  for (const [rows, name] of /** @type {const} */ ([[depth.bids, "bid"], [depth.asks, "ask"]])) line(context, depth, columns, rows, colour.page, colour[name], xOf, yOf);
  axes(context, depth, view, { low, top, columns, edge, wide, high, xOf, yOf });
}

/** @param {Depth} depth @param {number} columns @param {number} x */
function columnAt(depth, columns, x) {
  const second = depth.second - (columns - 1 - x);
  return second < 0 || depth.second - second >= COLUMNS ? null : second % COLUMNS;
}

/**
 * A best price over time, with an outline, broken where nothing was seen.
 * @param {CanvasRenderingContext2D} context @param {Depth} depth @param {number} columns @param {Int32Array} rows
 * @param {string} outline @param {string} colour @param {(x: number) => number} xOf @param {(row: number) => number} yOf
 */
function line(context, depth, columns, rows, outline, colour, xOf, yOf) {
  context.beginPath();
  let on = false;
  for (let x = 0; x < columns; x += 1) {
    const column = columnAt(depth, columns, x);
    if (column === null || depth.seen[column] !== 1 || rows[column] < 0) {
      on = false;
      continue;
    }
    const y = yOf(rows[column]);
    if (on) context.lineTo(xOf(x), y);
    else context.moveTo(xOf(x), y);
    context.lineTo(xOf(x + 1), y);
    on = true;
  }
  context.lineJoin = "round";
  context.strokeStyle = outline;
  context.lineWidth = 4;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = 1.8;
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context @param {Depth} depth @param {any} view @param {any} place */
function axes(context, depth, view, { low, top, columns, edge, wide, high, xOf, yOf }) {
  const colour = colours();
  context.font = `11px ${SANS}`;
  context.fillStyle = colour.muted;
  context.textBaseline = "middle";
  context.textAlign = "right";
  const step = nice((top - low) / Math.max(Math.floor(high / 34), 1));
  for (let row = Math.ceil(low / step) * step; row <= top; row += step) {
    const y = yOf(row);
    if (y < 7 || y > high - 6) continue;
    context.fillText(format.price(row * view.tick, view.digits), edge - 6, y);
  }
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  const every = [15, 30, 60, 120, 300].find((one) => (one / columns) * wide > 70) ?? 300;
  if (view.nowMs === null) return;
  for (let x = columns - 1; x >= 0; x -= 1) {
    const second = depth.second - (columns - 1 - x);
    if (second % every !== 0 || xOf(x) < edge + 20 || xOf(x) > edge + wide - 20) continue;
    context.fillText(every < 60 ? format.clock(second * 1000) : format.clock(second * 1000).slice(0, 5), xOf(x), high + 14);
  }
}

/** A whole number that people count in. @param {number} step */
function nice(step) {
  for (const one of [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500]) if (one >= step) return one;
  return 1000;
}
