//! From the sockets to the thread that writes: bounded in bytes, and nobody waits.
//!
//! A socket copies a group of frames into a block of its own and takes the lock to push
//! it. Once there is no room, whole groups are dropped and counted by socket until half
//! of it is free again; then what was lost is pushed as an item of its own, so that it
//! stands in front of all that came after it. What a socket carries, and which markets are
//! followed, is kept beside the queue, and is not lost with what was dropped.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use polypy_core::recording::{Mark, RestAnswer};
use polypy_core::{
    Answer, Asked, AssetId, AssetInfo, AssetKey, BookOrigin, CatalogueSink, ConditionId, FeedId,
    FrameSink, MarketChange, Opened, Owner, Purpose, SocketId, SocketSink, StaleReason,
};

use crate::audits::{Audit, Audits};
use crate::item::ITEM_BYTES;
pub use crate::item::{Frames, Item, Lost, OpenSocket, SentText, What};
use crate::markets::KnownMarket;
use crate::numbers::Numbers;
use crate::segment::LONGEST_FRAME;

/// Once something has come, the writer waits so long for more, or for so many bytes: then
/// sockets wake it a few dozen times a second, whatever they bring.
const GATHER: Duration = Duration::from_millis(20);
const GATHERED: usize = 1 << 20;

/// A queue with room for so many bytes: the side of the sockets, and the writer's. What it has
/// no room for is counted in the recorder's numbers.
pub fn queue(room: usize, numbers: Arc<Numbers>) -> (Inlet, Outlet) {
    let shared = Arc::new(Shared {
        room,
        numbers,
        pending: Mutex::default(),
        sockets: Mutex::default(),
        markets: Mutex::default(),
        audits: Mutex::default(),
        arrived: Condvar::new(),
        gathered: Condvar::new(),
        is_ending: AtomicBool::new(false),
        blocks: AtomicU64::new(0),
    });
    let outlet = Outlet {
        shared: Arc::clone(&shared),
    };
    (Inlet { shared }, outlet)
}

struct Shared {
    room: usize,
    numbers: Arc<Numbers>,
    pending: Mutex<Pending>,
    sockets: Mutex<BTreeMap<SocketId, Arc<Socket>>>,
    /// Those that are followed, or were and are not forgotten.
    markets: Mutex<BTreeMap<ConditionId, KnownMarket>>,
    /// Answers that may yet contradict a book.
    audits: Mutex<Audits>,
    /// The writer waits on it for something to come.
    arrived: Condvar,
    /// And on this for more.
    gathered: Condvar,
    /// The program ends: sockets close because of that.
    is_ending: AtomicBool,
    /// Groups that were copied, queued or not.
    blocks: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    items: VecDeque<Item>,
    bytes: usize,
    /// Nothing is taken until half of the room is free.
    is_full: bool,
    lost: BTreeMap<SocketId, Lost>,
    /// The writer waits.
    is_parked: bool,
    /// It is to wait no longer.
    is_woken: bool,
}

/// What is known of a socket that is open.
struct Socket {
    connection: Arc<str>,
    next: AtomicU32,
    carries: Mutex<Carries>,
}

#[derive(Debug, Default)]
struct Carries {
    feed: Option<FeedId>,
    tokens: HashMap<AssetKey, AssetId>,
    with_book: HashSet<AssetKey>,
}

impl Shared {
    fn push_answer(&self, audit: Audit) {
        self.push(Item {
            at: audit.received,
            socket: None,
            what: What::Answer(Box::new((audit.answer, audit.requested))),
        });
    }

    /// Takes an item, or counts it as lost.
    fn push(&self, item: Item) {
        let bytes = item.bytes();
        let mut pending = self.pending.lock();
        // A group that is larger than everything passes while there is nothing else.
        let fits = pending.items.is_empty() || pending.bytes + bytes <= self.room;
        if pending.is_full || !fits {
            pending.is_full = true;
            let frames = pending.lose(&item);
            drop(pending);
            self.numbers.dropped(frames, item.at);
            return;
        }
        pending.bytes += bytes;
        pending.items.push_back(item);
        let is_parked = std::mem::take(&mut pending.is_parked);
        let is_much = pending.bytes >= GATHERED && pending.bytes - bytes < GATHERED;
        drop(pending);
        if is_parked {
            self.arrived.notify_one();
        }
        if is_much {
            self.gathered.notify_one();
        }
    }
}

