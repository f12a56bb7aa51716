//! Attacks on the streams that break no rule, one function each: many clients, slow ones,
//! and restless ones. Beside each of them well-behaved clients of both doors follow
//! everything, as in [`crate::streams`].

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Outcome;
use crate::beside::Beside;
use crate::frames::{CLOSE, SUBSCRIBE, TEXT, ask, events, frame, handshake, read_to_end, socket};
use crate::tally::Tally;

const MIB: u64 = 1 << 20;
/// How long an attack is kept up once it stands.
const HOLD: Duration = Duration::from_secs(6);
/// Addresses that attackers come from, of which each may have 128 connections.
const ADDRESSES: usize = 16;

/// Clients of everything that do not read, or read a little now and then.
pub(crate) async fn slow_readers() -> Outcome {
    let mut beside = Beside::start(&["--http-write-timeout=5s"]).await;
    let to = beside.server.address;
    let began = Instant::now();
    let tally = Tally::of(300, |number| async move {
        let narrow = Some(4 << 10);
        let is_socket = number % 2 == 0;
        let request = if is_socket {
            handshake("")
        } else {
            events("?channels=book,top,trade,state", "")
        };
        let Some((mut stream, status)) = ask(number % ADDRESSES, to, &request, narrow).await else {
            return vec!["not connected".to_owned()];
        };
        if is_socket {
            let all = br#"{"op":"subscribe","id":1,"channels":["book","top","trade","state"]}"#;
            let _gone = stream.write_all(&frame(true, TEXT, all)).await;
        }
        if !matches!(status, 101 | 200) {
            return vec![format!("told {status}")];
        }
        // Every third one reads a kilobyte a second, which is below the rate.
        let reads = number % 3 == 0;
        let mut lump = [0; 1_024];
        let door = if is_socket {
            "sockets"
        } else {
            "event streams"
        };
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let is_over = match reads {
                true => !matches!(stream.read(&mut lump).await, Ok(1..)),
                // A reset is an error of the socket, and takes back what was not read.
                false => is_reset(&stream),
            };
            if is_over {
                return vec![format!("{door} reset")];
            }
        }
        vec![format!("{door} never reset")]
    })
    .await;
    let took = began.elapsed().as_secs();
    let cost = beside.cost();
    let resets = tally.count("sockets reset") + tally.count("event streams reset");
    let held = resets == 300 && cost < 400 * MIB;
    let said = format!(
        "{} within {took} s, {} MiB at most",
        tally.text(),
        cost / MIB
    );
    beside.end(held, said).await
}

/// Whether the other end has reset a connection of which nothing is read.
fn is_reset(stream: &TcpStream) -> bool {
    !matches!(stream.take_error(), Ok(None))
}

/// As many streams as may be, and half as many again.
pub(crate) async fn crowd() -> Outcome {
    const MOST: usize = 1_024;
    let mut beside = Beside::start(&[]).await;
    let to = beside.server.address;
    let mut held_open = Vec::new();
    let mut tally = Tally::default();
    // Little by little: an ordinary place is needed until the stream has its own.
    for number in 0..MOST * 3 / 2 {
        let request = match number % 2 {
            0 => handshake(""),
            _ => events("?channels=top", ""),
        };
        match ask(number % ADDRESSES, to, &request, None).await {
            Some((stream, 101 | 200)) => {
                tally.add("served");
                held_open.push(stream);
            }
            Some((_, status)) => tally.add(format!("told {status}")),
            None => tally.add("not connected"),
        }
    }
    tokio::time::sleep(HOLD).await;
    let cost = beside.cost();
    let served = tally.count("served");
    drop(held_open);
    // The places come back.
    let mut again = 0;
    for number in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = ask(number % ADDRESSES, to, &handshake(""), None).await;
        again += usize::from(asked.is_some_and(|(_, status)| status == 101));
    }
    let held = served == MOST - 2 && tally.count("told 503") == MOST / 2 + 2 && again == 20;
    let said = format!(
        "{}, {} MiB at most; of 20 after them {again} served",
        tally.text(),
        cost / MIB
    );
    beside.end(held, said).await
}

/// Clients that subscribe to everything and unsubscribe, as fast as they may.
pub(crate) async fn storm() -> Outcome {
    let mut beside = Beside::start(&[]).await;
    let to = beside.server.address;
    let tally = Tally::of(100, |number| async move {
        let Some(mut stream) = socket(number % ADDRESSES, to).await else {
            return vec!["not connected".to_owned()];
        };
        let (mut reader, mut writer) = stream.split();
        let writes = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            let until = Instant::now() + 2 * HOLD;
            let unsubscribe = br#"{"op":"unsubscribe","id":1}"#;
            while Instant::now() < until {
                for operation in [SUBSCRIBE.as_bytes(), unsubscribe] {
                    ticks.tick().await;
                    if writer
                        .write_all(&frame(true, TEXT, operation))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
            let _gone = writer
                .write_all(&frame(true, CLOSE, &1_000_u16.to_be_bytes()))
                .await;
        };
        let reads = read_to_end(&mut reader, 3 * HOLD);
        let ((ended, said), ()) = tokio::join!(reads, writes);
        let turns = said.count(r#""type":"unsubscribed""#);
        let errors = said.count(r#""type":"error""#);
        let mut all = vec!["turns".to_owned(); turns];
        all.extend(vec!["errors".to_owned(); errors]);
        all.push(ended.to_string());
        all
    })
    .await;
    let cost = beside.cost();
    // How many turns each of them has had is for the machine to say.
    let held =
        tally.count("turns") >= 1_000 && tally.count("errors") == 0 && tally.count("cut") == 0;
    let said = format!("100 clients: {}, {} MiB at most", tally.text(), cost / MIB);
    beside.end(held, said).await
}

/// Connections that are reset in the middle of a message, of either side.
pub(crate) async fn cut() -> Outcome {
    let beside = Beside::start(&[]).await;
    let to = beside.server.address;
    let tally = Tally::of(64, |number| async move {
        let mut said = Vec::new();
        for turn in 0..60 {
            let address = number % ADDRESSES;
            let is_socket = (number + turn) % 2 == 0;
            let asked = if is_socket {
                ask(address, to, &handshake(""), None).await
            } else {
                ask(address, to, &events("", ""), None).await
            };
            let Some((mut stream, 101 | 200)) = asked else {
                said.push("refused".to_owned());
                continue;
            };
            if is_socket {
                let whole = frame(true, TEXT, SUBSCRIBE.as_bytes());
                let half = &whole[..1 + turn % (whole.len() - 1)];
                let _gone = stream.write_all(&[&whole[..], half].concat()).await;
            }
            // Some of what the server sends, and never the whole of it.
            let mut some = vec![0; 1 + turn * 40];
            let _gone = stream.read(&mut some).await;
            // Closed with bytes unread, it is reset.
            drop(stream);
            said.push("cut".to_owned());
        }
        said
    })
    .await;
    let held = tally.count("cut") == 64 * 60;
    beside.end(held, tally.text()).await
}
