//! A hash of ids and frames that takes eight bytes at a time: a recording is the user's own,
//! and nobody has chosen its ids so that they collide.

use std::hash::{BuildHasherDefault, Hasher};

/// For maps by what a recording names.
pub(crate) type Mixing = BuildHasherDefault<Mixer>;

/// Mixes words.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        self.mix(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(word.first_chunk().copied().map_or(0, u64::from_le_bytes));
        }
        let mut last = [0; 8];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn finish(&self) -> u64 {
        // A map takes its place from some bits, and tells entries apart by others.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_differs_in_a_byte_or_in_length_differs() {
        let hash = |bytes: &[u8]| {
            let mut hasher = Mixer::default();
            hasher.write(bytes);
            hasher.finish()
        };
        let mut hashes = HashSet::new();
        let id = *b"71321045679252212594626385532706912750332728571942532289631379312455583992";
        for length in 0..id.len() {
            assert!(hashes.insert(hash(&id[..length])));
            let mut other = id;
            other[length] = b'x';
            assert!(hashes.insert(hash(&other)));
        }
    }
}
