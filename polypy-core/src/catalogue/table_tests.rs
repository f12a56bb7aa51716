//! The table against a plain model, and what it leaves out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::catalogue::{Cents, Figures, Fit, Folded, Phrase};
use crate::id::AssetId;
use crate::market::{EventRef, Group, Token};
use crate::time::Timestamp;

fn condition(market: u8) -> ConditionId {
    ConditionId::new(&format!("0x{market:064x}")).unwrap()
}

fn market(number: u8) -> Market {
    let token = |side: u16, outcome: &str| Token {
        token_id: AssetId::new(&(u16::from(number) * 2 + side).to_string()).unwrap(),
        outcome: outcome.into(),
    };
    Market::new(condition(number), vec![token(0, "Yes"), token(1, "No")])
}

fn event(slug: &str) -> Arc<EventRef> {
    Arc::new(EventRef {
        id: None,
        slug: slug.into(),
        title: format!("Title of {slug}").into(),
        neg_risk: false,
        neg_risk_augmented: false,
    })
}

fn tag(label: &str) -> Tag {
    Tag {
        slug: "".into(),
        label: label.into(),
    }
}

fn listed(market: Market) -> Listed {
    Listed {
        market,
        figures: Figures::default(),
        tags: None,
    }
}

fn volume(cents: u64) -> Figures {
    Figures {
        volume: Some(Cents::new(cents)),
        ..Figures::default()
    }
}

fn conditions(found: &[MarketEntry]) -> Vec<ConditionId> {
    let ids = found.iter().map(|entry| entry.market.condition_id.clone());
    ids.collect()
}

#[test]
fn a_row_says_what_it_says_and_no_more() {
    let mut table = CatalogueTable::default();
    let full = Listed {
        market: Market {
            question: "Will Łódź win?".to_owned(),
            slug: Some("will-lodz-win".into()),
            event: Some(event("cup")),
            ..market(1)
        },
        figures: volume(5),
        tags: Some(vec![tag("Sports"), tag("sports"), tag("Cup")]),
    };
    let taken = table.take_in(full.clone()).unwrap();
    assert!(taken.is_new);
    let before = table.view();
    let entry = table.get(taken.number).unwrap().entry.clone();
    assert_eq!(entry.tags.as_ref().unwrap().len(), 2);
    assert_eq!(entry.verdict, Verdict::NotFollowed(NotFollowed::Unjudged));

    // The same again, and a row that says less: nothing has changed.
    let less = listed(Market {
        question: "Will Łódź win?".to_owned(),
        ..market(1)
    });
    for row in [full, less] {
        let again = table.take_in(row).unwrap();
        assert_eq!((again.is_new, again.changed), (false, Facts::default()));
    }
    assert!(Arc::ptr_eq(&table.view(), &before));

    // Figures move, and the market is shared as it was.
    let moved = Listed {
        figures: volume(6),
        ..listed(Market {
            question: "Will Łódź win?".to_owned(),
            ..market(1)
        })
    };
    let changed = table.take_in(moved).unwrap().changed;
    let figures = Facts {
        figures: true,
        ..Facts::default()
    };
    assert_eq!(changed, figures);
    let view = table.view();
    assert_eq!(view.version(), before.version());
    assert_ne!(view.figures_version(), before.figures_version());
    let after = view.get(taken.number).unwrap();
    assert!(Arc::ptr_eq(&after.market, &entry.market));
    assert_eq!(after.tags, entry.tags);
    assert_eq!(after.figures, volume(6));
    assert_eq!(before.get(taken.number).unwrap().figures, volume(5));

    // No tags is a statement, other than no word on tags.
    let none = Listed {
        tags: Some(Vec::new()),
        ..listed(Market {
            question: "Who will win?".to_owned(),
            end_timestamp: Some(Timestamp::from_millis(1)),
            ..market(1)
        })
    };
    let changed = table.take_in(none).unwrap().changed;
    let expected = Facts {
        market: true,
        names: true,
        end: true,
        tags: true,
        figures: false,
    };
    assert_eq!(changed, expected);
    let entry = table.get(taken.number).unwrap();
    assert_eq!(entry.entry.tags.as_deref(), Some(&[][..]));
    assert_eq!(entry.words, " who will win title of cup lodz");
    assert_ne!(table.view().version(), view.version());
}

