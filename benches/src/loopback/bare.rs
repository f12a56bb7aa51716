//! What there is at most to be had: a WebSocket client that counts, and one that
//! decodes and applies on the same thread, with no checks and no program around.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;

use futures_util::{SinkExt, StreamExt};
use hyper::Uri;
use polypy_net::dial::{Dial, Stream};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Failure;
use super::exchange::END;
use super::script::Books;
use super::stamps::Ages;
use crate::clock::machine_nanos;
use crate::corpus::Corpus;

/// Frames applied before the clock is looked at, as the program does.
const BATCH: usize = 256;

/// What is done with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It is counted.
    Receive,
    /// It is decoded and applied.
    Apply,
}

/// Where to listen, and to what.
#[derive(Clone)]
pub struct Listening {
    /// The market channel.
    pub url: Uri,
    /// Opens its streams.
    pub dialer: Arc<dyn Dial>,
    /// What it tells.
    pub corpus: Arc<Corpus>,
    /// Each carries as many tokens as the others.
    pub connections: usize,
    /// Whether the age of what is applied is taken.
    pub aged: bool,
}

/// A client on a thread of its own.
pub struct Bare {
    thread: JoinHandle<Result<(u64, Ages), Failure>>,
    messages: Arc<AtomicU64>,
}

struct Client {
    work: Work,
    aged: bool,
    corpus: Arc<Corpus>,
    books: Books,
    ages: Ages,
}

impl Bare {
    /// Connects and subscribes.
    pub fn start(work: Work, to: Listening) -> Self {
        let messages = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&messages);
        let thread = std::thread::spawn(move || run(work, &to, &counter));
        Self { thread, messages }
    }

    /// Messages so far.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Waits for the end of all connections; the messages, when it was, and the
    /// ages.
    ///
    /// # Errors
    /// When a connection failed.
    pub fn join(self) -> Result<(u64, u64, Ages), Failure> {
        let joined = self.thread.join();
        let ended = joined.unwrap_or_else(|_| Err("the bare client panicked".into()));
        let (end, ages) = ended?;
        Ok((self.messages.load(Ordering::Relaxed), end, ages))
    }
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("url", &self.url)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}

fn run(work: Work, to: &Listening, messages: &Arc<AtomicU64>) -> Result<(u64, Ages), Failure> {
    let client = Rc::new(RefCell::new(Client {
        work,
        aged: to.aged,
        corpus: Arc::clone(&to.corpus),
        books: Books::default(),
        ages: Ages::default(),
    }));
    let tokens: Vec<_> = to.corpus.books().map(|(info, _)| &info.asset_id).collect();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        let mut tasks = tokio::task::JoinSet::new();
        for tokens in tokens.chunks(tokens.len() / to.connections.max(1)) {
            let tokens: Vec<_> = tokens.iter().map(ToString::to_string).collect();
            let stream = to.dialer.dial(&to.url).await?;
            let (mut socket, _) = client_async(&to.url, stream).await?;
            let request = serde_json::json!({ "type": "market", "assets_ids": tokens });
            socket.send(Message::text(request.to_string())).await?;
            let (client, messages) = (Rc::clone(&client), Arc::clone(messages));
            tasks.spawn_local(async move { listen(socket, &client, &messages).await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok::<_, Failure>(())
    }))?;
    let ages = std::mem::take(&mut client.borrow_mut().ages);
    Ok((machine_nanos(), ages))
}

async fn listen(
    mut socket: WebSocketStream<Box<dyn Stream>>,
    client: &RefCell<Client>,
    messages: &AtomicU64,
) -> Result<(), Failure> {
    loop {
        let (read, end) = poll_fn(|poller| {
            let mut client = client.borrow_mut();
            let mut read = 0;
            let outcome = loop {
                match socket.poll_next_unpin(poller) {
                    Poll::Pending if read == 0 => return Poll::Pending,
                    Poll::Pending => break Ok(false),
                    Poll::Ready(None) => break Err("the exchange closed".into()),
                    Poll::Ready(Some(Err(error))) => break Err(Failure::from(error)),
                    Poll::Ready(Some(Ok(message))) => {
                        if message.len() == END.len() {
                            break Ok(true);
                        }
                        client.take(&message);
                        read += 1;
                        if read == BATCH {
                            break Ok(false);
                        }
                    }
                }
            };
            if client.aged {
                client.ages.applied(machine_nanos());
            }
            Poll::Ready((read, outcome))
        })
        .await;
        messages.fetch_add(read.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        if end? {
            return Ok(());
        }
    }
}

impl Client {
    fn take(&mut self, message: &Message) {
        if self.work == Work::Apply
            && let Message::Text(text) = message
        {
            self.books
                .hear_bytes(&self.corpus.interner, text.as_bytes());
            if self.aged {
                self.ages.note(&self.books.decoded.events);
            }
        }
    }
}
