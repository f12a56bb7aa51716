// @ts-check
// All markets: searched, sorted and cut by the server, with live prices of what is in sight.

import { el, mark, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { ofBook, topAfter, worse } from "../core/state.js";
import { badge, setBadge } from "../core/widgets.js";
import { List } from "../list/list.js";
import { flash } from "./busiest.js";
import { Pages } from "../list/pages.js";

const FIELDS = "condition_id,slug,question,event,volume_day,end_ms,tick_size,tokens,status,followed,not_followed";
/** Name, heading, what the server sorts by, and which come first then: it knows each order one way round. */
const COLUMNS = /** @type {const} */ ([
  ["n", "#", null, ""],
  ["q", "Market", null, ""],
  ["state", "Books", null, ""],
  ["bid", "Bid", null, ""],
  ["ask", "Ask", null, ""],
  ["spread", "Spread", "spread", "the tightest"],
  ["volume", "24 h volume", "volume_day", "the most traded"],
  ["change", "Changed", "change", "the latest"],
  ["ends", "Ends", "end", "the next to end"],
]);
const SORTS = /** @type {const} */ ([["", "best match"], ["volume_day", "24 h volume"], ["volume", "volume"], ["liquidity", "liquidity"], ["spread", "tightest spread"], ["change", "latest change"], ["end", "ends first"], ["listed", "oldest"]]);
const ENDS = /** @type {const} */ ([["", "any time"], ["1d", "within a day"], ["7d", "within a week"], ["30d", "within a month"], ["365d", "within a year"]]);
const VOLUMES = /** @type {const} */ ([["", "any volume"], ["1000", "≥ $ 1,000"], ["10000", "≥ $ 10,000"], ["100000", "≥ $ 100,000"]]);
const FOLLOWED = /** @type {const} */ ([["", "followed"], ["any", "all listed"], ["false", "not followed"]]);
/** The list asks for other prices at most so often: operations are counted. */
const MOVE_MS = 400;
/** An answer that takes so long is said to be awaited. */
const SLOW_MS = 300;
/** What could not be read, or is not whole yet, is read again so long after the last time. */
const AGAIN_MS = 3000;
/** The place in the list is kept so long after it was left: browsers count these, too. */
const KEEP_MS = 500;

/** @param {any} app @param {string} _ @param {URLSearchParams} query @returns {import("../main.js").View} */
export function markets(app, _, query) {
  let filter = query;
  /** @type {Map<string, any>} tops and states by token */
  const live = new Map();
  /** @type {Pages} */
  let pages;
  /** What takes its place with its first answer. @type {Pages | null} */
  let next = null;
  /** When the list is read again, on the page's clock; `null`: it is whole. @type {number | null} */
  let againAt = null;
  let wasDown = app.isDown();
  let subscribed = "";
  let moveAt = 0;
  let moves = false;
  /** Tokens whose tops are news. @type {Set<string>} */
  const news = new Set();
  /** A row that is to be opened once it is here. @type {number | null} */
  let opens = null;
  /** When the place is kept next; 0: it is as it was. */
  let keepAt = 0;
  /** The address that the list is of, and since when. */
  let begunAt = "";
  let begunMs = 0;

  const heading = el("h1", { tabindex: "-1", text: "Markets" });
  const found = el("span", { class: "muted" });
  const others = el("button", { type: "button", class: "button", hidden: true, on: { click: () => set("followed", "any") } });
  const newer = el("button", { type: "button", class: "button", hidden: true, text: "Newer order", title: "R", on: { click: renew } });
  const sort = choice("sort", "sorted by", SORTS);
  const ends = choice("ends_before", "ends", ENDS);
  const volume = choice("min_volume_day", "24 h", VOLUMES);
  const followed = choice("followed", "show", FOLLOWED);
  const clear = el("button", { type: "button", class: "button", text: "Clear", on: { click: () => app.go("#/markets") } });
  const filters = el("div", { class: "filters" }, el("div", { class: "line" }, heading, found, others), el("span", { class: "end" }), sort.label, ends.label, volume.label, followed.label, newer, clear);
  const columns = el("div", { class: "columns", role: "row", "aria-rowindex": "1" });
  for (const [name, text, by, first] of COLUMNS) {
    columns.append(by ? el("div", { role: "columnheader", data: { name } }, el("button", { type: "button", text, title: `${first} first; the server has no order the other way round`, on: { click: () => set("sort", by) } })) : el("div", { role: "columnheader", text }));
  }
  const rows = el("div", { class: "rows", tabindex: "0", role: "grid", "aria-label": "Markets: arrow keys move, Enter opens", "aria-colcount": String(COLUMNS.length) });
  const nothing = el("p", { class: "nothing", hidden: true });
  rows.append(el("div", { role: "rowgroup", class: "above" }, columns));
  const box = el("div", { class: "grid" }, rows, nothing);
  app.root.append(filters, box);

  const list = new List({
    box: rows,
    label: "Markets",
    columns: COLUMNS.length,
    above: () => columns.offsetHeight,
    height: () => (matchMedia("(max-width: 700px)").matches ? 72 : 28),
    make,
    show,
    open,
    onSeen(from, to) {
      pages?.see(from, to);
      moves = true;
      keepAt ||= app.now() + KEEP_MS;
    },
  });
  begin();

  /** @param {string} name @param {string} title @param {readonly (readonly [string, string])[]} options */
  function choice(name, title, options) {
    const select = el("select", { "aria-label": title }, ...options.map(([value, text]) => el("option", { value, text })));
    select.addEventListener("change", () => set(name, select.value));
    return { label: el("label", {}, title, select), select };
  }

  /** @param {string} name @param {string} value */
  function set(name, value) {
    const next = new URLSearchParams(filter);
    if (value) next.set(name, value);
    else next.delete(name);
    app.go(`#/markets${next.size ? `?${next}` : ""}`);
  }

  /** The filter of the address, from its first row. */
  function begin() {
    const before = pages;
    before?.end();
    next?.end();
    next = againAt = null;
    for (const [name, { select }] of /** @type {const} */ ([["sort", sort], ["ends_before", ends], ["min_volume_day", volume], ["followed", followed]])) select.value = filter.get(name) ?? "";
    clear.hidden = filter.size === 0;
    const words = Boolean(filter.get("q"));
    put(sort.select.options[0], words ? "best match" : "24 h volume");
    sort.select.options[1].hidden = !words;
    const by = filter.get("sort") ?? (filter.get("q") ? "relevance" : "volume_day");
    for (const head of columns.children) mark(head, "aria-sort", COLUMNS.find(([name]) => name === head.dataset.name)?.[2] === by ? (by === "spread" || by === "end" ? "ascending" : "descending") : null);
    opens = null;
    begunAt = location.hash;
    begunMs = app.now();
    const place = app.place();
    const mine = reader();
    pages = mine;
    nothing.hidden = true;
    rows.hidden = false;
    newer.hidden = true;
    // What was never scrolled need not be laid out for it.
    if (place) list.at(place);
    else if (before) list.top();
    mine.wanted.add(0);
    void mine.go();
  }

  /** The rows of the filter, from now on. */
  function reader() {
    const mine = new Pages(
      ({ cursor, limit, isWay }) => ask(cursor, limit, isWay),
      () => {
        if (next === mine) {
          pages.end();
          [pages, next] = [mine, null];
          newer.hidden = true;
        }
        if (pages !== mine) return;
        // A server that has just started does not know all of it yet, and what matches nothing now may do so later.
        againAt = (mine.answer.complete === false || mine.matched === 0) && isUntouched() ? app.now() + AGAIN_MS : null;
        showFound();
        list.size(mine.matched ?? 0);
        list.repaint();
        moves = true;
        if (opens !== null && mine.row(opens)) open(opens);
      },
      (error) => (pages === mine || next === mine) && fail(/** @type {any} */ (error)),
    );
    return mine;
  }

  /** Nobody has moved in it: another order is under nobody's hands. */
  const isUntouched = () => rows.scrollTop === 0 && list.selected === 0;

  /** Reads it again; what is here stays until it comes. */
  function again() {
    againAt = null;
    next?.end();
    const mine = reader();
    next = mine;
    mine.wanted.add(0);
    void mine.go();
  }

  /** @param {string | null} cursor @param {number} limit @param {boolean} isWay */
  async function ask(cursor, limit, isWay) {
    const query = /** @type {Record<string, any>} */ (Object.fromEntries(filter));
    Object.assign(query, { limit, cursor, fields: isWay ? "followed" : FIELDS, tops: isWay ? null : true });
    if (query.ends_before && !query.ends_after) query.ends_after = "0d";
    const answer = await app.reads.json("v1/markets", { query });
    if (!isWay) for (const market of answer.markets) for (const one of market.tokens) if (one.top && newerTop(live.get(one.token_id), one.top)) live.set(one.token_id, one.top);
    const { markets: rows, ...rest } = answer;
    return { rows, next: answer.next_cursor, matched: answer.matched, answer: rest };
  }

  /** @param {any} known @param {any} top */
  function newerTop(known, top) {
    return known?.epoch === undefined || known.epoch < top.epoch || (known.epoch === top.epoch && known.sequence <= top.sequence);
  }

  function showFound() {
    const { matched, answer } = pages;
    // Markets are found as the venue's listing is read, after a start.
    const isEarly = answer.complete === false;
    const text = `${format.count(matched)}${filter.get("q") ? ` for “${filter.get("q")}”` : ""} of ${format.count(answer.listed)} listed`;
    put(found, isEarly ? `${text} so far` : answer.moment_ms ? `${text} · as of ${format.clock(answer.moment_ms)}` : text);
    others.hidden = !answer.unfollowed;
    put(others, `Show ${format.count(answer.unfollowed)} not followed`);
    nothing.hidden = matched !== 0;
    rows.hidden = matched === 0;
    put(nothing, isEarly ? "The server is still reading the venue's listing: markets come as it goes on." : filter.size ? "No market matches. Try fewer words, or show all that are listed." : "No market is followed yet.");
    if (pages.renewed && !renewal) app.note("the order of the list was gone: rows further down are of the order of now", "pending");
    renewal = pages.renewed;
  }
  let renewal = 0;

  /** @param {Error & { status?: number }} error */
  function fail({ status, message }) {
    // A question that the server refuses would be refused again.
    if (status === undefined || status >= 500) againAt = app.now() + AGAIN_MS;
    const text = status === undefined ? `The server does not answer. ${app.isLinked() ? "The list is asked for again." : "The list comes when the link is back."}` : message;
    // Of a list that is here the rest is missing.
    if (pages.matched !== null) {
      if (!next) app.note(`further rows could not be read: ${text}`, "stale", null);
      return;
    }
    nothing.hidden = false;
    rows.hidden = others.hidden = true;
    list.size(0);
    put(found, "");
    put(nothing, format.plain(text));
  }

  function make() {
    const cells = COLUMNS.map(([name]) => el("span", { class: name, role: "gridcell" }));
    const state = badge();
    cells[2].append(state);
    const link = el("a", { tabindex: "-1" });
    cells[1].append(link);
    const row = el("div", { class: "row", role: "row" }, ...cells);
    row.link = link;
    row.cells = cells;
    row.state = state;
    return row;
  }

  /** @param {any} row @param {number} index */
  function show(row, index) {
    const market = pages?.row(index);
    put(row.cells[0], format.count(index + 1));
    if (!market) {
      row.tokens = row.is = null;
      for (const at of [3, 4, 5, 6, 7, 8]) put(row.cells[at], "");
      put(row.link, "…");
      setBadge(row.state, { shape: "dotted", word: "", tone: "pending" });
      row.link.removeAttribute("href");
      return;
    }
    const [first, second] = market.tokens;
    const [top, other] = [live.get(first?.token_id), live.get(second?.token_id)];
    showAge(row, top);
    put(row.cells[8], market.end_ms === null || market.end_ms === undefined ? "–" : ends_in(market.end_ms));
    // Once a second all rows are looked at, and few have become others.
    const isOld = app.isDown() || !app.isLinked();
    const is = [market, top, other, isOld];
    if (row.is?.every((/** @type {any} */ one, /** @type {number} */ at) => one === is[at])) return;
    row.is = is;
    mark(row.link, "href", address(market));
    row.tokens = [first?.token_id, second?.token_id];
    market.label ??= first && first.outcome !== "Yes" ? `${format.plain(format.called(market))} · ${format.plain(first.outcome)}` : format.plain(format.called(market));
    put(row.link, market.label);
    mark(row.cells[1], "title", market.label);
    const digits = format.placesOf(market.tick_size, top?.best_bid, top?.best_ask);
    if (!market.followed) {
      setBadge(row.state, { shape: "ring", word: "not followed", tone: "pending" });
      mark(row.state, "title", market.not_followed ?? "");
    } else {
      const worst = worse(top?.state ?? "pending", other?.state ?? top?.state ?? "pending");
      const reason = worst === top?.state ? top?.reason : other?.reason;
      setBadge(row.state, isOld ? { shape: "triangle", word: "old", tone: "stale" } : ofBook(worst ?? "pending", reason ?? null, top?.verified && (!other || other.verified)));
      mark(row.state, "title", row.state.textContent);
    }
    mark(row, "data-old", !isOld && top?.state === "live" ? null : "");
    const bid = format.price(top?.best_bid, digits);
    const ask = format.price(top?.best_ask, digits);
    const changed = row.of === market.condition_id && row.cells[3].textContent !== "";
    for (const [at, text] of /** @type {const} */ ([[3, bid], [4, ask]])) {
      const cell = row.cells[at];
      if (changed && cell.textContent !== text) flash(cell);
      put(cell, text);
    }
    row.of = market.condition_id;
    put(row.cells[5], top?.best_bid && top?.best_ask ? format.price((Number(top.best_ask) - Number(top.best_bid)).toFixed(6).replace(/0+$/, ""), digits) : "–");
    put(row.cells[6], format.dollars(market.volume_day));
    mark(row.cells[8], "title", format.utc(market.end_ms));
  }

  /** @param {any} row @param {any} top */
  function showAge(row, top) {
    const at = top?.ts_recv_us ? top.ts_recv_us / 1000 : top?.ts_event_ms ?? null;
    put(row.cells[7], at === null ? "–" : format.age(app.clock.age(at, app.now())));
  }

  /** @param {number} ms */
  function ends_in(ms) {
    const at = app.clock.at(app.now());
    return at === null ? "–" : ms < at ? "over" : format.age(ms - at);
  }

  /** @param {any} market */
  function address(market) {
    return `#/market/${encodeURIComponent(market.slug && !market.same_slug?.length ? market.slug : market.condition_id)}`;
  }

  /** @param {number} index */
  function open(index) {
    const market = pages.row(index);
    // What is not here yet is opened once it is.
    opens = market ? null : index;
    if (!market) return;
    keep();
    app.go(address(market));
  }

  /** Whoever comes back finds the list as it was left. */
  function keep() {
    keepAt = 0;
    // The address is that of another entry already.
    if (location.hash !== begunAt) return;
    app.keep(list.place());
  }

  function renew() {
    app.keep(null);
    begin();
    rows.focus();
  }

  /** Prices of the rows in sight and around. */
  function move() {
    moves = false;
    const [first, last] = list.seen();
    const tokens = [];
    for (let index = Math.max(first - 12, 0); index <= last + 12; index += 1) {
      const market = pages.row(index);
      if (market?.followed) tokens.push(market.tokens.map((/** @type {any} */ one) => one.token_id));
    }
    const key = tokens.map((pair) => pair[0]).join();
    if (key === subscribed) return;
    subscribed = key;
    const all = tokens.flat();
    app.stream.want("list", all.length ? { fields: { tokens: all, channels: ["top", "state"], mode: "conflated", interval_ms: 200 }, take } : null, true);
  }

  /** @param {any} message */
  function take(message) {
    if (message.type !== "top" && message.type !== "state") return;
    live.set(message.token_id, topAfter(live.get(message.token_id), message));
    news.add(message.token_id);
  }

  let agesAt = 0;
  return {
    title: "Markets",
    heading,
    update(_, next) {
      filter = next;
      begin();
    },
    frame(now) {
      if (moves && now - moveAt > MOVE_MS) {
        moveAt = now;
        move();
      }
      if (pages.matched === null && nothing.hidden && now - begunMs > SLOW_MS) put(found, "asking the server…");
      if (againAt !== null && now >= againAt && app.isLinked()) again();
      if (keepAt && now > keepAt && pages.matched !== null) keep();
      if (now - agesAt > 1000) {
        agesAt = now;
        news.clear();
        list.repaint();
      } else if (news.size > 0) {
        list.repaint((row) => row.tokens?.some((/** @type {string} */ token) => news.has(token)));
        news.clear();
      }
    },
    sampled() {
      const moment = pages.answer?.moment_ms;
      // A newer order is offered, and never taken under somebody's hands.
      if (moment && (app.clock.age(moment, app.now()) ?? 0) > 30_000) newer.hidden = false;
      // What is kept of rows that were let go is let go, too.
      if (live.size > 20_000) live.clear();
    },
    link() {
      list.repaint();
      // What came back may be another process, with another order and other markets.
      const { is } = app.stream.link;
      if (is === "lost") wasDown = true;
      if (is !== "open" || !wasDown) return;
      wasDown = false;
      live.clear();
      again();
    },
    enter: () => rows.focus({ preventScroll: true }),
    move(event) {
      rows.focus({ preventScroll: true });
      list.key(event);
    },
    theme() {},
    sleep() {
      app.stream.want("list", null);
      subscribed = "";
    },
    wake() {
      moves = true;
    },
    key(key) {
      if (key !== "r") return false;
      renew();
      return true;
    },
    resize: () => list.size(list.count),
    end() {
      pages.end();
      next?.end();
      list.end();
      app.stream.want("list", null);
    },
  };
}
