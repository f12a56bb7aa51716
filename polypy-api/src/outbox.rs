//! What waits for one client.
//!
//! The hub puts messages in, a door takes them out at the pace of its socket. Bounded
//! in bytes: shared messages by one bound, the client's own by another. The hub never
//! waits; what does not fit is for the hub to deal with.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker as Door};

use parking_lot::Mutex;

use crate::cursor::Cursor;
use crate::door::ws::{Line, Sent};
use crate::message::{Closing, Event, GapReason, Published};
use crate::waker::Waker;

/// A message on its way to a client.
#[derive(Debug, Clone)]
pub struct Item {
    /// The message.
    pub message: Arc<Published>,
    /// The client's place with it; `None` while it is owed something.
    pub cursor: Option<Cursor>,
}

/// What a door has to send next.
#[derive(Debug)]
pub enum Batch {
    /// These messages, in order. Never empty.
    Messages(Vec<Item>),
    /// A message `closing`, and then the end. Given as often as it is asked for.
    End(Closing),
}

/// What waits for one client.
pub struct Outbox {
    inner: Mutex<Inner>,
    /// Place of the oldest shared message that waits; [`NOTHING`] if none does.
    oldest: AtomicU64,
    bounds: Bounds,
    hub: Arc<Waker>,
}

/// Bytes that may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) shared: usize,
    pub(crate) own: usize,
}

const NOTHING: u64 = u64::MAX;
/// About what is sent to a client that waits, without waking its door.
const SENT_AT_ONCE: usize = 16 * 1024;

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Item>,
    shared_bytes: usize,
    own_bytes: usize,
    /// The client was told that it is slow, since the queue was last short.
    is_warned: bool,
    /// The hub has more for the client, once the queue is short.
    is_awaited: bool,
    /// The queue was emptied, and nothing was read since: the client may be stuck.
    is_unread: bool,
    end: Option<Closing>,
    /// The door, while it waits for something.
    door: Option<Door>,
    /// Where messages may be sent while the door waits.
    line: Option<Arc<Line>>,
}

impl Inner {
    fn bytes(&self) -> usize {
        self.shared_bytes + self.own_bytes
    }

    /// Adds to what is counted, or takes off.
    fn counted(&mut self, message: &Published) -> &mut usize {
        match message.position() {
            Some(_) => &mut self.shared_bytes,
            None => &mut self.own_bytes,
        }
    }

    fn put(&mut self, item: Item) {
        let bytes = item.message.bytes();
        *self.counted(&item.message) += bytes;
        self.queue.push_back(item);
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        let bytes = item.message.bytes();
        let counted = self.counted(&item.message);
        *counted = counted.saturating_sub(bytes);
        Some(item)
    }

    /// The next messages, of about `most` bytes.
    fn take_about(&mut self, most: usize) -> Vec<Item> {
        let mut items = Vec::new();
        let mut bytes = 0;
        while bytes < most {
            let Some(item) = self.take() else { break };
            bytes += item.message.text().as_str().len();
            items.push(item);
        }
        items
    }

    fn oldest(&self) -> u64 {
        let mut places = self.queue.iter().filter_map(|item| item.message.position());
        places.next().unwrap_or(NOTHING)
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Fine,
    /// Half of the bytes are used, for the first time since the queue was short.
    Half,
    /// There is no room: it was not taken.
    Full,
}

impl Outbox {
    pub(crate) fn new(bounds: Bounds, hub: Arc<Waker>) -> Self {
        Self {
            inner: Mutex::default(),
            oldest: AtomicU64::new(NOTHING),
            bounds,
            hub,
        }
    }

    /// Waits for something to send, and takes messages of about `most` bytes. Dropping
    /// the future loses nothing. For one reader.
    pub async fn next(&self, most: usize) -> Batch {
        poll_fn(|cx| match self.take(most, Some(cx.waker())) {
            Some(batch) => Poll::Ready(batch),
            None => Poll::Pending,
        })
        .await
    }

    /// The same without waiting.
    pub fn try_next(&self, most: usize) -> Option<Batch> {
        self.take(most, None)
    }

