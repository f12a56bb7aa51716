use std::sync::Arc;

use polypy_core::StaleReason;

use super::*;
use crate::testing_books::{Books, number_of};

fn kept(copies: &Copies) -> Vec<u32> {
    let infos = copies.all().map(|copy| &copy.checkpoint.whole.info);
    let mut numbers: Vec<_> = infos.map(|info| number_of(info)).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn books_are_copied_when_they_have_changed_and_the_last_live_copy_stays() {
    let books = Arc::new(Books::new(&[20, 3]));
    let mut copies = Copies::new(1 << 20);
    copies.walk(&*books, || true);
    assert_eq!(kept(&copies), (0..23).collect::<Vec<_>>());
    let sequence = |copies: &Copies, number: u32| {
        let mut all = copies.all();
        let copy = all.find(|copy| number_of(&copy.checkpoint.whole.info) == number);
        copy.unwrap().checkpoint.whole.position.sequence
    };
    books.change(4);
    books.change(9);
    books.set(9, BookState::Stale(StaleReason::Hash));
    let before = copies.order.len();
    copies.walk(&*books, || true);
    assert_eq!(copies.order.len(), before + 1, "one was copied");
    assert_eq!((sequence(&copies, 4), sequence(&copies, 9)), (2, 1));
    books.set(9, BookState::Live);
    copies.walk(&*books, || true);
    assert_eq!(sequence(&copies, 9), 2);
}

#[test]
fn memory_is_bounded_and_so_is_what_a_walk_copies() {
    let books = Arc::new(Books::new(&[200]));
    let room = 40 * (COPY_BYTES + LEVEL_BYTES);
    let mut copies = Copies::new(room);
    for _ in 0..20 {
        let before = copies.seen.len();
        copies.walk(&*books, || true);
        assert!(copies.bytes() <= room);
        assert!(copies.seen.len() - before <= 40 + Books::PAGE);
    }
    // Each had its turn, and the last of them are kept.
    assert_eq!(copies.seen.len(), 200);
    assert_eq!(kept(&copies), (160..200).collect::<Vec<_>>());
    for _ in 0..3_000 {
        books.change(7);
        copies.walk(&*books, || true);
    }
    assert!(
        copies.order.len() < 2 * 40 + 1_100,
        "{}",
        copies.order.len()
    );
}

#[test]
fn a_walk_ends_when_it_is_told_to() {
    let books = Arc::new(Books::new(&[200]));
    let mut copies = Copies::new(1 << 20);
    let left = std::cell::Cell::new(2_u32);
    copies.walk(&*books, || left.replace(left.get().saturating_sub(1)) > 0);
    assert_eq!(kept(&copies).len(), 2 * Books::PAGE);
}
