//! What the recorder of a socket is told; nothing, at the cost of a branch, while there is
//! none.

use std::sync::Arc;

use polypy_core::{
    Asked, AssetInfo, AssetKey, BookOrigin, FeedId, FrameSink, Opened, SocketId, SocketSink,
};
use tokio::time::Instant;

use super::Context;
use super::disconnect::DisconnectReason;
use super::view::ConnectionView;

/// The recorder of one socket, if it has one. Dropped without [`Self::closed`], it says that
/// the socket's task died.
pub(super) struct Tap(Option<Box<dyn SocketSink>>);

impl Tap {
    /// Of a connection's socket, which has opened and delivers as this feed, if it does.
    pub(super) fn of(context: &Context, view: &ConnectionView, feed: Option<FeedId>) -> Self {
        let name = view.id().to_string();
        let socket = (context.next_socket(), name.as_str());
        let mut tap = Self::open(context.venue.frames.as_ref(), socket, feed.is_none());
        if let Some(feed) = feed {
            tap.delivers(feed);
        }
        tap
    }

    /// Of a socket that has opened.
    pub(super) fn open(
        frames: Option<&Arc<dyn FrameSink>>,
        (socket, connection): (SocketId, &str),
        is_replacement: bool,
    ) -> Self {
        Self(frames.map(|frames| {
            frames.opened(&Opened {
                socket,
                connection,
                is_replacement,
                at: Instant::now().into_std(),
            })
        }))
    }

    /// These frames came, and are not decoded yet.
    pub(super) fn received(&mut self, bytes: &[u8], ends: &[usize], is_text: bool) {
        if let Some(sink) = &mut self.0 {
            sink.received(bytes, ends, is_text, Instant::now().into_std());
        }
    }

    /// This was sent.
    pub(super) fn sent(&mut self, text: &str, asked: Asked, tokens: &[Arc<AssetInfo>]) {
        if let Some(sink) = &mut self.0 {
            sink.sent(text, asked, tokens, Instant::now().into_std());
        }
    }

    /// The socket keeps these tokens' books from now on.
    pub(super) fn first_books(&mut self, tokens: &[AssetKey], origin: BookOrigin) {
        if let Some(sink) = &mut self.0
            && !tokens.is_empty()
        {
            sink.first_books(tokens, origin, Instant::now().into_std());
        }
    }

    /// What the socket says is delivered as this feed from now on.
    pub(super) fn delivers(&mut self, feed: FeedId) {
        if let Some(sink) = &mut self.0 {
            sink.delivers(feed, Instant::now().into_std());
        }
    }

    /// The socket is gone.
    pub(super) fn closed(mut self, reason: &DisconnectReason) {
        if let Some(sink) = &mut self.0 {
            sink.closed(&reason.cause(), reason.owner(), Instant::now().into_std());
        }
    }
}
