use std::sync::Arc;

use polypy_core::AssetInfo;
use polypy_core::{
    AssetId, BookHash, ConditionId, DecimalText, Interner, LevelChange, StaleReason, Timestamp,
};
use serde_json::Value;

use super::*;
use crate::cursor::Instance;
use crate::filter::{Channel, Channels, Mode};
use crate::message::{Cause, GapReason, HelloLimits, MarketHappening};

const YES: &str = "71321045679252212594626385532706912750332728571942532289631379312455583992563";
const NO: &str = "52114319501245915516055106046884209969926127482827954674443846427813813222426";
const MARKET: &str = "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1";

/// Equal to what clients are tested with, byte for byte.
const GOLDEN: &str = include_str!("../../polypy-client/tests/data/messages.ndjson");

/// Both tokens of a market.
fn tokens() -> [Arc<TokenInfo>; 2] {
    let mut interner = Interner::default();
    let condition = ConditionId::new(MARKET).unwrap();
    [YES, NO].map(|id| {
        let id = AssetId::new(id).unwrap();
        let info = interner.insert(&id, &condition, |key| {
            AssetInfo::new(key, id.clone(), condition.clone())
        });
        let outcome = if id.as_str() == YES { "Yes" } else { "No" };
        Arc::new(TokenInfo {
            info,
            outcome: Some(outcome.into()),
            winner: None,
        })
    })
}

fn level(price: &str, size: &str) -> Level {
    Level::new(price.parse().unwrap(), size.parse().unwrap())
}

fn change(side: Side, price: &str, size: &str) -> LevelChange {
    let Level { price, size } = level(price, size);
    LevelChange { side, price, size }
}

fn price(text: &str) -> Option<Price> {
    Some(text.parse().unwrap())
}

fn cursor(position: u64) -> Option<Cursor> {
    let instance = Instance(0x5f3a_9c1d_2b7e_4a60);
    Some(Cursor { instance, position })
}

fn stale(reason: StaleReason) -> BookState {
    BookState::Stale(reason)
}

fn market(change: MarketHappening, received_us: u64) -> Market {
    Market {
        change,
        condition_id: ConditionId::new(MARKET).unwrap(),
        slug: Some("will-it-rain-in-lisbon-on-friday".into()),
        event_slug: Some("weather-in-lisbon".into()),
        question: Some("Will it rain in Lisbon on \"Friday\"?".into()),
        tokens: [(YES, "Yes"), (NO, "No")]
            .map(|(id, outcome)| (AssetId::new(id).unwrap(), outcome.into()))
            .into(),
        token_id: None,
        tick_size: None,
        winner: None,
        reason: None,
        at: None,
        received_us,
    }
}

fn gap(scope: GapScope, reason: GapReason) -> Gap {
    Gap {
        scope,
        reason,
        epoch: None,
        after: None,
        before: None,
        missing: None,
        from_us: None,
        to_us: None,
        next_is_snapshot: true,
    }
}

