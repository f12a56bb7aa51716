use std::collections::BTreeSet;
use std::time::Duration;

use polypy_core::{BookState, Cents, Figures, MarketNumber, MarketStatus, StaleReason};
use polypy_http::Query;
use proptest::prelude::*;

use super::*;
use crate::read::cursor::check;
use crate::read::markets::Markets;
use crate::read::moment::KEPT;
use crate::read::query;
use crate::read::standing::FEW;
use crate::read::testing::{Listed, NOW, Shelf, of_event, reads, row, tag};

fn listing(query: &str) -> Listing {
    Listing::read("markets", &Query::parse(query, &query::MARKETS).unwrap()).unwrap()
}

/// What a page has.
struct Found {
    numbers: Vec<u64>,
    matched: usize,
    unfollowed: usize,
    next: Option<Place>,
    next_cursor: Option<String>,
    moment: Option<Timestamp>,
}

/// A page of a query, as it is asked for at a moment.
fn page(markets: &Lists, query: &str, now: Instant) -> Result<Found, PageError> {
    let view = markets.reads.listed.view();
    let items = Markets(Arc::clone(&markets.reads));
    let page = markets.page(&items, &listing(query), &view, now)?;
    Ok(Found {
        next_cursor: page.next_cursor(),
        numbers: page.numbers,
        matched: page.matched,
        unfollowed: page.unfollowed,
        next: page.next,
        moment: page.moment,
    })
}

fn numbers(markets: &Lists, query: &str) -> Vec<u64> {
    let page = page(markets, query, Instant::now());
    page.unwrap_or_else(|_| panic!("{query}")).numbers
}

fn figures(volume_day: u64) -> Figures {
    Figures {
        volume_day: Some(Cents::new(volume_day)),
        ..Figures::default()
    }
}

/// Ten markets, of which 0 to 7 are followed.
fn ten() -> (Arc<Listed>, Arc<Shelf>, Lists) {
    let (listed, shelf, reads) = reads();
    listed.take((0..10).map(|number| {
        let mut row = row(number);
        row.figures = figures(number * 100);
        row.market.end_timestamp =
            (number != 3).then(|| Timestamp::from_millis(NOW + (9 - number) * 86_400_000));
        row
    }));
    for number in 0..8 {
        listed.follow(number);
    }
    (listed, shelf, Lists::new(&reads))
}

