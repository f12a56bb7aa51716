//! The catalogue: every market that the venue lists, whether its books are kept here or
//! not, and how its changes reach others.
//!
//! | file | |
//! |---|---|
//! | `entry` | what is kept of one market |
//! | `table`, `tags`, `chunk` | all of them: one writer |
//! | `view` | all of them at one moment: any number of readers |
//! | `filter`, `bound` | which of them are meant: by readers, and by the selection |
//! | `selection` | which of them are followed, and why one is not |
//! | `seats` | who is followed where not all can be |
//! | `text` | words as they are compared, and looked for |
//! | `glob` | names with `*` |

mod bound;
mod chunk;
mod entry;
mod filter;
mod glob;
mod seats;
mod selection;
mod table;
mod tags;
mod text;
mod view;

use std::sync::Arc;

use crate::id::AssetId;
use crate::key::AssetKey;
use crate::market::{AssetInfo, Market};
use crate::time::Timestamp;

pub use self::bound::{Bound, BoundError};
pub use self::chunk::EntryRef;
pub use self::entry::{
    Cents, Figures, Listed, MarketEntry, MarketNumber, MarketStatus, NotFollowed, Resolution,
    ResolutionSource, Tag, TagId, Verdict, VerdictCounts,
};
pub use self::filter::{Check, Ids, Kinds, MarketFilter, ReadyFilter, Trace};
pub use self::glob::{Glob, GlobError};
pub use self::seats::{Round, SeatChanges, SeatTable};
pub use self::selection::{
    Judge, Judgement, Names, Rank, SeatOrder, SeatRule, Selection, ShardError, ShardOf, Slugs,
};
pub use self::table::{CatalogueTable, Facts, LeftOut, MOST_MARKETS, MOST_TAGS, MOST_WORDS, Taken};
pub use self::tags::Tags;
pub use self::text::{Fit, Folded, Label, Phrase, PhraseError, fold, words};
pub use self::view::CatalogueView;

/// Names tokens: one, those of a market or of an event, or all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Selector {
    /// All tokens, also those found later.
    Everything,
    /// The token of this id.
    Token(Box<str>),
    /// Both tokens of the market with this condition id or slug.
    Market(Box<str>),
    /// The tokens of all markets of the event with this slug.
    Event(Box<str>),
}

impl Selector {
    /// What it names, as it was written; empty for everything.
    pub fn text(&self) -> &str {
        match self {
            Self::Everything => "",
            Self::Token(text) | Self::Market(text) | Self::Event(text) => text,
        }
    }
}

/// What is known of a token besides its book.
#[derive(Debug, Clone)]
pub struct TokenInfo {
    /// Its ids.
    pub info: Arc<AssetInfo>,
    /// The outcome it pays for, as the venue names it.
    pub outcome: Option<Arc<str>>,
    /// The market's token that won, once that is known.
    pub winner: Option<AssetId>,
}

/// Where the catalogue can be asked. No call waits for I/O.
pub trait CatalogueSource: Send + Sync {
    /// The tokens that are named, in no order; none if nobody knows the name.
    fn resolve(&self, selector: &Selector) -> Vec<AssetKey>;

    /// What is known of a token; `None` once forgotten.
    fn token(&self, asset: AssetKey) -> Option<TokenInfo>;

    /// A token's market; `None` once forgotten.
    fn market(&self, asset: AssetKey) -> Option<Arc<Market>>;

    /// A market that is named, and that is listed while its books are not kept here: of
    /// several the first.
    fn not_followed(&self, _selector: &Selector) -> Option<MarketEntry> {
        None
    }
}

/// How a verdict came about.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The market, with the verdict.
    pub entry: MarketEntry,
    /// Which of the process's selections judged it: as in [`SelectionView`].
    pub generation: u64,
    /// The checks that were made, up to the one that decided.
    pub checks: Vec<Check>,
}

/// The selection that is in force, and what it comes to.
#[derive(Debug, Clone)]
pub struct SelectionView {
    /// The selection.
    pub selection: Arc<Selection>,
    /// Grows with each other selection, and starts again with the process.
    pub generation: u64,
    /// Markets in the catalogue.
    pub listed: usize,
    /// Markets that are followed.
    pub followed: usize,
}

/// Where the catalogue and the selection can be asked. No call waits for I/O.
pub trait SelectionSource: Send + Sync {
    /// The catalogue as it is now.
    fn view(&self) -> Arc<CatalogueView>;

    /// The markets with this condition id, in any spelling, or this slug; those that have
    /// not ended first.
    fn find(&self, name: &str) -> Vec<MarketEntry>;

    /// The market that has this token; of several one that has not ended.
    fn of_token(&self, token_id: &str) -> Option<MarketEntry>;

    /// The markets of the event with this slug, in the order in which the venue shows them.
    fn event(&self, slug: &str) -> Vec<MarketEntry>;

    /// Why a market is followed or not; `None` if it is not in the catalogue.
    fn explain(&self, number: MarketNumber) -> Option<Explanation>;

    /// The selection that is in force.
    fn selection(&self) -> SelectionView;
}

/// Something that happened to a market.
#[derive(Debug, Clone)]
pub enum MarketChange {
    /// It is followed from now on.
    New(Arc<Market>),
    /// It was decided.
    Resolved {
        /// The market.
        market: Arc<Market>,
        /// The token that won, if that is known.
        winner: Option<AssetId>,
        /// When, by the venue.
        at: Option<Timestamp>,
    },
    /// It is followed no longer; its last books are kept for a while, unless it was
    /// released.
    Ended {
        /// The market.
        market: Arc<Market>,
        /// Why, in a word: `released` where the selection wants it no longer and nothing
        /// has ended.
        reason: &'static str,
        /// The keys of its tokens: by the time this is read they may be gone.
        keys: Vec<AssetKey>,
    },
    /// Its tokens go from here, and their keys with them: said first, so that whoever
    /// does not find them any more can know why.
    Forgotten {
        /// The market.
        market: Arc<Market>,
        /// The keys that its tokens had.
        keys: Vec<AssetKey>,
    },
}

impl MarketChange {
    /// The market that it is about.
    pub fn market(&self) -> &Arc<Market> {
        match self {
            Self::New(market)
            | Self::Resolved { market, .. }
            | Self::Ended { market, .. }
            | Self::Forgotten { market, .. } => market,
        }
    }
}

/// Who is told what happens to markets. Called outside the registry's locks, so that
/// it may ask there; never the selection, which may be held meanwhile.
pub trait CatalogueSink: Send + Sync {
    /// Takes in what happened; waits for nobody.
    fn changed(&self, change: MarketChange);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_repeats_the_name_it_was_given() {
        for name in [Selector::Token, Selector::Market, Selector::Event] {
            assert_eq!(name("us-election".into()).text(), "us-election");
        }
        assert_eq!(Selector::Everything.text(), "");
    }
}
