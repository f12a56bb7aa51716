use std::path::Path;

use super::*;
use crate::config::document::from_toml;

fn values(layer: &Layer) -> Vec<(&str, &str, String)> {
    let entries = layer.entries.iter();
    entries
        .map(|entry| {
            (
                entry.key.name,
                entry.text.as_str(),
                entry.source.to_string(),
            )
        })
        .collect()
}

fn mistakes(layer: &Layer) -> Vec<String> {
    layer.mistakes.iter().map(ToString::to_string).collect()
}

fn toml(text: &str) -> Layer {
    from_toml(text, Path::new("p.toml"))
}

#[test]
fn a_file_gives_text_with_its_line() {
    let layer = toml("[http]\nport = 9090\nenabled = true\n\n[log]\nlevel = 'debug'\n");
    assert_eq!(mistakes(&layer), [""; 0]);
    assert_eq!(
        values(&layer),
        [
            ("http.port", "9090", "p.toml line 2".to_owned()),
            ("http.enabled", "true", "p.toml line 3".to_owned()),
            ("log.level", "debug", "p.toml line 6".to_owned()),
        ]
    );
}

#[test]
fn toml_notations_reach_the_same_value() {
    for text in [
        "http.port = 0x1F90",
        "http = { port = 8_080 }",
        "[http]\nport = '8080'",
    ] {
        let layer = toml(text);
        let mut config = super::super::Config::default();
        config.http.port = 1;
        let entry = layer.entries.first().expect(text);
        assert_eq!(entry.key.set(&mut config, &entry.text), Ok(()));
        assert_eq!(config.http.port, 8080, "{text}");
    }
}

#[test]
fn a_file_names_all_its_mistakes() {
    let layer =
        toml("colour = 1\n[http]\nprot = 80\nport = [1]\n[pool.target]\nx = 1\n[htpp]\nport = 1\n");
    assert_eq!(
        mistakes(&layer),
        [
            "colour: unknown key (p.toml line 1)",
            "http.prot: unknown key, did you mean http.port? (p.toml line 3)",
            "http.port: must be a single value (number) (p.toml line 4)",
            "pool.target: must be a single value (number) (p.toml line 5)",
            "[htpp]: unknown section, did you mean [http]? (p.toml line 7)",
        ]
    );
}

#[test]
fn a_misspelt_section_is_named_once_and_its_keys_are_judged_all_the_same() {
    for (text, expected) in [
        (
            "[integirty]\nhash_check = true\nhash_chekc = 1\n",
            vec![
                "[integirty]: unknown section, did you mean [integrity]? (p.toml line 1)",
                "integrity.hash_chekc: unknown key, did you mean integrity.hash_check? (p.toml line 3)",
            ],
        ),
        (
            "[htpp]\n",
            vec!["[htpp]: unknown section, did you mean [http]? (p.toml line 1)"],
        ),
        (
            "http = 1\n",
            vec!["http: must be a section, [http] (p.toml line 1)"],
        ),
        (
            "[workers]\nhash_check = true\n",
            vec![
                "workers.hash_check: unknown key, did you mean integrity.hash_check? (p.toml line 2)",
            ],
        ),
    ] {
        assert_eq!(mistakes(&toml(text)), expected, "{text}");
    }
    let strange = toml("[elephants]\nx = 1\n");
    let [only] = &mistakes(&strange)[..] else {
        panic!("{strange:?}");
    };
    assert!(only.starts_with("[elephants]: unknown section; there are [http], "));
    assert!(only.ends_with("(p.toml line 1)"));
}

#[test]
fn syntax_is_a_mistake_with_its_line_and_the_rest_is_read() {
    let layer = toml("[http]\nport = \n[log]\nlevel = 'debug'\n");
    assert!(mistakes(&layer)[0].starts_with("syntax: "));
    assert!(mistakes(&layer)[0].ends_with("(p.toml line 2)"));
    assert!(
        values(&layer)
            .iter()
            .any(|(name, _, _)| *name == "log.level")
    );
}

