//! Faults of time: REST behind the stream, the stream behind REST, an engine
//! that restarts.
//!
//! A socket that trails does so in order: nothing overtakes what waits, also
//! not when the fault ends, as the venue never swaps the events of one token.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::exchange::{Due, Exchange, Link};
use crate::fault_kind::FaultKind;
use crate::render;
use crate::venue::TokenRef;

/// Past books kept of one asset at most: 1.1 s of the venue's hottest token
/// (some 500 changes a second).
const PAST_LIMIT: usize = 1_024;

/// What waits for one socket because its market data trails behind REST.
#[derive(Debug)]
pub(crate) struct Trail {
    last: Instant,
    waiting: usize,
}

/// Books that REST still answers.
#[derive(Debug, Default)]
pub(crate) struct RestPast {
    /// Each with the moment it stopped being the truth, oldest first.
    books: HashMap<TokenRef, VecDeque<(Instant, String)>>,
}

impl RestPast {
    fn keep(&mut self, place: TokenRef, now: Instant, delay: Duration, text: String) {
        let past = self.books.entry(place).or_default();
        while past
            .front()
            .is_some_and(|(until, _)| *until + delay < now || past.len() >= PAST_LIMIT)
        {
            past.pop_front();
        }
        past.push_back((now, text));
    }

    /// The book that was the truth at a moment, if that is not the present one.
    fn at(&self, place: TokenRef, moment: Instant) -> Option<&String> {
        let past = self.books.get(&place)?;
        past.iter()
            .find(|(until, _)| *until > moment)
            .map(|(_, text)| text)
    }
}

impl Exchange {
    /// Keeps the books of a market that is about to change, for a REST that lags.
    pub(crate) fn remember(&mut self, market: usize) {
        if self.faults.of(FaultKind::RestLag).next().is_none() {
            if !self.rest_past.books.is_empty() {
                self.rest_past.books.clear();
            }
            return;
        }
        let now = Instant::now();
        for outcome in 0..self.venue.markets[market].tokens.len() {
            let place = TokenRef { market, outcome };
            if let Some(delay) = self.rest_delay(place) {
                let text = render::rest_book(&mut self.venue.markets[market], outcome);
                self.rest_past.keep(place, now, delay, text);
            }
        }
    }

    /// The book REST answers instead of the present one.
    pub(crate) fn past_book(&self, place: TokenRef) -> Option<String> {
        let delay = self.rest_delay(place)?;
        let moment = Instant::now().checked_sub(delay)?;
        let past = self.rest_past.at(place, moment)?;
        self.faults.on_place(FaultKind::RestLag, place)?;
        Some(past.clone())
    }

    fn rest_delay(&self, place: TokenRef) -> Option<Duration> {
        self.faults
            .of(FaultKind::RestLag)
            .find(|active| active.hits_asset(place))
            .map(|active| active.fault.duration("delay"))
    }

    /// Queues market data for a socket, behind everything that trails.
    pub(crate) fn push_in_order(&mut self, link: &Arc<Link>, text: Utf8Bytes) {
        let delay = self
            .faults
            .on_connection(FaultKind::RestLead, link.id)
            .map(|fault| fault.duration("delay"))
            .unwrap_or_default();
        let trail = self.trails.get(&link.id);
        if delay.is_zero() && trail.is_none() {
            self.push(link, text);
            return;
        }
        let mut due = Instant::now() + delay;
        let mut waiting = 1;
        if let Some(trail) = trail {
            due = due.max(trail.last);
            waiting += trail.waiting;
        }
        let item = Due::Trailing {
            link: Arc::clone(link),
            text,
        };
        if self.schedule(due, item) {
            self.trails.insert(link.id, Trail { last: due, waiting });
        }
    }

    /// Queues what trailed.
    pub(crate) fn push_trailing(&mut self, link: &Arc<Link>, text: Utf8Bytes) {
        if let Some(trail) = self.trails.get_mut(&link.id) {
            trail.waiting -= 1;
            if trail.waiting == 0 {
                self.trails.remove(&link.id);
            }
        }
        self.push(link, text);
    }

    /// Whether the engine restarts: nothing happens then.
    pub(crate) fn restarts(&mut self) -> bool {
        let Some(active) = self.faults.of(FaultKind::EngineRestart).next() else {
            return false;
        };
        if self.restart.is_none() {
            active.struck();
            let burst = active.fault.count("burst");
            self.restart = Some(u64::try_from(burst).unwrap_or_default());
        }
        true
    }

    /// Events that follow at once because the engine is back.
    pub(crate) fn take_burst(&mut self) -> u64 {
        if self.restarts() {
            return 0;
        }
        self.restart.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_past_is_what_was_true_at_the_moment_and_is_bounded() {
        let place = TokenRef {
            market: 0,
            outcome: 0,
        };
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let delay = Duration::from_millis(1_100);
        let mut past = RestPast::default();
        past.keep(place, at(100), delay, "first".to_owned());
        past.keep(place, at(200), delay, "second".to_owned());
        for (moment, book) in [
            (0, Some("first")),
            (99, Some("first")),
            (100, Some("second")),
            (199, Some("second")),
            (200, None),
        ] {
            let found = past.at(place, at(moment)).map(String::as_str);
            assert_eq!(found, book, "{moment}");
        }
        past.keep(place, at(1_250), delay, "third".to_owned());
        assert_eq!(past.books[&place].len(), 2, "the first is out of reach");
        for _ in 0..2 * PAST_LIMIT {
            past.keep(place, at(1_250), delay, String::new());
        }
        assert_eq!(past.books[&place].len(), PAST_LIMIT);
    }
}
