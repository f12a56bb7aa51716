//! One number for the levels of all books, whoever keeps them and in whatever
//! order they are told.

/// Of every (asset, side, price, size); zero of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checksum {
    /// Levels told.
    pub levels: u64,
    /// Their hashes added up, so that the order is of no account.
    pub sum: u64,
}

impl Checksum {
    /// Adds a book. Prices and sizes are in millionths.
    pub fn add_book(
        &mut self,
        asset: &str,
        bids: impl IntoIterator<Item = (u64, u64)>,
        asks: impl IntoIterator<Item = (u64, u64)>,
    ) {
        let asset = asset
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| mix(hash, byte.into()));
        let bids = bids.into_iter().map(|level| (0, level));
        let asks = asks.into_iter().map(|level| (1, level));
        for (side, (price, size)) in bids.chain(asks) {
            let level = mix(mix(mix(asset, side), price), size);
            self.levels += 1;
            self.sum = self.sum.wrapping_add(level);
        }
    }
}

fn mix(hash: u64, value: u64) -> u64 {
    let mixed = (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Book<'a> = (&'a str, &'a [(u64, u64)], &'a [(u64, u64)]);

    fn of(books: &[Book<'_>]) -> Checksum {
        let mut sum = Checksum::default();
        for (asset, bids, asks) in books {
            sum.add_book(asset, bids.iter().copied(), asks.iter().copied());
        }
        sum
    }

    #[test]
    fn order_is_of_no_account_and_everything_else_is() {
        let whole = of(&[("1", &[(4, 9), (3, 8)], &[(5, 7)]), ("2", &[], &[(6, 1)])]);
        let turned = of(&[("2", &[], &[(6, 1)]), ("1", &[(3, 8), (4, 9)], &[(5, 7)])]);
        assert_eq!((whole, whole.levels), (turned, 4));
        for other in [
            of(&[("1", &[(4, 9), (3, 8)], &[(5, 7)]), ("3", &[], &[(6, 1)])]),
            of(&[("1", &[(4, 9), (3, 8)], &[(5, 7)]), ("2", &[(6, 1)], &[])]),
            of(&[("1", &[(4, 8), (3, 9)], &[(5, 7)]), ("2", &[], &[(6, 1)])]),
            of(&[("1", &[(4, 9), (3, 8)], &[(5, 7)])]),
        ] {
            assert_ne!(whole, other);
        }
    }
}
