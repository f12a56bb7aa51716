//! Which last trade price a hash was made with.
//!
//! The venue hashes a trade's price before it announces the trade, now and then
//! one that it never announces, and the same one for both tokens of the market.
//! So the price is looked for: first the one that worked last and those lately
//! announced, then prices near the top of the book, and, when asked to and
//! allowed to, all 1,001 prices of three decimals and, on a finer grid, those
//! around the top. SHA-1 leaves no room for a chance agreement: a
//! price that reproduces the hash is the price.

use polypy_core::decimal::{MAX_TEXT, write_millionths};
use polypy_core::fingerprint::{Fingerprint, Form};
use polypy_core::{BookHash, DecimalText, OrderBook, Price};

/// Announced prices remembered: fills of one taker order come in bursts.
const ANNOUNCED: usize = 4;
/// Millionths in the third decimal, the form the venue hashes.
const THOUSANDTH: u32 = 1_000;
/// Millionths in the finest grid's step. On grids finer than 0.001 a price may
/// need four decimals, and is then taken to be hashed with them.
const TEN_THOUSANDTH: u32 = 100;
/// How far from the top a price of four decimals is looked for, in millionths:
/// a trade that swept further has moved the top with it.
const SWEPT: u32 = 20_000;

/// How a price came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PriceSource {
    /// It worked before, or the venue announced it.
    Known,
    /// It was found by trying.
    Candidate,
}

/// The last trade prices a book may have been hashed with.
#[derive(Debug, Clone, Default)]
pub(crate) struct TradePrices {
    /// The one that reproduced the last hash; until then, the last announced.
    current: Option<DecimalText>,
    /// Newest first.
    announced: [Option<DecimalText>; ANNOUNCED],
}

impl TradePrices {
    /// A book said which price it was hashed with, in that very form.
    pub(crate) fn state(&mut self, text: DecimalText) {
        self.current = Some(text);
    }

    /// A trade was announced, for this token or for its complement.
    pub(crate) fn announce(&mut self, price: Price, text: DecimalText, proven: bool) {
        let hashed = hashed_form(price).unwrap_or(text);
        // The text as announced too: on grids finer than 0.001 the form that
        // is hashed is not known.
        for form in [text, hashed] {
            if self.announced[0] != Some(form) {
                self.announced.rotate_right(1);
                self.announced[0] = Some(form);
            }
        }
        // A hash verified with another price may be ahead of this trade.
        if !proven {
            self.current = Some(hashed);
        }
    }

    /// Another book of the market is hashed with this price.
    pub(crate) fn add_candidate(&mut self, text: DecimalText) {
        if !self.announced.contains(&Some(text)) {
            self.announced.rotate_right(1);
            self.announced[0] = Some(text);
        }
    }

    /// The price the next hash is expected to have.
    pub(crate) fn current(&self) -> Option<DecimalText> {
        self.current
    }

    /// Tries the known prices and those near the top of the book.
    pub(crate) fn find(
        &mut self,
        fingerprint: &Fingerprint,
        form: Form,
        hash: BookHash,
        book: &OrderBook,
    ) -> Option<PriceSource> {
        let current = self.current.unwrap_or_default();
        if fingerprint.with_last_trade_price(current.as_str()) == hash {
            return Some(PriceSource::Known);
        }
        if form != Form::Ten {
            return None;
        }
        let known = self.announced.iter().flatten().copied();
        let nearby = near_top(book).filter_map(hashed_form);
        let (price, origin) = known
            .map(|text| (text, PriceSource::Known))
            .chain(nearby.map(|text| (text, PriceSource::Candidate)))
            .find(|(text, _)| fingerprint.with_last_trade_price(text.as_str()) == hash)?;
        self.current = Some(price);
        Some(origin)
    }

    /// Tries every price of three decimals, and on a grid finer than that those
    /// of four decimals around the top.
    pub(crate) fn search_all_prices(
        &mut self,
        fingerprint: &Fingerprint,
        form: Form,
        hash: BookHash,
        book: &OrderBook,
        tick: Option<DecimalText>,
    ) -> bool {
        if form != Form::Ten {
            return false;
        }
        let coarse = (0..=1_000).filter_map(|price| Price::from_millionths(price * THOUSANDTH));
        let fine = is_fine(tick)
            .then(|| around_top(book))
            .into_iter()
            .flatten();
        let found = coarse
            .chain(fine)
            .filter_map(hashed_form)
            .find(|text| fingerprint.with_last_trade_price(text.as_str()) == hash);
        if found.is_some() {
            self.current = found;
        }
        found.is_some()
    }
}

