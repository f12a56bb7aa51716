//! What a selection says of a market, and how it says why.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::catalogue::{
    Bound, CatalogueTable, Cents, Figures, Glob, Kinds, Label, Listed, MarketNumber, Phrase, Tag,
};
use crate::market::{EventRef, Market};

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const DAY: u64 = 86_400_000;

fn condition(text: &str) -> ConditionId {
    ConditionId::new(text).unwrap()
}

fn in_days(days: u64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + days * DAY)
}

/// "Will Bitcoin reach $100,000?", tagged and traded.
fn bitcoin() -> Listed {
    Listed {
        market: Market {
            question: "Will Bitcoin reach $100,000?".to_owned(),
            slug: Some("will-bitcoin-reach-100k".into()),
            event: Some(Arc::new(EventRef {
                id: None,
                slug: "bitcoin-prices".into(),
                title: "Bitcoin prices".into(),
                neg_risk: false,
                neg_risk_augmented: false,
            })),
            category: Some("Crypto".into()),
            end_timestamp: Some(in_days(3)),
            ..Market::new(condition("0xa1"), Vec::new())
        },
        figures: Figures {
            volume: Some(Cents::new(100_000)),
            volume_day: Some(Cents::new(10_000)),
            liquidity: Some(Cents::new(1_000)),
        },
        tags: Some(vec![Tag {
            slug: "crypto-prices".into(),
            label: "Crypto Prices".into(),
        }]),
    }
}

fn folded(name: &str) -> Vec<Label> {
    vec![Label::new(name).unwrap()]
}

fn globs(pattern: &str) -> Vec<Glob> {
    vec![pattern.parse().unwrap()]
}

fn ids(id: &str) -> Ids {
    std::iter::once(condition(id)).collect()
}

/// A table with one market, and its verdict so far.
fn table(listed: Listed, verdict: Verdict) -> (CatalogueTable, MarketNumber) {
    let mut table = CatalogueTable::default();
    let number = table.take_in(listed).unwrap().number;
    table.set_verdict(number, verdict, None);
    (table, number)
}

const NEW: Verdict = Verdict::NotFollowed(NotFollowed::Unjudged);

fn judged(selection: &Selection, listed: Listed) -> Judgement {
    let (table, number) = table(listed, NEW);
    let judge = selection.judge(None, table.tags(), NOW);
    judge.of(table.get(number).unwrap(), &mut ())
}

fn filtered(filter: MarketFilter, listed: Listed) -> Result<(), NotFollowed> {
    let selection = Selection {
        filter,
        ..Selection::default()
    };
    match judged(&selection, listed) {
        Judgement::Wanted => Ok(()),
        Judgement::Unwanted(reason) => Err(reason),
        Judgement::NeedsSeat(_) => panic!("there are no seats"),
    }
}

/// One value of each kind: one that the market has, and one that it has not.
fn kinds() -> [(Kinds, Kinds, NotFollowed); 6] {
    let of = |set: fn(&mut Kinds, &str), has: &str, lacks: &str| {
        [has, lacks].map(|value| {
            let mut kinds = Kinds::default();
            set(&mut kinds, value);
            kinds
        })
    };
    let pair = |[has, lacks]: [Kinds; 2], reason| (has, lacks, reason);
    [
        pair(
            of(
                |kinds, tag| kinds.tags = folded(tag),
                "crypto prices",
                "crypto",
            ),
            NotFollowed::Tags,
        ),
        pair(
            of(
                |kinds, of| kinds.categories = folded(of),
                "CRYPTO",
                "Sports",
            ),
            NotFollowed::Category,
        ),
        pair(
            of(
                |kinds, slug| kinds.events = globs(slug),
                "bitcoin-*",
                "bitcoin",
            ),
            NotFollowed::Event,
        ),
        pair(
            of(|kinds, slug| kinds.slugs = globs(slug), "*-100k", "*-200k"),
            NotFollowed::Slug,
        ),
        pair(
            of(
                |kinds, text| kinds.text = vec![Phrase::parse(text).unwrap()],
                "bitcoin 100,000",
                "ether",
            ),
            NotFollowed::Text,
        ),
        pair(
            of(|kinds, id| kinds.ids = ids(id), "0x00A1", "0xa2"),
            NotFollowed::Id,
        ),
    ]
}

