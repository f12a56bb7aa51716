//! Each trade once, in whatever order feeds bring it.

use polypy_core::{
    BookChange, BookControl, FeedId, MarketEvent, Side, Timestamp, Trade, TradeKept,
};
use proptest::prelude::*;

use super::{Announced, Trades};
use crate::book::Origin;
use crate::config::WorkersConfig;
use crate::testing::{Harness, Truth, assets, one_worker, opened, opened_with, price, size, text};

#[test]
fn each_token_shows_its_own_last_trade_and_no_price_that_a_hash_was_made_with() {
    let bench = Harness::new(one_worker());
    let market = assets(1);
    let (mut yes, mut no) = (Truth::new(&market[0]), Truth::new(&market[1]));
    bench.open(1);
    bench.send(1, [yes.opening(), no.opening()]);
    let shown = |truth: &Truth| bench.view(truth).last_trade;
    // Both opening books were hashed with one; it may have been the other token's.
    assert_eq!((shown(&yes), shown(&no)), (None, None));
    yes.last_trade_price = "0.137";
    bench.send(1, [yes.change(Side::Bid, "0.49", "7")]);
    assert_eq!(shown(&yes), None, "found by trying, never announced");

    bench.send(1, [yes.trade("0.300")]);
    let last = shown(&yes).unwrap();
    assert_eq!(last.price.to_string(), "0.3");
    assert_eq!(last.size.to_string(), "12.345678");
    assert_eq!(last.side, Some(Side::Bid));
    assert_eq!(last.timestamp, Timestamp::from_millis(yes.now + 70));
    assert_eq!(shown(&no), None, "it is the other token's");

    // An older one that comes later, as over a second feed, takes nothing back.
    let older = yes.trade("0.31");
    yes.now += 500;
    bench.send(1, [yes.trade("0.32"), older]);
    assert_eq!(shown(&yes).unwrap().price.to_string(), "0.32");
    no.now += 10;
    bench.send(1, [no.trade("0.68")]);
    assert_eq!(shown(&no).unwrap().price.to_string(), "0.68");
    assert_eq!(shown(&yes).unwrap().price.to_string(), "0.32");

    bench.router.forget(&[yes.key()]);
    bench.settle_down();
    bench.send(1, [yes.trade("0.33")]);
    let partition = bench.worker().books();
    assert_eq!(partition.last_trade(yes.key()), None);
    assert!(partition.last_trade(no.key()).is_some());
}

/// A print at this millisecond.
fn print(at: u64, print: u64) -> Trade {
    Trade {
        asset: assets(1)[0].key,
        timestamp: Timestamp::from_millis(1_000_000 + at),
        price: price("0.5"),
        price_text: text("0.500"),
        size: size("10"),
        side: Some(Side::Bid),
        print,
    }
}

fn by(feed: u64) -> Origin {
    Origin {
        feed: FeedId(feed),
        number: 1,
        closed: None,
        received: std::time::Instant::now().into(),
    }
}

/// Which number the trade has, if it is a new one.
fn number(trades: &mut Trades, trade: &Trade, feed: u64) -> Option<u64> {
    match trades.note(trade, by(feed)).what {
        Announced::New(kept) => Some(kept.sequence),
        Announced::Repeated => None,
        Announced::NotKept => unreachable!(),
    }
}

