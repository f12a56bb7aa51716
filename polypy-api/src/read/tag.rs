//! What an answer is made of, in a few digits: its `ETag`.
//!
//! Tags are weak, for plain and packed answers share one. They name the process: another
//! one counts from the start.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use polypy_core::{AssetId, BookPosition, BookState, BookView, Market};

/// A tag that is being made: of everything that the answer says, in the order in which it
/// says it.
#[derive(Debug)]
pub(crate) struct Tagging {
    instance: u64,
    hasher: DefaultHasher,
}

impl Tagging {
    /// Of an answer of this process.
    pub(crate) fn new(instance: u64) -> Self {
        Self {
            instance,
            hasher: DefaultHasher::new(),
        }
    }

    pub(crate) fn add(&mut self, part: impl Hash) {
        part.hash(&mut self.hasher);
    }

    /// A book: which of those that its id had, where it stands, and its state as read, of
    /// which the worker may know nothing yet.
    pub(crate) fn add_book(&mut self, key_life: u64, position: BookPosition, state: BookState) {
        self.add((key_life, position, state));
    }

    /// The same of a book that is shown whole, with whose copy it is and when its hash came
    /// out, neither of which moves where it stands.
    pub(crate) fn add_view(&mut self, view: &BookView) {
        self.add_book(view.key_life, view.position, view.state);
        let verified = view.verified_ago.and_then(|ago| view.at.checked_sub(ago));
        self.add((view.feed, verified));
    }

    /// What a market is called, and which of its tokens won.
    pub(crate) fn add_market(&mut self, market: Option<&Market>, winner: Option<&AssetId>) {
        self.add((winner, market.is_some()));
        let Some(market) = market else {
            return;
        };
        self.add((
            &market.condition_id,
            &market.question,
            &market.slug,
            market.event.as_ref().map(|event| &event.slug),
            market.tokens.len(),
        ));
        for token in &market.tokens {
            self.add((&token.token_id, &token.outcome));
        }
    }

    pub(crate) fn finish(self) -> String {
        format!("W/\"{:x}-{:016x}\"", self.instance, self.hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::StaleReason;

    use super::*;

    #[test]
    fn whatever_differs_makes_another_tag() {
        let position = |epoch, sequence, revision| BookPosition {
            epoch,
            sequence,
            revision,
        };
        let (live, at) = (BookState::Live, position(1, 2, 3));
        let books = [
            vec![(1, at, live), (2, at, live)],
            vec![(2, at, live), (1, at, live)],
            vec![(1, at, live)],
            vec![(1, at, live), (2, at, BookState::Settled)],
            vec![(1, at, live), (2, at, BookState::Stale(StaleReason::Hash))],
            vec![(1, at, live), (2, at, BookState::Stale(StaleReason::Top))],
            vec![(1, at, live), (2, position(2, 2, 3), live)],
            vec![(1, at, live), (2, position(1, 3, 3), live)],
            vec![(1, at, live), (2, position(1, 2, 4), live)],
        ];
        let tag = |instance, books: &[(u64, BookPosition, BookState)]| {
            let mut tagging = Tagging::new(instance);
            for (life, position, state) in books {
                tagging.add_book(*life, *position, *state);
            }
            tagging.finish()
        };
        let mut tags: Vec<_> = books.iter().map(|books| tag(7, books)).collect();
        tags.push(tag(8, &books[0]));
        assert_eq!(tag(7, &books[0]), tags[0]);
        let all = tags.len();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), all);
    }
}
