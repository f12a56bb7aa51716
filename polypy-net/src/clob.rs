//! CLOB REST: whole books.
use polypy_core::{AssetId, BookEvent, BoxFuture, Interner};
/// Why a REST answer could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClobError(pub String);
/// Where whole books can be fetched. Handed to whoever resyncs.
pub trait BookFetch: Send + Sync {
    /// `POST /books`. Assets without a book are left out of the answer.
    fn books<'a>(
        &'a self,
        assets: &'a [AssetId],
        known: &'a parking_lot::RwLock<Interner>,
    ) -> BoxFuture<'a, Result<Vec<BookEvent>, ClobError>>;
}
