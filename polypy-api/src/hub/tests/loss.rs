//! What is missing is said, with its cause: defects, new epochs, dead workers, suspensions.

use super::*;

#[test]
fn a_change_that_does_not_follow_is_a_gap_and_the_book_is_read_again() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.following(&book_of(&["1"]));
    let mut unwritten = Vec::new();
    {
        let mut inner = world.model.inner.lock();
        inner.followed.remove(&key);
    }
    world.set(0, &[(Side::Bid, 43, 1)], true);
    world.model.inner.lock().followed.insert(key);
    world.set(0, &[(Side::Bid, 44, 1)], true);
    world.model.lanes.append(lane_of(key), &mut unwritten);
    world.step();
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["gap", "snapshot", "state"]);
    assert!(
        told[0]
            .text()
            .as_str()
            .contains(r#""reason":"internal","owner":"us""#)
    );
    assert!(
        told[1]
            .text()
            .as_str()
            .contains(r#""sequence":3,"cause":"gap""#)
    );
    assert_eq!(world.numbers.mismatches.get(), 1);
}

/// A hole within an epoch is ours, whatever the book was stale by before.
#[test]
fn a_whole_book_that_does_not_continue_its_epoch_is_a_gap_of_ours() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.following(&book_of(&["1"]));
    world.set_state(0, BookState::Stale(StaleReason::Hash), None);
    world.set_state(0, BookState::Live, None);
    world.step();
    read(&client);
    world.model.inner.lock().followed.remove(&key);
    world.set(0, &[(Side::Bid, 43, 1)], true);
    world.model.inner.lock().followed.insert(key);
    world.write(0, |inner, at| vec![inner.whole(at)]);
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["gap", "snapshot", "state"]);
    let gap = told[0].text().as_str();
    assert!(gap.contains(r#""reason":"internal","owner":"us""#), "{gap}");
}

#[test]
fn a_new_epoch_is_a_gap_with_its_reason_before_the_snapshot() {
    let mut world = one_book();
    let client = world.following(&book_of(&["1"]));
    world.begin_epoch(0, StaleReason::Disconnected);
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["state", "gap", "snapshot", "state"]);
    let gap = told[1].text().as_str();
    assert!(gap.contains(r#""reason":"disconnected","owner":"network","epoch":1,"after_sequence":1,"before_sequence":2"#), "{gap}");
    assert!(
        told[2]
            .text()
            .as_str()
            .contains(r#""epoch":2,"sequence":2,"cause":"epoch""#)
    );
}

#[test]
fn books_of_a_dead_worker_are_stale_at_once_and_come_back_by_a_gap() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.following(&book_of(&["1"]));
    world.kill(lane_of(key));
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["state"]);
    assert!(
        told[0]
            .text()
            .as_str()
            .contains(r#""state":"stale","reason":"worker_died""#)
    );
    world.step();
    assert_eq!(names(&read(&client)), [""; 0], "said once");
    world.revive(lane_of(key));
    world.step();
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["gap", "snapshot", "state"]);
    assert!(
        told[0]
            .text()
            .as_str()
            .contains(r#""reason":"worker_died","owner":"us""#)
    );
}

#[test]
fn after_a_suspension_states_are_read_before_what_lay_in_the_lanes() {
    let mut world = one_book();
    let client = world.following(&book_of(&["1"]));
    world.hub.is_suspended = true;
    {
        let mut inner = world.model.inner.lock();
        inner.suspended = true;
        inner.is_busy = true;
    }
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    assert_eq!(
        names(&read(&client)),
        [""; 0],
        "the states are not known yet"
    );
    world.model.inner.lock().is_busy = false;
    world.step();
    let told = read(&client);
    // The lane is in its own order; nobody was told a live book without the word.
    assert_eq!(names(&told), ["delta", "state"]);
    assert!(told[1].text().as_str().contains("suspended"));
    assert!(world.hub.is_suspended, "until every feed has answered");
    world.model.inner.lock().suspended = false;
    world.step();
    assert!(!world.hub.is_suspended);
}

#[test]
fn a_gap_promises_a_snapshot_to_those_alone_who_get_books() {
    let mut world = one_book();
    let mut clients = Vec::new();
    let one = |channel| Channels::NONE.with(channel);
    for channels in [
        one(Channel::Book),
        one(Channel::Top),
        one(Channel::Trade),
        one(Channel::Book).with(Channel::Top).with(Channel::Trade),
    ] {
        let client = world.open();
        let filter = Filter::tokens(["1"], channels);
        world.subscribe(&client, 0, &filter, None).unwrap();
        clients.push(client);
    }
    world.step();
    let place = world.hub.out.position;
    let told = |client: &Client| {
        let told = read(client);
        let gap = told.iter().find(|one| names(&[Arc::clone(one)]) == ["gap"]);
        let gap = gap.unwrap().text().as_str().to_owned();
        let next = gap.split(r#""next":""#).nth(1).unwrap().to_owned();
        let gaps = names(&told).iter().filter(|name| **name == "gap").count();
        (
            next.trim_end_matches("\"}").to_owned(),
            gaps,
            names(&told).last().copied(),
        )
    };
    for client in &clients {
        read(client);
    }
    world.begin_epoch(0, StaleReason::Disconnected);
    world.step();
    assert_eq!(told(&clients[0]), ("snapshot".to_owned(), 1, Some("state")));
    assert_eq!(told(&clients[1]), ("none".to_owned(), 1, Some("top")));
    assert_eq!(told(&clients[2]), ("none".to_owned(), 1, Some("gap")));
    let (next, gaps, _) = told(&clients[3]);
    assert_eq!((next.as_str(), gaps), ("snapshot", 1), "told once");

    // The same for who comes back.
    let filter = Filter::tokens(["1"], Channels::NONE.with(Channel::Trade));
    let instance = Instance(7);
    let position = place;
    for (cursor, gaps) in [
        (Cursor { instance, position }, 1),
        (
            Cursor {
                instance: Instance(8),
                position,
            },
            1,
        ),
    ] {
        let back = world.open();
        world.subscribe(&back, 0, &filter, Some(cursor)).unwrap();
        world.step();
        let (next, found, last) = told(&back);
        assert_eq!((next.as_str(), found, last), ("none", gaps, Some("ready")));
    }
}

/// The moment since when a state holds, in milliseconds since the world began.
fn since(world: &World, message: &Published) -> u64 {
    let text = message.text().as_str();
    let digits = text.split(r#""since_ms":"#).nth(1).unwrap();
    let since: u64 = digits.split(',').next().unwrap().parse().unwrap();
    since - world.hub.anchor.millis(world.began)
}

#[test]
fn a_state_says_since_when_it_holds_and_a_dead_worker_changes_that_for_live_books_alone() {
    let mut world = one_book();
    while lane_of(world.add_token(true)) != lane_of(world.model.inner.lock().tokens[0].info.key) {}
    let last = world.model.inner.lock().tokens.len();
    let lane = lane_of(world.model.inner.lock().tokens[0].info.key);
    let ids = ["1".to_owned(), last.to_string()];
    let client = world.following(&book_of(&ids.each_ref().map(String::as_str)));
    world.pass(Duration::from_secs(2));
    let now = world.now;
    world.write(last - 1, |inner, at| {
        inner.tokens[at].status.since = now;
        Vec::new()
    });
    world.set_state(last - 1, BookState::Stale(StaleReason::Hash), None);
    world.step();
    let told = read(&client);
    let stale_since = since(&world, told.last().unwrap());
    assert!((2_000..2_100).contains(&stale_since), "{stale_since}");

    world.pass(Duration::from_secs(3));
    world.kill(lane);
    world.step();
    let mut told = read(&client);
    told.retain(|one| one.event().name() == "state");
    let mut found: Vec<_> = told.iter().map(|one| since(&world, one)).collect();
    found.sort_unstable();
    assert_eq!(found.len(), 2, "both are said to be stale");
    assert_eq!(found[0], stale_since, "one was stale before");
    assert!((5_000..5_100).contains(&found[1]), "{found:?}");
}

#[test]
fn books_that_take_more_than_may_empty_the_lane() {
    let world = one_book();
    let one = size_of::<WholeBook>() + 2 * polypy_core::LEVEL_BYTES;
    let lanes = Lanes::new(1, 100, 3 * one, Arc::default());
    let write = |count| {
        let books = (0..count).map(|_| world.model.inner.lock().whole(0));
        books.for_each(|book| lanes.append(Lane(0), &mut vec![book]));
    };
    let read = || {
        let mut queue = Queue::default();
        lanes.take(Lane(0), &mut queue);
        (queue.entries.len(), queue.is_lost)
    };
    write(3);
    assert_eq!(read(), (3, false));
    write(4);
    assert_eq!(read(), (0, true));
    write(1);
    assert_eq!(read(), (1, false), "it begins anew");
}
