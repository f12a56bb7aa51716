//! Random interleavings of everything that can happen to a book.
//!
//! The venue is a list of true states by exchange time. Two sockets tell it,
//! each with a lag of its own; they open, close and open anew, lose events that
//! are then marked, and meet a queue that is too small for what they bring. At
//! every step, a book that is shown as live must
//!
//! - belong to a feed that is open (as the model knows it),
//! - have had a snapshot since the last mark or drop,
//! - be exactly the venue's book as of the time it says it has,
//! - never be older than anything that was shown of it before, live or not.
//!
//! At the end, with everything delivered and one healthy feed, every book is
//! live and equals the venue's.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;

use polypy_core::{BookState, EventSink, FeedId, MarketEvent, Side, StaleReason};
use proptest::prelude::*;

use crate::config::{HashChecking, IntegrityConfig, WorkersConfig};
use crate::testing::{Bench, LIVE, Truth, assets};
use crate::worker;

const BOOKS: usize = 3;
const SOCKETS: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    /// The venue changes a book; both sockets will hear of it.
    Change { book: usize, tick: u8, size: u8 },
    /// A socket reads up to this many waiting events and delivers them.
    Read { socket: usize, events: usize },
    /// A socket reads an event that cannot be decoded.
    Lose { socket: usize },
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
        1 => socket.clone().prop_map(|socket| Step::Lose { socket }),
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
    bench: Bench,
    truths: Vec<Truth>,
    /// Every true book by its time.
    past: Vec<HashMap<u64, Truth>>,
    sockets: Vec<Socket>,
    feeds: u64,
    /// Books that were marked and not sent whole since.
    marked: HashSet<usize>,
    /// Exchange time of the newest book that was fetched apart from the feeds.
    fetched: Vec<Option<u64>>,
    /// The newest exchange time that was shown of each book.
    seen: Vec<u64>,
}

impl Model {
    fn new(hash: HashChecking, queue_events: usize) -> Self {
        let bench = Bench::new(WorkersConfig {
            count: NonZeroUsize::MIN,
            queue_events: NonZeroUsize::new(queue_events).unwrap(),
            integrity: IntegrityConfig {
                hash,
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
            marked: HashSet::new(),
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
                if let Some(event) = self.sockets[socket].waiting.pop_front() {
                    let asset = event.asset();
                    self.marked.insert(self.book_of(&event));
                    self.bench
                        .router
                        .mark_stale(&[asset], StaleReason::Undecodable);
                }
            }
            Step::Omit { socket } => drop(self.sockets[socket].waiting.pop_front()),
            Step::Conceal { book, tick, size } => {
                let side = if tick < 50 { Side::Bid } else { Side::Ask };
                self.truths[book].change(side, &format!("0.{tick}"), &size.to_string());
                let truth = self.truths[book].clone();
                self.past[book].insert(truth.now, truth);
            }
            Step::Audit { book } => {
                let depth = self.bench.manager.shared().workers[0].lane.depth();
                let room = self.bench.manager.shared().config.queue_events.get() - depth;
                // One that finds no room is dropped, and says nothing; nor does one of a
                // book that nobody has told yet.
                let key = self.truths[book].key();
                if room > 0 && self.bench.store.book(key, 0).is_some() {
                    self.fetched[book] = Some(self.truths[book].now);
                }
                if let MarketEvent::Book(fetched) = self.truths[book].snapshot() {
                    self.bench.router.audit(fetched);
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
            Step::Turn => {
                let shared = self.bench.manager.shared();
                worker::turn(shared, &shared.workers[0], std::time::Duration::ZERO);
            }
            Step::Settle => self.bench.settle_down(),
        }
    }

    fn close(&mut self, socket: usize) {
        let socket = &mut self.sockets[socket];
        socket.waiting.clear();
        if let Some(feed) = socket.feed.take() {
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
        let depth = self.bench.manager.shared().workers[0].lane.depth();
        let room = self.bench.manager.shared().config.queue_events.get() - depth;
        for (at, event) in events.iter().enumerate() {
            let book = self.book_of(event);
            if at >= room {
                self.marked.insert(book);
            } else if matches!(event, MarketEvent::Book(_)) {
                self.marked.remove(&book);
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
            let open = self.sockets.iter().any(|socket| socket.feed.is_some());
            prop_assert!(open, "live without any open feed");
            prop_assert!(!self.marked.contains(&book), "live after a mark");
            let truth = self.past[book].get(&at);
            prop_assert!(
                truth.is_some_and(|truth| truth.equals(&view)),
                "live and not the venue's book of its time"
            );
            prop_assert!(at == newest, "live and older than what was shown");
            // What is queued has reached nobody yet who could compare it.
            let depth = self.bench.manager.shared().workers[0].lane.depth();
            let fetched = self.fetched[book].filter(|_| depth == 0);
            prop_assert!(
                fetched.is_none_or(|fetched| fetched <= at),
                "live and behind what was fetched"
            );
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TestCaseError> {
        self.take(&Step::Close { socket: 0 });
        self.take(&Step::Close { socket: 1 });
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
        Ok(())
    }
}

fn run(hash: HashChecking, queue_events: usize, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut model = Model::new(hash, queue_events);
    for step in steps {
        model.take(step);
        model.check()?;
    }
    model.finish()?;
    if !steps.iter().any(is_lie) {
        // No step was one that may leave a book in doubt.
        prop_assert_eq!(model.bench.count("failed"), 0);
        prop_assert_eq!(model.bench.count("doubts"), 0);
    }
    Ok(())
}

fn is_lie(step: &Step) -> bool {
    match step {
        Step::Omit { .. } | Step::Conceal { .. } | Step::Audit { .. } => true,
        Step::Change { .. }
        | Step::Read { .. }
        | Step::Lose { .. }
        | Step::Close { .. }
        | Step::Open { .. }
        | Step::Resync { .. }
        | Step::Turn
        | Step::Settle => false,
    }
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
    fn nor_is_one_that_the_venue_keeps_changes_from(
        steps in prop::collection::vec(lying_step(), 1..160)
    ) {
        run(HashChecking::All, 12, &steps)?;
    }
}
