//! How often the hub looks at the lanes, counted in rounds of a simulated second.

use super::*;

/// So much flows in between two changes.
const CHANGE: Duration = Duration::from_millis(1);

/// A second in which a book changes each millisecond, each round takes `round`, and the
/// hub sleeps as it says; a change wakes it where it lets changes do so. How many rounds
/// it were, and what the clients were told.
fn second(world: &mut World, clients: &[&Client], round: Duration) -> (u32, Vec<usize>) {
    let end = world.now + Duration::from_secs(1);
    let mut change = world.now;
    let mut rounds = 0;
    let mut told = vec![0; clients.len()];
    let mut size = 0;
    let mut happen = |world: &mut World, until: Instant| {
        while change <= until {
            size += 1;
            world.set(0, &[(Side::Bid, 41, size)], true);
            change += CHANGE;
        }
        change
    };
    while world.now < end {
        let now = world.now;
        happen(world, now);
        world.hub.step(now);
        rounds += 1;
        for (told, client) in told.iter_mut().zip(clients) {
            *told += deltas(&read(client)).len();
        }
        let done = now + round;
        let next = happen(world, done);
        world.now = match world.hub.rest(done) {
            Rest::Sleep(time) | Rest::UntilAsked(time) => done + time,
            Rest::UntilChange(most) => next.min(done + most),
        };
    }
    (rounds, told)
}

/// A book, and a client that gets it every 16 ms.
fn conflated() -> (World, Client) {
    let mut world = one_book();
    let filter = with_mode(book_of(&["1"]), Some(16), None);
    let client = world.following(&filter);
    world.pass(Duration::from_millis(100));
    (world, client)
}

#[test]
fn conflated_clients_alone_have_it_look_when_an_interval_ends_and_every_ten_milliseconds() {
    let (mut world, client) = conflated();
    let (rounds, told) = second(&mut world, &[&client], Duration::ZERO);
    // One when an interval ends, and one 10 ms later.
    assert!((120..=130).contains(&rounds), "{rounds}");
    assert!((62..=63).contains(&told[0]), "{told:?}");
}

#[test]
fn one_client_that_follows_each_change_has_its_pace_kept_for_all() {
    let (mut world, client) = conflated();
    let every = world.following(&book_of(&["1"]));
    let (rounds, told) = second(&mut world, &[&client, &every], Duration::ZERO);
    assert!((1_990..=2_010).contains(&rounds), "{rounds}");
    assert!((62..=63).contains(&told[0]), "{told:?}");
    assert!(told[1] >= 999, "{told:?}");
    // What is about no token is no reason to look.
    drop(every);
    let counters = world.open();
    let stats = Filter::everything(Channels::NONE.with(Channel::Stats));
    world.subscribe(&counters, 0, &stats, None).unwrap();
    world.pass(Duration::from_millis(100));
    let (rounds, _) = second(&mut world, &[&client], Duration::ZERO);
    assert!((120..=130).contains(&rounds), "{rounds}");
}

#[test]
fn intervals_keep_their_rate_whatever_a_round_takes() {
    for (round, expected) in [(3, 62..=63), (7, 62..=63), (40, 20..=21)] {
        let (mut world, client) = conflated();
        let (_, told) = second(&mut world, &[&client], Duration::from_millis(round));
        assert!(expected.contains(&told[0]), "{round} ms: {told:?}");
    }
}

#[test]
fn what_a_client_asks_for_and_is_owed_is_done_at_once() {
    let (mut world, client) = conflated();
    assert!(matches!(world.hub.rest(world.now), Rest::UntilAsked(_)));
    let brief = Rest::Sleep(Duration::from_micros(500));
    let other = world.open();
    let filter = with_mode(book_of(&["1"]), Some(1_000), None);
    world.subscribe(&other, 0, &filter, None).unwrap();
    assert_eq!(world.hub.rest(world.now), brief);
    world.step();
    assert_eq!(names(&read(&other)).last(), Some(&"ready"));
    world.pass(Duration::from_millis(2));
    assert!(matches!(world.hub.rest(world.now), Rest::UntilAsked(_)));
    drop(client);
    drop(other);
    world.pass(Duration::from_millis(1));
    world.pass(Duration::from_millis(2));
    // What nobody gets wakes nobody.
    assert_eq!(
        world.hub.rest(world.now),
        Rest::UntilAsked(Duration::from_millis(10))
    );
}
