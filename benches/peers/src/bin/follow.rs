//! The official SDK, as a bot uses it, on whatever says that it is the venue: lists the
//! markets by Gamma, asks the CLOB for their books, and follows the market socket.
//!
//! `follow GAMMA_URL CLOB_URL WS_URL` says `following` on standard output. When its standard
//! input has ended and nothing has come for two seconds, it prints one JSON object:
//!
//! | field | holds |
//! |---|---|
//! | `markets` | `condition_id`, `tokens` |
//! | `books` | the books that the CLOB had before anything was followed, by token: `hash`, `bids`, `asks` |
//! | `messages` | what the socket brought, by token and in order: `["book", time, hash, bids, asks]`, `["change", time, hash, side, price, size]`, `["trade", time, price, size]`, `["tick", time, tick_size]` |
//! | `ends` | the books that these messages make, by token: `bids`, `asks` |
//! | `connections` | how often the socket was connected |
//!
//! A level is `[price, size]`, numbers are texts without zeros at their end, times are
//! milliseconds since the epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use polymarket_client_sdk_v2::clob::types::Side;
use polymarket_client_sdk_v2::clob::types::request::OrderBookSummaryRequest;
use polymarket_client_sdk_v2::clob::ws::WsMessage;
use polymarket_client_sdk_v2::clob::ws::interest::InterestTracker;
use polymarket_client_sdk_v2::clob::ws::subscription::SubscriptionManager;
use polymarket_client_sdk_v2::types::{Decimal, U256};
use polymarket_client_sdk_v2::ws::ConnectionManager;
use polymarket_client_sdk_v2::{clob, gamma};
use serde_json::{Value, json};

/// Rows of a page, the most that Gamma gives.
const PAGE: i32 = 100;
/// Nothing more comes.
const QUIET: Duration = Duration::from_secs(2);

type Levels = BTreeMap<Decimal, Decimal>;
type Failure = Box<dyn std::error::Error>;

/// What the socket brought, and the books that its user has to keep.
#[derive(Default)]
struct Followed {
    messages: BTreeMap<U256, Vec<Value>>,
    books: BTreeMap<U256, (Levels, Levels)>,
}

impl Followed {
    fn take(&mut self, message: WsMessage) {
        match message {
            WsMessage::Book(book) => {
                let side = |levels: Vec<_>| -> Levels {
                    let level = |level: clob::ws::types::response::OrderBookLevel| {
                        (level.price, level.size)
                    };
                    levels.into_iter().map(level).collect()
                };
                let (bids, asks) = (side(book.bids), side(book.asks));
                let row = json!(["book", book.timestamp, book.hash, rows(&bids), rows(&asks)]);
                self.note(book.asset_id, row);
                self.books.insert(book.asset_id, (bids, asks));
            }
            WsMessage::PriceChange(change) => {
                for entry in change.price_changes {
                    let size = entry.size.unwrap_or_default();
                    let (side, price) = (entry.side.to_string(), text(entry.price));
                    let row = json!([
                        "change",
                        change.timestamp,
                        entry.hash,
                        side,
                        price,
                        text(size)
                    ]);
                    self.note(entry.asset_id, row);
                    let Some((bids, asks)) = self.books.get_mut(&entry.asset_id) else {
                        continue;
                    };
                    let levels = if entry.side == Side::Buy { bids } else { asks };
                    if size.is_zero() {
                        levels.remove(&entry.price);
                    } else {
                        levels.insert(entry.price, size);
                    }
                }
            }
            WsMessage::LastTradePrice(trade) => {
                let size = trade.size.map(text);
                let row = json!(["trade", trade.timestamp, text(trade.price), size]);
                self.note(trade.asset_id, row);
            }
            WsMessage::TickSizeChange(tick) => {
                let row = json!(["tick", tick.timestamp, text(tick.new_tick_size)]);
                self.note(tick.asset_id, row);
            }
            _ => {}
        }
    }

    fn note(&mut self, token: U256, row: Value) {
        self.messages.entry(token).or_default().push(row);
    }
}

fn text(number: Decimal) -> String {
    number.normalize().to_string()
}

fn rows(levels: &Levels) -> Value {
    let rows = levels
        .iter()
        .map(|(price, size)| json!([text(*price), text(*size)]));
    rows.collect()
}

