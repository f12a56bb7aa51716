// @ts-check
// The overview: is it well, which connections and books are, and what flows.

import { ended, KEPT, quietFor } from "../core/connections.js";
import { el, fill, mark, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { asked, AWAITED, booksOf, valueOf } from "../core/sample.js";
import { ofConnection, ofHealth, QUIET, reasonWords, RUNBOOK, UNKNOWN, wayOfConnection } from "../core/state.js";
import { badge, box, facts, key, setBadge } from "../core/widgets.js";
import { Chart } from "../draw/chart.js";
import { Busiest } from "./busiest.js";
import { Demo } from "./demo.js";
import { colours, fit } from "../draw/canvas.js";

/** Between two looks at the books that were asked for again, where none was meanwhile. */
const FAILURES_MS = 30_000;
/** What has not come by then is not waited for. */
const SETTLED_MS = 1000;
const TRUST = /** @type {const} */ ([
  ["live", "disc", "live"],
  ["stale", "triangle", "stale"],
  ["pending", "dotted", "pending"],
  ["settled", "square", "settled"],
]);
/** What columns begin with that count stale books by reason. */
const STALE = "stale_";
/** The word and figure of each box above the charts. */
const FIGURES = /** @type {const} */ (["Live books", "Changes", "Hashes reproduced", "Checks failed", "Connections", "Clients"]);

/** @param {any} app @returns {import("../main.js").View} */
export function overview(app) {
  const banner = el("section", { class: "banner", "data-tone": "pending", "aria-label": "Verdict" });
  const heading = el("h1", { tabindex: "-1" }, el("i", { "data-shape": "dotted", "aria-hidden": "true" }), el("span", { text: "Connecting…" }));
  const reasons = el("ul");
  const since = el("span", { class: "more" });
  banner.append(heading, reasons, since);

  /** @type {Record<string, { value: any, more: any }>} */
  const figures = {};
  const row = el("dl", { class: "figures" });
  for (const name of FIGURES) {
    const [value, more] = [el("dd", { text: "–" }), el("dd", { class: "note" })];
    figures[name] = { value, more };
    row.append(el("div", { class: "figure" }, el("dt", { text: name }), value, more));
  }

  const checksWay = el("a", { class: "way", href: `#/runbook/${RUNBOOK.hash}`, text: "what to do →", hidden: true });
  figures["Checks failed"].value.parentNode.firstChild.append(checksWay);

  const blocks = el("div", { class: "blocks", tabindex: "0", role: "group", "aria-label": "Connections to the venue" });
  const connections = box("connections", "Connections to the venue", el("div", { class: "body" }, blocks));
  const trust = el("div", { class: "trust" });
  const parts = el("div", { class: "parts" });
  const about = facts(["Markets followed", "From the venue", "Trades", "Queue to the workers", "From socket to book", "Events dropped", "HTTP", "Streams", "Recorder", "Processor", "Memory"]);
  const seen = el("ul", { class: "seen", tabindex: "0", "aria-label": "Seen since this page was opened" });
  const trusted = box("trusted", "Can the books be trusted?", el("div", { class: "body" }, trust));
  const running = box("running", "Parts", el("div", { class: "body" }, parts, about.list));
  const log = box("log", "Seen by this page", el("div", { class: "body" }, seen));
  put(log.more, "since it was opened");
  const again = el("ul", { class: "seen", tabindex: "0", "aria-label": "Books asked for again" });
  const failures = box("again", "Books asked for again", el("div", { class: "body" }, again));
  const side = el("div", { class: "side" }, trusted.box, running.box, log.box, failures.box);

  const charts = [
    chart("states", "Books by state", {
      series: [
        { label: "live", colour: "live", fill: "live-fill" },
        { label: "stale", colour: "stale", width: 1.5 },
        { label: "pending", colour: "pending", dash: [4, 3] },
      ],
      least: 0,
      y: format.count,
    }, [["live", "live"], ["stale", "stale"], ["pending", "pending", true]], ["books_live", "books_stale", AWAITED]),
    chart("changes", "Changes of books a second", { series: [{ label: "changes", colour: "bid", fill: "bid-fill" }], least: 0, y: format.count }, [], ["changes_per_second"]),
    chart("checks", "Checks a second", {
      series: [
        { label: "hash", colour: "live" },
        { label: "top", colour: "bid", dash: [5, 3] },
        { label: "mirror", colour: "settled", dash: [2, 3] },
        { label: "failed", colour: "bad", width: 2 },
      ],
      least: 0,
      y: format.count,
    }, [["hash", "live"], ["top", "bid", true], ["mirror", "settled", true], ["failed", "bad"]], ["hashes_passed_per_second", "tops_passed_per_second", "mirrors_passed_per_second", "checks_failed_per_second"]),
    chart("cost", "Processor, cores", { series: [{ label: "cores", colour: "ask", fill: "ask-fill" }], least: 0, y: (/** @type {number} */ value) => value.toFixed(2) }, [], ["cpu_cores"]),
  ];
  const busiest = new Busiest(app);
  void busiest.learn();
  const left = el("div", { class: "left" }, connections.box, busiest.box, ...charts.map((one) => one.box));
  const boxes = el("div", { class: "overview" }, row, left, side);
  const demo = app.reads.has("/demo/faults") ? new Demo(app, false) : null;
  app.root.append(banner, ...(demo ? [demo.box] : []), boxes);
  const begun = app.now();
  app.root.classList.add("settling");

  /** When the books asked for again were last read; none are read once the view has ended. */
  let askedAt = -FAILURES_MS;
  let isOver = false;
  let isAsleep = false;
  let wasLost = false;
  /** @type {Map<string, ReturnType<typeof block>>} */
  const known = new Map();
  /** @type {string[]} */
  let order = [];
  show();
  showConnections();
  void readPast();

  /**
   * @param {string} name @param {string} title @param {any} looks
   * @param {any[]} legend @param {string[]} names
   */
  function chart(name, title, looks, legend, names) {
    const place = el("div", { class: "chart", role: "img", "aria-label": title });
    const made = box(name, title, place);
    if (legend.length) made.more.append(el("span", { class: "legend" }, ...legend.map(([word, colour, dash]) => key(word, colour, dash))));
    const plot = new Chart(place, looks);
    return { box: made.box, more: made.more, place, plot, names, title, hasLegend: legend.length > 0 };
  }

  function show() {
    const { samples } = app;
    if (samples.health && samples.kept.length) app.root.classList.remove("settling");
    const now = samples.newest;
    verdict(samples.health, now);
    const books = booksOf(samples.health, now);
    put(figures["Live books"].value, format.count(books.live));
    put(figures["Live books"].more, books.wanted === undefined ? "" : `of ${format.count(books.wanted)} wanted`);
    // What is red below is red here: a wall is read by its figures.
    mark(figures["Live books"].value, "data-tone", (books.live ?? 0) < (books.wanted ?? 0) ? "stale" : null);
    put(figures.Changes.value, format.rate(now.changes_per_second));
    put(figures.Changes.more, `a second · ${format.rate(now.trades_per_second)} trades`);
    put(figures["Hashes reproduced"].value, format.rate(now.hashes_passed_per_second));
    put(figures["Hashes reproduced"].more, "a second");
    put(figures["Checks failed"].value, format.rate(now.checks_failed_per_second));
    put(figures["Checks failed"].more, now.suspected_per_second === undefined ? "" : `a second · ${format.rate(now.suspected_per_second)} doubts`);
    mark(figures["Checks failed"].more, "title", "live books that something spoke against; most are healed by the next message");
    mark(figures["Checks failed"].value, "data-tone", now.checks_failed_per_second ? "bad" : null);
    checksWay.hidden = !now.checks_failed_per_second;
    put(figures.Connections.value, format.count(now.connections_open));
    put(figures.Connections.more, `of ${format.count(now.connections)} open`);
    mark(figures.Connections.value, "data-tone", app.connections.lost.size ? "bad" : null);
    put(figures.Clients.value, format.count(now.stream_clients));
    put(figures.Clients.more, `${format.rate(now.stream_messages_per_second)} messages/s`);
    showTrust(books, now);
    if (now.resyncs_per_second || app.now() - askedAt > FAILURES_MS) void readFailures();
    showParts(now);
    showSeen();
    showCharts();
  }

  function showCharts() {
    const { samples } = app;
    const now = samples.newest;
    const { kept } = samples;
    const span = kept.length ? `, the last ${format.age(kept[kept.length - 1].at - kept[0].at)}` : "";
    for (const one of charts) {
      if (kept.length) one.plot.set(samples.columns(one.names));
      const value = one.names.map((name) => format.rate(valueOf(now, name))).join(", ");
      mark(one.place, "aria-label", `${one.title}${span}: now ${value}`);
      if (!one.hasLegend) put(one.more, one.names[0] === "cpu_cores" ? (now.cpu_cores?.toFixed(2) ?? "–") : format.rate(now[one.names[0]]));
    }
  }

  /** The seconds before the page was opened, or since the link was lost. */
  async function readPast() {
    try {
      app.samples.remember(await app.reads.json("v1/history", { query: { fields: asked(charts.flatMap(({ names }) => names)).join() } }));
      if (!isOver) showCharts();
    } catch {
      // The charts begin now, then.
    }
  }

  /** @param {any} health @param {import("../core/sample.js").Sample} now */
  function verdict(health, now) {
    const isDown = app.isDown();
    if (!health && !isDown) return;
    const heard = health && ofHealth(health);
    const { shape, tone, word } = isDown ? { ...UNKNOWN, word: app.isLinked() ? "Not known yet: the server was just reached again" : "Not known: the link to the server is down" } : heard;
    mark(banner, "data-tone", tone);
    mark(heading, "data-tone", tone);
    mark(heading.firstChild, "data-shape", shape);
    put(heading.lastChild, word);
    if (isDown) {
      reasons.replaceChildren();
      put(since, heard ? `last heard: ${heard.word}` : "nothing was heard yet");
      return;
    }
    fill(reasons, health.reasons.map((/** @type {any} */ { code, text }) => el("li", {}, `${format.figures(text)} `, wayOn(code))));
    put(since, `up ${format.age(now.uptime_seconds === null || now.uptime_seconds === undefined ? null : now.uptime_seconds * 1000)} · polypy ${app.reads.version}`);
  }

  /** The section of the runbook. @param {string} code */
  function wayOn(code) {
    const section = RUNBOOK[code];
    return section ? el("a", { href: `#/runbook/${section}`, text: "what to do →" }) : "";
  }

  /** @param {Record<string, number | null | undefined>} books @param {import("../core/sample.js").Sample} now */
  function showTrust(books, now) {
    const all = TRUST.reduce((total, [name]) => total + (books[name] ?? 0), 0) || 1;
    const cells = [];
    for (const [word, shape, tone] of TRUST) {
      const bar = el("div", { class: "bar", "aria-hidden": "true" }, el("span", { class: tone }));
      bar.firstChild.style.width = `${((books[word] ?? 0) / all) * 100}%`;
      cells.push(badge({ shape, word, tone }), el("span", { class: "n", text: format.count(books[word]) }), bar);
      if (word === "live") cells.push(el("span", { class: "sub", text: "verified by its hash" }), el("span", { class: "n", text: format.count(now.books_verified) }), el("span"));
      if (word !== "stale") continue;
      if (now.books_suspect) cells.push(el("span", { class: "sub", text: "not decided yet" }), el("span", { class: "n", text: format.count(now.books_suspect) }), el("span"));
      for (const [column, many] of Object.entries(now)) {
        const reason = column.startsWith(STALE) ? column.slice(STALE.length) : null;
        if (reason !== null && many) cells.push(el("span", { class: "sub", text: reasonWords(reason) }), el("span", { class: "n", text: format.count(many) }), wayOn(reason) || el("span"));
      }
    }
    trust.replaceChildren(...cells);
  }

  function showConnections() {
    const { connections: found, samples } = app;
    const { newest } = samples;
    const places = [...found.shown.keys()];
    const rest = found.matched > places.length ? ` · ${format.count(places.length)} of ${format.count(found.matched)} shown, trouble first` : "";
    put(connections.more, `${format.count(found.open)} of ${format.count(found.matched)} open · ${format.rate(newest.frames_per_second)} frames/s · ${format.bytes(newest.bytes_per_second)}/s${rest}`);
    // Blocks keep their place while the pointer or the focus is in them.
    if (!blocks.matches(":hover, :focus-within") || !order.every((name) => found.shown.has(name))) order = places;
    for (const name of known.keys()) if (!order.includes(name)) known.delete(name);
    fill(blocks, order.map((name) => {
      const made = known.get(name) ?? block(name);
      known.set(name, made);
      made.show(found.shown.get(name));
      return made.element;
    }));
  }

  /** @param {string} name */
  function block(name) {
    const state = badge();
    const title = el("h3", { class: "name-of", text: name });
    const age = el("span", { class: "mono", title: "since it last brought data" });
    const bar = el("div", { class: "bar", "aria-hidden": "true" }, el("span", { class: "live" }), el("span", { class: "pending" }));
    const [tokens, rate, way] = [el("span"), el("span"), el("a", { text: "what to do →", hidden: true })];
    const canvas = el("canvas", { class: "spark", "aria-hidden": "true" });
    const why = el("p", { class: "why", hidden: true });
    const element = el("article", { class: "block" }, el("div", { class: "top" }, state, title, age), bar, el("p", {}, tokens, rate, way), canvas, why);
    return {
      element,
      /** @param {import("../core/connections.js").Connection} one */
      show({ row, history }) {
        const isOld = app.isDown() || app.connections.isOld;
        const quiet = quietFor(row, history);
        const look = isOld ? UNKNOWN : quiet === null ? ofConnection(row) : QUIET;
        setBadge(state, look);
        mark(element, "data-tone", look.tone === "live" ? null : look.tone);
        put(age, isOld || row.silent_ms === null ? "" : format.age(row.silent_ms));
        const isLost = row.state === "lost" && !isOld;
        const awaited = isLost ? row.tokens : row.awaited_books;
        const share = row.tokens ? ((row.tokens - awaited) / row.tokens) * 100 : 0;
        bar.firstChild.style.width = `${share}%`;
        bar.lastChild.style.width = `${100 - share}%`;
        put(tokens, `${format.count(row.tokens)} tokens`);
        const again = row.reconnects ? `connected again ${format.count(row.reconnects)} times; last: ${ended(row)}` : null;
        mark(element, "title", quiet === null || isOld ? again : `silent for ${format.age(row.silent_ms)}; it brought ${format.rate(quiet)} frames a second before`);
        put(rate, isOld ? "" : `${format.rate(row.messages_per_second)} frames/s`);
        // What is red has a way on, in the place of a rate that says nothing.
        const section = isOld ? null : wayOfConnection(row);
        rate.hidden = section !== null;
        way.hidden = section === null;
        if (section !== null) mark(way, "href", `#/runbook/${section}`);
        canvas.hidden = isLost;
        why.hidden = !isLost;
        if (isLost) {
          put(why, whyLost(row, app.connections.at));
          mark(element, "title", why.textContent);
        }
        else spark(canvas, history, look.tone);
      },
    };
  }

  /** @param {import("../core/sample.js").Sample} now */
  function showParts(now) {
    const components = app.samples.health?.components ?? {};
    fill(parts, Object.entries(components).map(([name, ok]) => badge({ shape: ok ? "disc" : "cross", word: name, tone: ok ? "live" : "bad" })));
    const set = (/** @type {string} */ name, /** @type {string} */ text) => put(about.of[name], text);
    set("Markets followed", `${format.count(now.markets_live)}${now.markets_listed ? ` of ${format.count(now.markets_listed)} listed` : ""}`);
    set("From the venue", `${format.rate(now.frames_per_second)} frames/s, ${format.bytes(now.bytes_per_second)}/s`);
    set("Trades", `${format.rate(now.trades_per_second)}/s`);
    const share = now.queue_capacity_events ? (now.queue_events ?? 0) / now.queue_capacity_events : null;
    set("Queue to the workers", share === null ? "–" : `${(share * 100).toFixed(share > 0 && share < 0.01 ? 1 : 0)} % full`);
    set("From socket to book", now.route_p99_ms === null || now.route_p99_ms === undefined ? "–" : `p50 < ${bound(now.route_p50_ms)}, p99 < ${bound(now.route_p99_ms)} ms`);
    set("Events dropped", `${format.rate(now.dropped_per_second)}/s`);
    set("HTTP", `${format.rate(now.http_requests_per_second)} requests/s, ${format.rate(now.http_refused_per_second)} refused`);
    set("Streams", `${format.count(now.stream_clients)} ${now.stream_clients === 1 ? "client" : "clients"}, ${format.rate(now.stream_gaps_us_per_second)} gaps/s`);
    const isRecorded = typeof now.recorder_free_bytes === "number";
    about.of.Recorder.hidden = about.of.Recorder.previousSibling.hidden = !isRecorded;
    if (isRecorded) set("Recorder", `${format.rate(now.recorder_frames_per_second)} frames/s, ${format.rate(now.recorder_lost_per_second)}/s lost, ${format.bytes(now.recorder_free_bytes)} free`);
    set("Processor", now.cpu_cores === null || now.cpu_cores === undefined ? "–" : `${now.cpu_cores.toFixed(2)} cores`);
    set("Memory", format.bytes(now.resident_bytes));
  }

  async function readFailures() {
    if (isAsleep || app.now() - askedAt < 1000) return;
    askedAt = app.now();
    try {
      const answer = await app.reads.json("v1/failures", { query: { limit: 12 } });
      if (!isOver) showFailures(answer);
    } catch {
      // The link says it.
    }
  }

  /** @param {any} answer */
  function showFailures(answer) {
    put(failures.more, answer.asked ? `${format.count(answer.asked)} since the start` : "");
    fill(again, answer.failures.map((/** @type {any} */ one) => {
      const market = el("a", { href: `#/market/${encodeURIComponent(one.slug ?? one.condition_id)}`, text: `${format.plain(format.called(one), 80)} · ${format.plain(one.outcome, 40)}` });
      const words = `${reasonWords(one.reason)}, now ${one.now.state}: `;
      return el("li", {}, el("time", { text: format.clock(one.last_ms), title: format.utc(one.last_ms) }), el("span", { "data-tone": one.now.state === "stale" ? "stale" : null }, words, market));
    }));
    if (answer.failures.length === 0) again.replaceChildren(el("li", { class: "none", text: "none was" }));
  }

  function showSeen() {
    fill(seen, app.seen.slice(-60).reverse().map((/** @type {any} */ one) => one.element ?? (one.element = el("li", {}, el("time", { text: format.clock(one.at), title: format.utc(one.at) }), el("span", { text: one.text, "data-tone": one.tone })))));
    if (app.seen.length === 0) seen.replaceChildren(el("li", { class: "none", text: app.isDown() ? "not known: the link is down" : "nothing has gone wrong" }));
  }

  return {
    title: "Overview",
    heading,
    sampled: show,
    connected: showConnections,
    link() {
      const { is } = app.stream.link;
      if (is === "open" && wasLost) {
        void readPast();
        void busiest.learn();
        askedAt = -FAILURES_MS;
      }
      wasLost = is === "lost" || (wasLost && is !== "open");
      busiest.repaint();
      show();
      showConnections();
    },
    frame(now) {
      if (now - begun > SETTLED_MS) app.root.classList.remove("settling");
      demo?.frame(now);
    },
    theme() {
      for (const one of charts) one.plot.repaint();
      show();
    },
    sleep() {
      isAsleep = true;
      app.stream.want("busiest", null);
    },
    wake() {
      isAsleep = false;
      busiest.follow();
    },
    end() {
      isOver = true;
      app.root.classList.remove("settling");
      busiest.end();
      demo?.end();
      for (const one of charts) one.plot.end();
    },
  };
}

/** A bound that is exact to a factor of two. @param {number | null | undefined} ms */
function bound(ms) {
  return ms === null || ms === undefined ? "–" : String(Number(ms.toPrecision(2)));
}

/** Why it has no socket, and when it tries again. @param {any} row @param {number | null} at */
function whyLost(row, at) {
  const wait = row.next_attempt_ms === null || at === null ? null : row.next_attempt_ms - at;
  // First what is short and changes: of a long end the rest is in the title.
  return `${wait === null || wait < 50 ? "being opened again" : `tried again in ${format.age(wait)}`}: ${ended(row)}`;
}

/** The frames of the last minute. @param {HTMLCanvasElement} canvas @param {(number | null)[]} history @param {string} tone */
function spark(canvas, history, tone) {
  const { context, width, height } = fit(canvas);
  context.clearRect(0, 0, width, height);
  const greatest = Math.max(1, ...history.map((value) => value ?? 0));
  const wide = width / KEPT;
  context.fillStyle = colours()[tone === "live" ? "muted" : tone] ?? colours().muted;
  context.globalAlpha = 0.7;
  history.forEach((value, at) => {
    if (value === null) return;
    const high = Math.max((value / greatest) * (height - 2), value > 0 ? 1 : 0);
    context.fillRect((KEPT - history.length + at) * wide, height - high, Math.max(wide - 1, 0.5), high);
  });
  context.globalAlpha = 1;
}
