//! Sees to it that every asset of a socket gets its first book.
//!
//! An asset waits from the frame that names it until its book arrives. Past its
//! deadline it climbs a ladder, one asset at a time and each at its own, ever
//! slower pace: subscribe it anew, ask REST, subscribe it anew, ... No I/O and no
//! clock here: the socket's task asks what is due and tells what happened.
//!
//! While an asset waits, nothing but its book is let through: changes without
//! the book they change are of no use to anyone, and after an in-place
//! re-subscription they may have a gap before them. For the same reason only
//! an *opening* book ends that wait (it carries the tick size, later ones do
//! not): a later one may have been on its way when the asset was taken off.
//!
//! A book from REST is as good as the feed's only if the feed speaks of the
//! asset at all: changes seen meanwhile are kept and handed over behind it.
//! Otherwise the book is readable, silent, and the asset goes on waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetInfo, AssetKey, BookEvent, MarketEvent};
use tokio::time::Instant;

use super::config::ConnectionConfig;

/// Frames of an earlier subscription are gone this long after a new one: a
/// snapshot takes 0.5 s, a backlog rarely more than a second.
const ECHO: Duration = Duration::from_secs(2);
/// Changes kept per asset while REST is asked; a hot token has some 200 a second.
const KEPT: usize = 4_096;
/// The longest backlog seen held frames back 11 s.
const BACKLOG: Duration = Duration::from_secs(30);

/// The assets of one socket that have no book yet.
#[derive(Debug, Default)]
pub(super) struct FirstBooks {
    waiting: BTreeMap<AssetKey, Waiting>,
    /// Assets taken off lately: frames of theirs may still be on the way, and
    /// must not reach a book that is somebody else's by now.
    dropped: BTreeMap<AssetKey, Instant>,
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
    seeded: bool,
    /// REST has no book for it.
    missing: bool,
    /// Changes since REST was asked.
    kept: Option<Vec<MarketEvent>>,
}

/// What is due.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// To be taken off and subscribed anew.
    pub(super) resubscribe: Vec<Arc<AssetInfo>>,
    /// To be asked of REST; [`FirstBooks::asked`] says that it was done.
    pub(super) seed: Vec<Arc<AssetInfo>>,
}