#[test]
fn a_market_is_meant_if_it_has_a_value_of_each_kind() {
    for (has, lacks, reason) in kinds() {
        let including = |include: Kinds| MarketFilter {
            include,
            ..MarketFilter::default()
        };
        assert_eq!(
            filtered(including(has.clone()), bitcoin()),
            Ok(()),
            "{has:?}"
        );
        assert_eq!(filtered(including(lacks.clone()), bitcoin()), Err(reason));
        let excluding = |exclude: Kinds| MarketFilter {
            exclude,
            ..MarketFilter::default()
        };
        assert_eq!(filtered(excluding(lacks), bitcoin()), Ok(()));
        let excluded = filtered(excluding(has), bitcoin()).unwrap_err();
        assert_eq!(excluded.name(), format!("exclude_{}", reason.name()));
    }
    // Values of one kind are alternatives; kinds are not.
    let both = |slugs: [&str; 2], tag: &str| MarketFilter {
        include: Kinds {
            slugs: slugs.map(|slug| slug.parse().unwrap()).to_vec(),
            tags: folded(tag),
            ..Kinds::default()
        },
        ..MarketFilter::default()
    };
    let slugs = ["none", "will-*"];
    assert_eq!(filtered(both(slugs, "crypto-prices"), bitcoin()), Ok(()));
    assert_eq!(
        filtered(both(slugs, "sports"), bitcoin()),
        Err(NotFollowed::Tags)
    );
}

#[test]
fn what_is_not_stated_meets_nothing() {
    let silent = || Listed {
        market: Market::new(condition("0xa1"), Vec::new()),
        figures: Figures::default(),
        tags: None,
    };
    for (has, _, reason) in kinds().into_iter().take(5) {
        let filter = MarketFilter {
            include: has.clone(),
            ..MarketFilter::default()
        };
        let reason = match reason {
            NotFollowed::Tags => NotFollowed::TagsUnknown,
            other => other,
        };
        assert_eq!(filtered(filter, silent()), Err(reason));
        let filter = MarketFilter {
            exclude: has,
            ..MarketFilter::default()
        };
        assert_eq!(filtered(filter, silent()), Ok(()));
    }
    let one = Some(Cents::new(0));
    let all = MarketFilter::default;
    for (filter, reason) in [
        (
            MarketFilter {
                min_volume: one,
                ..all()
            },
            NotFollowed::Volume,
        ),
        (
            MarketFilter {
                min_volume_day: one,
                ..all()
            },
            NotFollowed::VolumeDay,
        ),
        (
            MarketFilter {
                min_liquidity: one,
                ..all()
            },
            NotFollowed::Liquidity,
        ),
        (
            MarketFilter {
                ends_before: Some(Bound::At(in_days(9))),
                ..all()
            },
            NotFollowed::EndsBefore,
        ),
        (
            MarketFilter {
                ends_after: Some(Bound::FromNow(Duration::ZERO)),
                ..all()
            },
            NotFollowed::EndsAfter,
        ),
    ] {
        assert_eq!(filtered(filter, silent()), Err(reason));
    }
}

