//! What the registry knows, in numbers.

use polypy_core::metrics::{Entry, Sheet};

/// As of one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) pending: usize,
    pub(super) subscribed: usize,
    pub(super) expired: usize,
    pub(super) markets: usize,
    pub(super) live_markets: usize,
    pub(super) conflicts: u64,
}

type Shown = Entry<Known>;

const TOKENS: &str = "Tokens known, by state.";
const MARKETS: &str = "Markets known; those that have ended until they are forgotten.";
static ROWS: &[Shown] = &[
    // A name of the original program.
    Shown::shown(
        "total_markets",
        "Tokens known: those pending, subscribed and expired. A market has two.",
        |known| (known.pending + known.subscribed + known.expired).into(),
    ),
    Shown::gauge(
        "pending",
        "polypy_tokens",
        "Tokens that wait for a connection.",
        |known| known.pending.into(),
    )
    .label("state=\"pending\"")
    .family(TOKENS),
    Shown::gauge(
        "subscribed",
        "polypy_tokens",
        "Tokens that have one.",
        |known| known.subscribed.into(),
    )
    .label("state=\"subscribed\"")
    .family(TOKENS),
    Shown::gauge(
        "expired",
        "polypy_tokens",
        "Tokens whose market has ended.",
        |known| known.expired.into(),
    )
    .label("state=\"expired\"")
    .family(TOKENS),
    Shown::shown("markets", "Markets known, ended ones too.", |known| {
        known.markets.into()
    }),
    Shown::gauge(
        "markets_live",
        "polypy_markets",
        "Markets that have not ended.",
        |known| known.live_markets.into(),
    )
    .label("state=\"live\"")
    .family(MARKETS),
    Shown::gauge(
        "markets_ended",
        "polypy_markets",
        "Markets that have ended and are not forgotten yet.",
        |known| known.markets.saturating_sub(known.live_markets).into(),
    )
    .label("state=\"ended\"")
    .family(MARKETS),
    Shown::counter(
        "conflicting_tokens",
        "polypy_tokens_conflicting_total",
        "Tokens refused because another market had them first.",
        |known| known.conflicts.into(),
    ),
];

impl Known {
    pub(super) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(ROWS, self);
    }
}