/// What became of a REST answer.
#[derive(Debug, Default)]
pub(super) struct Seeds {
    /// Books in it.
    pub(super) seeded: u64,
    /// Books, each followed by the changes seen since it was asked for.
    pub(super) events: Vec<MarketEvent>,
    /// Those among them of which the feed says nothing.
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
            let renewed = self.dropped.remove(&info.key).is_some();
            self.waiting.insert(
                info.key,
                Waiting {
                    info: Arc::clone(info),
                    named_at: now,
                    due,
                    attempts: 0,
                    renewed,
                    heard: false,
                    seeded: false,
                    missing: false,
                    kept: None,
                },
            );
        }
    }

    /// Assets that were taken off and named again on the same socket. One that
    /// waits already keeps its place on the ladder.
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
                // A run of changes across the gap would have a hole.
                waiting.kept = None;
            } else {
                self.named(std::slice::from_ref(info), now, config);
                if let Some(waiting) = self.waiting.get_mut(&info.key) {
                    waiting.renewed = true;
                }
            }
        }
    }

    /// An asset is no longer carried.
    pub(super) fn dropped(&mut self, asset: AssetKey, now: Instant) {
        self.waiting.remove(&asset);
        self.dropped.insert(asset, now);
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
        let seeded = |waiting: &&Waiting| waiting.seeded;
        self.waiting
            .values()
            .filter(seeded)
            .map(|waiting| waiting.info.key)
            .collect()
    }

    /// Assets without any book.
    pub(super) fn bookless(&self) -> impl Iterator<Item = AssetKey> + '_ {
        let without = |waiting: &&Waiting| !waiting.seeded;
        self.waiting
            .values()
            .filter(without)
            .map(|waiting| waiting.info.key)
    }

    /// Assets without a book that REST may still know.
    pub(super) fn hoped_for(&self) -> impl Iterator<Item = AssetKey> + '_ {
        let hoped = |waiting: &&Waiting| !waiting.seeded && !waiting.missing;
        self.waiting
            .values()
            .filter(hoped)
            .map(|waiting| waiting.info.key)
    }

    /// Takes out of `events` what must not be handed over, and notes the books
    /// that arrived. Costs nothing while nobody waits.
    pub(super) fn sift(&mut self, events: &mut Vec<MarketEvent>, now: Instant) {
        if self.waiting.is_empty() && self.dropped.is_empty() {
            return;
        }
        events.retain(|event| {
            let key = event.asset();
            if self.dropped.contains_key(&key) {
                return false;
            }
            let Some(waiting) = self.waiting.get_mut(&key) else {
                return true;
            };
            let settles = match event {
                MarketEvent::Book(book) => !waiting.renewed || book.tick_size.is_some(),
                MarketEvent::PriceChange(_)
                | MarketEvent::Trade(_)
                | MarketEvent::TickSizeChange(_)
                | MarketEvent::BestBidAsk(_) => false,
            };
            if settles {
                self.waiting.remove(&key);
                return true;
            }
            waiting.hear(event, now);
            false
        });
    }

    /// Climbs where a deadline has passed; at most `limit` assets each way.
    pub(super) fn steps(&mut self, now: Instant, limit: usize, config: &ConnectionConfig) -> Steps {
        let mut steps = Steps::default();
        let jitter = jitter();
        for waiting in self.waiting.values_mut() {
            if waiting.due > now || waiting.kept.is_some() {
                continue;
            }
            let (list, is_seed) = if waiting.asks_rest() {
                (&mut steps.seed, true)
            } else {
                (&mut steps.resubscribe, false)
            };
            if list.len() == limit {
                continue;
            }
            list.push(Arc::clone(&waiting.info));
            // An asset to be asked of REST moves on when it really was asked.
            if !is_seed {
                waiting.advance(now, jitter, config);
            }
        }
        steps
    }

    /// REST is being asked for these: from now on their changes are kept.
    pub(super) fn asked(&mut self, assets: &[Arc<AssetInfo>]) {
        for info in assets {
            if let Some(waiting) = self.waiting.get_mut(&info.key) {
                waiting.kept = Some(Vec::new());
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
            // Subscribed anew meanwhile, it no longer keeps changes: not ours.
            let Some(waiting) = self.waiting.get_mut(&info.key) else {
                continue;
            };
            let Some(kept) = waiting.kept.take() else {
                continue;
            };
            waiting.advance(now, jitter, config);
            if !succeeded {
                continue;
            }
            let Some(book) = found.remove(&info.key) else {
                waiting.missing = true;
                seeds.missing.push(info.key);
                continue;
            };
            if kept.len() == KEPT {
                // Some were let go: the next round gets a clean run.
                continue;
            }
            seeds.seeded += 1;
            seeds.events.push(MarketEvent::Book(Box::new(book)));
            seeds.events.extend(kept);
            if waiting.heard {
                self.waiting.remove(&info.key);
            } else {
                waiting.seeded = true;
                waiting.missing = false;
                seeds.silent.push(info.key);
            }
        }
        seeds
    }
}

impl Waiting {
    fn hear(&mut self, event: &MarketEvent, now: Instant) {
        if now.saturating_duration_since(self.named_at) < ECHO && self.kept.is_none() {
            return;
        }
        if !self.heard {
            self.heard = true;
            if self.seeded {
                // The feed does speak of it: REST's next book can be live.
                self.due = self.due.min(now + ECHO);
            }
        }
        if let Some(kept) = &mut self.kept
            && kept.len() < KEPT
        {
            kept.push(event.clone());
        }
    }

    /// Rungs alternate; a feed that speaks without a book needs REST only.
    fn asks_rest(&self) -> bool {
        self.attempts > 0 && (self.heard || self.attempts % 2 == 1)
    }

    fn advance(&mut self, now: Instant, jitter: f64, config: &ConnectionConfig) {
        self.attempts = self.attempts.saturating_add(1);
        // The first two rungs come at the plain deadline, further ones doubled.
        let doublings = self.attempts.saturating_sub(2);
        let wait = config
            .first_book_deadline
            .saturating_mul(2u32.saturating_pow(doublings))
            .min(config.first_book_cap);
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
