use std::collections::BTreeMap;
use std::sync::Arc;

use polypy_core::{
    AssetInfo, Interner, Level, Price, PriceChange, Side, Size, TickSizeChange, Top,
};
use proptest::prelude::*;

use super::*;

fn info() -> Arc<AssetInfo> {
    let (asset, condition) = ("1".parse().unwrap(), "0x1".parse().unwrap());
    Interner::default().insert(&asset, &condition, |key| {
        AssetInfo::new(key, asset.clone(), condition.clone())
    })
}

fn named(hash: u8) -> BookHash {
    BookHash::from_hex(format!("{hash:040x}").as_bytes()).unwrap()
}

fn book(at: u64, hash: Option<u8>) -> BookEvent {
    BookEvent {
        info: info(),
        timestamp: Timestamp::from_millis(at),
        hash: hash.map(named),
        bids: Vec::new(),
        asks: Vec::new(),
        tick_size: None,
        last_trade_price: None,
        min_order_size: None,
        neg_risk: None,
        version: None,
    }
}

fn change(at: u64, hash: Option<u8>) -> MarketEvent {
    level(at, hash.map(named), "0.5", 1)
}

fn level(at: u64, hash: Option<BookHash>, price: &str, size: u64) -> MarketEvent {
    MarketEvent::PriceChange(PriceChange {
        asset: info().key,
        timestamp: Timestamp::from_millis(at),
        side: Side::Bid,
        price: price.parse().unwrap(),
        size: size.to_string().parse().unwrap(),
        hash,
        best_bid: Top::Unstated,
        best_ask: Top::Unstated,
        last_in_frame: true,
    })
}

/// The kept changes behind the book, as (time, hash); `None` for a refusal.
fn rest(joined: Joined) -> (&'static str, Vec<u64>) {
    let (how, events) = match joined {
        Joined::ByHash(events) => ("hash", events),
        Joined::ByTime(events) => ("time", events),
        Joined::Refused => return ("refused", Vec::new()),
    };
    assert!(matches!(events[0], MarketEvent::Book(_)));
    let times = events[1..].iter();
    (how, times.map(|event| time(event).millis()).collect())
}

/// A run that heard `before`, then keeps `kept`, and gets `book`.
fn run(before: &[MarketEvent], kept: &[MarketEvent], book: BookEvent, now: Instant) -> Run {
    let mut run = Run::default();
    before.iter().for_each(|event| run.hear(event));
    run.begin();
    kept.iter().for_each(|event| run.hear(event));
    assert!(run.park(book, now));
    run
}

#[test]
fn a_book_is_joined_where_its_hash_was_stated_and_by_time_where_it_was_not() {
    let a = |at, hash| change(at, Some(hash));
    let cases: [(&str, Vec<_>, Vec<_>, BookEvent, _); 11] = [
        (
            "in the middle of one millisecond",
            vec![],
            vec![a(5, 1), a(5, 2), a(5, 3), a(6, 4)],
            book(5, Some(2)),
            Some(("hash", vec![5, 6])),
        ),
        (
            "several changes of one state",
            vec![],
            vec![a(5, 1), a(5, 2), a(5, 2), a(5, 2), a(6, 4)],
            book(5, Some(2)),
            Some(("hash", vec![6])),
        ),
        (
            "back to the same state within a millisecond",
            vec![],
            vec![a(5, 1), a(5, 2), a(5, 1), a(5, 3)],
            book(5, Some(1)),
            Some(("hash", vec![5])),
        ),
        (
            "the last state before the kept ones",
            vec![a(4, 8), a(5, 9)],
            vec![a(5, 1), a(6, 2)],
            book(5, Some(9)),
            Some(("hash", vec![5, 6])),
        ),
        (
            "nothing happened since",
            vec![a(5, 9)],
            vec![],
            book(5, Some(9)),
            Some(("hash", vec![])),
        ),
        (
            "no hashes at all, the feed is past it",
            vec![],
            vec![change(4, None), change(5, None), change(6, None)],
            book(5, None),
            Some(("time", vec![5, 6])),
        ),
        (
            "a hash that was never stated, the feed is past it",
            vec![a(3, 7)],
            vec![a(4, 1), a(5, 2), a(6, 3)],
            book(5, Some(99)),
            Some(("time", vec![5, 6])),
        ),
        (
            "a change between the book and the kept ones was let go",
            vec![a(6, 9)],
            vec![a(7, 1)],
            book(5, Some(99)),
            Some(("refused", vec![])),
        ),
        (
            "so too within one millisecond",
            vec![a(5, 9)],
            vec![a(7, 1)],
            book(5, Some(8)),
            Some(("refused", vec![])),
        ),
        (
            "the book is ahead of the feed",
            vec![a(3, 9)],
            vec![a(4, 1)],
            book(6, Some(3)),
            None,
        ),
        (
            "the feed is in the middle of the book's millisecond",
            vec![a(3, 9)],
            vec![a(6, 1)],
            book(6, Some(3)),
            None,
        ),
    ];
    let now = Instant::now();
    for (what, before, kept, book, expected) in cases {
        let joined = run(&before, &kept, book, now).join(now).map(rest);
        assert_eq!(joined, expected, "{what}");
    }
}

