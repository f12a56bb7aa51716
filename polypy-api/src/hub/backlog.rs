//! What waits for a client of conflated streams that is behind and is told as it was
//! published: trades, what happened to markets, the ends of tokens. And what is missing.
//!
//! | what waits | how much of it |
//! |---|---|
//! | trades | as many bytes as may be, no older than what others could come back for; the oldest ones are left out, and that is said |
//! | of a market | the last word of each kind |
//! | that a token is forgotten | once |
//! | gaps | one for each token |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use polypy_core::{AssetKey, ConditionId, TokenInfo};

use crate::message::{Event, Gap, GapReason, GapScope, Market, MarketHappening, Published, Trade};

/// What waits for a client that is behind, as it was published.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// By place.
    words: BTreeMap<u64, Arc<Published>>,
    /// Places of the words about each market.
    markets: HashMap<ConditionId, Vec<u64>>,
    /// Places of trades.
    trades: BTreeSet<u64>,
    trade_bytes: usize,
    missing: HashMap<AssetKey, Missing>,
}

/// What is missing of a token: it is said before anything that waits of it.
#[derive(Debug, Default)]
struct Missing {
    gap: Option<Gap>,
    trades: Option<LeftOut>,
}

/// Trades of a token that were left out.
#[derive(Debug)]
struct LeftOut {
    token: Arc<TokenInfo>,
    count: u64,
    from_us: u64,
    to_us: u64,
}

impl LeftOut {
    fn gap(self) -> Gap {
        Gap {
            scope: GapScope::Token(self.token),
            reason: GapReason::TradesLeftOut,
            epoch: None,
            after: None,
            before: None,
            missing: Some(self.count),
            from_us: Some(self.from_us),
            to_us: Some(self.to_us),
            next_is_snapshot: false,
        }
    }
}

/// What the client is told next.
#[derive(Debug)]
pub(super) enum Word {
    Gap(Gap),
    Trade(Arc<Published>),
    Other(Arc<Published>),
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.missing.is_empty()
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// Bytes of the trades that wait.
    #[cfg(test)]
    pub(super) fn trade_bytes(&self) -> usize {
        self.trade_bytes
    }

    /// Adds a message that is not merged with others of its token, where trades may take
    /// so many bytes. How many trades are left out for it.
    pub(super) fn add(&mut self, message: &Arc<Published>, most: usize) -> u64 {
        let Some(place) = message.position() else {
            return 0;
        };
        match message.event() {
            Event::Market(market) => self.add_market(place, market, message),
            Event::Trade(_) => {
                self.trades.insert(place);
                self.trade_bytes += message.bytes();
                self.words.insert(place, Arc::clone(message));
            }
            _ => drop(self.words.insert(place, Arc::clone(message))),
        }
        let mut left_out = 0;
        while self.trade_bytes > most
            && let Some(oldest) = self.trades.first().copied()
        {
            self.leave_out(oldest);
            left_out += 1;
        }
        left_out
    }

    /// The last word of each kind about a market counts, and nothing that was before its
    /// end.
    fn add_market(&mut self, place: u64, market: &Market, message: &Arc<Published>) {
        let its = self.markets.entry(market.condition_id.clone()).or_default();
        let is_end = market.change == MarketHappening::Forgotten;
        let (mut is_unheard, mut is_old) = (false, false);
        let words = &mut self.words;
        its.retain(|at| {
            let Some(Event::Market(old)) = words.get(at).map(|word| word.event()) else {
                return false;
            };
            let is_same = old.change == market.change && old.token_id == market.token_id;
            is_old |= is_same && *at > place;
            let is_over = *at < place && (is_same || is_end);
            is_unheard |= is_over && old.change == MarketHappening::New;
            if is_over && !(is_end && old.change == MarketHappening::Forgotten) {
                words.remove(at);
                return false;
            }
            true
        });
        // Of a market that came and went meanwhile the client has never heard.
        if !(is_old || is_end && is_unheard) {
            its.push(place);
            words.insert(place, Arc::clone(message));
        }
        if its.is_empty() {
            self.markets.remove(&market.condition_id);
        }
    }

