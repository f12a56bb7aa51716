//! Numbers, times and states in words, for the screen and for plain text.

use std::time::Duration;

use polypy_client::message::Trust;
use polypy_client::reads::{Connection, Market};
use polypy_core::Timestamp;
use serde_json::Value;

use super::model::Pulse;
use crate::follow::{cut, padded, plain, width};

/// What is shown where nothing is known.
pub(super) const NOTHING: &str = "-";

/// A number with as many digits as tell something.
pub(super) fn amount(value: Option<f64>) -> String {
    let Some(value) = value else {
        return NOTHING.to_owned();
    };
    match value {
        0.0..10.0 if value.fract() != 0.0 => format!("{value:.1}"),
        _ if value.abs() < 10_000.0 => format!("{value:.0}"),
        _ if value.abs() < 1e7 => format!("{:.1}k", value / 1e3),
        _ if value.abs() < 1e10 => format!("{:.1}M", value / 1e6),
        _ => format!("{:.1}G", value / 1e9),
    }
}

/// Milliseconds as people say them.
pub(super) fn age(ms: Option<u64>) -> String {
    let Some(ms) = ms else {
        return NOTHING.to_owned();
    };
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..10_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        10_000..120_000 => format!("{}s", ms / 1_000),
        120_000..7_200_000 => format!("{}m", ms / 60_000),
        7_200_000..172_800_000 => format!("{}h", ms / 3_600_000),
        _ => format!("{}d", ms / 86_400_000),
    }
}

/// The time of a day, UTC.
pub(super) fn clock(ms: u64) -> String {
    let text = Timestamp::from_millis(ms).to_string();
    let time = text.split_once('T').map_or("", |(_, time)| time);
    time.split('.').next().unwrap_or_default().to_owned()
}

/// How far a market's books are to be trusted, by the worst of them: the state, and the state
/// with its reason.
pub(super) fn state_of(market: &Market) -> (&'static str, String) {
    let rank = |state: Trust| match state {
        Trust::Live => 0,
        Trust::Settled => 1,
        Trust::Stale => 3,
        _ => 2,
    };
    let tops = market.tokens.iter().map(|token| token.top.as_ref());
    let worst = tops.max_by_key(|top| top.map_or(2, |top| rank(top.state)));
    match worst.flatten() {
        Some(top) => {
            let state = top.state.name();
            let reason = top.reason.as_deref().map(plain);
            let text = reason.map_or_else(|| state.to_owned(), |why| format!("{state}:{why}"));
            (state, text)
        }
        // None comes of a market that is over.
        None if market.status != "open" => ("settled", "settled".to_owned()),
        None => ("pending", "pending".to_owned()),
    }
}

/// A market's cells: state, bid, ask, spread, dollars of a day, end. Prices that are not to be
/// traded on are left out.
pub(super) fn market_cells(market: &Market) -> [String; 6] {
    let (_, state) = state_of(market);
    let top = market.tokens.first().and_then(|token| token.top.as_ref());
    let top = top.filter(|top| top.is_live());
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let [bid, ask, spread] = finest(
        market.tick_size.as_deref(),
        [
            top.and_then(|top| Some(top.best_bid?.to_string())),
            top.and_then(|top| Some(top.best_ask?.to_string())),
            top.and_then(|top| Some(top.spread()?.to_string())),
        ],
    );
    let day = market.volume_day.as_deref();
    let day = day.and_then(|dollars| dollars.parse().ok());
    let end = market.end.as_deref().and_then(|end| end.split('T').next());
    [
        state,
        or_nothing(bid),
        or_nothing(ask),
        or_nothing(spread),
        amount(day),
        or_nothing(end.map(plain)),
    ]
}

/// Digits behind the point.
pub(super) fn decimals(number: &str) -> usize {
    number.split_once('.').map_or(0, |(_, digits)| digits.len())
}

/// A number with so many digits behind the point.
pub(super) fn with_decimals(number: &str, decimals: usize) -> String {
    let own = self::decimals(number);
    let point = if own == 0 && decimals > 0 { "." } else { "" };
    format!(
        "{number}{point}{}",
        "0".repeat(decimals.saturating_sub(own))
    )
}

/// Prices of one book as they stand side by side: with the digits of its grid, or of the finest of them.
fn finest<const N: usize>(tick: Option<&str>, prices: [Option<String>; N]) -> [Option<String>; N] {
    let all = prices.iter().flatten().map(String::as_str).chain(tick);
    let most = all.map(decimals).max().unwrap_or(0);
    prices.map(|price| price.map(|price| with_decimals(&price, most)))
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) width: usize,
    /// Numbers end on the right.
    is_number: bool,
}

const fn text(name: &'static str, width: usize) -> Column {
    Column {
        name,
        width,
        is_number: false,
    }
}

const fn numbers(name: &'static str, width: usize) -> Column {
    Column {
        name,
        width,
        is_number: true,
    }
}

impl Column {
    /// A cell of it, with a blank behind.
    pub(super) fn cell(self, text: &str) -> String {
        let text = cut(text, self.width);
        if self.is_number {
            let blanks = self.width.saturating_sub(width(&text));
            format!("{}{text} ", " ".repeat(blanks))
        } else {
            format!("{} ", padded(&text, self.width))
        }
    }
}

