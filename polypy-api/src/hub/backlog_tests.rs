use polypy_core::AssetId;

use super::*;

fn market(
    place: u64,
    market: &str,
    change: MarketHappening,
    token: Option<&str>,
) -> Arc<Published> {
    let event = Event::Market(Box::new(Market {
        change,
        condition_id: ConditionId::new(market).unwrap(),
        slug: None,
        event_slug: None,
        question: None,
        tokens: Vec::new(),
        token_id: token.map(|token| AssetId::new(token).unwrap()),
        tick_size: None,
        winner: None,
        reason: None,
        at: None,
        received_us: 1,
    }));
    Arc::new(Published::new(Some(place), event))
}

/// What happened to a market, or to a token of it.
type Said = (&'static str, MarketHappening, Option<&'static str>);

/// The places of what is told.
fn told(backlog: &mut Backlog) -> Vec<u64> {
    let next = || match backlog.next()? {
        Word::Other(message) => message.position(),
        Word::Gap(_) | Word::Trade(_) => None,
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn of_a_market_the_last_word_of_each_kind_is_told_and_nothing_before_its_end() {
    use MarketHappening::{Ended, Forgotten, New, Resolved, TickSize};
    let cases: [(&[Said], &[u64]); 7] = [
        (&[("0xa", New, None), ("0xa", Resolved, None)], &[1, 2]),
        (
            &[
                ("0xa", TickSize, Some("1")),
                ("0xa", TickSize, Some("2")),
                ("0xb", TickSize, Some("1")),
                ("0xa", TickSize, Some("1")),
            ],
            &[2, 3, 4],
        ),
        (
            &[
                ("0xa", Resolved, None),
                ("0xa", Ended, None),
                ("0xa", Forgotten, None),
            ],
            &[3],
        ),
        // It came and went: the client has never heard of it.
        (&[("0xa", New, None), ("0xa", Forgotten, None)], &[]),
        // It went, and is back.
        (&[("0xa", Forgotten, None), ("0xa", New, None)], &[1, 2]),
        (
            &[
                ("0xa", Forgotten, None),
                ("0xa", New, None),
                ("0xa", Forgotten, None),
            ],
            &[1],
        ),
        (
            &[
                ("0xb", Forgotten, None),
                ("0xa", New, None),
                ("0xa", Forgotten, None),
            ],
            &[1],
        ),
    ];
    for (words, expected) in cases {
        let mut backlog = Backlog::default();
        for (place, (name, change, token)) in (1..).zip(words) {
            assert_eq!(backlog.add(&market(place, name, *change, *token), 0), 0);
        }
        assert_eq!(backlog.len(), expected.len(), "{words:?}");
        assert_eq!(told(&mut backlog), expected, "{words:?}");
        assert!(backlog.is_empty() && backlog.markets.is_empty());
    }
}

#[test]
fn an_older_word_that_is_taken_back_does_not_replace_a_newer_one() {
    let mut backlog = Backlog::default();
    for place in [7, 3] {
        let word = market(place, "0xa", MarketHappening::TickSize, None);
        assert_eq!(backlog.add(&word, 0), 0);
    }
    assert_eq!(told(&mut backlog), [7]);
}
