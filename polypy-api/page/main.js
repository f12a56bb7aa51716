// @ts-check
// The start: routes behind the hash, the link, keys, theme, and the one clock that draws.

import { Connections } from "./core/connections.js";
import { byId, mark, put } from "./core/dom.js";
import * as format from "./core/format.js";
import { Samples } from "./core/sample.js";
import { ofHealth, ofLink, UNKNOWN } from "./core/state.js";
import * as theme from "./core/theme.js";
import { setBadge } from "./core/widgets.js";
import { Clock } from "./link/clock.js";
import { ask, base, CONNECTIONS, isOverview, NEWEST } from "./link/first.js";
import { Reads } from "./link/reads.js";
import { Stream } from "./link/stream.js";
import * as dialogs from "./views/dialogs.js";
import { market } from "./views/market.js";
import { markets } from "./views/markets.js";
import { overview } from "./views/overview.js";

/**
 * @typedef {{ title: string, heading: any, frame?: (now: number) => void, sampled: () => void, connected?: () => void, link?: () => void, theme: () => void,
 *   update?: (name: string, query: URLSearchParams) => void, sleep?: () => void, wake?: () => void, key?: (key: string) => boolean,
 *   resize?: () => void, move?: (event: KeyboardEvent) => void, enter?: () => void, end: () => void }} View
 * move: takes a key that moves in a list, wherever the focus is; enter: takes the focus.
 */

/** Hidden for so long, only the health messages are left. */
const ASLEEP_MS = 10_000;
const LOOK_MS = 250;
const SAY_MS = 5000;
/** Keys that move in a list. */
const MOVES = new Set(["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End", "Enter"]);
const VIEWS = /** @type {Record<string, (app: any, name: string, query: URLSearchParams) => View>} */ ({ overview, markets, market });

const now = () => performance.now();
const page = new URL(import.meta.url).href.replace(/main\.js$/, "");
const clock = new Clock();
const samples = new Samples();
const connections = new Connections();
const root = byId("main");
const notice = byId("notice");
const reads = new Reads(base, () => stream.tell({ type: "denied" }), ask);

/** @type {View | null} */
let view = null;
let route = "";
let isAsleep = false;
/** @type {ReturnType<typeof setTimeout> | null} */
let sleeps = null;
let saidAt = -SAY_MS;
/** What is to be said, the newest of each matter, and what was said last of it. @type {Map<string, string>} */
const unsaid = new Map();
/** @type {Map<string, string>} */
const lastSaid = new Map();
let keys = readKeys();
/** The connections are being read. */
let isLooking = false;
/** The link was lost since it was last open: another server may have come. */
let wasLost = false;
/** From silence or loss until it is known again how the server is. */
let isDown = false;
/** The link was lost, and of the server that is back no health was heard yet. */
let isUnheard = false;
/** What the link was when it was last shown. */
let linkWas = "";

const app = {
  root,
  reads,
  clock,
  samples,
  connections,
  now,
  /** @type {any} */
  stream: null,
  /** What went on since the page was opened. @type {{ at: number, text: string, tone: string }[]} */
  seen: [],
  isLinked: () => stream.link.is === "open",
  /** Nothing is heard of the server: all that is shown is old. */
  isDown: () => isDown,
  /** @param {string} hash */
  go(hash) {
    location.hash = hash;
  },
  /** The address, without a new view. @param {string} hash */
  replace(hash) {
    route = hash.split("?")[0];
    history.replaceState(history.state, "", hash);
  },
  /** Where one was in this entry of the history, as it was kept; `null` in a new one. */
  place: () => history.state?.place ?? null,
  /** @param {any} place */
  keep(place) {
    history.replaceState({ ...history.state, place }, "");
  },
  /** @param {string} title */
  title(title) {
    document.title = `${format.plain(title, 100)} · PolyPy`;
  },
  note,
  say,
};

const stream = new Stream({ url: streamAddress, now, onLink, onMessage, onDoubt });
app.stream = stream;
stream.want("health", { fields: { channels: ["health"] }, take: () => {} });

function streamAddress() {
  const url = new URL("v1/ws", base);
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}