fn by_token<T>(of: BTreeMap<U256, T>, show: impl Fn(T) -> Value) -> Value {
    let shown = of
        .into_iter()
        .map(|(token, of)| (token.to_string(), show(of)));
    Value::Object(shown.collect())
}

/// The markets that are open, each with its tokens.
async fn markets(url: &str) -> Result<Vec<(Value, Vec<U256>)>, Failure> {
    let client = gamma::Client::new(url)?;
    let pages = client.stream_data(
        |client, limit, offset| {
            let request = gamma::types::request::MarketsRequest::builder();
            let request = request.closed(false).limit(limit).offset(offset).build();
            async move { client.markets(&request).await }
        },
        PAGE,
    );
    let mut pages = Box::pin(pages);
    let mut markets = Vec::new();
    while let Some(market) = pages.next().await {
        let market = market?;
        let condition = market
            .condition_id
            .ok_or("a market without its condition")?;
        let tokens = market.clob_token_ids.ok_or("a market without its tokens")?;
        markets.push((json!(condition), tokens));
    }
    Ok(markets)
}

/// The books that the CLOB has.
async fn books(url: &str, tokens: &[U256]) -> Result<BTreeMap<U256, Value>, Failure> {
    let client = clob::Client::new(url, clob::Config::default())?;
    let mut books = BTreeMap::new();
    for token in tokens {
        let request = OrderBookSummaryRequest::builder().token_id(*token).build();
        // It answers with an error where there is none.
        let Ok(book) = client.order_book(&request).await else {
            continue;
        };
        let side = |levels: Vec<clob::types::response::OrderSummary>| {
            let levels = levels.into_iter().map(|level| (level.price, level.size));
            rows(&levels.collect())
        };
        let (bids, asks) = (side(book.bids), side(book.asks));
        let shown = json!({ "hash": book.hash, "bids": bids, "asks": asks });
        books.insert(book.asset_id, shown);
    }
    Ok(books)
}

/// Standard input to its end, on a thread of its own: reading it cannot be given up.
fn end_of_input() -> tokio::sync::oneshot::Receiver<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let copied = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop((copied, sender.send(())));
    });
    receiver
}

// On one thread: the queue of the SDK holds 1,024 messages and forgets what is beyond that. A task
// that reads the socket on a thread of its own could outrun the one that takes messages.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [gamma, clob, socket] = &args[..] else {
        return Err("usage: follow GAMMA_URL CLOB_URL WS_URL".into());
    };
    let markets = markets(gamma).await?;
    let tokens: Vec<_> = markets
        .iter()
        .flat_map(|(_, tokens)| tokens.clone())
        .collect();
    let books = books(clob, &tokens).await?;

    // What its client puts together, whose streams have one kind of message each: which of two
    // kinds came first they do not say.
    let interest = Arc::new(InterestTracker::new());
    let config = polymarket_client_sdk_v2::ws::config::Config::default();
    let connection = ConnectionManager::new(socket.clone(), config, Arc::clone(&interest))?;
    let mut state = connection.state_receiver();
    let subscriptions = Arc::new(SubscriptionManager::new(connection, interest));
    subscriptions.start_reconnection_handler();
    let mut stream = Box::pin(subscriptions.subscribe_market(tokens)?);

    let mut followed = Followed::default();
    let mut connections = 0;
    let mut ended = end_of_input();
    let mut is_over = false;
    println!("following");
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(message) => followed.take(message?),
                None => break,
            },
            changed = state.changed() => {
                changed?;
                connections += u64::from(state.borrow_and_update().is_connected());
            }
            _ = &mut ended, if !is_over => is_over = true,
            () = tokio::time::sleep(QUIET), if is_over => break,
        }
    }
    let listed = markets.iter().map(|(condition, tokens)| {
        let tokens: Vec<_> = tokens.iter().map(ToString::to_string).collect();
        json!({ "condition_id": condition, "tokens": tokens })
    });
    let ends = by_token(
        followed.books,
        |(bids, asks)| json!({ "bids": rows(&bids), "asks": rows(&asks) }),
    );
    let shown = json!({
        "markets": listed.collect::<Vec<_>>(),
        "books": by_token(books, |book| book),
        "messages": by_token(followed.messages, Value::Array),
        "ends": ends,
        "connections": connections,
    });
    println!("{shown}");
    Ok(())
}
