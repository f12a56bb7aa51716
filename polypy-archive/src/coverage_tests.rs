use std::collections::BTreeSet;

use fastrand::Rng;
use polypy_core::StaleReason;

use super::*;
use crate::item::Lost;

fn token(number: u64) -> AssetId {
    number.to_string().parse().unwrap()
}

fn tokens(range: std::ops::Range<u64>) -> Vec<AssetId> {
    range.map(token).collect()
}

/// A socket with the books of these tokens.
fn with_books(coverage: &mut Coverage, socket: u64, tokens: &[AssetId], at: u64) -> Vec<Gap> {
    let mut out = Vec::new();
    coverage.opened(socket, &"conn-1".into());
    coverage.asked(socket, Asked::Subscribe, tokens, at, &mut out);
    coverage.first_books(socket, tokens, "snapshot", at, &mut out);
    out
}

fn lost(frames: u64) -> Lost {
    Lost {
        frames,
        ..Lost::at(std::time::Instant::now())
    }
}

fn told(gaps: &[Gap]) -> Vec<(GapScope, &str, Option<&str>)> {
    let told = gaps.iter().map(|gap| {
        let healed = gap.healed_by.as_deref();
        assert_eq!(healed.is_some(), gap.to_ts.is_some());
        (gap.scope, &*gap.reason, healed)
    });
    told.collect()
}

use GapScope::{Recording, Socket as OfSocket, Token as OfToken};

#[test]
fn a_token_is_missing_from_when_it_is_followed_till_its_book() {
    let (mut coverage, one, mut out) = (Coverage::default(), tokens(1..2), Vec::new());
    coverage.followed(&one[0], 5_000, &mut out);
    assert_eq!(told(&out), [(OfToken, "starting", None)]);
    assert_eq!((out[0].from_ts, out[0].owner), (Some(5), Owner::Us));
    let out = with_books(&mut coverage, 1, &one, 9_000);
    assert_eq!(told(&out), [(OfToken, "starting", Some("snapshot"))]);
    assert_eq!((out[0].from_ts, out[0].to_ts), (Some(5), Some(9)));
    assert_eq!(coverage.counts(), (1, 1));
}

#[test]
fn a_lost_socket_whose_tokens_others_carry_is_a_gap_of_the_socket_alone() {
    let (mut coverage, two, mut out) = (Coverage::default(), tokens(1..3), Vec::new());
    with_books(&mut coverage, 1, &two, 1);
    with_books(&mut coverage, 2, &two, 1);
    for token in &two {
        coverage.followed(token, 1, &mut out);
    }
    assert_eq!(out, []);
    coverage.received(1, 7, 30_000);
    coverage.closed(1, Owner::Network, 50_000, &mut out);
    assert_eq!(
        told(&out),
        [(OfSocket, "disconnected", Some("other_sockets"))]
    );
    assert_eq!((out[0].from_ts, out[0].to_ts), (Some(30), Some(50)));
    out.clear();
    coverage.closed(2, Owner::Venue, 60_000, &mut out);
    let expected = (OfToken, "disconnected", None);
    assert_eq!(told(&out), [expected, expected]);
    assert_eq!(out[0].owner, Owner::Venue);
}

#[test]
fn what_is_asked_for_again_is_missing_till_its_book_with_every_cause() {
    let (mut coverage, one, mut out) = (Coverage::default(), tokens(1..2), Vec::new());
    coverage.followed(&one[0], 1, &mut out);
    with_books(&mut coverage, 1, &one, 1);
    out.clear();
    for reason in [StaleReason::Hash, StaleReason::Hash, StaleReason::Silent] {
        coverage.asked(1, Asked::Resubscribe(reason), &one, 2_000, &mut out);
    }
    assert_eq!(told(&out), [(OfToken, "hash", None)]);
    coverage.closed(1, Owner::Network, 3_000, &mut out);
    let out = with_books(&mut coverage, 2, &one, 4_000);
    assert_eq!(told(&out), [(OfToken, "hash", Some("snapshot"))]);
    let also: Vec<_> = out[0].also.iter().map(|also| &**also).collect();
    assert_eq!(also, ["silent", "disconnected"]);
}

