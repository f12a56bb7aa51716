//! The exchange: a process that takes subscriptions, then sends what it rendered
//! before.
//!
//! It is told what to do by lines on its standard input, answers by lines on its
//! standard output, and ends when the input does, so that it never outlives who
//! started it. Once the tokens are subscribed it reads nothing any more: a `PING`
//! is answered by data, which is as good.

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use super::records::Records;
use super::script::{Script, head};
use super::stamps::LONGEST;
use super::{Answer, CERTIFICATE, FRAMES, Failure, KEY, Order, Security, Sent, TOKENS};
use crate::checksum::Checksum;
use crate::clock::machine_nanos;
use crate::corpus::Corpus;

/// Bytes of one write while sending as fast as is taken: some hundred frames.
const CHUNK: usize = 64 << 10;
/// Frames that are due within this time leave together: waking up more often
/// would take the exchange more time than sending does.
const GRAIN: u64 = 50_000;
/// Says that all is sent; to the program, an answer to a `PING`.
pub const END: &str = "PONG";

/// Serves until the standard input ends.
///
/// # Errors
/// When the process that started it is gone, or a socket fails.
pub fn serve() -> Result<(), Failure> {
    // Or the kernel wakes the exchange up to 50 us after the time it asked for.
    // Where this file cannot be written, the exchange is late, and says so.
    let exact = std::fs::write("/proc/self/timerslack_ns", "1").is_ok();
    let corpus = Corpus::cyclic(TOKENS, FRAMES);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    answer(&Answer::Ready { port })?;
    let mut exchange = Exchange {
        corpus,
        listener,
        links: Vec::new(),
        exact,
    };
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        match exchange.obey(order) {
            Ok(told) => answer(&told)?,
            Err(error) => answer(&Answer::Failed {
                reason: error.to_string(),
            })?,
        }
    }
    Ok(())
}

fn answer(answer: &Answer) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// A byte stream, with TLS or without.
trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

struct Exchange {
    corpus: Corpus,
    listener: TcpListener,
    links: Vec<Link>,
    exact: bool,
}

/// A connection whose tokens are subscribed.
struct Link {
    stream: Box<dyn Duplex>,
    tokens: Vec<String>,
    script: Script,
}

impl Exchange {
    fn obey(&mut self, order: Order) -> Result<Answer, Failure> {
        match order {
            Order::Accept {
                connections,
                security,
            } => {
                self.links.clear();
                self.accept(connections, security)?;
                Ok(Answer::Subscribed)
            }
            Order::Blast { millis } => Ok(Answer::Sent(self.blast(millis)?)),
            Order::Pace { rate, millis } => Ok(Answer::Sent(self.pace(rate, millis)?)),
            Order::Truth => {
                let mut sum = Checksum::default();
                for link in &self.links {
                    let tokens = &link.tokens;
                    link.script.add_books(&self.corpus, tokens, &mut sum)?;
                }
                let Checksum { levels, sum } = sum;
                Ok(Answer::Truth { levels, sum })
            }
        }
    }

