//! Waiting for what must come true, with a deadline that names it.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `holds` is true; panics with `what` after `deadline`.
///
/// # Panics
/// When the deadline passes first.
pub async fn until(
    what: &str,
    deadline: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> Duration {
    let began = Instant::now();
    while !holds().await {
        assert!(
            began.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        tokio::time::sleep(LOOK).await;
    }
    began.elapsed()
}