impl Pending {
    /// How many frames it had.
    fn lose(&mut self, item: &Item) -> u64 {
        let socket = item.socket.unwrap_or(SocketId(0));
        let lost = self.lost.entry(socket).or_insert_with(|| Lost::at(item.at));
        lost.to = item.at;
        match &item.what {
            What::Frames(frames) => {
                let frames = frames.ends.len() as u64;
                lost.frames += frames;
                frames
            }
            _ => {
                lost.others += 1;
                0
            }
        }
    }

    fn lose_long(&mut self, socket: SocketId, at: Instant) {
        let lost = self.lost.entry(socket).or_insert_with(|| Lost::at(at));
        lost.to = at;
        lost.frames += 1;
        lost.too_long += 1;
    }

    /// Says what was lost, behind all that came before it, once there is room again.
    fn tell_lost(&mut self) {
        let last = self.lost.values().map(|lost| lost.to).max();
        if let Some(at) = last.filter(|_| !self.is_full) {
            let lost = std::mem::take(&mut self.lost);
            self.bytes += ITEM_BYTES;
            self.items.push_back(Item {
                at,
                socket: None,
                what: What::Lost(Box::new(lost)),
            });
        }
    }
}

/// The side of the sockets.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
}

impl FrameSink for Inlet {
    fn opened(&self, opened: &Opened<'_>) -> Box<dyn SocketSink> {
        let socket = Arc::new(Socket {
            connection: opened.connection.into(),
            next: AtomicU32::new(0),
            carries: Mutex::default(),
        });
        let sockets = &self.shared.sockets;
        sockets.lock().insert(opened.socket, Arc::clone(&socket));
        let handle = Handle {
            shared: Arc::clone(&self.shared),
            number: opened.socket,
            socket,
            is_closed: false,
        };
        let connection = Arc::clone(&handle.socket.connection);
        let is_replacement = opened.is_replacement;
        let what = What::Opened {
            connection,
            is_replacement,
        };
        handle.push(opened.at, what);
        Box::new(handle)
    }

    fn answered(&self, answer: &Answer<'_>) {
        let recorded = RestAnswer {
            path: answer.path.into(),
            request: answer.request.into(),
            status: answer.status,
            purpose: answer.purpose.name().into(),
            requested: 0,
            body: String::from_utf8_lossy(answer.body).into(),
        };
        let audit = Audit {
            answer: recorded,
            requested: answer.requested,
            received: answer.received,
        };
        match answer.purpose {
            Purpose::Seed => self.shared.push_answer(audit),
            Purpose::Audit => self.shared.audits.lock().keep(audit),
            // It changes no book, and contradicts none.
            Purpose::Lookup => {}
        }
    }
}

impl CatalogueSink for Inlet {
    fn changed(&self, change: MarketChange) {
        {
            let mut markets = self.shared.markets.lock();
            match &change {
                MarketChange::New(market) => {
                    let known = KnownMarket {
                        market: Arc::clone(market),
                        end: None,
                    };
                    markets.insert(market.condition_id.clone(), known);
                }
                MarketChange::Forgotten { market, .. } => {
                    markets.remove(&market.condition_id);
                }
                MarketChange::Resolved { market, .. } | MarketChange::Ended { market, .. } => {
                    if let Some(known) = markets.get_mut(&market.condition_id) {
                        known.end = Some(change.clone());
                    }
                }
            }
        }
        self.shared.push(Item {
            at: Instant::now(),
            socket: None,
            what: What::Market(Box::new(change)),
        });
    }
}

impl Inlet {
    /// Whether the program ends. Who takes what was queued after this was said knows it.
    pub fn set_ending(&self, is_ending: bool) {
        self.shared.is_ending.store(is_ending, Ordering::Release);
    }

