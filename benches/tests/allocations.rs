//! From a socket into the books nothing is allocated for a frame or for what is
//! in it.
//!
//! Frames go over a loopback socket through the program's connection, router and
//! worker, on its runtime; every thread's allocations count. First everything that
//! grows is given its length: books and their histories, buffers, the queue. From
//! then on what is allocated is what timers and this test itself allocate: a number
//! that does not depend on how many frames come in the meantime, whether in time
//! with the program or faster than it can take them.
//!
//! A test program of its own, because its allocator counts for all of it. The
//! exchange is this program again, so that what it allocates is not counted.

#![expect(
    unsafe_code,
    reason = "an allocator cannot be written without it; this one hands everything on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use polypy_benches::loopback::turn::{Bench, Flow};
use polypy_benches::loopback::{Failure, Security, exchange};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes on unchanged to the system's allocator, whose promises
// are then ours; counting touches a plain number, which needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as we were called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as we were called.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as we were called.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Makes this program the exchange.
const EXCHANGE: &str = "--serve-exchange";

/// How often the venue's frames are told until nothing grows any more: every second
/// telling at least is a point of a book's history, which doubles for the last time
/// at its 65th.
const TELLINGS: usize = 140;
/// Frames a second at which few of them wait for the worker where it has a core.
const PACES: [u64; 2] = [10_000, 20_000];
/// How long each flow lasts; timers tick meanwhile.
const MILLIS: u64 = 2_000;
/// As much is sent as is taken, which is more than can be applied at once.
const BURST: Option<u64> = None;
/// Of tens of thousands of frames. Timers allocate in the time of a flow, and this process
/// for telling the exchange what to do: three to six were counted, and a busy machine takes
/// longer. Where the worker has to wait for a core, as in a burst, the queue may get longer
/// than it ever was, though no longer than half full, which is some sixty batches; and each
/// of them may double ten times.
const MOST: u64 = 640;

/// No harness: the exchange must not be run as a test.
#[expect(clippy::print_stdout, reason = "what a test found")]
fn main() -> Result<ExitCode, Failure> {
    if std::env::args().any(|argument| argument == EXCHANGE) {
        exchange::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let rates = PACES.map(Some).into_iter().chain([BURST]);
    let flows: Vec<_> = rates
        .map(|rate| Flow {
            connections: 1,
            security: Security::Plain,
            rate,
            millis: MILLIS,
        })
        .collect();
    let mut counts = Vec::with_capacity(1 + flows.len());
    let mut bench = Bench::start(EXCHANGE)?;
    let warming = bench.corpus().frames.len() * TELLINGS;
    let sent = bench.run_warm(warming.try_into()?, &flows, || {
        counts.push(ALLOCATIONS.load(Ordering::Relaxed));
    })?;
    let allocated: Vec<_> = counts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if allocated.len() != flows.len() {
        return Err("not every flow was told".into());
    }
    for ((flow, sent), allocated) in flows.iter().zip(sent).zip(allocated) {
        let (frames, changes) = (sent.frames, sent.changes);
        let told = format!("{allocated} allocations, {frames} frames, {changes} changes: {flow:?}");
        println!("{told}");
        if changes == 0 || allocated > MOST {
            return Err(told.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}
