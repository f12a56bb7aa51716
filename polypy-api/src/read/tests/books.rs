//! What is read of many books, and by which tag.

use std::collections::HashMap;
use std::time::Duration;

use polypy_core::{AssetId, BookLookup, BookState, BookView, FeedId, StaleReason};
use polypy_http::Memory;
use proptest::prelude::*;

use super::world::World;
use crate::read::resolve::{MOST_TOKENS, Names};
use crate::read::testing::{of_event, row};

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn names(tokens: &[&str], markets: &[&str], events: &[&str]) -> Names {
    let ids = tokens.iter().map(|id| AssetId::new(id).unwrap());
    Names {
        tokens: ids.collect(),
        markets: texts(markets),
        events: texts(events),
    }
}

/// Token ids that names come to, and codes of what is missing.
fn resolved(world: &std::sync::Arc<World>, names: &Names) -> (Vec<String>, Vec<&'static str>) {
    let resolved = world.reads().resolve(names).unwrap();
    let ids = resolved.books.iter().map(|(_, id)| id.to_string());
    let codes = resolved.missing.iter().map(|missing| missing.code);
    (ids.collect(), codes.collect())
}

#[test]
fn books_are_named_by_tokens_markets_and_events_each_once_and_in_that_order() {
    let world = World::new();
    world.listed.take([
        row(1),
        of_event(row(2), "cup", 9),
        of_event(row(3), "cup", 5),
        of_event(row(4), "cup", 1),
        row(5),
    ]);
    for market in [0, 1, 2] {
        world.listed.follow(market);
    }
    let all = names(
        &["32", "11", "777", "41"],
        &["does-1-hold", "0x3", "does-5-hold", "none"],
        &["cup", "nothing"],
    );
    let (ids, codes) = resolved(&world, &all);
    // The event's in the venue's order; its third market is not followed.
    assert_eq!(ids, ["32", "11", "12", "31", "21", "22"]);
    let expected = [
        "unknown_token",
        "not_followed",
        "not_followed",
        "unknown_market",
        "not_followed",
        "unknown_event",
    ];
    assert_eq!(codes, expected);
    let missing = world.reads().resolve(&all).unwrap().missing;
    let of_four = format!("/v1/markets/0x{:064x}?explain=selection", 4);
    assert_eq!(missing[1].name, "41");
    assert_eq!(missing[1].explain.as_deref(), Some(&*of_four));
    assert!(missing[1].message.contains("(unjudged)"), "{missing:?}");
    assert!(missing[1].message.contains(&of_four), "{missing:?}");
    assert_eq!(missing[4].explain.as_deref(), Some("/v1/events/cup"));
    assert!(missing[4].message.starts_with("1 of the event's 3"));
}

#[test]
fn books_of_one_market_are_read_side_by_side() {
    let world = World::with(3);
    let reads = world.reads();
    let mixed = names(&["1", "11", "22", "2", "12"], &["does-2-hold"], &[]);
    let resolved = reads.resolve(&mixed).unwrap();
    let shelf = reads.shelf(&resolved, 5);
    let (zero, one, two) = (world.keys(0), world.keys(1), world.keys(2));
    let side_by_side = [zero[0], zero[1], one[0], one[1], two[1], two[0]];
    assert_eq!(*world.asked.lock(), side_by_side);
    let shown: Vec<_> = shelf
        .found
        .iter()
        .map(|(view, _)| view.asset_id.as_str())
        .collect();
    assert_eq!(shown, ["1", "11", "22", "2", "12", "21"]);
}

#[test]
fn what_comes_to_too_many_tokens_is_refused() {
    let markets = MOST_TOKENS as u64 / 2 + 1;
    let world = World::new();
    world
        .listed
        .take((0..markets).map(|number| of_event(row(number), "cup", 0)));
    for market in 0..markets - 1 {
        world.listed.follow(market);
    }
    let cup = names(&[], &[], &["cup"]);
    let reads = world.reads();
    assert_eq!(reads.resolve(&cup).unwrap().books.len(), MOST_TOKENS);
    world.listed.follow(markets - 1);
    assert!(reads.resolve(&cup).is_err());
}