#[test]
fn markets_are_found_by_their_names() {
    let mut table = CatalogueTable::default();
    let grouped = |number: u8, order: Option<i32>| Market {
        slug: Some("same".into()),
        event: Some(event("CUP")),
        group: Some(Box::new(Group {
            title: "?".into(),
            order,
        })),
        ..market(number)
    };
    let mut take = |number, order| {
        table
            .take_in(listed(grouped(number, order)))
            .unwrap()
            .number
    };
    let numbers = [(1, None), (2, Some(7)), (171, Some(-1))].map(|(n, order)| take(n, order));
    let ids = |found: &[u8]| found.iter().map(|n| condition(*n)).collect::<Vec<_>>();
    assert_eq!(conditions(&table.event("cup")), ids(&[171, 2, 1]));
    assert_eq!(conditions(&table.find("same")), ids(&[171, 2, 1]));
    for spelling in ["0xab", "0x0AB", condition(171).as_str()] {
        assert_eq!(conditions(&table.find(spelling)), ids(&[171]), "{spelling}");
    }
    assert_eq!(table.number_of(&ConditionId::new("0xab").unwrap()), None);
    // What has ended comes behind what has not.
    table.set_status(numbers[2], MarketStatus::Closed, None);
    assert_eq!(conditions(&table.find("same")), ids(&[2, 1, 171]));
    // Events and outcomes are one piece of memory.
    let view = table.view();
    let [one, two, _] = numbers.map(|number| Arc::clone(&view.get(number).unwrap().market));
    let [a, b] = [&one, &two].map(|market| market.event.as_ref().unwrap());
    assert!(Arc::ptr_eq(a, b));
    assert!(Arc::ptr_eq(&one.tokens[0].outcome, &two.tokens[0].outcome));
    // A market that was renamed is found by its new name alone.
    let renamed = Market {
        slug: Some("Other".into()),
        ..grouped(1, None)
    };
    table.take_in(listed(renamed));
    assert_eq!(conditions(&table.find("other")), ids(&[1]));
    assert_eq!(conditions(&table.find("SAME")), ids(&[2, 171]));
    assert!(table.remove(numbers[1]) && !table.remove(numbers[1]));
    assert_eq!(conditions(&table.event("Cup")), ids(&[171, 1]));
}

#[test]
fn a_market_is_found_by_each_of_its_tokens() {
    let mut table = CatalogueTable::default();
    let numbers = [1, 2].map(|number| table.take_in(listed(market(number))).unwrap().number);
    let found = |table: &CatalogueTable, id: &str| table.of_token(id).map(|entry| entry.number);
    for (id, expected) in [("2", 0), ("3", 0), ("4", 1), ("5", 1)] {
        assert_eq!(found(&table, id), Some(numbers[expected]), "{id}");
    }
    for unknown in ["6", "", "02", "2 "] {
        assert_eq!(found(&table, unknown), None, "{unknown}");
    }
    // Another market has the tokens as well: the newer one counts, unless it has ended.
    let same = Market {
        condition_id: condition(3),
        ..market(1)
    };
    let other = table.take_in(listed(same)).unwrap().number;
    assert_eq!(found(&table, "2"), Some(other));
    table.set_status(other, MarketStatus::Closed, None);
    assert_eq!(found(&table, "2"), Some(numbers[0]));
    // A market has other tokens now.
    table.take_in(listed(Market {
        condition_id: condition(2),
        ..market(4)
    }));
    assert_eq!(found(&table, "8"), Some(numbers[1]));
    assert_eq!(found(&table, "4"), None);
}

#[test]
fn chunks_that_are_half_empty_are_joined() {
    let mut table = CatalogueTable::default();
    for number in 0..40 {
        table.take_in(listed(market(number)));
    }
    assert_eq!(table.view().chunks(), 40 / CHUNK);
    let removed = |number: u64| !number.is_multiple_of(4);
    for number in (0..40).filter(|number| removed(*number)) {
        assert!(table.remove(MarketNumber::new(number)));
    }
    let view = table.view();
    assert!(view.chunks() <= 10 * 2 / CHUNK, "{}", view.chunks());
    for number in 0..40 {
        let found = view.get(MarketNumber::new(number));
        assert_eq!(found.is_none(), removed(number), "{number}");
    }
    for number in (0..40).filter(|number| !removed(*number)) {
        assert!(table.remove(MarketNumber::new(number)));
    }
    assert_eq!((table.view().chunks(), table.len()), (0, 0));
}

#[test]
fn what_is_too_much_is_left_out_and_counted() {
    let mut table = CatalogueTable::default();
    let long = |word: &str| Market {
        question: format!("{word} ").repeat(200),
        ..market(1)
    };
    let tags = (0..40).map(|tag| Tag {
        slug: "".into(),
        label: format!("tag {tag}").into(),
    });
    let row = Listed {
        tags: Some(tags.chain([tag("?")]).collect()),
        ..listed(long("word"))
    };
    let number = table.take_in(row).unwrap().number;
    let found = table.get(number).unwrap();
    assert_eq!(found.entry.tags.as_ref().unwrap().len(), MOST_TAGS);
    assert!(found.words.len() <= MOST_WORDS && found.words.ends_with(" word"));
    let left_out = LeftOut {
        markets: 0,
        tags: 9,
        words: 1,
    };
    assert_eq!(table.left_out(), left_out);
    let one_word = Market {
        question: "wörd".repeat(300),
        ..market(2)
    };
    let number = table.take_in(listed(one_word)).unwrap().number;
    assert_eq!(table.get(number).unwrap().words.len(), MOST_WORDS);
}

