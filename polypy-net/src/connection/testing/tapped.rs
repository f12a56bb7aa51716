//! Takes what a recorder would take, and remembers it in order.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use polypy_core::{
    Answer, Asked, AssetInfo, AssetKey, BookOrigin, FeedId, FrameSink, Opened, Owner, SocketId,
    SocketSink,
};

use super::Recorder;

/// What a recorder was told, and of which socket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// Whether it is a replacement.
    Opened(SocketId, bool),
    /// Each frame by itself.
    Frame(SocketId, Vec<u8>, bool),
    /// What it asks for, how many tokens, and the text.
    Sent(SocketId, Asked, usize, String),
    FirstBooks(SocketId, Vec<AssetKey>, BookOrigin),
    Delivers(SocketId, FeedId),
    /// The reason, whose doing it is, and how many feeds were open then.
    Closed(SocketId, String, Owner, usize),
    /// Dropped without that.
    Died(SocketId),
}

/// A recorder that remembers, and looks at what was delivered meanwhile.
pub(crate) struct Tapped {
    pub(crate) said: Arc<Mutex<Vec<Said>>>,
    sink: Arc<Recorder>,
}

impl Tapped {
    pub(crate) fn beside(sink: &Arc<Recorder>) -> Arc<Self> {
        Arc::new(Self {
            said: Arc::default(),
            sink: Arc::clone(sink),
        })
    }

    pub(crate) fn all(&self) -> Vec<Said> {
        self.said.lock().clone()
    }

    /// The frames of a socket.
    pub(crate) fn frames(&self, socket: u64) -> Vec<Vec<u8>> {
        let said = self.said.lock();
        let frames = said.iter().filter_map(|said| match said {
            Said::Frame(of, bytes, _) if of.0 == socket => Some(bytes.clone()),
            _ => None,
        });
        frames.collect()
    }
}

impl FrameSink for Tapped {
    fn opened(&self, opened: &Opened<'_>) -> Box<dyn SocketSink> {
        assert_eq!(opened.connection, "conn-7");
        let said = Said::Opened(opened.socket, opened.is_replacement);
        self.said.lock().push(said);
        Box::new(Handle {
            socket: opened.socket,
            said: Arc::clone(&self.said),
            sink: Arc::clone(&self.sink),
            is_closed: false,
        })
    }

    fn answered(&self, _answer: &Answer<'_>) {}
}

struct Handle {
    socket: SocketId,
    said: Arc<Mutex<Vec<Said>>>,
    sink: Arc<Recorder>,
    is_closed: bool,
}

impl SocketSink for Handle {
    fn received(&mut self, bytes: &[u8], ends: &[usize], is_text: bool, _at: Instant) {
        let mut said = self.said.lock();
        let mut begin = 0;
        for &end in ends {
            let frame = bytes[begin..end].to_vec();
            said.push(Said::Frame(self.socket, frame, is_text));
            begin = end;
        }
        assert_eq!(begin, bytes.len(), "bytes of no frame");
    }

    fn sent(&mut self, text: &str, asked: Asked, tokens: &[Arc<AssetInfo>], _at: Instant) {
        let said = Said::Sent(self.socket, asked, tokens.len(), text.to_owned());
        self.said.lock().push(said);
    }

    fn first_books(&mut self, tokens: &[AssetKey], origin: BookOrigin, _at: Instant) {
        let said = Said::FirstBooks(self.socket, tokens.to_vec(), origin);
        self.said.lock().push(said);
    }

    fn delivers(&mut self, feed: FeedId, _at: Instant) {
        assert!(!self.sink.open_feeds().contains(&feed), "told too late");
        self.said.lock().push(Said::Delivers(self.socket, feed));
    }

    fn closed(&mut self, reason: &str, owner: Owner, _at: Instant) {
        self.is_closed = true;
        let open = self.sink.open_feeds().len();
        let said = Said::Closed(self.socket, reason.to_owned(), owner, open);
        self.said.lock().push(said);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_closed {
            self.said.lock().push(Said::Died(self.socket));
        }
    }
}