#[test]
fn equal_prints_of_one_millisecond_are_as_many_trades_as_one_feed_has_brought() {
    let mut trades = Trades::new(10);
    let one = print(1, 7);
    assert_eq!(number(&mut trades, &one, 1), Some(1));
    assert_eq!(number(&mut trades, &one, 1), Some(2), "one feed, twice");
    assert_eq!(number(&mut trades, &one, 2), None);
    assert_eq!(number(&mut trades, &one, 2), None);
    assert_eq!(number(&mut trades, &one, 2), Some(3), "ahead of the other");
    assert_eq!(number(&mut trades, &one, 1), None);
    // Of another transaction.
    assert_eq!(number(&mut trades, &print(1, 8), 2), Some(4));
    assert_eq!(number(&mut trades, &print(2, 7), 1), Some(5));
    assert_eq!(number(&mut trades, &print(2, 8), 2), Some(6));
    // A third feed, as during a hand-over, adds none.
    for _ in 0..3 {
        assert_eq!(number(&mut trades, &one, 3), None);
    }
    let (sequence, kept) = trades.newest(one.asset, 2);
    let numbers: Vec<_> = kept.iter().map(|kept| kept.sequence).collect();
    assert_eq!((sequence, numbers), (6, vec![6, 5]));
}

#[test]
fn a_feed_that_is_late_adds_none_of_what_is_kept_no_longer() {
    let mut trades = Trades::new(3);
    for at in 1..=5 {
        assert_eq!(number(&mut trades, &print(at, at), 1), Some(at));
    }
    for at in 1..=5 {
        assert_eq!(number(&mut trades, &print(at, at), 2), None, "{at}");
    }
    assert_eq!(number(&mut trades, &print(6, 6), 2), Some(6));
    let (sequence, kept) = trades.newest(print(0, 0).asset, 10);
    assert_eq!((sequence, kept.len()), (6, 3));
    let bytes = trades.bytes();
    assert_eq!(number(&mut trades, &print(7, 7), 1), Some(7));
    assert_eq!(trades.bytes(), bytes, "as many are kept as before");
    // The venue's clock is set back: all that follows is as old.
    let mut before = print(0, 9);
    before.timestamp = Timestamp::from_millis(900_000);
    assert_eq!(number(&mut trades, &before, 1), Some(8));
    trades.forget(before.asset);
    assert_eq!((trades.bytes(), trades.last(before.asset)), (0, None));
}

proptest! {
    /// Two feeds bring the same prints, each in its order, and one of them not all.
    #[test]
    fn in_whatever_order_two_feeds_bring_them_each_trade_is_kept_once(
        prints in prop::collection::vec((0..3u64, 0..2u64), 1..40),
        turns in prop::collection::vec((any::<bool>(), 0..4u8), 0..100),
    ) {
        let mut trades = Trades::new(1_000);
        let mut at = 0;
        let all: Vec<_> = prints
            .iter()
            .map(|(later, of)| {
                at += later;
                print(at, *of)
            })
            .collect();
        let (mut next, mut kept) = ([0, 0], 0);
        for (is_second, skip) in turns {
            let place = &mut next[usize::from(is_second)];
            let Some(trade) = all.get(*place) else {
                continue;
            };
            *place += 1;
            // The first feed brings all that the second does.
            if is_second && skip == 0 {
                continue;
            }
            let feed = 1 + u64::from(is_second);
            kept += usize::from(number(&mut trades, trade, feed).is_some());
        }
        for trade in &all[next[0]..] {
            kept += usize::from(number(&mut trades, trade, 1).is_some());
        }
        prop_assert_eq!(kept, all.len());
        let (sequence, newest) = trades.newest(all[0].asset, all.len());
        prop_assert_eq!(sequence, all.len() as u64);
        let mut shown: Vec<_> = newest.iter().map(|kept| kept.trade.timestamp).collect();
        let told: Vec<_> = all.iter().map(|trade| trade.timestamp).collect();
        shown.sort_unstable();
        prop_assert_eq!(shown, told);
    }
}

