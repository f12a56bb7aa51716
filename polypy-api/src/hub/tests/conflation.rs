//! The latest state at intervals, for all who want it and for those who are behind.

use super::*;

#[test]
fn conflated_tells_the_latest_state_once_an_interval_to_those_who_joined_since_too() {
    let mut world = one_book();
    let first = world.open();
    let filter = with_mode(book_of(&["1"]), Some(100), None);
    world.subscribe(&first, 0, &filter, None).unwrap();
    world.step();
    read(&first);
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    assert_eq!(
        deltas(&read(&first)).len(),
        1,
        "the first change waits for nothing"
    );
    world.set(0, &[(Side::Bid, 41, 2)], true);
    world.set(0, &[(Side::Bid, 42, 1)], true);
    world.set(0, &[(Side::Bid, 42, 0)], true);
    world.step();
    let second = world.open();
    world.subscribe(&second, 0, &filter, None).unwrap();
    world.step();
    let joined = read(&second);
    assert!(
        joined[2].text().as_str().contains(r#""sequence":2,"#),
        "what the others have"
    );
    assert_eq!(names(&read(&first)), [""; 0]);
    world.pass(Duration::from_millis(100));
    for client in [&first, &second] {
        let told = read(client);
        assert_eq!(deltas(&told), ["2>5 b0.41=2"]);
        assert!(
            told[0]
                .text()
                .as_str()
                .contains(r#""conflated":"interval""#)
        );
    }
}

#[test]
fn a_conflated_client_that_is_behind_gets_the_states_merged_and_no_gap() {
    let mut world = World::new(StreamConfig {
        buffer: 8 << 10,
        heartbeat: Duration::from_hours(1),
        ..StreamConfig::default()
    });
    world.add_token(true);
    let client = world.open();
    let filter = with_mode(book_of(&["1"]), Some(50), None);
    world.subscribe(&client, 0, &filter, None).unwrap();
    world.step();
    read(&client);
    for round in 1..30 {
        world.set(
            0,
            &[(Side::Bid, 30 + round % 4, 10 + u32::from(round))],
            true,
        );
        world.pass(Duration::from_millis(60));
    }
    let waiting = read(&client);
    assert!(names(&waiting).iter().all(|name| *name == "delta"));
    assert!(waiting.len() < 10, "{}", waiting.len());
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["delta"]);
    assert!(told[0].text().as_str().contains(r#""conflated":"backlog""#));
    let told = deltas(&told);
    assert!(
        told[0].contains("b0.31=39") && told[0].contains(">30 "),
        "{told:?}"
    );
}

#[test]
fn a_conflated_top_is_told_once_and_says_whether_it_was_merged() {
    let mut world = one_book();
    // The book is there already.
    let every = world.open();
    world.subscribe(&every, 0, &book_of(&["1"]), None).unwrap();
    world.step();
    let channels = Channels::NONE.with(Channel::Top).with(Channel::Book);
    let filter = with_mode(Filter::tokens(["1"], channels), Some(100), None);
    let first = world.open();
    world.subscribe(&first, 0, &filter, None).unwrap();
    world.step();
    let opening = read(&first);
    assert_eq!(names(&opening)[2..], ["snapshot", "top", "ready"]);
    let ready = opening.last().unwrap().text().as_str();
    assert!(
        ready.contains(r#""cursor":null"#),
        "it cannot be resumed: {ready}"
    );
    world.set_state(0, BookState::Live, Some(true));
    world.pass(Duration::from_millis(100));
    assert_eq!(names(&read(&first)), ["state"], "the top is no other one");

    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.pass(Duration::from_millis(100));
    let told = read(&first);
    assert_eq!(names(&told), ["delta", "top"]);
    for one in told {
        let text = one.text().as_str();
        assert!(text.contains(r#""conflated":null"#), "one state: {text}");
    }

    // Two states, and somebody who joins between them and the interval's end.
    world.set(0, &[(Side::Bid, 42, 1)], true);
    world.set(0, &[(Side::Bid, 43, 1)], true);
    world.step();
    let second = world.open();
    world.subscribe(&second, 0, &filter, None).unwrap();
    world.step();
    let joined = read(&second);
    let top = joined[3].text().as_str();
    assert!(
        top.contains(r#""sequence":2,"#),
        "what the others have: {top}"
    );
    world.pass(Duration::from_millis(100));
    for client in [&first, &second] {
        let told = read(client);
        assert_eq!(names(&told), ["delta", "top"]);
        for one in told {
            let text = one.text().as_str();
            assert!(text.contains(r#""conflated":"interval""#), "{text}");
        }
    }
    client_has_no_place(&world, &second);
}

fn client_has_no_place(world: &World, client: &Client) {
    let at = world.hub.out.by_id[&client.id()];
    assert_eq!(world.hub.out.place(at), None);
}

#[test]
fn who_joins_before_the_interval_ends_is_told_each_top_once_and_no_old_one() {
    let mut world = one_book();
    let filter = Filter::tokens(["1"], Channels::NONE.with(Channel::Top));
    let filter = with_mode(filter, Some(100), None);
    let first = world.following(&filter);
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    assert_eq!(names(&read(&first)), ["top"], "nothing was told lately");
    let join = |world: &mut World| {
        let client = world.open();
        world.subscribe(&client, 0, &filter, None).unwrap();
        world.step();
        let opening = read(&client);
        (client, opening[2].text().as_str().to_owned())
    };

    world.set_state(0, BookState::Stale(StaleReason::Hash), None);
    world.step();
    let (second, top) = join(&mut world);
    assert!(
        top.contains(r#""state":"stale""#),
        "never an old state: {top}"
    );
    world.pass(Duration::from_millis(100));
    assert_eq!(names(&read(&first)), ["top"]);
    assert_eq!(names(&read(&second)), [""; 0], "it has had that one");

    // What a third one is given is over before anybody else is told of it.
    world.set_state(0, BookState::Live, None);
    world.step();
    let (third, top) = join(&mut world);
    assert!(top.contains(r#""state":"live""#), "{top}");
    world.set_state(0, BookState::Stale(StaleReason::Hash), None);
    world.pass(Duration::from_millis(100));
    assert_eq!(names(&read(&first)), [""; 0]);
    assert_eq!(names(&read(&second)), [""; 0]);
    let told = read(&third);
    assert_eq!(names(&told), ["top"]);
    assert!(told[0].text().as_str().contains(r#""state":"stale""#));
}

#[test]
fn of_a_client_that_is_behind_one_state_alone_is_not_said_to_be_merged() {
    for (channel, name) in [(Channel::Book, "delta"), (Channel::Top, "top")] {
        let mut world = World::new(StreamConfig {
            buffer: 8 << 10,
            heartbeat: Duration::from_hours(1),
            ..StreamConfig::default()
        });
        world.add_token(true);
        let filter = Filter::tokens(["1"], Channels::NONE.with(channel));
        let client = world.following(&with_mode(filter, Some(50), None));
        let at = world.hub.out.by_id[&client.id()];
        for (more, why) in [(0, "null"), (1, r#""backlog""#)] {
            let is_behind = |world: &World| {
                let client = world.hub.out.clients.get(at).unwrap();
                !client.merged.is_empty()
            };
            let change = |world: &mut World| {
                let size = u32::try_from(world.clock_ms % 1_000).unwrap();
                world.set(0, &[(Side::Bid, 41, 11 + size)], true);
                world.pass(Duration::from_millis(60));
            };
            while !is_behind(&world) {
                change(&mut world);
            }
            (0..more).for_each(|_| change(&mut world));
            read(&client);
            world.step();
            let told = read(&client);
            assert_eq!(names(&told), [name]);
            let text = told[0].text().as_str();
            assert!(text.contains(&format!(r#""conflated":{why}"#)), "{text}");
        }
    }
}
