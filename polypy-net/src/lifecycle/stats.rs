//! What the controller has found, asked and ended.

use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::catalogue::NotFollowed;
use polypy_core::metrics::{
    Counter, Entry, Histogram, Kind, Number, Part, Row, Sheet, Span, Unit, count as count_of,
};
use polypy_core::{StatsSource, Timestamp};

use super::lookup::Lookup;
use super::{LifecycleController, Shared};
use crate::gamma::SkipReason;

/// Counters, and the last listing.
#[derive(Debug, Default)]
pub(super) struct LifecycleStats {
    pub(super) markets_added: Counter,
    pub(super) hints_received: Counter,
    pub(super) hints_dropped: Counter,
    pub(super) hints_new_market: Counter,
    pub(super) hints_resolved: Counter,
    pub(super) lookup_requests: Counter,
    pub(super) lookup_failures: Counter,
    pub(super) lookups_found: Counter,
    pub(super) lookups_given_up: Counter,
    pub(super) lookups_dropped: Counter,
    pub(super) expired_resolved: Counter,
    pub(super) expired_closed: Counter,
    pub(super) expired_unknown: Counter,
    pub(super) returned: Counter,
    pub(super) closings_doubted: Counter,
    pub(super) tokens_delisted: Counter,
    pub(super) forgotten: Counter,
    pub(super) released: Counter,
    pub(super) releases_doubted: Counter,
    crawl_took: Histogram,
    discovery: Mutex<Discovery>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Discovery {
    successes: u64,
    failures: u64,
    complete: u64,
    last_success: Option<Timestamp>,
    missing: usize,
    last: Option<CrawlOutcome>,
}

/// What one listing came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct CrawlOutcome {
    pub(super) pages: usize,
    pub(super) rows: usize,
    pub(super) duration: Duration,
    pub(super) end: &'static str,
    pub(super) complete: bool,
    /// By [`SkipReason::index`].
    pub(super) skipped: [u64; SkipReason::ALL.len()],
}

/// Adds one.
pub(super) fn count(counter: &Counter) {
    counter.add_shared(1);
}

/// Adds so many.
pub(super) fn add(counter: &Counter, number: usize) {
    counter.add_shared(polypy_core::metrics::count(number));
}

impl LifecycleStats {
    pub(super) fn crawled(&self, outcome: &CrawlOutcome) {
        self.crawl_took.record_shared(outcome.duration);
        let mut discovery = self.discovery.lock();
        discovery.complete += u64::from(outcome.complete);
        discovery.last = Some(*outcome);
    }

    /// Books a success; whether it is the first.
    pub(super) fn round_succeeded(&self, now: Timestamp) -> bool {
        let mut discovery = self.discovery.lock();
        discovery.successes += 1;
        discovery.last_success = Some(now);
        discovery.successes == 1
    }

    pub(super) fn round_failed(&self) {
        self.discovery.lock().failures += 1;
    }

    pub(super) fn missing(&self, markets: usize) {
        self.discovery.lock().missing = markets;
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.discovery.lock().successes > 0
    }

    pub(super) fn has_listed(&self) -> bool {
        self.discovery.lock().complete > 0
    }

    /// Whether discovery has succeeded once, or has not failed yet.
    pub(super) fn is_hopeful(&self) -> bool {
        let discovery = self.discovery.lock();
        discovery.successes > 0 || discovery.failures == 0
    }
}

type Counted = Entry<LifecycleStats>;
type Listed = Entry<DiscoveryShown>;
type Whole = Entry<Shared>;

/// What is said of listings, as of now.
#[derive(Debug)]
struct DiscoveryShown {
    discovery: Discovery,
    last_success: Option<String>,
    age_ms: Option<u64>,
}

const ENDED: &str = "Markets taken off, by the reason.";
const LOOKUPS: &str = "Markets asked for by name, by what came of it.";
const LOOKUP_REQUESTS: &str = "Requests for markets by name, and those of them that failed.";
const PENDING: &str = "Markets to be asked for by name, by the answer that is hoped for.";
const ROUNDS: &str = "Rounds of discovery, by result.";
const HINTS: &str = "What the feed said of markets, by what it was about.";

