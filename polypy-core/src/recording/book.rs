//! A book as a recording holds it beside the frames.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::decimal::DecimalText;
use crate::event::BookEvent;
use crate::fingerprint::BookHash;
use crate::id::{AssetId, ConditionId};
use crate::level::{Level, Side};
use crate::market::AssetInfo;
use crate::source::BookState;
use crate::time::Timestamp;

/// A book that the program had, and what its hashes are made of besides the levels. It is
/// the program's judgement, where frames are the venue's word.
///
/// Nothing that stands behind it in the recording is in it. What stands shortly before may
/// be missing from it: see [`checkpoint`](crate::checkpoint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedBook {
    /// Whose book.
    pub token_id: AssetId,
    /// The token's market.
    pub condition_id: ConditionId,
    /// `live`, `stale` or `settled`. Only a live book has levels: nobody may begin with
    /// another one.
    pub state: Box<str>,
    /// Why it is stale.
    pub reason: Option<Box<str>>,
    /// Where it stood in the program: history without a known hole.
    pub epoch: u64,
    /// And the levels that were set till then.
    pub sequence: u64,
    /// Exchange time of the last change, in milliseconds since the epoch.
    pub timestamp: u64,
    /// When that change had come to the book, in nanoseconds since the epoch.
    pub received: u64,
    /// The venue's hash that came with it, in hexadecimal digits.
    pub hash: Option<Box<str>>,
    /// Whether the levels gave the hash; unknown if that was not tried.
    pub verified: Option<bool>,
    /// Price grid.
    pub tick_size: Option<Box<str>>,
    /// The last trade price that hashes are made with, as far as it is known.
    pub last_trade_price: Option<Box<str>>,
    /// Smallest order, if a hash has shown it.
    pub min_order_size: Option<Box<str>>,
    /// Negative risk, likewise.
    pub neg_risk: Option<bool>,
    /// The version that the venue states of it, if it does.
    pub version: Option<Box<str>>,
    /// Price and size of each level, the worst first, as the venue has them.
    #[serde(with = "levels")]
    pub bids: Vec<Level>,
    /// The same of the other side.
    #[serde(with = "levels")]
    pub asks: Vec<Level>,
}

impl RecordedBook {
    /// As it is recorded, where its last change came at this time.
    pub fn of(checkpoint: &Checkpoint, received: u64) -> Self {
        let whole = &checkpoint.whole;
        let text = |value: Option<DecimalText>| value.map(|value| value.as_str().into());
        let levels = |side| match whole.status.state {
            BookState::Live => whole.book.worst_first(side).collect(),
            BookState::Pending | BookState::Stale(_) | BookState::Settled => Vec::new(),
        };
        Self {
            token_id: whole.info.asset_id.clone(),
            condition_id: whole.info.condition_id.clone(),
            state: whole.status.state.name().into(),
            reason: match whole.status.state {
                BookState::Stale(reason) => Some(reason.name().into()),
                BookState::Pending | BookState::Live | BookState::Settled => None,
            },
            epoch: whole.position.epoch,
            sequence: whole.position.sequence,
            timestamp: whole.at.millis(),
            received,
            hash: whole.hash.map(|hash| hash.to_string().into()),
            verified: whole.status.verified,
            tick_size: text(whole.status.tick_size),
            last_trade_price: text(checkpoint.last_trade_price),
            min_order_size: text(checkpoint.min_order_size),
            neg_risk: checkpoint.neg_risk,
            version: checkpoint.version.clone(),
            bids: levels(Side::Bid),
            asks: levels(Side::Ask),
        }
    }

    /// Whether a reader may begin with it.
    pub fn is_live(&self) -> bool {
        &*self.state == BookState::Live.name()
    }

    /// The venue's hash of it.
    pub fn hash(&self) -> Option<BookHash> {
        BookHash::from_hex(self.hash.as_deref()?.as_bytes())
    }

