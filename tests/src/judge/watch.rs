//! Looks at every book, again and again, from a thread of its own.
//!
//! It reads as any other reader does, through [`BookSource`], and keeps what
//! changed from one look to the next. Beside it beats a task, as the program's
//! own do: when either is late, the machine had no time for this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use polypy_core::{AssetId, BookLookup, BookSource, BookState};
use polypy_sim::digest;

use super::verdict::Seen;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(4);

/// Looks further apart than this were not the judge's idea.
const PAUSE: Duration = Duration::from_millis(20);

/// Every level a side can have: one for each price of the finest grid.
pub(super) const WHOLE: usize = 10_000;

/// What was seen.
#[derive(Debug)]
pub struct Record {
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub end: Duration,
    /// Of each asset, what was seen, in order.
    pub assets: Vec<(AssetId, Vec<Seen>)>,
    /// Looks at a book.
    pub looks: u64,
    /// Times at which it should have looked and was not let.
    pub pauses: Pauses,
}

/// A thread that looks until told to stop.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Record>,
    heart: tokio::task::JoinHandle<Pauses>,
}

/// Times at which something did not run that should have.
pub type Pauses = Vec<(Duration, Duration)>;

impl Watch {
    /// Begins.
    pub fn begin(books: Arc<dyn BookSource>, assets: Vec<AssetId>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || watch(&*books, assets, began, &stop)
        });
        let heart = tokio::spawn(beat(began, Arc::clone(&stop)));
        Self {
            stop,
            thread,
            heart,
        }
    }

    /// Ends; what was seen.
    ///
    /// # Panics
    /// When the thread or the task did.
    pub async fn end(self) -> Record {
        self.stop.store(true, Ordering::Release);
        let pauses = self.heart.await.expect("beating does not panic");
        let mut record = self.thread.join().expect("looking does not panic");
        record.pauses = union(record.pauses.into_iter().chain(pauses).collect());
        record
    }
}

/// Spans that overlap are one.
fn union(mut pauses: Pauses) -> Pauses {
    pauses.sort_unstable();
    let mut union: Pauses = Vec::new();
    for (from, to) in pauses {
        match union.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => union.push((from, to)),
        }
    }
    union
}

async fn beat(began: Instant, stop: Arc<AtomicBool>) -> Pauses {
    let mut pauses = Pauses::new();
    let mut before = began.elapsed();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
        let now = began.elapsed();
        if now.saturating_sub(before) > PAUSE {
            pauses.push((before, now));
        }
        before = now;
    }
    pauses
}

fn watch(
    books: &dyn BookSource,
    assets: Vec<AssetId>,
    began: Instant,
    stop: &AtomicBool,
) -> Record {
    let mut record = Record {
        began,
        end: Duration::ZERO,
        assets: assets
            .into_iter()
            .map(|asset| (asset, Vec::new()))
            .collect(),
        looks: 0,
        pauses: Vec::new(),
    };
    let mut before = began.elapsed();
    loop {
        // What the trial waited for before it stopped this is seen, too.
        let is_last = stop.load(Ordering::Acquire);
        let now = began.elapsed();
        if now - before > PAUSE {
            record.pauses.push((before, now));
        }
        before = now;
        for (asset, seen) in &mut record.assets {
            look(books, asset, seen, began);
            record.looks += 1;
        }
        if is_last {
            break;
        }
        thread::sleep(LOOK);
    }
    record.end = began.elapsed();
    record
}

fn look(books: &dyn BookSource, asset: &AssetId, seen: &mut Vec<Seen>, began: Instant) {
    let found = books.book(asset.as_str(), WHOLE);
    // After the look: what was seen was true of some moment before.
    let at = began.elapsed();
    let BookLookup::Found(view) = found else {
        // Its market is not followed any more; nothing is shown of it from here on.
        if let Some(last) = seen.last().copied()
            && last.state != BookState::Pending
        {
            let state = BookState::Pending;
            seen.push(Seen { at, state, ..last });
        }
        return;
    };
    let now = Seen {
        at,
        state: view.state,
        digest: digest(view.bids.iter().copied(), view.asks.iter().copied()),
        epoch: view.position.epoch,
        sequence: view.position.sequence,
        refuted: view.hash_verified == Some(false),
    };
    let same = seen.last().is_some_and(|last| Seen { at, ..*last } == now);
    if !same {
        seen.push(now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use polypy_core::{AssetKey, BookPosition, BookTop, BookView, Timestamp, TradesLookup};

    use super::*;

    /// One book, with this sequence.
    struct Shown(AtomicU64);

    impl BookSource for Shown {
        fn book(&self, asset_id: &str, _: usize) -> BookLookup {
            BookLookup::Found(Box::new(BookView {
                asset_id: AssetId::new(asset_id).expect("an id"),
                state: BookState::Live,
                position: BookPosition {
                    epoch: 1,
                    sequence: self.0.load(Ordering::SeqCst),
                    revision: 0,
                },
                key_life: 1,
                bids: Vec::new(),
                asks: Vec::new(),
                bid_levels: 0,
                ask_levels: 0,
                spread: None,
                mid_price: None,
                imbalance: None,
                last_update: Timestamp::from_millis(0),
                received: Duration::ZERO,
                at: Instant::now(),
                lasted: Duration::ZERO,
                tick_size: None,
                last_trade: None,
                hash: None,
                hash_verified: None,
                verified_ago: None,
                feed: None,
                history: Vec::new(),
            }))
        }

        fn trades(&self, _: &str, _: usize) -> TradesLookup {
            TradesLookup::Unknown
        }

        // No key names one of these books.
        fn books(&self, assets: &[AssetKey], _: usize) -> Vec<BookLookup> {
            assets.iter().map(|_| BookLookup::Unknown).collect()
        }

        fn tops(&self, assets: &[AssetKey]) -> Vec<Option<BookTop>> {
            assets.iter().map(|_| None).collect()
        }
    }

    #[tokio::test]
    async fn what_was_there_before_the_end_is_seen() {
        let shown = Arc::new(Shown(AtomicU64::new(1)));
        let asset = AssetId::new("17").expect("an id");
        let watch = Watch::begin(Arc::clone(&shown) as Arc<dyn BookSource>, vec![asset]);
        tokio::time::sleep(5 * LOOK).await;
        shown.0.store(2, Ordering::SeqCst);
        let record = watch.end().await;
        let sequences: Vec<_> = record.assets[0]
            .1
            .iter()
            .map(|seen| seen.sequence)
            .collect();
        assert_eq!(sequences, [1, 2]);
    }

    #[test]
    fn pauses_that_overlap_are_one() {
        let ms = Duration::from_millis;
        let pauses = vec![
            (ms(50), ms(60)),
            (ms(0), ms(20)),
            (ms(10), ms(30)),
            (ms(30), ms(31)),
        ];
        assert_eq!(union(pauses), [(ms(0), ms(31)), (ms(50), ms(60))]);
    }
}