/// What can happen to the table.
#[derive(Debug, Clone)]
enum Step {
    TakeIn {
        market: u8,
        question: String,
        slug: Option<u8>,
        event: Option<u8>,
        volume: Option<u64>,
        tags: Option<Vec<u8>>,
    },
    Verdict(u8, Verdict),
    End(u8, MarketStatus),
    Remove(u8),
    View,
}

const MARKETS: u8 = 40;

fn steps() -> impl Strategy<Value = Step> {
    let row = (
        0..MARKETS,
        "[ab]{1,2}( [ab]{1,2}){0,2}",
        prop::option::of(0..4_u8),
        prop::option::of(0..3_u8),
        prop::option::of(0..3_u64),
        prop::option::of(prop::collection::vec(0..3_u8, 0..3)),
    );
    let row = row.prop_map(
        |(market, question, slug, event, volume, tags)| Step::TakeIn {
            market,
            question,
            slug,
            event,
            volume,
            tags,
        },
    );
    let verdicts = prop_oneof![
        Just(Verdict::Followed),
        Just(Verdict::NotFollowed(NotFollowed::Shard)),
        Just(Verdict::NotFollowed(NotFollowed::Seats)),
    ];
    let ends = prop_oneof![
        Just(MarketStatus::Open),
        Just(MarketStatus::Closed),
        Just(MarketStatus::Resolved),
    ];
    prop_oneof![
        8 => row,
        1 => (0..MARKETS, verdicts).prop_map(|(market, verdict)| Step::Verdict(market, verdict)),
        1 => (0..MARKETS, ends).prop_map(|(market, status)| Step::End(market, status)),
        3 => (0..MARKETS).prop_map(Step::Remove),
        1 => Just(Step::View),
    ]
}

/// What a plain table knows of a market.
#[derive(Debug, Clone, PartialEq, Default)]
struct Known {
    condition: u8,
    question: String,
    slug: Option<u8>,
    event: Option<u8>,
    volume: Option<u64>,
    tags: Option<Vec<String>>,
    verdict: Option<Verdict>,
    status: Option<MarketStatus>,
}

fn shown(view: &CatalogueView, found: EntryRef<'_>) -> Known {
    let EntryRef { entry, words } = found;
    let number = |text: &str| text.rsplit('-').next().unwrap().parse().unwrap();
    let mut expected = String::new();
    fold(&entry.market.question, &mut expected);
    assert!(words.starts_with(&expected), "{words} {expected}");
    let label = |id: &TagId| view.tags().get(*id).unwrap().label.to_string();
    let condition = entry.market.condition_id.canonical();
    Known {
        condition: u8::from_str_radix(&format!("0{condition}"), 16).unwrap(),
        question: entry.market.question.clone(),
        slug: entry.market.slug.as_deref().map(number),
        event: entry.market.event.as_ref().map(|event| number(&event.slug)),
        volume: entry.figures.volume.map(Cents::get),
        tags: entry.tags.as_ref().map(|tags| {
            let mut labels: Vec<_> = tags.iter().map(label).collect();
            labels.sort_unstable();
            labels
        }),
        verdict: Some(entry.verdict),
        status: Some(entry.status),
    }
}

type Model = BTreeMap<MarketNumber, Known>;

fn all(view: &CatalogueView) -> Model {
    let all = view
        .iter()
        .map(|found| (found.entry.number, shown(view, found)));
    all.collect()
}

fn found_by(model: &Model, known: impl Fn(&Known) -> bool) -> Vec<MarketNumber> {
    let found = model.iter().filter(|(_, market)| known(market));
    found.map(|(number, _)| *number).collect()
}

fn sorted(found: &[MarketEntry]) -> Vec<MarketNumber> {
    let mut numbers: Vec<_> = found.iter().map(|entry| entry.number).collect();
    numbers.sort_unstable();
    numbers
}

