//! How much memory answers may hold and how many threads may compute them.
//!
//! Answers of unbounded size (`/stats`, `/markets`) are made on the blocking
//! pool, so that the event loop reads sockets meanwhile, and by at most
//! [`COMPUTING`] threads at once. Their bytes count against one sum until the
//! last of them has left for the client: many slow readers of a large list
//! cannot add up to more than [`ANSWER_KIB`].

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers computed at once. More than the cores of a small machine gain nothing.
pub(crate) const COMPUTING: u32 = 4;
/// Memory for large answers in flight: a dozen lists of the venue's whole catalogue
/// (some 46,500 markets of about 450 bytes each).
const ANSWER_KIB: u32 = 256 * 1024;

/// The two budgets.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) computing: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            computing: Arc::new(Semaphore::new(permits(COMPUTING))),
            memory: Arc::new(Semaphore::new(permits(ANSWER_KIB))),
        }
    }

    /// Takes an answer into the sum; `None` when there is no room for it.
    pub(crate) fn admit(&self, body: Bytes) -> Option<Bytes> {
        // An answer larger than the whole budget is refused, like any that does not fit.
        let kib = u32::try_from(body.len() / 1024 + 1).ok()?;
        let permit = Arc::clone(&self.memory).try_acquire_many_owned(kib).ok()?;
        Some(Bytes::from_owner(Counted {
            body,
            _permit: permit,
        }))
    }
}

fn permits(number: u32) -> usize {
    usize::try_from(number).unwrap_or(Semaphore::MAX_PERMITS)
}

/// Gives its share back when the last reference to the bytes goes.
struct Counted {
    body: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_the_last_reference_is_gone() {
        let budget = Budget::new();
        let before = budget.memory.available_permits();
        let body = budget.admit(Bytes::from(vec![7; 10_000])).unwrap();
        let tail = body.slice(9_000..);
        drop(body);
        assert_eq!(budget.memory.available_permits(), before - 10);
        assert_eq!(tail.len(), 1_000);
        drop(tail);
        assert_eq!(budget.memory.available_permits(), before);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let budget = Budget::new();
        let large = Bytes::from(vec![0; 200 * 1024 * 1024]);
        let held = budget.admit(large.clone()).unwrap();
        assert!(budget.admit(large.clone()).is_none());
        drop(held);
        assert!(budget.admit(large).is_some());
    }
}
