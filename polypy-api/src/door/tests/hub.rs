//! A hub that does what tests say: it answers what doors ask, and publishes what it is
//! given. The real one is tried with the doors by the end-to-end tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::Selector;
use tokio::task::JoinHandle;

use super::common::eventually;
use crate::client::{ClientId, Command, Shared, Streams, SubscribeError};
use crate::config::StreamConfig;
use crate::cursor::{Cursor, Instance};
use crate::filter::Filter;
use crate::message::{Closing, ErrorMessage, Event, Heartbeat, Place, Published};
use crate::outbox::Outbox;

pub(crate) const INSTANCE: Instance = Instance(0x5f3a);
/// A token that nobody knows.
pub(crate) const NOBODY: &str = "404";
/// A token about which the hub does not answer.
pub(crate) const SILENCE: &str = "0";

/// What doors asked for.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) subscribed: Vec<(u64, Filter, Option<Cursor>)>,
    pub(crate) unsubscribed: Vec<u64>,
    pub(crate) closed: usize,
    clients: BTreeMap<ClientId, Arc<Outbox>>,
    /// Questions that are not answered.
    unanswered: Vec<Command>,
}

/// See the module.
pub(crate) struct Hub {
    shared: Arc<Shared>,
    pub(crate) asked: Arc<Mutex<Asked>>,
    answering: JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl Hub {
    pub(crate) fn start() -> Self {
        let config = StreamConfig {
            max_clients: 3,
            own_buffer: 64 * 1024,
            ..StreamConfig::default()
        };
        let shared = Arc::new(Shared::new(config, "polypy/test"));
        shared.begin(INSTANCE);
        let asked = Arc::new(Mutex::new(Asked::default()));
        let (theirs, answers) = (Arc::clone(&shared), Arc::clone(&asked));
        let answering = tokio::spawn(async move {
            let mut commands = Vec::new();
            loop {
                theirs.take_commands(&mut commands);
                for command in commands.drain(..) {
                    answers.lock().answer(command);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self {
            shared,
            asked,
            answering,
        }
    }

    pub(crate) fn streams(&self) -> Streams {
        Streams::new(Arc::clone(&self.shared))
    }

    /// Is no longer there for anyone.
    pub(crate) fn end(&self) {
        self.shared.end(Closing::LATER, "is being restarted");
        self.asked.lock().unanswered.clear();
    }

    /// Gives every client this message, at this place, as a round does that is for few.
    pub(crate) fn publish(&self, position: u64, event: Event) {
        self.publish_all([(position, event)]);
    }

    /// The same of more than one, in one round.
    pub(crate) fn publish_all(&self, events: impl IntoIterator<Item = (u64, Event)>) {
        let asked = self.asked.lock();
        for (position, event) in events {
            let message = Arc::new(Published::new(Some(position), event));
            let cursor = Cursor {
                instance: INSTANCE,
                position,
            };
            for outbox in asked.clients.values() {
                outbox.push(&message, Some(cursor));
            }
        }
        for outbox in asked.clients.values() {
            outbox.send(&mut Vec::new());
        }
    }

    /// Waits until there is a client.
    pub(crate) async fn opened(&self) {
        eventually("a client opens", || !self.outboxes().is_empty()).await;
    }

    /// Waits until there is a question that it does not answer.
    pub(crate) async fn asked_in_vain(&self) {
        eventually("a question comes", || {
            !self.asked.lock().unanswered.is_empty()
        })
        .await;
    }

    /// The queues of all clients.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        self.asked.lock().clients.values().cloned().collect()
    }
}

impl Asked {
    fn answer(&mut self, command: Command) {
        match command {
            Command::Open { client, outbox } => {
                self.clients.insert(client, outbox);
            }
            Command::Close { client } => {
                self.clients.remove(&client);
                self.closed += 1;
            }
            Command::Heartbeat { client } => self.tell(client, beat(0)),
            Command::Tell(_) => {}
            Command::Unsubscribe { client, id, answer } => {
                self.unsubscribed.push(id);
                let cursor = None;
                self.tell(client, Event::Unsubscribed(Place { id, cursor }));
                let _told = answer.send(Ok(()));
            }
            Command::Subscribe {
                client,
                id,
                filter,
                cursor,
                answer,
            } => {
                let names = |name: &str| filter.selectors.contains(&Selector::Token(name.into()));
                if names(SILENCE) {
                    let filter = filter.clone();
                    self.unanswered.push(Command::Subscribe {
                        client,
                        id,
                        filter,
                        cursor,
                        answer,
                    });
                    return;
                }
                if names(NOBODY) {
                    let message = "no token of the subscription is known here";
                    let refusal = SubscribeError::new("unknown_token", message);
                    let _told = answer.send(Err(refusal));
                    return;
                }
                self.subscribed.push((id, filter, cursor));
                let cursor = None;
                self.tell(client, Event::Ready(Place { id, cursor }));
                let _told = answer.send(Ok(()));
            }
        }
    }

    fn tell(&self, client: ClientId, event: Event) {
        if let Some(outbox) = self.clients.get(&client) {
            assert!(outbox.push_own(event));
        }
    }
}

/// A message that is told from others by its time.
pub(crate) fn beat(now_us: u64) -> Event {
    Event::Heartbeat(Heartbeat {
        cursor: None,
        now_us,
        queued_bytes: 0,
    })
}

/// A message of about so many bytes.
pub(crate) fn long(bytes: usize) -> Event {
    Event::Error(Box::new(ErrorMessage {
        id: None,
        code: "slow",
        is_temporary: true,
        message: "x".repeat(bytes),
    }))
}