    /// What there is to send; if nothing, the door is woken when there is.
    fn take(&self, most: usize, door: Option<&Door>) -> Option<Batch> {
        let mut inner = self.inner.lock();
        let items = inner.take_about(most);
        if items.is_empty() {
            let end = inner.end.clone().map(Batch::End);
            if let Some(door) = door.filter(|_| end.is_none()) {
                inner.door = Some(door.clone());
            }
            return end;
        }
        if door.is_some() {
            // It has something to send, which nothing may overtake on its line.
            inner.door = None;
        }
        let wakes = self.note_taken(&mut inner);
        drop(inner);
        if wakes {
            self.hub.wake();
        }
        Some(Batch::Messages(items))
    }

    /// Some of what waited was taken; whether the hub waited for that.
    fn note_taken(&self, inner: &mut Inner) -> bool {
        self.oldest.store(inner.oldest(), Ordering::Release);
        inner.is_unread = false;
        let is_short = self.is_short(inner);
        if is_short {
            inner.is_warned = false;
        }
        is_short && std::mem::take(&mut inner.is_awaited)
    }

    /// From now on what the hub has for a door that waits is sent on this line.
    pub(crate) fn send_on(&self, line: Arc<Line>) {
        self.inner.lock().line = Some(line);
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.inner.lock().bytes()
    }

    /// Adds a message for this client alone; `false`: there is no room.
    #[must_use]
    pub fn push_own(&self, event: Event) -> bool {
        let pushed = self.offer(Arc::new(Published::own(event)), None);
        self.flush();
        pushed
    }

    /// Ends the client, once it has taken what waits. The first end counts.
    pub fn close(&self, closing: Closing) {
        self.inner.lock().end.get_or_insert(closing);
        self.flush();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.inner.lock().end.is_some()
    }

    /// Adds a message that others get, too. Wakes nobody: [`flush`](Self::flush) does.
    pub(crate) fn push(&self, message: &Arc<Published>, cursor: Option<Cursor>) -> Pushed {
        let mut inner = self.inner.lock();
        if inner.end.is_some() {
            return Pushed::Fine;
        }
        if inner.shared_bytes + message.bytes() > self.bounds.shared {
            return Pushed::Full;
        }
        if self.oldest.load(Ordering::Relaxed) == NOTHING {
            let place = message.position().unwrap_or(NOTHING);
            self.oldest.store(place, Ordering::Release);
        }
        inner.put(Item {
            message: Arc::clone(message),
            cursor,
        });
        let is_half = inner.shared_bytes > self.bounds.shared / 2;
        if is_half && !std::mem::replace(&mut inner.is_warned, true) {
            return Pushed::Half;
        }
        Pushed::Fine
    }

    /// Adds a message of this client's own, if there is room. One always fits where none
    /// waits.
    pub(crate) fn offer(&self, message: Arc<Published>, cursor: Option<Cursor>) -> bool {
        let mut inner = self.inner.lock();
        if inner.end.is_some() {
            return true;
        }
        if inner.own_bytes > 0 && inner.own_bytes + message.bytes() > self.bounds.own {
            return false;
        }
        inner.put(Item { message, cursor });
        true
    }

    /// Adds a message that the client has to get: an answer, or what it is owed once it
    /// [asks for more](Self::asks_for_more). A client that keeps asking and does not
    /// read the answers ends.
    pub(crate) fn put_own(&self, message: Arc<Published>, cursor: Option<Cursor>) {
        let mut inner = self.inner.lock();
        if inner.end.is_some() {
            return;
        }
        inner.put(Item { message, cursor });
        if inner.own_bytes > 4 * self.bounds.own && inner.queue.len() > 1_000 {
            let reason = "answers are not read";
            inner.end = Some(Closing::with_retry(Closing::LATER, reason));
        }
    }

    /// Whether so much was read that the hub may add snapshots: less than a quarter of
    /// either bound waits, and after it was emptied something was read. If not, the hub is woken once it is so.
    pub(crate) fn asks_for_more(&self) -> bool {
        let mut inner = self.inner.lock();
        let is_short = self.is_short(&inner);
        inner.is_awaited = !is_short;
        is_short
    }

