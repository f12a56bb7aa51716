//! Clients that are rude in one way each, and the probes beside them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Addresses of the loopback network that clients come from, so that they are
/// not all one peer.
const ADDRESSES: usize = 8;
/// What a probe waits for, as Kubernetes does by default.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);
/// Between two probes.
const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// Lets this process open as many sockets as it may.
pub(crate) fn raise_limit() {
    polypy::limits::System::raise();
}

/// A connection from one of the addresses.
pub(crate) async fn connect(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    from(2 + number % ADDRESSES, to, None).await
}

/// The same with a small receive buffer.
pub(crate) async fn connect_narrow(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    from(2 + number % ADDRESSES, to, Some(16 << 10)).await
}

/// A connection from an address of one's own.
pub(crate) async fn connect_from(
    address: usize,
    to: SocketAddr,
    buffer: Option<u32>,
) -> std::io::Result<TcpStream> {
    from(16 + address, to, buffer).await
}

async fn from(last: usize, to: SocketAddr, buffer: Option<u32>) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(buffer) = buffer {
        socket.set_recv_buffer_size(buffer)?;
    }
    let last = u8::try_from(last).unwrap_or(u8::MAX);
    // With the option a port may be used again that another connection waits with.
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, last], 0).into())?;
    socket.connect(to).await
}

/// A whole answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Of all that a connection sent; status 0 if that was no answer.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let status = bytes
            .get(9..12)
            .filter(|_| bytes.starts_with(b"HTTP/1."))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        match (end, status) {
            (Some(end), Some(status)) => Self {
                status,
                body: bytes[end + 4..].to_vec(),
            },
            _ => Self::default(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

pub(crate) fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// Asks from an address that nobody else uses; status 0 when nothing came.
pub(crate) async fn get(to: SocketAddr, target: &str) -> Answer {
    let ask = async {
        let mut stream = from(200, to, None).await?;
        stream.write_all(request(target).as_bytes()).await?;
        let mut bytes = Vec::new();
        // A reset behind the answer leaves the answer.
        drop(stream.read_to_end(&mut bytes).await);
        std::io::Result::Ok(Answer::read(&bytes))
    };
    match timeout(Duration::from_secs(10), ask).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Answer::default(),
    }
}

/// How probes fared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fared {
    /// Every one was answered with 200.
    pub(crate) all: bool,
    /// And 99 of 100 within 50 ms.
    pub(crate) quickly: bool,
}

/// Asks `/health` all the time, each time over a new connection.
#[derive(Debug)]
pub(crate) struct Probes {
    stop: watch::Sender<bool>,
    asking: JoinHandle<Vec<Option<Duration>>>,
}

impl Probes {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let asking = tokio::spawn(async move {
            let mut took = Vec::new();
            while !*stopped.borrow() {
                let began = Instant::now();
                let answer = timeout(PROBE_PATIENCE, get(to, "/health")).await;
                let healthy = answer.is_ok_and(|answer| answer.status == 200);
                took.push(healthy.then(|| began.elapsed()));
                tokio::time::sleep(PROBE_PAUSE).await;
            }
            took
        });
        Self { stop, asking }
    }

    /// How they fared, and the figures.
    pub(crate) async fn end(self) -> (Fared, String) {
        self.stop.send_replace(true);
        let took = self.asking.await.unwrap_or_default();
        let mut answered: Vec<_> = took.iter().flatten().collect();
        answered.sort();
        let at = |hundredths: usize| {
            let index = (answered.len().max(1) - 1) * hundredths / 100;
            answered
                .get(index)
                .map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        let all = answered.len() == took.len() && !took.is_empty();
        let text = format!(
            "probes {} of {} answered, p50 {:.1} ms, p99 {:.1} ms",
            answered.len(),
            took.len(),
            at(50),
            at(99)
        );
        let fared = Fared {
            all,
            quickly: all && at(99) < 50.0,
        };
        (fared, text)
    }
}
