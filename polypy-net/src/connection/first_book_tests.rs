use polypy_core::{DecimalText, Interner, PriceChange, Side, Timestamp, Top};
use proptest::prelude::*;

use super::super::join::KEPT;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn infos(count: usize) -> Vec<Arc<AssetInfo>> {
    let mut interner = Interner::default();
    (0..count)
        .map(|n| {
            let asset = n.to_string().parse().unwrap();
            let condition = format!("0x{n:x}").parse().unwrap();
            interner.insert(&asset, &condition, |key| {
                AssetInfo::new(key, asset.clone(), condition.clone())
            })
        })
        .collect()
}

fn book(info: &Arc<AssetInfo>, opening: bool) -> BookEvent {
    BookEvent {
        info: Arc::clone(info),
        timestamp: Timestamp::from_millis(1),
        hash: None,
        bids: Vec::new(),
        asks: Vec::new(),
        tick_size: opening.then(|| DecimalText::new("0.01").unwrap()),
        last_trade_price: None,
        min_order_size: None,
        neg_risk: None,
        version: None,
    }
}

fn change(info: &Arc<AssetInfo>, at: u64) -> MarketEvent {
    MarketEvent::PriceChange(PriceChange {
        asset: info.key,
        timestamp: Timestamp::from_millis(at),
        side: Side::Bid,
        price: "0.5".parse().unwrap(),
        size: "1".parse().unwrap(),
        hash: None,
        best_bid: Top::Unstated,
        best_ask: Top::Unstated,
        last_in_frame: true,
    })
}

/// What is left of one event.
fn sifted(books: &mut FirstBooks, event: MarketEvent, now: Instant) -> usize {
    let mut events = vec![event];
    books.sift(&mut events, now);
    events.len()
}

fn whole(book: BookEvent) -> MarketEvent {
    MarketEvent::Book(Box::new(book))
}

#[test]
fn only_its_book_ends_a_wait() {
    let config = ConnectionConfig::default();
    let (infos, now) = (infos(2), Instant::now());
    let mut books = FirstBooks::default();
    books.named(&infos[..1], now, &config);
    assert_eq!(sifted(&mut books, change(&infos[0], 1), now), 0);
    assert_eq!(sifted(&mut books, change(&infos[1], 1), now), 1);
    assert_eq!(sifted(&mut books, whole(book(&infos[0], false)), now), 1);
    assert_eq!(books.len(), 0);
    assert_eq!(sifted(&mut books, change(&infos[0], 2), now), 1);
    // Taken off and named again: a later book may be an echo.
    books.renewed(&infos[..1], now, &config);
    assert_eq!(sifted(&mut books, whole(book(&infos[0], false)), now), 0);
    assert_eq!(sifted(&mut books, whole(book(&infos[0], true)), now), 1);
    assert_eq!(books.len(), 0);
}

#[test]
fn frames_of_a_dropped_asset_are_kept_out_for_a_while() {
    let config = ConnectionConfig::default();
    let (infos, now) = (infos(1), Instant::now());
    let mut books = FirstBooks::default();
    books.dropped(infos[0].key, now);
    assert_eq!(sifted(&mut books, whole(book(&infos[0], true)), now), 0);
    // Named again on the same socket: as after any re-subscription.
    books.named(&infos, now, &config);
    assert_eq!(sifted(&mut books, whole(book(&infos[0], false)), now), 0);
    assert_eq!(sifted(&mut books, whole(book(&infos[0], true)), now), 1);
    books.dropped(infos[0].key, now);
    books.tidy(now + 31 * SECOND);
    assert_eq!(sifted(&mut books, change(&infos[0], 1), now), 1);
}

