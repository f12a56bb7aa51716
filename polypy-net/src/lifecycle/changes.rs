//! Changes of what is followed, and its reviews.
//!
//! One task makes them, one after the other: it computes what a choice comes to from
//! what is listed at that moment, has the change kept if its maker asked for that,
//! replaces the choice, and then brings market by market to it, in batches with pauses
//! between them. A newer change stops an older one: what is left to be settled is
//! settled by the newest choice, and rows that come in between are judged by it, too.
//!
//! After each round of discovery all markets are judged again, for what the venue says
//! of them has moved. Where that would release many at once nothing is done before the
//! next listing says the same: a venue that leaves its tags or figures out must not empty
//! a server.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use polypy_core::BoxFuture;
use polypy_core::catalogue::{Selection, SelectionSource};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::plan::Tally;
use super::{LifecycleController, Shared, stats};

/// Markets brought to the choice under one hold.
const BATCH: usize = 256;
/// Between two batches that changed something: what follows from one, in workers, pool
/// and streams, is on its way before the next.
const PAUSE: Duration = Duration::from_millis(1);
/// Changes that may wait: more than anybody makes at once.
pub(super) const CHANGES: usize = 16;
/// Markets that a review may release without a second one, whatever is followed.
const FEW: usize = 3;
/// The share of followed markets beyond which it may not: one in so many.
const SHARE: usize = 10;

/// How long a change waits for the listing that says how many connections it needs: while
/// the venue gives none, it is to be made all the same.
pub const LISTING_PATIENCE: Duration = Duration::from_secs(30);
/// Tokens of a market, but for oddities.
const TOKENS: usize = 2;

/// Keeps a change beyond this process, or fails to: called when all is decided, and
/// before anything is done.
pub type Keep = Box<dyn FnOnce() -> BoxFuture<'static, io::Result<()>> + Send>;

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// How many changes there have been, this one included.
    pub generation: u64,
    /// Markets that the venue lists, as far as is known.
    pub listed: usize,
    /// Those followed by it.
    pub followed: usize,
    /// Those of them that were not followed before.
    pub added: usize,
    /// Those that were followed and are not.
    pub released: usize,
}

/// Why a change was not made, or not brought to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// There was another change since.
    #[error("the selection was changed meanwhile: it is at generation {generation}")]
    Changed {
        /// Which one it is now.
        generation: u64,
    },
    /// It would need more connections than there may be, and nothing was done.
    #[error("{needed} connections would be needed, and there may be {allowed}")]
    TooManySockets {
        /// Connections that its markets would need.
        needed: usize,
        /// Connections that there may be.
        allowed: usize,
    },
    /// A newer change has stopped it.
    #[error("a newer change has replaced this one")]
    Superseded,
    /// It could not be kept, and nothing was done.
    #[error("the selection could not be kept")]
    NotKept(#[source] io::Error),
    /// Nobody is there to make it.
    #[error("discovery is not running")]
    Stopped,
}

type Reply = oneshot::Sender<Result<Selected, SelectError>>;

/// A change that is asked for.
pub(super) struct Change {
    selection: Selection,
    expected: Option<u64>,
    keep: Option<Keep>,
    reply: Reply,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("selection", &self.selection)
            .finish_non_exhaustive()
    }
}

impl LifecycleController {
    /// Replaces what is followed. Answers when all that is listed is as it says: markets
    /// that it adds have been handed to the pool, those that it does not name are
    /// forgotten. Dropping the future changes nothing about that.
    ///
    /// Where connections are bounded, and only the whole listing can say whether it needs
    /// more, that is waited for, half a minute at most: what then finds no room is left
    /// out.
    ///
    /// If `expected` is given the change is made only to that generation; `keep` is
    /// called when everything is decided and nothing is done yet. To an equal selection
    /// nothing changes, and it is no other generation.
    ///
    /// # Errors
    /// [`SelectError`]; but for [`SelectError::Superseded`] nothing has changed.
    pub async fn select(
        &self,
        selection: Selection,
        expected: Option<u64>,
        keep: Option<Keep>,
    ) -> Result<Selected, SelectError> {
        let (reply, answer) = oneshot::channel();
        let change = Change {
            selection,
            expected,
            keep,
            reply,
        };
        let changes = self.life.read(|running| running.changes.clone());
        let changes = changes.ok_or(SelectError::Stopped)?;
        if self.shared.may_need_more_sockets(&change.selection) {
            tokio::select! {
                () = self.listed() => {}
                () = changes.closed() => {}
                () = sleep(LISTING_PATIENCE) => tracing::warn!(
                    "the venue was not listed to its end yet: a change of the selection is made \
                     without knowing whether there are connections enough"
                ),
            }
        }
        // Both fail only because the task has ended.
        if changes.send(change).await.is_err() {
            return Err(SelectError::Stopped);
        }
        answer.await.unwrap_or(Err(SelectError::Stopped))
    }