#[test]
fn a_token_that_moves_to_another_socket_is_missing_in_between_and_nothing_was_wrong_with_it() {
    let (mut coverage, one, mut out) = (Coverage::default(), tokens(1..2), Vec::new());
    coverage.followed(&one[0], 1, &mut out);
    with_books(&mut coverage, 1, &one, 1);
    out.clear();
    coverage.received(1, 7, 30_000);
    coverage.asked(1, Asked::Unsubscribe, &one, 50_000, &mut out);
    assert_eq!(told(&out), [(OfToken, "resubscribing", None)]);
    assert_eq!((out[0].from_ts, out[0].owner), (Some(30), Owner::Us));
    let out = with_books(&mut coverage, 2, &one, 60_000);
    assert_eq!(told(&out), [(OfToken, "resubscribing", Some("snapshot"))]);
    assert_eq!(out[0].to_ts, Some(60));
}

#[test]
fn what_is_wanted_no_longer_is_no_gap_and_ends_one() {
    let (mut coverage, two, mut out) = (Coverage::default(), tokens(1..3), Vec::new());
    for token in &two {
        coverage.followed(token, 1, &mut out);
    }
    with_books(&mut coverage, 1, &two[..1], 1);
    out.clear();
    for token in &two {
        coverage.released(token, 2, &mut out);
    }
    assert_eq!(told(&out), [(OfToken, "starting", Some("released"))]);
    out.clear();
    coverage.closed(1, Owner::Us, 3, &mut out);
    assert_eq!(out, []);
    assert_eq!(coverage.counts(), (0, 0));
}

#[test]
fn a_loss_of_the_recorder_lasts_till_the_books_of_all_it_may_be_about_are_known() {
    let (mut coverage, two, mut out) = (Coverage::default(), tokens(1..3), Vec::new());
    for token in &two {
        coverage.followed(token, 1, &mut out);
    }
    with_books(&mut coverage, 1, &two, 1);
    out.clear();
    coverage.lost(1, &lost(3), (1_000, 2_000), "recorder_behind", &mut out);
    assert_eq!(told(&out), [(OfSocket, "recorder_behind", None)]);
    assert_eq!(out[0].size, Some(3));
    assert_eq!(coverage.counts(), (2, 0));
    // And again, before anything has healed.
    coverage.lost(1, &lost(4), (3_000, 4_000), "recorder_behind", &mut out);
    out.clear();
    coverage.checkpointed(&two[0], 5_000, &mut out);
    assert_eq!(out, [], "one of two");
    coverage.first_books(1, &two[1..], "rest", 6_000, &mut out);
    let healed = (OfSocket, "recorder_behind", Some("rest"));
    assert_eq!(told(&out), [healed, healed]);
    assert_eq!(coverage.counts(), (2, 2));
}

#[test]
fn a_loss_that_nothing_healed_before_its_socket_ended_is_told_by_token() {
    let (mut coverage, one, mut out) = (Coverage::default(), tokens(1..2), Vec::new());
    coverage.followed(&one[0], 1, &mut out);
    with_books(&mut coverage, 1, &one, 1);
    coverage.received(1, 1, 1_000);
    coverage.lost(1, &lost(3), (1_000, 2_000), "recorder_behind", &mut out);
    out.clear();
    coverage.closed(1, Owner::Network, 9_000, &mut out);
    assert_eq!(
        told(&out),
        [
            (OfToken, "recorder_behind", None),
            (OfSocket, "recorder_behind", Some("told_by_token")),
            (OfSocket, "disconnected", Some("other_sockets")),
        ]
    );
    assert_eq!(out[0].from_ts, Some(1), "from the loss on");
    assert_eq!(out[0].also, ["disconnected".into()]);
}

#[test]
fn what_comes_while_nothing_is_written_is_missing_too() {
    let (mut coverage, two, mut out) = (Coverage::default(), tokens(1..3), Vec::new());
    for token in &two {
        coverage.followed(token, 1, &mut out);
    }
    with_books(&mut coverage, 1, &two[..1], 1);
    coverage.away("disk_full", (Some(4_000), Some(0)), false, 5_000);
    coverage.missed(7);
    // Its snapshot is not in the recording.
    assert_eq!(with_books(&mut coverage, 2, &two[1..], 6_000), []);
    assert_eq!(coverage.counts(), (2, 0));
    let open = coverage.open_losses();
    assert_eq!(told(&open), [(Recording, "disk_full", None)]);
    assert_eq!((open[0].from_ts, open[0].size), (Some(4), Some(7)));
    let mut out = Vec::new();
    coverage.back(9_000, &mut out);
    assert_eq!(out, []);
    coverage.checkpointed(&two[0], 10_000, &mut out);
    coverage.checkpointed(&two[1], 11_000, &mut out);
    // That of the second token says itself when it was first covered.
    assert!(told(&out).contains(&(Recording, "disk_full", Some("checkpoint"))));
    assert_eq!(coverage.counts(), (2, 2));
}

