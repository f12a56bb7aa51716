//! How much memory answers may hold.
//!
//! What is rendered counts against one sum from before it is rendered until its
//! last byte has left for the last client, by the capacity of its memory and not
//! by its length. Answers of a few hundred bytes are not worth counting: each
//! connection has one at a time, so the cap on connections bounds them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which memory is counted.
const UNIT: usize = 1024;

/// The sum: `http.answer_memory`.
#[derive(Debug, Clone)]
pub struct Memory {
    units: Arc<Semaphore>,
    all: usize,
}

/// A share of [`Memory`], given back when this is dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl Memory {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        let all = (bytes / UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// Takes so many bytes out of the sum; `None` if they are not there.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        // More than the whole sum is refused like anything that does not fit.
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units).ok()?;
        Some(Share(permit))
    }

    /// Bytes taken now.
    pub(crate) fn taken(&self) -> usize {
        let free = self.units.available_permits();
        self.all.saturating_sub(free) * UNIT
    }
}

impl Share {
    /// Gives back what goes beyond so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let kept = bytes.div_ceil(UNIT);
        let surplus = self.0.num_permits().saturating_sub(kept);
        drop(self.0.split(surplus));
    }
}

/// Bytes that hold their share until the last reference to them is gone.
pub(crate) fn counted(bytes: impl AsRef<[u8]> + Send + 'static, share: Share) -> Bytes {
    Bytes::from_owner(Counted {
        bytes,
        _share: share.0,
    })
}

struct Counted<T> {
    bytes: T,
    _share: OwnedSemaphorePermit,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Counted<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_the_last_reference_is_gone() {
        let memory = Memory::new(1 << 20);
        let share = memory.take(10_000).unwrap();
        let body = counted(vec![7; 10_000], share);
        assert_eq!(memory.taken(), 10 * 1024);
        let tail = body.slice(9_000..);
        drop(body);
        assert_eq!(memory.taken(), 10 * 1024);
        assert_eq!(tail.len(), 1_000);
        drop(tail);
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let memory = Memory::new(1 << 20);
        let held = memory.take(700 << 10).unwrap();
        assert!(memory.take(400 << 10).is_none());
        assert!(memory.take(usize::MAX).is_none());
        drop(held);
        assert!(memory.take(1 << 20).is_some());
    }
}
