//! What a recording does to the books that are rebuilt beside it.
//!
//! Frames overtake each other and come twice, in a recording as on the venue. A change that is
//! older than the book is a repeat, which has to be left out, or was overtaken, and is
//! missing: the hash that the newest change stated tells which.

use polypy_core::{BookHash, LevelChange, Timestamp};
use tokio::time::Instant;

use crate::effects::Effect;
use crate::exchange::Exchange;
use crate::inference;
use crate::player::token_ref;
use crate::venue::{MarketState, Phase, TokenRef, TokenState};

/// Repeats come up to 120 ms late. What is older than this is none: the venue's clock has been
/// set back.
const LATEST_MS: u64 = 10_000;
/// Changes of one millisecond that are remembered, and changes that were left out: more than a
/// few are rare.
const MOST: usize = 32;
/// Of so many that were left out every choice is tried.
const FEW: usize = 5;

/// Whether something of `stamp` is late where `newest` has come already.
pub(crate) fn is_late(stamp: Timestamp, newest: Timestamp) -> bool {
    (1..=LATEST_MS).contains(&newest.millis_since(stamp))
}

/// What a recording says of a book besides its levels.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// The hash that its newest change stated.
    stated: Option<BookHash>,
    /// Whether its levels have given a stated hash.
    is_reproduced: bool,
    /// The changes of its newest millisecond.
    passed: Vec<(BookHash, LevelChange)>,
    /// Changes that were left out, and may have been no repeats.
    left_out: Vec<LevelChange>,
}

/// What a change is to a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Next,
    /// It is in the book already.
    Known,
    /// The book has gone on since.
    Late,
}

/// Which last trade prices may make a hash come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prices {
    Known,
    Grid,
    Any,
}

impl Played {
    /// There is no book any more. That its hashes come out stays known.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            is_reproduced: self.is_reproduced,
            ..Self::default()
        };
    }

    fn leave_out(&mut self, change: LevelChange) {
        self.overwrite(change);
        if self.left_out.len() == MOST {
            self.left_out.remove(0);
        }
        self.left_out.push(change);
    }

    /// A level that is set again says all there is to say of it.
    fn overwrite(&mut self, by: LevelChange) {
        let is_of_it = |known: &LevelChange| (known.side, known.price) == (by.side, by.price);
        self.left_out.retain(|known| !is_of_it(known));
    }
}

/// Changes to put in together: all, or some of them where they are few.
fn trials(left_out: &[LevelChange]) -> Vec<Vec<LevelChange>> {
    if left_out.len() > FEW {
        return vec![left_out.to_vec()];
    }
    let every = (1_usize..1 << left_out.len()).rev();
    let some = every.map(|chosen| {
        let places = left_out.iter().enumerate();
        let those = places.filter(|(place, _)| chosen & 1 << place != 0);
        those.map(|(_, change)| *change).collect()
    });
    some.collect()
}

impl TokenState {
    fn order_of(&self, change: LevelChange, stamp: Timestamp, hash: Option<BookHash>) -> Order {
        let has_level = || self.book.size_at(change.side, change.price) == change.size;
        if is_late(stamp, self.changed) {
            return if has_level() {
                Order::Known
            } else {
                Order::Late
            };
        }
        let has_passed = |hash| self.played.passed.contains(&(hash, change));
        if stamp != self.changed || !hash.is_some_and(has_passed) {
            return Order::Next;
        }
        // It may have come again, or have led back to where the book has been.
        if hash == self.played.stated || has_level() {
            Order::Known
        } else {
            Order::Late
        }
    }

    fn go_on(&mut self, change: LevelChange, stamp: Timestamp, hash: Option<BookHash>) {
        if stamp != self.changed {
            self.played.passed.clear();
        }
        if let Some(hash) = hash
            && self.played.passed.len() < MOST
        {
            self.played.passed.push((hash, change));
        }
        self.played.overwrite(change);
        self.played.stated = hash;
        self.set(change);
        self.state_recorded(stamp, hash);
    }

    /// Sets a level; what it was before.
    fn set(&mut self, change: LevelChange) -> LevelChange {
        let LevelChange { side, price, size } = change;
        let before = self.book.size_at(side, price);
        self.book.apply_change(side, price, size);
        LevelChange {
            side,
            price,
            size: before,
        }
    }
}

impl MarketState {
    /// Plays a change of a token.
    fn play_change(
        &mut self,
        outcome: usize,
        change: LevelChange,
        stamp: Timestamp,
        hash: Option<BookHash>,
    ) {
        let token = &mut self.tokens[outcome];
        match token.order_of(change, stamp, hash) {
            Order::Next => token.go_on(change, stamp, hash),
            Order::Known => {}
            Order::Late => {
                token.played.leave_out(change);
                let _is_whole = self.settle(outcome, Prices::Known);
            }
        }
    }

