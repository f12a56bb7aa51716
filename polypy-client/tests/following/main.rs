//! Books that follow random histories of a model server: they are right after each
//! message, and what is wrong in a history is noticed or does no harm.

mod histories;
mod mutation;
mod server;

use polypy_client::{Books, Broken, Message};
use serde_json::Value;

use server::{Server, TOKENS};

/// Runs a whole history, and says where it was noticed that something is wrong.
fn follow(sent: &[Value]) -> (Books, Option<(usize, Broken)>) {
    let mut books = Books::default();
    for (at, message) in sent.iter().enumerate() {
        let message = Message::parse(&message.to_string()).expect("a message");
        if let Err(broken) = books.take(&message) {
            return (books, Some((at, broken)));
        }
    }
    (books, None)
}

/// Whether the client has what the server has.
fn are_right(books: &Books, server: &Server) -> bool {
    TOKENS.into_iter().all(|token| {
        let truth = server.shown(token);
        books.get(token).is_some_and(|book| {
            book.is_followed()
                && (book.epoch(), book.sequence()) == (truth.epoch, truth.sequence)
                && *book.levels() == truth.levels
        })
    })
}

#[test]
fn books_are_the_servers_after_each_message() {
    for seed in 0..150 {
        let mut server = Server::new(seed);
        let (mut books, broken) = follow(&server.sent);
        assert_eq!(broken, None);
        for _ in 0..50 {
            let before = server.sent.len();
            server.step();
            for message in &server.sent[before..] {
                let message = Message::parse(&message.to_string()).unwrap();
                books.take(&message).unwrap_or_else(|broken| {
                    panic!("seed {seed}: {broken}: {message:?}");
                });
            }
            assert!(are_right(&books, &server), "seed {seed}");
        }
    }
}

#[test]
fn what_is_wrong_is_noticed_or_does_no_harm() {
    let (mut noticed, mut harmless) = (0, 0);
    for seed in 0..3_000 {
        let mut server = Server::new(seed);
        for _ in 0..20 {
            server.step();
        }
        server.finish();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sent = server.sent.clone();
        let Some(what) = mutation::mutate(&mut sent, server.mode(), &mut random) else {
            continue;
        };
        match follow(&sent) {
            (_, Some(_)) => noticed += 1,
            (books, None) => {
                assert!(are_right(&books, &server), "seed {seed}: {what}");
                harmless += 1;
            }
        }
    }
    println!("{noticed} noticed, {harmless} without harm");
    assert!(noticed > 700 && harmless > 200, "{noticed}, {harmless}");
}
