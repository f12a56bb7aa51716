//! Streams of the real program: whoever applies what it is given has its books.
//!
//! Followers inside the process read every change, the best levels, the latest states
//! and, with interruptions, from where they were, while sockets break, a worker dies and
//! one client never reads. Each checks every message against what it has; at rest each
//! has the books that readers are shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use polypy::stream::message::{GapScope, Published};
use polypy::stream::{Channel, Channels, Cursor, Event, Filter, Mode, Streams};
use polypy_core::{BookLookup, BookState, Level, OrderBook, Side};
use polypy_sim::{Fault, FaultKind, SimConfig};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// A book as a follower has it.
#[derive(Debug, Default, Clone)]
struct Book {
    levels: OrderBook,
    epoch: u64,
    sequence: u64,
    state: Option<BookState>,
    /// Nothing counts before the next snapshot.
    is_broken: bool,
}

/// What a follower makes of the messages; it knows nothing else.
#[derive(Debug, Default)]
struct Follower {
    books: BTreeMap<String, Book>,
    deltas: u64,
    gaps: u64,
    resumed: u64,
}

impl Follower {
    fn break_all(&mut self) {
        self.books
            .values_mut()
            .for_each(|book| book.is_broken = true);
    }

    fn take(&mut self, message: &Published) {
        let text = message.text().as_str();
        match message.event() {
            Event::Subscribed(subscribed) if subscribed.recovered => self.resumed += 1,
            Event::Subscribed(_) => self.break_all(),
            Event::Snapshot(snapshot) => {
                let id = snapshot.token.info.asset_id.to_string();
                let mut levels = OrderBook::default();
                levels.apply_snapshot(snapshot.bids.clone(), snapshot.asks.clone());
                let book = Book {
                    levels,
                    epoch: snapshot.epoch,
                    sequence: snapshot.sequence,
                    state: Some(snapshot.state),
                    is_broken: false,
                };
                self.books.insert(id, book);
            }
            Event::Delta(delta) => {
                self.deltas += 1;
                let id = delta.token.info.asset_id.as_str();
                let book = self.books.get_mut(id).expect("a snapshot comes first");
                if delta.sequence <= book.sequence {
                    return;
                }
                assert!(!book.is_broken, "a snapshot comes after a gap: {text}");
                assert_eq!(delta.epoch, book.epoch, "{text}");
                if delta.conflated.is_some() {
                    assert!(delta.previous <= book.sequence, "{text}");
                } else {
                    assert_eq!(delta.previous, book.sequence, "{text}");
                }
                if delta.conflated.is_none() && delta.depth.is_none() {
                    let levels = u64::try_from(delta.changes.len()).expect("a count");
                    assert_eq!(delta.sequence - delta.previous, levels, "{text}");
                }
                for change in &delta.changes {
                    book.levels
                        .apply_change(change.side, change.price, change.size);
                }
                book.sequence = delta.sequence;
                let best = |side| book.levels.best_price(side);
                let stated = (delta.best_bid, delta.best_ask);
                assert_eq!((best(Side::Bid), best(Side::Ask)), stated, "{text}");
            }
            Event::State(state) => {
                let id = state.token.info.asset_id.to_string();
                self.books.entry(id).or_default().state = state.state;
            }
            Event::Gap(gap) => {
                self.gaps += 1;
                match &gap.scope {
                    GapScope::Token(token) => {
                        let id = token.info.asset_id.to_string();
                        self.books.entry(id).or_default().is_broken = true;
                    }
                    GapScope::Subscription(_) | GapScope::Connection => self.break_all(),
                }
            }
            _ => {}
        }
    }

    /// The first book that is another one than readers are shown.
    fn differing(&self, world: &World, mode: Mode) -> Option<String> {
        let depth = mode.depth.map_or(usize::MAX, usize::from);
        let books = world.polypy.books();
        world.sim.assets().iter().find_map(|asset| {
            let BookLookup::Found(shown) = books.book(asset.as_str(), depth) else {
                return None;
            };
            let Some(ours) = self.books.get(asset.as_str()) else {
                return Some(format!("{asset} is missing"));
            };
            let side = |side| ours.levels.levels(side).collect::<Vec<Level>>();
            let is_exact = mode == Mode::default();
            let is_same = side(Side::Bid) == shown.bids
                && side(Side::Ask) == shown.asks
                && ours.state == Some(shown.state)
                && ours.epoch == shown.position.epoch
                && (!is_exact || ours.sequence == shown.position.sequence);
            (!is_same).then(|| format!("{asset}: {ours:?} and not {shown:?}"))
        })
    }
}

