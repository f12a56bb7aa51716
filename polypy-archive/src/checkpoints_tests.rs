use polypy_core::StaleReason;

use super::*;
use crate::testing_books::{Books, number_of};

const MILLISECOND: Duration = Duration::from_millis(1);

struct Bench {
    books: Arc<Books>,
    checkpoints: Checkpoints,
    now: Instant,
}

impl Bench {
    /// So many books on each lane, live, in a file that begins now.
    fn new(lanes: &[usize]) -> Self {
        let books = Arc::new(Books::new(lanes));
        let now = Instant::now();
        let source = Arc::clone(&books) as Arc<dyn CheckpointSource>;
        let mut checkpoints = Checkpoints::new(Some(source), now);
        checkpoints.begin(now);
        Self {
            books,
            checkpoints,
            now,
        }
    }

    /// What is written within this time, while the workers have applied all there is.
    fn pass(&mut self, time: Duration) -> Vec<(u32, &'static str)> {
        let end = self.now + time;
        let mut written = Vec::new();
        loop {
            self.books.applied(self.now);
            self.checkpoints.copy(self.now);
            assert!(self.checkpoints.copies.len() <= Books::PAGE);
            for copy in self.checkpoints.take() {
                let number = number_of(&copy.whole.info);
                written.push((number, copy.whole.status.state.name()));
            }
            let next = self.checkpoints.next().map_or(end, |next| next.min(end));
            if self.now >= end {
                return written;
            }
            self.now = next.max(self.now + MILLISECOND).min(end);
        }
    }
}

fn numbers(written: &[(u32, &'static str)]) -> Vec<u32> {
    let mut numbers: Vec<_> = written.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn every_book_is_written_once_two_seconds_after_the_file_began() {
    let mut bench = Bench::new(&[40, 3]);
    assert!(!bench.checkpoints.are_said());
    assert_eq!(bench.pass(DELIVERY - MILLISECOND), []);
    let written = bench.pass(Duration::from_secs(1));
    assert_eq!(numbers(&written), (0..43).collect::<Vec<_>>());
    assert!(bench.checkpoints.are_said());
    assert_eq!(bench.pass(Duration::from_secs(50)), []);
}

#[test]
fn a_worker_that_has_something_from_before_is_waited_for_and_holds_up_no_other() {
    let mut bench = Bench::new(&[2, 2]);
    let began = bench.now;
    bench
        .books
        .busy_since(0, Some(began + DELIVERY - MILLISECOND));
    let written = bench.pass(Duration::from_secs(5));
    assert_eq!(numbers(&written), [2, 3]);
    assert!(!bench.checkpoints.are_said());
    // It has younger things only.
    bench.books.busy_since(0, Some(began + DELIVERY));
    let written = bench.pass(Duration::from_secs(1));
    assert_eq!(numbers(&written), [0, 1]);
    assert!(bench.checkpoints.are_said());
}

#[test]
fn a_worker_that_never_comes_is_passed_over_after_a_minute() {
    let mut bench = Bench::new(&[2, 2]);
    bench.books.busy_since(1, Some(bench.now));
    assert_eq!(numbers(&bench.pass(Duration::from_secs(60))), [0, 1]);
    assert!(!bench.checkpoints.are_said());
    bench.pass(Duration::from_secs(3));
    assert!(bench.checkpoints.are_said());
    // It is back by the next walk.
    bench.books.busy_since(1, None);
    assert_eq!(numbers(&bench.pass(Duration::from_secs(61))), [2, 3]);
}

#[test]
fn a_stale_book_is_asked_for_again_for_ten_seconds() {
    let mut bench = Bench::new(&[30]);
    let stale = BookState::Stale(StaleReason::Hash);
    bench.books.set(4, stale);
    bench.books.set(7, stale);
    let written = bench.pass(Duration::from_secs(4));
    assert_eq!(written.len(), 28);
    assert!(!bench.checkpoints.are_said());
    bench.books.set(7, BookState::Live);
    assert_eq!(bench.pass(Duration::from_secs(2)), [(7, "live")]);
    // Then it is written as it is, and nobody can begin with it.
    assert_eq!(bench.pass(Duration::from_secs(5)), []);
    assert_eq!(bench.pass(Duration::from_secs(2)), [(4, "stale")]);
    assert!(bench.checkpoints.are_said());
}

#[test]
fn each_minute_the_books_that_have_changed_are_written() {
    let mut bench = Bench::new(&[20, 20]);
    bench.pass(Duration::from_secs(5));
    bench.books.change(3);
    bench.books.change(25);
    bench.books.set(30, BookState::Stale(StaleReason::Hash));
    assert_eq!(bench.pass(Duration::from_secs(55)), []);
    assert_eq!(numbers(&bench.pass(Duration::from_secs(5))), [3, 25]);
    bench.books.set(30, BookState::Live);
    assert_eq!(numbers(&bench.pass(Duration::from_secs(61))), [30]);
    assert_eq!(bench.pass(Duration::from_secs(61)), []);
}

#[test]
fn after_a_loss_what_it_was_about_is_written_again_and_what_was_copied_before_it_is_not() {
    let mut bench = Bench::new(&[20]);
    bench.pass(Duration::from_secs(5));
    let token = |number| bench.books.token(number);
    let lost = [token(2), token(5)];
    // A page is copied when the loss is found out.
    bench.books.change(9);
    bench.now += REST;
    bench.books.applied(bench.now);
    bench.checkpoints.copy(bench.now);
    bench.now += PAGE;
    bench.checkpoints.copy(bench.now);
    assert!(bench.checkpoints.are_copied());
    bench.checkpoints.lost(lost, bench.now);
    assert!(!bench.checkpoints.are_copied() && !bench.checkpoints.are_said());
    assert_eq!(bench.pass(DELIVERY - MILLISECOND), []);
    assert_eq!(numbers(&bench.pass(Duration::from_secs(1))), [2, 5]);
    assert!(bench.checkpoints.are_said());
    assert_eq!(numbers(&bench.pass(Duration::from_secs(61))), [9]);
}

#[test]
fn nothing_is_copied_while_there_is_no_file() {
    let mut bench = Bench::new(&[20]);
    bench.pass(Duration::from_secs(5));
    bench.checkpoints.stop();
    bench.books.change(1);
    assert_eq!(bench.pass(Duration::from_secs(200)), []);
    let token = bench.books.token(1);
    bench.checkpoints.lost([token], bench.now);
    assert_eq!(bench.pass(Duration::from_secs(200)), []);
    bench.checkpoints.begin(bench.now);
    assert_eq!(bench.pass(Duration::from_secs(5)).len(), 20);
}

#[test]
fn without_books_nothing_is_waited_for() {
    let now = Instant::now();
    let mut checkpoints = Checkpoints::new(None, now);
    checkpoints.begin(now);
    assert!(checkpoints.are_said() && checkpoints.next().is_none());
}