/** @param {string} text @param {string} tone @param {string | null} [matter] of which it is news; `null`: it is not said */
function note(text, tone, matter = "note") {
  app.seen.push({ at: clock.at(now()) ?? Date.now(), text: format.plain(text), tone });
  if (app.seen.length > 200) app.seen.shift();
  if (matter !== null) say(text, matter);
}

/**
 * For those who do not see it: changes of state alone. What comes too soon after the last words waits, and
 * only the newest of each matter is said: good news are heard as bad ones are.
 * @param {string} text @param {string} matter
 */
function say(text, matter) {
  if (lastSaid.get(matter) === text) unsaid.delete(matter);
  else unsaid.set(matter, text);
  speak();
}

function speak() {
  if (unsaid.size === 0 || now() - saidAt < SAY_MS) return;
  saidAt = now();
  put(byId("said"), [...unsaid.values()].join("; "));
  for (const [matter, text] of unsaid) lastSaid.set(matter, text);
  unsaid.clear();
}

/** @param {import("./link/link.js").Link} link */
function onLink(link) {
  // Each message is heard, and few of them change the link.
  if (link.is === linkWas) return;
  linkWas = link.is;
  setBadge(byId("link"), ofLink(link.is));
  const heard = link.heard === null ? null : clock.at(link.heard);
  if (link.is === "lost") isUnheard = connections.isOld = true;
  // Another process may have answered: what the last one said of itself is not true of it.
  if (link.is === "open" && isUnheard) [samples.newest, samples.health] = [{}, null];
  if (link.is !== "connecting") isDown = link.is === "silent" || link.is === "lost" || isUnheard;
  root.classList.toggle("grey", isDown);
  if (link.is === "open") {
    if (!notice.hidden) {
      note("the link is back", "live", "link");
      if (wasLost) void renew();
    }
    wasLost = false;
    notice.hidden = true;
  } else if (link.is === "silent" || link.is === "lost") {
    wasLost ||= link.is === "lost";
    if (notice.hidden) note(link.is === "silent" ? "nothing is heard of the server" : "the link to the server is lost", "bad", "link");
    notice.hidden = false;
    mark(notice, "data-tone", link.is === "lost" ? "bad" : "stale");
    put(notice, heard === null ? "The server does not answer. Trying again…" : `Nothing heard since ${format.clock(heard)}. What is shown is old. ${link.is === "lost" ? "Trying again…" : ""}`);
  } else if (link.is === "login") {
    notice.hidden = true;
    show();
  }
  room();
  showVerdict();
  view?.link?.();
}

/** What the notice lies over keeps room for it at its end: nothing is hidden by it, and nothing moves. */
function room() {
  document.documentElement.style.setProperty("--notice", `${notice.hidden ? 0 : notice.offsetHeight}px`);
}

