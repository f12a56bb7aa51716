//! Sockets over a pipe of a known size, on stopped time.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{DuplexStream, duplex};

use super::*;

type Client = WebSocketStream<DuplexStream>;

/// Both ends of a connection that holds so many bytes in each direction.
async fn pair(room: usize, limits: SocketLimits) -> (Socket<DuplexStream>, Client) {
    let (near, far) = duplex(room);
    let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    (Socket::new(near, limits).await, client)
}

fn text(text: &str) -> Message {
    Message::text(text)
}

/// Serves until the socket ends, saying every text again.
async fn echo(mut socket: Socket<DuplexStream>) -> End {
    loop {
        match socket.turn().await {
            Turn::Text(text) => socket.push([Message::Text(text)]),
            Turn::Binary(_) | Turn::Control | Turn::Written => {}
            Turn::Ended(end) => {
                socket.end(end.clone(), |_, _| None).await;
                return end;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_still_heard() {
    let (mut socket, mut client) = pair(1_000, SocketLimits::default()).await;
    socket.push([text(&"x".repeat(100_000))]);
    client.send(text("less, please")).await.unwrap();
    assert_eq!(socket.turn().await, Turn::Text("less, please".into()));
    assert!(!socket.is_idle());
    let reading = async { client.next().await.unwrap().unwrap() };
    let (turn, read) = tokio::join!(socket.turn(), reading);
    assert_eq!(turn, Turn::Written);
    assert_eq!(read.len(), 100_000);
    assert!(socket.is_idle());
}

/// Also with nothing to write: who waits for the client alone hears it at once.
#[tokio::test(start_paused = true)]
async fn a_client_is_heard_while_nothing_is_written() {
    let (mut socket, mut client) = pair(1_000, SocketLimits::default()).await;
    assert!(socket.is_idle());
    let begun = Instant::now();
    client.send(text("first")).await.unwrap();
    client.send(text("second")).await.unwrap();
    for said in ["first", "second"] {
        let heard = timeout(Duration::from_secs(1), socket.turn()).await;
        assert_eq!(heard, Ok(Turn::Text(said.into())));
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // One turn at a time: it writes and reads for one that waits for both.
    socket.push([text("answer")]);
    client.send(text("third")).await.unwrap();
    assert_eq!(socket.turn().await, Turn::Written);
    assert_eq!(socket.turn().await, Turn::Text("third".into()));
    assert_eq!(client.next().await.unwrap().unwrap(), text("answer"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_in_time_ends_the_socket() {
    let limits = SocketLimits::default();
    for bytes in [2_000, 40_960] {
        let (mut socket, _client) = pair(1_000, limits).await;
        socket.push([text(&"x".repeat(bytes))]);
        let before = Instant::now();
        let end = loop {
            match socket.turn().await {
                Turn::Ended(end) => break end,
                other => assert_eq!(other, Turn::Control),
            }
        };
        assert_eq!(end, End::Slow);
        let took = before.elapsed().as_secs();
        assert_eq!(took, 30 + u64::try_from(bytes / 4_096).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_has_more_time_for_more_bytes() {
    let (mut socket, client) = pair(4_096, SocketLimits::default()).await;
    let mut stream = client.into_inner();
    let reading = async {
        let mut chunk = vec![0; 4_096];
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(900)).await;
            stream.read_exact(&mut chunk).await.unwrap();
        }
    };
    socket.push([text(&"x".repeat(200 * 4_096))]);
    let (written, ()) = tokio::join!(socket.flush(), reading);
    assert_eq!(written, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_may_be_quiet_for_hours_and_no_other() {
    let (socket, mut client) = pair(4_096, SocketLimits::default()).await;
    let serving = tokio::spawn(echo(socket));
    let quiet = timeout(Duration::from_secs(2 * 3_600 + 5), async {
        let mut pings = 0;
        loop {
            match client.next().await {
                // The client's library answers by itself.
                Some(Ok(Message::Ping(_))) => pings += 1,
                other => panic!("{other:?} after {pings} pings"),
            }
        }
    });
    assert!(quiet.await.is_err());
    client.send(text("still here")).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), text("still here"));

    // From here on it neither reads nor answers.
    let before = Instant::now();
    assert_eq!(serving.await.unwrap(), End::Silent);
    let took = before.elapsed().as_secs();
    assert!((60..=82).contains(&took), "{took}");
    let mut left = Vec::new();
    client.into_inner().read_to_end(&mut left).await.unwrap();
    let (ping, mut close) = ([0x89, 0], vec![0x88, 23]);
    close.extend(1013_u16.to_be_bytes());
    close.extend(b"no answer to any ping");
    assert_eq!(left, [&ping, &ping, &ping, close.as_slice()].concat());
}

#[tokio::test(start_paused = true)]
async fn the_close_frame_stands_behind_all_that_waits() {
    let (mut socket, mut client) = pair(256, SocketLimits::default()).await;
    socket.push((0..50).map(|number| text(&format!("message {number}"))));
    let closing = tokio::spawn(socket.close(1001, "bye"));
    for number in 0..50 {
        let message = client.next().await.unwrap().unwrap();
        assert_eq!(message, text(&format!("message {number}")));
    }
    let Some(Ok(Message::Close(Some(frame)))) = client.next().await else {
        panic!("no close frame");
    };
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (1001, "bye")
    );
    // The answer to it has been written; the connection ends with that.
    assert!(client.next().await.is_none());
    closing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_is_waited_for_a_moment() {
    let (socket, _client) = pair(1_000, SocketLimits::default()).await;
    let before = Instant::now();
    socket.close(1001, "bye").await;
    assert_eq!(before.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_gets_its_own_frame_back() {
    let (socket, mut client) = pair(1_000, SocketLimits::default()).await;
    let serving = tokio::spawn(echo(socket));
    client
        .close(Some(CloseFrame {
            code: CloseCode::Library(4_711),
            reason: "enough".into(),
        }))
        .await
        .unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = client.next().await else {
        panic!("no close frame");
    };
    assert_eq!(u16::from(frame.code), 4_711);
    assert!(client.next().await.is_none());
    assert_eq!(serving.await.unwrap(), End::Left);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_has_left() {
    let (socket, client) = pair(1_000, SocketLimits::default()).await;
    drop(client);
    assert_eq!(echo(socket).await, End::Left);
}

/// A frame of a client, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut frame = vec![first, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[tokio::test(start_paused = true)]
async fn who_breaks_the_protocol_is_told_how() {
    let limits = SocketLimits {
        most_bytes: 1_000,
        ..SocketLimits::default()
    };
    let fragments = |last| {
        let mut frames = frame(0x01, &[b'x'; 600]);
        frames.extend(frame(0x80, &vec![b'x'; last]));
        frames
    };
    for (bytes, expected) in [
        (frame(0x81, &[b'x'; 1_000]), None),
        (frame(0x81, &[b'x'; 1_001]), Some(1009)),
        (fragments(400), None),
        (fragments(401), Some(1009)),
        (frame(0x81, &[0xff; 200]), Some(1007)),
        // A reserved bit, an unknown kind, no mask.
        (frame(0xc1, &[b'x'; 200]), Some(1002)),
        (frame(0x83, &[b'x'; 200]), Some(1002)),
        (vec![0x81, 1, b'x'], Some(1002)),
    ] {
        let (socket, client) = pair(8_192, limits).await;
        let serving = tokio::spawn(echo(socket));
        let mut stream = client.into_inner();
        stream.write_all(&bytes).await.unwrap();
        let mut client = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        match (client.next().await.unwrap().unwrap(), expected) {
            (Message::Text(said), None) => assert_eq!(said.len(), 1_000),
            (Message::Close(Some(frame)), Some(code)) => {
                assert_eq!(u16::from(frame.code), code);
                assert!(matches!(serving.await.unwrap(), End::Violation { .. }));
            }
            (other, _) => panic!("{other:?} for {bytes:02x?}"),
        }
    }
}
