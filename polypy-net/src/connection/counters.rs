//! What a connection counts. Shown, and decided on by nobody: what the pool and the
//! recycler act on is in `state`.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use polypy_core::metrics::{Entry, Kind, Part, Row, Sheet};
use tokio::time::Instant;

use super::disconnect::CAUSES;

/// Codes told apart; the rest is counted under zero, which is no code of anything.
/// The venue uses five.
const CODES: usize = 16;

/// Exposed from the start, so that the first one is an increase of its series and not
/// the beginning of it: what the venue and the proxies before it are known to answer to a
/// handshake, and to say when they close. Zero is what all others are counted under.
const KNOWN_REFUSALS: [u16; 7] = [0, 403, 429, 500, 502, 503, 504];
const KNOWN_CLOSE_CODES: [u16; 7] = [0, 1000, 1001, 1008, 1011, 1012, 1013];

/// One connection's counters, over all its sockets; or those of several together.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionCounters {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) parse_errors: u64,
    pub(super) last_data: Option<Instant>,
    /// Silence after which it is probed, by how often its data has come.
    pub(super) silence_limit: Option<Duration>,
    pub(super) last_end: Option<LastEnd>,
    /// When its next socket is to be opened, while it waits for that.
    pub(super) next_attempt: Option<Instant>,
    pub(super) sockets: u64,
    pub(super) open_failures: u64,
    pub(super) refusals: Codes,
    pub(super) closes: BTreeMap<&'static str, u64>,
    pub(super) close_codes: Codes,
    pub(super) refused_frames: u64,
    pub(super) stray_events: u64,
    pub(super) pings: u64,
    pub(super) pongs: u64,
    pub(super) probes: u64,
    pub(super) resubscribes: u64,
    pub(super) escalation: EscalationCounts,
}

/// How a connection's last socket ended, or why it was not opened.
#[derive(Debug, Clone)]
pub(crate) struct LastEnd {
    pub(super) at: Instant,
    pub(super) cause: &'static str,
    /// What the other side or the system said about it.
    pub(super) detail: String,
    pub(super) close_code: Option<u16>,
}

/// Counters of the escalation; in assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EscalationCounts {
    /// Resubscribed because their book was overdue.
    pub(crate) resubscribed: u64,
    /// Asked of REST.
    pub(crate) asked_rest: u64,
    /// Given a book by REST.
    pub(crate) from_rest: u64,
    /// Of which REST has no book.
    pub(crate) missing: u64,
    /// For which nothing was left here but to ask for another connection.
    pub(crate) exhausted: u64,
    /// Moved to another connection for it.
    pub(crate) moved: u64,
}

type Counted = Entry<ConnectionCounters>;

static SOCKETS: Part = Part::new("sockets", "Sockets of all connections there ever were.");
static SOCKET_ROWS: &[Counted] = &[
    Counted::counter(
        "opened",
        "polypy_sockets_opened_total",
        "Sockets opened.",
        |counters| counters.sockets.into(),
    ),
    Counted::counter(
        "open_failures",
        "polypy_socket_open_failures_total",
        "Sockets that could not be opened.",
        |counters| counters.open_failures.into(),
    ),
    Counted::counter(
        "refused_frames",
        "polypy_frames_refused_total",
        "Frames of ours that the venue refused.",
        |counters| counters.refused_frames.into(),
    ),
    Counted::counter(
        "stray_events",
        "polypy_stray_events_total",
        "Events of known tokens that their connection did not carry, or no longer: left out.",
        |counters| counters.stray_events.into(),
    ),
    Counted::counter(
        "pings",
        "polypy_pings_total",
        "Texts `PING` sent.",
        |counters| counters.pings.into(),
    ),
    Counted::counter(
        "pongs",
        "polypy_pongs_total",
        "Texts `PONG` received.",
        |counters| counters.pongs.into(),
    ),
    Counted::counter(
        "probes",
        "polypy_probes_total",
        "Tokens resubscribed to hear whether a silent socket still sends.",
        |counters| counters.probes.into(),
    ),
    Counted::counter(
        "tokens_resubscribed",
        "polypy_tokens_resubscribed_total",
        "Tokens resubscribed for a fresh book.",
        |counters| counters.resubscribes.into(),
    ),
];
static REFUSALS: Row = Row::by(
    Kind::Counter,
    "refusals",
    "polypy_socket_refusals_total",
    "code",
    "Handshakes refused, by HTTP status. `/stats` has those that occurred.",
)
.sparse();
static CLOSES: Row = Row::by(
    Kind::Counter,
    "closes",
    "polypy_sockets_closed_total",
    "cause",
    "Sockets that ended, by cause. `/stats` has the causes that occurred.",
)
.sparse();
static CLOSE_CODES: Row = Row::by(
    Kind::Counter,
    "close_codes",
    "polypy_socket_close_codes_total",
    "code",
    "Sockets that the venue closed, by its code. `/stats` has those that occurred.",
)
.sparse();
static LATE_BOOKS: Part = Part::new(
    "late_books",
    "What was tried for first books that stayed away, in tokens.",
);
const LATE: &str = "What was tried for first books that stayed away, in tokens, by step.";
static LATE_ROWS: &[Counted] = &[
    Counted::counter(
        "resubscribed",
        "polypy_late_books_total",
        "Resubscribed.",
        |counters| counters.escalation.resubscribed.into(),
    )
    .label("step=\"resubscribed\"")
    .family(LATE),
    Counted::counter(
        "asked_rest",
        "polypy_late_books_total",
        "Asked of REST.",
        |counters| counters.escalation.asked_rest.into(),
    )
    .label("step=\"asked_rest\"")
    .family(LATE),
    Counted::counter(
        "from_rest",
        "polypy_late_books_total",
        "Given a book by REST.",
        |counters| counters.escalation.from_rest.into(),
    )
    .label("step=\"from_rest\"")
    .family(LATE),
    Counted::counter(
        "missing",
        "polypy_late_books_total",
        "REST has no book of them.",
        |counters| counters.escalation.missing.into(),
    )
    .label("step=\"missing\"")
    .family(LATE),
    Counted::counter(
        "exhausted",
        "polypy_late_books_total",
        "Nothing helped on their connection.",
        |counters| counters.escalation.exhausted.into(),
    )
    .label("step=\"exhausted\"")
    .family(LATE),
    Counted::counter(
        "moved",
        "polypy_late_books_total",
        "Moved to another connection.",
        |counters| counters.escalation.moved.into(),
    )
    .label("step=\"moved\"")
    .family(LATE),
];

