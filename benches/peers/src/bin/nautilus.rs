//! The Polymarket adapter of NautilusTrader: what its data client does with a
//! frame, step by step as in its `handle_market_message`, up to its order book.
//! What it would then send to its engine is not made.

use std::collections::HashMap;

use nautilus_core::UnixNanos;
use nautilus_model::enums::BookType;
use nautilus_model::identifiers::InstrumentId;
use nautilus_model::orderbook::{BookLevel, OrderBook};
use nautilus_polymarket::websocket::messages::{MarketWsMessage, PolymarketQuotes};
use nautilus_polymarket::websocket::parse::{parse_book_deltas, parse_book_snapshot};
use polypy_peers::checksum::Checksum;
use polypy_peers::reads::Read;
use polypy_peers::story::{Story, Way};
use polypy_peers::{millionths, run};
use serde_json::Value;
use ustr::Ustr;

/// As its instruments have it: sizes are in millionths.
const SIZE_PRECISION: u8 = 6;

#[derive(Clone, Copy)]
struct Meta {
    instrument: InstrumentId,
    price_precision: u8,
}

struct Nautilus {
    metas: HashMap<Ustr, Meta>,
    books: HashMap<InstrumentId, OrderBook>,
}

impl Way for Nautilus {
    fn read(&mut self, read: Read<'_>) {
        for frame in read.frames() {
            let text = std::str::from_utf8(frame).expect("is text");
            let messages = serde_json::from_str::<Vec<MarketWsMessage>>(text)
                .or_else(|_| serde_json::from_str(text).map(|message| vec![message]));
            for message in messages.expect("it reads the frame") {
                self.apply(message);
            }
        }
    }

    fn checksum(&self) -> Checksum {
        let units = |level: &BookLevel| {
            let size = level.first().expect("a level has an order").size;
            (millionths(level.price.value), millionths(size))
        };
        let mut sum = Checksum::default();
        for (id, meta) in &self.metas {
            if let Some(book) = self.books.get(&meta.instrument) {
                let (bids, asks) = (book.bids(None).map(units), book.asks(None).map(units));
                sum.add_book(id.as_str(), bids, asks);
            }
        }
        sum
    }
}

impl Nautilus {
    /// Knows the instruments, as from discovery.
    fn new(story: &Story) -> Self {
        let metas = story.openings.iter().map(|opening| {
            let books: Value = serde_json::from_str(opening).expect("is JSON");
            let text = |field: &str| books[0][field].as_str().expect("is text").to_owned();
            let (market, id) = (text("market"), text("asset_id"));
            let price_precision = text("tick_size").len() - "0.".len();
            let meta = Meta {
                instrument: InstrumentId::from(format!("{market}-{id}.POLYMARKET").as_str()),
                price_precision: price_precision.try_into().expect("is small"),
            };
            (Ustr::from(&id), meta)
        });
        Self {
            metas: metas.collect(),
            books: HashMap::new(),
        }
    }

    fn apply(&mut self, message: MarketWsMessage) {
        let received = UnixNanos::default();
        match message {
            MarketWsMessage::Book(book) => {
                let Some(meta) = self.metas.get(&Ustr::from(book.asset_id.as_str())) else {
                    return;
                };
                let Meta {
                    instrument,
                    price_precision,
                } = *meta;
                let deltas = parse_book_snapshot(
                    &book,
                    instrument,
                    price_precision,
                    SIZE_PRECISION,
                    received,
                );
                let book = self
                    .books
                    .entry(instrument)
                    .or_insert_with(|| OrderBook::new(instrument, BookType::L2_MBP));
                let deltas = deltas.expect("it reads the book");
                book.apply_deltas(&deltas).expect("it applies the book");
            }
            MarketWsMessage::PriceChange(quotes) => {
                for change in &quotes.price_changes {
                    let Some(meta) = self.metas.get(&Ustr::from(change.asset_id.as_str())) else {
                        continue;
                    };
                    let Meta {
                        instrument,
                        price_precision,
                    } = *meta;
                    let own = PolymarketQuotes {
                        market: quotes.market,
                        price_changes: vec![change.clone()],
                        timestamp: quotes.timestamp.clone(),
                    };
                    let deltas = parse_book_deltas(
                        &own,
                        instrument,
                        price_precision,
                        SIZE_PRECISION,
                        received,
                    );
                    if let Some(book) = self.books.get_mut(&instrument) {
                        let deltas = deltas.expect("it reads the change");
                        book.apply_deltas(&deltas).expect("it applies the change");
                    }
                }
            }
            _ => {}
        }
    }
}

fn main() -> std::io::Result<()> {
    run("nautilus-polymarket 0.57.0", Nautilus::new)
}
