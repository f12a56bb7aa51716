//! Control messages: what is said of books and feeds apart from events.
//!
//! They are never dropped and never wait behind events. One is kept for each
//! asset, which bounds them, and readers look at it before the worker does.

use std::collections::HashMap;

use polypy_core::{AssetKey, FeedId, Scope, StaleReason};

/// A book is stale until a snapshot whose batch has a greater number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StalenessMark {
    pub(crate) number: u64,
    pub(crate) reason: StaleReason,
}

/// What was said of one asset.
#[derive(Debug, Clone, Default)]
pub(crate) struct ControlMessage {
    pub(crate) mark: Option<StalenessMark>,
    /// The same for one feed's copy of the book, at most one a feed.
    pub(crate) gaps: Vec<(FeedId, StalenessMark)>,
    pub(crate) settled: bool,
    pub(crate) forgotten: bool,
}

/// Everything that was said since the worker's last iteration.
#[derive(Debug, Default)]
pub(crate) struct ControlMessages {
    pub(crate) assets: HashMap<AssetKey, ControlMessage>,
    pub(crate) closed: Vec<(FeedId, StaleReason)>,
}

impl ControlMessage {
    fn note_gap(&mut self, feed: FeedId, mark: StalenessMark) {
        self.gaps.retain(|(known, _)| *known != feed);
        self.gaps.push((feed, mark));
    }

    /// The mark of one feed's copy.
    pub(crate) fn gap_on(&self, feed: FeedId) -> Option<StalenessMark> {
        let found = self.gaps.iter().find(|(known, _)| *known == feed);
        found.map(|(_, mark)| *mark)
    }
}

impl ControlMessages {
    pub(super) fn change(&mut self, assets: &[AssetKey], change: impl Fn(&mut ControlMessage)) {
        for &asset in assets {
            change(self.assets.entry(asset).or_default());
        }
    }

    pub(super) fn mark(&mut self, scope: Scope, assets: &[AssetKey], mark: StalenessMark) {
        self.change(assets, |message| match scope {
            Scope::AllFeeds => message.mark = Some(mark),
            Scope::Feed(feed) => message.note_gap(feed, mark),
        });
    }

    pub(super) fn close(&mut self, feed: FeedId, reason: StaleReason) {
        self.closed.push((feed, reason));
    }

    pub(super) fn get(&self, asset: AssetKey) -> Option<&ControlMessage> {
        self.assets.get(&asset)
    }

    pub(super) fn len(&self) -> usize {
        self.assets.len() + self.closed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