    /// The same, where there has to be room for a shared message of so many bytes.
    pub(crate) fn asks_for(&self, bytes: usize) -> bool {
        let mut inner = self.inner.lock();
        let has_room = inner.shared_bytes + bytes <= self.bounds.shared;
        let asks = self.is_short(&inner) && has_room;
        inner.is_awaited = !asks;
        asks
    }

    fn is_short(&self, inner: &Inner) -> bool {
        !inner.is_unread
            && inner.shared_bytes <= self.bounds.shared / 4
            && inner.own_bytes <= self.bounds.own / 4
    }

    /// Throws away what waits, but for answers, whose places are taken away: they
    /// would vouch for what is lost. Returns how many messages it were.
    pub(crate) fn empty(&self) -> u64 {
        let mut inner = self.inner.lock();
        let mut messages = 0;
        let mut kept = Vec::new();
        while let Some(item) = inner.take() {
            match item.message.event().answer_without_place() {
                Some(answer) => kept.push(answer),
                None => messages += 1,
            }
        }
        for answer in kept {
            inner.put(Item {
                message: Arc::new(Published::own(answer)),
                cursor: None,
            });
        }
        self.oldest.store(NOTHING, Ordering::Release);
        inner.is_unread = true;
        messages
    }

    /// Takes back what waits, in order, but for what nobody could say again. `ready` is
    /// taken back with the openings before it.
    pub(crate) fn take_back(&self) -> Vec<Arc<Published>> {
        let mut inner = self.inner.lock();
        let (mut kept, mut taken) = (Vec::new(), Vec::new());
        while let Some(item) = inner.take() {
            let is_own = item.message.position().is_none();
            let stays = match item.message.event() {
                Event::Ready(_) => false,
                Event::Market(_) => is_own,
                Event::State(state) => is_own && state.state.is_none(),
                Event::Gap(gap) if gap.reason == GapReason::TradesLeftOut => true,
                event => event.answer_without_place().is_some(),
            };
            if stays {
                kept.push(item);
            } else {
                taken.push(item.message);
            }
        }
        for item in kept {
            inner.put(item);
        }
        self.oldest.store(inner.oldest(), Ordering::Release);
        taken
    }

    /// Place of the oldest shared message that waits.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let oldest = self.oldest.load(Ordering::Acquire);
        (oldest != NOTHING).then_some(oldest)
    }

    /// Sends what waits, if the door waits for it and its socket takes it; else the door
    /// is woken. For the hub's thread; `frames` is its memory for them.
    pub(crate) fn send(&self, frames: &mut Vec<u8>) {
        let mut inner = self.inner.lock();
        let Some(door) = inner.door.take() else {
            return;
        };
        if inner.queue.is_empty() && inner.end.is_none() {
            inner.door = Some(door);
            return;
        }
        let line = inner.line.clone().filter(|_| inner.end.is_none());
        let Some(free) = line.as_ref().and_then(|line| line.free()) else {
            drop(inner);
            return door.wake();
        };
        frames.clear();
        while frames.len() < SENT_AT_ONCE {
            let Some(item) = inner.take() else { break };
            frame(item.message.text().as_str(), frames);
        }
        let is_through = free.send(frames) == Sent::All && inner.queue.is_empty();
        let wakes = self.note_taken(&mut inner);
        let door = if is_through {
            inner.door = Some(door);
            None
        } else {
            Some(door)
        };
        drop(inner);
        if wakes {
            self.hub.wake();
        }
        if let Some(door) = door {
            door.wake();
        }
    }

    /// Wakes the door, if it waits.
    pub(crate) fn flush(&self) {
        let door = self.inner.lock().door.take();
        if let Some(door) = door {
            door.wake();
        }
    }
}

/// Appends a text message as a server's WebSocket frame (RFC 6455, section 5.2): one
/// fragment, not masked.
fn frame(text: &str, frames: &mut Vec<u8>) {
    const TEXT: u8 = 0x81;
    let bytes = text.as_bytes();
    frames.push(TEXT);
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(length @ ..126), _) => frames.push(length),
        (_, Ok(length)) => {
            frames.push(126);
            frames.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frames.push(127);
            frames.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        }
    }
    frames.extend_from_slice(bytes);
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("queued_bytes", &self.queued_bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
