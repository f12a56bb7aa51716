//! The newest books that were asked for again: those that something was found wrong with.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use polypy_core::metrics::count;
use polypy_core::{AssetKey, ResyncSink, Scope, StaleReason};

/// Books that are remembered. A worker that dies asks for thousands.
pub(crate) const MOST: usize = 64;

/// Passes on wishes for fresh books, and remembers the newest.
pub struct FailureLog {
    wishes: Arc<dyn ResyncSink>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Each book once, the newest last.
    failures: VecDeque<Failure>,
    asked: u64,
}

/// A book that was asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) asset: AssetKey,
    /// Why, the last time.
    pub(crate) reason: StaleReason,
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    /// How often since it is remembered.
    pub(crate) times: u64,
}

impl FailureLog {
    /// One that passes wishes on to `wishes`.
    pub fn new(wishes: Arc<dyn ResyncSink>) -> Self {
        Self {
            wishes,
            kept: Mutex::default(),
        }
    }

    /// The newest first, and how many were asked for in all.
    pub(crate) fn newest(&self) -> (Vec<Failure>, u64) {
        let kept = self.kept.lock();
        (kept.failures.iter().rev().copied().collect(), kept.asked)
    }

    fn note(&self, assets: &[AssetKey], reason: StaleReason, now: Instant) {
        let kept = &mut *self.kept.lock();
        kept.asked += count(assets.len());
        for asset in &assets[assets.len().saturating_sub(MOST)..] {
            let known = kept.failures.iter().position(|one| one.asset == *asset);
            let known = known.and_then(|at| kept.failures.remove(at));
            let failure = Failure {
                asset: *asset,
                reason,
                first: known.map_or(now, |known| known.first),
                last: now,
                times: known.map_or(0, |known| known.times) + 1,
            };
            if kept.failures.len() == MOST {
                kept.failures.pop_front();
            }
            kept.failures.push_back(failure);
        }
    }
}

impl ResyncSink for FailureLog {
    fn resync(&self, scope: Scope, assets: &[AssetKey], reason: StaleReason) {
        // First: a book that is wrong does not wait for who remembers that.
        self.wishes.resync(scope, assets, reason);
        self.note(assets, reason, Instant::now());
    }
}

impl fmt::Debug for FailureLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailureLog").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use polypy_core::{AssetInfo, Interner};

    use super::*;

    /// Whatever is wished for.
    #[derive(Default)]
    pub(crate) struct Wishes(Mutex<Vec<StaleReason>>);

    impl ResyncSink for Wishes {
        fn resync(&self, _scope: Scope, _assets: &[AssetKey], reason: StaleReason) {
            self.0.lock().push(reason);
        }
    }

    fn keys(most: usize) -> Vec<AssetKey> {
        let (mut names, condition) = (Interner::default(), "0xa1".parse().unwrap());
        let keys = (0..most).map(|number| {
            let id = number.to_string().parse().unwrap();
            let describe = |key| {
                AssetInfo::new(
                    key,
                    number.to_string().parse().unwrap(),
                    "0xa1".parse().unwrap(),
                )
            };
            names.insert(&id, &condition, describe).key
        });
        keys.collect()
    }

    #[test]
    fn wishes_are_passed_on_and_the_newest_books_remembered_once_each() {
        let wishes = Arc::new(Wishes::default());
        let log = FailureLog::new(Arc::clone(&wishes) as Arc<dyn ResyncSink>);
        let keys = keys(200);
        log.resync(Scope::AllFeeds, &keys[..2], StaleReason::Hash);
        log.resync(Scope::AllFeeds, &keys[..1], StaleReason::Audit);
        assert_eq!(*wishes.0.lock(), [StaleReason::Hash, StaleReason::Audit]);
        let (newest, asked) = log.newest();
        let seen: Vec<_> = newest
            .iter()
            .map(|one| (one.asset, one.reason, one.times))
            .collect();
        assert_eq!(
            seen,
            [
                (keys[0], StaleReason::Audit, 2),
                (keys[1], StaleReason::Hash, 1),
            ]
        );
        assert_eq!(asked, 3);
        let later = Instant::now() + Duration::from_secs(1);
        log.note(&keys, StaleReason::WorkerDied, later);
        let (newest, asked) = log.newest();
        assert_eq!((newest.len(), asked), (MOST, 203));
        assert_eq!(
            (newest[0].asset, newest[MOST - 1].asset),
            (keys[199], keys[136])
        );
    }
}