#[test]
fn a_syntax_error_brings_no_second_mistake() {
    for (text, expected) in [
        ("[http\nport = 80\n", "(p.toml line 1)"),
        ("[http]\nport = \nhost = 1\n", "(p.toml line 2)"),
        ("[http]\nport = 80 80\n", "(p.toml line 2)"),
        ("[http]\nport : 80\n", "(p.toml line 2)"),
        ("[http]\nport = \"80\n", "(p.toml line 2)"),
        ("http]\nport = 80\n", "(p.toml line 1)"),
        ("[http]\nhost = [\nport = 80\n", "(p.toml line 3)"),
        ("a = [\n[http]\nport = 80\n", "(p.toml line 3)"),
    ] {
        let found = mistakes(&toml(text));
        let [only] = &found[..] else {
            panic!("{text:?}: {found:?}");
        };
        assert!(
            only.starts_with("syntax: ") && only.ends_with(expected),
            "{only}"
        );
    }
    // Other sections are read and judged.
    let found = mistakes(&toml("[http]\nport = \n[log]\nlevle = 'info'\n"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("log.levle: unknown key"), "{found:?}");
}

#[test]
fn a_key_with_a_name_of_its_own_has_both_and_its_own_counts() {
    let port = |variables: &[(&'static str, &'static str)]| {
        let layer = from_environment(variables.iter().copied());
        assert_eq!(mistakes(&layer), [""; 0]);
        let last = layer.entries.last().map(|entry| entry.text.clone());
        last.unwrap_or_default()
    };
    assert_eq!(port(&[("POLYPY_HTTP__PORT", "1")]), "1");
    assert_eq!(port(&[("POLYPY_HTTP__PORT", "1"), ("HTTP_PORT", "2")]), "2");
    assert_eq!(port(&[("HTTP_PORT", "2"), ("POLYPY_HTTP__PORT", "1")]), "2");
    assert_eq!(port(&[("HTTP_PORT", ""), ("POLYPY_HTTP__PORT", "1")]), "1");
}

#[test]
fn variables_are_found_by_their_names() {
    let layer = from_environment([
        ("HTTP_PORT", "1"),
        ("LOG_LEVEL", ""),
        ("POLYPY_VENUE__WS_URL", "ws://a"),
        ("HOME", "/"),
        ("POLYPY_CAPTURES", "x"),
    ]);
    assert_eq!(mistakes(&layer), [""; 0]);
    assert_eq!(
        values(&layer),
        [
            ("http.port", "1", "environment HTTP_PORT".to_owned()),
            (
                "venue.ws_url",
                "ws://a",
                "environment POLYPY_VENUE__WS_URL".to_owned()
            ),
        ]
    );
}

#[test]
fn unknown_variables_of_ours_are_refused_with_a_suggestion() {
    for (variable, suggestion) in [
        ("POLYPY_HTTP__PROT", ", did you mean HTTP_PORT?"),
        ("POLYPY_HTTP__HOTS", ", did you mean POLYPY_HTTP__HOST?"),
        ("POLYPY_HTTP_PORT", ", did you mean HTTP_PORT?"),
        ("POLYPY_ENABLE_HTTP", ", did you mean ENABLE_HTTP?"),
        (
            "POLYPY_VENUE_WS_URL",
            ", did you mean POLYPY_VENUE__WS_URL?",
        ),
        (
            "POLYPY_VENUE__WS_ULR",
            ", did you mean POLYPY_VENUE__WS_URL?",
        ),
        ("POLYPY_X", ""),
    ] {
        let layer = from_environment([(variable, "1")]);
        assert_eq!(
            mistakes(&layer),
            [format!(
                "{variable}: unknown key{suggestion} (environment {variable})"
            )]
        );
    }
}

#[test]
fn what_kubernetes_sets_beside_a_service_is_not_ours() {
    let layer = from_environment([
        ("POLYPY_SERVICE_HOST", "10.0.0.1"),
        ("POLYPY_SERVICE_PORT", "8080"),
        ("POLYPY_SERVICE_PORT_HTTP", "8080"),
        ("POLYPY_PORT", "tcp://10.0.0.1:8080"),
        ("POLYPY_HTTP_PORT", "tcp://10.0.0.1:8080"),
        ("POLYPY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("POLYPY_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ]);
    assert_eq!(mistakes(&layer), [""; 0]);
}

#[test]
fn what_was_written_cannot_move_the_cursor() {
    let layer = toml("\"\\u001b[2J\" = 1\n");
    assert_eq!(
        mistakes(&layer),
        ["\\u{1b}[2J: unknown key (p.toml line 1)"]
    );
}
