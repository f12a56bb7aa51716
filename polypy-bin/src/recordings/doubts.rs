//! What contradicted a book, from when to when, and whether that stood.

use std::collections::HashMap;

use polypy_core::{AssetKey, BookHash, BookPosition, BookState, StaleReason};

use super::report::Contradiction;

/// The contradictions of all books.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    open: HashMap<AssetKey, Doubt>,
    stood: HashMap<AssetKey, Vec<Contradiction>>,
}

#[derive(Debug)]
struct Doubt {
    reason: StaleReason,
    from: u64,
    epoch: u64,
    /// How many checks of the book had failed by then.
    failed: u64,
    hashes: Option<(BookHash, BookHash)>,
}

/// What a book is shown as from some moment on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) position: BookPosition,
    pub(crate) state: BookState,
    pub(crate) since: u64,
    /// How many checks of it have failed so far.
    pub(crate) failed: u64,
    /// The venue's hash that its levels do not give, and theirs.
    pub(crate) hashes: Option<(BookHash, BookHash)>,
}

impl Doubts {
    /// A book is shown as this from now on.
    pub(crate) fn note(&mut self, asset: AssetKey, shown: Shown) {
        let epoch = shown.position.epoch;
        match shown.state {
            BookState::Stale(reason) if is_evidence(reason) => {
                self.open.entry(asset).or_insert(Doubt {
                    reason,
                    from: shown.since,
                    epoch,
                    failed: shown.failed,
                    hashes: shown.hashes,
                });
            }
            // It was explained, unless a check has failed or another book had to come.
            BookState::Live => self.end(asset, shown, |doubt| {
                doubt.epoch != epoch || doubt.failed != shown.failed
            }),
            BookState::Stale(_) | BookState::Pending | BookState::Settled => {
                self.end(asset, shown, |doubt| doubt.failed != shown.failed);
            }
        }
    }

    fn end(&mut self, asset: AssetKey, shown: Shown, stood: impl FnOnce(&Doubt) -> bool) {
        if let Some(doubt) = self.open.remove(&asset)
            && stood(&doubt)
        {
            self.stood.entry(asset).or_default().push(Contradiction {
                reason: doubt.reason,
                from: doubt.from,
                until: Some(shown.since),
                hashes: doubt.hashes,
            });
        }
    }

    /// What contradicted each book and stood, and how many books are in doubt at the end.
    /// `failed`: how many checks of a book have failed.
    pub(crate) fn finish(
        mut self,
        failed: impl Fn(AssetKey) -> u64,
    ) -> (HashMap<AssetKey, Vec<Contradiction>>, u64) {
        let mut unsettled = 0;
        for (asset, doubt) in self.open {
            if failed(asset) == doubt.failed {
                unsettled += 1;
                continue;
            }
            self.stood.entry(asset).or_default().push(Contradiction {
                reason: doubt.reason,
                from: doubt.from,
                until: None,
                hashes: doubt.hashes,
            });
        }
        (self.stood, unsettled)
    }
}

/// Whether the recording contradicts itself, as opposed to lacking something.
fn is_evidence(reason: StaleReason) -> bool {
    matches!(
        reason,
        StaleReason::Hash
            | StaleReason::Top
            | StaleReason::Mirror
            | StaleReason::Audit
            | StaleReason::Crossed
            | StaleReason::Silent
    )
}