#[test]
fn bounds_are_met_up_to_themselves() {
    let all = MarketFilter::default;
    let days = |days: u64| Some(Bound::FromNow(Duration::from_millis(days * DAY)));
    for (filter, expected) in [
        (
            MarketFilter {
                min_volume: Some(Cents::new(100_000)),
                ..all()
            },
            Ok(()),
        ),
        (
            MarketFilter {
                min_volume: Some(Cents::new(100_001)),
                ..all()
            },
            Err(NotFollowed::Volume),
        ),
        (
            MarketFilter {
                min_volume_day: Some(Cents::new(10_001)),
                ..all()
            },
            Err(NotFollowed::VolumeDay),
        ),
        (
            MarketFilter {
                min_liquidity: Some(Cents::new(1_001)),
                ..all()
            },
            Err(NotFollowed::Liquidity),
        ),
        (
            MarketFilter {
                ends_before: days(3),
                ends_after: days(3),
                ..all()
            },
            Ok(()),
        ),
        (
            MarketFilter {
                ends_before: days(2),
                ..all()
            },
            Err(NotFollowed::EndsBefore),
        ),
        (
            MarketFilter {
                ends_after: days(4),
                ..all()
            },
            Err(NotFollowed::EndsAfter),
        ),
        (
            MarketFilter {
                neg_risk: Some(false),
                ..all()
            },
            Ok(()),
        ),
        (
            MarketFilter {
                neg_risk: Some(true),
                ..all()
            },
            Err(NotFollowed::NegRisk),
        ),
    ] {
        assert_eq!(filtered(filter.clone(), bitcoin()), expected, "{filter:?}");
    }
}

#[test]
fn who_is_wanted_need_not_meet_the_same_bounds_quite() {
    let bounds = |cents: u64, days: u64| Selection {
        filter: MarketFilter {
            min_volume: Some(Cents::new(cents)),
            ends_after: Some(Bound::FromNow(Duration::from_millis(days * DAY))),
            ..MarketFilter::default()
        },
        ..Selection::default()
    };
    let shard = Verdict::NotFollowed(NotFollowed::Shard);
    let seats = Verdict::NotFollowed(NotFollowed::Seats);
    // The market has a volume of 100,000 and ends in three days.
    for (now, was, verdict, expected) in [
        (
            bounds(200_000, 9),
            bounds(200_000, 9),
            Verdict::Followed,
            Judgement::Wanted,
        ),
        (
            bounds(200_000, 9),
            bounds(200_000, 9),
            Verdict::NotFollowed(NotFollowed::Sockets),
            Judgement::Wanted,
        ),
        (
            bounds(200_000, 9),
            bounds(200_000, 9),
            shard,
            Judgement::Wanted,
        ),
        (
            bounds(200_000, 9),
            bounds(200_000, 9),
            seats,
            Judgement::Unwanted(NotFollowed::Volume),
        ),
        (
            bounds(200_002, 9),
            bounds(200_002, 9),
            Verdict::Followed,
            Judgement::Unwanted(NotFollowed::Volume),
        ),
        // Bounds that have changed are met, or not.
        (
            bounds(200_000, 1),
            bounds(100_000, 1),
            Verdict::Followed,
            Judgement::Unwanted(NotFollowed::Volume),
        ),
        (
            bounds(200_000, 9),
            bounds(200_000, 1),
            Verdict::Followed,
            Judgement::Unwanted(NotFollowed::EndsAfter),
        ),
    ] {
        let (table, number) = table(bitcoin(), verdict);
        let judge = now.judge(Some(&was), table.tags(), NOW);
        let found = table.get(number).unwrap();
        assert_eq!(judge.of(found, &mut ()), expected, "{verdict:?}");
    }
}

#[test]
fn exclusion_outweighs_also_and_also_outweighs_all_else() {
    let named = |also: Names| Selection {
        also,
        filter: MarketFilter {
            min_volume: Some(Cents::new(u64::MAX)),
            ..MarketFilter::default()
        },
        seats: Some(SeatRule {
            most: NonZeroUsize::MIN,
            order: SeatOrder::Volume,
        }),
        ..Selection::default()
    };
    let slug = |slug: &str| Names {
        slugs: std::iter::once(slug.into()).collect(),
        ..Names::default()
    };
    let by_id = Names {
        ids: ids("0x0A1"),
        ..Names::default()
    };
    for also in [
        by_id,
        slug("will-bitcoin-reach-100k"),
        slug("bitcoin-prices"),
        slug("Bitcoin-Prices"),
    ] {
        let mut selection = named(also);
        assert_eq!(judged(&selection, bitcoin()), Judgement::Wanted);
        selection.filter.exclude.categories = folded("crypto");
        let excluded = Judgement::Unwanted(NotFollowed::ExcludedCategory);
        assert_eq!(judged(&selection, bitcoin()), excluded);
        selection.filter.exclude = Kinds::default();
        // Its shard is 57.
        selection.shard = Some("0/2".parse().unwrap());
        let elsewhere = Judgement::Unwanted(NotFollowed::Shard);
        assert_eq!(judged(&selection, bitcoin()), elsewhere);
        selection.shard = Some("1/2".parse().unwrap());
        assert_eq!(judged(&selection, bitcoin()), Judgement::Wanted);
    }
    let volume = Judgement::Unwanted(NotFollowed::Volume);
    assert_eq!(judged(&named(slug("bitcoin")), bitcoin()), volume);
}

