//! Which connections are due for replacement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{ConnectionStatus, ConnectionView};
use crate::counter::ratio;
use crate::registry::{AssetRegistry, ConnectionId};

use super::{RecycleReason, RecyclerConfig};

/// What the task remembers of connections from check to check.
#[derive(Debug, Default)]
pub(super) struct Watch {
    known: BTreeMap<ConnectionId, Known>,
}

#[derive(Debug)]
struct Known {
    view: Arc<ConnectionView>,
    /// Its own share of the jitter, 0 to 1.
    jitter: f64,
    unhealthy_since: Option<Instant>,
    rests_until: Option<Instant>,
    under_way: bool,
}

impl Watch {
    /// Who is to be replaced, the most pressing first.
    pub(super) fn due(
        &mut self,
        connections: &[Arc<ConnectionView>],
        registry: &AssetRegistry,
        config: &RecyclerConfig,
        now: Instant,
    ) -> Vec<(ConnectionId, RecycleReason)> {
        let mut known = std::mem::take(&mut self.known);
        let mut due = Vec::new();
        for view in connections {
            let id = view.id();
            // Numbers are reused: another connection is not this one.
            let same = known
                .remove(&id)
                .filter(|known| Arc::ptr_eq(&known.view, view));
            let mut entry = same.unwrap_or_else(|| Known {
                view: Arc::clone(view),
                jitter: fastrand::f64(),
                unhealthy_since: None,
                rests_until: None,
                under_way: false,
            });
            if let Some(reason) = entry.reason(registry, config, now) {
                due.push((id, reason));
            }
            self.known.insert(id, entry);
        }
        due.sort_by_key(|(_, reason)| match reason {
            RecycleReason::Unhealthy | RecycleReason::Lagging => 0,
            RecycleReason::Pollution => 1,
            RecycleReason::Age | RecycleReason::Request => 2,
        });
        due
    }

    /// A replacement was begun.
    pub(super) fn begun(&mut self, connection: ConnectionId) {
        if let Some(known) = self.known.get_mut(&connection) {
            known.under_way = true;
        }
    }

    /// A replacement ended; one that failed is not tried again before
    /// `rests_until`.
    pub(super) fn ended(&mut self, connection: ConnectionId, replaced: bool, rests_until: Instant) {
        if let Some(known) = self.known.get_mut(&connection) {
            known.under_way = false;
            if !replaced {
                known.rests_until = Some(rests_until);
            }
        }
    }
}

impl Known {
    fn reason(
        &mut self,
        registry: &AssetRegistry,
        config: &RecyclerConfig,
        now: Instant,
    ) -> Option<RecycleReason> {
        let state = self.view.state();
        let idle = matches!(
            state.status(),
            ConnectionStatus::Idle | ConnectionStatus::Draining | ConnectionStatus::Closed
        );
        if state.is_healthy(now) || idle {
            self.unhealthy_since = None;
        } else {
            self.unhealthy_since.get_or_insert(now);
        }
        if idle || self.under_way || self.rests_until.is_some_and(|until| now < until) {
            return None;
        }
        let since = |then: Instant| now.saturating_duration_since(then);
        let load = registry.load(self.view.id());
        let limit = config.age + scaled(config.age, config.age_jitter * self.jitter);
        if self
            .unhealthy_since
            .is_some_and(|then| since(then) >= config.unhealthy_for)
        {
            Some(RecycleReason::Unhealthy)
        } else if state.is_lagging() {
            Some(RecycleReason::Lagging)
        } else if load.subscribed > 0 && ratio(load.expired, load.total()) >= config.pollution {
            Some(RecycleReason::Pollution)
        } else if state.age(now) >= limit {
            Some(RecycleReason::Age)
        } else {
            None
        }
    }
}

/// A share of a duration; nothing for a share that is no number above zero.
fn scaled(duration: Duration, share: f64) -> Duration {
    if share.is_finite() && share > 0.0 {
        duration.mul_f64(share.min(1.0))
    } else {
        Duration::ZERO
    }
}
