//! The workers' own books and checks, on recorded time.
//!
//! What a recording says is applied as a worker would apply it, by the same code: the
//! recorded sockets are the feeds, and time passes only as the entries say. So what is
//! found here is what the program would have found, and nothing depends on how fast a
//! recording is read.
//!
//! | module | |
//! |---|---|
//! | `time` | recorded time, as the books measure it |
//! | `beginning` | sockets that have yet to come as far as the checkpoint that a book began with |
//! | `findings` | what the checks found, by token |

mod beginning;
mod findings;
mod time;

use std::collections::HashMap;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use polypy_core::{
    AssetKey, BookChange, BookEvent, BookHash, BookStatus, Checkpoint, FeedId, MarketEvent, Scope,
    StaleReason,
};

use self::beginning::Beginnings;
pub use self::findings::Findings;
use self::findings::Ledger;
use self::time::RecordedTime;
use crate::config::WorkersConfig;
use crate::feeds::Feeds;
use crate::partition::{LOOK_INTERVAL, Partition};
use crate::queue::{Batch, ControlMessage, ControlMessages, StalenessMark};
use crate::stats::WorkerStats;

/// Looks that are made at most when much time passes at once, in which nothing comes: an
/// hour's. What time alone decides is decided by then, and a clock may jump by years.
const MOST_LOOKS: usize = 4 * 3_600;

/// Books made of what a recording says. See the module's documentation.
///
/// Times are nanoseconds since the Unix epoch, as recorded. Each call says when it is, and
/// what the time until then decides is decided first. Recorded clocks may be set back:
/// then no time passes until the next entry that is later than the one before it.
///
/// What changes of the books that are [followed](Self::follow) is kept until
/// [`changes`](Self::changes) takes it.
#[derive(Debug)]
pub struct OfflineBooks {
    partition: Partition,
    feeds: Arc<Feeds>,
    time: RecordedTime,
    looked: Instant,
    /// The newest that was given out, as in a worker's queue.
    number: u64,
    beginnings: Beginnings,
    ledger: Ledger,
    written: Vec<BookChange>,
    panics: u64,
}

impl OfflineBooks {
    /// No books yet, at this moment. They are checked as `config` says, but that every
    /// hash is, whatever that costs.
    pub fn new(config: &WorkersConfig, began: u64) -> Self {
        let mut config = config.clone();
        // What a check costs is measured, and nothing follows from it.
        config.integrity.hash_cpu_percent = u32::MAX;
        let (feeds, stats) = (Feeds::new(1, Arc::default()), WorkerStats::default());
        let (feeds, stats) = (Arc::new(feeds), Arc::new(stats));
        let time = RecordedTime::new(began);
        let now = time.now();
        Self {
            partition: Partition::new(&config, Arc::clone(&feeds), Arc::clone(&stats), now),
            feeds,
            time,
            looked: now,
            number: 0,
            beginnings: Beginnings::default(),
            ledger: Ledger::new(stats),
            written: Vec::new(),
            panics: 0,
        }
    }

    // ---- what is recorded ---------------------------------------------------

    /// A socket opened.
    pub fn open(&mut self, feed: FeedId) {
        self.feeds.open(feed);
    }

    /// A socket is gone.
    pub fn close(&mut self, feed: FeedId, reason: StaleReason, at: u64) {
        self.look(at);
        self.beginnings.close(feed);
        if self.feeds.close(feed, reason) {
            self.take_control(ControlMessages {
                closed: vec![(feed, reason)],
                ..ControlMessages::default()
            });
        }
    }

    /// A socket brought these events, in one read. Leaves `events` empty.
    pub fn deliver(&mut self, feed: FeedId, events: &mut Vec<MarketEvent>, at: u64) {
        self.look(at);
        self.beginnings.sift(feed, events, self.time.now());
        self.apply(feed, take(events), None);
    }

    /// A book to be compared with ours, and never applied: one that was fetched, or a
    /// checkpoint.
    pub fn audit(&mut self, book: Box<BookEvent>, at: u64) {
        self.look(at);
        let requested = self.time.now();
        self.apply(FeedId::default(), Vec::new(), Some((book, requested)));
    }

    /// A book begins with a live one of before, on each of these sockets: it is taken for
    /// the book that each of them sent, or no change of theirs could follow. What they
    /// bring next may be older than it, and is left out then. A book whose socket is not
    /// open, or has lost something that it may lack, is stale after that.
    pub fn begin(&mut self, book: &BookEvent, feeds: &[FeedId], at: u64) {
        self.look(at);
        for feed in feeds {
            let whole = MarketEvent::Book(Box::new(book.clone()));
            self.beginnings.begin(*feed, book, self.time.now());
            self.apply(*feed, vec![whole], None);
        }
    }

    /// Something of these books was lost, on one socket or on all, as
    /// [`EventSink::mark_feed_stale`](polypy_core::EventSink::mark_feed_stale) has it.
    pub fn mark(&mut self, scope: Scope, assets: &[AssetKey], reason: StaleReason, at: u64) {
        self.look(at);
        self.number += 1;
        let mark = StalenessMark {
            number: self.number,
            reason,
        };
        self.tell(assets, |message| match scope {
            Scope::AllFeeds => message.mark = Some(mark),
            Scope::Feed(feed) => message.gaps = vec![(feed, mark)],
        });
    }

    /// The market of these books has ended.
    pub fn settle(&mut self, assets: &[AssetKey], at: u64) {
        self.look(at);
        self.tell(assets, |message| message.settled = true);
    }

