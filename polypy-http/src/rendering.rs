//! A large answer while it is written.

use std::fmt;
use std::io;

use crate::budget::{Memory, Share};
use crate::cached::CachedBody;

/// Takes what is written, and counts its memory before it takes it: also where an answer
/// turns out larger than was thought. A write fails with [`io::ErrorKind::OutOfMemory`]
/// where that does not fit.
pub struct Rendering {
    bytes: Vec<u8>,
    share: Share,
    memory: Memory,
}

impl Rendering {
    /// Room for about so many bytes; `None` if they are not there.
    pub fn new(memory: &Memory, bytes: usize) -> Option<Self> {
        let share = memory.take(bytes)?;
        Some(Self {
            bytes: Vec::with_capacity(bytes),
            share,
            memory: memory.clone(),
        })
    }

    fn grow(&mut self, more: usize) -> io::Result<()> {
        let needed = self.bytes.len().saturating_add(more);
        let capacity = needed.max(self.bytes.capacity().saturating_mul(2));
        // The old piece counts on until then: both are there while one becomes the other.
        let share = self.memory.take(capacity);
        let share = share.ok_or(io::ErrorKind::OutOfMemory)?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        self.share = share;
        Ok(())
    }

    /// What was written.
    pub fn finish(self) -> CachedBody {
        let Self {
            mut bytes,
            mut share,
            memory,
        } = self;
        bytes.shrink_to_fit();
        share.shrink(bytes.capacity());
        CachedBody::new(bytes, share, &memory)
    }
}

impl io::Write for Rendering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes.capacity() - self.bytes.len() {
            self.grow(bytes.len())?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Rendering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendering")
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn an_answer_counts_what_it_turns_out_to_be() {
        let memory = Memory::new(100 << 10);
        let mut rendering = Rendering::new(&memory, 2_000).unwrap();
        assert_eq!(memory.taken(), 2 << 10);
        for _ in 0..10 {
            rendering.write_all(&[b'x'; 1_000]).unwrap();
        }
        assert!(memory.taken() >= 10 << 10, "{}", memory.taken());
        let body = rendering.finish();
        assert_eq!((body.held(), memory.taken()), (10_000, 10 << 10));
        drop(body);
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn what_does_not_fit_ends_it_and_is_given_back() {
        let memory = Memory::new(100 << 10);
        let mut rendering = Rendering::new(&memory, 40 << 10).unwrap();
        rendering.write_all(&[b'x'; 40 << 10]).unwrap();
        let error = rendering.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        drop(rendering);
        assert_eq!(memory.taken(), 0);
        assert!(Rendering::new(&memory, 200 << 10).is_none());
    }
}