#[test]
fn the_first_of_an_order_are_those_that_people_mean() {
    let market = |cents: Option<u64>, end: Option<u64>| Listed {
        figures: Figures {
            volume: cents.map(Cents::new),
            ..Figures::default()
        },
        market: Market {
            end_timestamp: end.map(Timestamp::from_millis),
            ..bitcoin().market
        },
        ..bitcoin()
    };
    let rank = |order: SeatOrder, listed| {
        let (table, number) = table(listed, NEW);
        order.rank(table.get(number).unwrap().entry, NOW)
    };
    let volume = |cents| rank(SeatOrder::Volume, market(cents, None));
    assert!(volume(Some(2)) < volume(Some(1)) && volume(Some(0)) < volume(None));
    let end = |at| rank(SeatOrder::End, market(None, at));
    let now = NOW.millis();
    assert!(end(Some(now)) < end(Some(now + 1)) && end(Some(now + 1)) < end(None));
    assert_eq!(end(Some(now - 1)), end(None), "what is past is last");
}

#[test]
fn shards_of_all_processes_are_all_markets_once() {
    for parts in [1, 3, 4, 256] {
        let all: Vec<ShardOf> = (0..parts)
            .map(|index| format!("{index}/{parts}").parse().unwrap())
            .collect();
        for market in 0..500_u32 {
            let condition = condition(&format!("0x{market:064x}"));
            let short = ConditionId::new(&format!("0x{market:X}")).unwrap();
            let has = |shard: &&ShardOf| shard.has(&condition);
            assert_eq!(all.iter().filter(has).count(), 1);
            assert!(
                all.iter()
                    .all(|shard| shard.has(&condition) == shard.has(&short))
            );
        }
    }
    for (text, error) in [
        ("4/4", ShardError::Beyond(4)),
        ("0/0", ShardError::Parts),
        ("0/257", ShardError::Parts),
        ("1", ShardError::Form),
        ("a/b", ShardError::Form),
        ("+1/4", ShardError::Form),
        ("/4", ShardError::Form),
        ("1/4/4", ShardError::Form),
        ("70000/80000", ShardError::Form),
    ] {
        assert_eq!(text.parse::<ShardOf>(), Err(error), "{text}");
    }
    let beyond = ShardError::Beyond(4).to_string();
    assert_eq!(beyond, "processes are counted from 0: the last of 4 is 3/4");
}

