//! What the catalogue keeps of one market: what the venue says of it, and what was
//! decided about it.
//!
//! Figures and tags stand apart from the [`Market`]: figures move with every crawl, and
//! a market that is as it was is shared as it is.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::decimal::{DecimalError, parse_millionths, without_exponent};
use crate::id::AssetId;
use crate::key::AssetKey;
use crate::market::Market;
use crate::time::Timestamp;

/// A market's place in the catalogue. Grows, and is never used again in one process: of
/// two markets the one that was listed later has the larger number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarketNumber(u64);

impl MarketNumber {
    /// The number of the market before which so many were listed.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// How many markets were listed before.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// An amount of money in cents of a dollar, rounded down.
///
/// ```
/// use polypy_core::Cents;
///
/// let volume: Cents = "1321616.8597730005".parse()?;
/// assert_eq!(volume.to_string(), "1321616.85");
/// # Ok::<(), polypy_core::DecimalError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cents(
    /// One more than the amount, so that an optional one takes no more room.
    NonZeroU64,
);

impl Cents {
    /// From cents.
    pub const fn new(cents: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(cents))
    }

    /// In cents.
    pub const fn get(self) -> u64 {
        self.0.get() - 1
    }

    /// Digits before the point that [`typed`](Self::typed) takes at most, and behind it.
    pub const TYPED: (usize, usize) = (12, 6);

    /// Reads dollars as a person types them: `10000` or `0.5`, in plain digits. The venue
    /// writes them in other ways as well, which [`FromStr`](std::str::FromStr) reads.
    ///
    /// ```
    /// use polypy_core::Cents;
    ///
    /// assert_eq!(Cents::typed("0.5"), Some(Cents::new(50)));
    /// assert_eq!(Cents::typed("1e6"), None);
    /// ```
    pub fn typed(text: &str) -> Option<Self> {
        let (most_whole, most_places) = Self::TYPED;
        let is_digits = |digits: &str, most: usize| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_plain = match text.split_once('.') {
            Some((whole, places)) => is_digits(whole, most_whole) && is_digits(places, most_places),
            None => is_digits(text, most_whole),
        };
        text.parse().ok().filter(|_| is_plain)
    }

    /// Half of it.
    pub const fn half(self) -> Self {
        Self::new(self.get() / 2)
    }
}

impl std::str::FromStr for Cents {
    type Err = DecimalError;

    /// Reads dollars, as digits with or without a point or an exponent. Never by way of
    /// a float, and what is less than a cent is left out: the venue states up to ten
    /// places.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let plain = without_exponent(text).ok_or(DecimalError::OutOfRange)?;
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        if let Some(byte) = fraction.bytes().find(|byte| !byte.is_ascii_digit()) {
            return Err(DecimalError::UnexpectedByte(byte));
        }
        let cents: String = fraction.chars().take(2).collect();
        let dollars = parse_millionths(format!("{whole}.{cents}").as_bytes())?;
        Ok(Self::new(dollars / 10_000))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.get();
        write!(f, "{}.{:02}", cents / 100, cents % 100)
    }
}

impl fmt::Debug for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cents({self})")
    }
}

/// What the venue counts of a market. `None`: not stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// What was traded since the market was opened.
    pub volume: Option<Cents>,
    /// What was traded within a day.
    pub volume_day: Option<Cents>,
    /// What the orders in its books are worth.
    pub liquidity: Option<Cents>,
}

impl Figures {
    /// These, with what they leave open taken from `known`: not every answer states all.
    #[must_use]
    pub fn or(self, known: Self) -> Self {
        Self {
            volume: self.volume.or(known.volume),
            volume_day: self.volume_day.or(known.volume_day),
            liquidity: self.liquidity.or(known.liquidity),
        }
    }
}

/// What the venue files a market under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name in the venue's addresses (`middle-east`); empty when only the label was
    /// stated.
    pub slug: Box<str>,
    /// What people read (`Middle East`).
    pub label: Box<str>,
}

/// What one row of a listing says of a market that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The market.
    pub market: Market,
    /// What is counted of it.
    pub figures: Figures,
    /// Its tags; `None` when the row does not say.
    pub tags: Option<Vec<Tag>>,
}