/// Whether prices on this grid can need more than three decimals.
fn is_fine(tick: Option<DecimalText>) -> bool {
    let price = tick.and_then(|tick| tick.as_str().parse::<Price>().ok());
    price.is_some_and(|price| !price.millionths().is_multiple_of(THOUSANDTH))
}

/// Every price of four decimals from [`SWEPT`] below the best bid to as much
/// above the best ask, and its complement. A side that was swept empty leaves
/// its edge open.
fn around_top(book: &OrderBook) -> impl Iterator<Item = Price> {
    let bid = book.best_bid().map_or(Price::ZERO, |level| level.price);
    let ask = book.best_ask().map_or(Price::ONE, |level| level.price);
    let low = bid.min(ask).millionths().saturating_sub(SWEPT) / TEN_THOUSANDTH;
    let high = (bid.max(ask).millionths() + SWEPT) / TEN_THOUSANDTH;
    (low..=high)
        .filter_map(|price| Price::from_millionths(price * TEN_THOUSANDTH))
        .filter(|price| !price.millionths().is_multiple_of(THOUSANDTH))
        .flat_map(|price| [price, price.complement()])
}

/// The best prices, their neighbours and the complements of all: a trade takes
/// what was the best level, seen from either token.
fn near_top(book: &OrderBook) -> impl Iterator<Item = Price> {
    let best = [book.best_bid(), book.best_ask()];
    best.into_iter().flatten().flat_map(|level| {
        let at = level.price.millionths();
        let around = [
            Some(at),
            at.checked_sub(TEN_THOUSANDTH),
            at.checked_add(TEN_THOUSANDTH),
            at.checked_sub(THOUSANDTH),
            at.checked_add(THOUSANDTH),
            at.checked_sub(10 * THOUSANDTH),
            at.checked_add(10 * THOUSANDTH),
        ];
        around
            .into_iter()
            .flatten()
            .filter_map(Price::from_millionths)
            .flat_map(|price| [price, price.complement()])
    })
}

/// A price in the form the venue hashes: three decimals, or four where three
/// do not hold it; `None` for one finer than any grid.
fn hashed_form(price: Price) -> Option<DecimalText> {
    let millionths = price.millionths();
    if millionths.is_multiple_of(THOUSANDTH) {
        let digits = three_decimals(millionths / THOUSANDTH);
        return DecimalText::new(std::str::from_utf8(&digits).ok()?).ok();
    }
    if !millionths.is_multiple_of(TEN_THOUSANDTH) {
        return None;
    }
    let mut digits = [0; MAX_TEXT];
    DecimalText::new(write_millionths(u64::from(millionths), &mut digits)).ok()
}

/// `0.000` to `9.999`.
fn three_decimals(thousandths: u32) -> [u8; 5] {
    let digit = |value: u32| b'0' + u8::try_from(value % 10).unwrap_or(0);
    [
        digit(thousandths / 1_000),
        b'.',
        digit(thousandths / 100),
        digit(thousandths / 10),
        digit(thousandths),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_take_the_form_that_is_hashed() {
        for (price, text) in [
            ("0.63", Some("0.630")),
            ("0", Some("0.000")),
            ("1", Some("1.000")),
            ("0.005", Some("0.005")),
            ("0.0025", Some("0.0025")),
            ("0.00025", None),
        ] {
            let form = hashed_form(price.parse().unwrap());
            assert_eq!(form.as_ref().map(DecimalText::as_str), text, "{price}");
        }
    }

    #[test]
    fn an_announced_trade_does_not_displace_a_proven_price() {
        let mut prices = TradePrices::default();
        let text = |text| DecimalText::new(text).unwrap();
        prices.announce("0.63".parse().unwrap(), text("0.63"), false);
        assert_eq!(prices.current(), Some(text("0.630")));
        prices.announce("0.5".parse().unwrap(), text("0.5"), true);
        assert_eq!(prices.current(), Some(text("0.630")));
        assert_eq!(prices.announced[0], Some(text("0.500")));
    }
}
