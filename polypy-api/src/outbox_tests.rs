use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Wake};

use super::*;
use crate::cursor::Instance;
use crate::message::{ErrorMessage, Heartbeat, Place};
use crate::waker::Wakes;

const BIG: usize = 1 << 20;

fn outbox(shared: usize, own: usize) -> Outbox {
    Outbox::new(Bounds { shared, own }, Arc::default())
}

/// A message of a known size.
/// A future that is polled by hand.
struct Polled<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<F: Future> Polled<F> {
    fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::default(),
        }
    }

    fn is_pending(&mut self) -> bool {
        let door = Door::from(Arc::clone(&self.woken));
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&door));
        polled.is_pending()
    }

    /// Whether it was woken since the last time.
    fn is_woken(&self) -> bool {
        self.woken.0.swap(false, Ordering::Relaxed)
    }
}

fn message(position: Option<u64>) -> Arc<Published> {
    let heartbeat = Heartbeat {
        cursor: None,
        now_us: 1_000_000,
        queued_bytes: 0,
    };
    Arc::new(Published::new(position, Event::Heartbeat(heartbeat)))
}

fn cursor(position: u64) -> Option<Cursor> {
    let instance = Instance(7);
    Some(Cursor { instance, position })
}

fn taken(outbox: &Outbox, most: usize) -> Vec<Item> {
    match outbox.try_next(most) {
        Some(Batch::Messages(items)) => items,
        Some(Batch::End(_)) | None => Vec::new(),
    }
}

#[test]
fn what_is_taken_gives_its_room_back_every_time() {
    let one = message(Some(1)).bytes();
    let outbox = outbox(4 * one, BIG);
    for fill in 0..3 {
        let pushed: Vec<_> = (0..5)
            .map(|place| outbox.push(&message(Some(place)), cursor(place)))
            .collect();
        let expected = [
            Pushed::Fine,
            Pushed::Fine,
            Pushed::Half,
            Pushed::Fine,
            Pushed::Full,
        ];
        assert_eq!(pushed, expected, "fill {fill}: warned once, then refused");
        assert_eq!(outbox.queued_bytes(), 4 * one);
        let items = taken(&outbox, BIG);
        let places: Vec<_> = items
            .iter()
            .map(|item| item.message.position().unwrap())
            .collect();
        assert_eq!(places, [0, 1, 2, 3]);
        assert_eq!(items[3].cursor, cursor(3));
        assert_eq!(outbox.queued_bytes(), 0);
    }
}

#[test]
fn a_message_of_its_own_fits_where_none_waits_and_is_counted_apart() {
    let one = message(None).bytes();
    let outbox = outbox(one, one / 2);
    assert!(outbox.offer(message(None), None), "larger than the bound");
    assert!(!outbox.offer(message(None), None));
    assert_eq!(outbox.push(&message(Some(1)), None), Pushed::Half);
    assert_eq!(taken(&outbox, BIG).len(), 2);
    assert!(outbox.offer(message(None), None));
}

#[test]
fn it_asks_for_more_below_a_quarter_of_both_bounds() {
    let one = message(Some(1)).bytes();
    let outbox = outbox(8 * one, BIG);
    for place in 0..3 {
        assert_eq!(outbox.push(&message(Some(place)), None), Pushed::Fine);
    }
    assert!(!outbox.asks_for_more());
    assert_eq!(taken(&outbox, 1).len(), 1);
    assert!(outbox.asks_for_more());
}

#[test]
fn the_hub_is_woken_once_there_is_room_for_what_it_owes() {
    let one = message(Some(1)).bytes();
    let waker = Arc::new(Waker::default());
    let bounds = Bounds {
        shared: 4 * one,
        own: BIG,
    };
    let outbox = Outbox::new(bounds, Arc::clone(&waker));
    waker.adopt();
    for place in 0..3 {
        outbox.push(&message(Some(place)), None);
    }
    let take = |most| {
        waker.park(Wakes::Asking, std::time::Duration::ZERO, || {
            assert!(!taken(&outbox, most).is_empty());
            true
        })
    };
    assert!(!outbox.asks_for_more());
    assert!(!take(1), "two wait, one is a quarter");
    assert!(take(1));
    outbox.push(&message(Some(4)), None);
    assert!(!take(1), "nobody asked again");
}

