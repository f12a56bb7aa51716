//! What deltas hold: whole states of the venue, at all levels or some.

use super::*;

#[test]
fn what_one_append_brings_of_two_times_is_two_states() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.following(&book_of(&["1"]));
    let level = |sequence, at, size: &str| {
        BookChange::Level(LevelSet {
            asset: key,
            level: LevelChange {
                side: Side::Bid,
                price: price(40),
                size: size.parse().unwrap(),
            },
            sequence,
            at: Timestamp::from_millis(at),
            received: world.now,
            ends_state: false,
        })
    };
    let mut changes = vec![level(2, 10, "1"), level(3, 10, "2"), level(4, 11, "3")];
    world.model.lanes.append(lane_of(key), &mut changes);
    world.step();
    assert_eq!(deltas(&read(&client)), ["1>3 b0.4=1 b0.4=2", "3>4 b0.4=3"]);
}

#[test]
fn depth_sends_what_falls_out_and_nothing_of_what_is_below() {
    let mut world = one_book();
    let client = world.following(&with_mode(book_of(&["1"]), None, Some(1)));
    world.set(0, &[(Side::Bid, 39, 1)], true);
    world.step();
    assert_eq!(deltas(&read(&client)), [""; 0], "below the depth");
    world.set(0, &[(Side::Bid, 41, 2)], true);
    world.step();
    let told = read(&client);
    assert_eq!(
        deltas(&told),
        ["1>3 b0.4=0 b0.41=2"],
        "the old best falls out"
    );
    world.set(0, &[(Side::Bid, 41, 0)], true);
    world.step();
    assert_eq!(
        deltas(&read(&client)),
        ["3>4 b0.4=10 b0.41=0"],
        "and comes back"
    );
}