static DISCOVERY: Part = Part::new("discovery", "Listings of the open markets.");
static LAST_CRAWL: Part = Part::new("last_crawl", "The newest listing.");
static HINTS_PART: Part = Part::new("hints", "What the feed said of markets.");
static LOOKUPS_PART: Part = Part::new("lookups", "Markets asked for by name.");
static GAMMA: Part = Part::new("gamma", "Requests to Gamma.");

pub(super) static STATE: &[Entry<LifecycleController>] = &[Entry::gauge(
    "is_running",
    "polypy_lifecycle_running",
    "Whether discovery runs.",
    |controller| controller.life.is_running().into(),
)];
static KNOWN: &[Whole] = &[
    Whole::shown(
        "known_market_count",
        "Markets known, ended ones too until they are forgotten.",
        |shared| shared.registry.market_count().into(),
    ),
    Whole::gauge(
        "listed_markets",
        "polypy_markets_listed",
        "Markets that the venue lists as open, followed or not; ended ones until they are \
         forgotten.",
        |shared| shared.selecting.size().0.into(),
    ),
    Whole::counter(
        "listings_refused",
        "polypy_market_listings_refused_total",
        "Listed markets for which there was no room.",
        |shared| shared.selecting.size().1.markets.into(),
    ),
    Whole::gauge(
        "selection_generation",
        "polypy_selection_generation",
        "How many changes of what is followed there have been.",
        |shared| shared.selecting.selection().1.into(),
    ),
    Whole::gauge(
        "markets_awaiting_forget",
        "polypy_markets_awaiting_forget",
        "Ended markets that are still known.",
        |shared| shared.retention.len().into(),
    ),
];
static NOT_FOLLOWED: Row = Row::by(
    Kind::Gauge,
    "not_followed",
    "polypy_markets_not_followed",
    "reason",
    "Open markets that the venue lists and that are not followed, by the check that left them \
     out.",
);
static MARKETS: &[Counted] = &[
    Counted::counter(
        "markets_added",
        "polypy_markets_added_total",
        "Markets found.",
        |stats| stats.markets_added.get().into(),
    ),
    Counted::counter(
        "expired_resolved",
        "polypy_markets_ended_total",
        "Markets that the feed called resolved.",
        |stats| stats.expired_resolved.get().into(),
    )
    .label("reason=\"resolved\"")
    .family(ENDED),
    Counted::counter(
        "expired_closed",
        "polypy_markets_ended_total",
        "Markets that Gamma called closed.",
        |stats| stats.expired_closed.get().into(),
    )
    .label("reason=\"closed\"")
    .family(ENDED),
    Counted::counter(
        "expired_unknown",
        "polypy_markets_ended_total",
        "Markets that neither CLOB nor Gamma knows any more.",
        |stats| stats.expired_unknown.get().into(),
    )
    .label("reason=\"unknown\"")
    .family(ENDED),
    Counted::counter(
        "markets_returned",
        "polypy_markets_returned_total",
        "Markets that had ended and came back.",
        |stats| stats.returned.get().into(),
    ),
    Counted::counter(
        "closings_doubted",
        "polypy_market_closings_doubted_total",
        "Markets that Gamma called closed and that stayed because the CLOB did not agree.",
        |stats| stats.closings_doubted.get().into(),
    ),
    Counted::counter(
        "tokens_delisted",
        "polypy_tokens_delisted_total",
        "Tokens that left the listing of a market that goes on.",
        |stats| stats.tokens_delisted.get().into(),
    ),
    Counted::counter(
        "markets_released",
        "polypy_markets_released_total",
        "Markets that trade and were wanted no longer.",
        |stats| stats.released.get().into(),
    ),
    Counted::counter(
        "releases_doubted",
        "polypy_market_releases_doubted_total",
        "Markets that stayed until a second listing said, as the first had, that they are \
         wanted no longer: those were many at once.",
        |stats| stats.releases_doubted.get().into(),
    ),
    Counted::counter(
        "markets_forgotten",
        "polypy_markets_forgotten_total",
        "Ended markets that were forgotten.",
        |stats| stats.forgotten.get().into(),
    ),
];
static ROUNDS_ROWS: &[Listed] = &[
    Listed::shown("rounds", "Rounds of discovery.", |shown| {
        (shown.discovery.successes + shown.discovery.failures).into()
    }),
    Listed::counter(
        "successes",
        "polypy_discovery_rounds_total",
        "Rounds that came to their end.",
        |shown| shown.discovery.successes.into(),
    )
    .label("result=\"succeeded\"")
    .family(ROUNDS),
    Listed::counter(
        "failures",
        "polypy_discovery_rounds_total",
        "Rounds that failed.",
        |shown| shown.discovery.failures.into(),
    )
    .label("result=\"failed\"")
    .family(ROUNDS),
    Listed::counter(
        "complete_crawls",
        "polypy_discovery_complete_crawls_total",
        "Listings that reached their end.",
        |shown| shown.discovery.complete.into(),
    ),
    Listed::shown(
        "last_success",
        "When the newest round succeeded; null before the first.",
        |shown| shown.last_success.as_deref().into(),
    ),
    Listed::shown("last_success_age_ms", "How long ago that was.", |shown| {
        shown.age_ms.into()
    })
    .unit(Unit::Millis),
    Listed::exported(
        Kind::Gauge,
        "polypy_discovery_last_success_timestamp_seconds",
        "When the newest round succeeded, in seconds since 1970; zero before the first.",
        |shown| {
            let last = shown.discovery.last_success;
            last.map_or(0, Timestamp::millis).into()
        },
    )
    .unit(Unit::Millis),
    Listed::gauge(
        "missing_markets",
        "polypy_discovery_missing_markets",
        "Known markets that the newest complete listing lacked.",
        |shown| shown.discovery.missing.into(),
    ),
];
static LAST_ROWS: &[Listed] = &[
    Listed::shown("complete", "Whether it reached its end.", |shown| {
        shown.last(|last| last.complete.into())
    }),
    Listed::shown("end", "How it ended; null before the first.", |shown| {
        shown.last(|last| last.end.into())
    }),
    Listed::gauge(
        "pages",
        "polypy_discovery_last_crawl_pages",
        "Pages of the newest listing.",
        |shown| shown.discovery.last.map_or(0, |last| last.pages).into(),
    ),
    Listed::gauge(
        "rows",
        "polypy_discovery_last_crawl_rows",
        "Rows of the newest listing.",
        |shown| shown.discovery.last.map_or(0, |last| last.rows).into(),
    ),
    Listed::shown("took_ms", "How long it took.", |shown| {
        shown.last(|last| Number::millis(last.duration))
    })
    .unit(Unit::Millis),
];
static SKIPPED: Row = Row::by(
    Kind::Gauge,
    "skipped",
    "polypy_discovery_last_crawl_skipped",
    "reason",
    "Rows of the newest listing that were left out, by reason.",
);
static DURATION: Row = Row::histogram(
    "polypy_discovery_duration_seconds",
    "How long a listing of the markets took.",
    Span::LONG,
);
static HINTS_ROWS: &[Counted] = &[
    Counted::shown("received", "All that were taken.", |stats| {
        stats.hints_received.get().into()
    }),
    Counted::counter(
        "dropped",
        "polypy_lifecycle_hints_dropped_total",
        "Those for which there was no room.",
        |stats| stats.hints_dropped.get().into(),
    ),
    Counted::counter(
        "new_market",
        "polypy_lifecycle_hints_total",
        "New markets.",
        |stats| stats.hints_new_market.get().into(),
    )
    .label("kind=\"new_market\"")
    .family(HINTS),
    Counted::counter(
        "resolved",
        "polypy_lifecycle_hints_total",
        "Resolved markets.",
        |stats| stats.hints_resolved.get().into(),
    )
    .label("kind=\"resolved\"")
    .family(HINTS),
];
static LOOKUP_ROWS: &[Counted] = &[
    Counted::counter(
        "requests",
        "polypy_market_lookup_requests_total",
        "Requests made.",
        |stats| stats.lookup_requests.get().into(),
    )
    .label("result=\"made\"")
    .family(LOOKUP_REQUESTS),
    Counted::counter(
        "failures",
        "polypy_market_lookup_requests_total",
        "Those of them that failed.",
        |stats| stats.lookup_failures.get().into(),
    )
    .label("result=\"failed\"")
    .family(LOOKUP_REQUESTS),
    Counted::counter(
        "found",
        "polypy_market_lookups_total",
        "Markets found.",
        |stats| stats.lookups_found.get().into(),
    )
    .label("outcome=\"found\"")
    .family(LOOKUPS),
    Counted::counter(
        "given_up",
        "polypy_market_lookups_total",
        "Markets given up after several requests.",
        |stats| stats.lookups_given_up.get().into(),
    )
    .label("outcome=\"given_up\"")
    .family(LOOKUPS),
    Counted::counter(
        "dropped",
        "polypy_market_lookups_total",
        "Markets for which there was no room.",
        |stats| stats.lookups_dropped.get().into(),
    )
    .label("outcome=\"dropped\"")
    .family(LOOKUPS),
];
static PENDING_ROWS: &[Whole] = &[
    Whole::gauge(
        "pending_open",
        "polypy_market_lookups_pending",
        "Markets waiting that are hoped to be open.",
        |shared| shared.lookups.len(Lookup::IsOpen).into(),
    )
    .label("wanted=\"open\"")
    .family(PENDING),
    Whole::gauge(
        "pending_closed",
        "polypy_market_lookups_pending",
        "Markets waiting of which Gamma is to say whether they are closed.",
        |shared| shared.lookups.len(Lookup::IsClosed).into(),
    )
    .label("wanted=\"closed\"")
    .family(PENDING),
];

