use std::collections::BTreeSet;

use super::*;

#[test]
fn every_default_is_read_as_written() {
    for key in KEYS {
        let mut config = Config::default();
        let read = key.set(&mut config, key.default);
        assert_eq!(read, Ok(()), "{}", key.name);
        assert_eq!(config, Config::default(), "{}", key.name);
        let shown = key.show(&config);
        assert_eq!(
            key.set(&mut config, &shown),
            Ok(()),
            "{} = {shown}",
            key.name
        );
    }
}

#[test]
fn ranges_read_and_hold_the_default() {
    for key in KEYS {
        if let Some((low, high)) = key.range {
            let mut config = Config::default();
            assert_eq!(key.set(&mut config, low), Ok(()), "{}", key.name);
            assert_eq!(key.set(&mut config, high), Ok(()), "{}", key.name);
        }
    }
}

#[test]
fn no_two_keys_share_a_name() {
    let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
    let variables: BTreeSet<_> = KEYS.iter().map(Key::env).collect();
    let flags: BTreeSet<_> = KEYS.iter().map(Key::flag).collect();
    assert_eq!([names.len(), variables.len(), flags.len()], [KEYS.len(); 3]);
}

#[test]
fn the_established_names_are_kept() {
    let variable = |name| key(name).map(Key::env);
    assert_eq!(variable("http.enabled").as_deref(), Some("ENABLE_HTTP"));
    assert_eq!(variable("http.port").as_deref(), Some("HTTP_PORT"));
    assert_eq!(variable("log.level").as_deref(), Some("LOG_LEVEL"));
    assert_eq!(
        variable("venue.ws_url").as_deref(),
        Some("POLYPY_VENUE__WS_URL")
    );
}

#[test]
fn every_key_says_what_it_does() {
    for key in KEYS {
        assert!(key.doc().ends_with('.'), "{}: {}", key.name, key.doc());
    }
}
