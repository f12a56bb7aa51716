//! The official SDK: its parser, and the books that its user has to keep, two
//! `BTreeMap`s of its own numbers by its own ids.

use std::collections::{BTreeMap, HashMap};

use polymarket_client_sdk_v2::clob::types::Side;
use polymarket_client_sdk_v2::clob::ws::WsMessage;
use polymarket_client_sdk_v2::clob::ws::interest::MessageInterest;
use polymarket_client_sdk_v2::clob::ws::types::response::parse_if_interested;
use polymarket_client_sdk_v2::types::{Decimal, U256};
use polypy_peers::checksum::Checksum;
use polypy_peers::reads::Read;
use polypy_peers::story::Way;
use polypy_peers::{millionths, run};

type Levels = BTreeMap<Decimal, Decimal>;

struct Sdk {
    books: HashMap<U256, (Levels, Levels)>,
}

impl Way for Sdk {
    fn read(&mut self, read: Read<'_>) {
        for frame in read.frames() {
            let messages = parse_if_interested(frame, &MessageInterest::MARKET);
            for message in messages.expect("it reads the frame") {
                self.apply(message);
            }
        }
    }

    fn checksum(&self) -> Checksum {
        let units = |(price, size): (&Decimal, &Decimal)| (millionths(price), millionths(size));
        let mut sum = Checksum::default();
        for (id, (bids, asks)) in &self.books {
            let (bids, asks) = (bids.iter().map(units), asks.iter().map(units));
            sum.add_book(&id.to_string(), bids, asks);
        }
        sum
    }
}

impl Sdk {
    fn apply(&mut self, message: WsMessage) {
        match message {
            WsMessage::Book(book) => {
                let (bids, asks) = self.books.entry(book.asset_id).or_default();
                for (side, levels) in [(bids, book.bids), (asks, book.asks)] {
                    side.clear();
                    side.extend(levels.into_iter().map(|level| (level.price, level.size)));
                }
            }
            WsMessage::PriceChange(change) => {
                for entry in change.price_changes {
                    let Some((bids, asks)) = self.books.get_mut(&entry.asset_id) else {
                        continue;
                    };
                    let levels = match entry.side {
                        Side::Buy => bids,
                        _ => asks,
                    };
                    match entry.size {
                        Some(size) if !size.is_zero() => levels.insert(entry.price, size),
                        _ => levels.remove(&entry.price),
                    };
                }
            }
            _ => {}
        }
    }
}

fn main() -> std::io::Result<()> {
    run("polymarket_client_sdk_v2 0.9.0 + BTreeMap", |_| Sdk {
        books: HashMap::new(),
    })
}