#[test]
fn followers_and_readers_are_told_of_each_trade_with_its_number() {
    let (bench, mut truth) = opened();
    bench.open(2);
    bench.send(2, [truth.opening()]);
    assert!(bench.follow(&truth));
    bench.written.take();
    let first = truth.trade("0.48");
    bench.send(1, [first.clone()]);
    bench.send(2, [first]);
    truth.now += 5;
    bench.send(2, [truth.trade("0.52")]);
    let written = bench.written.take();
    let [BookChange::Trade(one), BookChange::Trade(two)] = &written[..] else {
        panic!("{written:?}")
    };
    assert_eq!((one.sequence, two.sequence), (1, 2));
    assert_eq!(one.asset, truth.key());
    assert_eq!(one.trade.price, price("0.48"));
    let counted = (bench.count("trades"), bench.count("trades_repeated"));
    assert_eq!(counted, (3, 1));
    let view = bench.store.trades(truth.key(), 10).unwrap();
    assert_eq!(view.sequence, 2);
    assert_eq!(view.trades, [**two, **one]);
    assert_eq!(view.key_life, bench.view(&truth).key_life);
    let newest: Vec<TradeKept> = bench.store.trades(truth.key(), 1).unwrap().trades;
    assert_eq!(newest, [**two]);

    assert!(bench.unfollow(&truth));
    truth.now += 5;
    bench.send(1, [truth.trade("0.5")]);
    assert_eq!(bench.written.take().len(), 0);
    bench.router.forget(&[truth.key()]);
    assert_eq!(bench.store.trades(truth.key(), 1), None);
    bench.settle_down();
    assert_eq!(bench.store.trades(truth.key(), 1), None);
}

#[test]
fn where_none_is_kept_there_is_still_a_last_one() {
    let (bench, truth) = opened_with(WorkersConfig {
        trades_kept: 0,
        ..one_worker()
    });
    assert!(bench.follow(&truth));
    bench.written.take();
    bench.send(1, [truth.trade("0.48")]);
    assert_eq!(bench.written.take().len(), 0);
    let last = bench.view(&truth).last_trade.unwrap();
    assert_eq!(last.price, price("0.48"));
    let view = bench.store.trades(truth.key(), 10).unwrap();
    assert_eq!((view.sequence, view.trades.len()), (0, 0));
}

#[test]
fn trades_count_as_memory() {
    let (bench, mut truth) = opened();
    let before = bench.memory_bytes();
    for _ in 0..10 {
        truth.now += 1;
        bench.send(1, [truth.trade("0.48")]);
    }
    let grown = bench.memory_bytes() - before;
    assert!((500..2_000).contains(&grown), "{grown} bytes");
    bench.router.forget(&[truth.key()]);
    bench.settle_down();
    assert!(bench.memory_bytes() < before);
}

#[test]
fn a_token_without_a_book_has_no_trades() {
    let bench = Harness::new(one_worker());
    let truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    let trade: MarketEvent = truth.trade("0.48");
    bench.send(1, [trade]);
    assert_eq!(bench.store.trades(truth.key(), 10), None);
}

#[test]
fn each_token_takes_memory_and_each_trade_that_is_kept() {
    let of = |number: usize, at: u64| Trade {
        asset: assets(2)[number].key,
        ..print(at, at)
    };
    let mut trades = Trades::new(0);
    assert_eq!(trades.bytes(), 0);
    trades.note(&of(0, 1), by(1));
    let token = trades.bytes();
    assert!((50..300).contains(&token), "{token}");
    trades.note(&of(1, 1), by(1));
    assert_eq!(trades.bytes(), 2 * token);

    let mut trades = Trades::new(10);
    trades.note(&of(0, 1), by(1));
    let each = trades.bytes() - token;
    assert!((50..150).contains(&each), "{each}");
    trades.note(&of(0, 2), by(1));
    trades.note(&of(1, 3), by(1));
    assert_eq!(trades.bytes(), 2 * token + 3 * each);
}

#[test]
fn the_last_trade_is_another_one_with_each_that_is_not_older() {
    let mut trades = Trades::new(10);
    let mut is_last = |at, feed| trades.note(&print(at, at), by(feed)).is_last;
    assert!(is_last(2, 1), "the first");
    assert!(!is_last(2, 2), "the same");
    assert!(!is_last(1, 1), "an older one");
    assert!(is_last(3, 1));
    assert!(is_last(4, 2));
}
