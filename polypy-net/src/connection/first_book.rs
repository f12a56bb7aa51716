//! Sees to it that every asset of a socket gets its first book.
//!
//! An asset waits from the frame that subscribes it until its book arrives. Past its
//! deadline the search for it escalates, one asset at a time and each at its own,
//! ever slower pace, round after round:
//!
//! | step | why there |
//! |---|---|
//! | subscribe it again | one frame, and its book is the feed's own; skipped by what was resubscribed just now, and by what the feed speaks of |
//! | ask REST | tells what has no book at all from what the feed withholds |
//! | give it up here | the feed of another socket may bring it; the pool decides |
//!
//! What REST has no book of is never given up: it is discovery's question, and
//! keeps to the first two steps. No I/O and no clock here: the socket's task
//! asks what is due and tells what happened.
//!
//! While an asset waits, its changes are handed over like any others: the keeper of
//! the book has them follow it when it comes. Only an *opening* book ends the wait
//! after an in-place re-subscription (it carries the tick size, later ones do not): a
//! later one may have been on its way when the asset was taken off.
//!
//! What a socket says of an asset that its connection does not carry goes nowhere. It
//! may have been under way when the asset was taken off, and an asset that comes back
//! may have a new key by then, whose book is another socket's: which assets were taken
//! off is therefore remembered by the venue's id, and frames are judged by what is
//! carried now.
//!
//! A book from REST is as good as the feed's only if the feed speaks of the asset at
//! all. Otherwise the book is readable, silent, and the asset goes on waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use polypy_core::metrics::Histogram;
use polypy_core::{AssetId, AssetInfo, AssetKey, BookEvent, MarketEvent};
use tokio::time::Instant;

use crate::backoff::doubled;

use super::config::ConnectionConfig;
use super::state::AwaitedBook;

/// Frames of an earlier subscription are gone this long after a new one: a
/// snapshot takes 0.5 s, a backlog rarely more than a second.
const ECHO: Duration = Duration::from_secs(2);
/// The longest backlog seen held frames back 11 s.
const BACKLOG: Duration = Duration::from_secs(30);

/// The assets of one socket that have no book yet.
#[derive(Debug, Default)]
pub(super) struct FirstBooks {
    waiting: BTreeMap<AssetKey, Waiting>,
    /// Assets taken off lately, whatever key they had: frames of theirs may still be on
    /// the way when they are named again.
    dropped: HashMap<AssetId, Instant>,
}

#[derive(Debug)]
struct Waiting {
    info: Arc<AssetInfo>,
    named_at: Instant,
    due: Instant,
    attempts: u32,
    /// Only an opening book ends the wait.
    renewed: bool,
    /// The feed spoke of it, later than an echo could.
    heard: bool,
    /// REST gave a book; the feed is still silent.
    has_rest_book: bool,
    /// REST has no book for it.
    missing: bool,
    /// All was tried here.
    exhausted: bool,
    /// REST is being asked.
    is_asked: bool,
}

/// What is tried next for an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Resubscribe,
    AskRest,
    GiveUp,
}

/// What is due.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// To be taken off and resubscribed.
    pub(super) resubscribe: Vec<Arc<AssetInfo>>,
    /// To be asked of REST; [`FirstBooks::asked`] says that it was done.
    pub(super) seed: Vec<Arc<AssetInfo>>,
    /// How many were given up on this socket.
    pub(super) exhausted: u64,
}

/// What became of a read.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// Events of assets that are not carried.
    pub(super) strays: usize,
    /// Assets whose first book came.
    pub(super) begun: Vec<AssetKey>,
}

/// What became of a REST answer.
#[derive(Debug, Default)]
pub(super) struct Seeds {
    /// Books handed over.
    pub(super) given: u64,
    /// Those books.
    pub(super) events: Vec<MarketEvent>,
    /// Those among them with which the feed's own copy begins.
    pub(super) begun: Vec<AssetKey>,
    /// Those of which the feed says nothing.
    pub(super) silent: Vec<AssetKey>,
    /// Assets REST knows no book of.
    pub(super) missing: Vec<AssetKey>,
}

impl FirstBooks {
    /// Assets that were named in a frame for the first time on this socket.
    pub(super) fn named(
        &mut self,
        assets: &[Arc<AssetInfo>],
        now: Instant,
        config: &ConnectionConfig,
    ) {
        let due = now + config.first_book_deadline.mul_f64(jitter());
        for info in assets {
            let renewed = self.dropped.remove(&info.asset_id).is_some();
            self.waiting.insert(
                info.key,
                Waiting {
                    info: Arc::clone(info),
                    named_at: now,
                    due,
                    attempts: 0,
                    renewed,
                    heard: false,
                    has_rest_book: false,
                    missing: false,
                    exhausted: false,
                    is_asked: false,
                },
            );
        }
    }

