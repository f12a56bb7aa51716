// @ts-check
// What the server says of itself once a second, as plain numbers: gauges as they are,
// counters as rates of that second. The page keeps a quarter of an hour of it.

/** Seconds that are kept. */
export const KEPT = 900;

/**
 * @typedef {Record<string, number | null>} Sample
 */

/** Counters of `/stats` whose rate is shown, by the name that the rate gets. @type {Record<string, (stats: any) => number | undefined>} */
const COUNTERS = {
  changes_per_second: (stats) => sum(Object.values(stats.workers?.worker_stats ?? {}), (/** @type {any} */ one) => one.updates_applied),
  frames_per_second: (stats) => stats.wire?.frames,
  bytes_per_second: (stats) => stats.wire?.bytes,
  trades_per_second: (stats) => stats.workers?.events?.trades,
  hashes_passed_per_second: (stats) => {
    const hash = stats.workers?.integrity?.hash;
    return hash && hash.passed + (hash.passed_with_candidate_price ?? 0) + (hash.passed_with_other_format ?? 0);
  },
  tops_passed_per_second: (stats) => stats.workers?.integrity?.top?.passed,
  mirrors_passed_per_second: (stats) => stats.workers?.integrity?.mirror?.passed,
  checks_failed_per_second: (stats) => sum(["hash", "top", "mirror", "crossed", "audit"], (/** @type {string} */ one) => stats.workers?.integrity?.[one]?.failed),
  resyncs_per_second: (stats) => stats.pool?.resync?.dispatched,
  dropped_per_second: (stats) => stats.router?.messages_dropped,
  stream_messages_per_second: (stats) => stats.stream?.delivered,
  http_requests_per_second: (stats) =>
    stats.http?.requests && sum(Object.values(stats.http.requests), (/** @type {any} */ one) => sum(Object.values(one), (/** @type {any} */ many) => many)),
  recorder_frames_per_second: (stats) => stats.recorder?.frames,
  recorder_lost_per_second: (stats) => stats.recorder && sum(["lost_behind", "lost_too_long", "lost_disk"], (/** @type {string} */ one) => stats.recorder[one]),
  http_refused_per_second: (stats) => stats.http?.rejected_connections,
  cpu_cores: (stats) => stats.process && stats.process.cpu_ms / 1000,
};

/** @param {any[]} all @param {(one: any) => any} value */
function sum(all, value) {
  return all.reduce((total, one) => total + (Number(value(one)) || 0), 0);
}

/** Gauges of `/stats`. @type {Record<string, (stats: any) => number | undefined>} */
const GAUGES = {
  books_live: (stats) => stats.workers?.books?.live,
  books_verified: (stats) => stats.workers?.books?.verified,
  books_suspect: (stats) => stats.workers?.books?.suspect,
  books_stale: (stats) => stats.workers?.books?.stale,
  books_pending: (stats) => stats.workers?.books?.pending,
  books_settled: (stats) => stats.workers?.books?.settled,
  connections: (stats) => stats.pool?.connection_count,
  connections_open: (stats) => stats.pool?.active_connections,
  markets_live: (stats) => stats.registry?.markets_live,
  markets_listed: (stats) => stats.lifecycle?.listed_markets,
  tokens: (stats) => stats.registry && stats.registry.pending + stats.registry.subscribed,
  workers: (stats) => stats.workers?.worker_count,
  workers_running: (stats) => stats.workers?.alive_count,
  route_p50_ms: (stats) => stats.router?.latency_p50_ms,
  route_p99_ms: (stats) => stats.router?.latency_p99_ms,
  queue_share: (stats) => {
    const depths = Object.entries(stats.router?.queue_depths ?? {}).filter(([name]) => name.startsWith("worker_") && name !== "worker_queue");
    const most = stats.router?.queue_capacity_events;
    return most ? Math.max(0, ...depths.map(([, depth]) => Number(depth))) / most : undefined;
  },
  stream_clients: (stats) => stats.stream && sum(Object.values(stats.stream.clients), (one) => one),
  stream_gaps_us: (stats) => stats.stream?.gaps_us,
  resident_bytes: (stats) => stats.process?.resident_bytes,
  uptime_s: (stats) => stats.uptime_seconds,
  http_connections: (stats) => stats.http?.active_connections,
};