    fn accept(&mut self, connections: usize, security: Security) -> Result<(), Failure> {
        let tls = server_config(security)?;
        let apart = security == Security::Aes128Apart;
        let tokens = TOKENS / connections.max(1);
        let (listener, corpus) = (&self.listener, &self.corpus);
        self.links = std::thread::scope(|scope| {
            let mut opening = Vec::new();
            for _ in 0..connections {
                let (socket, _) = listener.accept()?;
                let tls = tls.clone();
                opening.push(scope.spawn(move || open(corpus, socket, tls, apart, tokens)));
            }
            let opened = opening.into_iter().map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a connection's thread panicked".into()))
            });
            opened.collect::<Result<Vec<_>, Failure>>()
        })?;
        Ok(())
    }

    fn blast(&mut self, millis: u64) -> Result<Sent, Failure> {
        let start = machine_nanos();
        let mut sent = Sent {
            start,
            ..Sent::default()
        };
        let until = start + millis * 1_000_000;
        let mut now = start;
        while now < until {
            for link in &mut self.links {
                now = machine_nanos();
                let more = |bytes| (bytes < CHUNK).then_some(now);
                let (bytes, frames, changes) = link.script.take(now, more);
                link.stream.write_all(bytes)?;
                sent.frames += frames;
                sent.changes += changes;
            }
        }
        self.end()?;
        Ok(sent)
    }

    fn pace(&mut self, rate: u64, millis: u64) -> Result<Sent, Failure> {
        let [link] = &mut self.links[..] else {
            return Err("a plan of times is for one connection".into());
        };
        if !self.exact {
            return Err("timer slack cannot be set: the plan would not be kept".into());
        }
        let mut late = Histogram::<u64>::new_with_bounds(1, LONGEST, 3)?;
        let start = machine_nanos() + 1_000_000;
        let mut sent = Sent {
            start,
            ..Sent::default()
        };
        let number = rate * millis / 1_000;
        let due = |at: u64| start + at * 1_000_000_000 / rate.max(1);
        let (mut at, mut woken) = (0, 0);
        while at < number {
            wait_until(due(at).max(woken + GRAIN));
            let now = machine_nanos();
            woken = now;
            let more = |bytes| {
                let planned = due(at);
                let go = planned <= now && at < number && bytes < CHUNK;
                go.then(|| {
                    at += 1;
                    late.saturating_record(now - planned);
                    planned
                })
            };
            let (bytes, frames, changes) = link.script.take(now, more);
            link.stream.write_all(bytes)?;
            link.stream.flush()?;
            sent.frames += frames;
            sent.changes += changes;
        }
        sent.late = [late.value_at_quantile(0.5), late.value_at_quantile(0.99)];
        self.end()?;
        Ok(sent)
    }

    fn end(&mut self) -> Result<(), Failure> {
        let mut end = Vec::new();
        head(END.len(), &mut end);
        end.extend_from_slice(END.as_bytes());
        for link in &mut self.links {
            link.stream.write_all(&end)?;
            link.stream.flush()?;
        }
        Ok(())
    }
}

fn wait_until(then: u64) {
    loop {
        let left = then.saturating_sub(machine_nanos());
        if left == 0 {
            return;
        }
        std::thread::sleep(Duration::from_nanos(left));
    }
}

fn server_config(security: Security) -> Result<Option<Arc<ServerConfig>>, Failure> {
    let suite = match security {
        Security::Plain => return Ok(None),
        Security::Aes256 => ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        Security::Aes128 | Security::Aes128Apart => ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        Security::ChaCha20 => ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    };
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![suite];
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(CERTIFICATE)],
            PrivateKeyDer::try_from(KEY)?,
        )?;
    Ok(Some(Arc::new(config)))
}

/// From an accepted socket to one that has its openings.
fn open(
    corpus: &Corpus,
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    apart: bool,
    tokens: usize,
) -> Result<Link, Failure> {
    socket.set_nodelay(true)?;
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(socket),
        Some(config) => {
            let stream = StreamOwned::new(ServerConnection::new(config)?, socket);
            if apart {
                Box::new(Records::of(stream))
            } else {
                Box::new(stream)
            }
        }
    };
    let mut socket = accept(stream).map_err(|error| error.to_string())?;
    let mut subscribed = Vec::new();
    while subscribed.len() < tokens {
        subscribed.append(&mut subscribe(corpus, &mut socket)?);
    }
    socket.flush()?;
    let script = Script::of(corpus, &subscribed)?;
    Ok(Link {
        stream: unwrap(socket)?,
        tokens: subscribed,
        script,
    })
}

/// Reads a frame and sends the openings of the tokens that it names.
fn subscribe(
    corpus: &Corpus,
    socket: &mut WebSocket<Box<dyn Duplex>>,
) -> Result<Vec<String>, Failure> {
    #[derive(Deserialize)]
    struct Request {
        assets_ids: Vec<String>,
    }
    let message = socket.read()?;
    let text = message.to_text()?;
    if text == "PING" {
        socket.send(Message::text(END))?;
        return Ok(Vec::new());
    }
    let request: Request = serde_json::from_str(text)?;
    for token in &request.assets_ids {
        let info = corpus.interner.get(token).ok_or("a token unheard of")?;
        let opening = corpus.keys().position(|key| key == info.key);
        let opening = opening.ok_or("a token without an opening")?;
        socket.write(Message::text(corpus.openings[opening].as_str()))?;
    }
    socket.flush()?;
    Ok(request.assets_ids)
}

/// The stream beneath: what follows is written as it was rendered.
fn unwrap(socket: WebSocket<Box<dyn Duplex>>) -> Result<Box<dyn Duplex>, Failure> {
    let mut socket = socket;
    socket.flush()?;
    Ok(socket.into_inner())
}
