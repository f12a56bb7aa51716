//! What a recording does not say of a market, found by the hash of a book.
//!
//! Tick, smallest order and negative risk go into the hashed text but are not
//! on the stream (the tick only sometimes). The values that occur on the venue
//! are few, so they are tried; what verifies is true.

use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::{AssetInfo, BookHash, DecimalText, OrderBook, Price};

use crate::effects::RecordedBook;
use crate::publication::hashed_price;

const TICKS: [&str; 6] = ["0.01", "0.001", "0.0001", "0.1", "0.0025", "0.005"];
const MIN_ORDER_SIZES: [&str; 7] = ["5", "15", "1", "10", "20", "50", "100"];

/// The last trade price with which a book has this hash: the hash uses it before anything
/// announces the trade.
pub(crate) fn last_trade_price(book: &Fingerprint, hash: BookHash) -> Option<DecimalText> {
    // Thousandths first: few grids are finer.
    let thousandths = (0..=1_000).map(|price| 1_000 * price);
    let between = (0..=10_000).filter(|price| price % 10 != 0);
    price_among(
        thousandths.chain(between.map(|price| 100 * price)),
        book,
        hash,
    )
}

/// The same among the prices of a grid, which are a tenth as many or fewer.
pub(crate) fn price_of_grid(
    tick: DecimalText,
    book: &Fingerprint,
    hash: BookHash,
) -> Option<DecimalText> {
    let tick = tick.as_str().parse::<Price>().ok()?.millionths();
    let prices = (0..=1_000_000).step_by(usize::try_from(tick).ok()?.max(1_000));
    price_among(prices, book, hash)
}

fn price_among(
    millionths: impl Iterator<Item = u32>,
    book: &Fingerprint,
    hash: BookHash,
) -> Option<DecimalText> {
    let prices = millionths.map(|price| Price::from_millionths(price).unwrap_or_default());
    let mut prices = prices.map(hashed_price);
    prices.find(|price| book.with_last_trade_price(price.as_str()) == hash)
}

/// What a market trades by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) tick_size: DecimalText,
    pub(crate) min_order_size: DecimalText,
    pub(crate) neg_risk: bool,
}

/// The terms under which the book's hash verifies; what the book states, and
/// those that are `listed`, where none do.
pub(crate) fn terms(info: &AssetInfo, book: &RecordedBook, listed: Terms) -> Terms {
    let text = |text: &str| DecimalText::new(text).unwrap_or_default();
    let choices = |stated: Option<DecimalText>, listed, all: &[&str]| -> Vec<DecimalText> {
        let all = all.iter().map(|value| text(value));
        stated.map_or_else(
            || [listed].into_iter().chain(all).collect(),
            |value| vec![value],
        )
    };
    let ticks = choices(book.tick_size, listed.tick_size, &TICKS);
    let sizes = choices(book.min_order_size, listed.min_order_size, &MIN_ORDER_SIZES);
    let risks = [listed.neg_risk, !listed.neg_risk];
    let risks = book.neg_risk.map_or(risks.to_vec(), |risk| vec![risk]);
    let mut levels = OrderBook::default();
    levels.apply_snapshot(book.bids.clone(), book.asks.clone());
    let price = book.last_trade_price.unwrap_or_default();
    for &tick_size in &ticks {
        for &min_order_size in &sizes {
            for &neg_risk in &risks {
                let verifies = [Form::Ten, Form::Nine].into_iter().any(|form| {
                    let attributes = Attributes {
                        info,
                        timestamp: book.stamp,
                        tick_size: tick_size.as_str(),
                        min_order_size: min_order_size.as_str(),
                        neg_risk,
                        version: book.version.as_deref(),
                        form,
                    };
                    let fingerprint = Fingerprint::new(&levels, &attributes);
                    Some(fingerprint.with_last_trade_price(price.as_str())) == book.hash
                });
                if verifies {
                    return Terms {
                        tick_size,
                        min_order_size,
                        neg_risk,
                    };
                }
            }
        }
    }
    Terms {
        tick_size: ticks.first().copied().unwrap_or_default(),
        min_order_size: sizes.first().copied().unwrap_or_default(),
        neg_risk: risks.first().copied().unwrap_or_default(),
    }
}
