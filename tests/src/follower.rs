//! Followers of the streams, which rebuild books from deltas alone, and what they had at
//! each sequence.
//!
//! [`Follower`] reads a door over a socket with the public client. [`Reader`] asks the
//! program's store again and again, as any reader of books does; what it finds owes
//! nothing to the streams.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use polypy_client::{Book, Books, Broken, Client, Event, Filter, Message, Step, Subscription};
use polypy_core::{AssetId, BookLookup, BookSource, Side};
use polypy_sim::digest;
use tokio::sync::{mpsc, oneshot};

/// A token, an epoch and a sequence: where a book stood.
pub type Place = (AssetId, u64, u64);

/// The levels at each place, as a [`digest`].
pub type States = HashMap<Place, u64>;

/// Which way messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Server-Sent Events.
    Events,
    /// A WebSocket.
    Socket,
}

/// What a follower has seen.
#[derive(Debug, Default)]
pub struct Record {
    /// Its books after each snapshot and each delta.
    pub states: States,
    /// Levels that deltas set.
    pub changes: u64,
    /// Reason and owner of each gap, with how often it came.
    pub gaps: HashMap<(String, String), u64>,
    /// How often a connection came back, exactly and otherwise.
    pub resumed: (u64, u64),
    /// What contradicted itself: nothing ever should.
    pub broken: Vec<Broken>,
    /// Why connections were lost.
    pub lost: Vec<String>,
}

/// What can be asked of a follower.
enum Wish {
    /// The books as they are now.
    Books(oneshot::Sender<Books>),
    /// To drop its connection and come back.
    Reconnect,
    /// To read nothing until the other half is dropped.
    Sleep(oneshot::Receiver<()>),
    /// To end.
    End,
}

/// A client that follows.
#[derive(Debug)]
pub struct Follower {
    wishes: mpsc::Sender<Wish>,
    task: tokio::task::JoinHandle<Record>,
    counts: Arc<Counts>,
}

/// What a follower has seen so far.
#[derive(Debug, Default)]
struct Counts {
    changes: AtomicU64,
    broken: AtomicU64,
    resumed: AtomicU64,
}

impl Follower {
    /// Connects to a server, and follows each change of everything.
    ///
    /// # Panics
    /// When the address is none.
    pub fn start(address: SocketAddr, door: Door) -> Self {
        let filter = Filter::everything().channels(["book", "state", "trade"]);
        Self::of(address, door, filter)
    }

    /// Connects to a server, and follows what the filter says.
    ///
    /// # Panics
    /// When the address is none.
    pub fn of(address: SocketAddr, door: Door, filter: Filter) -> Self {
        let scheme = match door {
            Door::Events => "http",
            Door::Socket => "ws",
        };
        let client = Client::new(&format!("{scheme}://{address}")).expect("an address");
        let (wishes, receiver) = mpsc::channel(8);
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(follow(
            client.subscribe(filter),
            receiver,
            Arc::clone(&counts),
        ));
        Self {
            wishes,
            task,
            counts,
        }
    }

    /// Levels that deltas have set so far.
    pub fn changes(&self) -> u64 {
        self.counts.changes.load(Ordering::Relaxed)
    }

    /// Contradictions that it has met so far.
    pub fn broken(&self) -> u64 {
        self.counts.broken.load(Ordering::Relaxed)
    }

    /// How often it has come back so far, exactly or otherwise.
    pub fn resumed(&self) -> u64 {
        self.counts.resumed.load(Ordering::Relaxed)
    }

    /// Its books as they are now.
    ///
    /// # Panics
    /// When the follower did.
    pub async fn books(&self) -> Books {
        let (sender, receiver) = oneshot::channel();
        self.ask(Wish::Books(sender)).await;
        receiver.await.expect("the follower runs")
    }

    /// Drops its connection; it comes back by itself.
    ///
    /// # Panics
    /// When the follower did.
    pub async fn reconnect(&self) {
        self.ask(Wish::Reconnect).await;
    }

