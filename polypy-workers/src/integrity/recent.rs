//! The states a book was in lately, by hash.
//!
//! A book fetched over REST shows the venue at a moment of its own, usually one
//! that the feed has already told. It is recognised by hash, not by time.

use polypy_core::BookHash;

/// The newest of them stand in the slot, which a change looks at anyway; to the
/// others they go as many at a time, so that their memory is seldom waited for.
const NEWEST: usize = 4;
/// As often they go there before the oldest are overwritten: 32 states are
/// remembered at least. REST is behind by a second at most; a quiet token has not
/// made as many changes in it, and a busy one proves itself without REST.
const GROUPS: usize = 8;
/// The next place is the first again, and all places are taken.
const FULL: u8 = 4;
const _: () = assert!(FULL as usize == NEWEST, "one number in two types");

/// Four bytes of a hash. That a state which the book never was in shares them
/// with a remembered one is one chance in a hundred million. As bytes, so that what
/// stands behind them in the slot leaves no gap.
type State = [u8; 4];

/// The newest states of one book.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// A ring. Its places are overwritten once they are in the [`Past`].
    newest: [State; NEWEST],
    /// Where the next one goes, modulo [`NEWEST`]; at least that once all places
    /// are taken.
    next: u8,
    /// Where the next of them go in the [`Past`].
    group: u8,
}

/// Those before, another ring. Takes no memory for a book that changed a few times
/// at most. Written without being read, so that nothing waits for it.
#[derive(Debug, Default)]
pub(crate) struct Past(Option<Box<[[State; NEWEST]; GROUPS]>>);

impl Past {
    /// Bytes taken once there are some.
    pub(crate) const BYTES: usize = size_of::<[[State; NEWEST]; GROUPS]>();

    fn take(&mut self, newest: [State; NEWEST], group: u8) {
        let groups = self
            .0
            .get_or_insert_with(|| Box::new([[State::default(); NEWEST]; GROUPS]));
        if let Some(place) = groups.get_mut(usize::from(group) % GROUPS) {
            *place = newest;
        }
    }
}

impl Recent {
    /// The book has come to this state.
    #[inline]
    pub(crate) fn push(&mut self, hash: BookHash, past: &mut Past) {
        let state = state(hash);
        let next = usize::from(self.next);
        if self.newest[next.wrapping_sub(1) % NEWEST] == state {
            return;
        }
        if self.next == FULL {
            past.take(self.newest, self.group);
            self.group = self.group.wrapping_add(1);
        }
        self.newest[next % NEWEST] = state;
        let is_last = self.next == 2 * FULL - 1;
        self.next = if is_last { FULL } else { self.next + 1 };
    }

    /// Reads where the newest states will go with the next one, if they will, so
    /// that it is in the cache by then.
    #[inline]
    pub(crate) fn prefetch(&self, past: &Past) -> u64 {
        match &past.0 {
            Some(groups) if self.next == FULL => groups
                .get(usize::from(self.group) % GROUPS)
                .map_or(0, |[[byte, ..], ..]| u64::from(*byte)),
            Some(_) | None => 0,
        }
    }

    /// Whether the book was in this state lately.
    pub(crate) fn contains(&self, hash: BookHash, past: &Past) -> bool {
        let state = state(hash);
        let past = past.0.iter().flat_map(|groups| groups.as_flattened());
        self.newest.iter().chain(past).any(|known| *known == state)
    }
}

/// Zero is nobody's: it stands for a state that never was.
fn state(hash: BookHash) -> State {
    let [.., a, b, c, d] = hash.prefix().to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).max(1).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: usize = NEWEST * GROUPS;

    fn hash(number: usize) -> BookHash {
        let digits = format!("{number:04x}").repeat(10);
        BookHash::from_hex(digits.as_bytes()).unwrap()
    }

    #[test]
    fn remembers_the_newest_states_each_once() {
        for told in 1..4 * STATES {
            let (mut recent, mut past) = (Recent::default(), Past::default());
            for number in 1..=told {
                for _ in 0..3 {
                    recent.push(hash(number), &mut past);
                }
            }
            for number in 1..=told {
                let known = recent.contains(hash(number), &past);
                assert!(known || number + STATES <= told, "{number} of {told}");
                assert!(
                    !known || number + STATES + NEWEST > told,
                    "{number} of {told}"
                );
            }
        }
        assert!(!Recent::default().contains(hash(1), &Past::default()));
    }

    #[test]
    fn a_state_that_the_book_comes_back_to_is_remembered_again() {
        let (mut recent, mut past) = (Recent::default(), Past::default());
        for number in [1, 2, 1] {
            recent.push(hash(number), &mut past);
        }
        (3..STATES).for_each(|number| recent.push(hash(number), &mut past));
        assert!(recent.contains(hash(1), &past));
    }
}
