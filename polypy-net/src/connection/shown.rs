//! One connection as `/stats` and, if it is asked for, `/metrics` show it.
//!
//! The names up to `pollution_ratio` are those of the original program, which calls
//! an asset a "market". What stands behind them is left out while there is nothing to
//! say: there may be hundreds of connections.

use polypy_core::metrics::{Entry, Kind, List, Number, Row, Sheet, Unit};

use super::counters::ConnectionCounters;
use super::state::ConnectionStatus;

/// A connection as of now.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(super) id: String,
    pub(super) status: ConnectionStatus,
    pub(super) is_open: bool,
    pub(super) is_retired: bool,
    pub(super) is_healthy: bool,
    pub(super) is_lagging: bool,
    pub(super) age_ms: u64,
    pub(super) uptime_ms: u64,
    pub(super) total: usize,
    pub(super) subscribed: usize,
    pub(super) expired: usize,
    pub(super) pollution: f64,
    pub(super) feed: Option<u64>,
    pub(super) awaiting_books: usize,
    pub(super) exhausted_tokens: usize,
    pub(super) last_data_age_ms: Option<u64>,
    pub(super) counters: ConnectionCounters,
}

type One = Entry<Shown>;

static STATS: List = List::array("stats", "One object a connection.")
    .labelled("connection")
    .detail();
const TOKENS: &str = "A connection's tokens, by whether their market has ended.";
static ROWS: &[One] = &[
    One::shown("connection_id", "Its name.", |shown| (*shown.id).into()),
    One::shown("status", "Where it stands.", |shown| {
        shown.status.name().into()
    }),
    One::shown(
        "is_draining",
        "Whether it serves until its replacement has settled in.",
        |shown| shown.is_retired.into(),
    ),
    One::shown("age_seconds", "Since it was made.", |shown| {
        Number::Thousandths(shown.age_ms)
    })
    .unit(Unit::Seconds),
    One::shown(
        "uptime",
        "Seconds since its socket was opened; zero without one.",
        |shown| Number::Thousandths(shown.uptime_ms),
    ),
    One::counter(
        "messages_received",
        "polypy_connection_received_messages_total",
        "Frames received.",
        |shown| shown.counters.messages.into(),
    ),
    One::counter(
        "bytes_received",
        "polypy_connection_received_bytes_total",
        "Their bytes.",
        |shown| shown.counters.bytes.into(),
    ),
    One::counter(
        "parse_errors",
        "polypy_connection_parse_errors_total",
        "What could not be read.",
        |shown| shown.counters.parse_errors.into(),
    ),
    One::counter(
        "reconnect_count",
        "polypy_connection_reconnects_total",
        "Sockets after the first one.",
        |shown| shown.counters.sockets.saturating_sub(1).into(),
    ),
    One::gauge(
        "is_healthy",
        "polypy_connection_healthy",
        "Whether its socket is open and has said something since.",
        |shown| shown.is_healthy.into(),
    ),
    One::shown(
        "total_markets",
        "Tokens on it. A market has two.",
        |shown| shown.total.into(),
    ),
    One::gauge(
        "subscribed_markets",
        "polypy_connection_tokens",
        "Tokens on it whose market goes on.",
        |shown| shown.subscribed.into(),
    )
    .label("state=\"subscribed\"")
    .family(TOKENS),
    One::gauge(
        "expired_markets",
        "polypy_connection_tokens",
        "Tokens on it whose market has ended.",
        |shown| shown.expired.into(),
    )
    .label("state=\"expired\"")
    .family(TOKENS),
    One::shown(
        "pollution_ratio",
        "Share of its tokens whose market has ended.",
        |shown| shown.pollution.into(),
    ),
    One::exported(
        Kind::Gauge,
        "polypy_connection_open",
        "Whether its socket is open.",
        |shown| shown.is_open.into(),
    ),
    One::shown(
        "feed",
        "The number of the feed it delivers under.",
        |shown| shown.feed.into(),
    )
    .sparse(),
    One::gauge(
        "awaiting_books",
        "polypy_connection_awaited_books",
        "Tokens on it without a first book.",
        |shown| shown.awaiting_books.into(),
    ),
    One::shown(
        "last_data_age_ms",
        "Since it last brought something of its tokens.",
        |shown| shown.last_data_age_ms.into(),
    )
    .unit(Unit::Millis)
    .sparse(),
    One::shown(
        "open_failures",
        "Sockets that could not be opened.",
        |shown| shown.counters.open_failures.into(),
    )
    .sparse(),
    One::shown(
        "refused_frames",
        "Frames of ours that the venue refused.",
        |shown| shown.counters.refused_frames.into(),
    )
    .sparse(),
    One::shown("probes", "Probes for a sign of life.", |shown| {
        shown.counters.probes.into()
    })
    .sparse(),
    One::shown(
        "tokens_resubscribed",
        "Tokens resubscribed for a fresh book.",
        |shown| shown.counters.resubscribes.into(),
    )
    .sparse(),
    One::shown(
        "tokens_from_rest",
        "Tokens given a book by REST.",
        |shown| shown.counters.escalation.from_rest.into(),
    )
    .sparse(),
    One::shown(
        "tokens_exhausted",
        "Tokens that nothing helps on it now.",
        |shown| shown.exhausted_tokens.into(),
    )
    .sparse(),
    One::shown(
        "is_lagging",
        "Whether it trails the other connection of its pair.",
        |shown| shown.is_lagging.into(),
    )
    .sparse(),
];
static REFUSALS: Row = Row::by(
    Kind::Counter,
    "refusals",
    "",
    "",
    "Handshakes refused, by HTTP status.",
)
.sparse();
static CLOSES: Row = Row::by(
    Kind::Counter,
    "closes",
    "",
    "",
    "Sockets that ended, by cause.",
)
.sparse();
static CLOSE_CODES: Row = Row::by(
    Kind::Counter,
    "close_codes",
    "",
    "",
    "Sockets that the venue closed, by its code.",
)
.sparse();

/// Shows one object for each.
pub(crate) fn show(connections: impl Iterator<Item = Shown>, sheet: &mut dyn Sheet) {
    let named = connections.map(|one| (one.id.clone(), one));
    sheet.each_with(&STATS, ROWS, named, |sheet, one| {
        let none = ConnectionCounters::default();
        let counters = one.map_or(&none, |one| &one.counters);
        // Most connections have none of them: nothing is said of each.
        let is_shown = |is_empty: bool| one.is_none() || !is_empty;
        if is_shown(counters.refusals.is_empty()) {
            counters.refusals.show(&REFUSALS, sheet);
        }
        if is_shown(counters.closes.is_empty()) {
            counters.show_closes(&CLOSES, sheet);
        }
        if is_shown(counters.close_codes.is_empty()) {
            counters.close_codes.show(&CLOSE_CODES, sheet);
        }
    });
}
