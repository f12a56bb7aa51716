//! Random interleavings of everything that can happen to a book.
//!
//! The venue is a list of true states by exchange time. Three sockets tell it,
//! each with a lag of its own; they open, close and open again, lose events that
//! are then marked, and meet a queue that is too small for what they bring. At
//! every step, a book that is shown as live must
//!
//! - be told by a feed that is open and has sent it whole since anything of it
//!   was lost on that feed,
//! - be exactly the venue's book as of the time it says it has,
//! - never be older than anything that was shown of it before, live or not.
//!
//! At the end, with everything delivered and one healthy feed, every book is
//! live and equals the venue's. Where one of two feeds brings everything, no book
//! is ever shown as anything but live, whatever is lost on the other.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::time::Instant;

use polypy_core::{
    AuditSink, BookControl, BookState, EventSink, FeedId, MarketEvent, Side, StaleReason,
};
use proptest::prelude::*;

use crate::config::{HashChecking, IntegrityConfig, WorkersConfig};
use crate::stats::BookCounts;
use crate::testing::{Harness, LIVE, Truth, assets};

const BOOKS: usize = 3;
const SOCKETS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// The venue changes a book; both sockets will hear of it.
    Change { book: usize, tick: u8, size: u8 },
    /// A socket reads up to this many waiting events and delivers them.
    Read { socket: usize, events: usize },
    /// A socket reads an event that cannot be decoded.
    Lose { socket: usize },
    /// Nothing that was told of a book is to be trusted.
    Distrust { book: usize },
    /// A socket is never sent an event, and nothing says so.
    Omit { socket: usize },
    /// The venue changes a book and tells nobody.
    Conceal { book: usize, tick: u8, size: u8 },
    /// A book is fetched apart from the feeds.
    Audit { book: usize },
    /// A socket closes.
    Close { socket: usize },
    /// A socket opens as a new feed and is sent every book.
    Open { socket: usize },
    /// A socket is asked for one book again.
    Resync { socket: usize, book: usize },
    /// The worker does one piece of work.
    Turn,
    /// The worker does everything.
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let (book, socket) = (0..BOOKS, 0..SOCKETS);
    prop_oneof![
        8 => (book.clone(), 40..60u8, 0..4u8)
            .prop_map(|(book, tick, size)| Step::Change { book, tick, size }),
        8 => (socket.clone(), 1..6usize).prop_map(|(socket, events)| Step::Read { socket, events }),
        2 => socket.clone().prop_map(|socket| Step::Lose { socket }),
        1 => book.clone().prop_map(|book| Step::Distrust { book }),
        1 => socket.clone().prop_map(|socket| Step::Close { socket }),
        2 => socket.clone().prop_map(|socket| Step::Open { socket }),
        2 => (socket, book).prop_map(|(socket, book)| Step::Resync { socket, book }),
        6 => Just(Step::Turn),
        2 => Just(Step::Settle),
    ]
}

#[derive(Default)]
struct Socket {
    feed: Option<u64>,
    /// Sent by the venue and not read yet.
    waiting: std::collections::VecDeque<MarketEvent>,
}

/// Steps after which only hashes can tell what is wrong.
fn lying_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => step(),
        1 => (0..SOCKETS).prop_map(|socket| Step::Omit { socket }),
        1 => (0..BOOKS, 40..60u8, 0..4u8)
            .prop_map(|(book, tick, size)| Step::Conceal { book, tick, size }),
        1 => (0..BOOKS).prop_map(|book| Step::Audit { book }),
    ]
}

struct Model {
    bench: Harness,
    truths: Vec<Truth>,
    /// Every true book by its time.
    past: Vec<HashMap<u64, Truth>>,
    sockets: Vec<Socket>,
    feeds: u64,
    /// Which feeds have sent which books whole since anything of them was lost.
    told: HashSet<(usize, u64)>,
    /// Exchange time of the newest book that was fetched apart from the feeds.
    fetched: Vec<Option<u64>>,
    /// The newest exchange time that was shown of each book.
    seen: Vec<u64>,
}

