//! Books by their text id: the registry's names in front of the workers' store.

use std::sync::Arc;

use polypy_core::{AssetKey, BookLookup, BookSource, BookTop, TradesLookup, TradesView};
use polypy_net::registry::{AssetRegistry, AssetStatus};
use polypy_workers::BookStore;

/// Answers questions for books. Holds the interner's lock for the look-up of
/// one name, and lets it go before it touches a book. The registry is asked for
/// its word only about an asset without a book.
pub(super) struct Books {
    registry: Arc<AssetRegistry>,
    store: BookStore,
}

impl Books {
    pub(super) fn new(registry: Arc<AssetRegistry>, store: BookStore) -> Self {
        Self { registry, store }
    }

    /// Why there is no book.
    fn without_book(&self, key: AssetKey) -> BookLookup {
        match self.registry.status(key) {
            Some(AssetStatus::Pending) => BookLookup::Pending,
            Some(AssetStatus::Subscribed) => BookLookup::Requested,
            Some(AssetStatus::Expired) => BookLookup::Ended,
            // Forgotten a moment ago.
            None => BookLookup::Unknown,
        }
    }
}

impl BookSource for Books {
    fn book(&self, asset_id: &str, depth: usize) -> BookLookup {
        let names = self.registry.interner();
        let key = names.read().get(asset_id).map(|info| info.key);
        let Some(key) = key else {
            return BookLookup::Unknown;
        };
        match self.store.book(key, depth) {
            Some(view) => BookLookup::Found(Box::new(view)),
            None => self.without_book(key),
        }
    }

    fn books(&self, assets: &[AssetKey], depth: usize) -> Vec<BookLookup> {
        let views = self.store.books(assets, depth).into_iter();
        let lookup = |(view, key): (Option<_>, &AssetKey)| match view {
            Some(view) => BookLookup::Found(Box::new(view)),
            None => self.without_book(*key),
        };
        views.zip(assets).map(lookup).collect()
    }

    fn tops(&self, assets: &[AssetKey]) -> Vec<Option<BookTop>> {
        self.store.tops(assets)
    }

    fn trades(&self, asset_id: &str, limit: usize) -> TradesLookup {
        let names = self.registry.interner();
        let key = names.read().get(asset_id).map(|info| info.key);
        let Some(key) = key else {
            return TradesLookup::Unknown;
        };
        match (self.store.trades(key, limit), self.registry.status(key)) {
            (Some(view), _) => TradesLookup::Found(view),
            (None, Some(_)) => TradesLookup::Found(TradesView {
                key_life: key.life(),
                sequence: 0,
                trades: Vec::new(),
            }),
            // Forgotten a moment ago.
            (None, None) => TradesLookup::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::{ConditionId, Market};
    use polypy_net::registry::ConnectionId;
    use polypy_net::resync::{ResyncConfig, ResyncQueue};
    use polypy_workers::{WorkerManager, WorkersConfig};

    use super::*;

    fn market() -> Market {
        Market {
            question: "Does it hold?".to_owned(),
            ..Market::new(
                ConditionId::new(&format!("0x{:064x}", 7)).unwrap(),
                ["11", "12"]
                    .map(|id| polypy_core::Token {
                        token_id: polypy_core::AssetId::new(id).unwrap(),
                        outcome: id.into(),
                    })
                    .to_vec(),
            )
        }
    }

    #[test]
    fn an_asset_without_a_book_is_told_by_how_far_it_has_come() {
        let registry = Arc::new(AssetRegistry::default());
        let resync = Arc::new(ResyncQueue::new(ResyncConfig::default()));
        let workers = WorkerManager::new(WorkersConfig::default(), resync);
        let books = Books::new(Arc::clone(&registry), workers.store());
        assert!(matches!(books.book("11", 1), BookLookup::Unknown));

        let condition = market().condition_id;
        assert!(registry.upsert(market()).added);
        assert!(matches!(books.book("11", 1), BookLookup::Pending));

        let assets = registry.assets_of(&condition);
        registry.assign(&assets, ConnectionId(1));
        assert!(matches!(books.book("11", 1), BookLookup::Requested));
        let many = books.books(&assets, 1);
        assert!(matches!(
            &many[..],
            [BookLookup::Requested, BookLookup::Requested]
        ));
        assert_eq!(books.tops(&assets), [None, None]);

        registry.expire(&condition);
        assert!(matches!(books.book("11", 1), BookLookup::Ended));

        registry.release(&assets);
        registry.forget(&condition);
        assert!(matches!(books.book("11", 1), BookLookup::Unknown));
    }
}
