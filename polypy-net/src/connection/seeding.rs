//! Books being asked of REST, for assets whose first book stays away.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetInfo, BookEvent};
use tokio::time::timeout;

use super::Context;

/// Longest wait for a REST answer, its turn included; the request has a
/// deadline of its own.
const SEED_DEADLINE: Duration = Duration::from_secs(60);

/// What REST knew; `None` when it could not be asked.
pub(super) type Answer = Option<Vec<BookEvent>>;

/// One request under way. Dropping it gives it up.
pub(super) struct Seeding {
    pub(super) asked: Vec<Arc<AssetInfo>>,
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
}

impl Seeding {
    /// Asks for the books of these assets, in turn with other connections.
    pub(super) fn of(context: Arc<Context>, assets: Vec<Arc<AssetInfo>>) -> Self {
        Self {
            answer: Box::pin(fetch(context, assets.clone())),
            asked: assets,
        }
    }
}

/// The answer to what is being asked; never, while nothing is.
pub(super) async fn answered(seeding: &mut Option<Seeding>) -> Answer {
    match seeding {
        Some(seeding) => seeding.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn fetch(context: Arc<Context>, assets: Vec<Arc<AssetInfo>>) -> Answer {
    let ids: Vec<_> = assets.iter().map(|info| info.asset_id.clone()).collect();
    let asking = async {
        let _permit = context.seeds.acquire().await.ok()?;
        let venue = &context.venue;
        match venue.books.books(&ids, &context.interner).await {
            Ok(books) => Some(books),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    assets = ids.len(),
                    "books could not be fetched"
                );
                None
            }
        }
    };
    timeout(SEED_DEADLINE, asking).await.unwrap_or_default()
}