    /// The book as the venue would send it whole, of this token; `None` where nobody may
    /// begin with it.
    pub fn as_event(&self, info: &Arc<AssetInfo>) -> Option<BookEvent> {
        if !self.is_live() {
            return None;
        }
        let decimal = |text: &Option<Box<str>>| DecimalText::new(text.as_deref()?).ok();
        Some(BookEvent {
            info: Arc::clone(info),
            timestamp: Timestamp::from_millis(self.timestamp),
            hash: self.hash(),
            bids: self.bids.clone(),
            asks: self.asks.clone(),
            tick_size: decimal(&self.tick_size),
            last_trade_price: decimal(&self.last_trade_price),
            min_order_size: decimal(&self.min_order_size),
            neg_risk: self.neg_risk,
            version: self.version.clone(),
        })
    }
}

/// Levels as pairs of texts: half as long as objects, and exact.
mod levels {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::level::Level;

    #[derive(Deserialize)]
    struct Pair<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>);

    pub(super) fn serialize<S: Serializer>(
        levels: &[Level],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(levels.iter().map(|level| (level.price, level.size)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Level>, D::Error> {
        let level = |Pair(price, size): Pair<'_>| {
            let price = price.parse().map_err(D::Error::custom)?;
            let size = size.parse().map_err(D::Error::custom)?;
            Ok(Level::new(price, size))
        };
        let pairs = Vec::<Pair<'de>>::deserialize(deserializer)?;
        pairs.into_iter().map(level).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::book::OrderBook;
    use crate::change::{BookPosition, BookStatus, WholeBook};
    use crate::feed::StaleReason;
    use crate::intern::Interner;

    fn checkpoint(state: BookState) -> Checkpoint {
        let level =
            |price: &str, size: &str| Level::new(price.parse().unwrap(), size.parse().unwrap());
        let mut book = OrderBook::default();
        book.apply_snapshot(
            vec![level("0.47", "250"), level("0.48", "0.000001")],
            vec![level("0.999", "1000000.01")],
        );
        let (asset, condition): (AssetId, ConditionId) =
            ("12".parse().unwrap(), "0xa1".parse().unwrap());
        let info = Interner::default().insert(&asset, &condition, |key| {
            AssetInfo::new(key, asset.clone(), condition.clone())
        });
        Checkpoint {
            whole: WholeBook {
                info,
                book,
                position: BookPosition {
                    epoch: 2,
                    sequence: 7,
                    revision: 1,
                },
                status: BookStatus {
                    state,
                    verified: Some(true),
                    tick_size: DecimalText::new("0.01").ok(),
                    since: Instant::now(),
                },
                hash: BookHash::from_hex(&[b'a'; 40]),
                at: Timestamp::from_millis(1_795_000_000_001),
                received: Instant::now(),
            },
            last_trade_price: DecimalText::new("0.500").ok(),
            min_order_size: None,
            neg_risk: Some(true),
            version: Some("v2".into()),
        }
    }

    #[test]
    fn a_live_book_comes_back_as_it_was() {
        let checkpoint = checkpoint(BookState::Live);
        let recorded = RecordedBook::of(&checkpoint, 5);
        let text = serde_json::to_string(&recorded).unwrap();
        assert!(
            text.contains(r#""bids":[["0.47","250"],["0.48","0.000001"]]"#),
            "{text}"
        );
        let read: RecordedBook = serde_json::from_str(&text).unwrap();
        assert_eq!(read, recorded);
        let event = read.as_event(&checkpoint.whole.info).unwrap();
        assert_eq!(format!("{event:?}"), format!("{:?}", checkpoint.as_event()));
    }

    #[test]
    fn nobody_can_begin_with_one_that_is_not_live() {
        for state in [BookState::Stale(StaleReason::Hash), BookState::Settled] {
            let checkpoint = checkpoint(state);
            let recorded = RecordedBook::of(&checkpoint, 5);
            assert!(recorded.bids.is_empty() && recorded.asks.is_empty());
            assert!(recorded.as_event(&checkpoint.whole.info).is_none());
        }
        let stale = RecordedBook::of(&checkpoint(BookState::Stale(StaleReason::Hash)), 5);
        assert_eq!(stale.reason.as_deref(), Some("hash"));
    }
}