    /// Notes a gap of a token. Gaps that wait are told as one, with the reason of the last.
    pub(super) fn miss(&mut self, key: AssetKey, gap: &Gap) {
        let missing = self.missing.entry(key).or_default();
        let earlier = missing.gap.take();
        let first = earlier.as_ref().unwrap_or(gap);
        missing.gap = Some(Gap {
            epoch: first.epoch,
            after: first.after,
            from_us: first.from_us,
            ..gap.clone()
        });
    }

    /// Leaves out the trades up to this place, which nobody else has any more. How many.
    pub(super) fn age(&mut self, place: u64) -> u64 {
        let mut left_out = 0;
        while let Some(oldest) = self
            .trades
            .first()
            .copied()
            .filter(|oldest| *oldest <= place)
        {
            self.leave_out(oldest);
            left_out += 1;
        }
        left_out
    }

    fn leave_out(&mut self, place: u64) {
        let Some(word) = self.remove(place) else {
            return;
        };
        let Event::Trade(trade) = word.event() else {
            return;
        };
        let Trade {
            token, received_us, ..
        } = &**trade;
        let missing = self.missing.entry(token.info.key).or_default();
        let left_out = missing.trades.get_or_insert_with(|| LeftOut {
            token: Arc::clone(token),
            count: 0,
            from_us: *received_us,
            to_us: *received_us,
        });
        left_out.count += 1;
        left_out.from_us = left_out.from_us.min(*received_us);
        left_out.to_us = left_out.to_us.max(*received_us);
    }

    /// Takes what is to be told next. What is missing of a token comes before what waits
    /// of it, and else last: while trades are left out faster than they are told, words of
    /// what is missing would leave no room for them.
    pub(super) fn next(&mut self) -> Option<Word> {
        let Some((place, first)) = self.words.first_key_value() else {
            let key = *self.missing.keys().next()?;
            return self.missing_of(key).map(Word::Gap);
        };
        let (place, key) = (*place, first.event().token());
        if let Some(gap) = key.and_then(|key| self.missing_of(key)) {
            return Some(Word::Gap(gap));
        }
        let word = self.remove(place)?;
        Some(match word.event() {
            Event::Trade(_) => Word::Trade(word),
            _ => Word::Other(word),
        })
    }

    /// Takes what is missing of a token: a gap at a time.
    pub(super) fn missing_of(&mut self, key: AssetKey) -> Option<Gap> {
        let missing = self.missing.get_mut(&key)?;
        let gap = missing.gap.take();
        let gap = gap.or_else(|| missing.trades.take().map(LeftOut::gap));
        if missing.gap.is_none() && missing.trades.is_none() {
            self.missing.remove(&key);
        }
        gap
    }

    fn remove(&mut self, place: u64) -> Option<Arc<Published>> {
        let word = self.words.remove(&place)?;
        match word.event() {
            Event::Trade(_) => {
                self.trades.remove(&place);
                self.trade_bytes -= word.bytes();
            }
            Event::Market(market) => {
                if let Some(its) = self.markets.get_mut(&market.condition_id) {
                    its.retain(|at| *at != place);
                    if its.is_empty() {
                        self.markets.remove(&market.condition_id);
                    }
                }
            }
            _ => {}
        }
        Some(word)
    }

    /// Keeps what is still wanted.
    pub(super) fn retain(
        &mut self,
        wants: impl Fn(&Event) -> bool,
        wants_gaps: impl Fn(AssetKey) -> bool,
    ) {
        let words = self.words.iter();
        let unwanted = words.filter(|(_, word)| !wants(word.event()));
        for place in unwanted.map(|(place, _)| *place).collect::<Vec<_>>() {
            self.remove(place);
        }
        self.missing.retain(|key, _| wants_gaps(*key));
    }
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