    /// Where the catalogue and the selection can be asked, at any time.
    pub fn source(&self) -> Arc<dyn SelectionSource> {
        Arc::<Shared>::clone(&self.shared)
    }
}

/// The change that is being brought to its end.
type UnderWay = Option<(Selected, Reply)>;

/// Makes changes and reviews, for ever.
pub(super) async fn run(shared: Arc<Shared>, mut changes: mpsc::Receiver<Change>) {
    let mut under_way: UnderWay = None;
    let mut is_doubted = false;
    loop {
        let is_settled = shared.selecting.is_settled();
        if is_settled && let Some((selected, reply)) = under_way.take() {
            tracing::info!(
                generation = selected.generation,
                followed = selected.followed,
                added = selected.added,
                released = selected.released,
                "selection changed"
            );
            answer(reply, Ok(selected));
        }
        tokio::select! {
            biased;
            change = changes.recv() => match change {
                Some(change) => shared.change(change, &mut under_way).await,
                None => return,
            },
            // A review would only undo what has yet to be done.
            () = shared.reviews.notified(), if is_settled => {
                is_doubted = shared.review(is_doubted).await;
            }
            () = std::future::ready(()), if !is_settled => {
                let is_any = shared.hold().settle(BATCH);
                if is_any {
                    sleep(PAUSE).await;
                } else {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

fn answer(reply: Reply, result: Result<Selected, SelectError>) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for the change of the selection any more");
    }
}

impl Shared {
    /// Whether it may need more connections than there may be, and nobody can tell before
    /// all that the venue lists is known.
    fn may_need_more_sockets(&self, selection: &Selection) -> bool {
        let Some(sockets) = self.config.sockets.filter(|_| !*self.is_listed.borrow()) else {
            return false;
        };
        let most = selection.seats.filter(|_| selection.also.is_empty());
        let tokens = most.map(|rule| rule.most.get().saturating_mul(TOKENS));
        tokens.is_none_or(|tokens| sockets.needed(tokens) > sockets.sockets.get())
    }

    async fn change(&self, change: Change, under_way: &mut UnderWay) {
        let Change {
            selection,
            expected,
            keep,
            reply,
        } = change;
        let (was, generation) = self.selecting.selection();
        if expected.is_some_and(|expected| expected != generation) {
            return answer(reply, Err(SelectError::Changed { generation }));
        }
        let selection = Arc::new(selection);
        // What it comes to now, also where an older one is under way.
        let plan = self
            .selecting
            .plan(&selection, &was, self.most_tokens(), self.clock.now())
            .await;
        let Tally {
            listed,
            followed,
            added,
            released,
            tokens,
            ..
        } = plan.tally();
        if selection != was
            && let Some(sockets) = self.config.sockets
            && let (needed, allowed) = (sockets.needed(tokens), sockets.sockets.get())
            && needed > allowed
        {
            return answer(reply, Err(SelectError::TooManySockets { needed, allowed }));
        }
        if let Some(keep) = keep
            && let Err(error) = keep().await
        {
            return answer(reply, Err(SelectError::NotKept(error)));
        }
        if selection == was {
            self.hold().replace(selection);
            let selected = Selected {
                generation,
                listed,
                followed: self.registry.live_market_count(),
                added: 0,
                released: 0,
            };
            return answer(reply, Ok(selected));
        }
        let generation = self.hold().choose(selection, plan);
        if let Some((_, older)) = under_way.take() {
            answer(older, Err(SelectError::Superseded));
        }
        let selected = Selected {
            generation,
            listed,
            followed,
            added,
            released,
        };
        *under_way = Some((selected, reply));
    }

    /// Judges all markets again. Whether it was put off.
    async fn review(&self, was_doubted: bool) -> bool {
        let (selection, _) = self.selecting.selection();
        let plan = self
            .selecting
            .plan(&selection, &selection, self.most_tokens(), self.clock.now())
            .await;
        let Tally {
            added,
            released,
            reseated,
            ..
        } = plan.tally();
        let live = self.registry.live_market_count();
        let is_listed_anew = self.is_listed_anew.swap(false, Ordering::Relaxed);
        // Who sat first is no word of the venue's.
        let are_many = released - reseated > FEW.max(live / SHARE);
        // Only the venue's word can confirm it.
        if are_many && !is_listed_anew {
            return was_doubted;
        }
        if are_many && !was_doubted {
            stats::add(&self.stats.releases_doubted, released);
            tracing::warn!(
                markets = released,
                followed = live,
                "what the venue says of many markets has changed so that they are followed no \
                 longer: they stay until it says so again"
            );
            return true;
        }
        tracing::debug!(added, released, "markets judged again");
        self.hold().unsettle(plan);
        false
    }
}

#[cfg(test)]
#[path = "carried_tests.rs"]
mod carried_tests;
#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
