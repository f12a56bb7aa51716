//! Clients of conflated streams that read nothing for long, and then do.

use super::*;
use crate::hub::behind::Merged;
use crate::message::{Cause, Delta};

/// A small buffer and a small ring, so that both are full soon.
fn tight() -> StreamConfig {
    StreamConfig {
        buffer: 64 << 10,
        own_buffer: 16 << 10,
        ring: 32 << 10,
        ..StreamConfig::default()
    }
}

fn everything(channels: &[Channel]) -> Filter {
    let channels = channels.iter().copied().collect();
    with_mode(Filter::everything(channels), Some(50), None)
}

/// The usual channels, and the tops.
const USUAL: [Channel; 5] = [
    Channel::Book,
    Channel::Trade,
    Channel::State,
    Channel::Market,
    Channel::Top,
];

impl World {
    /// Something of what happens to books, workers and markets.
    fn happen(&mut self, random: &mut fastrand::Rng) {
        let tokens = self.model.inner.lock().tokens.len();
        let at = random.usize(..tokens);
        if self.model.inner.lock().tokens[at].is_gone {
            return;
        }
        match random.u8(..40) {
            0..=19 => {
                let levels = [
                    (Side::Bid, random.u8(30..46), random.u32(..5)),
                    (Side::Ask, random.u8(55..70), random.u32(..5)),
                ];
                self.set(at, &levels, true);
            }
            20..=31 => self.trade(at),
            32..=33 => {
                let state = if random.bool() {
                    BookState::Live
                } else {
                    BookState::Stale(StaleReason::Hash)
                };
                self.set_state(at, state, Some(random.bool()));
            }
            34 => self.begin_epoch(at, StaleReason::Disconnected),
            35 if tokens < 30 => drop(self.add_token(random.bool())),
            36 if at > 4 && random.u8(..3) == 0 => self.forget(at),
            37 => {
                let lane = lane_of(self.model.inner.lock().tokens[at].info.key);
                self.kill(lane);
                self.step();
                self.revive(lane);
            }
            _ => self.pass(Duration::from_millis(random.u64(1..2_000))),
        }
        self.step();
    }

    /// What waits for a client is within its bounds.
    fn is_bounded(&self, client: &Client) {
        let config = &self.hub.out.config;
        let at = self.hub.out.by_id[&client.id()];
        let state = self.hub.out.clients.get(at).unwrap();
        let queued = client.outbox().queued_bytes();
        assert!(queued < config.buffer, "{queued} bytes in the queue");
        assert!(state.backlog.trade_bytes() <= config.buffer / 4);
        assert!(state.merged.levels() < 30 * 256);
        assert!(state.due.len() < 2_000);
    }
}

#[test]
fn a_conflated_client_that_reads_nothing_for_long_is_never_cut_and_ends_with_what_is_true() {
    let (mut left_out, mut given, mut ends) = (0, 0, 0);
    for seed in 0..40 {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(tight());
        for _ in 0..8 {
            world.add_token(true);
        }
        let channels = match seed % 4 {
            0 => &USUAL[..1],
            1 => &USUAL[..4],
            2 => &USUAL[1..3],
            _ => &USUAL,
        };
        let filter = everything(channels);
        let client = world.open();
        world.subscribe(&client, 0, &filter, None).unwrap();
        let mut follower = Follower::new(client, filter.clone());
        if random.bool() {
            // What waits unread is its opening, or not.
            world.step();
            follower.read(usize::MAX, &world.model);
        }
        for phase in 0..3 {
            for _ in 0..1_500 {
                world.happen(&mut random);
            }
            world.is_bounded(follower.client.as_ref().unwrap());
            if phase < 2 {
                // It reads some, and stops again.
                for _ in 0..random.u8(..4) {
                    follower.read(random.usize(1..20_000), &world.model);
                    world.step();
                }
            }
        }
        let mut followers = [follower];
        world.settle(&mut followers);
        world.pass(Duration::from_millis(200));
        world.settle(&mut followers);
        let [follower] = followers;
        assert!(follower.client.is_some(), "it was closed");
        assert!(!follower.gaps.contains(&GapReason::Slow), "never for this");
        assert_eq!(world.numbers.overflows.get(), 0);
        assert_eq!(world.numbers.closed_slow.get(), 0);
        follower.check_all(&world.model);
        let has = |channel| filter.channels.has(channel);
        let inner = world.model.inner.lock();
        for (id, followed) in &follower.books {
            let truth = inner.tokens.iter().rev().find(|truth| truth.id() == *id);
            let truth = truth.unwrap();
            let state = Some(truth.status.state).filter(|_| !truth.is_gone);
            if has(Channel::Book) || has(Channel::State) {
                assert_eq!(followed.state, state, "{id}: the last one is never skipped");
                assert_eq!(followed.is_forgotten, truth.is_gone, "{id}");
            }
            ends += u32::from(followed.is_forgotten);
            let trades = inner.trades.get(&truth.info.key).copied();
            if has(Channel::Trade)
                && let Some(last) = followed.trades
            {
                assert_eq!(last + followed.left_out, trades.unwrap(), "{id}");
            }
        }
        assert_eq!(world.numbers.left_out.get(), follower.left_out);
        left_out += follower.left_out;
        given += follower.trades;
    }
    assert!(left_out > 5_000 && given > 500, "{left_out} {given}");
    assert!(ends > 20, "{ends}");
}

