use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::{Clock, Timestamp};
use serde_json::Value;

use super::*;
use crate::exchange::Exchange;
use crate::render;

struct StepClock(AtomicU64);

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn exchange(seed: u64) -> Exchange {
    let config = SimConfig {
        seed,
        markets: 30,
        events_per_second: 1_000.0,
        new_markets_per_minute: 60.0,
        resolve_per_minute: 60.0,
        ..SimConfig::for_tests()
    };
    let clock = StepClock(AtomicU64::new(1_795_000_000_000));
    Exchange::new(Arc::new(config), Arc::new(clock), false)
}

/// Everything that can be seen of the truth, but for time.
fn digest(exchange: &Exchange) -> String {
    let mut text = String::new();
    for (_, token) in exchange.venue.tokens() {
        let levels =
            [Side::Bid, Side::Ask].map(|side| token.book.worst_first(side).collect::<Vec<_>>());
        text += &format!("{:?} {} {levels:?}\n", token.info.asset_id, token.sequence);
    }
    text
}

#[tokio::test]
async fn the_same_seed_gives_the_same_events() {
    let run = |seed, steps| {
        let mut exchange = exchange(seed);
        (0..steps).for_each(|_| exchange.step());
        digest(&exchange)
    };
    assert_eq!(run(3, 20_000), run(3, 20_000));
    assert_ne!(run(3, 1_000), run(4, 1_000));
}

#[tokio::test]
async fn books_stay_sane_and_the_second_outcome_is_the_mirror() {
    let mut exchange = exchange(1);
    for step in 0..30_000 {
        exchange.step();
        if step % 500 != 0 {
            continue;
        }
        for market in exchange
            .venue
            .markets
            .iter()
            .filter(|market| market.is_live())
        {
            let [first, second] = &market.tokens[..] else {
                panic!("two tokens")
            };
            assert!(!first.book.is_crossed(), "step {step}");
            assert!(
                first
                    .book
                    .spread()
                    .is_none_or(|spread| spread.ten_millionths() > 0)
            );
            assert_eq!(first.book.mirror(), second.book, "step {step}");
            for side in [Side::Bid, Side::Ask] {
                for level in first.book.levels(side) {
                    assert!(level.price > Price::ZERO && level.price < Price::ONE);
                    assert!(
                        level.size.millionths().is_multiple_of(10_000),
                        "two decimals"
                    );
                    let tick = millionths(market.tick_size);
                    assert!(level.price.millionths().is_multiple_of(tick), "on the grid");
                }
            }
        }
    }
    let totals = exchange.stats().totals;
    assert!(totals.trades > 200, "{totals:?}");
    assert!(totals.markets_announced > 0, "{totals:?}");
    assert!(totals.markets_settled > 0, "{totals:?}");
}

#[tokio::test]
async fn prices_wander_to_the_edges_and_ticks_refine() {
    let config = SimConfig {
        markets: 10,
        ..SimConfig::for_tests()
    };
    let clock = StepClock(AtomicU64::new(1_795_000_000_000));
    let mut exchange = Exchange::new(Arc::new(config), Arc::new(clock), false);
    (0..60_000).for_each(|_| exchange.step());
    assert!(exchange.stats().totals.tick_changes > 0);
}

#[tokio::test]
async fn a_few_markets_are_hot_and_most_are_quiet() {
    let mut exchange = exchange(5);
    (0..10_000).for_each(|_| exchange.step());
    let mut moves: Vec<u64> = exchange
        .venue
        .markets
        .iter()
        .map(|market| market.tokens[0].sequence)
        .collect();
    moves.sort_unstable_by(|a, b| b.cmp(a));
    assert!(moves[0] > 10 * moves[moves.len() / 2], "{moves:?}");
}

/// Every rendered hash is the SHA-1 of what was rendered, computed here from
/// the frame's own text and the market's constants.
#[tokio::test]
async fn every_rendered_hash_verifies_by_fingerprint() {
    let mut exchange = exchange(2);
    let mut entries = 0;
    for step in 0..3_000 {
        exchange.step();
        let market = step % exchange.venue.markets.len();
        let state = &mut exchange.venue.markets[market];
        for outcome in 0..2 {
            let opening: Value =
                serde_json::from_str(&render::opening_book(state, outcome)).unwrap();
            let later: Value = serde_json::from_str(&render::later_book(state, outcome)).unwrap();
            let rest: Value = serde_json::from_str(&render::rest_book(state, outcome)).unwrap();
            let attributes = Attributes {
                info: &state.tokens[outcome].info,
                timestamp: Timestamp::from_millis(
                    opening["timestamp"].as_str().unwrap().parse().unwrap(),
                ),
                tick_size: opening["tick_size"].as_str().unwrap(),
                min_order_size: rest["min_order_size"].as_str().unwrap(),
                neg_risk: rest["neg_risk"].as_bool().unwrap(),
                version: None,
                form: Form::Ten,
            };
            let levels = |side: &str| -> Vec<Level> {
                opening[side]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|level| {
                        let text = |key: &str| level[key].as_str().unwrap().to_owned();
                        Level::new(
                            text("price").parse().unwrap(),
                            text("size").parse().unwrap(),
                        )
                    })
                    .collect()
            };
            let mut book = OrderBook::default();
            book.apply_snapshot(levels("bids"), levels("asks"));
            let hash = Fingerprint::new(&book, &attributes)
                .with_last_trade_price(opening["last_trade_price"].as_str().unwrap())
                .to_string();
            for form in [&opening, &later, &rest] {
                assert_eq!(form["hash"], hash.as_str());
                assert_eq!(form["bids"], opening["bids"]);
            }
        }
        let change = LevelChange {
            side: Side::Bid,
            price: "0.5".parse().unwrap(),
            size: Size::ZERO,
        };
        let text = render::price_change(state, &[change]);
        let frame: Value = serde_json::from_str(&text).unwrap();
        for outcome in 0..2 {
            let entry = &frame["price_changes"][outcome];
            assert_eq!(entry["hash"], state.hash(outcome).to_string());
            entries += 1;
        }
    }
    assert_eq!(entries, 6_000);
}

#[test]
fn refining_keeps_every_price_on_the_grid() {
    for (tick, finer_tick) in [("0.1", "0.01"), ("0.01", "0.001"), ("0.005", "0.001")] {
        let finer = finer(DecimalText::new(tick).unwrap()).unwrap();
        assert_eq!(finer.as_str(), finer_tick);
    }
    for tick in ["0.0025", "0.001", "0.0001"] {
        assert_eq!(finer(DecimalText::new(tick).unwrap()), None, "{tick}");
    }
}