/** The server is back. One of another build has another page: that is loaded, once for each build. */
async function renew() {
  try {
    if (reads.routes === null) {
      await reads.learn();
      route = "";
      show();
    }
    const reply = await fetch(base, { method: "HEAD", headers: { Accept: "text/html" }, cache: "no-cache" });
    const build = (reply.headers.get("ETag") ?? "").replace(/^W\//, "").replaceAll('"', "");
    if (!reply.ok || build === "" || page.endsWith(`/${build}/`) || sessionStorage.getItem("polypy.build") === build) return;
    sessionStorage.setItem("polypy.build", build);
    location.reload();
  } catch {
    // What is here goes on being shown.
  }
}

/** A socket did not open: is a token asked for, or is nobody there? */
async function onDoubt() {
  try {
    await reads.learn();
    // Reads work and the stream does not: something between does not pass it on.
    if (stream.link.is === "lost" && stream.link.tries > 2) {
      put(notice, "Reads work and the stream does not: the proxy in front has to pass on Host, Upgrade and Connection.");
    }
  } catch {
    // The link says it.
  }
}

/** @param {any} message @param {number} at */
function onMessage(message, at) {
  if (message.ts_us) clock.take(message.ts_us / 1000, at);
  if (message.type !== "health") return;
  const before = samples.newest;
  samples.take(message.sample);
  if (isUnheard) {
    isUnheard = isDown = false;
    root.classList.remove("grey");
    samples.health = message.health;
    view?.link?.();
  }
  judged(message.health);
  // Elsewhere they are of interest when some were lost, or are back.
  const isOther = before.connections_open !== samples.newest.connections_open;
  if (!isAsleep && (view?.connected || isOther)) void lookAtConnections();
}

async function lookAtConnections() {
  if (isLooking) return;
  isLooking = true;
  try {
    connected(await reads.json(CONNECTIONS));
  } catch {
    // The link says it.
  }
  isLooking = false;
}

/** @param {any} answer */
function connected(answer) {
  const notes = connections.take(answer);
  for (const { text, tone } of notes) note(text, tone, null);
  if (notes.length) say(notes.map(({ text }) => text).join(", "), "connections");
  view?.connected?.();
}

/** What can be shown before the stream says anything. */
async function begin() {
  try {
    const [health, newest, of] = await Promise.all([reads.json("health", { allow: [503] }), isOverview ? reads.json(NEWEST) : null, isOverview ? reads.json(CONNECTIONS) : null]);
    clock.take(Date.parse(health.timestamp), now());
    if (newest) samples.begin(newest);
    if (of) connected(of);
    judged(health);
  } catch {
    // The stream brings it, or the link says why not.
  }
}

/** @type {string} */
let reasonsBefore = "";
/** @param {any} health */
function judged(health) {
  samples.health = health;
  showVerdict();
  const { tone } = ofHealth(health);
  const codes = health.reasons.map((/** @type {any} */ one) => one.code).join();
  if (codes !== reasonsBefore) note(health.reasons[0] ? format.figures(health.reasons[0].text) : "every book is live again", tone, "health");
  reasonsBefore = codes;
  view?.sampled();
}

function showVerdict() {
  const { health } = samples;
  if (!health) return;
  const look = ofHealth(health);
  const why = health.reasons.map((/** @type {any} */ { text }) => format.figures(text)).join("; ");
  // Why it is not all well is the first thing that is asked.
  const short = health.reasons.length && !isDown ? `: ${health.reasons[0].code.replaceAll("_", " ")}` : "";
  const word = `${format.count(health.books.live)} of ${format.count(health.books.wanted)} live`;
  const badge = byId("verdict");
  setBadge(badge, isDown ? UNKNOWN : { ...look, word });
  put(badge.lastChild, short);
  mark(badge, "title", isDown ? `last heard: ${word}` : why || "every book is live");
}

/** What the address names. */
function show() {
  const hash = location.hash || "#/";
  const [path, text = ""] = hash.split("?");
  const [, name = "", rest = ""] = path.split("/");
  if (stream.link.is === "login") {
    open("login", () => dialogs.login(app, loggedIn));
    return;
  }
  const named = decoded(rest);
  // Whoever goes elsewhere, or Back, has done with it.
  for (const dialog of document.querySelectorAll("dialog.runbook")) /** @type {HTMLDialogElement} */ (dialog).close();
  if (name === "runbook") {
    if (!view) open("#/", () => overview(app));
    dialogs.runbook(named, async () => (await fetch(`${page}runbook.txt`)).text(), () => history.length > 1 && location.hash.startsWith("#/runbook") && history.back());
    return;
  }
  if (name === "market" && rest === "") {
    location.replace("#/markets");
    return;
  }
  const kind = name === "" ? "overview" : name;
  const make = Object.hasOwn(VIEWS, kind) ? VIEWS[kind] : dialogs.nowhere;
  const query = new URLSearchParams(text);
  if (path === route && view?.update) {
    view.update(named, query);
  } else if (path !== route) {
    open(path, () => make(app, named, query));
  }
  const words = byId("words");
  if (wantsList) view?.enter?.();
  wantsList = false;
  if (document.activeElement !== words) words.value = kind === "markets" ? query.get("q") ?? "" : "";
  for (const link of byId("nav").children) {
    const is = link.dataset.view === kind || (kind === "market" && link.dataset.view === "markets");
    mark(link, "aria-current", is ? "page" : null);
  }
}

/** What somebody typed may be no encoding of anything. @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string} path @param {() => View} make */
function open(path, make) {
  const isFirst = view === null;
  view?.end();
  root.replaceChildren();
  route = path;
  window.scrollTo(0, 0);
  view = make();
  app.title(view.title);
  // Who types goes on typing; who came back goes on where he was.
  if (isFirst || document.activeElement === byId("words")) return;
  if (view.enter && app.place()) view.enter();
  else view.heading.focus({ preventScroll: true });
}

async function loggedIn() {
  route = "";
  stream.tell({ type: "logged_in", now: now() });
  await reads.learn();
  show();
}

/** Draws what is marked, in step with the screen. @param {number} at */
function frame(at) {
  if (!isAsleep) view?.frame?.(at);
  requestAnimationFrame(frame);
}

function slept() {
  isAsleep = true;
  view?.sleep?.();
}

function visibility() {
  if (document.hidden) {
    sleeps ??= setTimeout(slept, ASLEEP_MS);
    return;
  }
  if (sleeps !== null) clearTimeout(sleeps);
  sleeps = null;
  if (isAsleep) view?.wake?.();
  isAsleep = false;
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const isTyping = target.matches("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") {
    if (isTyping) target.blur();
    else if (route.startsWith("#/market/")) history.length > 1 ? history.back() : app.go("#/markets");
    return;
  }
  // From the heading of a list the keys that move go to the list.
  if (MOVES.has(event.key) && view?.move && (target === view.heading || target === document.body || target === root)) {
    view.move(event);
    return;
  }
  if (isTyping || !keys) return;
  const key = event.key.toLowerCase();
  if (key === "1") app.go("#/");
  else if (key === "2") app.go("#/markets");
  else if (key === "/") byId("words").focus();
  else if (key === "l") chosen.toggle();
  else if (key === "?") askHelp();
  else if (!view?.key?.(key)) return;
  event.preventDefault();
}

function askHelp() {
  dialogs.help(keys, (on) => {
    keys = on;
    try {
      localStorage.setItem("polypy.keys", on ? "on" : "off");
    } catch {
      // It holds for this page alone.
    }
  });
}

function readKeys() {
  try {
    return localStorage.getItem("polypy.keys") !== "off";
  } catch {
    return true;
  }
}

const chosen = theme.start(() => view?.theme());
byId("theme").addEventListener("click", () => chosen.toggle());
byId("help").addEventListener("click", askHelp);
byId("skip").addEventListener("click", (/** @type {Event} */ event) => {
  event.preventDefault();
  view?.heading.focus();
});
/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;
byId("words").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 250);
});
byId("search").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  toList();
});
byId("words").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== "ArrowDown") return;
  event.preventDefault();
  toList();
});
/** The list takes the focus once it is there. */
let wantsList = false;