#[test]
fn of_the_trades_that_wait_the_oldest_are_left_out_and_that_is_said_with_their_number() {
    let mut world = World::new(StreamConfig {
        heartbeat: Duration::from_hours(1),
        ring: 1 << 20,
        ..tight()
    });
    world.add_token(true);
    world.add_token(true);
    let client = world.following(&everything(&[Channel::Trade, Channel::State]));
    for trade in 0..200 {
        world.trade(trade % 2);
        world.step();
    }
    world.set_state(0, BookState::Stale(StaleReason::Hash), None);
    world.set_state(0, BookState::Live, Some(true));
    world.step();
    let mut told = read(&client);
    assert!(names(&told).iter().all(|name| *name == "trade"));
    let queued = u64::try_from(told.len()).unwrap();
    assert!(queued > 10);
    world.step();
    told.extend(read(&client));
    let gaps = told.iter().filter(|one| one.event().name() == "gap");
    let gaps: Vec<_> = gaps.map(|one| one.text().as_str()).collect();
    assert_eq!(gaps.len(), 2, "one of each token");
    assert_eq!(world.numbers.gaps_client.get(), 2, "each is counted");
    let missing = (200 - queued) - {
        let trades = told.iter().filter(|one| one.event().name() == "trade");
        u64::try_from(trades.count()).unwrap() - queued
    };
    let (first, second) = (missing.div_ceil(2), missing / 2);
    for gap in gaps {
        assert!(gap.contains(r#""scope":"token""#), "{gap}");
        let why = r#""reason":"trades_left_out","owner":"client","epoch":null"#;
        assert!(gap.contains(why), "{gap}");
        assert!(gap.contains(r#""next":"none""#), "{gap}");
        let is_either = [first, second].map(|count| format!(r#""missing":{count},"#));
        assert!(is_either.iter().any(|count| gap.contains(count)), "{gap}");
    }
    // Of two states the last.
    let states = told.iter().filter(|one| one.event().name() == "state");
    let states: Vec<_> = states.map(|one| one.text().as_str()).collect();
    assert_eq!(states.len(), 1);
    assert!(states[0].contains(r#""state":"live""#), "{}", states[0]);
    assert_eq!(world.numbers.left_out.get(), missing);
    // It is not behind any more.
    world.trade(0);
    world.step();
    assert_eq!(names(&read(&client)), ["trade"]);
}

#[test]
fn trades_wait_no_longer_than_others_could_come_back_for_them() {
    let mut world = World::new(StreamConfig {
        heartbeat: Duration::from_hours(1),
        ..StreamConfig::default()
    });
    world.add_token(true);
    let client = world.following(&everything(&[Channel::Trade]));
    world.trade(0);
    world.step();
    world.pass(Duration::from_secs(61));
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["gap"]);
    assert!(told[0].text().as_str().contains(r#""missing":1,"#));
}

#[test]
fn what_is_unread_for_long_is_merged_and_ready_comes_after_the_openings_all_the_same() {
    let mut world = World::new(StreamConfig {
        heartbeat: Duration::from_hours(1),
        ..StreamConfig::default()
    });
    world.add_token(true);
    let client = world.open();
    let filter = everything(&[Channel::Book, Channel::Top]);
    world.subscribe(&client, 7, &filter, None).unwrap();
    world.step();
    for size in 1..=5 {
        world.set(0, &[(Side::Bid, 41, size)], true);
        world.pass(Duration::from_millis(60));
    }
    // Nothing of a conflated stream is in the ring: what goes out of it is another's.
    let _other = world.following(&book_of(&["1"]));
    world.set(0, &[(Side::Bid, 42, 1)], true);
    world.step();
    world.pass(Duration::from_secs(61));
    world.step();
    world.step();
    let told = read(&client);
    assert_eq!(
        names(&told),
        ["hello", "subscribed", "snapshot", "top", "ready"],
        "the latest once"
    );
    assert!(told[2].text().as_str().contains(r#"["0.42","1"]"#));
    world.set(0, &[(Side::Bid, 42, 0)], true);
    world.pass(Duration::from_millis(60));
    assert_eq!(names(&read(&client)), ["delta", "top"], "it goes on");
}

#[test]
fn what_a_subscription_brought_does_not_come_after_its_end() {
    let mut world = World::new(StreamConfig {
        heartbeat: Duration::from_hours(1),
        ..tight()
    });
    world.add_token(true);
    world.add_token(true);
    let client = world.open();
    let channels = Channels::NONE.with(Channel::Trade).with(Channel::Market);
    for (id, token) in [(1, "1"), (2, "2")] {
        let filter = with_mode(Filter::tokens([token], channels), Some(50), None);
        world.subscribe(&client, id, &filter, None).unwrap();
    }
    world.step();
    for _ in 0..100 {
        world.trade(0);
        world.trade(1);
        world.step();
    }
    for at in 0..2 {
        let info = Arc::clone(&world.model.inner.lock().tokens[at].info);
        world.markets.changed(MarketChange::Ended {
            market: market(&info),
            reason: "closed",
            keys: vec![info.key],
        });
    }
    world.step();
    world.unsubscribe(&client, 1).unwrap();
    let mut told = read(&client);
    let ended = told
        .iter()
        .position(|one| one.event().name() == "unsubscribed");
    assert!(ended.is_some());
    world.step();
    told.extend(read(&client));
    let after = &told[ended.unwrap() + 1..];
    assert!(names(after).contains(&"trade") && names(after).contains(&"market"));
    for one in after {
        let text = one.text().as_str();
        let of_first = text.contains(r#""token_id":"1""#) || text.contains(r#""slug":"market-1""#);
        assert!(!of_first, "{text}");
    }
}

#[test]
fn a_client_that_is_slow_for_good_gets_books_and_trades() {
    let mut world = World::new(StreamConfig {
        ring: 1 << 20,
        ..tight()
    });
    for _ in 0..20 {
        world.add_token(true);
    }
    let filter = everything(&[Channel::Book, Channel::Trade]);
    let client = world.following(&filter);
    let (mut books, mut trades) = (HashSet::new(), 0);
    for round in 1..400 {
        for at in 0..20 {
            world.set(at, &[(Side::Bid, 41, round)], true);
            world.trade(at);
        }
        world.pass(Duration::from_millis(60));
        // A tenth of what there is.
        if let Some(Batch::Messages(items)) = client.outbox().try_next(1_500) {
            for item in items {
                match item.message.event() {
                    Event::Delta(_) if round > 200 => {
                        _ = books.insert(item.message.event().token())
                    }
                    Event::Trade(_) if round > 200 => trades += 1,
                    _ => {}
                }
            }
        }
    }
    let left_out = world.numbers.left_out.get();
    assert!(
        books.len() == 20 && trades > 50,
        "{} books, {trades} trades, {left_out} left out",
        books.len()
    );
}

/// A delta of a token that sets these levels.
fn delta(token: &Arc<TokenInfo>, ticks: std::ops::Range<u32>) -> Event {
    let change = |tick| LevelChange {
        side: Side::Bid,
        price: Price::from_millionths(1_000 + tick).unwrap(),
        size: Size::ZERO,
    };
    Event::Delta(Box::new(Delta {
        token: Arc::clone(token),
        epoch: 1,
        previous: 1,
        sequence: 2,
        at: Timestamp::from_millis(1),
        received_us: 1,
        changes: ticks.map(change).collect(),
        best_bid: None,
        best_ask: None,
        conflated: None,
        depth: None,
    }))
}

/// Levels that wait are counted once, and are bounded for a token and for a client.
#[test]
fn levels_that_wait_are_merged_up_to_a_bound() {
    let mut world = one_book();
    let _client = world.following(&book_of(&["1"]));
    let token = Arc::clone(&world.hub.tokens.get(0).unwrap().info);
    let delta = |ticks| delta(&token, ticks);
    let mut merged = Merged::default();
    assert!(merged.note(0, &delta(0..256)));
    assert!(merged.note(0, &delta(0..256)), "the same ones");
    assert_eq!(merged.levels(), 256);
    assert!(!merged.note(0, &delta(256..257)), "more of one token");
    assert_eq!(merged.remove(0).unwrap().levels.len(), 257);
    assert_eq!(merged.levels(), 0);
    let all = 65_536 / 256;
    assert!((0..all).all(|token| merged.note(token, &delta(0..256))));
    assert!(!merged.note(all, &delta(0..1)), "more of one client");
}

#[test]
fn an_opening_that_is_owed_stands_for_what_was_merged() {
    let mut world = one_book();
    let _client = world.following(&with_mode(book_of(&["1"]), Some(100), None));
    let token = Arc::clone(&world.hub.tokens.get(0).unwrap().info);
    let (at, _) = world.hub.out.clients.iter().next().unwrap();
    let state = world.hub.out.clients.get_mut(at).unwrap();
    assert!(state.merged.note(0, &delta(&token, 0..1)));
    state.owe(0, Cause::Gap);
    assert!(state.merged.is_empty());
}