/// Who said how a market came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResolutionSource {
    /// The venue's announcement, which comes with the changes of books.
    Feed,
    /// The prices of its outcomes, once the listing calls it closed.
    Listing,
}

impl ResolutionSource {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Listing => "listing",
        }
    }
}

/// How a market came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The token that won, once that is known.
    pub winner: Option<AssetId>,
    /// When, by the venue.
    pub at: Option<Timestamp>,
    /// Who said so.
    pub source: ResolutionSource,
}

/// Whether a market trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarketStatus {
    /// It does.
    Open,
    /// It was decided.
    Resolved,
    /// It ended, and nobody has said how.
    Closed,
}

impl MarketStatus {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
        }
    }
}

/// Whether the books of a market are kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// They are.
    Followed,
    /// They are not, for this reason.
    NotFollowed(NotFollowed),
}

impl Verdict {
    /// Whether the selection wants it, here or in the process that has its shard, be there
    /// room for it or not: all processes judge alike.
    pub fn is_wanted(self) -> bool {
        match self {
            Self::Followed => true,
            Self::NotFollowed(reason) => {
                matches!(reason, NotFollowed::Shard | NotFollowed::Sockets)
            }
        }
    }
}

/// Why a market is not followed: the first check that did not hold. In the order in which
/// they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotFollowed {
    /// It is new, and was not judged yet.
    Unjudged,
    /// It has one of the tags that are excluded.
    ExcludedTags,
    /// It is in one of the categories that are excluded.
    ExcludedCategory,
    /// It is part of one of the events that are excluded.
    ExcludedEvent,
    /// It has one of the slugs that are excluded.
    ExcludedSlug,
    /// One of the texts that are excluded is in its words.
    ExcludedText,
    /// It is one of the condition ids that are excluded.
    ExcludedId,
    /// It has none of the tags.
    Tags,
    /// The venue has not said which tags it has.
    TagsUnknown,
    /// It is in none of the categories.
    Category,
    /// It is part of none of the events.
    Event,
    /// It has none of the slugs.
    Slug,
    /// None of the texts is in its words.
    Text,
    /// It is none of the condition ids.
    Id,
    /// Too little was traded.
    Volume,
    /// Too little was traded within a day.
    VolumeDay,
    /// Too little is in its books.
    Liquidity,
    /// It ends too early, or does not say when.
    EndsAfter,
    /// It ends too late, or does not say when.
    EndsBefore,
    /// It is part of a negative-risk event, or is not.
    NegRisk,
    /// As many as there may be are ahead of it.
    Seats,
    /// It belongs to another process.
    Shard,
    /// More connections would be needed than there may be.
    Sockets,
}

impl NotFollowed {
    /// All of them, in the order of the checks.
    pub const ALL: [Self; 23] = [
        Self::Unjudged,
        Self::ExcludedTags,
        Self::ExcludedCategory,
        Self::ExcludedEvent,
        Self::ExcludedSlug,
        Self::ExcludedText,
        Self::ExcludedId,
        Self::Tags,
        Self::TagsUnknown,
        Self::Category,
        Self::Event,
        Self::Slug,
        Self::Text,
        Self::Id,
        Self::Volume,
        Self::VolumeDay,
        Self::Liquidity,
        Self::EndsAfter,
        Self::EndsBefore,
        Self::NegRisk,
        Self::Seats,
        Self::Shard,
        Self::Sockets,
    ];

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name in JSON and in counters: the key that set the check.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unjudged => "unjudged",
            Self::ExcludedTags => "exclude_tags",
            Self::ExcludedCategory => "exclude_categories",
            Self::ExcludedEvent => "exclude_events",
            Self::ExcludedSlug => "exclude_slugs",
            Self::ExcludedText => "exclude_text",
            Self::ExcludedId => "exclude_ids",
            Self::Tags => "tags",
            Self::TagsUnknown => "tags_unknown",
            Self::Category => "categories",
            Self::Event => "events",
            Self::Slug => "slugs",
            Self::Text => "text",
            Self::Id => "ids",
            Self::Volume => "min_volume",
            Self::VolumeDay => "min_volume_day",
            Self::Liquidity => "min_liquidity",
            Self::EndsAfter => "ends_after",
            Self::EndsBefore => "ends_before",
            Self::NegRisk => "neg_risk",
            Self::Seats => "max_markets",
            Self::Shard => "shard",
            Self::Sockets => "sockets",
        }
    }
}

