//! The types of event that the market channel sends: one table.
//!
//! A row makes a type known: from it come the enum, its name on the wire, its way
//! back from that name, and its counters. What is done with an event of a type, and
//! with one that could not be read, is a `match` without a wildcard (`event`,
//! `general`, `fast::event`), and `tests::events` has a frame for each that has to
//! arrive: a row alone does not compile, and an arm that does nothing is red.

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),+ $(,)?) => {
        /// What an event was recognised as.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $kind,)+
        }

        impl EventKind {
            /// Every kind, in the order of the counters.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$kind),+];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// The kind of that name on the wire.
            pub(super) fn of(event_type: &str) -> Option<Self> {
                match event_type {
                    $($name => Some(Self::$kind),)+
                    _ => None,
                }
            }
        }
    };
}

event_kinds! {
    /// `book`, and the REST form without `event_type`.
    Book = "book",
    /// `price_change`, of any number of entries.
    PriceChange = "price_change",
    /// `last_trade_price`.
    LastTradePrice = "last_trade_price",
    /// `tick_size_change`.
    TickSizeChange = "tick_size_change",
    /// `best_bid_ask`.
    BestBidAsk = "best_bid_ask",
    /// `new_market`.
    NewMarket = "new_market",
    /// `market_resolved`.
    MarketResolved = "market_resolved",
}

/// One value for each kind, so that none can be without.
#[derive(Debug, Default)]
pub(super) struct PerKind<T>([T; EventKind::ALL.len()]);

impl<T> PerKind<T> {
    pub(super) fn of(&self, kind: EventKind) -> &T {
        // In bounds: the array is as long as the enum, which numbers itself from 0.
        &self.0[kind as usize]
    }

    pub(super) fn of_mut(&mut self, kind: EventKind) -> &mut T {
        &mut self.0[kind as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (EventKind, &T)> {
        EventKind::ALL.into_iter().zip(&self.0)
    }
}
