//! `data/histories.ndjson`: histories, right ones and wrong ones, with what a client has
//! to find. Clients in other languages are held against the same file.
//!
//! `POLYPY_BLESS=1 cargo test -p polypy-client` writes it.

use std::fs;
use std::path::PathBuf;

use polypy_core::Side;
use serde_json::{Map, Value, json};

use crate::follow;
use crate::mutation::mutate;
use crate::server::{Server, TOKENS};

const HISTORIES: u64 = 45;

/// What there is to find in a history: the message that breaks it, or the books.
fn found(sent: &[Value]) -> Value {
    let (books, broken) = follow(sent);
    if let Some((at, _)) = broken {
        return json!({ "broken_at": at });
    }
    let mut shown = Map::new();
    for token in TOKENS {
        let Some(book) = books.get(token) else {
            continue;
        };
        let levels = |side| {
            let levels = book.levels().levels(side);
            levels
                .map(|level| json!([level.price, level.size]))
                .collect::<Vec<_>>()
        };
        let book = json!({
            "epoch": book.epoch(), "sequence": book.sequence(), "is_followed": book.is_followed(),
            "is_live": book.is_live(), "state": book.state().name(), "reason": book.reason(),
            "bids": levels(Side::Bid), "asks": levels(Side::Ask),
        });
        shown.insert(token.to_owned(), book);
    }
    json!({ "books": shown })
}

#[test]
fn the_file_of_histories_is_what_this_client_finds() {
    let mut lines = String::new();
    for seed in 0..HISTORIES {
        let mut server = Server::new(seed);
        for _ in 0..6 {
            server.step();
        }
        server.finish();
        let mut sent = server.sent.clone();
        let mut random = fastrand::Rng::with_seed(seed);
        let what = (!seed.is_multiple_of(4))
            .then(|| mutate(&mut sent, server.mode(), &mut random))
            .flatten();
        let found = found(&sent);
        let line = json!({ "mutation": what, "found": found, "messages": sent });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/histories.ndjson");
    if std::env::var_os("POLYPY_BLESS").is_some() {
        fs::write(&path, &lines).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == lines,
        "out of date: POLYPY_BLESS=1 cargo test -p polypy-client"
    );
    let broken = lines.matches("broken_at").count();
    assert!((10..35).contains(&broken), "{broken} are noticed");
}
