//! Rows in every form that Gamma has been seen to give, and in worse ones.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn complete() -> Value {
    json!({
        "id": "9200001",
        "question": "Synthetic A?",
        "conditionId": "0xa1",
        "endDate": "2026-10-11T14:00:00Z",
        "endDateIso": "2026-10-11",
        "outcomes": "[\"Yes\", \"No\"]",
        "clobTokenIds": "[\"100011\", \"100012\"]",
        "active": true,
        "closed": false,
        "enableOrderBook": true,
        "acceptingOrders": true,
        "orderPriceMinTickSize": 0.0025,
        "orderMinSize": 5,
        "negRisk": true,
        "unknownField": {"nested": [1, 2, 3]},
    })
}

/// The complete row with some fields replaced; null in `with` removes one.
fn row(with: &Value) -> Row {
    let mut row = complete();
    for (key, value) in with.as_object().unwrap() {
        if value.is_null() {
            row.as_object_mut().unwrap().remove(key);
        } else {
            row[key] = value.clone();
        }
    }
    Row::parse(&row.to_string())
}

fn ids(row: &Row) -> Vec<&str> {
    let market = row.market.as_ref().unwrap();
    market
        .tokens
        .iter()
        .map(|token| token.token_id.as_str())
        .collect()
}

#[test]
fn figures_are_read_from_text_or_number_and_what_is_not_stated_stays_open() {
    let cents = |cents| Some(Cents::new(cents));
    for (with, volume, volume_day, liquidity) in [
        (json!({}), None, None, None),
        (
            json!({"volume": "1321616.8597730005", "volume24hr": 55472.41349, "liquidity": "7"}),
            cents(132_161_685),
            cents(5_547_241),
            cents(700),
        ),
        (
            json!({"volume": "", "volumeNum": 9.999997, "liquidity": null, "liquidityNum": 0}),
            cents(999),
            None,
            cents(0),
        ),
        (
            json!({"volume": "NaN", "volume24hr": true, "liquidity": -1}),
            None,
            None,
            None,
        ),
        // Text counts before the number, which went through a float.
        (
            json!({"volume": "0.29", "volumeNum": 0.2899999}),
            cents(29),
            None,
            None,
        ),
    ] {
        let listed = row(&with).listed().unwrap();
        let expected = Figures {
            volume,
            volume_day,
            liquidity,
        };
        assert_eq!(listed.figures, expected, "{with}");
    }
}

