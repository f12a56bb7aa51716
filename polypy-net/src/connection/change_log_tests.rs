use polypy_core::{BookEvent, Price, Side, Size, Top};

use super::*;
use crate::connection::testing::SimulatedVenue;

const NOW: u64 = 1_780_000_000_000;

struct Harness {
    world: SimulatedVenue,
    old: Arc<ChangeLog>,
    new: Arc<ChangeLog>,
}

impl Harness {
    fn new() -> Self {
        Self {
            world: SimulatedVenue::new(2),
            old: ChangeLog::new(Opening::Given),
            new: ChangeLog::new(Opening::Awaited),
        }
    }

    fn opening(&self, asset: u64, at: u64) -> MarketEvent {
        MarketEvent::Book(Box::new(BookEvent {
            info: self.world.asset(asset),
            timestamp: Timestamp::from_millis(NOW + at),
            hash: None,
            bids: Vec::new(),
            asks: Vec::new(),
            tick_size: Some(polypy_core::DecimalText::new("0.01").unwrap()),
            last_trade_price: None,
            min_order_size: None,
            neg_risk: None,
            version: None,
        }))
    }

    /// Change number `what` of an asset.
    fn change(&self, asset: u64, at: u64, what: u64) -> MarketEvent {
        MarketEvent::PriceChange(PriceChange {
            asset: self.world.asset(asset).key,
            timestamp: Timestamp::from_millis(NOW + at),
            side: Side::Bid,
            price: "0.5".parse::<Price>().unwrap(),
            size: what.to_string().parse::<Size>().unwrap(),
            hash: None,
            best_bid: Top::Unstated,
            best_ask: Top::Unstated,
            last_in_frame: true,
        })
    }

    fn compare(&self) -> Comparison {
        Comparison::of(&self.old, &self.new)
    }
}

/// (both, old only, new only, books compared, books equal).
fn figures(found: &Comparison) -> (u64, u64, u64, u64, u64) {
    let Comparison {
        both,
        old_only,
        new_only,
        books_compared,
        books_equal,
        ..
    } = found;
    (*both, *old_only, *new_only, *books_compared, *books_equal)
}

#[test]
fn what_each_side_brought_alone_is_told_within_the_common_window() {
    let harness = Harness::new();
    // Before the new connection has its book, and in that book's millisecond.
    harness.old.record(&[harness.change(0, 0, 1)]);
    harness
        .old
        .record(&[harness.change(0, 90, 2), harness.change(0, 100, 3)]);
    harness
        .new
        .record(&[harness.opening(0, 100), harness.opening(1, 40)]);
    harness.new.record(&[harness.change(0, 100, 3)]);
    // In both, in another order, one of them twice.
    let told = [harness.change(0, 150, 4), harness.change(1, 160, 5)];
    harness
        .old
        .record(&[told[0].clone(), told[1].clone(), told[0].clone()]);
    harness.new.record(&[told[1].clone(), told[0].clone()]);
    // Only in one.
    harness.old.record(&[harness.change(1, 170, 6)]);
    harness
        .new
        .record(&[harness.change(1, 180, 7), harness.change(1, 181, 8)]);
    // How far each has come; what is newer may still be on its way.
    harness
        .old
        .record(&[harness.change(0, 390, 9), harness.change(0, 400, 10)]);
    harness.new.record(&[harness.change(0, 1_000, 11)]);
    let found = harness.compare();
    assert_eq!(figures(&found), (2, 1, 2, 2, 1));
    assert_eq!(found.digests_equal, Some(false));
    // From the second asset's opening book to 200 ms before 400.
    assert_eq!(found.compared_ms, 160);
}

#[test]
fn equal_tapes_are_equal() {
    let harness = Harness::new();
    harness.old.record(&[harness.change(0, 1, 1)]);
    harness
        .new
        .record(&[harness.opening(0, 1), harness.opening(1, 1)]);
    for at in 2..1_000 {
        let change = harness.change(at % 2, at, at);
        harness.old.record(std::slice::from_ref(&change));
        harness.new.record(&[change]);
    }
    let found = harness.compare();
    assert_eq!(figures(&found), (798, 0, 0, 2, 2));
    assert_eq!(found.digests_equal, Some(true));
    assert_eq!(found.compared_ms, 798);
}

#[test]
fn nothing_is_said_of_what_cannot_be_compared() {
    let harness = Harness::new();
    assert_eq!(harness.compare(), Comparison::default());
    harness
        .old
        .record(&[harness.change(0, 1, 1), harness.change(0, 500, 2)]);
    assert_eq!(harness.compare().digests_equal, None);
    // No opening book on the new side.
    harness.new.record(&[harness.change(0, 500, 3)]);
    assert_eq!(harness.compare().digests_equal, None);
}

#[test]
fn an_asset_named_again_is_compared_from_its_next_opening_book() {
    let harness = Harness::new();
    harness.old.record(&[harness.change(1, 1, 1)]);
    harness
        .new
        .record(&[harness.opening(0, 1), harness.opening(1, 1)]);
    harness.new.gap([harness.world.asset(0).key]);
    harness.old.gap([harness.world.asset(1).key]);
    harness.old.record(&[harness.change(0, 50, 2)]);
    harness.new.record(&[harness.change(1, 60, 3)]);
    harness.new.record(&[harness.opening(0, 70)]);
    for log in [&harness.old, &harness.new] {
        log.record(&[harness.change(0, 80, 4), harness.change(1, 900, 5)]);
    }
    assert_eq!(figures(&harness.compare()), (1, 0, 0, 1, 1));
}

#[test]
fn a_tape_that_ended_or_is_full_covers_nothing_later() {
    let harness = Harness::new();
    harness.old.record(&[harness.change(0, 0, 0)]);
    harness.new.record(&[harness.opening(0, 0)]);
    let most = u64::try_from(MAX_CHANGES).unwrap();
    let many: Vec<_> = (1..=most + 5_000)
        .map(|at| harness.change(0, at, at))
        .collect();
    harness.old.record(&many);
    harness.new.record(&many[..1_000]);
    harness.new.end();
    harness.new.record(&many[2_000..]);
    assert_eq!(harness.new.log.lock().entries.len(), 1_000);
    assert_eq!(harness.old.log.lock().entries.len(), MAX_CHANGES);
    assert_eq!(figures(&harness.compare()), (800, 0, 0, 1, 1));
}

#[test]
fn a_recorder_whose_tape_is_gone_stops() {
    let harness = Harness::new();
    let mut recorder = LogWriter::default();
    let log = ChangeLog::new(Opening::Given);
    recorder.begin(&log);
    recorder.record(&[harness.change(0, 1, 1)]);
    assert_eq!(log.log.lock().entries.len(), 1);
    drop(log);
    recorder.record(&[harness.change(0, 2, 2)]);
    assert!(recorder.0.is_none());
}
