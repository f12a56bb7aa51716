//! What a connection counts. Shown, and decided on by nobody: what the pool and the
//! recycler act on is in `state`.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;
use tokio::time::Instant;

/// Codes told apart; the rest is counted under zero, which is no code of anything.
/// The venue uses five.
const CODES: usize = 16;

/// One connection's counters, over all its sockets.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionCounters {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) parse_errors: u64,
    pub(super) last_data: Option<Instant>,
    pub(super) sockets: u64,
    pub(super) open_failures: u64,
    pub(super) refusals: Codes,
    pub(super) closes: BTreeMap<&'static str, u64>,
    pub(super) close_codes: Codes,
    pub(super) refused_frames: u64,
    pub(super) pings: u64,
    pub(super) pongs: u64,
    pub(super) probes: u64,
    pub(super) resubscribes: u64,
    pub(super) escalation: EscalationCounts,
}

/// Counters of the escalation, of one connection or of several together; in assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct EscalationCounts {
    /// Resubscribed because their book was overdue.
    pub(crate) resubscribed: u64,
    /// Asked of REST.
    pub(crate) asked_rest: u64,
    /// Given a book by REST.
    pub(crate) seeded: u64,
    /// Of which REST has no book.
    pub(crate) missing: u64,
    /// For which nothing was left here but to ask for another connection.
    pub(crate) stranded: u64,
    /// Moved to another connection for it.
    pub(crate) moved: u64,
}

impl AddAssign for EscalationCounts {
    fn add_assign(&mut self, other: Self) {
        let Self {
            resubscribed,
            asked_rest,
            seeded,
            missing,
            stranded,
            moved,
        } = other;
        self.resubscribed += resubscribed;
        self.asked_rest += asked_rest;
        self.seeded += seeded;
        self.missing += missing;
        self.stranded += stranded;
        self.moved += moved;
    }
}

/// Counts by a code that a stranger chooses, within bounds.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Codes(BTreeMap<u16, u64>);

impl Codes {
    pub(super) fn count(&mut self, code: u16) {
        let is_known = self.0.contains_key(&code);
        let key = if is_known || self.0.len() < CODES {
            code
        } else {
            0
        };
        *self.0.entry(key).or_default() += 1;
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
    }
}