#[test]
fn a_book_ahead_of_its_feed_waits_for_it_and_not_for_ever() {
    let now = Instant::now();
    let early = [change(4, Some(1))];
    let mut waits = run(&[], &early, book(6, Some(3)), now);
    assert!(waits.join(now).is_none());
    waits.hear(&change(6, Some(2)));
    assert!(waits.join(now).is_none());
    waits.hear(&change(6, Some(3)));
    waits.hear(&change(6, Some(4)));
    assert_eq!(waits.join(now).map(rest), Some(("hash", vec![6])));
    assert!(!waits.is_kept() && !waits.is_parked());

    let mut passes = run(&[], &early, book(6, Some(3)), now);
    passes.hear(&change(6, Some(8)));
    passes.hear(&change(7, Some(9)));
    assert_eq!(passes.join(now).map(rest), Some(("time", vec![6, 7])));

    let mut silent = run(&[], &early, book(6, Some(3)), now);
    assert!(
        silent
            .join(now + CATCH_UP - Duration::from_millis(1))
            .is_none()
    );
    assert_eq!(
        silent.join(now + CATCH_UP).map(rest),
        Some(("time", vec![]))
    );
}

#[test]
fn what_is_behind_is_refused_a_few_times_only() {
    let now = Instant::now();
    let mut behind = run(&[change(9, Some(9))], &[], book(5, Some(1)), now);
    for _ in 0..MOST_REFUSED {
        assert_eq!(behind.join(now).map(rest), Some(("refused", vec![])));
        assert!(!behind.is_kept());
        behind.begin();
        assert!(behind.park(book(5, Some(1)), now));
    }
    assert_eq!(behind.join(now).map(rest), Some(("time", vec![])));
}

#[test]
fn an_answer_without_a_book_lets_go_of_what_was_kept_and_remembers_where_it_ended() {
    let now = Instant::now();
    let mut run = run(&[], &[], book(1, None), now);
    run.begin();
    run.hear(&change(5, Some(1)));
    run.hear(&change(6, Some(2)));
    run.end();
    run.begin();
    assert!(run.park(book(5, Some(1)), now));
    assert_eq!(run.join(now).map(rest), Some(("refused", vec![])));
    // After a gap nobody knows.
    run.break_off();
    run.begin();
    assert!(run.park(book(6, Some(2)), now));
    assert!(run.join(now).is_none());
}

