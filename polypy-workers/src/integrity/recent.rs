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
pub(crate) struct Recent(Option<Box<Ring>>);

#[derive(Debug)]
struct Ring {
    /// Eight bytes of a hash are enough to know it again.
    prefixes: [u64; STATES],
    next: usize,
}

impl Recent {
    /// Bytes taken once a book has changed.
    pub(crate) const BYTES: usize = size_of::<Ring>();

    /// The book has come to this state.
    pub(crate) fn push(&mut self, hash: BookHash) {
        let ring = self.0.get_or_insert_with(|| {
            Box::new(Ring {
                prefixes: [0; STATES],
                next: 0,
            })
        });
        let prefix = prefix(hash);
        let newest = (ring.next + STATES - 1) % STATES;
        if ring.prefixes[newest] != prefix {
            ring.prefixes[ring.next] = prefix;
            ring.next = (ring.next + 1) % STATES;
        }
    }

    /// Whether the book was in this state lately.
    pub(crate) fn contains(&self, hash: BookHash) -> bool {
        let prefix = prefix(hash);
        self.0
            .as_ref()
            .is_some_and(|ring| ring.prefixes.contains(&prefix))
    }
}

fn prefix(hash: BookHash) -> u64 {
    let bytes = hash.as_bytes();
    u64::from_le_bytes([
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
    ])
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
