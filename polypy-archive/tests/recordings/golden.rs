//! A file that was written once is read for ever.
//!
//! `POLYPY_BLESS=1` writes `tests/data/recording.mcap` and, beside it, what is in it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use polypy_core::recording::{CatalogueEvent, Entry, Recorded, RestAnswer, Sent, SocketEvent};
use polypy_core::{AssetId, ConditionId, Market, Owner, Token};

use crate::common::{BEGIN, data_of, entries, finished, header, read};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn market() -> Market {
    let token = |id: &str, outcome: &str| Token {
        token_id: AssetId::new(id).expect("digits"),
        outcome: outcome.into(),
    };
    let condition = ConditionId::new("0xa1").expect("hexadecimal digits");
    Market {
        question: "Will it rain?".into(),
        neg_risk: true,
        ..Market::new(condition, vec![token("123", "Yes"), token("124", "No")])
    }
}

/// Every kind of entry.
fn all_kinds() -> Vec<Recorded> {
    let token = AssetId::new("123").expect("digits");
    let socket = 1;
    let kinds = [
        Entry::Socket(SocketEvent::Opened {
            socket,
            connection: "connection-1".into(),
            is_replacement: false,
        }),
        Entry::Socket(SocketEvent::Open {
            socket: 2,
            connection: "connection-2".into(),
            next_sequence: 17,
            feed_id: None,
        }),
        Entry::Sent(Sent {
            socket,
            asked: "resubscribe".into(),
            reason: Some("hash".into()),
            tokens: vec![token.clone()],
            text: r#"{"operation":"subscribe"}"#.into(),
        }),
        Entry::Answer(RestAnswer {
            path: "/books".into(),
            request: r#"[{"token_id":"123"}]"#.into(),
            status: 200,
            purpose: "seed".into(),
            requested: BEGIN - 1,
            body: "[]".into(),
        }),
        Entry::Socket(SocketEvent::FirstBooks {
            socket,
            tokens: vec![token],
            origin: "rest".into(),
        }),
        Entry::Socket(SocketEvent::Delivers { socket, feed_id: 9 }),
        Entry::Catalogue(CatalogueEvent::Followed {
            market: Box::new((&market()).into()),
        }),
        Entry::Catalogue(CatalogueEvent::Ended {
            condition_id: market().condition_id,
            reason: "released".into(),
        }),
        Entry::Socket(SocketEvent::Closed {
            socket,
            reason: "age".into(),
            owner: Owner::Us,
        }),
    ];
    let kinds = kinds.into_iter().map(|entry| Recorded { at: BEGIN, entry });
    kinds.chain(entries(80)).collect()
}

/// A line for each entry.
fn lines(entries: &[Recorded]) -> String {
    let mut text = String::new();
    for recorded in entries {
        let (channel, data) = data_of(recorded);
        let data = String::from_utf8(data).expect("all of it is text");
        let line = serde_json::json!({ "channel": channel, "at": recorded.at, "data": data });
        writeln!(text, "{line}").expect("a text takes all");
    }
    text
}

#[test]
fn a_file_that_was_written_once_is_read_for_ever() {
    if std::env::var_os("POLYPY_BLESS").is_some() {
        let entries = all_kinds();
        std::fs::write(data("recording.mcap"), finished(&entries, 30)).unwrap();
        std::fs::write(data("entries.ndjson"), lines(&entries)).unwrap();
    }
    let read = read(&std::fs::read(data("recording.mcap")).unwrap());
    assert!(read.is_clean(), "{:?} {:?}", read.damaged, read.torn);
    assert_eq!(read.header, Some(header()));
    let expected = std::fs::read_to_string(data("entries.ndjson")).unwrap();
    assert!(
        lines(&read.entries) == expected,
        "other entries than those beside it"
    );
}
