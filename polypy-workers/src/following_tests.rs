//! What is written of followed books, and when. That it is all there is shown by
//! `follower_tests`.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::{
    AssetKey, BookChange, BookControl, BookState, ChangeSink, ChangeSource, EventSink, FeedId,
    Lane, LevelSet, Side, StaleReason, SuspensionWatch, Timestamp, WholeBook,
};

use crate::config::{HashChecking, WorkersConfig};
use crate::manager::WorkerManager;
use crate::queue::Transition;
use crate::router::MessageRouter;
use crate::testing::{Asked, Harness, Truth, altered, assets, one_worker, opened, opened_with};

/// The only entry, a whole book.
#[track_caller]
fn whole(mut written: Vec<BookChange>) -> WholeBook {
    match (written.pop(), written.as_slice()) {
        (Some(BookChange::Whole(whole)), []) => *whole,
        (last, _) => panic!("{last:?} after {written:?}"),
    }
}

/// The only entries, levels.
#[track_caller]
fn levels(written: Vec<BookChange>) -> Vec<LevelSet> {
    let level = |change| match change {
        BookChange::Level(set) => set,
        other => panic!("{other:?}"),
    };
    written.into_iter().map(level).collect()
}

/// The only entry, a status.
#[track_caller]
fn state(mut written: Vec<BookChange>) -> BookState {
    match (written.pop(), written.as_slice()) {
        (Some(BookChange::Status(change)), []) => change.status.state,
        (last, _) => panic!("{last:?} after {written:?}"),
    }
}

fn is_reset(written: &[BookChange]) -> bool {
    matches!(written, [BookChange::Reset])
}

/// An open, live, followed book.
fn followed() -> (Harness, Truth) {
    let (bench, truth) = opened();
    assert!(is_reset(&bench.written.take()), "the worker has started");
    assert!(bench.follow(&truth));
    bench.written.take();
    (bench, truth)
}

#[test]
fn a_book_is_written_whole_once_it_is_followed_and_then_level_by_level() {
    let (bench, mut truth) = opened();
    bench.send(1, [truth.change(Side::Bid, "0.49", "3")]);
    assert!(is_reset(&bench.written.take()), "nobody follows anything");
    for _ in 0..2 {
        assert!(bench.follow(&truth));
        let (whole, view) = (whole(bench.written.take()), bench.view(&truth));
        assert_eq!(whole.info.key, truth.key());
        assert_eq!(whole.book, truth.book);
        assert_eq!(whole.position.epoch, view.position.epoch);
        assert_eq!(whole.position.sequence, view.position.sequence);
        assert_eq!(whole.status.state, BookState::Live);
        assert_eq!(whole.status.verified, Some(true));
        assert_eq!(whole.status.tick_size, view.tick_size);
        assert_eq!((whole.hash, whole.at), (view.hash, view.last_update));
    }

    let sequence = bench.view(&truth).position.sequence;
    let first = truth.change(Side::Bid, "0.30", "9");
    let second = truth.change_within(Side::Ask, "0.70", "8");
    let first = altered(&first, |change| change.last_in_frame = false);
    bench.send(1, [first, second]);
    let [first, second] = levels(bench.written.take()).try_into().unwrap();
    assert_eq!(first.sequence, sequence + 1);
    assert_eq!(second.sequence, sequence + 2);
    assert!(!first.ends_state && second.ends_state);
    assert_eq!(first.asset, truth.key());
    assert_eq!(second.at, Timestamp::from_millis(truth.now));
    assert_eq!(second.level.size.to_string(), "8");
    assert!(second.received >= first.received);

    // Of a level that has its size already there is only to say that the state is whole.
    bench.send(1, [truth.change(Side::Ask, "0.70", "8")]);
    let written = bench.written.take();
    assert!(
        matches!(written[..], [BookChange::StateEnd(asset)] if asset == truth.key()),
        "{written:?}"
    );

    assert!(bench.unfollow(&truth));
    bench.send(1, [truth.change(Side::Ask, "0.70", "7")]);
    assert_eq!(bench.written.take().len(), 0);
}