impl Model {
    fn new(hash: HashChecking, queue_events: usize, direct_events: usize) -> Self {
        let bench = Harness::new(WorkersConfig {
            count: NonZeroUsize::MIN,
            queue_events: NonZeroUsize::new(queue_events).unwrap(),
            direct_events,
            integrity: IntegrityConfig {
                hash,
                // On a busy machine, checks would be left out, and what the venue kept
                // from everybody with them.
                hash_cpu_percent: u32::MAX,
                ..IntegrityConfig::default()
            },
            ..WorkersConfig::default()
        });
        let truths: Vec<_> = assets(BOOKS).iter().step_by(2).map(Truth::new).collect();
        let past = truths
            .iter()
            .map(|truth| HashMap::from([(truth.now, truth.clone())]))
            .collect();
        Self {
            bench,
            truths,
            past,
            sockets: (0..SOCKETS).map(|_| Socket::default()).collect(),
            feeds: 0,
            told: HashSet::new(),
            fetched: vec![None; BOOKS],
            seen: vec![0; BOOKS],
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Change { book, tick, size } => {
                let side = if tick < 50 { Side::Bid } else { Side::Ask };
                let (at, to) = (format!("0.{tick}"), size.to_string());
                let event = self.truths[book].change(side, &at, &to);
                let truth = self.truths[book].clone();
                self.past[book].insert(truth.now, truth);
                for socket in &mut self.sockets {
                    if socket.feed.is_some() {
                        socket.waiting.push_back(event.clone());
                    }
                }
            }
            Step::Read { socket, events } => self.read(socket, events),
            Step::Lose { socket } => {
                let feed = self.sockets[socket].feed;
                let event = self.sockets[socket].waiting.pop_front();
                if let (Some(feed), Some(event)) = (feed, event) {
                    self.told.remove(&(self.book_of(&event), feed));
                    let (router, reason) = (&self.bench.router, StaleReason::Undecodable);
                    router.mark_feed_stale(FeedId(feed), &[event.asset()], reason);
                }
            }
            Step::Distrust { book } => {
                self.told.retain(|(told, _)| *told != book);
                let key = self.truths[book].key();
                self.bench
                    .router
                    .mark_stale(&[key], StaleReason::Undecodable);
            }
            Step::Omit { socket } => drop(self.sockets[socket].waiting.pop_front()),
            Step::Conceal { book, tick, size } => {
                let side = if tick < 50 { Side::Bid } else { Side::Ask };
                self.truths[book].change(side, &format!("0.{tick}"), &size.to_string());
                let truth = self.truths[book].clone();
                self.past[book].insert(truth.now, truth);
            }
            Step::Audit { book } => {
                // One that finds no room is dropped, and says nothing; nor does one of a
                // book that nobody has told yet.
                let key = self.truths[book].key();
                if self.bench.room() > 0 && self.bench.store.book(key, 0).is_some() {
                    self.fetched[book] = Some(self.truths[book].now);
                }
                if let MarketEvent::Book(fetched) = self.truths[book].snapshot() {
                    self.bench.router.audit(fetched, Instant::now());
                }
            }
            Step::Close { socket } => self.close(socket),
            Step::Open { socket } => {
                self.close(socket);
                self.feeds += 1;
                self.bench.open(self.feeds);
                self.sockets[socket].feed = Some(self.feeds);
                let books = self.truths.iter().map(Truth::opening);
                self.sockets[socket].waiting.extend(books);
            }
            Step::Resync { socket, book } => {
                if self.sockets[socket].feed.is_some() {
                    let event = self.truths[book].opening();
                    self.sockets[socket].waiting.push_back(event);
                }
            }
            Step::Turn => self.bench.iterate(),
            Step::Settle => self.bench.settle_down(),
        }
    }

