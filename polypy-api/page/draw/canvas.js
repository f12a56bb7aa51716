// @ts-check
// Canvases in the theme's colours, as sharp as the screen.

/** @typedef {Record<string, string>} Colours */

const NAMES = ["page", "panel", "raised", "line", "text", "muted", "old", "live", "stale", "stale-fill", "bad", "pending", "settled", "bid", "ask", "bid-fill", "ask-fill", "bid-flash", "ask-flash", "heat-0", "heat-1", "heat-2", "heat-3", "heat-4", "heat-5"];

/** @type {Colours | null} */
let known = null;

/** The theme's colours, read once a theme. @returns {Colours} */
export function colours() {
  if (!known) {
    const style = getComputedStyle(document.documentElement);
    known = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return known;
}

/** The theme is another one. */
export function forgetColours() {
  known = null;
}

/**
 * Makes the canvas as many pixels as its box has; says what may be drawn on, in CSS pixels.
 * @param {HTMLCanvasElement} canvas
 */
export function fit(canvas) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height, scale };
}

/** @type {Map<string, CanvasPattern>} */
const patterns = new Map();

/**
 * Diagonal lines: what is not known, or not true any more.
 * @param {CanvasRenderingContext2D} context
 * @param {string} colour
 * @param {string} ground
 */
export function hatch(context, colour, ground) {
  const key = `${colour} ${ground}`;
  let pattern = patterns.get(key);
  if (!pattern) {
    const tile = new OffscreenCanvas(8, 8);
    const inner = /** @type {OffscreenCanvasRenderingContext2D} */ (tile.getContext("2d"));
    inner.fillStyle = ground;
    inner.fillRect(0, 0, 8, 8);
    inner.strokeStyle = colour;
    inner.lineWidth = 1.4;
    inner.beginPath();
    for (const at of [-8, 0, 8]) {
      inner.moveTo(at - 1, 9);
      inner.lineTo(at + 9, -1);
    }
    inner.stroke();
    pattern = /** @type {CanvasPattern} */ (context.createPattern(tile, "repeat"));
    patterns.set(key, pattern);
  }
  return pattern;
}

/** Red, green, blue of `#rrggbb`. @param {string} colour @returns {[number, number, number]} */
export function rgb(colour) {
  const value = parseInt(colour.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

export const MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
export const SANS = "system-ui, 'DejaVu Sans', sans-serif";