impl ConnectionCounters {
    /// Shows those of all connections together.
    pub(crate) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.part(&SOCKETS, |sheet| {
            sheet.table(SOCKET_ROWS, self);
            let refusals = self.refusals.and(&KNOWN_REFUSALS);
            refusals.show(&REFUSALS, sheet);
            let closes = |cause: &str| self.closes.get(cause).copied().unwrap_or(0);
            let mut named = CAUSES.iter().map(|cause| (*cause, closes(cause)));
            sheet.members(&CLOSES, &mut named);
            let close_codes = self.close_codes.and(&KNOWN_CLOSE_CODES);
            close_codes.show(&CLOSE_CODES, sheet);
        });
        sheet.part(&LATE_BOOKS, |sheet| sheet.table(LATE_ROWS, self));
    }

    /// Shows by cause how its sockets ended.
    pub(super) fn show_closes(&self, row: &'static Row, sheet: &mut dyn Sheet) {
        let mut named = self.closes.iter().map(|(cause, count)| (*cause, *count));
        sheet.members(row, &mut named);
    }
}

impl AddAssign<&Self> for ConnectionCounters {
    fn add_assign(&mut self, other: &Self) {
        let Self {
            messages,
            bytes,
            parse_errors,
            last_data,
            // Of one connection each.
            silence_limit: _,
            last_end: _,
            next_attempt: _,
            sockets,
            open_failures,
            refusals,
            closes,
            close_codes,
            refused_frames,
            stray_events,
            pings,
            pongs,
            probes,
            resubscribes,
            escalation,
        } = other;
        self.messages += messages;
        self.bytes += bytes;
        self.parse_errors += parse_errors;
        self.last_data = self.last_data.max(*last_data);
        self.sockets += sockets;
        self.open_failures += open_failures;
        self.refusals += refusals;
        for (cause, count) in closes {
            *self.closes.entry(cause).or_default() += count;
        }
        self.close_codes += close_codes;
        self.refused_frames += refused_frames;
        self.stray_events += stray_events;
        self.pings += pings;
        self.pongs += pongs;
        self.probes += probes;
        self.resubscribes += resubscribes;
        self.escalation += *escalation;
    }
}

impl AddAssign for EscalationCounts {
    fn add_assign(&mut self, other: Self) {
        let Self {
            resubscribed,
            asked_rest,
            from_rest,
            missing,
            exhausted,
            moved,
        } = other;
        self.resubscribed += resubscribed;
        self.asked_rest += asked_rest;
        self.from_rest += from_rest;
        self.missing += missing;
        self.exhausted += exhausted;
        self.moved += moved;
    }
}

/// Counts by a code that a stranger chooses, within bounds.
#[derive(Debug, Clone, Default)]
pub(super) struct Codes(BTreeMap<u16, u64>);

impl Codes {
    pub(super) fn count(&mut self, code: u16) {
        self.add(code, 1);
    }

    fn add(&mut self, code: u16, amount: u64) {
        let is_known = self.0.contains_key(&code);
        let key = if is_known || self.0.len() < CODES {
            code
        } else {
            0
        };
        *self.0.entry(key).or_default() += amount;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same with these codes too, at zero where they have not occurred.
    fn and(&self, known: &[u16]) -> Self {
        let mut all = self.clone();
        for code in known {
            all.0.entry(*code).or_default();
        }
        all
    }

    pub(super) fn show(&self, row: &'static Row, sheet: &mut dyn Sheet) {
        let named = self
            .0
            .iter()
            .map(|(code, count)| (code.to_string(), *count));
        let named: Vec<_> = named.collect();
        let mut named = named.iter().map(|(code, count)| (code.as_str(), *count));
        sheet.members(row, &mut named);
    }
}

impl AddAssign<&Self> for Codes {
    fn add_assign(&mut self, other: &Self) {
        for (code, count) in &other.0 {
            self.add(*code, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_make_the_codes_grow() {
        let mut codes = Codes::default();
        for code in 1_000..3_000 {
            codes.count(code);
        }
        codes.count(1_000);
        assert_eq!(codes.0.len(), CODES + 1);
        assert_eq!((codes.0[&1_000], codes.0[&0]), (2, 2_000 - 16));
        let mut sum = codes.clone();
        sum += &codes;
        assert_eq!(sum.0.len(), CODES + 1);
        assert_eq!((sum.0[&1_000], sum.0[&0]), (4, 2 * (2_000 - 16)));
    }

    #[test]
    fn known_codes_are_there_before_they_occur() {
        let mut codes = Codes::default();
        codes.count(1013);
        codes.count(4_001);
        let shown = codes.and(&KNOWN_CLOSE_CODES);
        assert_eq!(shown.0[&1000], 0);
        assert_eq!((shown.0[&1013], shown.0[&4_001]), (1, 1));
        assert_eq!(shown.0.len(), KNOWN_CLOSE_CODES.len() + 1);
    }
}