fn subscribed(id: u64) -> Subscribed {
    Subscribed {
        id,
        tokens: 1,
        unknown: vec!["12345".into()],
        channels: Channels::NONE.with(Channel::Book),
        mode: Mode {
            interval: Some(std::time::Duration::from_millis(500)),
            depth: Some(10),
        },
        heartbeat_ms: 5_000,
        was_resuming: true,
        recovered: true,
        cursor: cursor(57),
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "a list: each message of the golden file"
)]
fn messages() -> Vec<Event> {
    let [yes, no] = tokens();
    let tick = |text| Some(DecimalText::new(text).unwrap());
    let no_id = Some(AssetId::new(NO).unwrap());
    let top = Top {
        token: Arc::clone(&yes),
        epoch: 1,
        sequence: 4_711,
        state: BookState::Live,
        at: Timestamp::from_millis(1_795_429_799_750),
        received_us: 1_795_429_799_781_250,
        bid: Some(level("0.489", "29.5")),
        ask: Some(level("0.5025", "0.29")),
        conflated: None,
    };
    let delta = Delta {
        token: Arc::clone(&yes),
        epoch: 1,
        previous: 4_711,
        sequence: 4_713,
        at: Timestamp::from_millis(1_795_429_800_012),
        received_us: 1_795_429_800_044_016,
        changes: vec![
            change(Side::Bid, "0.489", "0"),
            change(Side::Ask, "0.5025", "17.000001"),
        ],
        best_bid: price("0.488"),
        best_ask: price("0.5025"),
        conflated: None,
        depth: None,
    };
    let snapshot = Snapshot {
        token: Arc::clone(&yes),
        epoch: 1,
        sequence: 4_711,
        cause: Cause::Subscribed,
        state: BookState::Live,
        verified: Some(true),
        hash: BookHash::from_hex(b"0123456789abcdef0123456789abcdef01234567"),
        tick_size: tick("0.001"),
        depth: None,
        at: Timestamp::from_millis(1_795_429_799_750),
        received_us: 1_795_429_799_781_250,
        bids: vec![level("0.489", "29.5"), level("0.488", "1200")],
        asks: vec![level("0.5025", "0.29"), level("0.521", "120")],
    };
    let trade = Trade {
        token: Arc::clone(&yes),
        sequence: 31,
        price: "0.5025".parse().unwrap(),
        size: "219.217767".parse().unwrap(),
        side: Some(Side::Bid),
        at: Timestamp::from_millis(1_795_429_800_020),
        received_us: 1_795_429_800_051_002,
    };
    let state = State {
        token: Arc::clone(&no),
        state: Some(BookState::Pending),
        since_ms: 1_795_429_799_000,
        epoch: 0,
        sequence: 0,
        verified: None,
        winner: None,
    };
    let error = |id, code, is_temporary, message: &str| {
        Event::Error(Box::new(ErrorMessage {
            id,
            code,
            is_temporary,
            message: message.to_owned(),
        }))
    };
    let heartbeat = |cursor, now_us, queued_bytes| {
        Event::Heartbeat(Heartbeat {
            cursor,
            now_us,
            queued_bytes,
        })
    };
    vec![
        Event::Hello(Box::new(Hello {
            instance: Instance(0x5f3a_9c1d_2b7e_4a60),
            server: "polypy/0.1.0".into(),
            limits: HelloLimits {
                subscriptions: 64,
                tokens: 5_000,
                operations_per_second: 10,
                operations_burst: 50,
                message_bytes: 524_288,
                buffer_bytes: 4_194_304,
                resume_seconds: 60,
            },
        })),
        Event::Subscribed(Box::new(Subscribed {
            tokens: 2,
            unknown: Vec::new(),
            channels: Channel::ALL.into_iter().collect(),
            mode: Mode::default(),
            was_resuming: false,
            recovered: false,
            cursor: None,
            ..subscribed(1)
        })),
        Event::Snapshot(Box::new(snapshot.clone())),
        Event::Top(Box::new(top.clone())),
        Event::State(Box::new(state.clone())),
        Event::Ready(Place {
            id: 1,
            cursor: cursor(18),
        }),
        Event::Delta(Box::new(delta.clone())),
        Event::Trade(Box::new(trade.clone())),
        Event::Trade(Box::new(Trade {
            sequence: 32,
            price: "0.488".parse().unwrap(),
            size: "5".parse().unwrap(),
            side: None,
            received_us: 1_795_429_800_051_010,
            ..trade
        })),
        Event::Delta(Box::new(Delta {
            previous: 4_713,
            sequence: 4_720,
            at: Timestamp::from_millis(1_795_429_800_512),
            received_us: 1_795_429_800_544_100,
            changes: vec![
                change(Side::Ask, "0.5025", "0"),
                change(Side::Ask, "0.521", "0"),
            ],
            best_ask: None,
            conflated: Some(Conflated::Interval),
            ..delta.clone()
        })),
        Event::Delta(Box::new(Delta {
            previous: 4_720,
            sequence: 4_729,
            at: Timestamp::from_millis(1_795_429_801_012),
            received_us: 1_795_429_801_044_100,
            changes: vec![
                change(Side::Bid, "0.488", "0"),
                change(Side::Ask, "0.6", "10"),
            ],
            best_bid: None,
            best_ask: price("0.6"),
            conflated: Some(Conflated::Backlog),
            depth: Some(10),
            ..delta
        })),
        Event::Top(Box::new(Top {
            sequence: 4_729,
            state: stale(StaleReason::Hash),
            at: Timestamp::from_millis(1_795_429_801_012),
            received_us: 1_795_429_801_044_100,
            bid: None,
            ask: None,
            conflated: Some(Conflated::Interval),
            ..top
        })),
        Event::State(Box::new(State {
            token: Arc::clone(&yes),
            state: Some(stale(StaleReason::Disconnected)),
            since_ms: 1_795_429_802_000,
            epoch: 1,
            sequence: 4_729,
            verified: Some(false),
            winner: None,
        })),
        Event::Gap(Box::new(Gap {
            epoch: Some(1),
            after: Some(4_729),
            before: Some(4_735),
            from_us: Some(1_795_429_802_000_123),
            to_us: Some(1_795_429_803_100_456),
            ..gap(
                GapScope::Token(Arc::clone(&yes)),
                GapReason::Stale(StaleReason::Disconnected),
            )
        })),
        Event::Snapshot(Box::new(Snapshot {
            token: Arc::new(TokenInfo {
                outcome: None,
                ..TokenInfo::clone(&yes)
            }),
            epoch: 2,
            sequence: 4_735,
            cause: Cause::Epoch,
            state: stale(StaleReason::Hash),
            verified: None,
            hash: None,
            tick_size: None,
            depth: Some(10),
            at: Timestamp::from_millis(1_795_429_803_090),
            received_us: 1_795_429_803_100_456,
            bids: Vec::new(),
            asks: vec![level("0.6", "10")],
        })),
        Event::Market(Box::new(Market {
            tick_size: tick("0.01"),
            ..market(MarketHappening::New, 1_795_429_803_200_000)
        })),
        Event::Market(Box::new(Market {
            slug: None,
            event_slug: None,
            token_id: Some(AssetId::new(YES).unwrap()),
            tick_size: tick("0.001"),
            at: Some(Timestamp::from_millis(1_795_429_803_300)),
            ..market(MarketHappening::TickSize, 1_795_429_803_330_000)
        })),
        Event::Market(Box::new(Market {
            winner: no_id.clone(),
            at: Some(Timestamp::from_millis(1_795_429_900_000)),
            ..market(MarketHappening::Resolved, 1_795_429_900_031_000)
        })),
        Event::Market(Box::new(Market {
            reason: Some("closed"),
            ..market(MarketHappening::Ended, 1_795_429_900_040_000)
        })),
        Event::Market(Box::new(Market {
            slug: None,
            event_slug: None,
            question: None,
            ..market(MarketHappening::Forgotten, 1_795_433_500_000_000)
        })),
        Event::State(Box::new(State {
            state: Some(BookState::Settled),
            since_ms: 1_795_429_900_031,
            epoch: 3,
            sequence: 880,
            verified: Some(true),
            winner: no_id.clone(),
            ..state.clone()
        })),
        Event::State(Box::new(State {
            state: None,
            since_ms: 1_795_433_500_000,
            epoch: 3,
            sequence: 880,
            verified: Some(true),
            winner: no_id,
            ..state
        })),
        Event::Stats(Box::new(Stats {
            now_us: 1_795_429_804_000_000,
            stats: r#"{"running":true,"uptime_seconds":81.5}"#.into(),
        })),
        Event::Health(Box::new(Health {
            now_us: 1_795_429_804_000_000,
            health: r#"{"healthy":true,"timestamp":"2026-11-23T10:30:04.000Z","components":{"pool":true},"reasons":[],"books":{"wanted":400,"live":400,"stale":0,"awaited":0}}"#.into(),
            sample: r#"{"ts_ms":1795429804000,"books_live":400,"changes_per_second":812.5,"route_p99_ms":null}"#.into(),
        })),
        Event::Health(Box::new(Health {
            now_us: 1_795_429_804_000_000,
            health: r#"{"healthy":false,"timestamp":"2026-11-23T10:30:04.000Z","components":{"pool":false},"reasons":[{"code":"no_connection","text":"no connection to the venue is open"}],"books":{"wanted":400,"live":0,"stale":400,"awaited":0}}"#.into(),
            sample: "null".into(),
        })),
        heartbeat(cursor(57), 1_795_429_805_000_000, 0),
        error(
            None,
            "slow",
            true,
            "half of the 4194304 bytes that may wait for this client are full: read faster, ask \
             for fewer tokens, or for mode=conflated",
        ),
        heartbeat(None, 1_795_429_810_000_000, 3_145_728),
        Event::Gap(Box::new(Gap {
            missing: Some(5_210),
            from_us: Some(1_795_429_810_000_000),
            ..gap(GapScope::Connection, GapReason::Slow)
        })),
        Event::Subscribed(Box::new(subscribed(2))),
        Event::Ready(Place {
            id: 2,
            cursor: None,
        }),
        Event::Gap(Box::new(gap(
            GapScope::Subscription(3),
            GapReason::Restarted,
        ))),
        error(
            Some(2),
            "unknown_token",
            false,
            "no token of the subscription is known here: \"12345\"; /markets lists the tokens",
        ),
        Event::Unsubscribed(Place {
            id: 1,
            cursor: cursor(57),
        }),
        Event::Unsubscribed(Place {
            id: 2,
            cursor: None,
        }),
        Event::Closing(Box::new(Closing {
            code: 1_001,
            reason: "the server is stopping".to_owned(),
            retry_ms: Some(1_730),
        })),
        Event::Closing(Box::new(Closing {
            code: 1_008,
            reason: "200 operations came in one second, 10 are allowed".to_owned(),
            retry_ms: None,
        })),
    ]
}

