//! Requests that were right once, with a few bytes changed.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Outcome;
use crate::client::{self, Answer, connect};
use crate::server::{Server, Setting};

const SEEDS: [&str; 14] = [
    "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /markets?limit=5&offset=10 HTTP/1.1\r\nHost: localhost:8080\r\nAccept-Encoding: gzip;q=0.5, *;q=0\r\nConnection: close\r\n\r\n",
    "HEAD /stats HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n",
    "GET http://localhost/orderbook/12345?depth=3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nX-Request-Id: a.b-c\r\nConnection: close\r\n\r\n",
    "GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\nAccept: application/health+json\r\nConnection: close\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text; version=1.0.0; q=0.5, */*;q=0.1\r\nAuthorization: Bearer 0123456789abcdef0123\r\nConnection: close\r\n\r\n",
    "GET /version HTTP/1.1\r\nHost: localhost\r\nOrigin: https://example.org\r\nCookie: a=b; polypy_session=1.00\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
    "GET /v1/stream?tokens=1,2&channels=top,book&mode=conflated&interval_ms=500&depth=5&cursor=0000000000000001-1 HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0000000000000001-2\r\nConnection: close\r\n\r\n",
    "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://localhost\r\n\r\n",
    "GET /ws/orderbook HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "GET /orderbook/%31%32 HTTP/1.0\r\nUpgrade: websocket\r\nConnection: close, upgrade\r\n\r\n",
];
/// What grammars trip over.
const PIECES: [&[u8]; 16] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"#",
    b"%",
    b"%00",
    b"%ff",
    b"[",
    b"\xff\xfe",
    b"-1",
    b"99999999999999999999",
    b"HTTP/1.1",
];
/// Clients at once, within what eight addresses may have.
const CLIENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(15);

/// A small generator: the same requests in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % bound.max(1)
    }

    fn request(&mut self) -> Vec<u8> {
        let mut bytes = SEEDS[self.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] = self.below(256).to_le_bytes()[0],
                1 => {
                    bytes.remove(at);
                }
                2 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                3 => bytes.truncate(at.max(1)),
                4 => {
                    let other = SEEDS[self.below(SEEDS.len())].as_bytes();
                    let from = self.below(other.len());
                    bytes.splice(at.., other[from..].iter().copied());
                }
                _ => {
                    let end = (at + 1 + self.below(20)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'G');
            }
        }
        bytes
    }
}

/// Whether the head of an answer says that it never ends.
fn is_stream(answer: &[u8]) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    answer.windows(KIND.len()).any(|window| window == KIND)
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    answered: usize,
    closed: usize,
    failed: usize,
    hung: usize,
}

pub(crate) async fn requests(number: usize) -> Outcome {
    let mut server = Server::start(&Setting {
        markets: 200,
        ..Setting::default()
    })
    .await;
    let before = server.memory().map_or(0, |(now, _)| now);
    let address = server.address;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut random = Random(0x9e37_79b9_7f4a_7c15 + client as u64);
            let mut counts = Counts::default();
            for _ in 0..number / CLIENTS {
                let request = random.request();
                let exchange = async {
                    let mut stream = connect(client, address).await?;
                    stream.write_all(&request).await?;
                    // Half a request is answered when it can no longer become a whole one.
                    stream.shutdown().await?;
                    let mut bytes = Vec::new();
                    // A stream has no end.
                    while !is_stream(&bytes) && matches!(stream.read_buf(&mut bytes).await, Ok(1..))
                    {
                    }
                    std::io::Result::Ok(bytes)
                };
                match timeout(PATIENCE, exchange).await {
                    Ok(Ok(bytes)) if bytes.is_empty() => counts.closed += 1,
                    Ok(Ok(bytes)) => match Answer::read(&bytes).status {
                        0 | 500 => counts.failed += 1,
                        _ => counts.answered += 1,
                    },
                    Ok(Err(_)) => counts.closed += 1,
                    Err(_) => counts.hung += 1,
                }
            }
            counts
        });
    }
    let mut all = Counts::default();
    while let Some(counts) = clients.join_next().await {
        let counts = counts.unwrap_or_default();
        all.answered += counts.answered;
        all.closed += counts.closed;
        all.failed += counts.failed;
        all.hung += counts.hung;
    }
    let after = server.memory().map_or(0, |(now, _)| now);
    let stats = client::get(address, "/stats").await.json();
    let panics = stats["http"]["handler_panics"].as_u64();
    let Counts {
        answered,
        closed,
        failed,
        hung,
    } = all;
    let grown = after.saturating_sub(before) / (1 << 20);
    Outcome::of(
        failed == 0 && hung == 0 && panics == Some(0) && grown < 32,
        format!(
            "{answered} answered, {closed} closed, {failed} failed, {hung} hung; \
             {grown} MiB more"
        ),
    )
}