impl DiscoveryShown {
    fn last(&self, read: impl FnOnce(&CrawlOutcome) -> Number<'static>) -> Number<'static> {
        self.discovery.last.as_ref().map_or(Number::Nothing, read)
    }

    fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(ROUNDS_ROWS, self);
        sheet.part(&LAST_CRAWL, |sheet| {
            sheet.table(LAST_ROWS, self);
            let skipped = |reason: SkipReason| {
                let last = self.discovery.last;
                last.map_or(0, |last| last.skipped[reason.index()])
            };
            let reasons = SkipReason::ALL.into_iter();
            let mut named = reasons.map(|reason| (reason.name(), skipped(reason)));
            sheet.members(&SKIPPED, &mut named);
        });
    }
}

impl Shared {
    pub(super) fn show(&self, sheet: &mut dyn Sheet) {
        let stats = &self.stats;
        let discovery = *stats.discovery.lock();
        let last = discovery.last_success;
        let shown = DiscoveryShown {
            discovery,
            last_success: last.map(|last| last.to_string()),
            age_ms: last.map(|last| self.clock.now().millis_since(last)),
        };
        sheet.table(KNOWN, self);
        let verdicts = self.selecting.counts();
        let left_out = |reason: NotFollowed| count_of(verdicts.not_followed(reason));
        let reasons = NotFollowed::ALL.into_iter();
        let mut named = reasons.map(|reason| (reason.name(), left_out(reason)));
        sheet.members(&NOT_FOLLOWED, &mut named);
        sheet.table(MARKETS, stats);
        sheet.part(&DISCOVERY, |sheet| {
            shown.show(sheet);
            sheet.histogram(&DURATION, &stats.crawl_took.reading());
        });
        sheet.part(&HINTS_PART, |sheet| sheet.table(HINTS_ROWS, stats));
        sheet.part(&LOOKUPS_PART, |sheet| {
            sheet.table(LOOKUP_ROWS, stats);
            sheet.table(PENDING_ROWS, self);
        });
        sheet.part(&GAMMA, |sheet| self.gamma.show(sheet));
    }
}
