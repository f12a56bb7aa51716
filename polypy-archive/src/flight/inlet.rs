//! What sockets say to the flight recorder, and what the venue answers.
//!
//! A socket's own handle holds its ring: a group of frames is a lock that nobody else wants
//! but while a file is begun, and one copy into memory that is there already.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;
use polypy_core::recording::{Mark, RestAnswer};
use polypy_core::{
    Answer, Asked, AssetId, AssetInfo, AssetKey, BookOrigin, CatalogueSink, FeedId, FrameSink,
    MarketChange, Opened, Owner, Purpose, SocketSink,
};

use super::ring::Ring;
use super::{Shared, Socket};
use crate::audits::Audit;
use crate::item::{SentText, What};

/// Incidents that are named in a file.
const MOST_MARKS: usize = 64;

/// The side of the sockets.
#[derive(Clone)]
pub struct FlightInlet(pub(super) Arc<Shared>);

impl FlightInlet {
    /// Something has gone wrong.
    pub fn incident(&self, mark: Mark, at: Instant) {
        self.0.numbers.incidents.add_shared(1);
        let mut pending = self.0.pending.lock();
        pending.count += 1;
        if pending.marks.len() < MOST_MARKS {
            pending.marks.push((at, mark));
        }
        drop(pending);
        self.0.woken.notify_all();
    }
}

impl fmt::Debug for FlightInlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlightInlet")
    }
}

impl FrameSink for FlightInlet {
    fn opened(&self, opened: &Opened<'_>) -> Box<dyn SocketSink> {
        let socket = Arc::new(Socket {
            connection: opened.connection.into(),
            ring: Mutex::new(Ring::new()),
        });
        let mut sockets = self.0.sockets.lock();
        // Those that closed long ago.
        sockets.retain(|_, socket| !socket.ring.lock().is_over(opened.at));
        sockets.insert(opened.socket, Arc::clone(&socket));
        self.0.count.store(sockets.len(), Ordering::Relaxed);
        drop(sockets);
        let handle = Handle {
            shared: Arc::clone(&self.0),
            socket,
            is_closed: false,
        };
        let what = What::Opened {
            connection: Arc::clone(&handle.socket.connection),
            is_replacement: opened.is_replacement,
        };
        handle.said(what, opened.at);
        Box::new(handle)
    }

    /// Keeps what our books are compared with. Books that REST brought are in the copies
    /// soon.
    fn answered(&self, answer: &Answer<'_>) {
        if answer.purpose != Purpose::Audit {
            return;
        }
        let kept = RestAnswer {
            path: answer.path.into(),
            request: answer.request.into(),
            status: answer.status,
            purpose: answer.purpose.name().into(),
            requested: 0,
            body: String::from_utf8_lossy(answer.body).into(),
        };
        self.0.audits.lock().keep(Audit {
            answer: kept,
            requested: answer.requested,
            received: answer.received,
        });
    }
}

impl CatalogueSink for FlightInlet {
    /// Keeps that a market has ended: its tokens are taken off their sockets, which is no loss.
    fn changed(&self, change: MarketChange) {
        match change {
            MarketChange::Resolved { .. } | MarketChange::Ended { .. } => {
                self.0.lately.lock().ended(change, Instant::now());
            }
            MarketChange::New(_) | MarketChange::Forgotten { .. } => {}
        }
    }
}

struct Handle {
    shared: Arc<Shared>,
    socket: Arc<Socket>,
    is_closed: bool,
}

impl Handle {
    fn said(&self, what: What, at: Instant) {
        let share = self.shared.share();
        self.socket.ring.lock().said(what, (at, share));
    }

    fn close(&mut self, reason: &str, owner: Owner, at: Instant) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.said(What::Closed(reason.into(), owner), at);
        }
    }
}

impl SocketSink for Handle {
    fn received(&mut self, bytes: &[u8], ends: &[usize], is_text: bool, at: Instant) {
        if !ends.is_empty() {
            let share = self.shared.share();
            let mut ring = self.socket.ring.lock();
            ring.frames(bytes, ends, is_text, (at, share));
        }
    }

    fn sent(&mut self, text: &str, asked: Asked, tokens: &[Arc<AssetInfo>], at: Instant) {
        let named: Vec<_> = tokens
            .iter()
            .map(|token| (token.key, token.asset_id.clone()))
            .collect();
        let ids: Box<[AssetId]> = named.iter().map(|(_, id)| id.clone()).collect();
        let sent = SentText {
            asked,
            tokens: ids,
            text: text.into(),
        };
        let share = self.shared.share();
        let mut ring = self.socket.ring.lock();
        ring.name(asked, &named);
        ring.said(What::Sent(Box::new(sent)), (at, share));
    }

    fn first_books(&mut self, tokens: &[AssetKey], origin: BookOrigin, at: Instant) {
        let share = self.shared.share();
        let mut ring = self.socket.ring.lock();
        let named = ring.named(tokens);
        ring.said(What::FirstBooks(named.into(), origin), (at, share));
    }

    fn delivers(&mut self, feed: FeedId, at: Instant) {
        self.said(What::Delivers(feed), at);
    }

    fn closed(&mut self, reason: &str, owner: Owner, at: Instant) {
        self.close(reason, owner, at);
    }
}

/// Its task died without a word.
impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_closed {
            self.close("task_died", Owner::Us, Instant::now());
        }
    }
}
