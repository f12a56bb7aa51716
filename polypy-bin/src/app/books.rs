//! Books by their text id: the registry's names in front of the workers' store.

use std::sync::Arc;

use parking_lot::RwLock;
use polypy_core::{BookLookup, BookSource, Interner};
use polypy_workers::BookStore;

/// Answers questions for books. Holds the interner's lock for the look-up of
/// one name, and lets it go before it touches a book.
pub(super) struct Books {
    names: Arc<RwLock<Interner>>,
    store: BookStore,
}

impl Books {
    pub(super) fn new(names: Arc<RwLock<Interner>>, store: BookStore) -> Self {
        Self { names, store }
    }
}

impl BookSource for Books {
    fn book(&self, asset_id: &str, depth: usize) -> BookLookup {
        let key = self.names.read().get(asset_id).map(|info| info.key);
        match key {
            None => BookLookup::Unknown,
            Some(key) => self
                .store
                .book(key, depth)
                .map_or(BookLookup::Pending, |view| {
                    BookLookup::Found(Box::new(view))
                }),
        }
    }
}