pub(super) const MARKET_COLUMNS: [Column; 6] = [
    text("STATE", 12),
    numbers("BID", 7),
    numbers("ASK", 7),
    numbers("SPREAD", 7),
    numbers("DAY", 7),
    text("ENDS", 10),
];
pub(super) const CONNECTION_COLUMNS: [Column; 9] = [
    text("NAME", 9),
    text("STATE", 10),
    numbers("TOKENS", 6),
    numbers("WAIT", 5),
    numbers("MSG/S", 7),
    numbers("KB/S", 7),
    numbers("SILENT", 6),
    numbers("LIMIT", 5),
    numbers("AGAIN", 5),
];

/// A connection's cells, but for how it ended last.
pub(super) fn connection_cells(connection: &Connection) -> [String; 9] {
    let kilobytes = connection.bytes_per_second.map(|bytes| bytes / 1e3);
    [
        plain(&connection.connection),
        plain(&connection.state),
        connection.tokens.to_string(),
        connection.awaited_books.to_string(),
        amount(connection.messages_per_second),
        amount(kilobytes),
        age(connection.silent_ms),
        age(connection.silence_limit_ms),
        connection.reconnects.to_string(),
    ]
}

/// How a connection's last socket ended, and when the next one comes.
pub(super) fn last_end(connection: &Connection) -> String {
    let Some(end) = &connection.last_end else {
        return String::new();
    };
    let mut text = format!("{} {}", clock(end.at_ms), plain(&end.cause));
    if !end.detail.is_empty() {
        text.push_str(&format!(" ({})", plain(&end.detail)));
    }
    if let Some(next) = connection.next_attempt_ms {
        text.push_str(&format!(", next {}", clock(next)));
    }
    text
}

/// The verdict: whether all is well, and in words.
pub(super) fn verdict(pulse: &Pulse) -> (Health, String) {
    let health = &pulse.health;
    let is_healthy = health["healthy"].as_bool().unwrap_or(false);
    let reasons = health["reasons"].as_array().into_iter().flatten();
    let reasons: Vec<_> = reasons
        .filter_map(|reason| reason["text"].as_str())
        .map(plain)
        .collect();
    let (verdict, word) = match (is_healthy, reasons.is_empty()) {
        (false, _) => (Health::Bad, "NOT HEALTHY"),
        (true, false) => (Health::Doubtful, "healthy"),
        (true, true) => (Health::Good, "healthy"),
    };
    let words = std::iter::once(word.to_owned()).chain(reasons);
    (verdict, words.collect::<Vec<_>>().join("; "))
}

/// What a verdict comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    Doubtful,
    Bad,
}

/// A number of the newest sample.
pub(super) fn number(sample: &Value, name: &str) -> Option<f64> {
    sample[name].as_f64()
}

/// The totals: books, and what flows.
pub(super) fn totals(pulse: &Pulse) -> [String; 2] {
    let sample = &pulse.sample;
    let of = |name: &str| amount(number(sample, name));
    // The verdict's own counts add up: what is neither live nor stale is awaited.
    let books = |name: &str| amount(pulse.health["books"][name].as_f64());
    let stale = stale_reasons(sample);
    let route = number(sample, "route_p99_ms");
    let route = match route {
        Some(ms) if ms < 1.0 => format!("<{ms:.2}ms"),
        Some(ms) => format!("<{ms:.0}ms"),
        None => NOTHING.to_owned(),
    };
    [
        format!(
            "books {} live of {} ({} verified), {} pending, {} stale{stale}",
            books("live"),
            books("wanted"),
            of("books_verified"),
            books("awaited"),
            books("stale"),
        ),
        format!(
            "conns {} of {}  changes {}/s  trades {}/s  failed {}/s  dropped {}/s  p99 {route}",
            of("connections_open"),
            of("connections"),
            of("changes_per_second"),
            of("trades_per_second"),
            of("checks_failed_per_second"),
            of("dropped_per_second"),
        ),
    ]
}

/// What it costs, and whom it serves.
pub(super) fn cost(pulse: &Pulse) -> String {
    let sample = &pulse.sample;
    let cores = number(sample, "cpu_cores");
    let cores = cores.map_or_else(|| NOTHING.to_owned(), |cores| format!("{cores:.2}"));
    let memory = number(sample, "resident_bytes").map(|bytes| bytes / 1e6);
    let clients = amount(number(sample, "stream_clients"));
    format!("cpu {cores}  mem {}M  clients {clients}", amount(memory))
}

/// ` (hash 2, silent 1; 1 suspect)`, the most frequent first; the suspect ones are among them.
fn stale_reasons(sample: &Value) -> String {
    let fields = sample.as_object().into_iter().flatten();
    let mut reasons: Vec<_> = fields
        .filter_map(|(name, value)| Some((name.strip_prefix("stale_")?, value.as_f64()?)))
        .filter(|(_, books)| *books > 0.0)
        .collect();
    reasons.sort_by(|one, other| other.1.total_cmp(&one.1));
    let texts = reasons
        .iter()
        .take(3)
        .map(|(reason, books)| format!("{} {books:.0}", plain(reason)));
    let texts = texts.collect::<Vec<_>>().join(", ");
    let suspect = number(sample, "books_suspect").filter(|books| *books > 0.0);
    match (texts.is_empty(), suspect) {
        (true, _) => String::new(),
        (false, None) => format!(" ({texts})"),
        (false, Some(suspect)) => format!(" ({texts}; {suspect:.0} suspect)"),
    }
}

/// How long the server has been up.
pub(super) fn uptime(pulse: &Pulse) -> String {
    let seconds = number(&pulse.sample, "uptime_seconds").filter(|seconds| *seconds >= 0.0);
    let up = seconds.map(Duration::from_secs_f64);
    age(up.map(polypy_core::metrics::millis))
}