#[test]
fn what_is_older_than_the_book_does_not_follow_it_whatever_it_is() {
    let now = Instant::now();
    let tick = |at| {
        MarketEvent::TickSizeChange(TickSizeChange {
            asset: info().key,
            timestamp: Timestamp::from_millis(at),
            old: None,
            new: polypy_core::DecimalText::new("0.001").unwrap(),
        })
    };
    let mut old = run(
        &[],
        &[tick(4), change(6, None), tick(7)],
        book(5, None),
        now,
    );
    assert_eq!(old.join(now).map(rest), Some(("time", vec![6, 7])));
}

/// A model of the venue: levels, and a hash that names time and levels.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    at: u64,
    levels: BTreeMap<Price, Size>,
}

impl Model {
    fn apply(&mut self, event: &MarketEvent) {
        match event {
            MarketEvent::PriceChange(change) => {
                self.at = change.timestamp.millis();
                if change.size == Size::ZERO {
                    self.levels.remove(&change.price);
                } else {
                    self.levels.insert(change.price, change.size);
                }
            }
            MarketEvent::Book(book) => {
                self.at = book.timestamp.millis();
                self.levels = book.bids.iter().map(|l| (l.price, l.size)).collect();
            }
            _ => {}
        }
    }

    fn hash(&self) -> BookHash {
        let mut text = format!("{self:?}").into_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in text.drain(..) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        BookHash::from_hex(format!("{hash:040x}").as_bytes()).unwrap()
    }

    fn book(&self) -> BookEvent {
        let levels = self.levels.iter();
        BookEvent {
            hash: Some(self.hash()),
            bids: levels
                .map(|(&price, &size)| Level { price, size })
                .collect(),
            ..book(self.at, None)
        }
    }
}

proptest! {
    /// Wherever REST cuts a run of changes, whenever keeping began and wherever
    /// the feed is when the answer comes: the book and what follows it make the
    /// state the feed has come to, or the book is refused. Few levels, few
    /// sizes and few milliseconds: states recur within one of them.
    #[test]
    fn book_and_following_changes_make_the_final_book(
        changes in prop::collection::vec((0u64..2, 0usize..3, 0u64..3), 1..24),
        cut in 0usize..24,
        begin in 0usize..24,
        answer in 0usize..24,
    ) {
        let mut model = Model { at: 1_000, ..Model::default() };
        let mut states = vec![model.clone()];
        let mut events = Vec::new();
        for (later, price, size) in changes {
            let price = ["0.1", "0.2", "0.3"][price];
            let mut event = level(model.at + later, None, price, size);
            model.apply(&event);
            if let MarketEvent::PriceChange(change) = &mut event {
                change.hash = Some(model.hash());
            }
            events.push(event);
            states.push(model.clone());
        }
        let count = events.len();
        let begin = begin.min(count);
        let (cut, answer) = (cut.min(count), answer.clamp(begin, count.max(begin)));
        let now = Instant::now();
        let mut run = Run::default();
        events[..begin].iter().for_each(|event| run.hear(event));
        run.begin();
        events[begin..answer].iter().for_each(|event| run.hear(event));
        prop_assert!(run.park(states[cut].book(), now));
        let (mut heard, mut now) = (answer, now);
        let joined = loop {
            if let Some(joined) = run.join(now) {
                break joined;
            }
            match events.get(heard) {
                Some(event) => run.hear(event),
                None => now += CATCH_UP,
            }
            heard = (heard + 1).min(count);
        };
        match joined {
            Joined::ByHash(out) => {
                let mut found = Model::default();
                out.iter().for_each(|event| found.apply(event));
                prop_assert_eq!(&found.levels, &states[heard].levels);
            }
            // Every change states its hash: time is needed only where the book
            // is older than anything that was heard.
            Joined::ByTime(out) => {
                prop_assert_eq!((cut, begin), (0, 0));
                let mut found = Model::default();
                out.iter().for_each(|event| found.apply(event));
                prop_assert_eq!(&found.levels, &states[heard].levels);
            }
            Joined::Refused => prop_assert!(cut < begin),
        }
    }
}
