//! How subscriptions begin, what they cover, and how they end.

use super::*;
use crate::message::MarketHappening;

#[test]
fn a_subscription_opens_with_each_book_and_goes_on_with_whole_states() {
    let mut world = one_book();
    world.add_token(false);
    let client = world.open();
    let mut filter = book_of(&["1", "2", "3"]);
    filter.channels = filter.channels.with(Channel::Top).with(Channel::State);
    world.subscribe(&client, 5, &filter, None).unwrap();
    world.step();
    let opening = read(&client);
    assert_eq!(
        names(&opening),
        [
            "hello",
            "subscribed",
            "snapshot",
            "top",
            "state",
            "state",
            "ready"
        ]
    );
    let subscribed = opening[1].text().as_str();
    assert!(
        subscribed.contains(r#""tokens":2,"unknown":["3"]"#),
        "{subscribed}"
    );

    // Two levels of one state, of which the second ends it.
    world.set(0, &[(Side::Bid, 42, 5), (Side::Ask, 60, 0)], true);
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["delta", "top"]);
    assert_eq!(deltas(&told), ["1>3 b0.42=5 a0.6=0"]);

    // The worker does not know whether more of the state comes: it does not wait.
    world.set(0, &[(Side::Bid, 42, 6)], false);
    world.step();
    assert_eq!(deltas(&read(&client)), ["3>4 b0.42=6"]);
    // The state before was not ended, and the next one is of another time.
    world.write(0, |_, _| Vec::new());
    world.set(0, &[(Side::Bid, 42, 7)], false);
    world.set(0, &[(Side::Bid, 42, 8)], true);
    world.step();
    assert_eq!(deltas(&read(&client)), ["4>5 b0.42=7", "5>6 b0.42=8"]);
}

#[test]
fn subscriptions_come_and_go_and_agree() {
    let mut world = one_book();
    world.add_token(true);
    let client = world.open();
    world.subscribe(&client, 1, &book_of(&["1"]), None).unwrap();
    let code = |result: Result<(), SubscribeError>| result.unwrap_err().code;
    assert_eq!(
        code(world.subscribe(&client, 1, &book_of(&["2"]), None)),
        "id_in_use"
    );
    assert_eq!(
        code(world.subscribe(&client, 2, &book_of(&["9"]), None)),
        "unknown_token"
    );
    for names in [&["1000"][..], &["9", "1000", "8"]] {
        let refused = world.subscribe(&client, 2, &book_of(names), None);
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, "not_followed");
        let part = "\"1000\"";
        assert!(refused.message.contains(part), "{refused}");
        let part = "(min_volume): /v1/markets/0x3e8?explain=selection says why";
        assert!(refused.message.contains(part), "{refused}");
    }
    assert_eq!(code(world.unsubscribe(&client, 9)), "unknown_id");
    let deep = with_mode(book_of(&["1", "2"]), None, Some(5));
    let refused = world.subscribe(&client, 2, &deep, None).unwrap_err();
    assert_eq!(refused.code, "conflict");
    assert!(
        refused.message.starts_with("token 1 is covered"),
        "{refused}"
    );
    // What was refused has left nothing.
    world
        .subscribe(&client, 2, &book_of(&["1", "2"]), None)
        .unwrap();
    world.step();
    read(&client);
    world.unsubscribe(&client, 1).unwrap();
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    assert_eq!(
        names(&read(&client)),
        ["unsubscribed", "delta"],
        "once, and still covered"
    );
    world.unsubscribe(&client, 2).unwrap();
    world.set(0, &[(Side::Bid, 41, 2)], true);
    world.step();
    assert_eq!(names(&read(&client)), ["unsubscribed"]);
    let most = world.hub.out.config.max_subscriptions;
    for id in 0..most {
        let id = u64::try_from(id).unwrap();
        world
            .subscribe(&client, id, &book_of(&["1"]), None)
            .unwrap();
    }
    let one_more = world.subscribe(&client, 99, &book_of(&["1"]), None);
    assert_eq!(code(one_more), "too_many_subscriptions");
}

