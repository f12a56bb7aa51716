//! polyfill-rs: its parser of whole messages, and its `OrderBookManager`.
//!
//! Its faster processor of WebSocket updates applies whole books only and leaves
//! every `price_change` out, so that it keeps no book of a running market.

use chrono::DateTime;
use polyfill_rs::OrderBookManager;
use polyfill_rs::decode::parse_stream_messages_bytes;
use polyfill_rs::types::{BookLevel, OrderDelta, StreamMessage};
use polypy_peers::checksum::Checksum;
use polypy_peers::reads::Read;
use polypy_peers::story::Way;
use polypy_peers::{millionths, run};

/// More levels than any side has: beyond its depth it loses levels for good.
const DEPTH: usize = 100;

struct Polyfill {
    books: OrderBookManager,
    sequence: u64,
}

impl Way for Polyfill {
    fn read(&mut self, read: Read<'_>) {
        for frame in read.frames() {
            for message in parse_stream_messages_bytes(frame).expect("it reads the frame") {
                self.apply(message);
            }
        }
    }

    fn checksum(&self) -> Checksum {
        let units = |level: &BookLevel| (millionths(level.price), millionths(level.size));
        let mut sum = Checksum::default();
        for book in self.books.get_all_books().expect("it shows its books") {
            let (bids, asks) = (book.bids.iter().map(units), book.asks.iter().map(units));
            sum.add_book(&book.token_id, bids, asks);
        }
        sum
    }
}

impl Polyfill {
    fn apply(&mut self, message: StreamMessage) {
        match message {
            StreamMessage::Book(book) => {
                self.books
                    .apply_book_update(&book)
                    .expect("it applies the book");
            }
            StreamMessage::PriceChange(change) => {
                let millis = change.timestamp.try_into().expect("is a time");
                let timestamp = DateTime::from_timestamp_millis(millis).expect("is a time");
                for entry in change.price_changes {
                    self.sequence += 1;
                    let delta = OrderDelta {
                        token_id: entry.asset_id,
                        timestamp,
                        side: entry.side,
                        price: entry.price,
                        size: entry.size.expect("a size is stated"),
                        sequence: self.sequence,
                    };
                    self.books
                        .apply_delta(delta)
                        .expect("it applies the change");
                }
            }
            _ => {}
        }
    }
}

fn main() -> std::io::Result<()> {
    run("polyfill-rs 0.4.3", |_| Polyfill {
        books: OrderBookManager::new(DEPTH),
        sequence: 0,
    })
}
