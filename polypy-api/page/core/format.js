// @ts-check
// How numbers, ages and times are written. Prices and sizes are the server's decimals;
// what is cut for want of room is whole in labels and in what is copied.

/**
 * Places behind the point that prices of this grid have.
 * @param {string | number | null} tick
 */
export function places(tick) {
  const text = String(tick ?? "0.01");
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

/**
 * Places that prices of one book have side by side: those of its grid, or of the finest of them,
 * for the venue may have made the grid finer since it was listed.
 * @param {string | number | null} tick @param {...(string | null | undefined)} prices
 */
export function placesOf(tick, ...prices) {
  return Math.max(places(tick), ...prices.map((price) => (price ? places(price) : 0)));
}

/**
 * A number of an axis, with the places that its steps have: none of them is rounded.
 * @param {number} value @param {number} step @param {number} least places
 */
export function step(value, step, least) {
  return value.toFixed(Math.max(least, String(Number(step.toPrecision(3))).split(".")[1]?.length ?? 0));
}

/** Characters that are no text: they end lines, hide, or turn what stands behind them around. */
const UNSEEN = /[\p{Cc}\p{Cs}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

/**
 * Text of others in one line: what cannot be seen is shown as a box, and what is longer than
 * anybody reads is cut.
 * @param {string | null | undefined} text
 * @param {number} [most]
 */
export function plain(text, most = 300) {
  const characters = [...(text ?? "")];
  const cut = characters.length > most ? `${characters.slice(0, most).join("")}…` : characters.join("");
  return cut.replace(UNSEEN, "\ufffd");
}

/** Nothing that can be seen. */
const BLANK = new RegExp(`^(?:\\s|${UNSEEN.source})*$`, "u");

/**
 * What a market is called: by its question, or where that is blank by its slug.
 * @param {{ question?: string | null, slug?: string | null, condition_id?: string }} market
 */
export function called({ question, slug, condition_id: condition }) {
  return [question, slug].find((one) => one && !BLANK.test(one)) ?? condition ?? "a market without a name";
}

/**
 * A price with as many places as its grid: `0.465`.
 * @param {string | number | null | undefined} price
 * @param {number} digits
 */
export function price(price, digits) {
  if (price === null || price === undefined || price === "") return "–";
  const number = Number(price);
  if (!Number.isFinite(number)) return String(price);
  // What lies between two prices of the grid keeps its own places.
  const own = typeof price === "string" ? Math.max(digits, places(price)) : digits;
  return number.toFixed(own);
}

/** @param {string} whole */
function grouped(whole) {
  return whole.replace(/\B(?=(\d{3})+$)/g, ",");
}

/**
 * A size in at most six figures, thousands by comma.
 * @param {string | number | null | undefined} size
 */
export function size(size) {
  if (size === null || size === undefined) return "–";
  const number = Number(size);
  if (!Number.isFinite(number)) return String(size);
  const least = Math.abs(number);
  const digits = least >= 1000 ? 0 : least >= 100 ? 1 : 2;
  const [whole, fraction = ""] = number.toFixed(digits).split(".");
  const rest = fraction.replace(/0+$/, "");
  return grouped(whole) + (rest ? `.${rest}` : "");
}

/**
 * A sentence of the server, its great numbers as they are written everywhere here.
 * @param {string} text
 */
export function figures(text) {
  return text.replace(/(?<![\w.,:-])\d{4,}(?![\w.,:-]*\w)/g, grouped);
}

/**
 * A number in three figures: `12.3k`, `4.56M`.
 * @param {number} value
 */
export function short(value) {
  if (value >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  return value >= 1000 ? `${+(value / 1000).toPrecision(3)}k` : String(+value.toPrecision(3));
}

/**
 * A whole number, thousands by comma.
 * @param {number | null | undefined} number
 */
export function count(number) {
  return number === null || number === undefined || !Number.isFinite(number) ? "–" : grouped(String(Math.round(number)));
}

/**
 * A rate a second.
 * @param {number | null | undefined} rate
 */
export function rate(rate) {
  if (rate === null || rate === undefined || !Number.isFinite(rate)) return "–";
  return rate > 0 && rate < 9.95 ? rate.toFixed(1) : count(rate);
}

/**
 * Dollars, without cents from a hundred on.
 * @param {string | number | null | undefined} amount
 */
export function dollars(amount) {
  if (amount === null || amount === undefined) return "–";
  const number = Number(amount);
  if (!Number.isFinite(number)) return "–";
  return "$ " + (number >= 100 ? count(number) : size(number));
}

/**
 * Bytes, in powers of 1,024.
 * @param {number | null | undefined} bytes
 */
export function bytes(bytes) {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes)) return "–";
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (bytes >= 1024 && at < names.length - 1) {
    bytes /= 1024;
    at += 1;
  }
  return `${bytes < 9.95 && at > 0 ? bytes.toFixed(1) : Math.round(bytes)} ${names[at]}`;
}

const STEPS = /** @type {const} */ ([
  ["s", 1000, 60],
  ["min", 60_000, 60],
  ["h", 3_600_000, 48],
  ["d", 86_400_000, 60],
  ["mo", 30 * 86_400_000, 24],
  ["y", 365 * 86_400_000, Infinity],
]);

/**
 * A length of time: `0.1 s`, `12 s`, `4 min`, `2 h`.
 * @param {number | null | undefined} ms
 */
export function age(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 9950) return `${(Math.max(ms, 0) / 1000).toFixed(1)} s`;
  for (const [unit, length, most] of STEPS) {
    if (ms < length * most) return `${Math.floor(ms / length)} ${unit}`;
  }
  return "–";
}

/** Made when it is needed: a browser reads tables for it. @type {Intl.DateTimeFormat | null} */
let dayFormat = null;

/** @param {number} number */
const two = (number) => String(number).padStart(2, "0");

/**
 * The time of day in the reader's zone.
 * @param {number | null | undefined} ms since 1970
 */
export function clock(ms) {
  if (ms === null || ms === undefined) return "–";
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/**
 * Day and time in the reader's zone.
 * @param {number | null | undefined} ms since 1970
 */
export function day(ms) {
  if (ms === null || ms === undefined) return "–";
  dayFormat ??= new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return dayFormat.format(ms);
}

/**
 * For hovering: the exact moment.
 * @param {number | null | undefined} ms since 1970
 */
export function utc(ms) {
  return ms === null || ms === undefined ? "" : new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
}

/**
 * A hash in groups of four.
 * @param {string | null | undefined} hash
 */
export function hash(hash) {
  return hash ? hash.replace(/(.{4})(?=.)/g, "$1 ") : "–";
}
