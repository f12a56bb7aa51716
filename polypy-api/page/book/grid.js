// @ts-check
// The price grid: whole numbers of ticks, and what lies at each row of a ladder.

/**
 * A price as a whole number of ticks. What lies between two rows belongs to the row behind
 * it, seen from the middle: a bid to the lower one, an ask to the higher one.
 * @param {number} price @param {number} tick @param {"bid" | "ask"} side
 */
export function row(price, tick, side) {
  const exact = price / tick;
  const near = Math.round(exact);
  if (Math.abs(exact - near) < 1e-6) return near;
  return side === "bid" ? Math.floor(exact) : Math.ceil(exact);
}

/**
 * Sizes by row. Several levels of one row are added up.
 * @param {Iterable<{ at: number, size: number, changed: number }>} levels
 * @param {number} tick
 * @param {"bid" | "ask"} side
 * @returns {Map<number, { size: number, changed: number, levels: number }>}
 */
export function rows(levels, tick, side) {
  const found = new Map();
  for (const level of levels) {
    const at = row(level.at, tick, side);
    const known = found.get(at);
    if (known) {
      known.size += level.size;
      known.changed = Math.max(known.changed, level.changed);
      known.levels += 1;
    } else {
      found.set(at, { size: level.size, changed: level.changed, levels: 1 });
    }
  }
  return found;
}

/** The row that all prices up to 1 lie below or at. @param {number} tick */
export function last(tick) {
  return Math.ceil(1 / tick - 1e-6);
}

/**
 * The size that is offered from the best price on, price by price.
 * @param {{ at: number, size: number }[]} levels best first
 * @returns {{ at: number, total: number }[]}
 */
export function cumulative(levels) {
  let total = 0;
  return levels.map(({ at, size }) => ({ at, total: (total += size) }));
}

/** What can be bought and sold up to each price, around the middle. @param {import("./book.js").Book} book @param {number} tick */
export function curve(book, tick) {
  const [bids, asks] = [cumulative(book.levels("bid")), cumulative(book.levels("ask"))];
  const middle = book.mid ?? bids[0]?.at ?? asks[0]?.at ?? 0.5;
  const spread = bids.length && asks.length ? asks[0].at - bids[0].at : 0;
  const reach = Math.max(40 * tick, spread * 2);
  const [low, high] = [Math.max(middle - reach, 0), Math.min(middle + reach, 1)];
  const near = bids.filter(({ at }) => at >= low).reverse();
  const far = asks.filter(({ at }) => at <= high);
  /** @type {[number[], (number | null)[], (number | null)[]]} */
  const data = [[], [], []];
  const add = (/** @type {number} */ x, /** @type {number | null} */ bid, /** @type {number | null} */ ask) => {
    data[0].push(x);
    data[1].push(bid);
    data[2].push(ask);
  };
  if (near.length && near[0].at > low) add(low, near[0].total, null);
  near.forEach(({ at }, index) => add(at, near[index + 1]?.total ?? near[index].total, null));
  // A bid holds from its price down: the step to it lies at its price.
  far.forEach(({ at, total }) => add(at, null, total));
  if (far.length && far[far.length - 1].at < high) add(high, null, far[far.length - 1].total);
  return data;
}
