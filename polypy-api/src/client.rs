//! A door's side of the hub: opening a client, and what it asks for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::StreamConfig;
use crate::cursor::{Cursor, Instance};
use crate::filter::{Channel, Channels, Filter};
use crate::message::{Closing, ErrorMessage, Event, Health, Hello, Stats};
use crate::outbox::{Batch, Bounds, Outbox};
use crate::waker::Waker;

/// By which way a client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Server-Sent Events.
    Sse,
    /// WebSocket.
    WebSocket,
    /// The library, in this process.
    Library,
}

impl Door {
    pub(crate) const ALL: [Self; 3] = [Self::Sse, Self::WebSocket, Self::Library];

    /// Its name in numbers and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
            Self::Library => "library",
        }
    }
}

/// Why no client could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// As many are open as may be.
    #[error("{most} streams are open, which is as many as may be (http.max_streams)")]
    Full {
        /// As many as may be.
        most: usize,
    },
    /// The hub does not run: before the start, after the stop, or for a moment after
    /// a defect.
    #[error("streams are not served at the moment")]
    NotRunning,
}

/// Why a subscription was refused, or could not be ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SubscribeError {
    /// For programs.
    pub code: &'static str,
    /// The same may succeed later.
    pub is_temporary: bool,
    /// For people: what, and what to do.
    pub message: String,
}

impl SubscribeError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            is_temporary: false,
            message: message.into(),
        }
    }

    /// The hub ended meanwhile; the client ends, too.
    fn ended() -> Self {
        Self {
            code: "ended",
            is_temporary: true,
            message: "the stream ended: connect again".to_owned(),
        }
    }

    /// As a message about the subscription `id`.
    pub fn into_event(self, id: Option<u64>) -> Event {
        Event::Error(Box::new(ErrorMessage {
            id,
            code: self.code,
            is_temporary: self.is_temporary,
            message: self.message,
        }))
    }
}

pub(crate) type ClientId = u64;
pub(crate) type Answer = oneshot::Sender<Result<(), SubscribeError>>;

/// What doors ask of the hub. A client has one question open at a time, so that there
/// are never more than clients, and an end for each.
#[derive(Debug)]
pub(crate) enum Command {
    Open {
        client: ClientId,
        outbox: Arc<Outbox>,
    },
    Subscribe {
        client: ClientId,
        id: u64,
        filter: Filter,
        cursor: Option<Cursor>,
        answer: Answer,
    },
    Unsubscribe {
        client: ClientId,
        id: u64,
        answer: Answer,
    },
    Heartbeat {
        client: ClientId,
    },
    Tell(Told),
    Close {
        client: ClientId,
    },
}

/// What the server says of itself, as JSON objects.
#[derive(Debug)]
pub(crate) enum Told {
    /// Its counters.
    Stats(Arc<str>),
    /// Its verdict, and its newest sample.
    Health { health: Arc<str>, sample: Arc<str> },
}

impl Told {
    pub(crate) fn channel(&self) -> Channel {
        match self {
            Self::Stats(_) => Channel::Stats,
            Self::Health { .. } => Channel::Health,
        }
    }

    /// The message of this moment, in microseconds since 1970.
    pub(crate) fn event(&self, now_us: u64) -> Event {
        match self {
            Self::Stats(stats) => Event::Stats(Box::new(Stats {
                now_us,
                stats: Arc::clone(stats),
            })),
            Self::Health { health, sample } => Event::Health(Box::new(Health {
                now_us,
                health: Arc::clone(health),
                sample: Arc::clone(sample),
            })),
        }
    }
}

/// Where doors open clients. Cloned freely.
#[derive(Debug, Clone)]
pub struct Streams {
    shared: Arc<Shared>,
}

/// What doors and hub share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: StreamConfig,
    pub(crate) waker: Arc<Waker>,
    server: Arc<str>,
    /// The channels that somebody wants.
    wanted: AtomicU8,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    commands: Vec<Command>,
    /// There while the hub runs.
    instance: Option<Instance>,
    clients: HashMap<ClientId, (Door, Arc<Outbox>)>,
    last: ClientId,
}

impl Shared {
    pub(crate) fn new(config: StreamConfig, server: &str) -> Self {
        Self {
            config,
            waker: Arc::default(),
            server: server.into(),
            wanted: AtomicU8::default(),
            inbox: Mutex::default(),
        }
    }

    /// The hub runs from now on.
    pub(crate) fn begin(&self, instance: Instance) {
        let mut inbox = self.inbox.lock();
        inbox.commands.clear();
        inbox.instance = Some(instance);
    }

    /// The hub runs no longer: every client ends, none is opened.
    pub(crate) fn end(&self, code: u16, reason: &str) {
        let mut inbox = self.inbox.lock();
        inbox.instance = None;
        inbox.commands.clear();
        for (_, outbox) in inbox.clients.values() {
            outbox.close(Closing::with_retry(code, reason));
        }
    }

