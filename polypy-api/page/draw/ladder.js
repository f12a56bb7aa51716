// @ts-check
// The ladder: a row is a price of the grid and keeps its place; sizes change beside it.

import { colours, fit, hatch, MONO, SANS } from "./canvas.js";
import * as format from "../core/format.js";

export const ROW = 20;
/** For so long a level that changed is brighter. */
const FLASH_MS = 350;
/** About as wide is a digit. */
const DIGIT = 7.6;

/**
 * What is in sight: `top` is the row at the upper edge, with the fraction that is scrolled away.
 * Rows go from 0, where bids below the first row are put, to the last one, where asks above the last but one are.
 * @param {number} top
 * @param {number} height
 * @param {number} lastRow
 */
export function visible(top, height, lastRow) {
  const first = Math.floor(top);
  const lowest = first - Math.ceil(height / ROW) - 1;
  return { first: Math.min(first, lastRow), lowest: Math.max(lowest, 0) };
}

/** Where a row begins, from the canvas' upper edge. @param {number} row @param {number} top */
export function yOf(row, top) {
  return Math.round((top - row) * ROW);
}

/**
 * The upper edge that puts the middle of the spread in the middle.
 * @param {number | null} bidRow @param {number | null} askRow @param {number} height @param {number} lastRow
 */
export function centred(bidRow, askRow, height, lastRow) {
  const middle = bidRow !== null && askRow !== null ? (bidRow + askRow) / 2 : bidRow ?? askRow ?? lastRow / 2;
  return clamp(middle + height / ROW / 2, height, lastRow);
}

/** Keeps the grid in sight. @param {number} top @param {number} height @param {number} lastRow */
export function clamp(top, height, lastRow) {
  const seen = height / ROW;
  // A row of air above the last one.
  const most = lastRow + 1;
  const least = Math.min(seen - 1, most);
  return Math.min(Math.max(top, least), most);
}

/** How long a bar is: by the square root, so that small sizes are seen beside great ones. @param {number} size @param {number} greatest @param {number} room */
export function bar(size, greatest, room) {
  return greatest > 0 ? Math.max(Math.sqrt(size / greatest) * room, 2) : 0;
}

/**
 * @typedef {{ top: number, tick: number, lastRow: number, digits: number,
 *   bids: Map<number, { size: number, changed: number }>, asks: Map<number, { size: number, changed: number }>,
 *   bidRow: number | null, askRow: number | null, isOld: boolean, now: number, moves: boolean,
 *   trade: { row: number, side: string | null } | null, hovered: number | null, spread: string | null }} Shown
 * spread: of the best prices themselves, whatever a row holds
 */

/**
 * Draws it; says whether something still fades.
 * @param {HTMLCanvasElement} canvas
 * @param {Shown} shown
 */
export function draw(canvas, shown) {
  const { context, width, height } = fit(canvas);
  const colour = colours();
  context.fillStyle = shown.isOld ? hatch(context, colour["stale-fill"], colour.panel) : colour.panel;
  context.fillRect(0, 0, width, height);
  const priceWide = 68;
  const left = Math.round((width - priceWide) / 2);
  const right = left + priceWide;
  const { first, lowest } = visible(shown.top, height, shown.lastRow);
  let greatest = 0;
  for (let row = first; row >= lowest; row -= 1) {
    greatest = Math.max(greatest, shown.bids.get(row)?.size ?? 0, shown.asks.get(row)?.size ?? 0);
  }
  context.textBaseline = "middle";
  context.lineWidth = 1;
  let fades = false;
  const inSpread = (/** @type {number} */ row) => shown.bidRow !== null && shown.askRow !== null && row > shown.bidRow && row < shown.askRow;
  for (let row = first; row >= lowest; row -= 1) {
    const y = yOf(row, shown.top);
    const middle = y + ROW / 2 + 0.5;
    if (!shown.isOld) {
      context.fillStyle = inSpread(row) ? colour.page : colour.panel;
      context.fillRect(0, y, width, ROW);
      context.fillStyle = colour.raised;
      context.fillRect(left, y, priceWide, ROW);
    }
    if (row === shown.hovered) {
      context.fillStyle = colour.raised;
      context.fillRect(0, y, width, ROW);
    }
    context.fillStyle = colour.line;
    context.globalAlpha = 0.35;
    context.fillRect(0, y + ROW - 1, width, 1);
    context.globalAlpha = 1;
    fades = side(context, shown, "bid", shown.bids.get(row), y, left, greatest) || fades;
    fades = side(context, shown, "ask", shown.asks.get(row), y, right, greatest, width) || fades;
    const isBest = row === shown.bidRow || row === shown.askRow;
    context.font = `${isBest ? "600 " : ""}12.5px ${MONO}`;
    context.textAlign = "center";
    const held = shown.bids.has(row) ? "bid" : shown.asks.has(row) ? "ask" : "muted";
    context.fillStyle = shown.isOld ? colour.old : isBest ? colour[held] : held === "muted" ? colour.muted : colour.text;
    context.fillText(format.price(Math.min(row * shown.tick, 1), shown.digits), (left + right) / 2, middle);
    if (shown.trade?.row === row) {
      context.fillStyle = shown.isOld ? colour.old : shown.trade.side === "SELL" ? colour.ask : colour.bid;
      triangle(context, right - 8, middle - 0.5, shown.trade.side === "SELL");
    }
  }
  if (shown.bidRow !== null && shown.askRow !== null && !shown.isOld) mid(context, shown, width, left, right);
  return fades;
}