/**
 * A connection to the venue, with the rates of its last second.
 * @typedef {{ row: any, frames: number | null, bytes: number | null, history: (number | null)[] }} Connection
 */

export class Samples {
  constructor() {
    /** @type {{ at: number, values: Sample }[]} */
    this.kept = [];
    /** @type {any} */
    this.stats = null;
    /** @type {any} the newest answer of `/health` */
    this.health = null;
    /** @type {number | null} */
    this.at = null;
    /** @type {Map<string, Connection>} */
    this.connections = new Map();
  }

  /** @returns {Sample} */
  get newest() {
    return this.kept[this.kept.length - 1]?.values ?? {};
  }

  /**
   * An answer of `/stats`, before the stream said anything. Its moment is known to a few ms
   * only: nothing is a rate since then.
   * @param {any} stats @param {number} at
   */
  begin(stats, at) {
    if (this.stats !== null) return;
    this.kept.push({ at, values: this.gauges(stats) });
    this.connect(stats.pool?.stats ?? [], null);
    this.stats = stats;
  }

  /** @param {any} stats @returns {Sample} */
  gauges(stats) {
    return Object.fromEntries(Object.entries(GAUGES).map(([name, read]) => [name, read(stats) ?? null]));
  }

  /** A message `stats`. @param {{ ts_us: number, stats: any }} message */
  take({ ts_us: tsUs, stats }) {
    const at = tsUs / 1000;
    const seconds = this.at === null ? null : (at - this.at) / 1000;
    // A second that was not seen has no rate: it is not the rate of two.
    const isNext = seconds !== null && seconds > 0.2 && seconds < 1.8 && stats.uptime_seconds >= this.stats.uptime_seconds;
    const values = this.gauges(stats);
    // The first message may be older than what was read before it came.
    if (this.at === null) this.kept = this.kept.filter((one) => one.at < at);
    for (const [name, read] of Object.entries(COUNTERS)) values[name] = isNext ? perSecond(read(this.stats), read(stats), seconds) : null;
    this.connect(stats.pool?.stats ?? [], isNext ? seconds : null);
    if (this.at !== null && seconds !== null && seconds > 1.8) this.kept.push({ at: this.at + 1000, values: {} });
    this.kept.push({ at, values });
    while (this.kept.length > KEPT) this.kept.shift();
    this.stats = stats;
    this.at = at;
  }

  /** @param {any[]} rows @param {number | null} seconds */
  connect(rows, seconds) {
    const found = new Map();
    for (const row of rows) {
      const before = this.connections.get(row.connection_id);
      // A name that another connection had begins anew.
      const same = before && before.row.age_seconds <= row.age_seconds;
      const rate = (/** @type {string} */ name) => (same && seconds !== null ? perSecond(before.row[name], row[name], seconds) : null);
      const frames = rate("messages_received");
      found.set(row.connection_id, { row, frames, bytes: rate("bytes_received"), history: [...(same ? before.history.slice(-59) : []), frames] });
    }
    this.connections = found;
  }

  /** Columns for a chart: times in seconds, then these values. @param {string[]} names */
  columns(names) {
    const times = this.kept.map(({ at }) => at / 1000);
    return [times, ...names.map((name) => this.kept.map(({ values }) => values[name] ?? null))];
  }
}

/**
 * The rate of a counter; `null` where it began again or is not known.
 * @param {number | undefined} before @param {number | undefined} after @param {number} seconds
 */
export function perSecond(before, after, seconds) {
  if (before === undefined || after === undefined || after < before) return null;
  return (after - before) / seconds;
}
