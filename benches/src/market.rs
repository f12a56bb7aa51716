//! One market of the made-up venue: the true books of its two tokens, and the
//! orders that move them.
//!
//! Where orders fall was measured in recordings of the venue: 8 % at the touch
//! or improving it, three quarters within ten levels of it, 15 % within thirty,
//! the rest anywhere on the grid; 11 % of them remove a level. Books keep 20 to
//! 40 levels a side and are never crossed.

use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;
use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::{
    AssetId, AssetInfo, BookHash, ConditionId, Interner, Level, OrderBook, Price, Side, Size,
    Timestamp,
};

/// Levels of a side in the beginning.
const LEVELS: usize = 30;
/// Empty prices between them: more would not fit on the coarse grid.
const MOST_GAPS: u32 = 12;
/// Levels between which a side stays.
const FEWEST: usize = 20;
const MOST: usize = 40;
/// Best prices stay between these, so that the coarse grid has room for
/// [`MOST`] levels on either side.
const LOWEST_TOUCH: u32 = 400_000;
const HIGHEST_TOUCH: u32 = 600_000;
const LAST_TRADE: &str = "0.500";

/// A market and its books.
#[derive(Debug)]
pub(crate) struct Market {
    condition: ConditionId,
    /// The market's price step in millionths.
    tick: u32,
    tokens: [Token; 2],
    /// The first token's book in the beginning.
    opening: OrderBook,
    /// When it last traded orders, and the first token's prices at which. Within
    /// a millisecond no level goes back to where it was: which of the two states
    /// is the later one nobody could tell.
    touched: (u64, Vec<Price>),
}

#[derive(Debug)]
struct Token {
    info: Arc<AssetInfo>,
    book: OrderBook,
}

/// One order's effect on a level of a token.
#[derive(Debug, Clone, Copy)]
struct Change {
    side: Side,
    level: Level,
}

impl Change {
    /// The same order seen from the market's other token.
    fn mirror(self) -> Self {
        let level = Level::new(self.level.price.complement(), self.level.size);
        Self {
            side: self.side.opposite(),
            level,
        }
    }
}

impl Market {
    /// A market with random ids and full books.
    pub(crate) fn random(rng: &mut Rng, interner: &mut Interner) -> Self {
        let condition = format!("0x{}", digits(rng, 16, 64));
        let tokens = [(); 2].map(|()| {
            let length = [76, 77, 77, 77, 77, 77, 77, 78][rng.usize(..8)];
            // Below 2^256, which begins with 1157.
            format!("10{}", digits(rng, 10, length - 2))
        });
        let tick = if rng.u8(..10) < 3 { 1_000 } else { 10_000 };
        let infos = intern(interner, &condition, &[&tokens[0], &tokens[1]]);
        let book = opening_book(rng, tick);
        let (opening, mirror) = (book.clone(), book.mirror());
        let [first, second] = <[_; 2]>::try_from(infos).expect("two tokens were interned");
        Self {
            condition: first.condition_id.clone(),
            tick,
            tokens: [
                Token { info: first, book },
                Token {
                    info: second,
                    book: mirror,
                },
            ],
            opening,
            touched: (0, Vec::new()),
        }
    }

    /// The tokens' descriptions and books.
    pub(crate) fn into_books(self) -> [(Arc<AssetInfo>, OrderBook); 2] {
        self.tokens.map(|token| (token.info, token.book))
    }

    /// What the venue sends first, a frame for each token.
    pub(crate) fn openings(&self, millis: u64) -> [String; 2] {
        let tick = price(self.tick);
        [0, 1].map(|at| {
            let Token { info, book } = &self.tokens[at];
            let (bids, asks) = (levels(book, Side::Bid), levels(book, Side::Ask));
            let hash = self.hash(at, millis);
            format!(
                r#"[{{"market":"{}","asset_id":"{}","timestamp":"{millis}","hash":"{hash}","bids":[{bids}],"asks":[{asks}],"tick_size":"{tick}","event_type":"book","last_trade_price":"{LAST_TRADE}"}}]"#,
                self.condition, info.asset_id,
            ) + "\n"
        })
    }

    /// A `price_change` with the effects of this many orders, all of them done.
    pub(crate) fn change(&mut self, rng: &mut Rng, orders: usize, millis: u64) -> String {
        if self.touched.0 != millis {
            self.touched.0 = millis;
            self.touched.1.clear();
        }
        let mut changes = Vec::with_capacity(2 * orders);
        for _ in 0..orders {
            let token = rng.usize(..2);
            let change = self.order(rng, token);
            self.take(token, change, &mut changes);
        }
        self.tell(&changes, millis)
    }

    /// A `price_change` that takes the books this many orders nearer to their
    /// opening, and the number of orders; `None` if they are there.
    pub(crate) fn revert(&mut self, orders: usize, millis: u64) -> Option<(String, usize)> {
        let mut changes: Vec<(usize, Change)> = Vec::new();
        while changes.len() < 2 * orders
            && let Some(change) = self.difference()
        {
            let again = |(_, told): &(usize, Change)| told.level.price == change.level.price;
            if changes.iter().step_by(2).any(again) {
                // Of two states of a level in one frame none is the later one.
                break;
            }
            self.take(0, change, &mut changes);
        }
        let orders = changes.len() / 2;
        (orders > 0).then(|| (self.tell(&changes, millis), orders))
    }