    /// These books are forgotten. What was found of them is not.
    pub fn forget(&mut self, assets: &[AssetKey], at: u64) {
        self.look(at);
        self.tell(assets, |message| message.forgotten = true);
    }

    /// It is that late: what time alone decides is decided.
    pub fn look(&mut self, at: u64) {
        let now = self.time.pass(at);
        for _ in 0..MOST_LOOKS {
            let is_awaited = self.partition.awaits_look() || self.beginnings.are_open();
            if !is_awaited || self.looked + LOOK_INTERVAL > now {
                break;
            }
            self.look_once();
        }
        // Where there is nothing to be seen a worker's looks leave no trace.
        while self.looked + LOOK_INTERVAL <= now {
            let missed = now.saturating_duration_since(self.looked).as_nanos();
            let missed = missed / LOOK_INTERVAL.as_nanos();
            self.looked += LOOK_INTERVAL * u32::try_from(missed).unwrap_or(u32::MAX);
        }
    }

    // ---- what is made of it -------------------------------------------------

    /// From now on the changes of these books are written: first each as it is.
    pub fn follow(&mut self, assets: &[AssetKey]) {
        let now = self.time.now();
        self.contain(|partition, _| partition.follow(assets.iter().copied(), now));
    }

    /// They are written no longer.
    pub fn unfollow(&mut self, assets: &[AssetKey]) {
        self.contain(|partition, _| partition.unfollow(assets.iter().copied()));
    }

    /// Takes what was written since, in order. [`BookChange::Reset`]: applying something
    /// panicked, what it had written is lost, and no book is followed any more.
    pub fn changes(&mut self, out: &mut Vec<BookChange>) {
        out.append(&mut self.written);
    }

    /// A book as readers would see it; `None` before the first whole book of it.
    pub fn book(&self, asset: AssetKey) -> Option<Checkpoint> {
        let slot = self.partition.slot(asset)?;
        let nothing = ControlMessage::default();
        slot.book().checkpoint(BookStatus {
            state: slot.state_with(&nothing, &self.feeds, false),
            ..slot.book().status()
        })
    }

    /// When a moment was that is stated in what was written last, or of a book.
    pub fn recorded(&self, moment: Instant) -> u64 {
        self.time.recorded(moment)
    }

    /// What the checks have found of all books. A little of it may be of no one token.
    pub fn totals(&self) -> Findings {
        self.ledger.totals()
    }

    /// The venue's hash that a book's levels do not give so far, and the one that they give,
    /// if they do not.
    pub fn open_hashes(&self, asset: AssetKey) -> Option<(BookHash, BookHash)> {
        self.partition.slot(asset)?.book().open_hashes()
    }

    /// The same of each book that anything came of, the forgotten ones included.
    pub fn by_token(&self) -> &HashMap<AssetKey, Findings> {
        self.ledger.by_token()
    }

    /// How often applying something panicked. No book is trusted after that until it
    /// comes whole again, as after the death of a worker.
    pub fn panics(&self) -> u64 {
        self.panics
    }

    // ---- how ----------------------------------------------------------------

    /// As a worker does when nothing comes.
    fn look_once(&mut self) {
        self.looked += LOOK_INTERVAL;
        let next = self.looked;
        for (feed, events) in self.beginnings.take_due(next) {
            self.apply(feed, events, None);
        }
        self.contain(|partition, ledger| {
            partition.look_and_tell(next, |slot| ledger.note(slot));
        });
    }

    fn apply(
        &mut self,
        feed: FeedId,
        events: Vec<MarketEvent>,
        audit: Option<(Box<BookEvent>, Instant)>,
    ) {
        if events.is_empty() && audit.is_none() {
            return;
        }
        self.number += 1;
        let now = self.time.now();
        let mut batch = Batch::at(feed, self.number, events, now);
        batch.audit = audit;
        self.contain(|partition, ledger| {
            partition.apply_and_tell(&mut batch, now, |slot| ledger.note(slot));
        });
    }

    fn tell(&mut self, assets: &[AssetKey], say: impl Fn(&mut ControlMessage)) {
        let told = assets.iter().map(|asset| {
            let mut message = ControlMessage::default();
            say(&mut message);
            (*asset, message)
        });
        self.take_control(ControlMessages {
            assets: told.collect(),
            ..ControlMessages::default()
        });
    }

    fn take_control(&mut self, control: ControlMessages) {
        let now = self.time.now();
        self.contain(|partition, _| partition.take(control, now));
    }

    /// What a worker and its supervisor do, at once: a panic leaves books that nobody
    /// trusts.
    fn contain(&mut self, act: impl FnOnce(&mut Partition, &mut Ledger)) {
        let (partition, ledger) = (&mut self.partition, &mut self.ledger);
        if catch_unwind(AssertUnwindSafe(|| act(partition, ledger))).is_err() {
            self.panics += 1;
            tracing::error!(batch = self.number, "applying what was recorded panicked");
            // As a worker that begins again.
            self.number += 1;
            self.partition.recover(self.number, self.time.now());
        }
        if let Some(changes) = self.partition.written() {
            self.written.append(changes);
        }
        self.ledger.note_rest();
        // Nobody can be asked for another book.
        drop(self.partition.take_resyncs());
    }

    /// Has what is applied next panic in its midst.
    #[cfg(test)]
    pub(crate) fn inject_panic(&mut self) {
        self.partition.inject_panic();
    }
}

#[cfg(test)]
#[path = "offline_tests.rs"]
mod tests;