#[test]
fn tags_are_objects_or_labels_and_no_list_is_not_an_empty_one() {
    let tag = |slug: &str, label: &str| Tag {
        slug: slug.into(),
        label: label.into(),
    };
    let politics = json!({"id": "2", "label": "Politics", "slug": "politics"});
    for (tags, expected) in [
        (json!([politics]), Some(vec![tag("politics", "Politics")])),
        (
            json!(["Crypto", "5M"]),
            Some(vec![tag("", "Crypto"), tag("", "5M")]),
        ),
        (
            json!([null, 7, {}, [], {"label": ""}, {"slug": "a"}, {"label": "B"}, politics]),
            Some(vec![
                tag("a", ""),
                tag("", "B"),
                tag("politics", "Politics"),
            ]),
        ),
        (json!([]), Some(vec![])),
        (json!("politics"), None),
        (json!({}), None),
    ] {
        let row = row(&json!({ "tags": tags }));
        assert_eq!(row.listed().unwrap().tags, expected, "{tags}");
    }
    assert_eq!(row(&json!({})).tags, None);
    let with_null = complete().to_string().replacen('{', r#"{"tags":null,"#, 1);
    assert_eq!(Row::parse(&with_null).tags, None);
    let many: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    let row = row(&json!({ "tags": many }));
    assert_eq!(row.tags.unwrap().len(), MAX_TAGS);
}

#[test]
fn names_of_market_and_event_are_read_where_they_are_stated() {
    let named = row(&json!({
        "slug": "synthetic-a",
        "events": [{"id": "1", "slug": "", "title": "?"}, {"slug": "synthetic", "title": "S"}],
    }));
    let market = named.market.unwrap();
    assert_eq!(market.slug.as_deref(), Some("synthetic-a"));
    let event = market.event.unwrap();
    assert_eq!((&*event.slug, &*event.title), ("synthetic", "S"));
    for (slug, events) in [
        (json!(null), json!(null)),
        (json!(""), json!([])),
        (json!("x".repeat(513)), json!([{"title": "no name"}])),
        (json!([1]), json!("text")),
        (json!({}), json!([1, null, {"slug": null}, {"slug": {}}])),
    ] {
        let market = row(&json!({ "slug": slug, "events": events }))
            .market
            .unwrap();
        assert_eq!(market.slug, None, "{slug}");
        assert_eq!(market.event, None, "{events}");
    }
}

#[test]
fn what_a_market_stands_for_is_read_where_it_is_stated() {
    let stated = row(&json!({
        "groupItemTitle": "Spain",
        "groupItemThreshold": "26",
        "category": "Sports",
        "startDate": "2026-04-09T21:25:35.627784Z",
        "events": [{"id": 7, "slug": "s", "negRisk": true, "negRiskAugmented": "true"}],
    }));
    let market = stated.market.unwrap();
    let group = market.group.unwrap();
    assert_eq!((&*group.title, group.order), ("Spain", Some(26)));
    assert_eq!(market.category.as_deref(), Some("Sports"));
    let start = Timestamp::from_millis(1_775_769_935_627);
    assert_eq!(market.start, Some(start));
    let event = market.event.unwrap();
    assert_eq!(event.id.as_deref(), Some("7"));
    assert!(event.neg_risk && event.neg_risk_augmented);
    let unclear = row(&json!({
        "groupItemTitle": "Spain",
        "groupItemThreshold": "first",
        "category": "",
        "startDate": "once",
        "events": [{"slug": "s", "negRisk": "perhaps"}],
    }));
    let market = unclear.market.unwrap();
    assert_eq!(market.group.unwrap().order, None);
    assert_eq!((market.category, market.start), (None, None));
    let event = market.event.unwrap();
    assert!(event.id.is_none() && !event.neg_risk && !event.neg_risk_augmented);
    let silent = row(&json!({ "groupItemTitle": "" })).market.unwrap();
    assert_eq!(silent.group, None);
}

#[test]
fn a_closed_row_says_when_it_was_closed_if_that_is_stated() {
    let at = |closed: bool, time: Value| {
        let row = row(&json!({ "closed": closed, "closedTime": time }));
        row.closed_at.map(Timestamp::millis)
    };
    for time in ["2026-05-28 05:29:05+00", "2026-05-28T05:29:05Z"] {
        assert_eq!(at(true, time.into()), Some(1_779_946_145_000), "{time}");
        assert_eq!(at(false, time.into()), None, "it is not closed");
    }
    for unclear in [json!(null), json!(""), json!("soon"), json!(7), json!([])] {
        assert_eq!(at(true, unclear.clone()), None, "{unclear}");
    }
}

#[test]
fn a_closed_row_says_who_won_if_exactly_one_outcome_costs_one() {
    let winner = |closed: bool, prices: &str| {
        let row = row(&json!({ "closed": closed, "outcomePrices": prices }));
        row.winner.map(|token| token.as_str().to_owned())
    };
    let second = Some("100012".to_owned());
    assert_eq!(winner(true, "[\"0\", \"1\"]"), second);
    assert_eq!(winner(true, "[0, 1.000]"), second);
    assert_eq!(winner(false, "[\"0\", \"1\"]"), None, "it is not closed");
    for unclear in [
        "[\"0.5\", \"0.5\"]",
        "[\"0.0005\", \"0.9995\"]",
        "[\"1\", \"1\"]",
        "[\"0\", \"0\"]",
        "[\"1\"]",
        "[\"1\", \"0\", \"0\"]",
        "[\"one\", \"0\"]",
        "",
    ] {
        assert_eq!(winner(true, unclear), None, "{unclear}");
    }
}

#[test]
fn reads_a_complete_row() {
    let row = row(&json!({}));
    assert_eq!(ids(&row), ["100011", "100012"]);
    let market = row.market.unwrap();
    assert_eq!(market.condition_id.as_str(), "0xa1");
    assert_eq!(row.condition_id, Some(market.condition_id));
    assert_eq!(market.question, "Synthetic A?");
    assert_eq!(&*market.tokens[1].outcome, "No");
    assert_eq!(market.tick_size.unwrap().as_str(), "0.0025");
    assert_eq!(market.min_order_size.unwrap().as_str(), "5");
    assert!(market.neg_risk);
    let end = market.end_timestamp.unwrap();
    assert_eq!(end.to_string(), "2026-10-11T14:00:00.000Z");
}

#[test]
fn says_why_a_row_is_skipped() {
    use SkipReason as R;
    for (with, reason) in [
        (json!({"conditionId": null}), R::NoCondition),
        (json!({"conditionId": ""}), R::NoCondition),
        (json!({"conditionId": false}), R::NoCondition),
        (json!({"conditionId": "0xzz"}), R::BadCondition),
        (json!({"conditionId": 7}), R::BadCondition),
        (json!({"clobTokenIds": null}), R::NoTokens),
        (json!({"clobTokenIds": ""}), R::NoTokens),
        (json!({"clobTokenIds": "[]"}), R::NoTokens),
        (json!({"clobTokenIds": []}), R::NoTokens),
        (json!({"clobTokenIds": "[\"1\""}), R::NoTokens),
        (json!({"clobTokenIds": {"a": 1}}), R::NoTokens),
        (json!({"clobTokenIds": ["1", null]}), R::NoTokens),
        (json!({"clobTokenIds": ["1", "x"]}), R::BadTokens),
        (json!({"clobTokenIds": ["1", "1"]}), R::BadTokens),
        (json!({"clobTokenIds": ["1", -2]}), R::BadTokens),
        (json!({"closed": true}), R::Closed),
        (json!({"closed": "true"}), R::Closed),
        (json!({"enableOrderBook": false}), R::NoOrderBook),
        (json!({"acceptingOrders": false}), R::NotAccepting),
    ] {
        let row = row(&with);
        assert_eq!(row.market, Err(reason), "{with}");
        assert_eq!(row.closed, reason == R::Closed, "{with}");
    }
    for garbage in ["null", "[]", "7", "\"text\"", "{\"id\":1", ""] {
        assert_eq!(Row::parse(garbage).market, Err(R::Malformed), "{garbage}");
    }
    let many: Vec<String> = (0..65).map(|id| id.to_string()).collect();
    let absurd = row(&json!({ "clobTokenIds": many }));
    assert_eq!(absurd.market, Err(R::BadTokens));
}

#[test]
fn a_skipped_row_still_names_its_market() {
    let row = row(&json!({"acceptingOrders": false}));
    assert_eq!(row.condition_id.unwrap().as_str(), "0xa1");
}

#[test]
fn reads_every_form_of_token_ids() {
    let long = "9".repeat(78);
    for (with, expected) in [
        (json!({"clobTokenIds": ["7", "8"]}), ["7", "8"]),
        (json!({"clobTokenIds": "[\"7\",\"8\"]"}), ["7", "8"]),
        (json!({"clobTokenIds": [7, 8]}), ["7", "8"]),
        (
            json!({"clobTokenIds": format!("[\"{long}\",\"8\"]")}),
            [long.as_str(), "8"],
        ),
        // Position ids are for the second protocol, and for rows with nothing else.
        (json!({"positionIds": ["5", "6"]}), ["100011", "100012"]),
        (
            json!({"positionIds": ["5", "6"], "version": "v1"}),
            ["100011", "100012"],
        ),
        (
            json!({"positionIds": ["5", "6"], "version": "v2"}),
            ["5", "6"],
        ),
        (json!({"positionIds": ["5", "6"], "version": 2}), ["5", "6"]),
        (
            json!({"positionIds": ["5", "6"], "version": "2.1"}),
            ["5", "6"],
        ),
        (
            json!({"positionIds": ["5", "6"], "clobTokenIds": null}),
            ["5", "6"],
        ),
        (json!({"version": "v2"}), ["100011", "100012"]),
    ] {
        assert_eq!(ids(&row(&with)), expected, "{with}");
    }
}

#[test]
fn token_ids_written_as_numbers_keep_all_their_digits() {
    let long = "7".repeat(77);
    let json = format!(r#"{{"conditionId":"0xa1","clobTokenIds":[{long},8]}}"#);
    assert_eq!(ids(&Row::parse(&json)), [&long, "8"]);
}

#[test]
fn what_only_describes_never_costs_the_row() {
    for with in [
        json!({"question": null}),
        json!({"question": ["a"]}),
        json!({"outcomes": null}),
        json!({"outcomes": "[broken"}),
        json!({"outcomes": ["only one"]}),
        json!({"endDate": "31/12/2026", "endDateIso": null}),
        json!({"endDate": "9999-99-99"}),
        json!({"orderPriceMinTickSize": "a tick"}),
        json!({"orderMinSize": -5}),
        json!({"negRisk": "maybe"}),
        json!({"enableOrderBook": null, "acceptingOrders": null}),
    ] {
        let row = row(&with);
        assert!(row.market.is_ok(), "{with}: {row:?}");
    }
    let market = row(&json!({"outcomes": ["only one"]})).market.unwrap();
    assert_eq!(&*market.tokens[0].outcome, "only one");
    assert_eq!(&*market.tokens[1].outcome, "");
}

#[test]
fn decimals_are_exact_and_written_as_hashed() {
    for (written, read) in [
        ("0.01", Some("0.01")),
        ("\"0.01\"", Some("0.01")),
        ("0.0001", Some("0.0001")),
        ("0.010", Some("0.01")),
        ("5.0", Some("5")),
        ("15", Some("15")),
        ("0", None),
        ("1e-3", Some("0.001")),
        ("5e-05", Some("0.00005")),
        ("\"5E-05\"", Some("0.00005")),
        ("5e-07", None),
        ("1e999", None),
        ("0.010000000000000002", None),
        ("null", None),
    ] {
        let json = format!(
            r#"{{"conditionId":"0xa1","clobTokenIds":["1"],"orderPriceMinTickSize":{written}}}"#
        );
        let market = Row::parse(&json).market.unwrap();
        let tick = market.tick_size.map(|tick| tick.to_string());
        assert_eq!(tick.as_deref(), read, "{written}");
    }
}

#[test]
fn end_dates_fall_back_to_the_bare_date() {
    for (with, text, end) in [
        (
            json!({"endDate": null}),
            Some("2026-10-11"),
            Some("2026-10-11T00:00:00.000Z"),
        ),
        (json!({"endDate": "soon"}), Some("soon"), None),
        (json!({"endDate": null, "endDateIso": null}), None, None),
    ] {
        let market = row(&with).market.unwrap();
        assert_eq!(market.end_date_iso.as_deref(), text, "{with}");
        let stamp = market.end_timestamp.map(|stamp| stamp.to_string());
        assert_eq!(stamp.as_deref(), end, "{with}");
    }
}

#[test]
fn reasons_are_listed_in_order() {
    for (index, reason) in SkipReason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), index);
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        Row::parse(&text);
    }

    /// Any field may hold any JSON value: the row is read or skipped.
    #[test]
    fn no_value_in_any_field_panics(field in 0usize..15, value in any_json()) {
        let mut row = complete();
        let key = row.as_object().unwrap().keys().nth(field).unwrap().clone();
        row[&key] = value;
        Row::parse(&row.to_string());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        Just(Value::from("[\"1\",\"2\"]")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
