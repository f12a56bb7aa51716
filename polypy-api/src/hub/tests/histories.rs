//! Random histories: whatever happens, who applies what it is given has the true books.

use super::*;

fn random_filter(random: &mut fastrand::Rng, tokens: usize) -> Filter {
    let mut channels = Channels::NONE;
    for channel in [Channel::Book, Channel::Trade, Channel::State, Channel::Top] {
        if random.u8(..4) > 0 {
            channels = channels.with(channel);
        }
    }
    if channels.is_empty() {
        channels = channels.with(Channel::Book);
    }
    let mut filter = if random.bool() {
        Filter::everything(channels)
    } else {
        let ids: Vec<_> = (1..=tokens).filter(|_| random.bool()).collect();
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        if ids.is_empty() {
            Filter::everything(channels)
        } else {
            Filter::tokens(ids.iter().map(String::as_str), channels)
        }
    };
    filter.mode = match random.u8(..5) {
        0 => Mode {
            interval: Some(Duration::from_millis(100)),
            depth: None,
        },
        1 => Mode {
            interval: Some(Duration::from_millis(50)),
            depth: Some(1),
        },
        2 => Mode {
            interval: None,
            depth: Some(1),
        },
        _ => Mode::default(),
    };
    filter
}

/// Whatever happens to books, workers, lanes and clients: each client that applies what
/// it is given has the true book, at every sequence; and each loss is said.
#[test]
fn whoever_applies_what_it_is_given_has_the_true_books() {
    let histories: u64 = 400;
    let (mut deltas, mut slow, mut lost, mut resumed, mut merged) = (0, 0, 0, 0, 0);
    for seed in 0..histories {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_tight = random.bool();
        let mut config = StreamConfig {
            lane_entries: if is_tight { 40 } else { 65_536 },
            ..StreamConfig::default()
        };
        if random.bool() {
            config.buffer = 16 << 10;
            config.own_buffer = 4 << 10;
        }
        if random.u8(..3) == 0 {
            config.ring = 20 << 10;
        }
        if random.bool() {
            config.joined_at_once = random.usize(1..4);
        }
        println!("seed {seed}: {config:?}");
        let mut world = World::new(config);
        for _ in 0..4 {
            let has_book = random.u8(..4) > 0;
            world.add_token(has_book);
        }
        let mut followers: Vec<Follower> = Vec::new();
        for _ in 0..150 {
            let tokens = world.model.inner.lock().tokens.len();
            let at = random.usize(..tokens);
            let is_gone = world.model.inner.lock().tokens[at].is_gone;
            let is_down = {
                let inner = world.model.inner.lock();
                inner.is_down[usize::from(lane_of(inner.tokens[at].info.key).0)]
            };
            match random.u8(..60) {
                _ if is_gone => {}
                0..=24 if !is_down => {
                    let levels: Vec<_> = (0..random.u8(1..4))
                        .map(|_| {
                            let side = if random.bool() { Side::Bid } else { Side::Ask };
                            let tick = match side {
                                Side::Bid => random.u8(36..46),
                                Side::Ask => random.u8(55..65),
                            };
                            (side, tick, random.u32(..3))
                        })
                        .collect();
                    let ends = random.u8(..4) > 0;
                    world.set(at, &levels, ends);
                }
                25 if !is_down => {
                    // A burst that a tight lane does not hold.
                    for round in 0..60u8 {
                        world.set(at, &[(Side::Bid, 36 + round % 9, u32::from(round))], true);
                    }
                }
                26..=28 if !is_down => world.trade(at),
                29..=30 if !is_down => world.begin_epoch(at, StaleReason::Disconnected),
                31..=32 if !is_down => {
                    let state = if random.bool() {
                        BookState::Live
                    } else {
                        BookState::Stale(StaleReason::Hash)
                    };
                    world.set_state(at, state, Some(random.bool()));
                }
                33 if !is_down => {
                    let lane = lane_of(world.model.inner.lock().tokens[at].info.key);
                    world.kill(lane);
                    world.step();
                    world.revive(lane);
                }
                34 if !is_down && tokens < 8 => {
                    let has_book = random.bool();
                    world.add_token(has_book);
                }
                35 if !is_down && tokens > 3 => world.forget(at),
                36 => {
                    let busy = random.bool();
                    world.model.inner.lock().is_busy = busy;
                }
                37 => world.pass(Duration::from_secs(random.u64(1..90))),
                38..=40 => world.pass(Duration::from_millis(60)),
                41..=43 if followers.len() < 5 => {
                    let filter = random_filter(&mut random, 3);
                    let client = world.open();
                    if world.subscribe(&client, 0, &filter, None).is_ok() {
                        followers.push(Follower::new(client, filter));
                    }
                }
                44..=46 if !followers.is_empty() => {
                    // Goes away, and comes back with its cursor.
                    let number = random.usize(..followers.len());
                    let follower = &mut followers[number];
                    follower.client = None;
                    for _ in 0..random.u8(..4) {
                        world.set(at, &[(Side::Bid, 40, random.u32(1..100))], true);
                        world.trade(at);
                        world.step();
                    }
                    let client = world.open();
                    let cursor = follower.cursor;
                    if cursor.is_none() {
                        // Nothing vouches for what it had.
                        follower.books.clear();
                    }
                    let filter = follower.filter.clone();
                    if world.subscribe(&client, 0, &filter, cursor).is_ok() {
                        follower.client = Some(client);
                        follower.is_ready = false;
                    }
                }
                _ => {
                    world.step();
                    for follower in &mut followers {
                        if random.u8(..3) > 0 {
                            let most = random.usize(1..4_000);
                            follower.read(most, &world.model);
                            resumed += u32::from(std::mem::take(&mut follower.recovered));
                        }
                    }
                }
            }
        }
        world.settle(&mut followers);
        world.pass(Duration::from_millis(200));
        world.settle(&mut followers);
        for follower in &followers {
            follower.check_all(&world.model);
            deltas += follower.deltas;
            let is_slow = follower.gaps.contains(&GapReason::Slow);
            let is_conflated = follower.filter.mode.interval.is_some();
            assert!(!is_conflated || !is_slow, "{:?}", follower.filter);
            slow += u32::from(is_slow);
            lost += u32::from(follower.gaps.contains(&GapReason::Internal));
        }
        assert_eq!(world.numbers.mismatches.get(), 0, "seed {seed}");
        merged += world.hub.out.modes.len();
    }
    // The histories hold what they are there for.
    assert!(
        deltas > 5_000 && slow > 100 && lost > 100,
        "{deltas} {slow} {lost}"
    );
    assert!(resumed > 50 && merged > 100, "{resumed} {merged}");
}

