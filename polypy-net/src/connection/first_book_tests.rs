use polypy_core::{DecimalText, Interner, PriceChange, Side, Timestamp, Top};
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn infos(count: usize) -> Vec<Arc<AssetInfo>> {
    infos_of(&mut Interner::default(), count)
}

fn infos_of(interner: &mut Interner, count: usize) -> Vec<Arc<AssetInfo>> {
    let numbers = 0..u64::try_from(count).unwrap();
    numbers.map(|number| info_of(interner, number)).collect()
}

fn info_of(interner: &mut Interner, number: u64) -> Arc<AssetInfo> {
    let asset = number.to_string().parse().unwrap();
    let condition = format!("0x{number:x}").parse().unwrap();
    interner.insert(&asset, &condition, |key| {
        AssetInfo::new(key, asset.clone(), condition.clone())
    })
}

/// The same assets, forgotten and back.
fn reborn(interner: &mut Interner, infos: &[Arc<AssetInfo>]) -> Vec<Arc<AssetInfo>> {
    for info in infos {
        interner.remove(info.key);
    }
    infos_of(interner, infos.len())
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

/// What is left of one event of a carried asset.
fn sifted(books: &mut FirstBooks, event: MarketEvent, now: Instant) -> usize {
    let mut events = vec![event];
    books.sift(&mut events, &Histogram::default(), now, |_| true);
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
fn nothing_gets_out_of_what_is_not_carried() {
    let (infos, now) = (infos(3), Instant::now());
    let mut books = FirstBooks::default();
    let events = |numbers: &[usize]| -> Vec<_> {
        let events = numbers.iter().map(|number| change(&infos[*number], 1));
        events.collect()
    };
    for (given, left) in [
        (vec![0, 1, 0, 1], vec![0, 1, 0, 1]),
        (vec![0, 2, 1, 2, 2, 0], vec![0, 1, 0]),
        (vec![2], vec![]),
    ] {
        let mut events = events(&given);
        let strays = books.sift(&mut events, &Histogram::default(), now, |key| {
            key != infos[2].key
        });
        let keys: Vec<_> = events.iter().map(MarketEvent::asset).collect();
        let expected: Vec<_> = left.iter().map(|number| infos[*number].key).collect();
        assert_eq!((keys, strays.strays), (expected, given.len() - left.len()));
    }
}

#[test]
fn an_asset_named_again_within_a_while_gets_its_opening_book_under_whatever_key() {
    let config = ConnectionConfig::default();
    let (mut interner, now) = (Interner::default(), Instant::now());
    let before = infos_of(&mut interner, 1);
    for is_reborn in [false, true] {
        let mut books = FirstBooks::default();
        books.named(&before, now, &config);
        books.dropped(&before[0], now);
        let again = if is_reborn {
            reborn(&mut interner, &before)
        } else {
            before.clone()
        };
        // Named again on the same socket: as after any re-subscription.
        books.named(&again, now, &config);
        assert_eq!(sifted(&mut books, whole(book(&again[0], false)), now), 0);
        assert_eq!(sifted(&mut books, whole(book(&again[0], true)), now), 1);
        // So long afterwards nothing of it is under way.
        books.dropped(&again[0], now);
        books.tidy(now + 31 * SECOND);
        books.named(&again, now + 31 * SECOND, &config);
        assert_eq!(sifted(&mut books, whole(book(&again[0], false)), now), 1);
    }
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
    Reborn(usize),
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
        asset().prop_map(Step::Reborn),
        Just(Step::Ask),
        (any::<bool>(), prop::collection::vec(any::<bool>(), 4))
            .prop_map(|(ok, known)| Step::Answer(ok, known)),
        (0u32..20).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens in whatever order, and whatever keys assets have: nothing gets out
    /// of what is not carried, after an asset was taken off only an opening book of it
    /// does, and whatever is carried without a book is waited for.
    #[test]
    fn nothing_uncarried_gets_out_and_nothing_carried_is_forgotten(
        steps in prop::collection::vec(step(), 0..120)
    ) {
        let config = ConnectionConfig::default();
        let mut interner = Interner::default();
        // As frames name them now, and as they are carried.
        let mut infos = infos_of(&mut interner, 4);
        let mut carried: [Option<Arc<AssetInfo>>; 4] = Default::default();
        let mut books = FirstBooks::default();
        let mut now = Instant::now();
        let mut asked = Vec::new();
        let mut model = [Asset::default(); 4];
        let at = |info: &AssetInfo| info.asset_id.as_str().parse::<usize>().unwrap();
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Name(asset) if !model[asset].is_carried => {
                    books.named(&infos[asset..=asset], now, &config);
                    carried[asset] = Some(Arc::clone(&infos[asset]));
                    model[asset].is_carried = true;
                    model[asset].has_book = false;
                }
                Step::Renew(asset) if model[asset].is_carried => {
                    books.renewed(carried[asset].as_slice(), now, &config);
                    model[asset].was_renewed = true;
                    model[asset].has_book = false;
                }
                Step::Drop(asset) if model[asset].is_carried => {
                    books.dropped(&carried[asset].take().unwrap(), now);
                    model[asset] = Asset { was_renewed: true, ..Asset::default() };
                }
                Step::Reborn(asset) => {
                    interner.remove(infos[asset].key);
                    infos[asset] = info_of(&mut interner, u64::try_from(asset).unwrap());
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
                    let answer = asked.iter().filter(|info| known[at(info)]);
                    let answer = ok.then(|| answer.map(|info| book(info, true)).collect());
                    let seeds = books.answered(&std::mem::take(&mut asked), answer, now, &config);
                    let by = |key| carried.iter().flatten().find(|info| info.key == key);
                    for event in seeds.events {
                        let info = by(event.asset());
                        prop_assert!(info.is_some(), "a dropped asset was seeded");
                        model[at(info.unwrap())].has_book = true;
                    }
                    for asset in seeds.silent {
                        model[at(by(asset).unwrap())].has_book = false;
                    }
                }
                Step::Pass(seconds) => {
                    now += SECOND * seconds;
                    let steps = books.steps(now, 10, &config);
                    books.renewed(&steps.resubscribe, now, &config);
                    for info in &steps.resubscribe {
                        model[at(info)].was_renewed = true;
                        model[at(info)].has_book = false;
                    }
                }
            }
            let by = |key| carried.iter().flatten().find(|info| info.key == key);
            books.sift(&mut out, &Histogram::default(), now, |key| by(key).is_some());
            for event in out {
                let info = by(event.asset());
                prop_assert!(info.is_some(), "of an asset that is not carried");
                let asset = &mut model[at(info.unwrap())];
                if let MarketEvent::Book(book) = event {
                    let is_later = book.tick_size.is_none();
                    prop_assert!(!(is_later && asset.was_renewed && !asset.has_book));
                    asset.has_book = true;
                }
            }
            for info in carried.iter().flatten() {
                if !model[at(info)].has_book {
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
    was_renewed: bool,
    has_book: bool,
}
