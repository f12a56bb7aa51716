use std::thread;
use std::time::Duration;

use fastrand::Rng;
use polypy_core::{ConditionId, Interner, Purpose, StaleReason};

use super::*;
use crate::testing::until;

fn opened(socket: u64, at: Instant) -> Opened<'static> {
    Opened {
        socket: SocketId(socket),
        connection: "connection-1",
        is_replacement: false,
        at,
    }
}

fn infos() -> Vec<Arc<AssetInfo>> {
    let mut interner = Interner::default();
    let condition = ConditionId::new("0x1").unwrap();
    let ids = ["11", "22"].map(|id| AssetId::new(id).unwrap());
    let infos = ids.map(|id| {
        let describe = |key| AssetInfo::new(key, id.clone(), condition.clone());
        interner.insert(&id, &condition, describe)
    });
    infos.into()
}

fn all(outlet: &mut Outlet) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        let before = items.len();
        outlet.take(usize::MAX, &mut items);
        if items.len() == before {
            return items;
        }
    }
}

/// What was taken of each socket: the sequences of its frames, and how many were lost.
#[derive(Default)]
struct Seen {
    next: BTreeMap<u64, u64>,
    taken: u64,
    lost: u64,
    gaps: u64,
}

impl Seen {
    /// Sequences go on, but for what was said to be lost before.
    fn see(&mut self, items: Vec<Item>) {
        for item in items {
            match item.what {
                What::Frames(frames) => {
                    let next = self.next.entry(item.socket.unwrap().0).or_default();
                    assert_eq!(*next, u64::from(frames.first), "a hole that nobody named");
                    *next += frames.ends.len() as u64;
                    self.taken += frames.ends.len() as u64;
                }
                What::Lost(lost) => {
                    self.gaps += 1;
                    for (socket, lost) in *lost {
                        *self.next.entry(socket.0).or_default() += lost.frames;
                        self.lost += lost.frames;
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn what_is_taken_and_what_is_lost_is_all_that_was_pushed() {
    let mut rng = Rng::with_seed(4);
    for _ in 0..50 {
        let (inlet, mut outlet) = queue(20_000, Arc::default());
        let now = Instant::now();
        let mut sockets: Vec<_> = (1..4)
            .map(|socket| inlet.opened(&opened(socket, now)))
            .collect();
        let (mut seen, mut pushed) = (Seen::default(), 0);
        for _ in 0..2_000 {
            let socket = &mut sockets[rng.usize(..3)];
            let ends: Vec<_> = (1..=rng.usize(1..5)).map(|frame| frame * 100).collect();
            socket.received(&[b'x'; 400][..ends.len() * 100], &ends, true, now);
            pushed += ends.len() as u64;
            assert!(outlet.waiting() <= 20_000 + ITEM_BYTES);
            if rng.u8(..20) == 0 {
                let mut items = Vec::new();
                outlet.take(rng.usize(..30_000), &mut items);
                seen.see(items);
            }
        }
        seen.see(all(&mut outlet));
        seen.see(all(&mut outlet));
        assert_eq!(seen.taken + seen.lost, pushed);
        assert!(seen.lost > 0 && seen.taken > 0);
        assert_eq!(outlet.waiting(), 0);
    }
}

#[test]
fn a_full_queue_takes_nothing_until_half_of_it_is_free_and_says_so_once() {
    let (inlet, mut outlet) = queue(10_000, Arc::default());
    let now = Instant::now();
    let mut socket = inlet.opened(&opened(1, now));
    for _ in 0..100 {
        socket.received(&[b'x'; 900], &[900], true, now);
    }
    assert!(outlet.is_full());
    // A little room is no room yet.
    let mut seen = Seen::default();
    for _ in 0..3 {
        let mut items = Vec::new();
        outlet.take(1, &mut items);
        seen.see(items);
        socket.received(b"{}", &[2], true, now);
        assert!(outlet.is_full());
    }
    let mut items = Vec::new();
    outlet.take(6_000, &mut items);
    assert!(!outlet.is_full());
    seen.see(items);
    socket.received(b"{}", &[2], true, now);
    seen.see(all(&mut outlet));
    assert_eq!((seen.gaps, seen.taken + seen.lost), (1, 104));
    assert!(seen.next[&1] == 104);
}

#[test]
fn a_group_larger_than_everything_passes_an_empty_queue() {
    let (inlet, mut outlet) = queue(1_000, Arc::default());
    let now = Instant::now();
    let mut socket = inlet.opened(&opened(1, now));
    all(&mut outlet);
    socket.received(&[b'x'; 5_000], &[5_000], true, now);
    socket.received(b"{}", &[2], true, now);
    let mut seen = Seen::default();
    seen.see(all(&mut outlet));
    assert_eq!((seen.taken, seen.lost), (1, 1));
}

#[test]
fn a_frame_that_is_too_long_is_lost_alone() {
    let (inlet, mut outlet) = queue(100 << 20, Arc::default());
    let now = Instant::now();
    let mut socket = inlet.opened(&opened(1, now));
    let bytes = vec![b'x'; LONGEST_FRAME + 21];
    socket.received(
        &bytes,
        &[10, LONGEST_FRAME + 11, LONGEST_FRAME + 21],
        true,
        now,
    );
    let mut seen = Seen::default();
    let items = all(&mut outlet);
    let lost = items.iter().find_map(|item| match &item.what {
        What::Lost(lost) => Some(lost[&SocketId(1)]),
        _ => None,
    });
    assert_eq!(lost.map(|lost| (lost.frames, lost.too_long)), Some((1, 1)));
    seen.see(items);
    assert_eq!((seen.taken, seen.lost), (2, 1));
}

#[test]
fn what_a_socket_carries_is_known_whatever_was_dropped() {
    let (inlet, mut outlet) = queue(1_000, Arc::default());
    let now = Instant::now();
    let infos = infos();
    let mut socket = inlet.opened(&opened(7, now));
    socket.received(&[b'x'; 2_000], &[2_000], true, now);
    assert!(outlet.is_full(), "from here on everything is dropped");
    socket.sent("subscribe", Asked::Subscribe, &infos, now);
    socket.first_books(&[infos[0].key, infos[1].key], BookOrigin::Snapshot, now);
    socket.delivers(FeedId(3), now);
    let again = Asked::Resubscribe(StaleReason::Hash);
    socket.sent("again", again, &infos[..1], now);
    let open = outlet.sockets();
    let tokens: Vec<_> = open[0]
        .tokens
        .iter()
        .map(|(id, has)| (id.as_str(), *has))
        .collect();
    assert_eq!(tokens, [("11", false), ("22", true)]);
    assert_eq!((open[0].feed, open[0].next_sequence), (Some(FeedId(3)), 1));
    socket.sent("no more", Asked::Unsubscribe, &infos[..1], now);
    assert_eq!(outlet.sockets()[0].tokens.len(), 1);
    socket.closed("age", Owner::Us, now);
    assert!(outlet.sockets().is_empty());
    drop(socket);
    let closed = all(&mut outlet)
        .iter()
        .filter(|item| matches!(item.what, What::Closed(..)))
        .count();
    assert_eq!(closed, 0, "it was dropped, and is not said twice");
}

#[test]
fn a_socket_whose_task_died_is_closed_and_answers_are_kept() {
    let (inlet, mut outlet) = queue(1 << 20, Arc::default());
    let now = Instant::now();
    drop(inlet.opened(&opened(1, now)));
    inlet.answered(&Answer {
        path: "/books",
        request: "",
        status: 200,
        body: b"[]",
        purpose: Purpose::Seed,
        requested: now,
        received: now,
    });
    let items = all(&mut outlet);
    assert!(matches!(&items[1].what, What::Closed(reason, Owner::Us) if &**reason == "task_died"));
    assert!(matches!(&items[2].what, What::Answer(answer) if &*answer.0.body == "[]"));
}

#[test]
fn an_answer_is_recorded_once_it_has_contradicted_a_book_and_in_front_of_that() {
    let (inlet, mut outlet) = queue(1 << 20, Arc::default());
    let now = Instant::now();
    let answered = |purpose, body: &str| {
        inlet.answered(&Answer {
            path: "/books",
            request: "",
            status: 200,
            body: body.as_bytes(),
            purpose,
            requested: now,
            received: now,
        });
    };
    answered(Purpose::Audit, r#"[{"asset_id":"12"}]"#);
    answered(Purpose::Audit, r#"[{"asset_id":"13"}]"#);
    answered(Purpose::Lookup, r#"[{"asset_id":"14"}]"#);
    let mark = |kind: &str, tokens: &[&str]| {
        let mark = Mark {
            kind: kind.into(),
            tokens: tokens.iter().map(|id| id.parse().unwrap()).collect(),
            text: "a test".into(),
        };
        inlet.mark(mark, now);
    };
    mark("hash", &["12"]);
    mark("audit", &["12", "14"]);
    let items = all(&mut outlet);
    assert_eq!(items.len(), 3, "{items:?}");
    assert!(matches!(&items[0].what, What::Mark(mark) if &*mark.kind == "hash"));
    assert!(matches!(&items[1].what, What::Answer(answer) if answer.0.body.contains("12")));
    assert!(matches!(&items[2].what, What::Mark(mark) if &*mark.kind == "audit"));
}

#[test]
fn frames_are_copied_while_another_one_has_the_lock() {
    let (inlet, mut outlet) = queue(1 << 20, Arc::default());
    let now = Instant::now();
    let mut socket = inlet.opened(&opened(1, now));
    let held = inlet.shared.pending.lock();
    let speaker = thread::spawn(move || socket.received(&[b'x'; 9_000], &[9_000], true, now));
    until("they are copied", || {
        inlet.shared.blocks.load(Ordering::Acquire) > 0
    });
    drop(held);
    speaker.join().unwrap();
    let mut seen = Seen::default();
    seen.see(all(&mut outlet));
    assert_eq!(seen.taken, 1);
}

#[test]
fn a_writer_that_waits_is_woken_by_what_comes() {
    let (inlet, mut outlet) = queue(1 << 20, Arc::default());
    let now = Instant::now();
    outlet.wait(now);
    let mut socket = inlet.opened(&opened(1, now));
    all(&mut outlet);
    let writer = thread::spawn(move || {
        // Longer than any test runs.
        outlet.wait(Instant::now() + Duration::from_hours(1));
        all(&mut outlet).len()
    });
    until("it waits", || inlet.shared.pending.lock().is_parked);
    socket.received(b"{}", &[2], true, now);
    assert_eq!(writer.join().unwrap(), 1);
}

#[test]
fn two_sockets_and_a_slow_writer_lose_nothing_silently() {
    let (inlet, mut outlet) = queue(50_000, Arc::default());
    let now = Instant::now();
    let speakers: Vec<_> = (1..3)
        .map(|number| {
            let mut socket = inlet.opened(&opened(number, now));
            thread::spawn(move || {
                for _ in 0..20_000 {
                    socket.received(&[b'x'; 120], &[60, 120], true, now);
                }
            })
        })
        .collect();
    let mut seen = Seen::default();
    while !speakers.iter().all(thread::JoinHandle::is_finished) {
        let mut items = Vec::new();
        outlet.take(2_000, &mut items);
        seen.see(items);
        thread::yield_now();
    }
    speakers
        .into_iter()
        .for_each(|speaker| speaker.join().unwrap());
    seen.see(all(&mut outlet));
    seen.see(all(&mut outlet));
    assert_eq!(seen.taken + seen.lost, 80_000);
}
