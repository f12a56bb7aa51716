//! The short way for calm books against the general one.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use polypy_core::{
    AuditSink, BookChange, EventSink, FeedId, MarketEvent, Side, StaleReason, StatsSource,
    Timestamp, Top,
};

use super::fast_path::FAST_PATH_FORBIDDEN;
use crate::config::{HashChecking, IntegrityConfig, WorkersConfig};
use crate::testing::{Harness, Truth, altered, assets, one_worker, price, timeless};

/// What is told of a market whose two tokens mirror each other.
#[derive(Debug, Clone)]
enum Step {
    /// A frame of these orders, each at a tick and of a size.
    Orders(Vec<(u8, u8)>),
    /// A frame goes wrong on its way.
    Damaged(u8, u8, Damage),
    /// A trade, a finer grid, a whole book, or one fetched apart.
    Said(u8),
    /// All that was told so far is applied.
    Settle,
    /// Time passes.
    Look,
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    /// One token's half is never sent.
    HalfLost,
    /// It is sent twice.
    Twice,
    /// It says another top, or none.
    Top,
    NoTop,
    /// It has another hash, or none.
    Hash,
    NoHash,
    /// It is older than what came before.
    Old,
    /// It crosses the book, or locks it.
    Crossed,
    Locked,
    /// It comes on another feed.
    OtherFeed,
    /// Something is lost beside it.
    Marked,
    /// A price that no grid has, and a size that no level had.
    Odd,
}

