//! Who asks for a book that is in the midst of a state is told it when the state is whole.
//!
//! A frame may come before one that is older, and a state may come in several. Who was told a
//! book that lacks one of them would take that one for a repeat when it comes, and have wrong
//! levels from there on.

use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::Exchange;
use crate::venue::TokenRef;

/// Recorded time for which a book is waited for. Then it is told as it is.
const LONGEST: Duration = Duration::from_secs(1);

/// A socket that waits for a book.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deferred {
    pub(crate) connection: u64,
    place: TokenRef,
    /// Recorded time.
    until: Duration,
}

impl Exchange {
    /// Whether a socket has to wait for the book of a token; then it is told later.
    pub(crate) fn defers(&mut self, connection: u64, place: TokenRef) -> bool {
        let reached = self.player.as_ref().and_then(|player| player.reached());
        let Some(reached) = reached.filter(|_| self.has_book(place)) else {
            return false;
        };
        if !self.venue.markets[place.market].is_in_midst(place.outcome) {
            return false;
        }
        if let Some(player) = &mut self.player {
            player.deferred.push(Deferred {
                connection,
                place,
                until: reached + LONGEST,
            });
        }
        true
    }

    /// Tells those of these books that were waited for and are whole.
    pub(crate) fn tell_whole(&mut self, changed: &[TokenRef]) {
        let Some(player) = self.player.as_ref() else {
            return;
        };
        if player.deferred.is_empty() {
            return;
        }
        let is_waited_for = |place: &TokenRef| {
            let mut waiting = player.deferred.iter();
            waiting.any(|deferred| deferred.place == *place)
        };
        let waited_for: Vec<_> = changed.iter().copied().filter(is_waited_for).collect();
        for place in waited_for {
            if !self.venue.markets[place.market].is_in_midst(place.outcome) {
                self.tell_deferred(|deferred| deferred.place == place);
            }
        }
    }

    /// Tells those books as they are for which what comes next comes too late.
    pub(crate) fn tell_overdue(&mut self, next: Duration) {
        self.tell_deferred(|deferred| deferred.until < next);
    }

    /// There is no book any more: who waits for it waits for the next one.
    pub(crate) fn defer_no_more(&mut self, place: TokenRef) {
        for deferred in self.take_deferred(|deferred| deferred.place == place) {
            self.activate(deferred.connection, place);
        }
    }

    fn tell_deferred(&mut self, which: impl Fn(&Deferred) -> bool) {
        for Deferred {
            connection, place, ..
        } in self.take_deferred(which)
        {
            self.activate(connection, place);
            let session = self.sessions.get(&connection);
            // Unsubscribed meanwhile, or settled.
            if session.is_some_and(|session| session.wants(place)) {
                self.send_books(connection, &[place]);
                // What followed at once would be read with it, and its state never be seen.
                if let Some(player) = &mut self.player {
                    player.rest(Instant::now());
                }
            }
        }
    }

    fn take_deferred(&mut self, which: impl Fn(&Deferred) -> bool) -> Vec<Deferred> {
        let Some(player) = &mut self.player else {
            return Vec::new();
        };
        if player.deferred.is_empty() {
            return Vec::new();
        }
        let (taken, left) = player.deferred.iter().partition(|deferred| which(deferred));
        player.deferred = left;
        taken
    }
}
