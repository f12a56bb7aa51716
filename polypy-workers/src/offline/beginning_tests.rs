use polypy_core::Side;

use super::*;
use crate::testing::{Truth, altered, assets};

const FEED: FeedId = FeedId(1);

/// A book with three changes of one millisecond behind it, and the changes.
fn flickering() -> (Truth, Vec<MarketEvent>) {
    let mut truth = Truth::new(&assets(1)[0]);
    let mut events = vec![truth.change(Side::Bid, "0.40", "1")];
    truth.now += 1;
    for size in ["5", "6", "7"] {
        events.push(truth.change_within(Side::Bid, "0.45", size));
    }
    events.push(truth.change(Side::Bid, "0.41", "2"));
    (truth, events)
}

/// The book as it was behind so many of the events.
fn after(events: &[MarketEvent], count: usize) -> Box<BookEvent> {
    let mut truth = Truth::new(&assets(1)[0]);
    for event in &events[..count] {
        let MarketEvent::PriceChange(change) = event else {
            unreachable!()
        };
        truth
            .book
            .apply_change(change.side, change.price, change.size);
        truth.now = change.timestamp.millis();
    }
    match truth.snapshot() {
        MarketEvent::Book(book) => book,
        _ => unreachable!(),
    }
}

fn sift(open: &mut Beginnings, events: &[MarketEvent], now: Instant) -> Vec<MarketEvent> {
    let mut events = events.to_vec();
    open.sift(FEED, &mut events, now);
    events
}

#[test]
fn what_a_checkpoint_has_is_left_out_up_to_the_entry_with_its_hash() {
    let (_, events) = flickering();
    let now = Instant::now();
    for count in 1..=4 {
        let mut open = Beginnings::default();
        open.begin(FEED, &after(&events, count), now);
        // The last one that is in it comes again, for it may be of its midst.
        assert_eq!(sift(&mut open, &events, now), events[count - 1..]);
        assert!(!open.are_open(), "it has gone past it");
    }
}

#[test]
fn one_by_one_nothing_is_lost_that_the_checkpoint_lacks() {
    let (_, events) = flickering();
    let now = Instant::now();
    for (count, from) in [(2, 2), (3, 3), (4, 4)] {
        let mut open = Beginnings::default();
        open.begin(FEED, &after(&events, count), now);
        // The entry with its hash stands before where the reader begins.
        let mut sifted = Vec::new();
        for event in &events[from..] {
            sifted.extend(sift(&mut open, std::slice::from_ref(event), now));
        }
        assert_eq!(sifted, events[from..]);
    }
}

#[test]
fn a_socket_that_brings_nothing_later_has_ten_seconds() {
    let (_, events) = flickering();
    let began = Instant::now();
    let mut open = Beginnings::default();
    open.begin(FEED, &after(&events, 3), began);
    assert_eq!(sift(&mut open, &events[3..4], began), []);
    let later = began + PATIENCE;
    assert!(open.take_due(later - Duration::from_millis(1)).is_empty());
    assert_eq!(open.take_due(later), [(FEED, vec![events[3].clone()])]);
    assert!(!open.are_open());

    // Without a look in between the next event finds that it is over.
    open.begin(FEED, &after(&events, 3), began);
    assert_eq!(sift(&mut open, &events[..1], began), []);
    assert_eq!(sift(&mut open, &events[3..4], began), []);
    let late = [events[3].clone(), events[0].clone()];
    assert_eq!(sift(&mut open, &events[..1], later), late);

    // It closes.
    open.begin(FEED, &after(&events, 3), began);
    open.close(FeedId(2));
    assert!(open.are_open());
    open.close(FEED);
    assert!(!open.are_open());
}

#[test]
fn only_what_concerns_its_own_book_and_socket_is_left_out() {
    let (truth, events) = flickering();
    let other = Truth::new(&assets(1)[1]);
    let now = Instant::now();
    let mut open = Beginnings::default();
    open.begin(FEED, &after(&events, 4), now);
    let of_another = [other.opening(), truth.trade("0.5")];
    assert_eq!(sift(&mut open, &of_another, now), of_another);
    let mut elsewhere = events.clone();
    open.sift(FeedId(2), &mut elsewhere, now);
    assert_eq!(elsewhere, events);
    // A clock that is set back by more than duplicates lag brings news.
    let back = altered(&events[1], |change| {
        change.timestamp = Timestamp::from_millis(change.timestamp.millis() - 10_001);
    });
    let back = [back];
    assert_eq!(sift(&mut open, &back, now), back);
    assert!(!open.are_open());
}

#[test]
fn what_is_held_back_is_bounded() {
    let (mut truth, _) = flickering();
    let now = Instant::now();
    let MarketEvent::Book(mut book) = truth.snapshot() else {
        unreachable!()
    };
    book.hash = None;
    let mut open = Beginnings::default();
    open.begin(FEED, &book, now);
    let mut events = Vec::new();
    for size in 1..=MOST_HELD + 1 {
        events.push(truth.change_within(Side::Ask, "0.60", &size.to_string()));
    }
    assert_eq!(sift(&mut open, &events[..MOST_HELD], now), []);
    assert_eq!(sift(&mut open, &events[MOST_HELD..], now), events);
}
