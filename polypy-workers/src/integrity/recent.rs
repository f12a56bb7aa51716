//! The states a book was in lately, by hash.
//!
//! A book fetched over REST shows the venue at a moment of its own, usually one
//! that the feed has already told. It is recognised by hash, not by time.

use polypy_core::BookHash;

/// States remembered. REST is behind by a second at most; a quiet token has
/// not made as many changes in it, and a busy one proves itself without REST.
const STATES: usize = 32;

/// The newest states of one book. Takes no memory for a book that never changed.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// By the first bytes of their hashes.
    ring: Option<Box<[u64; STATES]>>,
    /// Part of the newest one, so that a state told twice is seen to be one
    /// without a look at the ring.
    newest: u32,
    next: u32,
}

impl Recent {
    /// Bytes taken once a book has changed.
    pub(crate) const BYTES: usize = size_of::<[u64; STATES]>();

    /// The book has come to this state.
    #[inline]
    pub(crate) fn push(&mut self, hash: BookHash) {
        let [_, _, _, _, a, b, c, d] = hash.prefix().to_le_bytes();
        let newest = u32::from_le_bytes([a, b, c, d]);
        if newest == self.newest && self.ring.is_some() {
            return;
        }
        self.newest = newest;
        let ring = self.ring.get_or_insert_with(|| Box::new([0; STATES]));
        if let Some(place) = ring.get_mut(self.next as usize % STATES) {
            *place = hash.prefix();
        }
        self.next = self.next.wrapping_add(1);
    }

    /// Whether the book was in this state lately.
    pub(crate) fn contains(&self, hash: BookHash) -> bool {
        let ring = self.ring.as_ref();
        ring.is_some_and(|ring| ring.contains(&hash.prefix()))
    }

    /// Where the next state will be written, for who wants it near by then.
    #[inline]
    pub(crate) fn place(&self) -> Option<&u64> {
        self.ring.as_ref()?.get(self.next as usize % STATES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_newest_states_each_once() {
        let hash = |number: u8| BookHash::from_hex(format!("{number:02x}").repeat(20).as_bytes());
        let mut recent = Recent::default();
        let newest = u8::try_from(STATES).unwrap() + 8;
        for number in 1..=newest {
            for _ in 0..3 {
                recent.push(hash(number).unwrap());
            }
        }
        for number in 1..=newest {
            assert_eq!(recent.contains(hash(number).unwrap()), number > 8);
        }
        assert!(!Recent::default().contains(hash(1).unwrap()));
    }
}