#[test]
fn the_escalation_alternates_and_slows_down() {
    let config = ConnectionConfig::default();
    let (infos, start) = (infos(1), Instant::now());
    let mut books = FirstBooks::default();
    books.named(&infos, start, &config);
    let mut taken = Vec::new();
    let mut now = start;
    let mut last = start;
    while now < start + 1_500 * SECOND {
        let steps = books.steps(now, 100, &config);
        for (asks_rest, list) in [(false, &steps.resubscribe), (true, &steps.seed)] {
            if !list.is_empty() {
                taken.push((asks_rest, now.saturating_duration_since(last).as_secs()));
                last = now;
            }
        }
        books.renewed(&steps.resubscribe, now, &config);
        if !steps.seed.is_empty() {
            books.asked(&steps.seed);
            let seeds = books.answered(&steps.seed, Some(Vec::new()), now, &config);
            assert_eq!(seeds.missing, [infos[0].key]);
        }
        now += SECOND / 4;
    }
    let plain: Vec<_> = [8, 8, 8, 16, 32, 64, 128, 256, 300].into();
    for (step, (&(asks_rest, waited), plain)) in taken.iter().zip(plain).enumerate() {
        assert_eq!(asks_rest, step % 2 == 1, "step {step}");
        assert!(
            (plain..=plain + plain / 4 + 1).contains(&waited),
            "step {step}: {waited} s"
        );
    }
    assert!(taken.len() >= 8);
}

#[test]
fn rest_is_believed_only_where_the_feed_speaks_or_is_silent_to_no_harm() {
    let config = ConnectionConfig::default();
    let (infos, start) = (infos(3), Instant::now());
    let [spoken, silent, arrived] = [&infos[0], &infos[1], &infos[2]];
    let mut books = FirstBooks::default();
    books.named(&infos, start, &config);
    let now = start + 60 * SECOND;
    books.asked(&infos);
    // While REST is asked the feed changes one book and delivers another.
    assert_eq!(sifted(&mut books, change(spoken, 5), now), 0);
    assert_eq!(sifted(&mut books, change(spoken, 6), now), 0);
    assert_eq!(sifted(&mut books, whole(book(arrived, true)), now), 1);
    let answer = infos.iter().map(|info| book(info, true)).collect();
    let seeds = books.answered(&infos, Some(answer), now, &config);
    let assets: Vec<_> = seeds.events.iter().map(MarketEvent::asset).collect();
    assert_eq!(
        assets,
        [silent.key, spoken.key, spoken.key, spoken.key],
        "each book, then the changes kept for it; nothing for the one that arrived"
    );
    assert!(matches!(seeds.events[1], MarketEvent::Book(_)));
    assert_eq!((seeds.seeded, seeds.by_time, seeds.by_hash), (2, 1, 0));
    assert_eq!(seeds.silent, [silent.key]);
    let awaited = books.awaited(true);
    assert!(awaited.iter().all(|book| book.has_snapshot));
    assert_eq!(books.len(), 1, "the silent one goes on waiting");
    // The feed speaks of it after all: REST is asked again soon, not in minutes.
    assert_eq!(sifted(&mut books, change(silent, 9), now + SECOND), 0);
    let steps = books.steps(now + 4 * SECOND, 100, &config);
    assert_eq!(steps.seed.len(), 1);
}