#[test]
fn what_a_whole_book_changes_is_written_as_levels_of_one_state() {
    let (bench, mut truth) = followed();
    drop(truth.change(Side::Bid, "0.30", "9"));
    drop(truth.change(Side::Ask, "0.70", "8"));
    bench.send(1, [truth.snapshot()]);
    let mut written = bench.written.take();
    assert!(matches!(written.pop(), Some(BookChange::StateEnd(_))));
    let levels = levels(written);
    assert_eq!(levels.len(), 2);
    assert!(levels.iter().all(|set| !set.ends_state));
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.written.take().len(), 0, "it has brought nothing");
}

#[test]
fn a_new_epoch_is_one_whole_book_with_what_the_checks_have_made_of_it() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let bench = Harness::new(config);
    // Two tokens that do not mirror each other, as the end of the batch shows.
    let [yes, no] = [0, 1].map(|at| Truth::new(&assets(1)[at]));
    bench.written.take();
    bench.open(1);
    for token in [&yes, &no] {
        assert!(bench.follow(token));
        assert_eq!(state(bench.written.take()), BookState::Pending);
    }
    bench.send(1, [yes.opening(), no.opening()]);
    let written = bench.written.take();
    assert_eq!(written.len(), 2, "{written:?}");
    for change in written {
        let whole = whole(vec![change]);
        assert_eq!(whole.status.state, BookState::Stale(StaleReason::Mirror));
        assert_eq!(whole.book.depth(Side::Bid), 2);
    }
}

#[test]
fn a_status_is_written_where_it_changes_with_the_sequence_it_holds_at() {
    let (bench, mut truth) = followed();
    bench.send(1, [truth.change(Side::Bid, "0.49", "3")]);
    bench.written.take();
    let key = truth.key();
    bench.router.mark_stale(&[key], StaleReason::Resubscribing);
    bench.settle_down();
    let stale = BookState::Stale(StaleReason::Resubscribing);
    let written = bench.written.take();
    let [BookChange::Status(change)] = &written[..] else {
        panic!("{written:?}")
    };
    let view = bench.view(&truth);
    assert_eq!((change.asset, change.status.state), (key, stale));
    assert_eq!(change.position.sequence, view.position.sequence);
    assert_eq!(change.position.epoch, view.position.epoch);
    // It goes on, and nothing else is said of it.
    bench.send(1, [truth.change(Side::Bid, "0.49", "4")]);
    assert_eq!(levels(bench.written.take()).len(), 1);
    bench.send(1, [truth.tick_change("0.001")]);
    assert_eq!(state(bench.written.take()), stale);
}

#[test]
fn a_book_that_is_forgotten_is_gone_and_so_is_one_whose_number_is_given_to_another() {
    let (bench, truth) = followed();
    bench.router.forget(&[truth.key()]);
    bench.settle_down();
    let is_gone = |written: Vec<BookChange>| matches!(written[..], [BookChange::Gone(asset)] if asset == truth.key());
    assert!(is_gone(bench.written.take()));
    let before = bench.count("events_for_forgotten");
    assert!(bench.follow(&truth));
    assert!(is_gone(bench.written.take()));
    assert_eq!(bench.count("events_for_forgotten"), before);
    // It is followed no longer.
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.written.take().len(), 0);
}

#[test]
fn what_no_lane_has_and_what_another_lane_has_is_left_alone() {
    let bench = Harness::new(WorkersConfig {
        count: NonZeroUsize::new(2).unwrap(),
        ..one_worker()
    });
    let truths: Vec<_> = assets(8).iter().step_by(2).map(Truth::new).collect();
    let keys: Vec<_> = truths.iter().map(Truth::key).collect();
    bench.written.take();
    assert_eq!(bench.source.lanes(), 2);
    for lane in [Lane(0), Lane(1)] {
        let of = |key: &&AssetKey| bench.source.lane_of(**key) == lane;
        let own = keys.iter().filter(of).count();
        assert!(own > 0, "the tokens are in both");
        assert!(bench.source.follow(lane, &keys));
        assert_eq!(bench.written.take().len(), own);
        assert!(bench.source.is_running(lane));
    }
    let nowhere = Lane(2);
    assert!(!bench.source.follow(nowhere, &keys));
    assert!(!bench.source.unfollow(nowhere, &keys));
    assert_eq!(bench.source.review(nowhere), None);
    assert!(!bench.source.is_running(nowhere));
}

