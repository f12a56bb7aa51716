// @ts-check
// States as shape and word; colour only repeats them. Each code and reason that is red
// names its section of the runbook.

/**
 * @typedef {{ shape: string, word: string, tone: string }} Look
 * shape: class that cuts it out; tone: colour.
 */

/** @type {Record<string, Look>} */
const BOOK = {
  verified: { shape: "disc", word: "verified", tone: "live" },
  unverified: { shape: "ring", word: "live", tone: "live" },
  stale: { shape: "triangle", word: "stale", tone: "stale" },
  pending: { shape: "dotted", word: "pending", tone: "pending" },
  settled: { shape: "square", word: "settled", tone: "settled" },
  forgotten: { shape: "square", word: "forgotten", tone: "settled" },
};

/**
 * How a book is shown.
 * @param {string} state of the server
 * @param {string | null} [reason] why it is stale
 * @param {boolean | null} [verified]
 * @returns {Look}
 */
export function ofBook(state, reason = null, verified) {
  if (state === "live") return verified ? BOOK.verified : BOOK.unverified;
  const look = BOOK[state] ?? { shape: "square", word: state, tone: "pending" };
  return state === "stale" && reason ? { ...look, word: `stale: ${reasonWords(reason)}` } : look;
}

/**
 * What is known of a token's best prices once this message came. Those of `top` do not say
 * whether a hash confirms the book; those of `state` do, and have no prices.
 * @param {any} known @param {any} message
 */
export function topAfter(known, message) {
  if (message.type === "top") return { ...message, verified: known?.verified ?? null };
  const { state, reason, verified } = message;
  return { ...known, state, reason, verified };
}

/** Greater is worse. @type {Record<string, number>} */
const RANK = { live: 0, settled: 1, pending: 2, stale: 3 };

/**
 * The worse of two states of books.
 * @param {string | null | undefined} one
 * @param {string | null | undefined} other
 */
export function worse(one, other) {
  return (RANK[one ?? "live"] ?? 0) >= (RANK[other ?? "live"] ?? 0) ? one : other;
}

/** @type {Record<string, string>} */
const REASON_WORDS = {
  disconnected: "connection lost",
  dropped: "event dropped",
  worker_died: "worker died",
  undecodable: "event unreadable",
  hash: "hash differs",
  top: "best price differs",
  mirror: "no mirror image",
  audit: "audit differs",
  crossed: "crossed",
  tick: "tick size changed",
  resubscribing: "resubscribing",
  silent: "connection silent",
  suspended: "was suspended",
};

/** @param {string} reason */
export function reasonWords(reason) {
  return REASON_WORDS[reason] ?? reason;
}

/** Sections of docs/runbook.md by reason of a stale book and code of `/health`. @type {Record<string, string>} */
export const RUNBOOK = {
  disconnected: "PolypyConnectionsLost",
  dropped: "PolypyEventsDropped",
  worker_died: "PolypyWorkerRestarted",
  undecodable: "PolypyMessagesUnreadable",
  hash: "PolypyChecksFailing",
  top: "PolypyChecksFailing",
  mirror: "PolypyChecksFailing",
  audit: "PolypyAuditFailing",
  crossed: "PolypyChecksFailing",
  tick: "PolypyBooksNotLive",
  resubscribing: "PolypyTokensWaiting",
  silent: "PolypyFeedSilent",
  suspended: "PolypySuspended",
  not_running: "PolypyUnhealthy",
  registry_not_running: "PolypyUnhealthy",
  router_not_running: "PolypyUnhealthy",
  recycler_not_running: "PolypyUnhealthy",
  worker_dead: "PolypyWorkerDown",
  discovery_failing: "PolypyDiscoveryStale",
  no_connection: "PolypyNoConnection",
  no_live_books: "PolypyFewBooksLive",
  no_markets: "PolypyNoMarkets",
  selection_empty: "PolypySelectionEmpty",
  recorder_behind: "PolypyRecorderBehind",
  recorder_failed: "PolypyRecorderFailed",
  books_not_live: "PolypyBooksNotLive",
  hashes_not_reproduced: "PolypyHashesUnverifiable",
};

/** @type {Record<string, Look>} */
const LINK = {
  connecting: { shape: "dotted", word: "connecting", tone: "pending" },
  open: { shape: "disc", word: "linked", tone: "live" },
  silent: { shape: "triangle", word: "nothing heard", tone: "stale" },
  lost: { shape: "cross", word: "link lost", tone: "bad" },
  asleep: { shape: "dotted", word: "asleep", tone: "pending" },
  login: { shape: "square", word: "log in", tone: "pending" },
};

/** @param {string} is @returns {Look} */
export function ofLink(is) {
  return LINK[is] ?? LINK.connecting;
}

/** Of everything, while nothing is heard of the server. @type {Look} */
export const UNKNOWN = { shape: "dotted", word: "not known", tone: "pending" };

/** Of the wanted books fewer are live: nobody would call that well. The runbook's alert for few live books has the same bound. */
const FEW = 0.5;

/** How the verdict of the server is shown. @param {any} health @returns {Look} */
export function ofHealth(health) {
  if (!health.healthy) return { shape: "cross", word: "Not healthy", tone: "bad" };
  if (health.books && health.books.live < health.books.wanted * FEW) return { shape: "triangle", word: "Few books are live", tone: "stale" };
  if (health.reasons.length) return { shape: "triangle", word: "Healthy, not all well", tone: "stale" };
  return { shape: "disc", word: "Healthy: every book is live", tone: "live" };
}

/** A connection that has been silent for clearly longer than it is used to; the server takes more time to be sure. @type {Look} */
export const QUIET = { shape: "half", word: "quiet", tone: "stale" };

/** @type {Record<string, Look>} */
const CONNECTION = {
  lost: { shape: "cross", word: "LOST", tone: "bad" },
  mute: { shape: "half", word: "no data yet", tone: "stale" },
  silent: { shape: "half", word: "silent", tone: "stale" },
  lagging: { shape: "half", word: "lagging", tone: "stale" },
  connecting: { shape: "dotted", word: "connecting", tone: "pending" },
  loading: { shape: "dotted", word: "loading", tone: "pending" },
  draining: { shape: "square", word: "draining", tone: "settled" },
  idle: { shape: "square", word: "idle", tone: "settled" },
  live: { shape: "disc", word: "live", tone: "live" },
};

/**
 * How a connection to the venue is shown, from its row in `/v1/connections`.
 * @param {any} row
 * @returns {Look}
 */
export function ofConnection(row) {
  const look = CONNECTION[row.state] ?? { shape: "square", word: row.state, tone: "pending" };
  return row.state === "loading" ? { ...look, word: `${row.tokens - row.awaited_books} of ${row.tokens} books` } : look;
}

/** The section of the runbook for a connection that is not well. @param {any} row @returns {string | null} */
export function wayOfConnection(row) {
  switch (row.state) {
    case "lost":
      return RUNBOOK.disconnected;
    case "mute":
    case "silent":
      return RUNBOOK.silent;
    case "lagging":
      return "PolypyFeedDelayed";
    default:
      return null;
  }
}
