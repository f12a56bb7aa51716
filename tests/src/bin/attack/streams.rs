//! Attacks on the streams that break a rule, one function each. Beside each of them
//! well-behaved clients of both doors follow everything, and have to have the server's
//! books at its end.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Outcome;
use crate::beside::Beside;
use crate::frames::{
    BINARY, CLOSE, Ended, MORE, PING, SUBSCRIBE, Said, TEXT, ask, events, frame, handshake,
    read_to_end, socket, start,
};
use crate::tally::Tally;

/// How long clients stay that say nothing.
const HOLD: Duration = Duration::from_secs(6);
/// For the end of a connection that the server is to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Addresses that attackers come from, of which each may have 128 connections.
const ADDRESSES: usize = 16;

/// Handshakes that stop half-way, and sockets that say nothing after theirs.
pub(crate) async fn half_open() -> Outcome {
    let beside = Beside::start(&["--http-header-read-timeout=3s"]).await;
    let to = beside.server.address;
    let whole = handshake("");
    let tally = Tally::of(1_200, |number| {
        let part = whole[..20 + number % (whole.len() - 20)].to_owned();
        let whole = whole.clone();
        async move {
            let silent = number % 6 == 0;
            let request = if silent { &whole } else { &part };
            let Some((stream, status)) = ask(number % ADDRESSES, to, request, None).await else {
                return vec!["not connected".to_owned()];
            };
            if silent && status == 101 {
                // It stays, and its places with it, until it is pinged in vain.
                tokio::time::sleep(HOLD).await;
                drop(stream);
                return vec!["upgraded and silent".to_owned()];
            }
            vec![match status {
                0 => "closed unanswered".to_owned(),
                status => format!("told {status}"),
            }]
        }
    })
    .await;
    let fine = [
        "closed unanswered",
        "told 408",
        "told 503",
        "upgraded and silent",
    ];
    let held = fine.iter().map(|what| tally.count(what)).sum::<usize>() == tally.all();
    beside.end(held, tally.text()).await
}