/// One step, in the table and in the model.
fn take(step: Step, table: &mut CatalogueTable, model: &mut Model) {
    let number_of = |model: &Model, market: u8| {
        let known = model.iter().find(|(_, known)| known.condition == market);
        known.map(|(number, _)| *number)
    };
    match step {
        Step::View => {}
        Step::TakeIn {
            market: condition,
            question,
            slug,
            event: of,
            volume,
            tags,
        } => {
            let row = Listed {
                market: Market {
                    question: question.clone(),
                    slug: slug.map(|slug| format!("slug-{slug}").into()),
                    event: of.map(|number| event(&format!("event-{number}"))),
                    ..market(condition)
                },
                figures: Figures {
                    volume: volume.map(Cents::new),
                    ..Figures::default()
                },
                tags: tags.as_ref().map(|tags| {
                    let tags = tags.iter().map(|number| tag(&format!("tag {number}")));
                    tags.collect()
                }),
            };
            let taken = table.take_in(row).unwrap();
            let known = number_of(model, condition);
            assert_eq!(taken.is_new, known.is_none());
            assert_eq!(taken.number, known.unwrap_or(taken.number));
            let known = model.entry(taken.number).or_insert_with(|| Known {
                condition,
                verdict: Some(Verdict::NotFollowed(NotFollowed::Unjudged)),
                status: Some(MarketStatus::Open),
                ..Known::default()
            });
            known.question = question;
            known.slug = slug.or(known.slug);
            known.event = of.or(known.event);
            known.volume = volume.or(known.volume);
            let labels = tags.map(|tags| {
                let mut labels: Vec<_> = tags.iter().map(|tag| format!("tag {tag}")).collect();
                labels.sort_unstable();
                labels.dedup();
                labels
            });
            known.tags = labels.or(known.tags.take());
        }
        Step::Verdict(market, verdict) => {
            if let Some(number) = number_of(model, market) {
                table.set_verdict(number, verdict, None);
                model.get_mut(&number).unwrap().verdict = Some(verdict);
            }
        }
        Step::End(market, status) => {
            if let Some(number) = number_of(model, market) {
                table.set_status(number, status, None);
                model.get_mut(&number).unwrap().status = Some(status);
            }
        }
        Step::Remove(market) => {
            if let Some(number) = number_of(model, market) {
                assert!(table.remove(number));
                model.remove(&number);
            }
        }
    }
}

proptest! {
    #[test]
    fn table_and_views_are_what_a_plain_table_is(
        steps in prop::collection::vec(steps(), 1..120),
        sought in "[ab]{1,2}( [ab])?",
    ) {
        let mut table = CatalogueTable::default();
        let mut model = Model::new();
        let mut held: Vec<(Arc<CatalogueView>, Model)> = Vec::new();
        for step in steps {
            if matches!(step, Step::View) {
                held.push((table.view(), model.clone()));
            }
            take(step, &mut table, &mut model);
        }
        held.push((table.view(), model.clone()));
        for (view, model) in &held {
            prop_assert_eq!(&all(view), model);
            prop_assert_eq!(view.len(), model.len());
        }
        let view = table.view();
        prop_assert_eq!(table.len(), model.len());
        let open = |verdict| {
            let is_so = |known: &&Known| {
                known.status == Some(MarketStatus::Open) && known.verdict == Some(verdict)
            };
            model.values().filter(is_so).count()
        };
        let counts = table.counts();
        prop_assert_eq!(counts.followed(), open(Verdict::Followed));
        for reason in NotFollowed::ALL {
            let expected = open(Verdict::NotFollowed(reason));
            prop_assert_eq!(counts.not_followed(reason), expected);
        }
        // By number, from a number on.
        for number in (0..=u64::from(MARKETS) * 2).map(MarketNumber::new) {
            prop_assert_eq!(view.get(number).is_some(), model.contains_key(&number));
            prop_assert_eq!(table.get(number).is_some(), model.contains_key(&number));
            let rest: Vec<_> = view.from(number).map(|found| found.entry.number).collect();
            let expected: Vec<_> = model.range(number..).map(|(number, _)| *number).collect();
            prop_assert_eq!(rest, expected);
        }
        // By names, of which nothing stays behind.
        let stated = |known: &Known| 3 + usize::from(known.slug.is_some()) + usize::from(known.event.is_some());
        prop_assert_eq!(table.names.len(), model.values().map(stated).sum::<usize>());
        for name in 0..4 {
            let found = sorted(&table.find(&format!("slug-{name}")));
            prop_assert_eq!(found, found_by(&model, |known| known.slug == Some(name)));
            let found = sorted(&table.event(&format!("event-{name}")));
            prop_assert_eq!(found, found_by(&model, |known| known.event == Some(name)));
        }
        for token in 0..u16::from(MARKETS) * 2 + 4 {
            let found = table.of_token(&token.to_string()).map(|entry| entry.number);
            let expected = found_by(&model, |known| u16::from(known.condition) == token / 2);
            prop_assert_eq!(found, expected.first().copied());
        }
        // By words, as by looking at each.
        let phrase = Phrase::parse(&sought).unwrap();
        let found: Vec<(MarketNumber, Fit)> = view
            .search(&phrase)
            .map(|(found, fit)| (found.entry.number, fit))
            .collect();
        let expected: Vec<_> = view
            .iter()
            .filter_map(|found| Some((found.entry.number, phrase.fit(found.words)?)))
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(view.tags().named(&Folded::new("tag-9").unwrap()), None);
    }
}