/// What follows another part of the venue is another selection.
#[test]
fn selections_are_equal_that_follow_the_same_in_the_same_process() {
    let changes: [fn(&mut Selection); 4] = [
        |other| other.filter.min_volume = Some(Cents::new(1)),
        |other| other.also.slugs = std::iter::once("a".into()).collect(),
        |other| {
            other.seats = Some(SeatRule {
                most: NonZeroUsize::MIN,
                order: SeatOrder::Listed,
            });
        },
        |other| other.shard = "0/2".parse().ok(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut other = Selection::default();
        change(&mut other);
        assert_ne!(other, Selection::default(), "{at}");
        // What is followed as well leaves nothing out.
        assert_eq!(other.is_everything(), at == 1, "{at}");
    }
    let elsewhere = Selection {
        origins: Arc::from([("tags", "flag".into())]),
        ..Selection::default()
    };
    assert_eq!(elsewhere, Selection::default());
}

#[test]
fn each_order_is_that_of_its_own_figure() {
    let with = |change: fn(&mut Listed)| {
        let mut listed = bitcoin();
        listed.figures = Figures {
            volume: Some(Cents::new(500)),
            volume_day: Some(Cents::new(500)),
            liquidity: Some(Cents::new(500)),
        };
        change(&mut listed);
        listed
    };
    let ahead = [
        (
            SeatOrder::VolumeDay,
            with(|row| row.figures.volume_day = Some(Cents::new(501))),
        ),
        (
            SeatOrder::Volume,
            with(|row| row.figures.volume = Some(Cents::new(501))),
        ),
        (
            SeatOrder::Liquidity,
            with(|row| row.figures.liquidity = Some(Cents::new(501))),
        ),
        (
            SeatOrder::End,
            with(|row| row.market.end_timestamp = Some(in_days(2))),
        ),
    ];
    for (its, listed) in ahead {
        let mut table = CatalogueTable::default();
        for (at, mut row) in [with(|_| {}), listed].into_iter().enumerate() {
            row.market.condition_id = condition(&format!("0x{at}"));
            table.take_in(row);
        }
        let rank = |number: u64, order: SeatOrder| {
            let found = table.get(MarketNumber::new(number)).unwrap();
            order.rank(found.entry, NOW)
        };
        for order in SeatOrder::ALL {
            let (usual, special) = (rank(0, order), rank(1, order));
            match order {
                SeatOrder::Listed => assert!(usual < special, "the first that was listed"),
                _ if order == its => assert!(special < usual, "{order:?}"),
                _ => assert_eq!(special, usual, "{order:?} by {its:?}"),
            }
        }
    }
}

/// It is judged no more: what it would be under today's selection explains nothing.
#[test]
fn of_a_market_that_has_ended_its_status_alone_explains() {
    let mut selection = Selection::default();
    selection.filter.include.tags = folded("nothing-has-this");
    for verdict in [Verdict::Followed, Verdict::NotFollowed(NotFollowed::Volume)] {
        for status in [MarketStatus::Resolved, MarketStatus::Closed] {
            let (mut table, number) = table(bitcoin(), verdict);
            table.set_status(number, status, None);
            let judge = selection.judge(None, table.tags(), NOW);
            let checks = judge.explain(table.get(number).unwrap());
            let [check] = &checks[..] else {
                panic!("{checks:?}")
            };
            assert_eq!((check.key, &*check.found), ("status", status.name()));
            assert_eq!(check.holds, verdict == Verdict::Followed);
        }
    }
}

#[test]
fn an_explanation_says_what_was_wanted_found_and_where_that_was_set() {
    let mut selection = Selection {
        origins: Arc::from([
            ("tags", "polypy.toml".into()),
            ("max_markets", "flag".into()),
        ]),
        seats: Some(SeatRule {
            most: NonZeroUsize::new(7).unwrap(),
            order: SeatOrder::VolumeDay,
        }),
        ..Selection::default()
    };
    selection.filter.include.tags = folded("crypto-prices");
    let seats = Verdict::NotFollowed(NotFollowed::Seats);
    let (table, number) = table(bitcoin(), seats);
    let judge = selection.judge(None, table.tags(), NOW);
    let checks = judge.explain(table.get(number).unwrap());
    let shown: Vec<_> = checks
        .iter()
        .map(|check| {
            let origin = check.origin.as_deref();
            (
                check.key,
                check.holds,
                &*check.wanted,
                &*check.found,
                origin,
            )
        })
        .collect();
    let expected = [
        (
            "tags",
            true,
            "crypto-prices",
            "Crypto Prices",
            Some("polypy.toml"),
        ),
        (
            "max_markets",
            false,
            "the first 7 by volume_day",
            "volume_day 100.00",
            Some("flag"),
        ),
    ];
    assert_eq!(shown, expected);
    assert!(Selection::default().is_everything() && !selection.is_everything());
    let elsewhere = Selection {
        origins: Arc::from([]),
        ..selection.clone()
    };
    assert_eq!(selection, elsewhere);
}

/// Selections of few values, so that they hold now and then.
fn selections() -> impl Strategy<Value = Selection> {
    let kinds = || {
        (0..64_u8, 0..64_u8).prop_map(|(set, has)| {
            let mut all = Kinds::default();
            for (at, (own, other, _)) in kinds().into_iter().enumerate() {
                if set >> at & 1 == 0 {
                    continue;
                }
                let one = if has >> at & 1 == 1 { own } else { other };
                all.tags.extend(one.tags);
                all.categories.extend(one.categories);
                all.events.extend(one.events);
                all.slugs.extend(one.slugs);
                all.text.extend(one.text);
                if !one.ids.is_empty() {
                    all.ids = one.ids;
                }
            }
            all
        })
    };
    let cents = || prop::option::of((0..200_000_u64).prop_map(Cents::new));
    let end = || prop::option::of((0..6_u64).prop_map(|days| Bound::At(in_days(days))));
    let rest = (
        prop::option::of(any::<bool>()),
        prop::bool::weighted(0.2),
        prop::option::of(Just(SeatOrder::VolumeDay)),
        prop::option::of(0..3_u8),
    );
    (
        prop::option::of(kinds()),
        prop::option::weighted(0.2, kinds()),
        cents(),
        end(),
        end(),
        rest,
    )
        .prop_map(|(include, exclude, volume, after, before, rest)| {
            let (neg_risk, also, seats, shard) = rest;
            let mut selection = Selection {
                filter: MarketFilter {
                    include: include.unwrap_or_default(),
                    exclude: exclude.unwrap_or_default(),
                    min_volume: volume,
                    ends_after: after,
                    ends_before: before,
                    neg_risk,
                    ..MarketFilter::default()
                },
                seats: seats.map(|order| SeatRule {
                    most: NonZeroUsize::MIN,
                    order,
                }),
                shard: shard.map(|index| format!("{index}/3").parse().unwrap()),
                ..Selection::default()
            };
            if also {
                selection.also.ids = ids("0xa1");
            }
            selection
        })
}

/// The key of the check that leads to a verdict: its name.
fn key_of(reason: NotFollowed) -> &'static str {
    match reason {
        NotFollowed::TagsUnknown => "tags",
        other => other.name(),
    }
}