#[test]
fn that_sockets_close_while_the_program_ends_is_no_loss() {
    let (mut coverage, one, mut out) = (Coverage::default(), tokens(1..2), Vec::new());
    coverage.followed(&one[0], 1, &mut out);
    with_books(&mut coverage, 1, &one, 1);
    coverage.ending();
    out.clear();
    coverage.closed(1, Owner::Us, 2, &mut out);
    assert_eq!(out, []);
}

/// Plainly: who follows what, and which socket has which book.
#[derive(Default)]
struct Model {
    followed: BTreeSet<u64>,
    books: BTreeSet<(u64, u64)>,
}

impl Model {
    fn is_missing(&self, token: u64) -> bool {
        self.followed.contains(&token) && !self.books.iter().any(|(_, of)| *of == token)
    }
}

/// What a reader makes of the gaps: later ones of the same beginning count.
#[derive(Default)]
struct Reader(HashMap<(AssetId, Option<u64>), bool>);

impl Reader {
    fn take(&mut self, gaps: &[Gap]) {
        for gap in gaps {
            if let Some(token) = &gap.token_id {
                let key = (token.clone(), gap.from_ts);
                self.0.insert(key, gap.to_ts.is_none());
            }
        }
    }

    fn is_missing(&self, token: &AssetId) -> bool {
        let mut gaps = self.0.iter();
        gaps.any(|((of, _), is_open)| of == token && *is_open)
    }
}

#[test]
fn random_histories_leave_exactly_those_open_that_are_followed_and_covered_by_nobody() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let (mut coverage, mut model, mut reader) =
            (Coverage::default(), Model::default(), Reader::default());
        for step in 1..300_u64 {
            // Each step at a moment of its own, so that no two gaps begin at once.
            let (at, mut out) = (step * 1_000_000, Vec::new());
            let (socket, number) = (rng.u64(1..4), rng.u64(1..6));
            let one = [token(number)];
            coverage.opened(socket, &"conn-1".into());
            match rng.u8(0..7) {
                0 => {
                    coverage.followed(&one[0], at, &mut out);
                    model.followed.insert(number);
                }
                1 => {
                    coverage.released(&one[0], at, &mut out);
                    model.followed.remove(&number);
                }
                2 | 3 => {
                    coverage.asked(socket, Asked::Subscribe, &one, at, &mut out);
                    coverage.first_books(socket, &one, "snapshot", at, &mut out);
                    model.books.insert((socket, number));
                }
                4 => {
                    let asked = Asked::Resubscribe(StaleReason::Top);
                    coverage.asked(socket, asked, &one, at, &mut out);
                    model.books.remove(&(socket, number));
                }
                5 => {
                    coverage.asked(socket, Asked::Unsubscribe, &one, at, &mut out);
                    model.books.remove(&(socket, number));
                }
                _ => {
                    coverage.closed(socket, Owner::Network, at, &mut out);
                    model.books.retain(|(of, _)| *of != socket);
                }
            }
            reader.take(&out);
            for number in 1..6 {
                let missing = model.is_missing(number);
                let one = token(number);
                assert_eq!(reader.is_missing(&one), missing, "{seed} {step}: {number}");
                assert_eq!(coverage.open_gap(&one).is_some(), missing);
            }
        }
    }
}

#[test]
fn a_loss_that_goes_on_is_one_whose_frames_are_added_up_while_they_are_known() {
    let (mut coverage, one) = (Coverage::default(), tokens(1..2));
    with_books(&mut coverage, 1, &one, 1_000);
    coverage.away("disk_full", (Some(5_000), Some(3)), false, 6_000);
    coverage.missed(4);
    coverage.away("disk_full", (Some(9_000), Some(2)), true, 9_500);
    let gap = &coverage.open_losses()[0];
    assert_eq!((gap.from_ts, gap.size), (Some(5), Some(9)));
    coverage.away("disk_failed", (Some(9_000), None), true, 9_900);
    let losses = coverage.open_losses();
    assert_eq!((losses.len(), losses[0].size), (1, None));
    assert_eq!(losses[0].also, ["disk_failed".into()]);
}

#[test]
fn what_a_socket_lost_is_missing_from_its_last_frame_on() {
    let (mut coverage, one, mut out) = (Coverage::default(), tokens(1..2), Vec::new());
    with_books(&mut coverage, 1, &one, 1_000);
    coverage.received(1, 7, 5_000);
    coverage.lost(1, &lost(3), (8_000, 9_000), "recorder_behind", &mut out);
    assert_eq!((out[0].from_ts, out[0].size), (Some(5), Some(3)));
}