    /// What was asked since the last time, in order.
    pub(crate) fn take_commands(&self, into: &mut Vec<Command>) {
        into.append(&mut self.inbox.lock().commands);
    }

    pub(crate) fn has_commands(&self) -> bool {
        !self.inbox.lock().commands.is_empty()
    }

    /// Open clients that came by a door.
    pub(crate) fn clients(&self, door: Door) -> usize {
        let inbox = self.inbox.lock();
        let came = inbox.clients.values().filter(|(by, _)| *by == door);
        came.count()
    }

    pub(crate) fn want(&self, channels: Channels) {
        self.wanted.store(channels.bits(), Ordering::Relaxed);
    }

    pub(crate) fn wants(&self, channel: Channel) -> bool {
        Channels::of_bits(self.wanted.load(Ordering::Relaxed)).has(channel)
    }

    pub(crate) fn ask(&self, command: Command) {
        {
            let mut inbox = self.inbox.lock();
            // Nobody would answer; what the command holds says so when it is dropped.
            if inbox.instance.is_none() {
                return;
            }
            inbox.commands.push(command);
        }
        self.waker.wake();
    }

    fn forget(&self, client: ClientId) {
        self.inbox.lock().clients.remove(&client);
        self.ask(Command::Close { client });
    }
}

impl Streams {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What bounds them.
    pub fn config(&self) -> &StreamConfig {
        &self.shared.config
    }

    /// A client, whose first message is `hello`.
    ///
    /// # Errors
    /// When there are too many, or the hub does not run.
    pub fn open(&self, door: Door) -> Result<Client, OpenError> {
        let shared = &self.shared;
        let mut inbox = shared.inbox.lock();
        let instance = inbox.instance.ok_or(OpenError::NotRunning)?;
        let most = shared.config.max_clients;
        if inbox.clients.len() >= most {
            return Err(OpenError::Full { most });
        }
        inbox.last += 1;
        let id = inbox.last;
        let bounds = Bounds {
            shared: shared.config.buffer,
            own: shared.config.own_buffer,
        };
        let outbox = Arc::new(Outbox::new(bounds, Arc::clone(&shared.waker)));
        let hello = Hello {
            instance,
            server: Arc::clone(&shared.server),
            limits: shared.config.hello_limits(),
        };
        // Always fits: nothing waits yet.
        let _fits = outbox.push_own(Event::Hello(Box::new(hello)));
        inbox.clients.insert(id, (door, Arc::clone(&outbox)));
        inbox.commands.push(Command::Open {
            client: id,
            outbox: Arc::clone(&outbox),
        });
        drop(inbox);
        shared.waker.wake();
        Ok(Client {
            id,
            outbox,
            shared: Arc::clone(shared),
        })
    }
}

/// A client, from its opening to its end: dropping it is its end.
///
/// A door sends what [`next`](Self::next) gives, in order, and takes nothing more than it
/// can send: what waits here is bounded, and how slow the client is shows here.
pub struct Client {
    id: ClientId,
    outbox: Arc<Outbox>,
    shared: Arc<Shared>,
}

impl Client {
    /// Subscribes. The answer `subscribed` is the next message that concerns the
    /// subscription; on an error nothing comes, and the door says so in its own way.
    ///
    /// # Errors
    /// When nothing that is named is known, the id is in use, there are too many
    /// subscriptions, or another one shows a token otherwise.
    pub async fn subscribe(
        &self,
        id: u64,
        filter: Filter,
        cursor: Option<Cursor>,
    ) -> Result<(), SubscribeError> {
        let (answer, answered) = oneshot::channel();
        self.shared.ask(Command::Subscribe {
            client: self.id,
            id,
            filter,
            cursor,
            answer,
        });
        answered.await.unwrap_or(Err(SubscribeError::ended()))
    }

    /// Ends a subscription: `unsubscribed` is the last message that concerns it.
    ///
    /// # Errors
    /// When there is none of this id.
    pub async fn unsubscribe(&self, id: u64) -> Result<(), SubscribeError> {
        let (answer, answered) = oneshot::channel();
        self.shared.ask(Command::Unsubscribe {
            client: self.id,
            id,
            answer,
        });
        answered.await.unwrap_or(Err(SubscribeError::ended()))
    }

    /// Asks for a `heartbeat` at once. One that the client asked for while the last
    /// one is on its way is another one: whoever lets clients ask bounds the rate.
    pub fn ask_heartbeat(&self) {
        self.shared.ask(Command::Heartbeat { client: self.id });
    }

    /// What to send next: see [`Outbox::next`].
    pub async fn next(&self, most: usize) -> Batch {
        self.outbox.next(most).await
    }

    #[cfg(test)]
    pub(crate) fn id(&self) -> ClientId {
        self.id
    }

    /// What waits for the client.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.forget(self.id);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}
