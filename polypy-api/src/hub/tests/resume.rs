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

#[test]
fn what_was_merged_cannot_be_resumed() {
    let mut world = one_book();
    let filter = with_mode(book_of(&["1"]), Some(100), None);
    let _first = world.following(&filter);
    let (_client, told) = world.back(&filter, world.hub.out.position);
    assert!(told[1].text().as_str().contains(r#""recovered":false"#));
    assert_eq!(names(&told[2..]), ["gap", "snapshot", "ready"]);
    assert!(told[2].text().as_str().contains("not_followed"));
}

/// Who named it by its market could not have had it: it was not announced, though others
/// followed it.
#[test]
fn a_token_that_was_announced_since_does_not_go_on() {
    let mut world = one_book();
    let info = world.add_unannounced(true);
    let _other = world.following(&book_of(&["1", "2"]));
    let position = world.hub.out.position;
    world.markets.changed(MarketChange::New(market(&info)));
    world.step();
    let mut named = Filter::tokens([], Channels::NONE.with(Channel::Book));
    named.selectors = ["0x1", "0x2"]
        .map(|id| Selector::Market(id.into()))
        .to_vec();
    let (_client, told) = world.back(&named, position);
    assert!(told[1].text().as_str().contains(r#""recovered":true"#));
    assert_eq!(names(&told[2..]), ["gap", "snapshot", "ready"]);
    assert!(told[2].text().as_str().contains(r#""token_id":"2""#));
}

#[test]
fn tops_that_nobody_wanted_before_do_not_go_on() {
    let mut world = one_book();
    let _first = world.following(&book_of(&["1"]));
    let position = world.hub.out.position;
    let tops = Filter::tokens(["1"], Channels::NONE.with(Channel::Top));
    world.set(0, &[(Side::Bid, 41, 1)], true);
    let _second = world.following(&tops);
    let (_client, told) = world.back(&tops, position);
    assert!(told[1].text().as_str().contains(r#""recovered":false"#));
    assert_eq!(names(&told[2..]), ["gap", "top", "ready"]);
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
        ["delta", "snapshot", "snapshot", "ready"],
        "the first goes on, the others begin, and nothing of them is missing"
    );
}

/// What is new to who comes back to everything begins without an alarm, whether others
/// have followed it or not; what was there and was not followed has one.
#[test]
fn who_comes_back_to_everything_is_told_of_a_gap_by_what_was_there_alone() {
    let channels = Channels::NONE.with(Channel::Book).with(Channel::Trade);
    let everything = Filter::everything(channels);
    for is_announced in [true, false] {
        let mut world = one_book();
        world.add_token(true);
        drop(world.following(&everything));
        world.step();
        let position = world.hub.out.position;
        let _others = [
            world.following(&book_of(&["1"])),
            if is_announced {
                world.add_token(true);
                world.step();
                world.following(&everything)
            } else {
                world.add_unannounced(true);
                world.following(&Filter::tokens(["3"], channels))
            },
        ];
        world.trade(2);
        world.set(2, &[(Side::Bid, 41, 1)], true);
        let (_client, told) = world.back(&everything, position);
        assert!(told[1].text().as_str().contains(r#""recovered":true"#));
        let rest = ["trade", "snapshot", "ready"];
        assert_eq!(names(&told[2..]), rest, "{is_announced}");
    }

    // The second one was there, was let go of, and is followed again.
    for is_followed_again in [true, false] {
        let mut world = one_book();
        world.add_token(true);
        drop(world.following(&everything));
        world.step();
        let position = world.hub.out.position;
        let _first = world.following(&book_of(&["1"]));
        world.pass(Duration::from_secs(70));
        world.pass(Duration::from_secs(2));
        assert_eq!(world.hub.tokens.len(), 1);
        world.trade(1);
        let _second = is_followed_again.then(|| world.following(&book_of(&["2"])));
        let (_client, told) = world.back(&everything, position);
        assert!(told[1].text().as_str().contains(r#""recovered":true"#));
        assert_eq!(names(&told[2..]), ["gap", "snapshot", "ready"]);
        let gap = told[2].text().as_str();
        let about = r#""scope":"token","id":null,"token_id":"2","reason":"not_followed""#;
        assert!(gap.contains(about), "{gap}");
    }
}

/// A place that was given before the books had come vouches for nothing of their tokens:
/// a trade before a token's turn to be followed is not published, and trades need no book.
#[test]
fn a_place_from_before_the_first_book_is_no_place_from_before_the_token() {
    // So many that not all are followed at once.
    let count = 48;
    let mut world = world();
    for _ in 0..count {
        world.add_token(true);
    }
    let trades = Filter::everything(Channels::NONE.with(Channel::Trade));
    let client = world.open();
    world.subscribe(&client, 0, &trades, None).unwrap();
    let told = read(&client);
    let Event::Ready(place) = told.last().unwrap().event() else {
        panic!("{:?}", names(&told));
    };
    let position = place.cursor.unwrap().position;
    let not_followed: Vec<_> = {
        let inner = world.model.inner.lock();
        let is_followed = |at: &usize| inner.followed.contains(&inner.tokens[*at].info.key);
        (0..count).filter(|at| !is_followed(at)).collect()
    };
    assert!(!not_followed.is_empty());
    not_followed.iter().for_each(|at| world.trade(*at));
    for _ in 0..4 {
        world.step();
    }
    assert_eq!(world.model.inner.lock().followed.len(), count);
    assert_eq!(names(&read(&client)), [""; 0], "nobody was told of them");

    let (_client, told) = world.back(&trades, position);
    let texts: Vec<_> = told.iter().map(|one| one.text().as_str()).collect();
    assert!(texts[1].contains(r#""recovered":false"#), "{texts:?}");
    assert!(texts[2].contains("not_followed"), "{texts:?}");
}

/// What a client missed does not fit into its queue: it is told so, and begins again with
/// nothing of what it missed behind that.
#[test]
fn who_cannot_be_given_all_that_was_missed_is_told_so_and_begins_again() {
    let filter = book_of(&["1"]);
    let levels: Vec<_> = (1..=55).map(|tick| (Side::Bid, tick, 1_000_000)).collect();
    let one = |size| vec![(Side::Bid, 41, size)];
    // Four changes, of which the third one is large; what each of them takes.
    let happen = |buffer: usize| {
        let mut world = World::new(StreamConfig {
            buffer,
            heartbeat: Duration::from_hours(1),
            ..StreamConfig::default()
        });
        world.add_token(true);
        let first = world.following(&filter);
        let position = world.hub.out.position;
        let mut bytes = Vec::new();
        for set in [&one(3), &one(4), &levels, &one(5)] {
            world.set(0, set, true);
            world.step();
            let told = read(&first);
            let delta = told.iter().find(|one| one.event().name() == "delta");
            bytes.push(delta.unwrap().bytes());
        }
        assert_eq!(world.numbers.overflows.get(), 0, "one by one they fit");
        (world, first, position, bytes)
    };
    let (.., bytes) = happen(1 << 20);
    let (small, large) = (bytes[0] + bytes[1], bytes[2]);
    // As many as are given at once, and the large one that no longer fits.
    let buffer = small + large - 1;
    assert!(small < buffer / 4, "{bytes:?}");
    let (mut world, _first, position, _) = happen(buffer);

    let (client, told) = world.back(&filter, position);
    assert_eq!(world.numbers.overflows.get(), 1);
    assert!(told[1].text().as_str().contains(r#""recovered":true"#));
    assert_eq!(names(&told[2..]), ["gap"]);
    let gap = told[2].text().as_str();
    assert!(gap.contains(r#""reason":"slow","owner":"client""#), "{gap}");
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["snapshot", "ready"]);
    assert!(told[0].text().as_str().contains(r#"["0.41","5"]"#));
    world.set(0, &one(6), true);
    world.step();
    assert_eq!(names(&read(&client)), ["delta"], "it goes on");
}

/// A client hears of a trade of a token that came, goes away before it has a place behind
/// that, and comes back: it lacks none of the trades since.
#[test]
fn of_a_token_that_came_since_no_trade_is_missing_to_who_had_heard_of_it() {
    let channels = Channels::NONE.with(Channel::Book).with(Channel::Trade);
    let everything = Filter::everything(channels);
    let mut world = one_book();
    let client = world.following(&everything);
    let position = world.hub.out.position;
    world.add_token(true);
    world.step();
    world.trade(1);
    world.step();
    let heard = read(&client);
    assert!(names(&heard).contains(&"trade"));
    drop(client);
    world.step();
    world.trade(1);
    world.trade(1);
    world.step();
    let (_client, told) = world.back(&everything, position);
    let trades = told.iter().filter_map(|one| match one.event() {
        Event::Trade(trade) => Some(trade.sequence),
        _ => None,
    });
    assert_eq!(trades.collect::<Vec<_>>(), [1, 2, 3]);
    let rest: Vec<_> = names(&told[2..])
        .into_iter()
        .filter(|name| *name != "trade")
        .collect();
    assert_eq!(rest, ["snapshot", "ready"]);
}

/// What was covered before it was announced is no new one to who covered everything.
#[test]
fn what_is_announced_late_goes_on() {
    let channels = Channels::NONE.with(Channel::Book).with(Channel::Trade);
    let everything = Filter::everything(channels);
    let mut world = one_book();
    let info = world.add_unannounced(true);
    let client = world.following(&everything);
    drop(client);
    world.step();
    let position = world.hub.out.position;
    world.markets.changed(MarketChange::New(market(&info)));
    world.trade(1);
    world.step();
    let (_client, told) = world.back(&everything, position);
    assert_eq!(names(&told[2..]), ["trade", "ready"]);
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
        world.markets.changed(MarketChange::Ended {
            market,
            reason: "closed",
            keys: Vec::new(),
        });
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