/// Far more operations than may be, of each kind.
pub(crate) async fn flood() -> Outcome {
    let beside = Beside::start(&[]).await;
    let to = beside.server.address;
    let tally = Tally::of(200, |number| async move {
        let Some(mut stream) = socket(number % ADDRESSES, to).await else {
            return vec!["not connected".to_owned()];
        };
        let operation = match number % 4 {
            0 => frame(true, TEXT, SUBSCRIBE.as_bytes()),
            1 => frame(true, TEXT, br#"{"op":"ping"}"#),
            2 => frame(true, TEXT, b"no JSON"),
            _ => frame(true, PING, b"?"),
        };
        let (mut reader, mut writer) = stream.split();
        let writes = async {
            for _ in 0..2_000 {
                if writer.write_all(&operation).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let reads = read_to_end(&mut reader, PATIENCE);
        let (ended, said) = tokio::select! {
            read = reads => read,
            () = writes => (Ended::Open, Said::default()),
        };
        let is_told = number % 4 == 3 || said.count("too_fast") > 0;
        let told = if is_told { "" } else { "untold " };
        vec![format!("{told}{ended}")]
    })
    .await;
    let held = tally.count("closed with 1008") == 200;
    let said = format!("200 clients of 2,000 operations: {}", tally.text());
    beside.end(held, said).await
}

/// What frames may not be, each with the code that the protocol has for it.
fn broken_frames() -> Vec<(&'static str, u16, Vec<u8>)> {
    let much = vec![b' '; 600 << 10];
    let mut unmasked = frame(true, TEXT, SUBSCRIBE.as_bytes());
    unmasked[1] &= 0x7f;
    let mut reserved = frame(true, TEXT, SUBSCRIBE.as_bytes());
    reserved[0] |= 0x40;
    let half = |payload: &[u8]| [frame(false, TEXT, payload), frame(true, TEXT, b"{}")].concat();
    vec![
        ("600 KiB of text", 1_009, frame(true, TEXT, &much)),
        ("the head of 2^62 bytes", 1_009, start(true, TEXT, 1 << 62)),
        (
            "fragments of 600 KiB in all",
            1_009,
            [
                frame(false, TEXT, &much[..300 << 10]),
                frame(true, MORE, &much[..300 << 10]),
            ]
            .concat(),
        ),
        (
            "bytes that are no UTF-8",
            1_007,
            frame(true, TEXT, b"{\"op\":\"\xff\xfe\"}"),
        ),
        (
            "a character cut by a frame's end, and no more of it",
            1_007,
            [frame(false, TEXT, b"\xe2\x82"), frame(true, MORE, b"x")].concat(),
        ),
        ("a frame without a mask", 1_002, unmasked),
        ("a reserved bit", 1_002, reserved),
        ("an unknown kind", 1_002, frame(true, 0xb, b"")),
        (
            "a ping of 126 bytes",
            1_002,
            frame(true, PING, &much[..126]),
        ),
        ("a ping in fragments", 1_002, frame(false, PING, b"")),
        ("the rest of nothing", 1_002, frame(true, MORE, b"{}")),
        ("a message within another", 1_002, half(b"{\"op\"")),
        (
            "a close code that may not be sent",
            1_002,
            frame(true, CLOSE, &1_006_u16.to_be_bytes()),
        ),
        ("a close of one byte", 1_002, frame(true, CLOSE, b"\x03")),
    ]
}

/// Frames against the protocol, and messages in a thousand pieces.
pub(crate) async fn frames() -> Outcome {
    let beside = Beside::start(&[]).await;
    let to = beside.server.address;
    let kinds = broken_frames();
    let number_of_kinds = kinds.len();
    let tally = Tally::of(50 * number_of_kinds, |number| {
        let (_, code, bytes) = kinds[number % number_of_kinds].clone();
        async move {
            let Some(mut stream) = socket(number % ADDRESSES, to).await else {
                return vec!["not connected".to_owned()];
            };
            // What is refused half-way is not read to its end.
            let _cut = stream.write_all(&bytes).await;
            let (ended, _) = read_to_end(&mut stream, PATIENCE).await;
            vec![match ended {
                Ended::Closed(found) if found == code => format!("closed with {code}"),
                other => format!("not with {code} but {other}"),
            }]
        }
    })
    .await;
    let closed: usize = [1_002, 1_007, 1_009]
        .map(|code| tally.count(&format!("closed with {code}")))
        .iter()
        .sum();
    // What may be: pieces of one byte, and bytes instead of text.
    let pieces = Tally::of(20, |number| async move {
        let Some(mut stream) = socket(number % ADDRESSES, to).await else {
            return vec!["not connected".to_owned()];
        };
        let mut bytes = frame(true, BINARY, b"\0");
        for (at, byte) in SUBSCRIBE.bytes().enumerate() {
            let code = if at == 0 { TEXT } else { MORE };
            bytes.extend(frame(at + 1 == SUBSCRIBE.len(), code, &[byte]));
        }
        let _written = stream.write_all(&bytes).await;
        let (_, said) = read_to_end(&mut stream, Duration::from_secs(2)).await;
        let is_heard = said.count(r#""type":"subscribed""#) == 1 && said.count("bad_message") == 1;
        vec![if is_heard {
            "heard".to_owned()
        } else {
            "not heard".to_owned()
        }]
    })
    .await;
    let held = closed == tally.all() && pieces.count("heard") == 20;
    let said = format!(
        "{number_of_kinds} kinds, 50 clients each: {}; one byte a frame: {}",
        tally.text(),
        pieces.text()
    );
    beside.end(held, said).await
}

/// Cursors that are none, of another life, of the future and of the past.
pub(crate) async fn cursors() -> Outcome {
    let beside = Beside::start(&[]).await;
    let to = beside.server.address;
    let instance = instance(to).await;
    let tally = Tally::of(64, |number| {
        let cursors = [
            ("x".to_owned(), &["told 400"][..]),
            ("9".repeat(300), &["told 400"]),
            // Of another life, and of the future.
            ("0123456789abcdef-5".to_owned(), &["begins again"]),
            (format!("{instance}-{}", u64::MAX), &["begins again"]),
            // The first of all: everything has come since, or too much has gone.
            (format!("{instance}-0"), &["goes on", "begins again"]),
        ];
        async move {
            let mut said = Vec::new();
            for turn in 0..10 {
                let (cursor, expected) = &cursors[(number + turn) % cursors.len()];
                let found = match turn % 2 {
                    0 => resume_events(number % ADDRESSES, to, cursor).await,
                    _ => resume_socket(number % ADDRESSES, to, cursor).await,
                };
                said.push(if expected.contains(&found.as_str()) {
                    found
                } else {
                    format!("{found} and not {}", expected.join(" or "))
                });
            }
            said
        }
    })
    .await;
    let fine = ["told 400", "begins again", "goes on"];
    let held = fine.iter().map(|what| tally.count(what)).sum::<usize>() == 640;
    beside.end(held, tally.text()).await
}

/// The instance of the streams, as a first message tells it.
async fn instance(to: SocketAddr) -> String {
    let Some(mut stream) = socket(0, to).await else {
        return String::new();
    };
    let (_, said) = read_to_end(&mut stream, Duration::from_secs(1)).await;
    let hello = said.0.first().map_or(&[][..], Vec::as_slice);
    let hello: serde_json::Value = serde_json::from_slice(hello).unwrap_or_default();
    hello["instance"].as_str().unwrap_or_default().to_owned()
}

async fn resume_events(address: usize, to: SocketAddr, cursor: &str) -> String {
    let request = events(&format!("?channels=state&cursor={cursor}"), "");
    let Some((mut stream, status)) = ask(address, to, &request, None).await else {
        return "not connected".to_owned();
    };
    if status != 200 {
        return format!("told {status}");
    }
    let mut bytes = Vec::new();
    let reading = async {
        while how_it_goes_on(&bytes).is_none()
            && matches!(stream.read_buf(&mut bytes).await, Ok(1..))
        {}
    };
    let _in_time = tokio::time::timeout(PATIENCE, reading).await;
    how_it_goes_on(&bytes)
        .unwrap_or("is told nothing")
        .to_owned()
}

async fn resume_socket(address: usize, to: SocketAddr, cursor: &str) -> String {
    let Some(mut stream) = socket(address, to).await else {
        return "not connected".to_owned();
    };
    let operation =
        format!(r#"{{"op":"subscribe","id":1,"channels":["state"],"cursor":"{cursor}"}}"#);
    let mut bytes = Vec::new();
    let _gone = stream
        .write_all(&frame(true, TEXT, operation.as_bytes()))
        .await;
    let reading = async {
        while how_it_goes_on(&bytes).is_none()
            && matches!(stream.read_buf(&mut bytes).await, Ok(1..))
        {}
    };
    let _in_time = tokio::time::timeout(PATIENCE, reading).await;
    how_it_goes_on(&bytes)
        .unwrap_or("is told nothing")
        .to_owned()
}

/// What a client with a cursor was told.
fn how_it_goes_on(bytes: &[u8]) -> Option<&'static str> {
    let is_gap = has(bytes, "event: gap") || has(bytes, r#""type":"gap""#);
    if has(bytes, "bad_parameter") {
        Some("told 400")
    } else if has(bytes, r#""recovered":false"#) && is_gap {
        Some("begins again")
    } else {
        has(bytes, r#""recovered":true"#).then_some("goes on")
    }
}

fn has(bytes: &[u8], part: &str) -> bool {
    let part = part.as_bytes();
    bytes.windows(part.len()).any(|window| window == part)
}

/// Pages of other origins, and of names that lead here.
pub(crate) async fn origins() -> Outcome {
    let beside = Beside::start(&[]).await;
    let to = beside.server.address;
    let origins = [
        ("https://example.org", "told 403"),
        ("null", "told 403"),
        ("http://localhost.example.org", "told 403"),
        ("http://localhost:1", "told 403"),
        ("file://", "told 403"),
        ("http://localhost", "served"),
    ];
    let tally = Tally::of(64, |number| async move {
        let mut said = Vec::new();
        for turn in 0..24 {
            let (origin, expected) = origins[(number + turn) % origins.len()];
            let header = format!("Origin: {origin}\r\n");
            let request = match turn % 2 {
                0 => handshake(&header),
                _ => events("?channels=state", &header),
            };
            let found = match ask(number % ADDRESSES, to, &request, None).await {
                Some((_, 101 | 200)) => "served".to_owned(),
                Some((_, status)) => format!("told {status}"),
                None => "not connected".to_owned(),
            };
            said.push(if found == expected {
                found
            } else {
                format!("{origin} {found}")
            });
        }
        said
    })
    .await;
    let held = tally.count("told 403") == 64 * 20 && tally.count("served") == 64 * 4;
    beside.end(held, tally.text()).await
}
