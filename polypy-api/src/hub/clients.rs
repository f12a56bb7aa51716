//! The hub's clients, and which of them a round has to look at.
//!
//! A round has some thirty messages for some thirty of a thousand clients. To look at all of
//! them, 2,000 times a second, would cost more than what it has to do: so it looks at those
//! that something happened to, and at those that it found unfinished the last time.

use super::client_state::ClientState;
use super::slab::Slab;

/// Clients under small numbers, which are used again.
#[derive(Debug, Default)]
pub(super) struct Clients {
    all: Slab<Listed>,
    /// Those that may be owed something: changed since the last look, or owed something then.
    changed: Vec<u32>,
    /// Those that got something in this round, whose doors are to be woken.
    touched: Vec<u32>,
    /// Those in whose queues a message may wait that others have, too.
    waiting: Vec<u32>,
    /// Memory for what is sent.
    frames: Vec<u8>,
}

/// As many as a round sends to itself: some milliseconds at most.
const SENT_BY_ROUND: usize = 256;

/// A client, and in which lists it stands.
#[derive(Debug)]
struct Listed {
    client: ClientState,
    is_changed: bool,
    is_touched: bool,
    is_waiting: bool,
}

impl Clients {
    pub(super) fn insert(&mut self, client: ClientState) -> u32 {
        self.all.insert(Listed {
            client,
            is_changed: false,
            is_touched: false,
            is_waiting: false,
        })
    }

    pub(super) fn remove(&mut self, at: u32) {
        let Some(listed) = self.all.remove(at) else {
            return;
        };
        // Another client gets its number, and is in no list.
        let lists = [
            (listed.is_changed, &mut self.changed),
            (listed.is_touched, &mut self.touched),
            (listed.is_waiting, &mut self.waiting),
        ];
        for (_, list) in lists.into_iter().filter(|(is_in, _)| *is_in) {
            list.retain(|one| *one != at);
        }
    }

    pub(super) fn get(&self, at: u32) -> Option<&ClientState> {
        self.all.get(at).map(|listed| &listed.client)
    }

    /// A client that is changed: whether it is owed something is looked at again.
    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut ClientState> {
        let listed = self.all.get_mut(at)?;
        note(at, &mut listed.is_changed, &mut self.changed);
        Some(&mut listed.client)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &ClientState)> {
        self.all.iter().map(|(at, listed)| (at, &listed.client))
    }

    /// The client got something: its door is to be woken, and what waits for it is watched.
    pub(super) fn touch(&mut self, at: u32) {
        if let Some(listed) = self.all.get_mut(at) {
            note(at, &mut listed.is_touched, &mut self.touched);
            note(at, &mut listed.is_waiting, &mut self.waiting);
        }
    }

    /// Sends to those that were touched. To as many as a round has time for it sends itself,
    /// which costs half of what waking a task does; the others' tasks, which are woken first, do it
    /// on other cores meanwhile.
    pub(super) fn flush(&mut self) {
        for (nth, at) in self.touched.iter().enumerate().rev() {
            let Some(listed) = self.all.get_mut(*at) else {
                continue;
            };
            listed.is_touched = false;
            if nth < SENT_BY_ROUND {
                listed.client.outbox.send(&mut self.frames);
            } else {
                listed.client.outbox.flush();
            }
        }
        self.touched.clear();
    }

    /// Those that are owed something, in order of their numbers.
    pub(super) fn owed(&mut self) -> Vec<u32> {
        let all = &mut self.all;
        self.changed.retain(|at| {
            all.get_mut(*at).is_some_and(|listed| {
                listed.is_changed = listed.client.is_owed_something();
                listed.is_changed
            })
        });
        self.changed.sort_unstable();
        self.changed.clone()
    }

    /// Those in whose queues a message waits that was published before this place.
    pub(super) fn waiting_before(&mut self, position: u64) -> Vec<u32> {
        let all = &mut self.all;
        let mut before = Vec::new();
        self.waiting.retain(|at| {
            all.get_mut(*at).is_some_and(|listed| {
                let oldest = listed.client.outbox.oldest();
                if oldest.is_some_and(|oldest| oldest < position) {
                    before.push(*at);
                }
                listed.is_waiting = oldest.is_some();
                listed.is_waiting
            })
        });
        before
    }
}

/// Puts a client into a list that it is not in.
fn note(at: u32, is_in: &mut bool, list: &mut Vec<u32>) {
    if !std::mem::replace(is_in, true) {
        list.push(at);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::message::{Cause, Event, Heartbeat, Published};
    use crate::outbox::{Batch, Bounds, Outbox};

    fn client() -> ClientState {
        let bounds = Bounds {
            shared: 1 << 20,
            own: 1 << 20,
        };
        ClientState::new(
            Arc::new(Outbox::new(bounds, Arc::default())),
            Instant::now(),
        )
    }

    /// Publishes a message at a place, for this client.
    fn give(clients: &mut Clients, at: u32, position: u64) {
        let event = Event::Heartbeat(Heartbeat {
            cursor: None,
            now_us: 1,
            queued_bytes: 0,
        });
        let message = Arc::new(Published::new(Some(position), event));
        clients.get(at).unwrap().outbox.push(&message, None);
        clients.touch(at);
    }

    fn read(clients: &Clients, at: u32) -> usize {
        match clients.get(at).unwrap().outbox.try_next(1) {
            Some(Batch::Messages(messages)) => messages.len(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_is_owed_something_is_listed_until_it_is_not() {
        let mut clients = Clients::default();
        let [one, two, three] = [(); 3].map(|()| clients.insert(client()));
        assert!(clients.owed().is_empty());
        for at in [three, one] {
            clients.get_mut(at).unwrap().owe(5, Cause::Subscribed);
        }
        clients.get_mut(two).unwrap();
        assert_eq!(clients.owed(), [one, three]);
        assert_eq!(clients.owed(), [one, three], "nothing was given");
        clients.get_mut(one).unwrap().due.clear();
        assert_eq!(clients.owed(), [three]);
        clients.get_mut(one).unwrap().owe(5, Cause::Subscribed);
        assert_eq!(clients.owed(), [one, three]);
    }

    #[test]
    fn a_message_is_waited_for_until_it_is_read() {
        let mut clients = Clients::default();
        let [one, two] = [(); 2].map(|()| clients.insert(client()));
        give(&mut clients, one, 7);
        give(&mut clients, two, 8);
        give(&mut clients, one, 9);
        assert_eq!(clients.waiting_before(8), [one]);
        assert_eq!(clients.waiting_before(9), [one, two]);
        assert_eq!(read(&clients, one), 1);
        assert_eq!(clients.waiting_before(9), [two]);
        assert_eq!(clients.waiting_before(10), [one, two]);
        assert_eq!(read(&clients, one), 1);
        assert_eq!(clients.waiting_before(10), [two]);
        give(&mut clients, one, 10);
        assert_eq!(clients.waiting_before(11), [two, one]);
    }

    #[test]
    fn who_gets_the_number_of_another_gets_nothing_else_of_it() {
        let mut clients = Clients::default();
        let gone = clients.insert(client());
        clients.get_mut(gone).unwrap().owe(5, Cause::Subscribed);
        give(&mut clients, gone, 1);
        clients.remove(gone);
        let came = clients.insert(client());
        assert_eq!(came, gone);
        assert!(clients.owed().is_empty());
        assert!(clients.waiting_before(2).is_empty());
        clients.get_mut(came).unwrap().owe(6, Cause::Subscribed);
        give(&mut clients, came, 2);
        assert_eq!(clients.owed(), [came], "once");
        assert_eq!(clients.waiting_before(3), [came]);
    }
}