#[test]
fn books_that_are_held_are_not_waited_for() {
    let (bench, truth) = followed();
    let held = bench.hold_books();
    assert!(!bench.follow(&truth) && !bench.unfollow(&truth));
    assert_eq!(bench.source.review(Lane(0)), None);
    drop(held);
    assert!(bench.follow(&truth));
}

#[test]
fn a_suspension_is_written_by_a_review_and_its_end_by_one_after_the_answer() {
    let time = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&time);
    let read = move || Duration::from_secs(clock.load(Ordering::SeqCst));
    let watch = Arc::new(SuspensionWatch::new(read));
    watch.begin();
    let bench = Harness::watched(one_worker(), Arc::clone(&watch));
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    assert!(bench.follow(&truth));
    bench.written.take();
    let review = || bench.source.review(Lane(0));
    assert_eq!(review(), Some(false));
    assert_eq!(bench.written.take().len(), 0);

    let before = Instant::now();
    time.fetch_add(10, Ordering::SeqCst);
    let old = BookState::Stale(StaleReason::Suspended);
    assert_eq!(review(), Some(true), "nobody has noticed yet");
    let began = Instant::now();
    assert_eq!(state(bench.written.take()), old);
    watch.beat();
    assert_eq!(review(), Some(true));
    assert_eq!(bench.written.take().len(), 0, "it was said");
    // Whoever follows it only now is told, too, and so is who is told something else.
    assert!(bench.follow(&truth));
    let status = whole(bench.written.take()).status;
    assert_eq!(status.state, old);
    let since_first_seen = before..=began;
    assert!(since_first_seen.contains(&status.since));
    bench.send(1, [truth.tick_change("0.001")]);
    assert_eq!(state(bench.written.take()), old);
    truth.tick = "0.001";
    bench.send(1, [truth.change(Side::Bid, "0.49", "3")]);
    assert_eq!(levels(bench.written.take()).len(), 1);

    bench.router.feed_resumed(FeedId(1), watch.count());
    assert_eq!(
        review(),
        Some(true),
        "the answer waits behind what came before"
    );
    bench.iterate();
    assert_eq!(review(), Some(false));
    assert_eq!(state(bench.written.take()), BookState::Live);
}

#[test]
fn nothing_is_remembered_of_a_book_that_nobody_follows() {
    let time = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&time);
    let read = move || Duration::from_secs(clock.load(Ordering::SeqCst));
    let watch = Arc::new(SuspensionWatch::new(read));
    watch.begin();
    let bench = Harness::watched(one_worker(), Arc::clone(&watch));
    let truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    let followed_while_suspended = || {
        time.fetch_add(10, Ordering::SeqCst);
        watch.beat();
        bench.written.take();
        assert!(bench.follow(&truth));
        whole(bench.written.take()).status
    };
    let first = followed_while_suspended();
    assert_eq!(first.state, BookState::Stale(StaleReason::Suspended));
    assert!(bench.unfollow(&truth));
    // It is live in between, and nobody is told.
    bench.router.feed_resumed(FeedId(1), watch.count());
    bench.iterate();
    assert_eq!(bench.source.review(Lane(0)), Some(false));
    assert_eq!(bench.written.take().len(), 0);
    let between = Instant::now();
    let second = followed_while_suspended();
    assert_eq!(second.state, first.state);
    assert!(
        second.since >= between,
        "it has not been stale all the time"
    );
}