/**
 * A size and its bar.
 * @param {CanvasRenderingContext2D} context @param {Shown} shown @param {"bid" | "ask"} which
 * @param {{ size: number, changed: number } | undefined} level
 * @param {number} y @param {number} edge where the prices begin or end @param {number} greatest @param {number} [width]
 */
function side(context, shown, which, level, y, edge, greatest, width = 0) {
  if (!level) return false;
  const colour = colours();
  const room = (which === "bid" ? edge : width - edge) - 8;
  const long = Math.round(bar(level.size, greatest, room));
  const fresh = shown.moves && level.changed > 0 ? 1 - (shown.now - level.changed) / FLASH_MS : 0;
  const x = which === "bid" ? edge - long : edge;
  // No edge crosses the number.
  const isLong = long > format.size(level.size).length * DIGIT + 12;
  if (shown.isOld) {
    context.strokeStyle = colour.old;
    if (isLong) context.strokeRect(x + 0.5, y + 2.5, long - 1, ROW - 6);
    else context.strokeRect(x + 0.5, y + ROW - 3.5, long - 1, 0);
  } else {
    context.fillStyle = colour[`${which}-fill`];
    context.fillRect(x, y + 1, long, ROW - 3);
    if (fresh > 0) {
      context.globalAlpha = fresh;
      context.fillStyle = colour[`${which}-flash`];
      context.fillRect(x, y + 1, long, ROW - 3);
      context.globalAlpha = 1;
    }
    if (isLong) {
      context.fillStyle = colour[which];
      context.fillRect(which === "bid" ? x : x + long - 2, y + 1, 2, ROW - 3);
    }
  }
  context.font = `12.5px ${MONO}`;
  context.fillStyle = shown.isOld ? colour.old : colour.text;
  context.textAlign = which === "bid" ? "right" : "left";
  context.fillText(format.size(level.size), which === "bid" ? edge - 8 : edge + 8, y + ROW / 2 + 0.5);
  return fresh > 0 && !shown.isOld;
}

/** The middle of the spread. @param {CanvasRenderingContext2D} context @param {Shown} shown @param {number} width @param {number} left @param {number} right */
function mid(context, shown, width, left, right) {
  const colour = colours();
  const [bid, ask] = [/** @type {number} */ (shown.bidRow), /** @type {number} */ (shown.askRow)];
  const y = Math.round((shown.top - (bid + ask) / 2) * ROW + ROW / 2) + 0.5;
  context.strokeStyle = colour.muted;
  context.setLineDash([3, 3]);
  context.beginPath();
  context.moveTo(0, y);
  context.lineTo(left, y);
  context.moveTo(right, y);
  context.lineTo(width, y);
  context.stroke();
  context.setLineDash([]);
  if (ask - bid < 2 || shown.spread === null) return;
  context.font = `11px ${SANS}`;
  context.fillStyle = colour.muted;
  context.textAlign = "left";
  const text = `spread ${shown.spread}`;
  const wide = context.measureText(text).width;
  context.fillStyle = colour.page;
  context.fillRect(8, y - 7, wide + 8, 14);
  context.fillStyle = colour.muted;
  context.fillText(text, 12, y);
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {boolean} down */
function triangle(context, x, y, down) {
  context.beginPath();
  context.moveTo(x - 4, y + (down ? -3 : 3));
  context.lineTo(x + 4, y + (down ? -3 : 3));
  context.lineTo(x, y + (down ? 4 : -4));
  context.fill();
}