    /// Assets that were taken off and named again on the same socket. One that
    /// waits already keeps its place in the escalation; any other begins after
    /// the step that this was.
    pub(super) fn renewed(
        &mut self,
        assets: &[Arc<AssetInfo>],
        now: Instant,
        config: &ConnectionConfig,
    ) {
        for info in assets {
            if let Some(waiting) = self.waiting.get_mut(&info.key) {
                waiting.named_at = now;
                waiting.renewed = true;
                waiting.heard = false;
                // What REST answers may be older than what follows.
                waiting.is_asked = false;
            } else {
                self.named(std::slice::from_ref(info), now, config);
                if let Some(waiting) = self.waiting.get_mut(&info.key) {
                    waiting.renewed = true;
                    waiting.attempts = 1;
                }
            }
        }
    }

    /// An asset is no longer carried.
    pub(super) fn dropped(&mut self, info: &AssetInfo, now: Instant) {
        self.waiting.remove(&info.key);
        self.dropped.insert(info.asset_id.clone(), now);
    }

    /// Forgets assets whose last frames have long arrived.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.dropped
            .retain(|_, at| now.saturating_duration_since(*at) < BACKLOG);
    }

    /// Assets that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether this asset waits.
    pub(super) fn contains(&self, asset: AssetKey) -> bool {
        self.waiting.contains_key(&asset)
    }

    /// Assets whose only book is REST's.
    pub(super) fn silent(&self) -> Vec<AssetKey> {
        let has_rest_book = |waiting: &&Waiting| waiting.has_rest_book;
        self.waiting
            .values()
            .filter(has_rest_book)
            .map(|waiting| waiting.info.key)
            .collect()
    }

    /// Whether all was tried for this asset, and another socket may do better.
    pub(super) fn is_exhausted(&self, asset: AssetKey) -> bool {
        self.waiting
            .get(&asset)
            .is_some_and(|waiting| waiting.exhausted)
    }

    /// What is waited for, and how far each of them is. None counts as exhausted
    /// unless it `may_exhaust`.
    pub(super) fn awaited(&self, may_exhaust: bool) -> Arc<[AwaitedBook]> {
        let awaited = |waiting: &Waiting| AwaitedBook {
            asset: waiting.info.key,
            has_snapshot: waiting.has_rest_book,
            is_denied: waiting.missing,
            is_exhausted: may_exhaust && waiting.exhausted,
        };
        self.waiting.values().map(awaited).collect()
    }

    /// Takes out of `events` what must not be handed over, and notes the books
    /// that arrived, and how long they `took`.
    pub(super) fn sift(
        &mut self,
        events: &mut Vec<MarketEvent>,
        took: &Histogram,
        now: Instant,
        is_carried: impl Fn(AssetKey) -> bool,
    ) -> Sifted {
        let before = events.len();
        // Neighbours are mostly of the same market.
        let mut carried = [None; 2];
        events.retain(|event| {
            let key = event.asset();
            if carried.contains(&Some(key)) {
                return true;
            }
            if is_carried(key) {
                carried = [Some(key), carried[0]];
                return true;
            }
            false
        });
        let mut sifted = Sifted {
            strays: before - events.len(),
            begun: Vec::new(),
        };
        if !self.waiting.is_empty() {
            events.retain(|event| self.admit(event, took, now, &mut sifted.begun));
        }
        sifted
    }

    /// Whether an event of a carried asset is to be handed over.
    fn admit(
        &mut self,
        event: &MarketEvent,
        took: &Histogram,
        now: Instant,
        begun: &mut Vec<AssetKey>,
    ) -> bool {
        let key = event.asset();
        let Some(waiting) = self.waiting.get_mut(&key) else {
            return true;
        };
        let MarketEvent::Book(book) = event else {
            waiting.hear(now);
            return true;
        };
        let is_opening = !waiting.renewed || book.tick_size.is_some();
        if is_opening {
            took.record_shared(now.saturating_duration_since(waiting.named_at));
            self.waiting.remove(&key);
            begun.push(key);
        } else {
            waiting.hear(now);
        }
        is_opening
    }

    /// Escalates where a deadline has passed; at most `limit` assets each way.
    pub(super) fn steps(&mut self, now: Instant, limit: usize, config: &ConnectionConfig) -> Steps {
        let mut steps = Steps::default();
        let jitter = jitter();
        for waiting in self.waiting.values_mut() {
            if waiting.due > now || waiting.is_asked {
                continue;
            }
            match waiting.step() {
                Step::Resubscribe if steps.resubscribe.len() < limit => {
                    steps.resubscribe.push(Arc::clone(&waiting.info));
                    waiting.advance(now, jitter, config);
                }
                // It moves on when it really was asked.
                Step::AskRest if steps.seed.len() < limit => {
                    steps.seed.push(Arc::clone(&waiting.info));
                }
                Step::Resubscribe | Step::AskRest => {}
                Step::GiveUp => {
                    waiting.exhausted = true;
                    steps.exhausted += 1;
                    waiting.advance(now, jitter, config);
                }
            }
        }
        steps
    }

    /// REST is being asked for these.
    pub(super) fn asked(&mut self, assets: &[Arc<AssetInfo>]) {
        for info in assets {
            if let Some(waiting) = self.waiting.get_mut(&info.key) {
                waiting.is_asked = true;
            }
        }
    }

    /// REST answered, or failed to (`None`), for these assets. A book that the
    /// feed delivered meanwhile is newer, and the answer for it is ignored.
    pub(super) fn answered(
        &mut self,
        asked: &[Arc<AssetInfo>],
        books: Option<Vec<BookEvent>>,
        now: Instant,
        config: &ConnectionConfig,
    ) -> Seeds {
        let mut seeds = Seeds::default();
        let mut found: BTreeMap<AssetKey, BookEvent> = BTreeMap::new();
        let succeeded = books.is_some();
        let jitter = jitter();
        for book in books.into_iter().flatten() {
            found.insert(book.info.key, book);
        }
        for info in asked {
            // Resubscribed meanwhile: not ours.
            let Some(waiting) = self.waiting.get_mut(&info.key) else {
                continue;
            };
            if !std::mem::take(&mut waiting.is_asked) {
                continue;
            }
            waiting.advance(now, jitter, config);
            let Some(book) = found.remove(&info.key) else {
                if succeeded {
                    waiting.missing = true;
                    waiting.exhausted = false;
                    seeds.missing.push(info.key);
                }
                continue;
            };
            waiting.missing = false;
            seeds.given += 1;
            seeds.events.push(MarketEvent::Book(Box::new(book)));
            if waiting.heard {
                self.waiting.remove(&info.key);
                seeds.begun.push(info.key);
            } else {
                waiting.has_rest_book = true;
                seeds.silent.push(info.key);
            }
        }
        seeds
    }
}