#[test]
fn messages_are_the_ones_that_clients_are_tested_with() {
    let texts: Vec<_> = messages().iter().map(text).collect();
    let texts: Vec<_> = texts.iter().map(|text| text.as_str()).collect();
    for (ours, golden) in texts.iter().zip(GOLDEN.lines()) {
        assert_eq!(*ours, golden);
    }
    assert_eq!(texts.len(), GOLDEN.lines().count());
}

#[test]
fn text_from_outside_is_escaped() {
    let [yes, _] = tokens();
    for outcome in ["\"", "\\", "\n\u{1}\u{7f}", "\u{2028}<b>", ""] {
        let mut market = market(MarketHappening::New, 0);
        market.question = Some(outcome.into());
        market.tokens = vec![(yes.info.asset_id.clone(), outcome.into())];
        let read: Value = serde_json::from_str(&text(&Event::Market(Box::new(market)))).unwrap();
        assert_eq!(read["question"], outcome);
        assert_eq!(read["tokens"][0][1], outcome);
    }
}

/// Numbers of every length, against an independent printer.
#[test]
fn any_number_prints_as_it_is() {
    let [yes, _] = tokens();
    let mut random = fastrand::Rng::with_seed(14);
    for _ in 0..10_000 {
        let (sequence, size) = (
            random.u64(..) >> random.u32(0..64),
            random.u64(..) >> random.u32(0..64),
        );
        let millionths = random.u32(0..=1_000_000);
        let trade = Trade {
            token: Arc::clone(&yes),
            sequence,
            price: Price::from_millionths(millionths).unwrap(),
            size: Size::from_millionths(size),
            side: None,
            at: Timestamp::from_millis(sequence),
            received_us: sequence,
        };
        let read: Value = serde_json::from_str(&text(&Event::Trade(Box::new(trade)))).unwrap();
        assert_eq!(read["trade_sequence"], sequence);
        let decimal = |name: &str| {
            let text = read[name].as_str().unwrap();
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            assert!(!fraction.ends_with('0'), "{text}");
            format!("{whole}{fraction:0<6}").parse::<u64>().unwrap()
        };
        assert_eq!(decimal("price"), u64::from(millionths));
        assert_eq!(decimal("size"), size);
    }
}