/** Searches, and moves into what is found. */
function toList() {
  clearTimeout(typing);
  wantsList = true;
  search();
}

function search() {
  const words = byId("words").value.trim();
  const query = new URLSearchParams(route === "#/markets" ? location.hash.split("?")[1] ?? "" : "");
  if (words) query.set("q", words);
  else query.delete("q");
  const hash = `#/markets${query.size ? `?${query}` : ""}`;
  if (location.hash !== hash) {
    app.go(hash);
  } else if (wantsList) {
    view?.enter?.();
    wantsList = false;
  }
}

addEventListener("hashchange", show);
addEventListener("keydown", pressed);
addEventListener("resize", () => {
  room();
  view?.resize?.();
});
addEventListener("online", () => stream.tell({ type: "online", now: now() }));
addEventListener("offline", () => stream.tell({ type: "offline", now: now(), chance: Math.random() }));
// A browser may keep a page that was left, with its socket: that ends, and is opened anew on the way back.
addEventListener("pagehide", () => stream.tell({ type: "offline", now: now(), chance: Math.random() }));
addEventListener("pageshow", (event) => event.persisted && stream.tell({ type: "online", now: now() }));
document.addEventListener("visibilitychange", visibility);
setInterval(() => {
  stream.look();
  speak();
}, LOOK_MS);
requestAnimationFrame(frame);
reads.learn().then(show, show);
void begin();
