//! The catalogue: every market that the venue lists, whether its books are kept here or
//! not, and how its changes reach others.
//!
//! | file | |
//! |---|---|
//! | `entry` | what is kept of one market |
//! | `table`, `tags`, `chunk` | all of them: one writer |
//! | `view` | all of them at one moment: any number of readers |
//! | `text` | words as they are compared, and looked for |

mod chunk;
mod entry;
mod table;
mod tags;
mod text;
mod view;

use std::sync::Arc;

use crate::id::AssetId;
use crate::key::AssetKey;
use crate::market::{AssetInfo, Market};
use crate::time::Timestamp;

pub use self::chunk::EntryRef;
pub use self::entry::{
    Cents, Figures, Listed, MarketEntry, MarketNumber, MarketStatus, NotFollowed, Resolution,
    ResolutionSource, Tag, TagId, Verdict,
};
pub use self::table::{CatalogueTable, Facts, LeftOut, MOST, MOST_TAGS, MOST_WORDS, Taken};
pub use self::tags::Tags;
pub use self::text::{Fit, Folded, Phrase, PhraseError, fold, words};
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
    },
    /// Its tokens are gone from here, and their keys with them.
    Forgotten {
        /// The market.
        market: Arc<Market>,
        /// The keys that its tokens had.
        keys: Vec<AssetKey>,
    },
}

/// Who is told what happens to markets. Called outside the registry's locks, so that
/// it may ask there; never the selection, which may be held meanwhile.
pub trait CatalogueSink: Send + Sync {
    /// Takes in what happened; waits for nobody.
    fn changed(&self, change: MarketChange);
}