#[test]
fn emptied_it_keeps_answers_and_takes_their_places_away() {
    let outbox = outbox(BIG, BIG);
    outbox.push(&message(Some(9)), cursor(9));
    let ready = Event::Ready(Place {
        id: 3,
        cursor: cursor(9),
    });
    assert!(outbox.offer(Arc::new(Published::own(ready)), cursor(9)));
    let error = ErrorMessage {
        id: None,
        code: "slow",
        is_temporary: true,
        message: String::new(),
    };
    assert!(outbox.push_own(Event::Error(Box::new(error))));
    assert_eq!(outbox.oldest(), Some(9));

    assert!(outbox.asks_for_more());
    assert_eq!(outbox.empty(), 1);
    assert_eq!(outbox.oldest(), None);
    assert!(!outbox.asks_for_more(), "it may be stuck");
    let kept = taken(&outbox, BIG);
    let texts: Vec<_> = kept
        .iter()
        .map(|item| item.message.text().as_str())
        .collect();
    assert_eq!(texts[0], r#"{"type":"ready","id":3,"cursor":null}"#);
    assert!(texts[1].contains("slow"));
    assert!(kept.iter().all(|item| item.cursor.is_none()));
    assert_eq!(outbox.queued_bytes(), 0);
}

#[test]
fn the_end_comes_after_what_waits_and_the_first_one_counts() {
    let outbox = outbox(BIG, BIG);
    outbox.push(&message(Some(1)), None);
    outbox.close(Closing::refused("first"));
    outbox.close(Closing::refused("second"));
    assert!(outbox.is_closed());
    assert_eq!(outbox.push(&message(Some(2)), None), Pushed::Fine);
    assert_eq!(
        taken(&outbox, BIG).len(),
        1,
        "nothing is taken after the end"
    );
    for _ in 0..2 {
        let Some(Batch::End(closing)) = outbox.try_next(BIG) else {
            panic!("no end");
        };
        assert_eq!(closing.reason, "first");
    }
}

#[tokio::test]
async fn a_door_waits_until_the_round_is_through() {
    let outbox = Arc::new(outbox(BIG, BIG));
    let theirs = Arc::clone(&outbox);
    let door = tokio::spawn(async move { theirs.next(BIG).await });
    tokio::task::yield_now().await;
    for place in 0..3 {
        outbox.push(&message(Some(place)), None);
    }
    outbox.flush();
    let Batch::Messages(items) = door.await.unwrap() else {
        panic!("no end was said");
    };
    assert_eq!(items.len(), 3);
}

/// Who waits is woken once, by whatever there is for it, also if others look.
#[test]
fn a_door_that_waits_is_woken_by_a_message_and_by_the_end() {
    let outbox = outbox(BIG, BIG);
    let mut next = Polled::new(outbox.next(BIG));
    assert!(next.is_pending());
    assert!(outbox.try_next(BIG).is_none());
    outbox.push(&message(Some(1)), None);
    assert!(!next.is_woken(), "the round is not through");
    outbox.flush();
    assert!(next.is_woken());
    assert!(!next.is_pending());
    let mut next = Polled::new(outbox.next(BIG));
    assert!(next.is_pending());
    outbox.flush();
    assert!(next.is_pending(), "a round without anything for it");
    outbox.close(Closing::refused("over"));
    assert!(next.is_woken());
    assert!(!next.is_pending());
}

#[test]
fn who_keeps_asking_and_reads_no_answer_ends() {
    let one = message(None).bytes();
    let outbox = outbox_of(100 * one);
    for _ in 0..=1_000 {
        outbox.put_own(message(None), None);
    }
    assert!(outbox.is_closed(), "more than four times its bound waits");
    taken(&outbox, usize::MAX);
    let Some(Batch::End(closing)) = outbox.try_next(BIG) else {
        panic!("no end");
    };
    assert_eq!(
        (closing.code, closing.reason.as_str()),
        (1_013, "answers are not read")
    );
    // Few large ones are what it is owed, and many small ones within the bound, too.
    let few = Outbox::new(
        Bounds {
            shared: BIG,
            own: 1,
        },
        Arc::default(),
    );
    for _ in 0..1_000 {
        few.put_own(message(None), None);
    }
    assert!(!few.is_closed());
    let roomy = outbox_of(BIG);
    for _ in 0..2_000 {
        roomy.put_own(message(None), None);
    }
    assert!(!roomy.is_closed());
}

fn outbox_of(own: usize) -> Outbox {
    outbox(BIG, own)
}

/// Else the hub would send on its line what comes behind that.
#[test]
fn a_door_that_has_taken_something_waits_no_longer() {
    let outbox = outbox(BIG, BIG);
    let mut next = Polled::new(outbox.next(BIG));
    assert!(next.is_pending());
    outbox.push(&message(Some(1)), None);
    let mut other = Polled::new(outbox.next(BIG));
    assert!(!other.is_pending(), "it looks again for another reason");
    outbox.push(&message(Some(2)), None);
    outbox.flush();
    assert!(!next.is_woken());
}