    /// A book is told whole of which a recording stated the hash: the last trade price is the
    /// one that the hash uses, where one is, also if the trade is yet to be announced. Where
    /// none is, of a token whose hashes are reproduced otherwise, the book is in the midst of a
    /// state that came in several frames: each states the hash of all of it. What is there
    /// is told with a hash of its own.
    pub(crate) fn foresee_price(&mut self, outcome: usize) {
        let is_whole = self.settle(outcome, Prices::Known) || self.settle(outcome, Prices::Any);
        let token = &mut self.tokens[outcome];
        if !is_whole && token.played.is_reproduced {
            token.hash_itself();
        }
    }

    /// Whether more has to come before the levels are those of the stated hash. Nobody can say
    /// so of a token none of whose hashes was reproduced.
    pub(crate) fn is_in_midst(&mut self, outcome: usize) -> bool {
        self.tokens[outcome].played.is_reproduced
            && !self.settle(outcome, Prices::Known)
            && !self.settle(outcome, Prices::Grid)
    }

    /// Whether the levels give the stated hash, by themselves or with changes that were left
    /// out, which are put in then. Without a hash nothing speaks against them.
    fn settle(&mut self, outcome: usize, prices: Prices) -> bool {
        if self.prove(outcome, prices) {
            return true;
        }
        let played = &self.tokens[outcome].played;
        let left_out = &played.left_out;
        if !played.is_reproduced || left_out.is_empty() {
            return false;
        }
        let trials = match prices {
            Prices::Known => trials(left_out),
            Prices::Grid | Prices::Any => vec![left_out.clone()],
        };
        for trial in trials {
            let token = &mut self.tokens[outcome];
            let mut before: Vec<_> = trial.iter().map(|change| token.set(*change)).collect();
            if self.prove(outcome, prices) {
                return true;
            }
            before.reverse();
            let token = &mut self.tokens[outcome];
            for level in before {
                token.set(level);
            }
        }
        false
    }

    /// Whether the levels give the stated hash as they are.
    fn prove(&mut self, outcome: usize, prices: Prices) -> bool {
        let token = &self.tokens[outcome];
        let Some(stated) = token.played.stated else {
            return true;
        };
        let fingerprint = self.fingerprint(outcome, &token.book, token.changed);
        let known = self.last_trade_price;
        let price = match prices {
            Prices::Known => {
                let is_it = fingerprint.with_last_trade_price(known.as_str()) == stated;
                is_it.then_some(known)
            }
            Prices::Grid => inference::price_of_grid(self.tick_size, &fingerprint, stated),
            Prices::Any => inference::last_trade_price(&fingerprint, stated),
        };
        let Some(price) = price else {
            return false;
        };
        self.last_trade_price = price;
        let played = &mut self.tokens[outcome].played;
        played.is_reproduced = true;
        played.left_out.clear();
        true
    }
}

impl Exchange {
    /// Does what a recorded frame says; whose book it changed.
    pub(crate) fn take_effect(&mut self, effect: Effect) -> Option<TokenRef> {
        match effect {
            Effect::Book(place, book) => {
                let place = token_ref(place);
                let market = &mut self.venue.markets[place.market];
                if let Some(tick) = book.tick_size {
                    // Not through set_tick: the other token's hash stays as stated.
                    market.tick_size = tick;
                }
                if let Some(price) = book.last_trade_price {
                    market.last_trade_price = price;
                }
                let token = self.venue.token_mut(place);
                token.book.apply_snapshot(book.bids, book.asks);
                if token.changed != book.stamp {
                    token.played.passed.clear();
                }
                token.played.left_out.clear();
                token.played.stated = book.hash;
                token.state_recorded(book.stamp, book.hash);
                let market = &mut self.venue.markets[place.market];
                let _is_whole = market.settle(place.outcome, Prices::Known);
                self.enter_token(place);
                // A recorded text states the hash and the time that it had.
                let text = book.rest.filter(|_| !self.config.playback_shifts);
                if let (Some(text), Some(player)) = (text, &mut self.player) {
                    player.answers(place, book.stamp, text);
                }
                Some(place)
            }
            Effect::Change {
                place,
                side,
                price,
                size,
                stamp,
                hash,
            } => {
                let place = token_ref(place);
                // Without a book there is nothing to change.
                if self.venue.token(place).sequence <= 1 {
                    return None;
                }
                let market = &mut self.venue.markets[place.market];
                let change = LevelChange { side, price, size };
                market.play_change(place.outcome, change, stamp, hash);
                self.enter_token(place);
                Some(place)
            }
            Effect::LastPrice(market, price) => {
                self.venue.markets[market].last_trade_price = price;
                None
            }
            Effect::Tick(market, tick) => {
                self.venue.markets[market].tick_size = tick;
                None
            }
            Effect::Resolved(market, winner) => {
                let closed_at = Instant::now() + self.config.closing_lag;
                self.venue.markets[market].phase = Phase::Settled { winner, closed_at };
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "played_tests.rs"]
mod tests;
