use polypy_core::{DecimalText, Interner, PriceChange, Side, Timestamp, Top};
use proptest::prelude::*;

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
    books.sift(&mut events, &Histogram::default(), now);
    events.len()
}

fn whole(book: BookEvent) -> MarketEvent {
    MarketEvent::Book(Box::new(book))
}

#[test]
fn only_its_book_ends_a_wait_and_its_changes_are_handed_over() {
    let config = ConnectionConfig::default();
    let (infos, now) = (infos(2), Instant::now());
    let mut books = FirstBooks::default();
    books.named(&infos[..1], now, &config);
    assert_eq!(sifted(&mut books, change(&infos[0], 1), now), 1);
    assert_eq!(books.len(), 1);
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
    assert_eq!(sifted(&mut books, change(spoken, 5), now), 1);
    assert_eq!(sifted(&mut books, whole(book(arrived, true)), now), 1);
    let answer = infos.iter().map(|info| book(info, true)).collect();
    let seeds = books.answered(&infos, Some(answer), now, &config);
    let assets: Vec<_> = seeds.events.iter().map(MarketEvent::asset).collect();
    assert_eq!(
        assets,
        [spoken.key, silent.key],
        "none for the one that arrived"
    );
    assert_eq!(seeds.given, 2);
    assert_eq!(seeds.silent, [silent.key]);
    let awaited = books.awaited(true);
    assert!(awaited.iter().all(|book| book.has_snapshot));
    assert_eq!(books.len(), 1, "the silent one goes on waiting");
    // The feed speaks of it after all: REST is asked again soon, not in minutes.
    assert_eq!(sifted(&mut books, change(silent, 9), now + SECOND), 1);
    let steps = books.steps(now + 4 * SECOND, 100, &config);
    assert_eq!(steps.seed.len(), 1);
}

#[test]
fn what_rest_answers_to_a_question_of_before_is_left_out() {
    let config = ConnectionConfig::default();
    let (infos, now) = (infos(1), Instant::now());
    let mut books = FirstBooks::default();
    books.named(&infos, now, &config);
    books.asked(&infos);
    books.renewed(&infos, now, &config);
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
    /// Whatever happens in whatever order: nothing of an asset that was taken off gets
    /// out, after that only an opening book does, and whatever is carried without a
    /// book is waited for.
    #[test]
    fn nothing_dropped_gets_out_and_nothing_carried_is_forgotten(
        steps in prop::collection::vec(step(), 0..120)
    ) {
        let config = ConnectionConfig::default();
        let infos = infos(4);
        let mut books = FirstBooks::default();
        let mut now = Instant::now();
        let mut asked = Vec::new();
        let mut model = [Asset::default(); 4];
        let at = |asset: AssetKey| infos.iter().position(|info| info.key == asset).unwrap();
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Name(asset) if !model[asset].is_carried => {
                    books.named(&infos[asset..=asset], now, &config);
                    model[asset].is_carried = true;
                    model[asset].has_book = false;
                }
                Step::Renew(asset) if model[asset].is_carried => {
                    books.renewed(&infos[asset..=asset], now, &config);
                    model[asset].was_renewed = true;
                    model[asset].has_book = false;
                }
                Step::Drop(asset) if model[asset].is_carried => {
                    books.dropped(infos[asset].key, now);
                    model[asset] = Asset { was_dropped: true, was_renewed: true, ..Asset::default() };
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
                    for event in seeds.events {
                        let asset = &mut model[at(event.asset())];
                        prop_assert!(asset.is_carried, "a dropped asset was seeded");
                        asset.has_book = true;
                    }
                    for asset in seeds.silent {
                        model[at(asset)].has_book = false;
                    }
                }
                Step::Pass(seconds) => {
                    now += SECOND * seconds;
                    let steps = books.steps(now, 10, &config);
                    books.renewed(&steps.resubscribe, now, &config);
                    for info in &steps.resubscribe {
                        model[at(info.key)].was_renewed = true;
                        model[at(info.key)].has_book = false;
                    }
                }
            }
            books.sift(&mut out, &Histogram::default(), now);
            for event in out {
                let asset = &mut model[at(event.asset())];
                prop_assert!(asset.is_carried || !asset.was_dropped, "of a dropped asset");
                if let MarketEvent::Book(book) = event {
                    let is_later = book.tick_size.is_none();
                    prop_assert!(!(is_later && asset.was_renewed && !asset.has_book));
                    asset.has_book = true;
                }
            }
            for info in &infos {
                let asset = model[at(info.key)];
                if asset.is_carried && !asset.has_book {
                    prop_assert!(books.contains(info.key), "nobody sees to its book");
                }
            }
        }
    }
}

/// What is known of an asset.
#[derive(Clone, Copy, Default)]
struct Asset {
    is_carried: bool,
    was_dropped: bool,
    was_renewed: bool,
    has_book: bool,
}