    /// Something happened that a reader should know of. Where an answer of the venue has
    /// contradicted a book, it stands in front of that.
    pub fn mark(&self, mark: Mark, at: Instant) {
        if *mark.kind == *StaleReason::Audit.name() {
            let answers = self.shared.audits.lock().take_about(&mark.tokens);
            for answer in answers {
                self.shared.push_answer(answer);
            }
        }
        self.shared.push(Item {
            at,
            socket: None,
            what: What::Mark(Box::new(mark)),
        });
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet")
            .field("room", &self.shared.room)
            .finish_non_exhaustive()
    }
}

/// What one socket speaks through.
struct Handle {
    shared: Arc<Shared>,
    number: SocketId,
    socket: Arc<Socket>,
    is_closed: bool,
}

impl Handle {
    fn push(&self, at: Instant, what: What) {
        let socket = Some(self.number);
        self.shared.push(Item { at, socket, what });
    }

    /// Copies frames into a block of their own. No lock is held.
    fn block(&self, bytes: &[u8], ends: &[usize], is_text: bool) -> Box<Frames> {
        // There is one handle for each socket, and nobody else writes this.
        let first = self.socket.next.load(Ordering::Relaxed);
        let count = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        self.socket
            .next
            .store(first.wrapping_add(count), Ordering::Relaxed);
        let block = Frames {
            first,
            ends: ends.into(),
            bytes: bytes.into(),
            is_text,
        };
        self.shared.blocks.fetch_add(1, Ordering::Release);
        Box::new(block)
    }

    fn frames(&self, bytes: &[u8], ends: &[usize], is_text: bool, at: Instant) {
        if !ends.is_empty() {
            let block = self.block(bytes, ends, is_text);
            self.push(at, What::Frames(block));
        }
    }

    /// As [`frames`](Self::frames), of frames among which one is too long to be recorded.
    fn without_long(&self, bytes: &[u8], ends: &[usize], is_text: bool, at: Instant) {
        let mut begin = 0;
        for &end in ends {
            let frame = bytes.get(begin..end).unwrap_or_default();
            begin = end;
            if frame.len() > LONGEST_FRAME {
                self.socket.next.fetch_add(1, Ordering::Relaxed);
                let mut pending = self.shared.pending.lock();
                pending.lose_long(self.number, at);
                pending.tell_lost();
                drop(pending);
                self.shared.numbers.left_out(at);
            } else {
                self.frames(frame, &[frame.len()], is_text, at);
            }
        }
    }

    fn close(&mut self, reason: &str, owner: Owner, at: Instant) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.shared.sockets.lock().remove(&self.number);
            self.push(at, What::Closed(reason.into(), owner));
        }
    }
}

impl SocketSink for Handle {
    fn received(&mut self, bytes: &[u8], ends: &[usize], is_text: bool, at: Instant) {
        // Only a group that is longer than a frame may be has one that is.
        if bytes.len() > LONGEST_FRAME {
            self.without_long(bytes, ends, is_text, at);
        } else {
            self.frames(bytes, ends, is_text, at);
        }
    }

    fn sent(&mut self, text: &str, asked: Asked, tokens: &[Arc<AssetInfo>], at: Instant) {
        let mut carries = self.socket.carries.lock();
        for token in tokens {
            match asked {
                Asked::Subscribe => {
                    carries.tokens.insert(token.key, token.asset_id.clone());
                }
                Asked::Unsubscribe => {
                    carries.tokens.remove(&token.key);
                    carries.with_book.remove(&token.key);
                }
                // Its book is to begin again.
                Asked::Resubscribe(_) => {
                    carries.with_book.remove(&token.key);
                }
                Asked::Ping => {}
            }
        }
        drop(carries);
        let tokens: Box<[_]> = tokens.iter().map(|token| token.asset_id.clone()).collect();
        let text = text.into();
        let sent = SentText {
            asked,
            tokens,
            text,
        };
        self.push(at, What::Sent(Box::new(sent)));
    }

    fn first_books(&mut self, tokens: &[AssetKey], origin: BookOrigin, at: Instant) {
        let mut carries = self.socket.carries.lock();
        let mut named = Vec::with_capacity(tokens.len());
        for key in tokens {
            if let Some(id) = carries.tokens.get(key) {
                named.push(id.clone());
                carries.with_book.insert(*key);
            }
        }
        drop(carries);
        self.push(at, What::FirstBooks(named.into(), origin));
    }