#[test]
fn each_order_is_what_it_says() {
    let (listed, shelf, markets) = ten();
    let [spread, ask] = [["0.50", "0.51"], ["0.40", "0.60"]];
    for (number, state, prices, at) in [
        (1, BookState::Live, ask, 5),
        (2, BookState::Live, spread, 3),
        (4, BookState::Stale(StaleReason::Top), spread, 9),
        (5, BookState::Live, ["0.51", "0.50"], 1),
    ] {
        let keys = listed.follow(number);
        for key in keys.iter() {
            shelf.set(*key, state, prices[0], prices[1], at);
        }
    }
    for (query, expected) in [
        ("", vec![7, 6, 5, 4, 3, 2, 1, 0]),
        ("sort=listed", vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ("sort=end", vec![7, 6, 5, 4, 2, 1, 0, 3]),
        ("sort=volume", vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ("sort=spread&limit=4", vec![5, 2, 1, 0]),
        ("sort=change&limit=5", vec![4, 1, 2, 5, 0]),
        ("sort=listed&followed=any", (0..10).collect()),
        ("sort=listed&followed=false", vec![8, 9]),
        ("sort=listed&limit=3", vec![0, 1, 2]),
        ("q=hold&limit=2", vec![7, 6]),
    ] {
        assert_eq!(numbers(&markets, query), expected, "{query}");
    }
}

/// Beyond [`FEW`] the places of all are read once, for whatever is asked.
#[test]
fn many_markets_are_in_the_order_of_their_books_too() {
    let (listed, shelf, reads) = reads();
    let many = u64::try_from(FEW).unwrap() + 500;
    listed.take((0..many).map(row));
    // 1,009 has no divisor in common with `many`: each market has a spread of its own.
    let place = |number: u64| number * 1_009 % many;
    for number in 0..many {
        let ask = format!("0.{:06}", 500_001 + place(number));
        for key in listed.follow(number).iter() {
            shelf.set(*key, BookState::Live, "0.5", &ask, many - place(number));
        }
    }
    let mut expected: Vec<u64> = (0..many).collect();
    expected.sort_by_key(|number| place(*number));
    let markets = Lists::new(&reads);
    for order in ["spread", "change"] {
        let query = format!("sort={order}&limit=1000");
        assert_eq!(numbers(&markets, &query), expected[..1_000], "{order}");
    }
    // What is found among them is few, and read as it is now.
    let key = &listed.follow(expected[700])[0];
    shelf.set(*key, BookState::Live, "0.5", "0.500001", many + 1);
    let one = format!("sort=spread&slugs=does-{}-hold", expected[700]);
    assert_eq!(numbers(&markets, &one), [expected[700]]);
}

#[test]
fn tags_that_nothing_has_are_named() {
    let (listed, _, reads) = reads();
    listed.take([3].map(|number| {
        let mut row = row(number);
        row.tags = Some(vec![tag("middle-east", "Middle East")]);
        row
    }));
    let view = listed.table.lock().view();
    let unknown = |query: &str| listing(query).wanted.unknown_tags(&view);
    assert_eq!(unknown("tags=Middle+East,Mid-East"), ["Mid-East"]);
    assert_eq!(
        unknown("exclude_tags=sprots,middle-east&tags=x"),
        ["x", "sprots"]
    );
    assert_eq!(unknown("q=east"), [""; 0]);
    let markets = Lists::new(&reads);
    let page = page(&markets, "tags=mid-east", Instant::now())
        .ok()
        .unwrap();
    assert_eq!(page.matched, 0);
    // A venue that gives none says nothing of any.
    let (listed, _, _) = crate::read::testing::reads();
    listed.take([row(4)]);
    let view = listed.table.lock().view();
    let wanted = listing("tags=mid-east").wanted;
    assert_eq!(wanted.unknown_tags(&view), [""; 0]);
}

#[test]
fn the_beginning_of_a_question_is_nearer_than_its_words() {
    let (listed, _, reads) = reads();
    let texts = [
        ("Is rain coming to Spain?", 900),
        ("Will Spain win?", 1),
        ("Will it rain in Spain?", 500),
        ("Spain: rain or shine?", 2),
        ("Spain and the Spanish rain", 3),
    ];
    listed.take((0..).zip(texts).map(|(number, (question, volume))| {
        let mut row = row(number);
        row.market.question = question.to_owned();
        row.market.slug = None;
        row.figures = figures(volume);
        row
    }));
    let markets = Lists::new(&reads);
    for (query, expected) in [
        ("q=spain&followed=any", vec![4, 3, 0, 2, 1]),
        ("q=spain+rain&followed=any", vec![3, 0, 2, 4]),
        ("q=rain+sp&followed=any&sort=listed", vec![0, 2, 3, 4]),
        ("q=WILL&followed=any", vec![2, 1]),
        ("q=nobody&followed=any", vec![]),
    ] {
        assert_eq!(numbers(&markets, query), expected, "{query}");
    }
}

#[test]
fn every_parameter_leaves_out_what_it_does_not_mean() {
    let (listed, _, reads) = reads();
    listed.take((0..6).map(|number| {
        let mut row = row(number);
        row.figures = Figures {
            volume: Some(Cents::new(number * 1_000)),
            volume_day: (number != 5).then(|| Cents::new(number * 100)),
            liquidity: Some(Cents::new(number * 10)),
        };
        row.tags =
            (number != 4).then(|| vec![tag(if number % 2 == 0 { "even" } else { "odd" }, "")]);
        row.market.category = (number == 2).then(|| "Sports".into());
        row.market.end_timestamp = Some(Timestamp::from_millis(NOW + number * 86_400_000));
        if number < 2 {
            of_event(row, "first-two", 1)
        } else {
            row
        }
    }));
    listed
        .table
        .lock()
        .set_status(MarketNumber::new(3), MarketStatus::Resolved, None);
    let markets = Lists::new(&reads);
    let id = format!("ids=0x{:x},0x00{:x}", 1, 5);
    let without = format!("exclude_{id}");
    for (query, expected) in [
        ("", vec![0, 1, 2, 4, 5]),
        ("status=any", vec![0, 1, 2, 3, 4, 5]),
        ("status=resolved", vec![3]),
        ("status=closed", vec![]),
        ("tags=even", vec![0, 2]),
        ("tags=even,ODD", vec![0, 1, 2, 5]),
        ("exclude_tags=even", vec![1, 4, 5]),
        ("tags=nobodys", vec![]),
        ("tags=even,nobodys", vec![0, 2]),
        ("categories=sports", vec![2]),
        ("exclude_categories=sports", vec![0, 1, 4, 5]),
        ("events=first-*", vec![0, 1]),
        ("exclude_events=first-two", vec![2, 4, 5]),
        ("slugs=does-4-hold,does-5*", vec![4, 5]),
        ("exclude_slugs=*hold", vec![]),
        (&id, vec![1, 5]),
        (&without, vec![0, 2, 4]),
        ("exclude_text=does+2,what+of", vec![4, 5]),
        ("min_volume=20", vec![2, 4, 5]),
        ("min_volume_day=2", vec![2, 4]),
        ("min_liquidity=0.45", vec![5]),
        ("ends_after=4d", vec![4, 5]),
        ("ends_before=2025-12-10", vec![0, 1]),
        ("ends_before=2025-12-10T10:30:00Z", vec![0, 1, 2]),
        ("neg_risk", vec![0, 1]),
        ("neg_risk=false", vec![2, 4, 5]),
        ("tags=even&min_volume=1&q=hold", vec![2]),
    ] {
        let query = format!("sort=listed&followed=any&{query}");
        assert_eq!(numbers(&markets, &query), expected, "{query}");
    }
}

#[test]
fn what_is_left_out_for_not_being_followed_is_counted() {
    let (_, _, markets) = ten();
    for (query, matched, unfollowed) in [
        ("", 8, 2),
        ("limit=1", 8, 2),
        ("sort=listed&limit=1", 8, 2),
        ("followed=any", 10, 0),
        ("followed=false", 2, 0),
        ("min_volume_day=8", 0, 2),
    ] {
        let page = page(&markets, query, Instant::now()).ok().unwrap();
        assert_eq!(
            (page.matched, page.unfollowed),
            (matched, unfollowed),
            "{query}"
        );
    }
}

#[test]
fn a_moment_is_the_list_of_its_own_query_and_goes_after_a_minute() {
    let (listed, _, markets) = ten();
    let now = Instant::now();
    let first = page(&markets, "limit=3", now).ok().unwrap();
    assert_eq!(first.moment, Some(Timestamp::from_millis(NOW)));
    let cursor = first.next_cursor.unwrap();
    let with = |query: &str| format!("{query}&cursor={cursor}");
    let others = [
        "limit=3&tags=even",
        "sort=volume",
        "sort=listed",
        "sort=end",
        "followed=any",
        "q=hold",
        "min_volume=0",
    ];
    for other in others {
        let refused = page(&markets, &with(other), now);
        assert!(matches!(refused, Err(PageError::OtherList)), "{other}");
    }
    // What is shown of each market, and how many of them, is another thing.
    let second = page(&markets, &with("limit=2&fields=slug"), now)
        .ok()
        .unwrap();
    assert_eq!(second.numbers, [4, 3]);
    // Nothing has changed: the order can be made again.
    let late = now + KEPT + KEPT;
    let again = page(&markets, &with("limit=2"), late).ok().unwrap();
    assert_eq!(again.numbers, [4, 3]);
    listed.take([row(10)]);
    let kept = page(
        &markets,
        &with("limit=2"),
        late + KEPT - Duration::from_millis(1),
    );
    assert_eq!(kept.ok().unwrap().numbers, [4, 3]);
    let gone = page(&markets, &with("limit=2"), late + KEPT + KEPT);
    assert!(matches!(gone, Err(PageError::Expired)));
    // An order that holds still is that of its own query, too.
    for sort in ["sort=listed", "sort=end"] {
        let first = page(&markets, &format!("{sort}&limit=1"), now)
            .ok()
            .unwrap();
        let cursor = first.next_cursor.unwrap();
        let with = |query: &str| format!("{query}&{sort}&cursor={cursor}");
        for other in ["q=hold", "tags=even", "followed=any", "status=any"] {
            let refused = page(&markets, &with(other), now);
            assert!(
                matches!(refused, Err(PageError::OtherList)),
                "{other}&{sort}"
            );
        }
        let second = page(&markets, &with("limit=2&fields=slug"), now);
        assert_eq!(second.ok().unwrap().numbers.len(), 2, "{sort}");
    }
    // As with another process.
    for sort in ["sort=listed", "sort=end", ""] {
        let first = page(&markets, &format!("limit=1&{sort}"), now)
            .ok()
            .unwrap();
        let place = first.next.unwrap();
        let other = Instance(markets.reads.instance ^ 1);
        let cursor = PageEnd {
            instance: other,
            place,
        };
        let refused = page(&markets, &format!("{sort}&cursor={cursor}"), now);
        assert!(matches!(refused, Err(PageError::OtherProcess)), "{sort}");
    }
}

#[test]
fn equal_versions_make_equal_moments_and_those_of_books_are_always_new() {
    let (listed, _, markets) = ten();
    let now = Instant::now();
    let next = |query: &str| page(&markets, query, now).ok().unwrap().next.unwrap();
    for query in ["limit=1", "limit=1&q=hold", "limit=1&tops"] {
        assert_eq!(next(query), next(query), "{query}");
    }
    for query in ["limit=1&sort=spread", "limit=1&ends_after=0d"] {
        assert_ne!(next(query), next(query), "{query}");
    }
    let before = next("limit=1");
    listed.take([Listed::with_figures(7, 1)]);
    assert_ne!(next("limit=1"), before);
}

impl Listed {
    /// A row of a market that is known, with other figures.
    fn with_figures(number: u64, volume_day: u64) -> polypy_core::Listed {
        polypy_core::Listed {
            figures: figures(volume_day),
            ..row(number)
        }
    }
}

/// Something that happens to the catalogue.
#[derive(Debug, Clone)]
enum Step {
    Comes,
    Goes(u64),
    IsTraded(u64, u64),
    Page,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Comes),
        (0..60_u64).prop_map(Step::Goes),
        (0..60_u64, 0..9_u64).prop_map(|(number, volume)| Step::IsTraded(number, volume)),
        Just(Step::Page),
        Just(Step::Page),
    ]
}