    /// What the first token's book differs in from its opening. What has come is
    /// removed before anything is put back, so that the book is never crossed.
    fn difference(&self) -> Option<Change> {
        let book = &self.tokens[0].book;
        let sides = [Side::Bid, Side::Ask];
        let come = sides.into_iter().find_map(|side| {
            let new = |level: &Level| self.opening.size_at(side, level.price).is_zero();
            let level = book.worst_first(side).find(new)?;
            let level = Level::new(level.price, Size::ZERO);
            Some(Change { side, level })
        });
        come.or_else(|| {
            sides.into_iter().find_map(|side| {
                let other = |level: &Level| book.size_at(side, level.price) != level.size;
                let level = self.opening.worst_first(side).find(other)?;
                Some(Change { side, level })
            })
        })
    }

    /// Does an order on both books.
    fn take(&mut self, token: usize, change: Change, changes: &mut Vec<(usize, Change)>) {
        for (token, change) in [(token, change), (1 - token, change.mirror())] {
            let Change { side, level } = change;
            let book = &mut self.tokens[token].book;
            book.apply_change(side, level.price, level.size);
            changes.push((token, change));
        }
    }

    /// The frame about changes that are done.
    fn tell(&self, changes: &[(usize, Change)], millis: u64) -> String {
        let hashes = [0, 1].map(|token| self.hash(token, millis));
        let mut entries = String::new();
        for &(token, Change { side, level }) in changes {
            let Token { info, book } = &self.tokens[token];
            let comma = if entries.is_empty() { "" } else { "," };
            let side = match side {
                Side::Bid => "BUY",
                Side::Ask => "SELL",
            };
            let bid = book.best_bid().map_or(Price::ZERO, |level| level.price);
            let ask = book.best_ask().map_or(Price::ONE, |level| level.price);
            write!(
                entries,
                r#"{comma}{{"asset_id":"{}","price":"{}","size":"{}","side":"{side}","hash":"{}","best_bid":"{bid}","best_ask":"{ask}"}}"#,
                info.asset_id, level.price, level.size, hashes[token],
            )
            .expect("a string takes all");
        }
        format!(
            r#"{{"market":"{}","price_changes":[{entries}],"timestamp":"{millis}","event_type":"price_change"}}"#,
            self.condition
        )
    }

    /// An order for a level that none has touched in this millisecond.
    fn order(&mut self, rng: &mut Rng, token: usize) -> Change {
        loop {
            let side = if rng.bool() { Side::Bid } else { Side::Ask };
            let change = self.tokens[token].draw(rng, side, self.tick);
            let price = match token {
                0 => change.level.price,
                _ => change.level.price.complement(),
            };
            if !self.touched.1.contains(&price) {
                self.touched.1.push(price);
                return change;
            }
        }
    }

    fn hash(&self, token: usize, millis: u64) -> BookHash {
        let Token { info, book } = &self.tokens[token];
        let tick_size = price(self.tick).to_string();
        let attributes = Attributes {
            info,
            timestamp: Timestamp::from_millis(millis),
            tick_size: &tick_size,
            min_order_size: "5",
            neg_risk: false,
            version: None,
            form: Form::Ten,
        };
        Fingerprint::new(book, &attributes).with_last_trade_price(LAST_TRADE)
    }
}

impl Token {
    fn draw(&self, rng: &mut Rng, side: Side, tick: u32) -> Change {
        let levels: Vec<_> = self.book.levels(side).collect();
        // Counted from the touch.
        let at = |depth: usize| levels[depth.min(levels.len() - 1)];
        let sized = |level: Level, size| Change {
            side,
            level: Level::new(level.price, size),
        };
        match rng.u8(..100) {
            0..8 => {
                let (touch, next) = (at(0), at(1));
                let better = self.better(side, tick);
                match (rng.u8(..8), better) {
                    (0..3, Some(price)) if levels.len() < MOST => Change {
                        side,
                        level: Level::new(price, size(rng, None)),
                    },
                    (3, _) if levels.len() > FEWEST && is_touch(side, next.price) => {
                        sized(touch, Size::ZERO)
                    }
                    _ => sized(touch, size(rng, Some(touch.size))),
                }
            }
            depth @ 8..98 => {
                let level = match depth {
                    8..83 => at(rng.usize(1..=10)),
                    _ => at(rng.usize(11..=30)),
                };
                let hole = self.hole(side, level.price, tick);
                // The more levels, the likelier one is removed.
                let removes = rng.usize(..MOST - FEWEST) < levels.len() - FEWEST;
                match (rng.u8(..100) < 22, hole) {
                    (true, _) if removes => sized(level, Size::ZERO),
                    (true, Some(price)) => Change {
                        side,
                        level: Level::new(price, size(rng, None)),
                    },
                    _ => sized(level, size(rng, Some(level.size))),
                }
            }
            _ => {
                let touch = at(0).price.millionths();
                let ticks = match side {
                    Side::Bid => rng.u32(1..=touch / tick),
                    Side::Ask => rng.u32(touch / tick..Price::ONE.millionths() / tick),
                };
                let price = price(ticks * tick);
                match self.book.size_at(side, price) {
                    Size::ZERO if levels.len() < MOST => Change {
                        side,
                        level: Level::new(price, size(rng, None)),
                    },
                    Size::ZERO => sized(at(0), size(rng, Some(at(0).size))),
                    before => Change {
                        side,
                        level: Level::new(price, size(rng, Some(before))),
                    },
                }
            }
        }
    }

