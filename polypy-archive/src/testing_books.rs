//! Books that say what a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::{
    AssetId, AssetInfo, AssetKey, BookPosition, BookState, BookStatus, Checkpoint,
    CheckpointSource, Copied, Interner, Lane, Level, OrderBook, Timestamp, WholeBook,
};

/// Books on some lanes, numbered through.
pub(crate) struct Books {
    lanes: Vec<Vec<u32>>,
    state: Mutex<State>,
    copies: AtomicU64,
}

struct State {
    books: Vec<Book>,
    applied: Instant,
    busy: Vec<Option<Instant>>,
    /// Runs within a copy, before the books are looked at.
    before: Option<Box<dyn FnMut() + Send>>,
}

struct Book {
    info: Arc<AssetInfo>,
    state: BookState,
    position: BookPosition,
}

/// The number of a book, from zero.
pub(crate) fn number_of(info: &AssetInfo) -> u32 {
    let number: u32 = info.asset_id.as_str().parse().unwrap();
    number - 1
}

impl Books {
    pub(crate) const PAGE: usize = 16;

    pub(crate) fn new(lanes: &[usize]) -> Self {
        let (mut interner, condition) = (Interner::default(), "0xa1".parse().unwrap());
        let books = (1..=lanes.iter().sum::<usize>()).map(|number| {
            let id: AssetId = number.to_string().parse().unwrap();
            let info = interner.insert(&id, &condition, |key| {
                AssetInfo::new(key, id.clone(), condition.clone())
            });
            let position = BookPosition {
                epoch: 1,
                sequence: 1,
                revision: 1,
            };
            Book {
                info,
                state: BookState::Live,
                position,
            }
        });
        let books = books.collect();
        let mut next = 0;
        let lanes: Vec<Vec<u32>> = lanes
            .iter()
            .map(|count| {
                let first = next;
                next += u32::try_from(*count).unwrap();
                (first..next).collect()
            })
            .collect();
        let busy = vec![None; lanes.len()];
        Self {
            lanes,
            copies: AtomicU64::new(0),
            state: Mutex::new(State {
                books,
                applied: Instant::now(),
                busy,
                before: None,
            }),
        }
    }

    /// Whatever was delivered before this is in the books.
    pub(crate) fn applied(&self, now: Instant) {
        self.state.lock().applied = now;
    }

    /// What the lane's worker has to do is as old as that.
    pub(crate) fn busy_since(&self, lane: usize, since: Option<Instant>) {
        self.state.lock().busy[lane] = since;
    }

    pub(crate) fn set(&self, number: usize, state: BookState) {
        let book = &mut self.state.lock().books[number];
        book.state = state;
        book.position.revision += 1;
    }

    pub(crate) fn change(&self, number: usize) {
        self.state.lock().books[number].position.sequence += 1;
    }

    pub(crate) fn token(&self, number: usize) -> AssetId {
        self.state.lock().books[number].info.asset_id.clone()
    }

    pub(crate) fn infos(&self) -> Vec<Arc<AssetInfo>> {
        let state = self.state.lock();
        state
            .books
            .iter()
            .map(|book| Arc::clone(&book.info))
            .collect()
    }

    /// How often books were asked for.
    pub(crate) fn copies(&self) -> u64 {
        self.copies.load(Ordering::SeqCst)
    }

    pub(crate) fn before_copies(&self, act: impl FnMut() + Send + 'static) {
        self.state.lock().before = Some(Box::new(act));
    }
}

impl CheckpointSource for Books {
    fn lanes(&self) -> u16 {
        u16::try_from(self.lanes.len()).unwrap()
    }

    fn copy(
        &self,
        lane: Lane,
        from: usize,
        wanted: &dyn Fn(AssetKey, BookPosition) -> bool,
        out: &mut Vec<Checkpoint>,
    ) -> Option<Copied> {
        self.copies.fetch_add(1, Ordering::SeqCst);
        let mut state = self.state.lock();
        if let Some(before) = &mut state.before {
            before();
        }
        let (numbers, busy) = (
            &self.lanes[usize::from(lane.0)],
            state.busy[usize::from(lane.0)],
        );
        let (mut at, mut copies) = (from, 0);
        while at < numbers.len() && copies < Self::PAGE {
            let book = &state.books[numbers[at] as usize];
            at += 1;
            if wanted(book.info.key, book.position) {
                out.push(copy(book));
                copies += 1;
            }
        }
        Some(Copied {
            next: (at < numbers.len()).then_some(at),
            applied_before: busy.map_or(state.applied, |since| since.min(state.applied)),
        })
    }
}

fn copy(book: &Book) -> Checkpoint {
    let mut levels = OrderBook::default();
    let level = Level::new("0.5".parse().unwrap(), "7".parse().unwrap());
    levels.apply_snapshot(vec![level], Vec::new());
    Checkpoint {
        whole: WholeBook {
            info: Arc::clone(&book.info),
            book: levels,
            position: book.position,
            status: BookStatus {
                state: book.state,
                verified: None,
                tick_size: None,
                since: Instant::now(),
            },
            hash: None,
            at: Timestamp::from_millis(1_795_000_000_000),
            received: Instant::now() - Duration::from_millis(1),
        },
        last_trade_price: None,
        min_order_size: None,
        neg_risk: None,
        version: None,
    }
}
