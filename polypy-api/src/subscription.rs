//! Streams inside this process.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetKey, BookState};
use tokio::time::Instant;

use crate::client::{Client, Door, OpenError, Streams, SubscribeError};
use crate::cursor::Cursor;
use crate::filter::{Channel, Channels, Filter};
use crate::message::{Event, Published};
use crate::outbox::{Batch, Item};
use crate::read::Missing;

/// Bytes taken from the queue at once.
const BATCH: usize = 256 << 10;
/// Between two looks at whether anything that is waited for is in the catalogue.
const RETRY: Duration = Duration::from_millis(100);

/// Why nothing can be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// No client could be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The filter was refused.
    #[error(transparent)]
    Refused(#[from] SubscribeError),
}

/// Not every book was live in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLive {
    /// The time is over.
    #[error("{live} of {of} books are live after {after:?}")]
    Timeout {
        /// Books that are live.
        live: usize,
        /// Books that should be.
        of: usize,
        /// The time that was given.
        after: Duration,
    },
    /// They could not be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// A stream inside this process. Dropping it ends it.
///
/// It is bounded like any other client's: who reads too slowly finds a
/// [gap](Event::Gap), and then snapshots.
#[derive(Debug)]
pub struct Subscription {
    client: Client,
    taken: VecDeque<Item>,
}

impl Subscription {
    /// The next message; `None` once the stream has ended, as it does when the program
    /// stops. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Published>> {
        Some(self.next_item().await?.message)
    }

    /// The same, with the place to [resume](Streams::resume) from.
    pub async fn next_item(&mut self) -> Option<Item> {
        if self.taken.is_empty() {
            match self.client.next(BATCH).await {
                Batch::Messages(items) => self.taken.extend(items),
                Batch::End(_) => return None,
            }
        }
        self.taken.pop_front()
    }
}

impl Streams {
    /// Follows what the filter names: `hello`, `subscribed`, a message for each token to
    /// begin with, `ready`, and then every change.
    ///
    /// # Errors
    /// When the hub does not run, too many clients are open, or nothing that the filter
    /// names is known.
    pub async fn subscribe(&self, filter: Filter) -> Result<Subscription, FollowError> {
        self.follow(filter, None).await
    }

    /// Follows from where an earlier stream in this process ended, if that is still
    /// possible; `subscribed` says so.
    ///
    /// # Errors
    /// As for [`subscribe`](Self::subscribe).
    pub async fn resume(
        &self,
        filter: Filter,
        cursor: Cursor,
    ) -> Result<Subscription, FollowError> {
        self.follow(filter, Some(cursor)).await
    }

    async fn follow(
        &self,
        filter: Filter,
        cursor: Option<Cursor>,
    ) -> Result<Subscription, FollowError> {
        let client = self.open(Door::Library)?;
        client.subscribe(0, filter, cursor).await?;
        Ok(Subscription {
            client,
            taken: VecDeque::new(),
        })
    }

    /// Waits until every book that the filter names is live, and there is one.
    ///
    /// # Errors
    /// When that is not so in time, or they cannot be followed.
    pub async fn wait_until_live(&self, filter: &Filter, most: Duration) -> Result<(), NotLive> {
        let deadline = Instant::now() + most;
        let mut filter = filter.clone();
        filter.channels = Channels::NONE.with(Channel::State);
        let mut books = HashMap::new();
        let waiting = self.until_live(filter, &mut books);
        match tokio::time::timeout_at(deadline, waiting).await {
            Ok(waited) => Ok(waited?),
            Err(_) => Err(NotLive::Timeout {
                live: books.values().filter(|is_live| **is_live).count(),
                of: books.len(),
                after: most,
            }),
        }
    }

    async fn until_live(
        &self,
        filter: Filter,
        books: &mut HashMap<AssetKey, bool>,
    ) -> Result<(), FollowError> {
        loop {
            books.clear();
            match self.subscribe(filter.clone()).await {
                Ok(mut stream) => {
                    if all_live(&mut stream, books).await {
                        return Ok(());
                    }
                }
                // Not in the catalogue yet, or listed and not judged yet.
                Err(FollowError::Refused(refused))
                    if matches!(refused.code, "unknown_token" | Missing::NOT_FOLLOWED) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Reads until all books are live. `false`: there are none, or the stream ended.
async fn all_live(stream: &mut Subscription, books: &mut HashMap<AssetKey, bool>) -> bool {
    let mut is_ready = false;
    while let Some(message) = stream.next().await {
        match message.event() {
            Event::State(state) => {
                let key = state.token.info.key;
                match state.state {
                    Some(state) => books.insert(key, state == BookState::Live),
                    None => books.remove(&key),
                };
            }
            Event::Ready(_) if books.is_empty() => return false,
            Event::Ready(_) => is_ready = true,
            _ => continue,
        }
        if is_ready && books.values().all(|is_live| *is_live) {
            return true;
        }
    }
    false
}