/// Whatever markets come and go, announced early, late or never, while a client of all of
/// them comes and goes: it is shown each token, or told that it has not gone on.
#[test]
fn whoever_comes_back_lacks_no_token() {
    let (mut recovered, mut joined) = (0, 0);
    for seed in 0..300 {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(StreamConfig {
            joined_at_once: random.usize(1..20),
            ..StreamConfig::default()
        });
        world.add_token(true);
        let channels = Channels::NONE.with(Channel::Book).with(Channel::Trade);
        let mut all = match random.u8(..4) {
            0 => {
                let mut named = Filter::builder();
                named.events(["odd", "even"]);
                named.build(2).unwrap()
            }
            1 => {
                let mut named = Filter::builder();
                let names: Vec<_> = (1..=20).map(|n| format!("market-{n}")).collect();
                named.markets(names.iter().map(String::as_str));
                named.build(20).unwrap()
            }
            _ => Filter::everything(channels),
        };
        all.channels = channels;
        all.mode.depth = (random.u8(..4) == 0).then_some(1);
        let is_by_name = !all.selectors.contains(&Selector::Everything);
        let client = world.open();
        world.subscribe(&client, 0, &all, None).unwrap();
        let mut followers = vec![Follower::new(client, all.clone())];
        let mut unannounced = Vec::new();
        let mut others = Vec::new();
        for _ in 0..80 {
            let tokens = world.model.inner.lock().tokens.len();
            let at = random.usize(..tokens);
            let is_gone = world.model.inner.lock().tokens[at].is_gone;
            match random.u8(..40) {
                0..=3 if tokens < 20 && is_by_name => drop(world.add_token(random.bool())),
                0..=3 if tokens < 20 => unannounced.push(world.add_unannounced(random.bool())),
                4..=6 if !unannounced.is_empty() => {
                    let info = unannounced.swap_remove(random.usize(..unannounced.len()));
                    world.markets.changed(MarketChange::New(market(&info)));
                }
                7..=9 => {
                    let other = world.open();
                    let filter = if random.bool() {
                        all.clone()
                    } else {
                        book_of(&[&format!("{}", at + 1)])
                    };
                    if world.subscribe(&other, 0, &filter, None).is_ok() {
                        others.push(other);
                    }
                }
                10 => others.clear(),
                11 if !is_gone && tokens > 2 => world.forget(at),
                12..=19 if !is_gone => {
                    world.set(at, &[(Side::Bid, 41, random.u32(1..100))], true);
                    world.trade(at);
                }
                20..=23 => {
                    let follower = &mut followers[0];
                    follower.client = None;
                    if random.bool() {
                        world.step();
                    }
                    if random.u8(..3) == 0 {
                        world.add_token(true);
                    }
                    if random.u8(..3) == 0 {
                        world.step();
                    }
                    let cursor = follower.cursor;
                    if cursor.is_none() {
                        follower.books.clear();
                    }
                    let client = world.open();
                    // By name there may be nothing left.
                    let accepted = world.subscribe(&client, 0, &all, cursor);
                    follower.client = accepted.is_ok().then_some(client);
                    follower.is_ready = false;
                }
                24 => world.pass(Duration::from_secs(random.u64(1..20))),
                25 => {
                    let busy = random.bool();
                    world.model.inner.lock().is_busy = busy;
                }
                _ => {
                    world.step();
                    followers[0].read(random.usize(1..4_000), &world.model);
                    recovered += u32::from(std::mem::take(&mut followers[0].recovered));
                }
            }
        }
        for info in unannounced {
            world.markets.changed(MarketChange::New(market(&info)));
        }
        world.settle(&mut followers);
        followers[0].check_all(&world.model);
        joined += world.model.inner.lock().tokens.len();
    }
    assert!(recovered > 300 && joined > 2_000, "{recovered} {joined}");
}
