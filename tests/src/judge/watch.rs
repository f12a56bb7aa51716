//! Looks at every book, again and again, from a thread of its own.
//!
//! It reads as any other reader does, through [`BookSource`], and keeps what
//! changed from one look to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use polypy_core::{AssetId, BookLookup, BookSource};
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
    pub pauses: Vec<(Duration, Duration)>,
}

/// A thread that looks until told to stop.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Record>,
}

impl Watch {
    /// Begins.
    pub fn begin(books: Arc<dyn BookSource>, assets: Vec<AssetId>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || watch(&*books, assets, &stop)
        });
        Self { stop, thread }
    }

    /// Ends; what was seen.
    ///
    /// # Panics
    /// When the thread did.
    pub fn end(self) -> Record {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("looking does not panic")
    }
}

fn watch(books: &dyn BookSource, assets: Vec<AssetId>, stop: &AtomicBool) -> Record {
    let began = Instant::now();
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
    let mut before = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let now = began.elapsed();
        if now - before > PAUSE {
            record.pauses.push((before, now));
        }
        before = now;
        for (asset, seen) in &mut record.assets {
            look(books, asset, seen, began);
            record.looks += 1;
        }
        thread::sleep(LOOK);
    }
    record.end = began.elapsed();
    record
}

fn look(books: &dyn BookSource, asset: &AssetId, seen: &mut Vec<Seen>, began: Instant) {
    let BookLookup::Found(view) = books.book(asset.as_str(), WHOLE) else {
        return;
    };
    // After the look: what was seen was true of some moment before.
    let at = began.elapsed();
    let now = Seen {
        at,
        state: view.state,
        digest: digest(view.bids.iter().copied(), view.asks.iter().copied()),
        epoch: view.epoch,
        sequence: view.sequence,
    };
    let same = seen.last().is_some_and(|last| Seen { at, ..*last } == now);
    if !same {
        seen.push(now);
    }
}