/// How many open markets are followed, and how many are not, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerdictCounts {
    followed: usize,
    /// By [`NotFollowed::index`].
    not_followed: [usize; NotFollowed::ALL.len()],
}

impl VerdictCounts {
    /// Open markets of which the books are kept here.
    pub fn followed(&self) -> usize {
        self.followed
    }

    /// Open markets of which they are not, for this reason.
    pub fn not_followed(&self, reason: NotFollowed) -> usize {
        self.not_followed[reason.index()]
    }

    /// All open markets.
    pub fn open(&self) -> usize {
        self.followed + self.not_followed.iter().sum::<usize>()
    }

    pub(super) fn add(&mut self, entry: &MarketEntry) {
        if let Some(count) = self.of(entry) {
            *count += 1;
        }
    }

    pub(super) fn subtract(&mut self, entry: &MarketEntry) {
        if let Some(count) = self.of(entry) {
            *count -= 1;
        }
    }

    fn of(&mut self, entry: &MarketEntry) -> Option<&mut usize> {
        if entry.status != MarketStatus::Open {
            return None;
        }
        Some(match entry.verdict {
            Verdict::Followed => &mut self.followed,
            Verdict::NotFollowed(reason) => &mut self.not_followed[reason.index()],
        })
    }
}

/// Stands for a [`Tag`] in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId(pub u32);

/// A market in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketEntry {
    /// Its place.
    pub number: MarketNumber,
    /// What is known of it.
    pub market: Arc<Market>,
    /// What the venue last counted of it.
    pub figures: Figures,
    /// Its tags, in order; `None` as long as the venue has not said.
    pub tags: Option<Arc<[TagId]>>,
    /// Whether it trades.
    pub status: MarketStatus,
    /// How it came out, as far as somebody has said so.
    pub resolution: Option<Arc<Resolution>>,
    /// Whether its books are kept here.
    pub verdict: Verdict,
    /// The keys of its tokens, in the order of its tokens, while it is followed.
    pub keys: Option<Arc<[AssetKey]>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_from_their_digits_and_rounded_down() {
        for (text, cents) in [
            ("0", 0),
            ("55472.41349", 5_547_241),
            ("1321616.8597730005", 132_161_685),
            (".019", 1),
            ("7.", 700),
            ("3351528156.256243", 335_152_815_625),
            ("5e-05", 0),
            ("1.5e3", 150_000),
            ("0.9999999999999999999", 99),
        ] {
            assert_eq!(text.parse(), Ok(Cents::new(cents)), "{text}");
        }
        for bad in ["", ".", "-1", "1.2.3", "NaN", "1.00x", "1e99", "$5"] {
            assert!(bad.parse::<Cents>().is_err(), "{bad}");
        }
        assert_eq!(Cents::new(1_205).to_string(), "12.05");
        assert_eq!(Cents::new(5).half(), Cents::new(2));
    }

    #[test]
    fn what_a_row_does_not_count_stays_as_it_was() {
        let [one, two] = [1, 2].map(|cents| Some(Cents::new(cents)));
        let known = Figures {
            volume: one,
            volume_day: one,
            liquidity: None,
        };
        let row = Figures {
            volume_day: two,
            ..Figures::default()
        };
        let both = Figures {
            volume: one,
            volume_day: two,
            liquidity: None,
        };
        assert_eq!(row.or(known), both);
    }

    #[test]
    fn what_another_process_has_or_no_socket_is_left_for_is_wanted() {
        let wanted = NotFollowed::ALL
            .into_iter()
            .filter(|reason| Verdict::NotFollowed(*reason).is_wanted());
        let expected = [NotFollowed::Shard, NotFollowed::Sockets];
        assert_eq!(wanted.collect::<Vec<_>>(), expected);
        assert!(Verdict::Followed.is_wanted());
    }

    #[test]
    fn reasons_are_named_once_and_stand_in_the_order_of_the_checks() {
        let mut names = NotFollowed::ALL.map(NotFollowed::name).to_vec();
        assert!(NotFollowed::ALL.is_sorted());
        for (at, reason) in NotFollowed::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), at);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NotFollowed::ALL.len());
    }
}