#[test]
fn a_run_of_changes_with_a_hole_is_not_handed_over() {
    let config = ConnectionConfig::default();
    let (infos, now) = (infos(1), Instant::now());
    let mut books = FirstBooks::default();
    books.named(&infos, now, &config);
    books.asked(&infos);
    for at in 0..KEPT + 10 {
        let at = u64::try_from(at).unwrap();
        assert_eq!(sifted(&mut books, change(&infos[0], at), now), 0);
    }
    let answer = vec![book(&infos[0], true)];
    let seeds = books.answered(&infos, Some(answer), now, &config);
    assert!(seeds.events.is_empty());
    assert_eq!(books.len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Name(usize),
    Renew(usize),
    Drop(usize),
    Book(usize, bool),
    Change(usize),
    Ask,
    Answer(bool, Vec<bool>),
    Pass(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let asset = || 0usize..4;
    prop_oneof![
        asset().prop_map(Step::Name),
        asset().prop_map(Step::Renew),
        asset().prop_map(Step::Drop),
        (asset(), any::<bool>()).prop_map(|(asset, opening)| Step::Book(asset, opening)),
        asset().prop_map(Step::Change),
        Just(Step::Ask),
        (any::<bool>(), prop::collection::vec(any::<bool>(), 4))
            .prop_map(|(ok, known)| Step::Answer(ok, known)),
        (0u32..20).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens in whatever order: a change never gets out before a
    /// book of its asset did, since it was last named.
    #[test]
    fn no_change_without_a_book_before_it(steps in prop::collection::vec(step(), 0..120)) {
        let config = ConnectionConfig::default();
        let infos = infos(4);
        let mut books = FirstBooks::default();
        let mut now = Instant::now();
        let mut asked = Vec::new();
        // Per asset: carried, and whether a book got out since it was named.
        let mut model = [(false, false); 4];
        let at = |asset: AssetKey| infos.iter().position(|info| info.key == asset).unwrap();
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Name(asset) if !model[asset].0 => {
                    books.named(&infos[asset..=asset], now, &config);
                    model[asset] = (true, false);
                }
                Step::Renew(asset) if model[asset].0 => {
                    books.renewed(&infos[asset..=asset], now, &config);
                    model[asset].1 = false;
                }
                Step::Drop(asset) if model[asset].0 => {
                    books.dropped(infos[asset].key, now);
                    model[asset] = (false, false);
                }
                Step::Name(_) | Step::Renew(_) | Step::Drop(_) => {}
                Step::Book(asset, opening) => out.push(whole(book(&infos[asset], opening))),
                Step::Change(asset) => out.push(change(&infos[asset], 1)),
                Step::Ask if asked.is_empty() => {
                    asked = books.steps(now, 10, &config).seed;
                    books.asked(&asked);
                }
                Step::Ask => {}
                Step::Answer(ok, known) => {
                    let answer = asked.iter().filter(|info| known[at(info.key)]);
                    let answer = ok.then(|| answer.map(|info| book(info, true)).collect());
                    let seeds = books.answered(&std::mem::take(&mut asked), answer, now, &config);
                    // What comes from REST goes out as it is.
                    for event in seeds.events {
                        let asset = at(event.asset());
                        prop_assert!(model[asset].0, "a dropped asset was seeded");
                        match event {
                            MarketEvent::Book(_) => model[asset].1 = true,
                            _ => prop_assert!(model[asset].1),
                        }
                    }
                    for asset in seeds.silent {
                        model[at(asset)].1 = false;
                    }
                }
                Step::Pass(seconds) => {
                    now += SECOND * seconds;
                    // A book that waited for its feed to come up to it.
                    for event in books.joined(now).events {
                        let asset = at(event.asset());
                        prop_assert!(model[asset].0, "a dropped asset was seeded");
                        match event {
                            MarketEvent::Book(_) => model[asset].1 = true,
                            _ => prop_assert!(model[asset].1),
                        }
                    }
                    let steps = books.steps(now, 10, &config);
                    books.renewed(&steps.resubscribe, now, &config);
                    for info in &steps.resubscribe {
                        model[at(info.key)].1 = false;
                    }
                }
            }
            books.sift(&mut out, now);
            for event in out {
                let asset = at(event.asset());
                match event {
                    MarketEvent::Book(_) => model[asset].1 = true,
                    // Never named here: not ours to judge.
                    _ if !model[asset].0 => {}
                    _ => prop_assert!(model[asset].1, "a change without its book"),
                }
            }
            for info in &infos {
                if let (true, false) = model[at(info.key)] {
                    prop_assert!(books.contains(info.key), "nobody sees to its book");
                }
            }
        }
    }
}