/// Something that may happen between two reads.
#[derive(Debug, Clone)]
enum Step {
    Epoch(u64),
    Sequence(u64),
    Revision(u32),
    Life(u64),
    State(BookState),
    Gone(bool),
    Renamed(u8),
    Won,
    Verified(u64),
    Feed(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let states = prop::sample::select(vec![
        BookState::Live,
        BookState::Settled,
        BookState::Stale(StaleReason::Hash),
        BookState::Stale(StaleReason::Top),
    ]);
    prop_oneof![
        1 => (0..3_u64).prop_map(Step::Epoch),
        1 => (0..3_u64).prop_map(Step::Sequence),
        1 => (0..3_u32).prop_map(Step::Revision),
        1 => (0..3_u64).prop_map(Step::Life),
        4 => states.prop_map(Step::State),
        1 => any::<bool>().prop_map(Step::Gone),
        1 => (0..3_u8).prop_map(Step::Renamed),
        1 => Just(Step::Won),
        1 => (0..3_u64).prop_map(Step::Verified),
        1 => (0..3_u64).prop_map(Step::Feed),
    ]
}

/// Levels and verification follow from where a book stands, as they do in a worker.
fn follow(view: &mut BookView) {
    let mix = view.position.sequence * 31 + view.position.epoch * 7 + view.key_life;
    view.bids[0].size = format!("{}", mix % 97 + 1).parse().unwrap();
    view.hash_verified = view.position.revision.is_multiple_of(2).then_some(true);
}

/// Does it to a token.
fn take(world: &World, market: u64, side: usize, step: &Step) {
    let key = world.keys(market)[side];
    match step {
        Step::Gone(true) => world.set_lookup(key, BookLookup::Requested),
        Step::Gone(false) => world.set(key, follow),
        Step::Renamed(name) => {
            let mut renamed = row(market);
            renamed.market.question = format!("Is it {name}?");
            world.listed.take([renamed]);
        }
        Step::Won => world.win(key),
        step => world.change(key, |view| {
            match step {
                Step::Epoch(epoch) => view.position.epoch = *epoch,
                Step::Sequence(sequence) => view.position.sequence = *sequence,
                Step::Revision(revision) => view.position.revision = *revision,
                Step::Life(life) => view.key_life = *life,
                Step::State(state) => view.state = *state,
                Step::Verified(ago) => view.verified_ago = Some(Duration::from_secs(*ago)),
                Step::Feed(feed) => view.feed = Some(FeedId(*feed)),
                Step::Gone(_) | Step::Renamed(_) | Step::Won => {}
            }
            follow(view);
        }),
    }
}

proptest! {
    /// Whatever happens between two reads: who has an answer by its tag has this answer.
    #[test]
    fn equal_tags_mean_equal_answers(
        steps in prop::collection::vec((0..2_u64, 0..2_usize, steps()), 1..40),
    ) {
        let world = World::with(2);
        for key in [0, 1].map(|market| world.keys(market)).iter().flat_map(|keys| keys.iter()) {
            world.change(*key, follow);
        }
        let reads = world.reads();
        let memory = Memory::new(1 << 20);
        let requests = [
            names(&["1", "2", "11"], &[], &[]),
            names(&["2", "1", "11"], &[], &[]),
            names(&[], &["does-0-hold", "does-1-hold"], &[]),
            names(&["21"], &["does-1-hold", "does-2-hold"], &[]),
        ];
        let mut of_tag: HashMap<String, String> = HashMap::new();
        for step in std::iter::once(None).chain(steps.iter().map(Some)) {
            if let Some((market, side, step)) = step {
                take(&world, *market, *side, step);
            }
            for request in &requests {
                let (tag, body) = reads.read_books(request, Some(3), &memory);
                prop_assert_eq!(of_tag.entry(tag).or_insert(body.clone()), &body);
            }
            // There the key says which life it is, and keys stay here.
            if !steps.iter().any(|(.., step)| matches!(step, Step::Life(_))) {
                let (body, tag) = reads.read_tops(&memory);
                let all = String::from_utf8(body).unwrap();
                prop_assert_eq!(of_tag.entry(tag).or_insert(all.clone()), &all);
            }
        }
    }
}

#[test]
fn an_answer_is_the_same_to_the_byte_until_something_changes() {
    let world = World::with(2);
    let reads = world.reads();
    let memory = Memory::new(1 << 20);
    let request = names(&["1", "12"], &["does-2-hold"], &[]);
    let first = reads.read_books(&request, None, &memory);
    std::thread::yield_now();
    assert_eq!(reads.read_books(&request, None, &memory), first);
    // What a worker does not know of yet counts, too.
    let key = world.keys(0)[0];
    world.change(key, |view| view.state = BookState::Stale(StaleReason::Top));
    let other = reads.read_books(&request, None, &memory);
    assert!(other.0 != first.0 && other.1 != first.1);
}