proptest! {
    #[test]
    fn pages_hold_every_market_that_stays_once(
        steps in prop::collection::vec(step(), 0..60),
        sort in prop::sample::select(vec!["listed", "end", "volume_day", "change"]),
        limit in 1..7_usize,
    ) {
        let (listed, _, reads) = reads();
        let end = |number: u64| Some(Timestamp::from_millis(NOW + number * 7 % 5));
        let ending = |number| {
            let mut row = row(number);
            row.market.end_timestamp = end(number);
            row
        };
        listed.take((0..30).map(ending));
        let markets = Lists::new(&reads);
        let (mut all, mut count) = ((0..30).collect::<BTreeSet<u64>>(), 30);
        let mut stayed = all.clone();
        let mut found = Vec::new();
        let mut behind = String::new();
        let mut is_through = false;
        for step in steps.into_iter().chain(std::iter::repeat_n(Step::Page, 40)) {
            match step {
                Step::Comes => {
                    listed.take([ending(count)]);
                    all.insert(count);
                    count += 1;
                }
                Step::Goes(number) if all.remove(&number) => {
                    listed.table.lock().remove(MarketNumber::new(number));
                    stayed.remove(&number);
                }
                Step::IsTraded(number, volume) if all.contains(&number) => {
                    let mut row = ending(number);
                    row.figures = figures(volume);
                    listed.take([row]);
                }
                Step::Page if !is_through => {
                    let query = format!("followed=any&sort={sort}&limit={limit}{behind}");
                    let view = markets.reads.listed.view();
                    let page = page(&markets, &query, Instant::now()).ok().unwrap();
                    // As it is shown: those that are gone are left out.
                    let there = page.numbers.iter().filter(|number| {
                        view.get(MarketNumber::new(**number)).is_some()
                    });
                    found.extend(there.copied());
                    match page.next_cursor {
                        Some(next) => behind = format!("&cursor={next}"),
                        None => is_through = true,
                    }
                }
                _ => {}
            }
        }
        prop_assert!(is_through);
        let once: BTreeSet<_> = found.iter().copied().collect();
        prop_assert_eq!(once.len(), found.len(), "twice: {:?}", found);
        prop_assert!(stayed.is_subset(&once), "missing: {:?} of {:?}", found, stayed);
    }

    #[test]
    fn no_cursor_panics(place in "[lem]-([0-9a-f]{16}|[0-9a-f]{0,20})(-[0-9]{0,20}){0,2}") {
        let (_, _, markets) = ten();
        let instance = Instance(markets.reads.instance).to_string();
        let text = format!("{instance}-{place}-{:08x}", check(&place));
        for sort in Sort::ALL.iter().skip(1) {
            let query = format!("sort={}&cursor={text}", sort.name());
            let query = Query::parse(&query, &query::MARKETS).unwrap();
            if let Ok(listing) = Listing::read("markets", &query) {
                let view = markets.reads.listed.view();
                let items = Markets(Arc::clone(&markets.reads));
                let page = markets.page(&items, &listing, &view, Instant::now());
                prop_assert!(page.is_err() || sort.holds_still());
            }
        }
    }
}
