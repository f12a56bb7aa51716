use std::collections::HashMap;

use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::{BookHash, MarketEvent, Price, PriceChange, Side, Timestamp, Top};
use polypy_net::wire::{Decoded, Frame, WireStats, decode};

use super::*;

/// What a client knows that believes everything it is told.
struct Client {
    fewest: usize,
    interner: Interner,
    stats: WireStats,
    books: HashMap<AssetKey, (OrderBook, String)>,
    /// For each change, its depth counted from the touch before it; none if it
    /// improves the touch.
    depths: Vec<Option<usize>>,
    removals: usize,
    /// Prices told in the newest millisecond, by asset.
    told: HashMap<AssetKey, (Timestamp, Vec<Price>)>,
}

impl Client {
    fn of(corpus: Corpus) -> Self {
        Self::hearing(corpus, 20)
    }

    /// One that expects sides of so many levels at least.
    fn hearing(corpus: Corpus, fewest: usize) -> Self {
        let mut client = Self {
            fewest,
            interner: corpus.interner,
            stats: WireStats::default(),
            books: HashMap::new(),
            depths: Vec::new(),
            removals: 0,
            told: HashMap::new(),
        };
        for opening in &corpus.openings {
            client.hear(opening);
        }
        for frame in &corpus.frames {
            client.hear(frame);
        }
        client
    }

    fn hear(&mut self, frame: &str) {
        let mut decoded = Decoded::default();
        let kind = decode(frame.as_bytes(), &self.interner, &self.stats, &mut decoded);
        assert_eq!((kind, decoded.errors), (Frame::Data, 0), "{frame}");
        for event in &decoded.events {
            match event {
                MarketEvent::Book(event) => {
                    let mut book = OrderBook::default();
                    book.apply_snapshot(event.bids.clone(), event.asks.clone());
                    assert_eq!((event.bids.len(), event.asks.len()), (30, 30));
                    let tick = event.tick_size.unwrap().to_string();
                    assert_eq!(event.last_trade_price.unwrap().as_str(), "0.500");
                    self.books.insert(event.info.key, (book, tick));
                    self.check(event.info.key, event.timestamp, event.hash);
                }
                MarketEvent::PriceChange(change) => self.apply(change),
                other => unreachable!("{other:?}"),
            }
        }
        // After the whole batch: the stated tops and hashes are of then.
        for event in &decoded.events {
            if let MarketEvent::PriceChange(change) = event {
                let (book, _) = &self.books[&change.asset];
                let top = |level: Option<Level>| Top::At(level.unwrap().price);
                assert_eq!(change.best_bid, top(book.best_bid()), "{frame}");
                assert_eq!(change.best_ask, top(book.best_ask()), "{frame}");
                assert!(book.best_bid().unwrap().price < book.best_ask().unwrap().price);
                self.check(change.asset, change.timestamp, change.hash);
            }
        }
    }

    fn apply(&mut self, change: &PriceChange) {
        let PriceChange {
            side, price, size, ..
        } = *change;
        let told = self.told.entry(change.asset).or_default();
        if told.0 != change.timestamp {
            *told = (change.timestamp, Vec::new());
        }
        // Or nobody could tell which state is the later one.
        assert!(!told.1.contains(&price), "twice in a millisecond");
        told.1.push(price);
        let (book, _) = self.books.get_mut(&change.asset).unwrap();
        let depth = book
            .levels(side)
            .take_while(|level| match side {
                Side::Bid => level.price > price,
                Side::Ask => level.price < price,
            })
            .count();
        let best = book.levels(side).next().unwrap().price;
        self.depths
            .push((best == price || depth > 0).then_some(depth));
        self.removals += usize::from(size.is_zero());
        assert_ne!(book.size_at(side, price), size, "changes nothing");
        book.apply_change(side, price, size);
        assert!((self.fewest..=40).contains(&book.worst_first(side).len()));
    }

    fn check(&self, asset: AssetKey, timestamp: Timestamp, hash: Option<BookHash>) {
        let (book, tick) = &self.books[&asset];
        let attributes = Attributes {
            info: self.interner.info(asset).unwrap(),
            timestamp,
            tick_size: tick,
            min_order_size: "5",
            neg_risk: false,
            version: None,
            form: Form::Ten,
        };
        let ours = Fingerprint::new(book, &attributes).with_last_trade_price("0.500");
        assert_eq!(Some(ours), hash);
    }
}

#[test]
fn every_statement_is_true() {
    let corpus = Corpus::seeded(40, 20_000);
    let truth: Vec<_> = corpus.books.clone();
    let changes = corpus.changes;
    let client = Client::of(corpus);
    assert_eq!(client.depths.len(), changes);
    assert_eq!(client.books.len(), 40);
    for (info, book) in truth {
        assert_eq!(client.books[&info.key].0, book);
    }
    assert_eq!(client.stats.snapshot().general_frames, 0);
}

