use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{
    BookControl, BookState, EventSink, FeedId, MarketEvent, Side, StaleReason, SuspensionWatch,
};

use super::*;
use crate::config::WorkersConfig;
use crate::testing::{Harness, Truth, assets, one_worker, opened, price, size, text};

fn all(_: AssetKey, _: BookPosition) -> bool {
    true
}

/// One page from the beginning, of the first lane.
fn page(bench: &Harness) -> Option<(Copied, Vec<Checkpoint>)> {
    let mut out = Vec::new();
    let copied = bench
        .manager
        .checkpoints()
        .copy(Lane(0), 0, &all, &mut out)?;
    Some((copied, out))
}

fn only(bench: &Harness) -> Checkpoint {
    let (_, mut copies) = page(bench).unwrap();
    assert_eq!(copies.len(), 1);
    copies.remove(0)
}

/// All pages of all lanes, and how many copies each has.
fn walk(bench: &Harness) -> (Vec<Checkpoint>, Vec<usize>) {
    let (mut found, mut pages) = (Vec::new(), Vec::new());
    let source = bench.manager.checkpoints();
    for lane in 0..source.lanes() {
        let mut from = Some(0);
        while let Some(at) = from {
            let before = found.len();
            let copied = source.copy(Lane(lane), at, &all, &mut found).unwrap();
            pages.push(found.len() - before);
            from = copied.next;
        }
    }
    (found, pages)
}

#[test]
fn a_batch_that_waits_bounds_what_the_copies_have() {
    let (bench, mut truth) = opened();
    let began = Instant::now();
    let (copied, copies) = page(&bench).unwrap();
    assert!(copied.applied_before >= began, "nothing waits");
    assert!(truth.equals(&bench.view(&truth)) && copies.len() == 1);

    let before = truth.clone();
    let first = Instant::now();
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    let queued = Instant::now();
    bench.queue(1, [truth.change(Side::Bid, "0.49", "4")]);
    let (copied, copies) = page(&bench).unwrap();
    let waits_since = first..=queued;
    assert!(waits_since.contains(&copied.applied_before), "the oldest");
    assert_eq!(copies[0].whole.book, before.book);

    bench.settle_down();
    let (copied, copies) = page(&bench).unwrap();
    assert!(copied.applied_before > queued, "it is in the copy");
    assert_eq!(copies[0].whole.book, truth.book);
}

#[test]
fn a_copy_is_in_the_state_that_readers_see_before_the_worker_does() {
    let (bench, truth) = opened();
    let key = truth.key();
    assert_eq!(only(&bench).whole.status.state, BookState::Live);
    let before = Instant::now();
    bench.router.mark_stale(&[key], StaleReason::Resubscribing);
    let status = only(&bench).whole.status;
    let marked = BookState::Stale(StaleReason::Resubscribing);
    assert_eq!(status.state, marked);
    assert!(status.since >= before, "it was live until then");
    bench.settle_down();
    assert_eq!(only(&bench).whole.status.state, marked);
    bench.send(1, [truth.opening()]);
    bench.close(1);
    let gone = BookState::Stale(StaleReason::Disconnected);
    assert_eq!(only(&bench).whole.status.state, gone);
    bench.router.settle(&[key]);
    assert_eq!(only(&bench).whole.status.state, BookState::Settled);
    bench.router.forget(&[key]);
    assert_eq!(page(&bench).unwrap().1.len(), 0, "it is forgotten");
}

#[test]
fn a_suspended_process_has_no_live_copies() {
    let time = Arc::new(Mutex::new(Duration::ZERO));
    let clock = Arc::clone(&time);
    let watch = Arc::new(SuspensionWatch::new(move || *clock.lock()));
    watch.begin();
    let bench = Harness::watched(one_worker(), watch);
    let truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    assert_eq!(only(&bench).whole.status.state, BookState::Live);
    *time.lock() += Duration::from_secs(10);
    let old = BookState::Stale(StaleReason::Suspended);
    assert_eq!(only(&bench).whole.status.state, old);
}

#[test]
fn a_copy_has_what_hashes_are_made_of_as_far_as_a_hash_has_shown_it() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    // The catalogue says otherwise, and this price is never announced.
    (truth.min_order_size, truth.neg_risk) = ("15", true);
    truth.last_trade_price = "0.137";
    truth.version = Some("v2");
    bench.open(1);
    bench.send(1, [truth.snapshot()]);
    let first = only(&bench);
    assert_eq!(first.last_trade_price, None);
    assert_eq!((first.min_order_size, first.neg_risk), (None, None));
    assert_eq!(first.version.as_deref(), Some("v2"));
    let mut known = truth.clone();
    known.now += 1;
    bench.send(1, [known.opening()]);
    let copy = only(&bench);
    assert_eq!(copy.whole.status.verified, Some(true));
    assert_eq!(copy.last_trade_price, Some(text("0.137")));
    assert_eq!(copy.min_order_size, Some(text("15")));
    assert_eq!(copy.neg_risk, Some(true));
    let event = copy.as_event();
    let MarketEvent::Book(sent) = known.opening() else {
        unreachable!()
    };
    assert_eq!((event.timestamp, event.hash), (sent.timestamp, sent.hash));
    assert_eq!((&event.bids, &event.asks), (&sent.bids, &sent.asks));
    assert_eq!(
        (event.tick_size, event.info.key),
        (sent.tick_size, known.key())
    );
    assert_eq!(event.version, sent.version);
}

