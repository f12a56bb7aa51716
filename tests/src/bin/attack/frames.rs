//! WebSockets by hand: what no library would send, and what comes back.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::connect_from;

/// For an answer, or for the end of a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// An operation that is right.
pub(crate) const SUBSCRIBE: &str = r#"{"op":"subscribe","id":1}"#;

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const MORE: u8 = 0x0;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;

/// The request that opens a WebSocket, with further headers, each with its line end.
pub(crate) fn handshake(further: &str) -> String {
    format!(
        "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{further}\r\n"
    )
}

/// The request for Server-Sent Events.
pub(crate) fn events(query: &str, further: &str) -> String {
    format!("GET /v1/stream{query} HTTP/1.1\r\nHost: localhost\r\n{further}\r\n")
}

/// Connects from an address, sends a request, and reads the head of the answer. The
/// status; 0 where none came.
pub(crate) async fn ask(
    address: usize,
    to: SocketAddr,
    request: &str,
    buffer: Option<u32>,
) -> Option<(TcpStream, u16)> {
    let mut stream = connect_from(address, to, buffer).await.ok()?;
    let _gone = stream.write_all(request.as_bytes()).await;
    let head = timeout(PATIENCE, head(&mut stream)).await;
    let status = head.ok().flatten().unwrap_or(0);
    Some((stream, status))
}

/// Reads to the end of a head, and no further.
async fn head(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let status = std::str::from_utf8(head.get(9..12)?).ok()?;
    status.parse().ok()
}

/// An open WebSocket.
pub(crate) async fn socket(address: usize, to: SocketAddr) -> Option<TcpStream> {
    let (stream, status) = ask(address, to, &handshake(""), None).await?;
    (status == 101).then_some(stream)
}

/// A frame as clients send it: masked, with a mask that changes nothing.
pub(crate) fn frame(is_last: bool, code: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = start(is_last, code, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// What begins a frame of so many bytes.
pub(crate) fn start(is_last: bool, code: u8, length: u64) -> Vec<u8> {
    let mut frame = vec![code | u8::from(is_last) << 7];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => frame.push(0x80 | short),
        (_, Ok(middle)) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame
}

/// How a WebSocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    /// With a close frame of this code.
    Closed(u16),
    /// Without one.
    Cut,
    /// It has not.
    Open,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "closed with {code}"),
            Self::Cut => f.write_str("cut"),
            Self::Open => f.write_str("left open"),
        }
    }
}

/// The texts that the server sent until a WebSocket ended.
#[derive(Debug, Default)]
pub(crate) struct Said(pub(crate) Vec<Vec<u8>>);

impl Said {
    /// Messages that contain this.
    pub(crate) fn count(&self, part: &str) -> usize {
        let part = part.as_bytes();
        let has = |text: &&Vec<u8>| text.windows(part.len()).any(|window| window == part);
        self.0.iter().filter(has).count()
    }
}

/// Reads to the end, for so long at most.
pub(crate) async fn read_to_end(
    stream: &mut (impl AsyncRead + Unpin),
    most: Duration,
) -> (Ended, Said) {
    let mut said = Said::default();
    let ended = timeout(most, read(stream, &mut said)).await;
    (ended.unwrap_or(Ended::Open), said)
}

async fn read(stream: &mut (impl AsyncRead + Unpin), said: &mut Said) -> Ended {
    loop {
        match next(stream).await {
            Some((CLOSE, payload)) => {
                let code = payload
                    .first_chunk()
                    .map_or(1_005, |two| u16::from_be_bytes(*two));
                return Ended::Closed(code);
            }
            Some((_, payload)) => said.0.push(payload),
            None => return Ended::Cut,
        }
    }
}

/// The next frame of the server: its code and what it carries.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let code = stream.read_u8().await.ok()? & 0x0f;
    let length = match stream.read_u8().await.ok()? & 0x7f {
        126 => stream.read_u16().await.ok()?.into(),
        127 => stream.read_u64().await.ok()?,
        short => short.into(),
    };
    let mut payload = vec![0; usize::try_from(length).ok()?];
    stream.read_exact(&mut payload).await.ok()?;
    Some((code, payload))
}