#[test]
fn a_cycle_ends_where_it_began_and_every_statement_is_true() {
    let corpus = Corpus::cyclic(40, 5_000);
    let truth: Vec<_> = corpus.books.clone();
    let (changes, openings) = (corpus.changes, corpus.openings.clone());
    assert!(corpus.frames.len() > 5_000 + 40);
    let unmoved = Corpus::seeded(40, 0);
    assert_eq!(unmoved.openings, openings);
    for ((_, book), (_, opening)) in truth.iter().zip(&unmoved.books) {
        assert_eq!(book, opening);
    }
    // Taken back, what came goes before what went comes.
    let client = Client::hearing(corpus, 1);
    assert_eq!(client.depths.len(), changes);
    for (info, book) in truth {
        assert_eq!(client.books[&info.key].0, book);
    }
}

#[test]
fn frames_are_as_the_venue_s() {
    let corpus = Corpus::seeded(2_000, 20_000);
    assert!(
        (630..=660).contains(&corpus.frame_bytes()),
        "{}",
        corpus.frame_bytes()
    );
    let permille = corpus.changes * 1_000 / corpus.frames.len();
    assert!((2_180..=2_220).contains(&permille), "{permille}");
    let fine = corpus
        .openings
        .iter()
        .filter(|opening| opening.contains(r#""tick_size":"0.001""#));
    assert!((500..=700).contains(&fine.count()));
    let millis = |frame: &String| {
        let (_, rest) = frame.split_once(r#""timestamp":""#).unwrap();
        rest[..13].parse::<u64>().unwrap()
    };
    let times: Vec<_> = corpus.frames.iter().map(millis).collect();
    let same = times.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(times.is_sorted());
    assert!((3_000..3_700).contains(&same), "{same}");
}

#[test]
fn changes_fall_where_they_do_at_the_venue() {
    let client = Client::of(Corpus::seeded(100, 20_000));
    let share = |wanted: &dyn Fn(Option<usize>) -> bool| {
        let found = client.depths.iter().filter(|depth| wanted(**depth)).count();
        found * 100 / client.depths.len()
    };
    let touch = share(&|depth| depth.is_none_or(|depth| depth == 0));
    let near = share(&|depth| depth.is_some_and(|depth| (1..=10).contains(&depth)));
    let further = share(&|depth| depth.is_some_and(|depth| (11..=30).contains(&depth)));
    assert!((7..=10).contains(&touch), "{touch}");
    assert!((70..=77).contains(&near), "{near}");
    assert!((13..=22).contains(&further), "{further}");
    let removals = client.removals * 100 / client.depths.len();
    assert!((9..=12).contains(&removals), "{removals}");
}

#[test]
fn each_doubling_of_the_rank_has_the_same_share_of_the_traffic() {
    let mut rng = Rng::with_seed(1);
    let mut doublings = [0_usize; 10];
    for _ in 0..100_000 {
        let rank = rank(&mut rng, 1_000);
        doublings[(rank + 1).ilog2() as usize] += 1;
    }
    // The last is not whole: up to a thousand instead of 1,023.
    let (last, whole) = doublings.split_last().unwrap();
    for number in whole {
        assert!((9_700..10_400).contains(number), "{doublings:?}");
    }
    assert!((9_400..10_100).contains(last), "{doublings:?}");
}

#[test]
fn busy_markets_stand_anywhere() {
    let corpus = Corpus::seeded(2_000, 20_000);
    let mut told = HashMap::<&str, usize>::new();
    for frame in &corpus.frames {
        *told.entry(&frame[..80]).or_default() += 1;
    }
    let market = |opening: &String| told.get(&opening[1..81]).copied().unwrap_or(0);
    let by_place: Vec<_> = corpus.openings.iter().step_by(2).map(market).collect();
    let busiest = by_place.iter().max().unwrap();
    assert!((1_800..2_300).contains(busiest), "{busiest}");
    let half: usize = by_place[..500].iter().sum();
    assert!((3_000..17_000).contains(&half), "{half}");
}

#[test]
fn even_traffic_is_of_all_markets_alike() {
    let corpus = Corpus::even(200, 20_000);
    let mut told = HashMap::<&str, usize>::new();
    for frame in &corpus.frames[corpus.warm_up..] {
        *told.entry(&frame[..80]).or_default() += 1;
    }
    assert_eq!(told.len(), 100);
    assert!(told.values().all(|frames| (140..270).contains(frames)));
    Client::of(corpus);
}

#[test]
fn the_same_sizes_give_the_same_corpus() {
    let (one, two) = (Corpus::seeded(20, 100), Corpus::seeded(20, 100));
    assert_eq!((one.openings, one.frames), (two.openings, two.frames));
    assert_eq!(one.books, two.books);
}