    /// Lets it read nothing until what is returned is dropped.
    ///
    /// # Panics
    /// When the follower did.
    pub async fn sleep(&self) -> oneshot::Sender<()> {
        let (awake, asleep) = oneshot::channel();
        self.ask(Wish::Sleep(asleep)).await;
        awake
    }

    /// Ends it; what it has seen.
    ///
    /// # Panics
    /// When the follower did.
    pub async fn end(self) -> Record {
        self.ask(Wish::End).await;
        self.task.await.expect("following does not panic")
    }

    async fn ask(&self, wish: Wish) {
        assert!(self.wishes.send(wish).await.is_ok(), "the follower runs");
    }
}

async fn follow(
    mut stream: Subscription,
    mut wishes: mpsc::Receiver<Wish>,
    counts: Arc<Counts>,
) -> Record {
    let mut record = Record::default();
    loop {
        tokio::select! {
            event = stream.next() => {
                let event = event.expect("the server refuses nothing");
                note(&mut record, &stream, event);
                counts.changes.store(record.changes, Ordering::Relaxed);
                let broken = u64::try_from(record.broken.len()).unwrap_or(u64::MAX);
                counts.broken.store(broken, Ordering::Relaxed);
                let (exactly, otherwise) = record.resumed;
                counts.resumed.store(exactly + otherwise, Ordering::Relaxed);
            }
            wish = wishes.recv() => match wish {
                Some(Wish::Books(sender)) => drop(sender.send(stream.books().clone())),
                Some(Wish::Reconnect) => stream.reconnect(),
                Some(Wish::Sleep(asleep)) => drop(asleep.await),
                Some(Wish::End) | None => return record,
            },
        }
    }
}

fn note(record: &mut Record, stream: &Subscription, event: Event) {
    match event {
        Event::Message(received) => match &received.message {
            Message::Snapshot(snapshot) => keep(record, stream, &snapshot.token_id),
            Message::Delta(delta) if received.step == Step::Changed => {
                record.changes += u64::try_from(delta.changes.len()).unwrap_or(0);
                keep(record, stream, &delta.token_id);
            }
            Message::Gap(gap) => {
                let cause = (gap.reason.clone(), gap.owner.clone());
                *record.gaps.entry(cause).or_default() += 1;
            }
            _ => {}
        },
        Event::Lost { cause, .. } => record.lost.push(cause.to_string()),
        Event::Resumed { recovered, .. } => {
            record.resumed.0 += u64::from(recovered);
            record.resumed.1 += u64::from(!recovered);
        }
        Event::Broken { broken, .. } => record.broken.push(broken),
        _ => {}
    }
}

fn keep(record: &mut Record, stream: &Subscription, token: &AssetId) {
    if let Some(book) = stream.books().get(token.as_str()) {
        let place = (token.clone(), book.epoch(), book.sequence());
        record.states.insert(place, levels(book));
    }
}

/// The levels of a client's book, as a digest.
pub fn levels(book: &Book) -> u64 {
    let book = book.levels();
    digest(book.levels(Side::Bid), book.levels(Side::Ask))
}

/// A thread that asks the store for one book after the other.
#[derive(Debug)]
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<States>,
}

impl Reader {
    /// Begins.
    pub fn start(books: Arc<dyn BookSource>, assets: Vec<AssetId>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || read(&*books, &assets, &stop)
        });
        Self { stop, thread }
    }

    /// Ends; what was read.
    ///
    /// # Panics
    /// When the thread did.
    pub fn end(self) -> States {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("reading does not panic")
    }
}

fn read(books: &dyn BookSource, assets: &[AssetId], stop: &AtomicBool) -> States {
    let mut states = States::new();
    while !stop.load(Ordering::Acquire) {
        for asset in assets {
            if let BookLookup::Found(book) = books.book(asset.as_str(), usize::MAX) {
                let place = (asset.clone(), book.position.epoch, book.position.sequence);
                let found = digest(book.bids, book.asks);
                if let Some(before) = states.insert(place, found) {
                    assert_eq!(before, found, "{asset} has other levels at the same place");
                }
            }
        }
        // Readers are many and small: this one leaves the machine to the others.
        thread::sleep(Duration::from_millis(1));
    }
    states
}
