use super::*;

fn mistakes(json: &str) -> Vec<String> {
    let error = Overlay::parse(json).expect_err(json);
    error.mistakes().iter().map(ToString::to_string).collect()
}

#[test]
fn each_kind_of_value_means_what_it_means_in_a_file() {
    let overlay = Overlay::parse(
        r#"{"neg_risk": true, "tags": ["Middle East", "crypto"], "slugs": "btc-*, eth-*",
            "max_markets": 500, "min_volume": 10000.5, "min_liquidity": "0.50", "order": "end"}"#,
    );
    let overlay = overlay.unwrap();
    let layer = overlay.layer();
    assert!(layer.mistakes.is_empty());
    let mut config = Config::default();
    for entry in &layer.entries {
        assert_eq!(entry.source.to_string(), "overlay");
        assert_eq!(entry.key.set(&mut config, &entry.text), Ok(()));
    }
    let shown = |name: &str| crate::config::key(name).unwrap().show(&config);
    assert_eq!(shown("markets.tags"), "Middle East, crypto");
    assert_eq!(shown("markets.slugs"), "btc-*, eth-*");
    assert_eq!(shown("markets.max_markets"), "500");
    assert_eq!(shown("markets.min_volume"), "10000.50");
    assert_eq!(shown("markets.min_liquidity"), "0.50");
    assert_eq!(shown("markets.neg_risk"), "true");
    assert_eq!(shown("markets.order"), "end");
    // What is written is read as the same, and stands in the table's order.
    let written = overlay.to_string();
    assert!(
        written.starts_with(r#"{"tags":["Middle East","crypto"],"#),
        "{written}"
    );
    assert_eq!(Overlay::parse(&written).unwrap(), overlay);
    assert!(!overlay.is_empty());
    let of = |markets| Overlay::parse(&format!("{{\"max_markets\": {markets}}}")).unwrap();
    assert_ne!(of(3), of(4));
    assert_eq!(Overlay::parse(" {} ").unwrap(), Overlay::default());
}

#[test]
fn all_mistakes_are_named_at_once_with_what_would_be_right() {
    let found = mistakes(
        r#"{"tgas": "crypto", "markets.events": "a", "colour": 1, "shard": "0/4",
            "overlay_file": "/x", "max_markets": -1, "order": ["end"], "tags": ["a, b"],
            "ends_before": null, "events": {"a": 1}, "neg_risk": "perhaps"}"#,
    );
    assert_eq!(
        found,
        [
            "tgas: unknown key, did you mean tags? (overlay)",
            "markets.events: unknown key, did you mean events? (overlay)",
            "colour: unknown key; the overlay has keys of [markets] without its name, all but \
             shard and overlay_file (overlay)",
            "shard: is settled when the program starts: set it in another layer (overlay)",
            "overlay_file: is settled when the program starts: set it in another layer (overlay)",
            "max_markets: must be a whole number from 0 on, not \"-1\" (overlay)",
            "order: must be a text, a number or a truth (order), not [\"end\"] (overlay)",
            "tags: has a text with a comma in its array, \"a, b\": make it several texts (overlay)",
            "ends_before: must be a text, a number or a truth (date|duration), not null (overlay)",
            "events: must be a text (slugs) or an array of texts, not {\"a\":1} (overlay)",
            "neg_risk: must be any, true or false, not \"perhaps\" (overlay)",
        ]
    );
}

#[test]
fn a_list_has_texts_and_none_of_them_is_empty() {
    let empty = "has an empty text in its array: leave it out; [] alone leaves the key unset";
    for (value, reason) in [
        ("5", "must be a text (words) or an array of texts, not 5"),
        (
            "true",
            "must be a text (words) or an array of texts, not true",
        ),
        (
            "[\"a\", 5]",
            "must have nothing but texts in its array (words)",
        ),
        ("[[]]", "must have nothing but texts in its array (words)"),
        ("[\"\"]", empty),
        ("[\"crypto\", \" \"]", empty),
    ] {
        let found = mistakes(&format!("{{\"tags\": {value}}}"));
        assert_eq!(found, [format!("tags: {reason} (overlay)")]);
    }
    // A key that is unset, whatever is below it.
    for value in ["\"\"", "[]"] {
        let overlay = Overlay::parse(&format!("{{\"text\": {value}}}")).unwrap();
        assert!(!overlay.is_empty(), "{value}");
    }
}

#[test]
fn a_key_that_stands_twice_is_a_mistake() {
    let found = mistakes(r#"{"tags": "crypto", "tags": "sports"}"#);
    assert_eq!(
        found,
        ["tags: stands there twice: leave one of them out (overlay)"]
    );
}

#[test]
fn what_is_no_object_is_refused_with_an_example() {
    for odd in [
        "",
        "[]",
        "7",
        "\"tags\"",
        "{",
        "{} {}",
        "{\"tags\"}",
        "null",
    ] {
        let found = mistakes(odd);
        assert_eq!(found.len(), 1, "{odd}");
        let text = "overlay: must be a JSON object of keys of [markets], such as \
                    {\"tags\": [\"crypto\"]}: ";
        assert!(found[0].starts_with(text), "{found:?}");
    }
    let deep = format!("{{\"tags\": {}{}}}", "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(mistakes(&deep).len(), 1);
}

#[test]
fn neither_what_is_sent_nor_what_is_kept_is_longer_than_the_bound() {
    let long = format!("{{\"tags\": \"{}\"}}", "a".repeat(MOST_BYTES));
    assert_eq!(
        mistakes(&long),
        ["overlay: has more than 262144 bytes (overlay)"]
    );
    // Three letters here, twelve once written out.
    let rest = "{\"tags\":\"\",\"min_volume\":1e9}";
    let tags = "a".repeat(MOST_BYTES - rest.len());
    let found = mistakes(&rest.replacen("\"\"", &format!("\"{tags}\""), 1));
    assert!(
        found[0].contains("when its numbers are written out"),
        "{found:?}"
    );
}