type Shared = Arc<Mutex<Follower>>;

fn filter(mode: Mode) -> Filter {
    let mut filter = Filter::everything(Channels::NONE.with(Channel::Book));
    filter.mode = mode;
    filter
}

/// Follows for ever.
async fn follow(streams: Streams, mode: Mode, follower: Shared) {
    let mut stream = streams.subscribe(filter(mode)).await.expect("it is open");
    while let Some(message) = stream.next().await {
        follower.lock().await.take(&message);
    }
}

/// Follows for ever, and goes away after so many messages, again and again.
async fn come_and_go(streams: Streams, follower: Shared, returns: Arc<AtomicU64>) {
    let mode = Mode::default();
    let mut cursor: Option<Cursor> = None;
    for round in 1.. {
        let stream = match cursor {
            Some(cursor) => streams.resume(filter(mode), cursor).await,
            None => streams.subscribe(filter(mode)).await,
        };
        let mut stream = stream.expect("it is open");
        for _ in 0..(round * 37) % 600 {
            let Some(item) = stream.next_item().await else {
                return;
            };
            if let Event::Gap(gap) = item.message.event()
                && !matches!(gap.scope, GapScope::Token(_))
            {
                cursor = None;
            }
            follower.lock().await.take(&item.message);
            cursor = item.cursor.or(cursor);
        }
        returns.fetch_add(1, Ordering::Relaxed);
        drop(stream);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_have_the_books_that_readers_are_shown_whatever_happens() {
    let config = SimConfig {
        markets: 60,
        events_per_second: 1_500.0,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| builder).await;
    world.all_live(SOON).await;
    let streams = world.polypy.streams();
    let modes = [
        Mode::default(),
        Mode {
            interval: None,
            depth: Some(5),
        },
        Mode {
            interval: Some(Duration::from_millis(100)),
            depth: None,
        },
    ];
    let mut tasks = JoinSet::new();
    let followers = modes.map(|mode| (mode, Shared::default()));
    for (mode, follower) in &followers {
        tasks.spawn(follow(streams.clone(), *mode, Arc::clone(follower)));
    }
    let (restless, returns) = (Shared::default(), Arc::new(AtomicU64::new(0)));
    tasks.spawn(come_and_go(
        streams.clone(),
        Arc::clone(&restless),
        Arc::clone(&returns),
    ));
    // It never reads: nobody else notices.
    let stuck = streams.subscribe(filter(Mode::default())).await;
    let stuck = stuck.expect("it is open");

    let deltas = async |least: u64| {
        wait::until("more deltas", SOON, async || {
            followers[0].1.lock().await.deltas > least
        })
        .await;
    };
    deltas(2_000).await;
    for round in 1..=3 {
        let fault = Fault::new(FaultKind::DropConnection);
        world.sim.add_fault(fault);
        deltas(2_000 + round * 1_000).await;
    }
    world.polypy.workers().inject_panic(0);
    wait::until("a restart", SOON, async || {
        world.polypy.stats()["workers"]["restarts"] == 1
    })
    .await;
    world.sim.clear_faults();
    world.all_live(SOON).await;
    deltas(8_000).await;
    wait::until("a client that comes back", SOON, async || {
        returns.load(Ordering::Relaxed) > 20
    })
    .await;

    world.assert_equal_to_truth(SOON).await;
    for (mode, follower) in &followers {
        wait::until("the followers have the books", SOON, async || {
            follower.lock().await.differing(&world, *mode).is_none()
        })
        .await;
    }
    tasks.abort_all();
    drop(stuck);
    let restless = restless.lock().await;
    assert!(restless.resumed > 5, "{}", restless.resumed);
    let stats = world.polypy.stats();
    let stream = &stats["stream"];
    assert_eq!(stream["mismatches"], 0, "{stream:#}");
    assert_eq!(stream["restarts"], 0, "{stream:#}");
    assert!(stream["gaps_network"].as_u64() > Some(0), "{stream:#}");
    assert!(stream["gaps_us"].as_u64() > Some(0), "{stream:#}");
    println!("{stream:#}");
    world.stop().await;
}