#[test]
fn a_worker_that_died_says_so_once_and_writes_nothing_until_its_books_are_followed_again() {
    let (bench, mut truth) = followed();
    let lane = Lane(0);
    bench.manager.inject_panic(0);
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    bench.iterate();
    assert!(!bench.source.is_running(lane));
    assert!(!bench.follow(&truth), "its books are half done");
    assert_eq!(bench.written.take().len(), 0, "half of a change");

    bench.restart_worker();
    assert!(bench.source.is_running(lane));
    assert!(is_reset(&bench.written.take()));
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.written.take().len(), 0, "nobody follows it");
    assert!(bench.follow(&truth));
    assert_eq!(whole(bench.written.take()).book, truth.book);

    bench.give_up_worker();
    assert!(!bench.source.is_running(lane));
    assert!(is_reset(&bench.written.take()));
    assert!(bench.follow(&truth));
    let died = BookState::Stale(StaleReason::WorkerDied);
    assert_eq!(whole(bench.written.take()).status.state, died);
    // What is settled and forgotten is so whatever became of the worker.
    bench.router.settle(&[truth.key()]);
    bench.iterate();
    assert_eq!(state(bench.written.take()), BookState::Settled);
}

#[test]
fn following_does_not_make_a_torn_batch_whole() {
    let (bench, mut truth) = opened();
    let other = Truth::new(&assets(2)[2]);
    bench.manager.inject_panic(0);
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3"), other.opening()]);
    bench.iterate();
    assert!(!bench.follow(&truth));
    // Stopped before it was restarted: what was lost with the batch is not forgotten.
    bench.worker().queue().transit(Transition::Stop);
    bench.follow(&truth);
    let assets = bench.worker().begin(Transition::Start);
    assert_eq!(assets, [truth.key(), other.key()]);
}

#[test]
fn a_sink_that_panics_costs_its_worker_a_restart() {
    let (bench, mut truth) = followed();
    bench.written.is_broken.store(true, Ordering::SeqCst);
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    bench.iterate();
    assert!(!bench.is_running());
    bench.written.is_broken.store(false, Ordering::SeqCst);
    bench.restart_worker();
    assert!(is_reset(&bench.written.take()));
}

#[test]
fn a_frame_that_a_full_queue_cuts_is_of_a_book_that_is_stale_by_then() {
    let (bench, mut truth) = opened_with(WorkersConfig {
        queue_events: NonZeroUsize::new(2).unwrap(),
        ..one_worker()
    });
    assert!(bench.follow(&truth));
    bench.written.take();
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    let first = truth.change(Side::Bid, "0.30", "9");
    let second = truth.change_within(Side::Ask, "0.70", "8");
    let first = altered(&first, |change| change.last_in_frame = false);
    bench.queue(1, [first, second]);
    bench.settle_down();
    let mut written = bench.written.take();
    let rest = written.split_off(1);
    let dropped = BookState::Stale(StaleReason::Dropped);
    assert_eq!(state(written), dropped);
    let cut = levels(rest).pop().unwrap();
    assert!(!cut.ends_state);
    assert_eq!(cut.level.price.to_string(), "0.3");
}

/// Notes whether the books were free when it was called.
#[derive(Default)]
struct Free {
    source: OnceLock<Arc<dyn ChangeSource>>,
    seen: Mutex<Vec<(&'static str, bool)>>,
}

impl Free {
    fn note(&self, call: &'static str) {
        let source = self.source.get();
        let is_free = source.is_none_or(|source| source.unfollow(Lane(0), &[]));
        self.seen.lock().push((call, is_free));
    }

    fn take(&self) -> Vec<(&'static str, bool)> {
        std::mem::take(&mut *self.seen.lock())
    }
}

impl ChangeSink for Free {
    fn append(&self, _lane: Lane, changes: &mut Vec<BookChange>) {
        changes.clear();
        self.note("append");
    }