fn damage() -> impl Strategy<Value = Damage> {
    use Damage::*;
    prop::sample::select(vec![
        HalfLost, Twice, Top, NoTop, Hash, NoHash, Old, Crossed, Locked, OtherFeed, Marked, Odd,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    let order = || (35..65u8, 0..5u8);
    prop_oneof![
        20 => prop::collection::vec(order(), 1..3).prop_map(Step::Orders),
        6 => (order(), damage()).prop_map(|((tick, size), damage)| Step::Damaged(tick, size, damage)),
        2 => any::<u8>().prop_map(Step::Said),
        6 => Just(Step::Settle),
        1 => Just(Step::Look),
    ]
}

/// The market's two true books, and one of the two ways.
struct Told {
    bench: Harness,
    tokens: [Truth; 2],
    is_calm: bool,
    /// Passes by looks alone: what a busy machine takes longer for would differ.
    now: Instant,
}

impl Told {
    fn new(hash: HashChecking, hash_cpu_percent: u32, is_calm: bool) -> Self {
        let bench = Harness::new(WorkersConfig {
            integrity: IntegrityConfig {
                hash,
                // All or nothing: what a busy machine leaves out would differ.
                hash_cpu_percent,
                searches_per_second: 1_000_000,
                ..IntegrityConfig::default()
            },
            ..one_worker()
        });
        let market = assets(1);
        let yes = Truth::new(&market[0]);
        let mut no = Truth::new(&market[1]);
        no.book = yes.book.mirror();
        bench.open(1);
        bench.open(2);
        let told = Self {
            bench,
            tokens: [yes, no],
            is_calm,
            now: Instant::now(),
        };
        told.send(1, [0, 1].map(|token| told.tokens[token].opening()));
        for token in &told.tokens {
            assert!(told.bench.follow(token));
        }
        told
    }

    fn send(&self, feed: u64, events: impl Into<Vec<MarketEvent>>) {
        self.bench.queue(feed, events);
    }

    /// Applies orders to both tokens and tells of them, a frame each way.
    fn orders(&mut self, orders: &[(u8, u8)]) -> Vec<MarketEvent> {
        let mut done = Vec::new();
        self.tokens.iter_mut().for_each(|token| token.now += 1);
        for &(tick, size) in orders {
            let (at, to) = (format!("0.{tick}"), size.to_string());
            // Now and then on the wrong side, so that the venue's book is crossed.
            let is_bid = (tick < 50) != (size == 4 && (47..53).contains(&tick));
            let side = if is_bid { Side::Bid } else { Side::Ask };
            let other = price(&at).complement().to_string();
            self.tokens[0].change_within(side, &at, &to);
            self.tokens[1].change_within(side.opposite(), &other, &to);
            done.push((0, side, at, to.clone()));
            done.push((1, side.opposite(), other, to));
        }
        let count = done.len();
        let say = |(number, (token, side, at, to)): (usize, (usize, Side, String, String))| {
            let event: MarketEvent = self.tokens[token].say(side, &at, &to);
            altered(&event, |change| change.last_in_frame = number + 2 >= count)
        };
        done.into_iter().enumerate().map(say).collect()
    }

    fn damaged(&mut self, order: (u8, u8), damage: Damage) {
        let mut events = self.orders(&[order]);
        let alter = |events: &mut Vec<MarketEvent>, alter: fn(&mut polypy_core::PriceChange)| {
            events[0] = altered(&events[0], alter);
        };
        let mut feed = 1;
        match damage {
            Damage::HalfLost => drop(events.pop()),
            Damage::Twice => events.extend(events.clone()),
            Damage::Top => alter(&mut events, |change| {
                change.best_bid = Top::At(price("0.01"));
            }),
            Damage::NoTop => alter(&mut events, |change| {
                (change.best_bid, change.best_ask) = (Top::Unstated, Top::Unstated);
            }),
            Damage::Hash => {
                let other = Truth::new(&self.tokens[1].info).hash();
                events[0] = altered(&events[0], |change| change.hash = Some(other));
            }
            Damage::NoHash => alter(&mut events, |change| change.hash = None),
            Damage::Old => alter(&mut events, |change| {
                let millis = change.timestamp.millis() - 2;
                change.timestamp = Timestamp::from_millis(millis);
            }),
            Damage::Crossed => alter(&mut events, |change| {
                (change.side, change.price) = (Side::Bid, price("0.97"));
            }),
            Damage::Locked => {
                if let Some(ask) = self.tokens[0].book.best_ask() {
                    events[0] = altered(&events[0], |change| {
                        (change.side, change.price) = (Side::Bid, ask.price);
                        (change.best_bid, change.last_in_frame) = (Top::At(ask.price), true);
                    });
                }
            }
            Damage::OtherFeed => feed = 2,
            Damage::Marked => {
                let key = self.tokens[0].key();
                let reason = StaleReason::Undecodable;
                self.bench.router.mark_feed_stale(FeedId(1), &[key], reason);
            }
            Damage::Odd => alter(&mut events, |change| {
                change.price = price("0.123456");
                change.size = polypy_core::Size::from_millionths(u64::MAX);
            }),
        }
        self.send(feed, events);
    }

    fn take(&mut self, step: &Step) {
        FAST_PATH_FORBIDDEN.set(!self.is_calm);
        match step {
            Step::Orders(orders) => {
                let events = self.orders(orders);
                self.send(1, events);
            }
            Step::Damaged(tick, size, damage) => self.damaged((*tick, *size), *damage),
            Step::Said(what) => {
                let token = &self.tokens[usize::from(what % 2)];
                let (feed, event) = match what % 6 {
                    5 => {
                        let mut ahead = token.clone();
                        ahead.change(Side::Bid, "0.41", "7");
                        if let MarketEvent::Book(book) = ahead.snapshot() {
                            self.bench.router.audit(book, self.now);
                        }
                        return FAST_PATH_FORBIDDEN.set(false);
                    }
                    0 => (1, token.trade("0.5")),
                    1 => (1, token.tick_change("0.001")),
                    2 => (2, token.opening()),
                    _ => (1, token.opening()),
                };
                self.send(feed, [event]);
            }
            Step::Settle => self.bench.apply_at(self.now),
            Step::Look => {
                self.bench.apply_at(self.now);
                self.now += Duration::from_secs(3);
                self.bench.look_at(self.now);
            }
        }
        FAST_PATH_FORBIDDEN.set(false);
    }

    /// What was written for those who follow the books, but for what the clock says, and
    /// in how many steps a revision was reached.
    fn written(&self) -> Vec<String> {
        let now = Instant::now();
        let mut written = self.bench.written.take();
        for change in &mut written {
            match change {
                BookChange::Level(set) => set.received = now,
                BookChange::Whole(whole) => {
                    (whole.received, whole.status.since) = (now, now);
                    whole.position.revision = 0;
                }
                BookChange::Status(change) => {
                    change.status.since = now;
                    change.position.revision = 0;
                }
                BookChange::Trade(trade) => trade.received = now,
                BookChange::StateEnd(_) | BookChange::Gone(_) | BookChange::Reset => {}
            }
        }
        let now = format!("{now:?}");
        let shown = |change: &BookChange| format!("{change:?}").replace(&now, "");
        written.iter().map(shown).collect()
    }

    /// Everything that can be seen of it, but for what the clock says.
    fn seen(&self) -> (Vec<String>, [Value; 3], usize) {
        let books = self.tokens.iter().map(|token| {
            let mut view = timeless(self.bench.view(token));
            view.position.revision = 0;
            format!("{view:?}")
        });
        let mut stats = self.bench.manager.stats();
        let worker = &stats["worker_stats"]["0"];
        let worker = Value::from(vec![
            worker["updates_applied"].clone(),
            worker["messages_processed"].clone(),
            stats["books"].clone(),
            worker["memory_usage_mb"].clone(),
        ]);
        let mut parts = [stats["events"].take(), stats["integrity"].take()];
        for part in parts.iter_mut().filter_map(Value::as_object_mut) {
            part.retain(|name, _| !name.ends_with("_ms"));
        }
        let [events, integrity] = parts;
        let seen = [worker, events, integrity];
        (books.collect(), seen, self.bench.asked.len())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_do_the_same(
        steps in prop::collection::vec(step(), 1..80),
        (hash, percent) in prop::sample::select(vec![
            (HashChecking::All, 1_000_000),
            (HashChecking::All, 0),
            (HashChecking::Off, 0),
        ]),
    ) {
        let told = |is_calm| Told::new(hash, percent, is_calm);
        let [mut short, mut general] = [true, false].map(told);
        for step in steps.iter().chain([&Step::Settle]) {
            short.take(step);
            general.take(step);
            if matches!(step, Step::Settle | Step::Look) {
                prop_assert_eq!(short.seen(), general.seen());
                prop_assert_eq!(short.written(), general.written());
            }
        }
    }
}