proptest! {
    #[test]
    fn the_verdict_is_the_end_of_its_explanation(
        selection in selections(),
        has_tags in any::<bool>(),
        has_seat in any::<bool>(),
        has_socket in any::<bool>(),
    ) {
        let mut listed = bitcoin();
        if !has_tags {
            listed.tags = None;
        }
        let (mut table, number) = table(listed, NEW);
        // As net decides it: first the judgement, then seats, shard and sockets.
        let verdict = {
            let judge = selection.judge(None, table.tags(), NOW);
            let found = table.get(number).unwrap();
            let judged = match judge.of(found, &mut ()) {
                Judgement::Wanted => Ok(()),
                Judgement::Unwanted(reason) => Err(reason),
                Judgement::NeedsSeat(_) if !has_seat => Err(NotFollowed::Seats),
                Judgement::NeedsSeat(_) => {
                    judge.seated(&found.entry.market.condition_id, &mut ())
                }
            };
            match judged {
                Ok(()) if has_socket => Verdict::Followed,
                Ok(()) => Verdict::NotFollowed(NotFollowed::Sockets),
                Err(reason) => Verdict::NotFollowed(reason),
            }
        };
        table.set_verdict(number, verdict, None);
        let judge = selection.judge(None, table.tags(), NOW);
        let checks = judge.explain(table.get(number).unwrap());
        match verdict {
            Verdict::NotFollowed(reason) => {
                let (last, before) = checks.split_last().unwrap();
                prop_assert!(!last.holds && key_of(reason) == last.key, "{:?}", checks);
                prop_assert!(before.iter().all(|check| check.holds));
            }
            Verdict::Followed => {
                prop_assert!(checks.iter().all(|check| check.holds));
            }
        }
    }
}