#[test]
fn a_subscription_to_everything_takes_in_new_markets_and_hears_of_forgotten_ones() {
    let mut world = one_book();
    let client = world.open();
    let channels = Channels::default();
    world
        .subscribe(&client, 0, &Filter::everything(channels), None)
        .unwrap();
    world.step();
    read(&client);
    world.add_token(true);
    world.step();
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["market", "snapshot", "state"]);
    assert!(told[0].text().as_str().contains(r#""change":"new""#));
    world.forget(1);
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["state", "market"]);
    assert!(told[0].text().as_str().contains(r#""state":"forgotten""#));
    assert!(told[1].text().as_str().contains(r#""change":"forgotten""#));
    world.pass(Duration::from_secs(70));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.hub.tokens.len(), 1, "nothing of it is left");
}

#[test]
fn heartbeats_come_and_a_place_only_while_nothing_is_owed() {
    let mut world = one_book();
    let client = world.open();
    world.model.inner.lock().is_busy = true;
    world.subscribe(&client, 0, &book_of(&["1"]), None).unwrap();
    world.pass(Duration::from_secs(6));
    let told = read(&client);
    assert_eq!(names(&told).last(), Some(&"heartbeat"));
    let last = told.last().unwrap().text().as_str();
    assert!(
        last.contains(r#""cursor":null"#),
        "the snapshot is owed: {last}"
    );
    world.model.inner.lock().is_busy = false;
    world.step();
    world.step();
    assert_eq!(names(&read(&client)), ["snapshot", "ready"]);
    client.ask_heartbeat();
    world.step();
    let told = read(&client);
    let position = world.hub.out.position;
    let expected = format!(r#""cursor":"0000000000000007-{position}""#);
    assert!(told[0].text().as_str().contains(&expected));
}

#[test]
fn a_market_whose_announcement_is_lost_is_covered_all_the_same() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.open();
    let filter = Filter::everything(Channels::NONE.with(Channel::Book));
    world.subscribe(&client, 0, &filter, None).unwrap();
    world.step();
    read(&client);
    let known = world.model.market(key).unwrap();
    for _ in 0..20_000 {
        let market = Arc::clone(&known);
        let (reason, keys) = ("closed", vec![key]);
        world.markets.changed(MarketChange::Ended {
            market,
            reason,
            keys,
        });
    }
    world.add_token(true);
    world.step();
    world.step();
    assert!(world.numbers.lost_markets.get() > 0);
    let told = read(&client);
    assert_eq!(names(&told), ["snapshot"]);
    assert_eq!(
        told[0].event().token(),
        world.model.resolve(&Selector::Token("2".into())).pop()
    );
}

/// Who waits for messages is woken by the round that brings them, and by no later one.
#[tokio::test]
async fn a_round_wakes_those_who_wait_for_what_it_brings() {
    let mut world = one_book();
    let filter = book_of(&["1"]);
    let clients = [world.following(&filter), world.following(&filter)];
    let waiting = clients.each_ref().map(|client| {
        let outbox = Arc::clone(client.outbox());
        tokio::spawn(async move { outbox.next(usize::MAX).await })
    });
    tokio::task::yield_now().await;
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    tokio::task::yield_now().await;
    for waiting in &waiting {
        assert!(waiting.is_finished());
    }
    clients[0].ask_heartbeat();
    let outbox = Arc::clone(clients[0].outbox());
    let waiting = tokio::spawn(async move { outbox.next(usize::MAX).await });
    tokio::task::yield_now().await;
    world.step();
    tokio::task::yield_now().await;
    assert!(waiting.is_finished(), "what is its own wakes it, too");
}

/// As the contract says: changes come without, so that it would be another book's.
#[test]
fn a_snapshot_has_the_hash_of_a_book_that_was_taken_whole_and_of_no_other() {
    let mut world = one_book();
    let snapshot = |world: &mut World| {
        let client = world.open();
        world.subscribe(&client, 0, &book_of(&["1"]), None).unwrap();
        world.step();
        read(&client)[2].text().as_str().to_owned()
    };
    let hash = format!(r#""hash":"{}""#, "7".repeat(40));
    let _first = world.following(&book_of(&["1"]));
    assert!(snapshot(&mut world).contains(&hash));
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    assert!(snapshot(&mut world).contains(r#""hash":null"#));
    world.begin_epoch(0, StaleReason::Disconnected);
    world.step();
    assert!(snapshot(&mut world).contains(&hash));
}

/// More tokens than are taken in at once: everybody else goes on meanwhile.
#[test]
fn a_client_of_everything_takes_in_some_tokens_in_each_round() {
    let mut world = World::new(StreamConfig {
        joined_at_once: 10,
        ..StreamConfig::default()
    });
    let count = 35;
    for _ in 0..count {
        world.add_token(true);
    }
    let other = world.following(&book_of(&["1"]));
    let client = world.open();
    let everything = Filter::everything(Channels::NONE.with(Channel::Book));
    world.subscribe(&client, 3, &everything, None).unwrap();
    let mut told = read(&client);
    assert_eq!(names(&told), ["hello", "subscribed", "snapshot"]);
    let accepted = told[1].text().as_str();
    assert!(accepted.contains(r#""tokens":35,"#), "{accepted}");
    assert!(accepted.contains(r#""cursor":null"#), "{accepted}");

    // A token that it has not come to is its own already.
    let filter = with_mode(book_of(&["35"]), Some(100), None);
    let refused = world.subscribe(&client, 4, &filter, None).unwrap_err();
    assert_eq!(refused.code, "conflict");
    assert!(refused.to_string().contains("token 35 "), "{refused}");

    let (mut rounds, mut tokens) = (0, world.hub.tokens.len());
    while names(&told).last() != Some(&"ready") {
        world.set(0, &[(Side::Bid, 41, rounds + 1)], true);
        world.step();
        rounds += 1;
        assert_eq!(names(&read(&other)), ["delta"], "nobody else waits");
        assert!(world.hub.tokens.len() <= tokens + 10);
        tokens = world.hub.tokens.len();
        let waiting = read(&client);
        let is_ready = names(&waiting).contains(&"ready");
        let at = world.hub.out.by_id[&client.id()];
        assert_eq!(world.hub.out.place(at).is_some(), is_ready);
        told.extend(waiting);
    }
    assert_eq!(tokens, count);
    let snapshots = told.iter().filter(|one| one.event().name() == "snapshot");
    let opened: Vec<_> = snapshots.filter_map(|one| one.event().token()).collect();
    let different: HashSet<_> = opened.iter().collect();
    assert_eq!((opened.len(), different.len()), (count, count));
    let ready = told.last().unwrap().text().as_str();
    assert!(!ready.contains(r#""cursor":null"#), "{ready}");
}

#[test]
fn a_subscription_that_ends_on_the_way_leaves_nothing_behind() {
    for is_closed in [false, true] {
        let mut world = World::new(StreamConfig {
            joined_at_once: 2,
            ..StreamConfig::default()
        });
        for _ in 0..9 {
            world.add_token(true);
        }
        let client = world.open();
        let everything = Filter::everything(Channels::NONE.with(Channel::Book));
        world.subscribe(&client, 3, &everything, None).unwrap();
        if is_closed {
            drop(client);
            world.step();
        } else {
            world.unsubscribe(&client, 3).unwrap();
            let told = read(&client);
            assert_eq!(names(&told).last(), Some(&"unsubscribed"));
            let last = told.last().unwrap().text().as_str();
            assert!(!last.contains(r#""cursor":null"#), "{last}");
        }
        let tokens = world.hub.tokens.len();
        assert!((2..9).contains(&tokens));
        for _ in 0..5 {
            world.step();
        }
        assert_eq!(world.hub.tokens.len(), tokens, "it takes in no more");
        let mut all = world.hub.tokens.iter();
        assert!(all.all(|(_, token)| token.watchers.is_empty()));
    }
}

#[test]
fn another_subscription_to_a_token_brings_its_channels_and_takes_them_with_it() {
    let mut world = one_book();
    let trades = Filter::tokens(["1"], Channels::NONE.with(Channel::Trade));
    let client = world.following(&trades);
    world.subscribe(&client, 1, &book_of(&["1"]), None).unwrap();
    world.step();
    read(&client);
    let mut told = |size| {
        world.set(0, &[(Side::Bid, 41, size)], true);
        world.trade(0);
        world.step();
        let told = names(&read(&client)).join(" ");
        if size == 1 {
            world.unsubscribe(&client, 1).unwrap();
            read(&client);
        }
        told
    };
    assert_eq!(told(1), "delta trade");
    assert_eq!(told(2), "trade");
}

/// By the time the hub reads of it the catalogue knows a released market no longer.
#[test]
fn a_market_that_is_released_is_told_to_have_ended_and_why() {
    let mut world = one_book();
    let everything = Filter::everything(Channels::NONE.with(Channel::Market));
    let client = world.following(&everything);
    let info = Arc::clone(&world.model.inner.lock().tokens[0].info);
    world.markets.changed(MarketChange::Ended {
        market: market(&info),
        reason: "released",
        keys: vec![info.key],
    });
    world.forget(0);
    world.step();
    let told = read(&client);
    let changes = told.iter().filter_map(|one| match one.event() {
        Event::Market(market) => Some((market.change, market.reason)),
        _ => None,
    });
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [
            (MarketHappening::Ended, Some("released")),
            (MarketHappening::Forgotten, None)
        ]
    );
}
