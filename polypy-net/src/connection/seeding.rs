//! Books being asked of REST, for assets whose first book stays away.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetInfo, Purpose};
use tokio::time::timeout;

use super::Context;
use crate::clob::Fetched;
use crate::reason::chain;

/// Longest wait for a REST answer, its turn included; the request has a
/// deadline of its own.
const SEED_DEADLINE: Duration = Duration::from_secs(60);

/// One request under way. Dropping it gives it up.
pub(super) struct Seeding {
    pub(super) asked: Vec<Arc<AssetInfo>>,
    answer: Pin<Box<dyn Future<Output = Fetched> + Send>>,
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
pub(super) async fn answered(seeding: &mut Option<Seeding>) -> Fetched {
    match seeding {
        Some(seeding) => seeding.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn fetch(context: Arc<Context>, assets: Vec<Arc<AssetInfo>>) -> Fetched {
    let ids: Vec<_> = assets.iter().map(|info| info.asset_id.clone()).collect();
    let asking = async {
        let _permit = context.seeds.acquire().await.ok()?;
        let venue = &context.venue;
        let fetched = venue
            .books
            .books(&ids, &context.interner, Purpose::Seed)
            .await;
        if let Some(error) = &fetched.failure {
            tracing::warn!(
                error = chain(error),
                assets = fetched.unanswered.len(),
                "books could not be fetched"
            );
        }
        Some(fetched)
    };
    let fetched = timeout(SEED_DEADLINE, asking).await.unwrap_or_default();
    fetched.unwrap_or_else(|| Fetched {
        unanswered: ids.clone(),
        ..Fetched::default()
    })
}