    fn close(&mut self, socket: usize) {
        let socket = &mut self.sockets[socket];
        socket.waiting.clear();
        if let Some(feed) = socket.feed.take() {
            self.told.retain(|(_, told)| *told != feed);
            self.bench
                .router
                .feed_closed(FeedId(feed), StaleReason::Disconnected);
        }
    }

    fn read(&mut self, socket: usize, most: usize) {
        let Some(feed) = self.sockets[socket].feed else {
            return;
        };
        let waiting = &mut self.sockets[socket].waiting;
        let events: Vec<_> = waiting.drain(..most.min(waiting.len())).collect();
        let room = self.bench.room();
        for (at, event) in events.iter().enumerate() {
            let book = self.book_of(event);
            if at >= room {
                self.told.remove(&(book, feed));
            } else if matches!(event, MarketEvent::Book(_)) {
                self.told.insert((book, feed));
            }
        }
        self.bench.queue(feed, events);
    }

    fn book_of(&self, event: &MarketEvent) -> usize {
        let key = event.asset();
        let found = self.truths.iter().position(|truth| truth.key() == key);
        found.unwrap()
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        for book in 0..BOOKS {
            let key = self.truths[book].key();
            let Some(view) = self.bench.store.book(key, usize::MAX) else {
                continue;
            };
            let at = view.last_update.millis();
            let newest = at.max(self.seen[book]);
            self.seen[book] = newest;
            if view.state != BookState::Live {
                continue;
            }
            let told = self.told.iter().any(|(told, _)| *told == book);
            prop_assert!(told, "live, and no open feed tells it without a loss");
            let truth = self.past[book].get(&at);
            prop_assert!(
                truth.is_some_and(|truth| truth.equals(&view)),
                "live and not the venue's book of its time"
            );
            prop_assert!(at == newest, "live and older than what was shown");
            // What is queued has reached nobody yet who could compare it.
            let is_drained = self.bench.depth() == 0;
            let fetched = self.fetched[book].filter(|_| is_drained);
            prop_assert!(
                fetched.is_none_or(|fetched| fetched <= at),
                "live and behind what was fetched"
            );
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TestCaseError> {
        for socket in 0..SOCKETS {
            self.take(&Step::Close { socket });
        }
        self.take(&Step::Open { socket: 0 });
        for step in [
            Step::Settle,
            Step::Read {
                socket: 0,
                events: BOOKS,
            },
            Step::Settle,
        ] {
            self.take(&step);
        }
        for truth in &self.truths {
            prop_assert_eq!(self.bench.state(truth), LIVE);
            prop_assert!(truth.equals(&self.bench.view(truth)));
        }
        prop_assert_eq!(self.bench.store.counts().live, 3);
        self.check_counts()
    }

    /// What is counted is what the books are.
    fn check_counts(&self) -> Result<(), TestCaseError> {
        let mut expected = BookCounts::default();
        {
            let books = self.bench.worker().books();
            let slots = (0..books.places()).filter_map(|place| books.slot_at(place));
            slots.for_each(|slot| expected.enter(slot.book().seen()));
        }
        prop_assert_eq!(self.bench.store.counts(), expected);
        Ok(())
    }
}

fn run(hash: HashChecking, queue_events: usize, steps: &[Step]) -> Result<(), TestCaseError> {
    run_with(hash, queue_events, 0, steps)?;
    // Reads of few events are applied at once, if nothing is queued.
    run_with(hash, queue_events, 3, steps)?;
    // So short a queue is more than half full at nearly every read: sockets apply
    // what they and others have queued.
    run_with(hash, queue_events / 2, 1, steps)
}

fn run_with(
    hash: HashChecking,
    queue_events: usize,
    direct_events: usize,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut model = Model::new(hash, queue_events, direct_events);
    for step in steps {
        model.take(step);
        model.check()?;
        if matches!(step, Step::Settle) {
            model.check_counts()?;
        }
    }
    model.finish()?;
    if !steps.iter().any(is_lie) {
        // No step was one that may leave a book in doubt.
        prop_assert_eq!(model.bench.count("hash.failed"), 0);
        prop_assert_eq!(model.bench.count("suspected"), 0);
    }
    Ok(())
}

fn is_lie(step: &Step) -> bool {
    match step {
        Step::Omit { .. } | Step::Conceal { .. } | Step::Audit { .. } => true,
        Step::Change { .. }
        | Step::Read { .. }
        | Step::Lose { .. }
        | Step::Distrust { .. }
        | Step::Close { .. }
        | Step::Open { .. }
        | Step::Resync { .. }
        | Step::Turn
        | Step::Settle => false,
    }
}

/// Steps of two sockets, of which the first brings everything.
fn step_of_twins() -> impl Strategy<Value = Step> {
    let (book, socket) = (0..BOOKS, 0..2usize);
    let other = Just(1usize);
    prop_oneof![
        8 => (book.clone(), 40..60u8, 0..4u8)
            .prop_map(|(book, tick, size)| Step::Change { book, tick, size }),
        8 => (socket, 1..6usize).prop_map(|(socket, events)| Step::Read { socket, events }),
        2 => other.prop_map(|socket| Step::Lose { socket }),
        1 => other.prop_map(|socket| Step::Close { socket }),
        2 => other.prop_map(|socket| Step::Open { socket }),
        2 => (other, book).prop_map(|(socket, book)| Step::Resync { socket, book }),
        6 => Just(Step::Turn),
        2 => Just(Step::Settle),
    ]
}

/// A model in which the first two sockets have told every book.
fn twins(hash: HashChecking) -> Model {
    let mut model = Model::new(hash, 10_000, 0);
    for socket in 0..2 {
        model.take(&Step::Open { socket });
        model.take(&Step::Read {
            socket,
            events: BOOKS,
        });
    }
    model.take(&Step::Settle);
    model
}

/// The first socket brings the rest: every book is live and the venue's.
fn catch_up(model: &mut Model) -> Result<(), TestCaseError> {
    model.take(&Step::Read {
        socket: 0,
        events: 1_000,
    });
    model.take(&Step::Settle);
    model.check()?;
    for truth in &model.truths {
        prop_assert_eq!(model.bench.state(truth), LIVE);
        prop_assert!(truth.equals(&model.bench.view(truth)));
    }
    Ok(())
}

fn never_without(hash: HashChecking, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut model = twins(hash);
    for step in steps {
        model.take(step);
        model.check()?;
        for truth in &model.truths {
            prop_assert_eq!(model.bench.state(truth), LIVE, "after {:?}", step);
            prop_assert_eq!(model.bench.view(truth).state, BookState::Live);
        }
    }
    prop_assert_eq!(model.bench.count("went_stale"), 0);
    prop_assert!(model.bench.asked.take().is_empty());
    catch_up(&mut model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_live_book_is_never_contradicted(steps in prop::collection::vec(step(), 1..120)) {
        run(HashChecking::All, 12, &steps)?;
    }

    #[test]
    fn nor_is_one_whose_hashes_are_not_checked(steps in prop::collection::vec(step(), 1..120)) {
        run(HashChecking::Off, 12, &steps)?;
    }

    #[test]
    fn a_book_is_live_while_one_of_its_feeds_brings_everything(
        steps in prop::collection::vec(step_of_twins(), 1..160)
    ) {
        never_without(HashChecking::All, &steps)?;
        never_without(HashChecking::Off, &steps)?;
    }

    #[test]
    fn what_one_feed_is_never_sent_the_other_sets_right(
        steps in prop::collection::vec(
            prop_oneof![
                12 => step_of_twins(),
                1 => Just(Step::Omit { socket: 1 }),
            ],
            1..160,
        )
    ) {
        let mut model = twins(HashChecking::All);
        for step in &steps {
            model.take(step);
            model.check()?;
        }
        catch_up(&mut model)?;
    }

    #[test]
    fn nor_is_one_that_the_venue_keeps_changes_from(
        steps in prop::collection::vec(lying_step(), 1..160)
    ) {
        run(HashChecking::All, 12, &steps)?;
    }
}