    fn delivers(&mut self, feed: FeedId, at: Instant) {
        self.socket.carries.lock().feed = Some(feed);
        self.push(at, What::Delivers(feed));
    }

    fn closed(&mut self, reason: &str, owner: Owner, at: Instant) {
        self.close(reason, owner, at);
    }
}

/// Its task died without a word.
impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_closed {
            self.close("task_died", Owner::Us, Instant::now());
        }
    }
}

/// The writer's side.
pub struct Outlet {
    shared: Arc<Shared>,
}

impl Outlet {
    /// Moves what came to `items`, in order, until it has so many bytes; one item at
    /// least, if there is any. How many it took.
    pub fn take(&mut self, most: usize, items: &mut Vec<Item>) -> usize {
        let mut pending = self.shared.pending.lock();
        let mut bytes = 0;
        while bytes < most
            && let Some(item) = pending.items.pop_front()
        {
            let taken = item.bytes();
            bytes += taken;
            pending.bytes = pending.bytes.saturating_sub(taken);
            items.push(item);
        }
        if pending.is_full && pending.bytes <= self.shared.room / 2 {
            pending.is_full = false;
            pending.tell_lost();
        }
        bytes
    }

    /// Whether the program ends.
    pub fn is_ending(&self) -> bool {
        self.shared.is_ending.load(Ordering::Acquire)
    }

    /// Waits until something has come, or until this moment.
    pub fn wait(&mut self, until: Instant) {
        let mut pending = self.shared.pending.lock();
        while pending.items.is_empty() && !pending.is_woken {
            pending.is_parked = true;
            if self
                .shared
                .arrived
                .wait_until(&mut pending, until)
                .timed_out()
            {
                break;
            }
        }
        pending.is_parked = false;
    }

    /// Waits until something has come, and then for more, so that who pushes wakes it
    /// seldom; or until this moment.
    pub fn gather(&mut self, until: Instant) {
        self.wait(until);
        let until = until.min(Instant::now() + GATHER);
        let mut pending = self.shared.pending.lock();
        while pending.bytes < GATHERED && !pending.is_woken {
            let waited = self.shared.gathered.wait_until(&mut pending, until);
            if waited.timed_out() {
                break;
            }
        }
        pending.is_woken = false;
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.shared.pending.lock().bytes
    }

    /// The same; `None` while something was dropped of which nothing that waits tells.
    pub fn waiting_whole(&self) -> Option<usize> {
        let pending = self.shared.pending.lock();
        (!pending.is_full && pending.lost.is_empty()).then_some(pending.bytes)
    }

    /// Whether what comes is dropped at the moment.
    pub fn is_full(&self) -> bool {
        self.shared.pending.lock().is_full
    }

    /// Wakes the thread that waits, although nothing came.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.shared))
    }

    /// The markets that are followed, or were and are not forgotten.
    pub(crate) fn markets(&self) -> BTreeMap<ConditionId, KnownMarket> {
        self.shared.markets.lock().clone()
    }

    /// The sockets that are open, by number.
    pub fn sockets(&self) -> Vec<OpenSocket> {
        let sockets: Vec<_> = {
            let sockets = self.shared.sockets.lock();
            let shared = sockets
                .iter()
                .map(|(number, socket)| (*number, Arc::clone(socket)));
            shared.collect()
        };
        let open = sockets.into_iter().map(|(number, socket)| {
            let carries = socket.carries.lock();
            let mut tokens: Vec<_> = carries
                .tokens
                .iter()
                .map(|(key, id)| (id.clone(), carries.with_book.contains(key)))
                .collect();
            tokens.sort();
            OpenSocket {
                socket: number,
                connection: Arc::clone(&socket.connection),
                next_sequence: socket.next.load(Ordering::Relaxed),
                feed: carries.feed,
                tokens,
            }
        });
        open.collect()
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.waiting();
        f.debug_struct("Outlet")
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

/// Wakes the writer, and sees what waits for it.
#[derive(Clone)]
pub struct Waker(Arc<Shared>);

impl Waker {
    /// The writer waits no longer, or not the next time.
    pub fn wake(&self) {
        self.0.pending.lock().is_woken = true;
        self.0.arrived.notify_one();
        self.0.gathered.notify_one();
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.pending.lock().bytes
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
