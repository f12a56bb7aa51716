//! Word that the venue takes connections again, for those that wait.
//!
//! After an outage each connection waits for a time of its own, which grows with every
//! attempt, so that none of many comes back with the others. The first whose time is
//! over finds out for all of them: once its socket has had data and stayed for a
//! moment, the others need not wait any longer. The pacer keeps them apart.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long a socket with data has to stay before others follow it. A venue that is
/// not well closes at the first frame, or within a second or two.
pub(super) const PROOF: Duration = Duration::from_secs(3);

/// When the newest socket was opened that has stayed.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    opened: watch::Sender<Option<Instant>>,
}

impl Recovery {
    /// A socket that was opened then has had data, and stays.
    pub(super) fn stays(&self, opened: Instant) {
        self.opened.send_if_modified(|newest| {
            let is_newer = newest.is_none_or(|newest| newest < opened);
            if is_newer {
                *newest = Some(opened);
            }
            is_newer
        });
    }

    /// Waits until a socket stays that was opened after `failed`: the venue is well
    /// since then.
    pub(super) async fn since(&self, failed: Instant) {
        let mut opened = self.opened.subscribe();
        let is_later = |opened: &Option<Instant>| opened.is_some_and(|at| at > failed);
        if opened.wait_for(is_later).await.is_err() {
            // The sender is ours: it does not go.
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_socket_that_was_opened_later_says_that_the_venue_is_well() {
        let (recovery, before) = (Recovery::default(), Instant::now());
        let second = Duration::from_secs(1);
        let failed = before + second;
        recovery.stays(before);
        assert!(timeout(second, recovery.since(failed)).await.is_err());
        let told = async {
            tokio::time::sleep(second).await;
            recovery.stays(failed + second);
            // An older one that is heard of later takes nothing back.
            recovery.stays(before);
        };
        let waiting = timeout(2 * second, recovery.since(failed));
        let (waited, ()) = tokio::join!(waiting, told);
        assert!(waited.is_ok());
        assert!(timeout(second, recovery.since(failed)).await.is_ok());
    }
}
