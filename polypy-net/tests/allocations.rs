//! Decoding allocates nothing for a level change, and for a book no more than
//! the event is made of.
//!
//! A test program of its own, because its allocator counts for all of it; and
//! one test, because tests share the program's threads.

#![expect(
    unsafe_code,
    reason = "an allocator cannot be written without it; this one hands everything on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use polypy_core::{AssetId, AssetInfo, ConditionId, Interner};
use polypy_net::wire::{Decoded, Reading, WireStats};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes on unchanged to the system's allocator, whose promises
// are then ours; counting touches a plain number of this thread, which needs
// neither an allocation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as we were called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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

fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

const TOKENS: [&str; 2] = [
    "28543399540889573521326455114444614843465304193358852739098843595402438285281",
    "64737144597035632498370333432882203102562861720967881889541302920852035334771",
];
const MARKET: &str = "0x98e6e35c934b5281f28373b408a129825c6453918fb8bd9dfb8a991be2dd6841";
const HASH: &str = "b0fc669863e83b107e835c4a8a1ba20153e3fa7b";

fn interner() -> Interner {
    let mut assets = Interner::default();
    let condition: ConditionId = MARKET.parse().expect("is a condition id");
    for token in TOKENS {
        let asset: AssetId = token.parse().expect("is an asset id");
        let describe = |key| AssetInfo::new(key, asset.clone(), condition.clone());
        assets.insert(&asset, &condition, describe);
    }
    assets
}

fn entries(count: usize) -> String {
    let entries: Vec<_> = (0..count)
        .map(|at| {
            let token = TOKENS[at % 2];
            format!(
                r#"{{"asset_id":"{token}","price":"0.{}","size":"{at}5.25","side":"BUY","hash":"{HASH}","best_bid":"0.49","best_ask":"0.52"}}"#,
                at + 1
            )
        })
        .collect();
    entries.join(",")
}

/// Every shape of which the steady flow is made, also in another order and with
/// white space.
fn flow() -> Vec<String> {
    let token = TOKENS[0];
    let mut frames: Vec<_> = [1, 2, 5, 16]
        .into_iter()
        .map(|count| {
            let entries = entries(count);
            format!(
                r#"{{"market":"{MARKET}","price_changes":[{entries}],"timestamp":"1791200000100","event_type":"price_change"}}"#
            )
        })
        .collect();
    frames.push(format!(
        r#"{{"event_type":"price_change","timestamp":"1791200000100","price_changes":[{}],"market":"{MARKET}"}}"#,
        entries(2)
    ));
    frames.push(frames[1].replace(':', ": ").replace(',', ", "));
    frames.push(format!(
        r#"{{"market":"{MARKET}","asset_id":"{token}","price":"0.520","size":"219.217767","fee_rate_bps":"0","side":"BUY","timestamp":"1791200000621","event_type":"last_trade_price","transaction_hash":"0xab"}}"#
    ));
    frames.push(format!(
        r#"{{"market":"{MARKET}","asset_id":"{token}","best_bid":"0.49","best_ask":"0.52","spread":"0.03","timestamp":"1791200000102","event_type":"best_bid_ask"}}"#
    ));
    frames
}

fn book(levels: usize) -> String {
    let level = |at| format!(r#"{{"price":"0.{at}","size":"{at}.25"}}"#);
    let side: Vec<_> = (100..100 + levels).map(level).collect();
    let side = side.join(",");
    format!(
        r#"{{"market":"{MARKET}","asset_id":"{}","timestamp":"1791200000105","hash":"{HASH}","bids":[{side}],"asks":[{side}],"tick_size":"0.001","event_type":"book","last_trade_price":"0.500"}}"#,
        TOKENS[0]
    )
}

#[test]
fn the_steady_flow_allocates_nothing() {
    let (assets, stats, mut out) = (interner(), WireStats::default(), Decoded::default());
    let flow = flow();
    let mut read = |frames: &[String]| {
        out.clear();
        let before = stats.snapshot().fast_frames;
        let allocated = allocations(|| {
            let mut reading = Reading::new(&assets, &stats, &mut out);
            for frame in frames {
                reading.frame(frame.as_bytes());
            }
        });
        let fast = stats.snapshot().fast_frames - before;
        assert_eq!(fast, frames.len() as u64);
        (allocated, out.events.len())
    };
    let (first, events) = read(&flow);
    assert!(first > 0, "the counter counts");
    assert_eq!(events, 30);
    for _ in 0..100 {
        assert_eq!(read(&flow), (0, events));
    }
    // The event and its two sides, whatever their length, once there is room to
    // collect the longest.
    let longest = book(500);
    read(&[longest]);
    for levels in [1, 20, 260, 500] {
        assert_eq!(read(&[book(levels)]), (3, 1), "{levels}");
    }
    assert_eq!(read(&[book(0)]), (1, 1));
}