    fn wake(&self) {
        self.note("wake");
    }
}

#[test]
fn the_books_are_held_while_changes_are_appended_and_free_when_followers_are_woken() {
    let free = Arc::new(Free::default());
    let sink = Arc::clone(&free) as Arc<dyn ChangeSink>;
    let asked = Arc::new(Asked::default());
    let manager = WorkerManager::watched(one_worker(), asked, Arc::default(), Some(sink));
    assert!(free.source.set(manager.changes()).is_ok());
    let router = MessageRouter::new(&manager);
    let worker = &manager.shared().workers[0];
    worker.begin(Transition::Start);
    manager.shared().accepting.store(true, Ordering::SeqCst);
    let expected = [("append", false), ("wake", true)];
    assert_eq!(free.take(), expected, "the worker has begun");
    let mut truth = Truth::new(&assets(1)[0]);
    router.feed_opened(FeedId(1));
    let send = |event| {
        router.deliver(FeedId(1), &mut vec![event]);
        worker.iterate(Duration::ZERO);
        free.take()
    };
    assert_eq!(send(truth.opening()), [], "nobody follows it");
    assert!(manager.changes().follow(Lane(0), &[truth.key()]));
    assert_eq!(free.take(), expected);
    assert_eq!(send(truth.change(Side::Bid, "0.49", "3")), expected);
}

#[test]
fn without_a_sink_nothing_is_followed() {
    let asked = Arc::new(Asked::default());
    let manager = WorkerManager::new(one_worker(), asked);
    let key = assets(1)[0].key;
    assert!(manager.changes().follow(Lane(0), &[key]));
    assert_eq!(manager.store().state(key), None);
}

/// Two sockets bring one book, each on its own thread, while it is followed again and
/// again.
#[tokio::test]
async fn what_several_threads_apply_stands_in_the_lane_in_its_order() {
    const ROUNDS: usize = 1_000;
    let bench = Harness::start(WorkersConfig {
        direct_events: 3,
        ..one_worker()
    })
    .await;
    let mut truth = Truth::new(&assets(1)[0]);
    let opening = truth.opening();
    let mut changes = Vec::new();
    for round in 0..ROUNDS {
        let (at, to) = (format!("0.4{}", round % 10), (round + 1).to_string());
        changes.push(truth.change(Side::Bid, &at, &to));
    }
    assert!(bench.follow(&truth));
    let bringing = AtomicU64::new(2);
    thread::scope(|scope| {
        for feed in [1, 2] {
            let (bench, bringing) = (&bench, &bringing);
            let (opening, changes) = (&opening, &changes);
            bench.open(feed);
            scope.spawn(move || {
                bench.queue(feed, [opening.clone()]);
                changes
                    .iter()
                    .for_each(|change| bench.queue(feed, [change.clone()]));
                bringing.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let (bench, truth, bringing) = (&bench, &truth, &bringing);
        // Until the last time after all was brought: then it is written whole for sure.
        scope.spawn(move || {
            loop {
                let is_last = bringing.load(Ordering::SeqCst) == 0;
                if bench.follow(truth) && is_last {
                    break;
                }
            }
        });
    });
    while bench.depth() > 0 {
        thread::yield_now();
    }
    let (mut sequence, mut wholes) = (None, 0);
    for change in bench.written.take() {
        match change {
            BookChange::Whole(whole) => {
                assert!(sequence.is_none_or(|known| known <= whole.position.sequence));
                sequence = Some(whole.position.sequence);
                wholes += 1;
            }
            BookChange::Level(set) => {
                assert_eq!(Some(set.sequence), sequence.map(|known| known + 1));
                sequence = Some(set.sequence);
            }
            BookChange::Status(change) => {
                let known = sequence.unwrap_or_default();
                assert_eq!(change.position.sequence, known);
            }
            BookChange::StateEnd(_) | BookChange::Reset => {}
            BookChange::Trade(_) | BookChange::Gone(_) => unreachable!(),
        }
    }
    assert_eq!(sequence, Some(bench.view(&truth).position.sequence));
    assert!(wholes > 0, "it was followed meanwhile");
    assert!(truth.equals(&bench.view(&truth)));
}