impl Seeds {
    /// Whether nothing came of it.
    pub(super) fn is_empty(&self) -> bool {
        self.given == 0 && self.missing.is_empty()
    }
}

impl Waiting {
    /// The feed speaks of it, unless that is an echo.
    fn hear(&mut self, now: Instant) {
        if self.heard || now.saturating_duration_since(self.named_at) < ECHO {
            return;
        }
        self.heard = true;
        if self.has_rest_book {
            // REST's next book can be live.
            self.due = self.due.min(now + ECHO);
        }
    }

    fn step(&self) -> Step {
        let (round, step) = (self.attempts / 3, self.attempts % 3);
        if self.missing && !self.heard {
            return if self.attempts % 2 == 1 {
                Step::AskRest
            } else {
                Step::Resubscribe
            };
        }
        match step {
            // A feed that speaks without a book needs REST only.
            0 if round > 0 && self.heard => Step::AskRest,
            0 => Step::Resubscribe,
            1 => Step::AskRest,
            _ => Step::GiveUp,
        }
    }

    fn advance(&mut self, now: Instant, jitter: f64, config: &ConnectionConfig) {
        self.attempts = self.attempts.saturating_add(1);
        // The first round comes at the plain deadline, further steps doubled.
        let doublings = self.attempts.saturating_sub(2);
        let (first, cap) = (config.first_book_deadline, config.first_book_cap);
        let wait = doubled(first, doublings, cap);
        self.due = now + wait.mul_f64(jitter);
    }
}

/// Up to a quarter more, so that connections that failed together do not retry
/// together; the same for assets of one step, so that they share a request.
fn jitter() -> f64 {
    1.0 + fastrand::f64() / 4.0
}

#[cfg(test)]
#[path = "first_book_tests.rs"]
mod tests;