    /// The price one step better than the best, if that neither crosses the book
    /// nor leaves the range of touches.
    fn better(&self, side: Side, tick: u32) -> Option<Price> {
        let bid = self.book.best_bid()?.price.millionths();
        let ask = self.book.best_ask()?.price.millionths();
        let better = match side {
            Side::Bid => bid + tick,
            Side::Ask => ask - tick,
        };
        let better = (bid + tick < ask).then_some(price(better))?;
        is_touch(side, better).then_some(better)
    }

    /// The nearest price worse than this at which nothing rests.
    fn hole(&self, side: Side, from: Price, tick: u32) -> Option<Price> {
        let mut at = from.millionths();
        loop {
            at = match side {
                Side::Bid => at - tick,
                Side::Ask => at + tick,
            };
            if at == 0 || at >= Price::ONE.millionths() {
                return None;
            }
            if self.book.size_at(side, price(at)).is_zero() {
                return Some(price(at));
            }
        }
    }
}

/// Whether a side may have its best level at this price.
fn is_touch(side: Side, price: Price) -> bool {
    match side {
        Side::Bid => (LOWEST_TOUCH..HIGHEST_TOUCH).contains(&price.millionths()),
        Side::Ask => (LOWEST_TOUCH + 1..=HIGHEST_TOUCH).contains(&price.millionths()),
    }
}

/// Full sides around a touch near the middle, with a gap here and there.
fn opening_book(rng: &mut Rng, tick: u32) -> OrderBook {
    let touch = rng.u32(450_000 / tick..550_000 / tick) * tick;
    let bids = opening_side(rng, touch, |at, ticks| at - ticks * tick);
    let asks = opening_side(rng, touch + tick, |at, ticks| at + ticks * tick);
    let mut book = OrderBook::default();
    book.apply_snapshot(bids, asks);
    book
}

fn opening_side(rng: &mut Rng, touch: u32, worse: impl Fn(u32, u32) -> u32) -> Vec<Level> {
    let (mut at, mut gaps) = (touch, MOST_GAPS);
    let level = |_| {
        let level = Level::new(price(at), size(rng, None));
        let gap = gaps > 0 && rng.u8(..4) == 0;
        gaps -= u32::from(gap);
        at = worse(at, if gap { 2 } else { 1 });
        level
    };
    (0..LEVELS).map(level).collect()
}

/// Half of all sizes are whole numbers of shares; never zero nor `unlike`.
fn size(rng: &mut Rng, unlike: Option<Size>) -> Size {
    loop {
        let hundredths = match rng.u8(..9) {
            0..4 => rng.u64(5..100_000) * 100,
            _ => rng.u64(500..900_000),
        };
        let size = Size::from_millionths(hundredths * 10_000);
        if Some(size) != unlike {
            return size;
        }
    }
}

fn price(millionths: u32) -> Price {
    Price::from_millionths(millionths).expect("is at most one")
}

fn levels(book: &OrderBook, side: Side) -> String {
    let mut text = String::new();
    for level in book.worst_first(side) {
        let comma = if text.is_empty() { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"price":"{}","size":"{}"}}"#,
            level.price, level.size
        )
        .expect("a string takes all");
    }
    text
}

fn digits(rng: &mut Rng, base: u32, length: usize) -> String {
    (0..length).map(|_| rng.digit(base)).collect()
}

/// Interns the tokens of a market; the first two know each other.
pub(crate) fn intern(
    assets: &mut Interner,
    condition: &str,
    tokens: &[&str],
) -> Vec<Arc<AssetInfo>> {
    let condition = ConditionId::new(condition).expect("is a condition id");
    let mut infos: Vec<_> = tokens
        .iter()
        .map(|token| {
            let asset = AssetId::new(token).expect("is an asset id");
            let describe = |key| AssetInfo::new(key, asset.clone(), condition.clone());
            assets.insert(&asset, &condition, describe)
        })
        .collect();
    if let [first, second, ..] = &mut infos[..]
        && first.key != second.key
    {
        let keys = [first.key, second.key];
        for (info, other) in [(first, keys[1]), (second, keys[0])] {
            let mut described = AssetInfo::clone(info);
            described.complement = Some(other);
            *info = assets
                .update(info.key, described)
                .expect("was just interned");
        }
    }
    infos
}
