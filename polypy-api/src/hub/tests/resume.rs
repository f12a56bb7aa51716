//! Coming back: exact, or said.

use super::*;

/// The ends of the ring: a place is good as long as nothing after it is gone.
#[test]
fn a_client_comes_back_to_what_is_kept_and_to_nothing_else() {
    let mut world = one_book();
    let first = world.open();
    let filter = book_of(&["1"]);
    world.subscribe(&first, 0, &filter, None).unwrap();
    world.step();
    let place = |position| {
        let instance = Instance(7);
        Some(Cursor { instance, position })
    };
    let begun = world.hub.out.position;
    for size in 1..=3 {
        world.pass(Duration::from_secs(20));
        world.set(0, &[(Side::Bid, 41, size)], true);
        world.step();
    }
    let back = |world: &mut World, position| {
        let client = world.open();
        world
            .subscribe(&client, 0, &filter, place(position))
            .unwrap();
        world.step();
        let told = read(&client);
        let recovered = told[1].text().as_str().contains(r#""recovered":true"#);
        let names = names(&told[2..]).join(" ");
        let last = told.last().unwrap().text().as_str().to_owned();
        drop(client);
        world.step();
        (recovered, names, last)
    };
    let (recovered, names, last) = back(&mut world, begun);
    assert!(recovered);
    assert_eq!(names, "delta delta delta ready");
    let now = world.hub.out.position;
    assert!(last.contains(&format!("-{now}\"")), "{last}");
    assert_eq!(back(&mut world, begun + 1).1, "delta delta ready");
    assert_eq!(back(&mut world, now).1, "ready", "it had everything");
    let (recovered, names, _) = back(&mut world, now + 1);
    assert!(!recovered, "a place that there was not");
    assert_eq!(names, "gap snapshot ready");
    assert!(
        !back(&mut world, begun.saturating_sub(1)).0,
        "before it was followed"
    );

    // The oldest of the three is gone.
    world.pass(Duration::from_secs(21));
    assert_eq!(world.hub.out.ring.evicted(), begun + 1);
    let (recovered, names, _) = back(&mut world, begun);
    assert!(!recovered);
    assert_eq!(names, "gap snapshot ready");
    assert_eq!(back(&mut world, begun + 1).1, "delta delta ready");
    let other = Cursor {
        instance: Instance(8),
        position: now,
    };
    let client = world.open();
    world.subscribe(&client, 0, &filter, Some(other)).unwrap();
    assert!(read(&client)[2].text().as_str().contains("restarted"));
}

#[test]
fn a_book_that_was_not_followed_all_the_time_cannot_be_resumed() {
    let mut world = one_book();
    let filter = book_of(&["1"]);
    let first = world.open();
    world.subscribe(&first, 0, &filter, None).unwrap();
    world.step();
    let position = world.hub.out.position;
    drop(first);
    world.step();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.model.inner.lock().followed.len(), 1, "it lingers");
    world.pass(Duration::from_secs(40));
    world.pass(Duration::from_secs(2));
    assert!(world.model.inner.lock().followed.is_empty());
    world.set(0, &[(Side::Bid, 41, 1)], true);
    let second = world.open();
    world.subscribe(&second, 0, &filter, None).unwrap();
    world.step();
    let third = world.open();
    let instance = Instance(7);
    let cursor = Some(Cursor { instance, position });
    world.subscribe(&third, 0, &filter, cursor).unwrap();
    world.step();
    let told = read(&third);
    let accepted = told[1].text().as_str();
    assert!(accepted.contains(r#""recovered":false"#), "{accepted}");
    assert!(
        told[2].text().as_str().contains("not_followed"),
        "{}",
        told[2].text()
    );
}

/// A token that others had long followed is new to who had not heard of it.
#[test]
fn what_was_followed_unannounced_is_shown_to_who_comes_back() {
    let mut world = one_book();
    let everything = Filter::everything(Channels::NONE.with(Channel::Book));
    let first = world.following(&everything);
    world.add_unannounced(true);
    let second = world.open();
    world.subscribe(&second, 0, &book_of(&["2"]), None).unwrap();
    world.step();
    assert_eq!(names(&read(&first)), ["snapshot"], "covered at once");

    // One that comes while it is away, and is never announced.
    let instance = Instance(7);
    let position = world.hub.out.position;
    drop(first);
    world.step();
    world.add_unannounced(true);
    let other = world.open();
    world.subscribe(&other, 0, &book_of(&["3"]), None).unwrap();
    world.step();
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.add_unannounced(true);
    let back = world.open();
    let cursor = Some(Cursor { instance, position });
    world.subscribe(&back, 0, &everything, cursor).unwrap();
    world.step();
    world.step();
    let told = read(&back);
    assert!(told[1].text().as_str().contains(r#""recovered":true"#));
    assert_eq!(
        names(&told[2..]),
        ["gap", "gap", "delta", "snapshot", "snapshot", "ready"],
        "the first goes on, the others begin"
    );
    assert!(told[2].text().as_str().contains(r#""scope":"token""#));
}

/// The words by which clients name the tokens 1, 2 and 3.
fn by_name(channels: Channels) -> Vec<Filter> {
    let words = [
        ("tokens", "1,2,3"),
        ("markets", "market-1,0x2,market-3"),
        ("events", "even,odd"),
    ];
    let filters = words.map(|(name, names)| {
        let mut filter = Filter::builder();
        filter.set(name, names).unwrap();
        let mut filter = filter.build(3).unwrap();
        filter.channels = channels;
        filter
    });
    filters.into()
}

#[test]
fn of_what_is_named_what_stayed_goes_on_what_came_begins_and_what_went_is_said() {
    let channels = Channels::NONE.with(Channel::Book).with(Channel::Trade);
    for filter in by_name(channels) {
        let mut world = one_book();
        world.add_token(true);
        let client = world.following(&filter);
        let position = world.hub.out.position;
        drop(client);
        world.step();
        world.set(0, &[(Side::Bid, 41, 1)], true);
        world.trade(1);
        world.forget(1);
        world.add_token(true);
        world.step();
        world.set(0, &[(Side::Bid, 41, 2)], true);
        let (client, told) = world.back(&filter, position);
        let accepted = told[1].text().as_str();
        assert!(accepted.contains(r#""recovered":true"#), "{accepted}");
        assert_eq!(
            names(&told[2..]),
            ["delta", "trade", "state", "delta", "snapshot", "ready"],
            "{filter:?}"
        );
        let texts = told.iter().map(|one| one.text().as_str());
        let ids: Vec<_> = texts
            .filter_map(|text| text.split(r#""token_id":""#).nth(1)?.chars().next())
            .collect();
        assert_eq!(ids, ['1', '2', '2', '1', '3']);
        assert!(told[4].text().as_str().contains(r#""state":"forgotten""#));
        world.set(2, &[(Side::Bid, 41, 2)], true);
        world.step();
        assert_eq!(names(&read(&client)), ["delta"], "it is covered");
    }
}

#[test]
fn what_happened_to_markets_that_are_named_is_told_to_who_comes_back() {
    let channels = Channels::NONE.with(Channel::Market);
    for filter in by_name(channels).drain(1..) {
        let mut world = one_book();
        world.add_token(true);
        drop(world.following(&filter));
        let position = world.hub.out.position;
        world.forget(1);
        world.add_token(true);
        world.step();
        // One that comes and goes meanwhile.
        world.forget(2);
        world.step();
        let (_client, told) = world.back(&filter, position);
        let changes: Vec<_> = told
            .iter()
            .filter_map(|one| one.text().as_str().split(r#""change":""#).nth(1))
            .map(|text| text.split('"').next().unwrap().to_owned())
            .collect();
        assert_eq!(changes, ["forgotten", "new", "forgotten"], "{filter:?}");
    }
}

#[test]
fn what_its_worker_has_not_forgotten_yet_is_told_by_the_catalogues_word() {
    for filter in &by_name(Channels::NONE.with(Channel::Book)) {
        let mut world = one_book();
        world.add_token(true);
        let here = world.following(filter);
        drop(world.following(filter));
        world.step();
        let position = world.hub.out.position;
        let info = Arc::clone(&world.model.inner.lock().tokens[1].info);
        {
            let mut inner = world.model.inner.lock();
            inner.tokens[1].is_gone = true;
            inner.interner.remove(info.key);
        }
        world.markets.changed(MarketChange::Forgotten {
            market: market(&info),
            keys: vec![info.key],
        });
        // It is back before the worker has said anything.
        world.bring_back(2);
        let (back, told) = world.back(filter, position);
        assert_eq!(names(&told[2..]), ["state", "snapshot", "ready"]);
        assert_eq!(names(&read(&here)), ["state", "snapshot"]);
        assert!(told[2].text().as_str().contains(r#""state":"forgotten""#));
        let mut gone = vec![BookChange::Gone(info.key)];
        world.model.lanes.append(lane_of(info.key), &mut gone);
        world.step();
        for client in [&here, &back] {
            assert_eq!(names(&read(client)), [""; 0], "it has been said");
        }
    }
}

#[test]
fn who_comes_back_to_what_has_gone_as_a_whole_is_told_so() {
    for filter in by_name(Channels::NONE.with(Channel::Book)) {
        let mut world = one_book();
        drop(world.following(&filter));
        let position = world.hub.out.position;
        world.set(0, &[(Side::Bid, 41, 1)], true);
        world.forget(0);
        world.step();
        let (_client, told) = world.back(&filter, position);
        assert_eq!(names(&told[1..]), ["subscribed", "delta", "state", "ready"]);
        // To whom that means nothing it is unknown.
        let client = world.open();
        let refused = world.subscribe(&client, 0, &filter, None).unwrap_err();
        assert_eq!(refused.code, "unknown_token");
    }
}

#[test]
fn what_was_named_and_not_followed_all_the_time_has_a_gap_of_its_own() {
    let mut world = one_book();
    world.add_token(true);
    let filter = book_of(&["1", "2"]);
    let (first, _other) = (world.following(&filter), world.following(&book_of(&["1"])));
    let position = world.hub.out.position;
    drop(first);
    world.step();
    world.pass(Duration::from_secs(70));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.hub.tokens.len(), 1, "nobody wanted the second one");
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.set(1, &[(Side::Bid, 41, 1)], true);
    let (_client, told) = world.back(&filter, position);
    assert!(told[1].text().as_str().contains(r#""recovered":true"#));
    assert_eq!(names(&told[2..]), ["gap", "delta", "snapshot", "ready"]);
    let gap = told[2].text().as_str();
    let about = r#""scope":"token","id":null,"token_id":"2","reason":"not_followed""#;
    assert!(gap.contains(about), "{gap}");
}

#[test]
fn where_words_of_markets_were_lost_nobody_goes_on_by_name() {
    let mut world = one_book();
    let filters = by_name(Channels::NONE.with(Channel::Book));
    drop(world.following(&filters[2]));
    let position = world.hub.out.position;
    let known = market(&world.model.inner.lock().tokens[0].info);
    for _ in 0..20_000 {
        let market = Arc::clone(&known);
        let reason = "closed";
        world
            .markets
            .changed(MarketChange::Ended { market, reason });
    }
    world.step();
    assert!(world.numbers.lost_markets.get() > 0);
    let (_client, told) = world.back(&filters[2], position);
    assert!(told[2].text().as_str().contains("not_followed"));
    let now = world.hub.out.position;
    let (_client, told) = world.back(&filters[2], now);
    assert!(told[1].text().as_str().contains(r#""recovered":true"#));
}

/// The old one goes before the new one begins, however much there is to look through.
#[test]
fn a_market_that_went_and_is_back_begins_after_its_end() {
    let filter = book_of(&["1", "2"]);
    let mut world = one_book();
    world.add_token(true);
    world.add_token(true);
    let _other = world.following(&book_of(&["3"]));
    drop(world.following(&filter));
    world.step();
    let position = world.hub.out.position;
    // More than is looked through in two rounds.
    for size in 1..=40_001 {
        world.set(2, &[(Side::Bid, 41, size)], true);
    }
    world.step();
    world.forget(0);
    world.bring_back(1);
    let (client, mut told) = world.back(&filter, position);
    world.step();
    told.extend(read(&client));
    let of_first = told.iter().filter(|one| {
        let text = one.text().as_str();
        text.contains(r#""token_id":"1""#)
    });
    let of_first: Vec<_> = of_first.map(|one| one.event().name()).collect();
    assert_eq!(of_first, ["state", "snapshot"]);
}
