//! From a socket into the books nothing is allocated for a level change.
//!
//! Frames go over a loopback socket through the program's connection, router and
//! worker, on its runtime; every thread's allocations count. The WebSocket below
//! gets a new buffer now and then, and a queue that is long for the first time
//! grows, so that the bound is not zero: one allocation in twenty changes, where a
//! single one for each frame would be nine times as many, and one for each change
//! twenty times.
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

/// Changes to an allocation, at the least.
const LEAST_APART: u64 = 20;

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

/// As large as the paced flow, in frames and in time.
const FRAMES_A_SECOND: u64 = 10_000;
const MILLIS: u64 = 2_000;
/// A flow that fills buffers and queues.
const BURST_MILLIS: u64 = 200;

/// No harness: the exchange must not be run as a test.
fn main() -> Result<ExitCode, Failure> {
    if std::env::args().any(|argument| argument == EXCHANGE) {
        exchange::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut bench = Bench::start(EXCHANGE)?;
    for (rate, millis) in [(Some(FRAMES_A_SECOND), MILLIS), (None, BURST_MILLIS)] {
        let flow = Flow {
            connections: 1,
            security: Security::Plain,
            rate,
            millis,
        };
        let mut counts = Vec::with_capacity(2);
        let sent = bench.run_warm(flow, || counts.push(ALLOCATIONS.load(Ordering::Relaxed)))?;
        let allocated = match counts[..] {
            [before, after] => after - before,
            _ => return Err("the flow was not told twice".into()),
        };
        let changes = sent.changes;
        if changes == 0 || allocated * LEAST_APART > changes {
            let told = format!("{allocated} allocations for {changes} changes: {flow:?}");
            return Err(told.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}
