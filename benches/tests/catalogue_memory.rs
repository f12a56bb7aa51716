//! What a market takes in the catalogue: 1,024 bytes at most.
//!
//! A test program of its own, because its allocator counts for all of it. Counted is what
//! was asked for; the program's own allocator rounds that up by some per cent.

#![expect(
    unsafe_code,
    reason = "an allocator cannot be written without it; this one hands everything on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use polypy_benches::listing::Listing;
use polypy_core::catalogue::CatalogueTable;

struct Counting;

/// What is in use. Wraps around in between, which subtraction undoes.
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on unchanged to the system's allocator, whose promises
// are then ours; counting touches a plain number, which needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as we were called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(size.wrapping_sub(layout.size()), Ordering::Relaxed);
        // SAFETY: as we were called.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as we were called.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MARKETS: usize = 50_000;
/// What docs/decisions promise.
const MOST: usize = 1_024;

#[test]
fn a_market_takes_a_kibibyte_at_most() {
    let before = BYTES.load(Ordering::Relaxed);
    let mut table = CatalogueTable::default();
    for row in Listing::new(7).take(MARKETS) {
        table.take_in(row);
    }
    let view = table.view();
    let taken = BYTES.load(Ordering::Relaxed).wrapping_sub(before);
    assert_eq!(view.len(), MARKETS);
    let a_market = taken / MARKETS;
    assert!(a_market <= MOST, "{a_market}");
    drop(view);
    // Figures move with every crawl, while somebody reads.
    for row in Listing::new(7).take(MARKETS) {
        let view = table.view();
        table.take_in(row);
        black_box(&view);
    }
    let again = BYTES.load(Ordering::Relaxed).wrapping_sub(before) / MARKETS;
    assert!(again <= MOST, "{again} after a second crawl");
    drop(table);
    let left = BYTES.load(Ordering::Relaxed).wrapping_sub(before);
    // The harness itself may take some in between.
    assert!(left < MARKETS, "{left} bytes are left");
    println!("{a_market} bytes a market, with its market itself");
}
