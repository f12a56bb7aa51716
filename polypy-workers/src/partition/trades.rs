//! The last trade of each token: the token's own, as it was announced.
//!
//! Beside the slots and not in them: nothing of a book depends on it, and few tokens
//! trade. (What a hash was made with is the market's last price, which the venue
//! changes before it announces the trade; that is the hash check's alone.)

use std::collections::HashMap;

use polypy_core::{AssetKey, LastTrade, Trade};

/// Bounded by the slots: one entry at most for each.
#[derive(Debug, Default)]
pub(super) struct LastTrades(HashMap<AssetKey, LastTrade>);

impl LastTrades {
    /// A trade was announced. Of two the later one counts, in whatever order they
    /// come: two feeds may announce the same. Whether it is another one than before.
    pub(super) fn note(&mut self, trade: &Trade) -> bool {
        let last = LastTrade {
            timestamp: trade.timestamp,
            price: trade.price,
            size: trade.size,
            side: trade.side,
        };
        let known = self.0.get(&trade.asset).copied();
        let is_other = known != Some(last);
        if known.is_none_or(|known| known.timestamp <= last.timestamp) {
            self.0.insert(trade.asset, last);
            return is_other;
        }
        false
    }

    pub(super) fn of(&self, asset: AssetKey) -> Option<LastTrade> {
        self.0.get(&asset).copied()
    }

    pub(super) fn forget(&mut self, asset: AssetKey) {
        self.0.remove(&asset);
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::{BookControl, Side, Timestamp};

    use crate::testing::{Harness, Truth, assets, one_worker};

    #[test]
    fn each_token_shows_its_own_last_trade_and_no_price_that_a_hash_was_made_with() {
        let bench = Harness::new(one_worker());
        let market = assets(1);
        let (mut yes, mut no) = (Truth::new(&market[0]), Truth::new(&market[1]));
        bench.open(1);
        bench.send(1, [yes.opening(), no.opening()]);
        let shown = |truth: &Truth| bench.view(truth).last_trade;
        // Both opening books were hashed with one; it may have been the other token's.
        assert_eq!((shown(&yes), shown(&no)), (None, None));
        yes.last_trade_price = "0.137";
        bench.send(1, [yes.change(Side::Bid, "0.49", "7")]);
        assert_eq!(shown(&yes), None, "found by trying, never announced");

        bench.send(1, [yes.trade("0.300")]);
        let last = shown(&yes).unwrap();
        assert_eq!(last.price.to_string(), "0.3");
        assert_eq!(last.size.to_string(), "12.345678");
        assert_eq!(last.side, Some(Side::Bid));
        assert_eq!(last.timestamp, Timestamp::from_millis(yes.now + 70));
        assert_eq!(shown(&no), None, "it is the other token's");

        // An older one that comes later, as over a second feed, takes nothing back.
        let older = yes.trade("0.31");
        yes.now += 500;
        bench.send(1, [yes.trade("0.32"), older]);
        assert_eq!(shown(&yes).unwrap().price.to_string(), "0.32");
        no.now += 10;
        bench.send(1, [no.trade("0.68")]);
        assert_eq!(shown(&no).unwrap().price.to_string(), "0.68");
        assert_eq!(shown(&yes).unwrap().price.to_string(), "0.32");

        bench.router.forget(&[yes.key()]);
        bench.settle_down();
        bench.send(1, [yes.trade("0.33")]);
        let partition = bench.worker().books();
        assert_eq!(partition.last_trade(yes.key()), None);
        assert!(partition.last_trade(no.key()).is_some());
    }
}
