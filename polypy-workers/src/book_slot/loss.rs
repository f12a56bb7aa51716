//! Something was lost on one feed: what that feed tells is not to be trusted
//! until its next snapshot, and what others tell is not touched by it.

use polypy_core::{BookState, FeedId};

use super::{BookSlot, Context};
use crate::queue::Mark;

impl BookSlot {
    /// What `feed` tells is stale until a snapshot of its own, stamped later.
    pub(crate) fn mark_feed(&mut self, feed: FeedId, mark: Mark, cx: &mut Context<'_>) {
        if self.main.is_none() {
            // Nobody tells it yet: whose snapshot comes first must be younger.
            self.mark(mark, cx);
            return;
        }
        self.others.note_lost(feed, mark, cx.feeds);
        let shown = self.feed() == Some(feed) && self.stamp() < mark.stamp;
        let torn = self.held.is_some_and(|held| held.torn);
        if !shown || torn {
            self.support_lost(cx);
            return;
        }
        if self.lean_on_others(mark.reason, true, cx) {
            cx.stats.events.losses_covered.increment();
            return;
        }
        match self.state {
            BookState::Live | BookState::Stale(_) => {
                self.become_stale(mark.reason, cx);
                self.retry_later(cx);
            }
            BookState::Pending | BookState::Settled => {}
        }
    }

    /// The newest mark that a snapshot of `feed` has to be younger than.
    pub(super) fn mark_on(&self, feed: FeedId) -> Option<Mark> {
        let marks = [self.mark, self.others.lost_on(feed)];
        marks.into_iter().flatten().max_by_key(|mark| mark.stamp)
    }
}