#[test]
fn every_book_is_copied_once_a_few_at_a_time() {
    let bench = Harness::new(WorkersConfig {
        count: NonZeroUsize::new(2).unwrap(),
        ..one_worker()
    });
    let truths: Vec<_> = assets(300).iter().map(Truth::new).collect();
    bench.open(1);
    // Two in three have no book.
    let with_book = || truths.iter().step_by(3);
    bench.send(1, with_book().map(Truth::opening).collect::<Vec<_>>());
    let (copies, pages) = walk(&bench);
    let mut found: Vec<_> = copies.iter().map(|copy| copy.whole.info.key).collect();
    found.sort_unstable();
    let mut expected: Vec<_> = with_book().map(Truth::key).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(pages.iter().all(|copies| *copies <= COPIES), "{pages:?}");
    assert!(pages.contains(&COPIES));

    // Only what is wanted, and nothing is looked at for longer.
    let source = bench.manager.checkpoints();
    let asked = std::cell::Cell::new(0);
    let none = |_, _| {
        asked.set(asked.get() + 1);
        false
    };
    let mut out = Vec::new();
    let copied = source.copy(Lane(0), 0, &none, &mut out).unwrap();
    assert_eq!((copied.next, out.len()), (Some(LOOKS), 0));
    assert!((1..=LOOKS).contains(&asked.get()));
    let end = source.copy(Lane(0), 100_000, &none, &mut out).unwrap();
    assert_eq!(end.next, None);
}

#[test]
fn a_book_that_has_not_changed_can_be_passed_over() {
    let (bench, mut truth) = opened();
    let known = only(&bench).whole.position;
    let changed = |_, position| position != known;
    let source = bench.manager.checkpoints();
    let mut out = Vec::new();
    source.copy(Lane(0), 0, &changed, &mut out).unwrap();
    assert_eq!(out.len(), 0);
    bench.send(1, [truth.change(Side::Ask, "0.55", "1")]);
    source.copy(Lane(0), 0, &changed, &mut out).unwrap();
    assert_eq!(out.len(), 1);
}

#[test]
fn books_that_are_held_or_half_done_are_not_copied() {
    let (bench, mut truth) = opened();
    let held = bench.hold_books();
    assert!(page(&bench).is_none());
    drop(held);
    assert!(page(&bench).is_some());
    let source = bench.manager.checkpoints();
    assert!(source.copy(Lane(1), 0, &all, &mut Vec::new()).is_none());
    bench.manager.inject_panic(0);
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    bench.iterate();
    assert!(!bench.is_running() && page(&bench).is_none());
    bench.restart_worker();
    let died = BookState::Stale(StaleReason::WorkerDied);
    assert_eq!(only(&bench).whole.status.state, died);
    bench.give_up_worker();
    assert!(page(&bench).is_none());
}

/// Two sockets bring a book, inline and by the queue, while it is copied.
#[tokio::test]
async fn all_that_was_delivered_before_that_moment_is_in_the_copy() {
    const ROUNDS: u64 = 2_000;
    const COPIES_WANTED: usize = 200;
    let bench = Harness::start(WorkersConfig {
        direct_events: 2,
        ..one_worker()
    })
    .await;
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.queue(1, [truth.opening()]);
    // When each round had been delivered, by the clock that copies are stamped with.
    let delivered = Mutex::new(vec![Instant::now()]);
    let is_over = AtomicBool::new(false);
    let late = Mutex::new(Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                let change = truth.change(Side::Bid, "0.49", &round.to_string());
                // More than two are queued.
                let times = if round % 3 == 0 { 3 } else { 1 };
                let mut events = vec![change; times];
                bench.router.deliver(FeedId(1), &mut events);
                delivered.lock().push(Instant::now());
            }
            is_over.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            let mut copies = 0;
            while copies < COPIES_WANTED || !is_over.load(Ordering::SeqCst) {
                let Some((copied, out)) = page(&bench) else {
                    continue;
                };
                let Some(copy) = out.first() else {
                    continue;
                };
                copies += 1;
                let held = copy.whole.book.size_at(Side::Bid, price("0.49"));
                let before = delivered.lock();
                let known = before.iter().rposition(|at| *at < copied.applied_before);
                let known = known.unwrap_or_default();
                if held < size(&known.to_string()) {
                    late.lock().push((known, held));
                }
            }
        });
    });
    assert_eq!(late.into_inner(), []);
}
