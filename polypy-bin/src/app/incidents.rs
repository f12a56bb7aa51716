//! Which wishes for a fresh book are incidents, and who is told of these.
//!
//! A wish is an incident if a check has found the book wrong, or its worker has died: then
//! we, or the venue, have made a mistake. That a socket is lost, or says nothing, is none.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::recording::Mark;
use polypy_core::{AssetKey, ResyncSink, Scope, StaleReason};
use polypy_net::registry::AssetRegistry;

use super::recorders::{FlightInlet, Inlet};

/// Tokens that a mark names at most. A worker that died had thousands.
const MOST_NAMED: usize = 500;

/// Passes on wishes for fresh books, and tells of incidents among them.
pub(super) struct Incidents {
    wishes: Arc<dyn ResyncSink>,
    recorder: Option<Inlet>,
    flight: Option<FlightInlet>,
    registry: Arc<AssetRegistry>,
}

impl Incidents {
    /// In front of `wishes`, if anybody is to be told.
    pub(super) fn before(
        wishes: Arc<dyn ResyncSink>,
        (recorder, flight): (Option<Inlet>, Option<FlightInlet>),
        registry: &Arc<AssetRegistry>,
    ) -> Arc<dyn ResyncSink> {
        if recorder.is_none() && flight.is_none() {
            return wishes;
        }
        Arc::new(Self {
            wishes,
            recorder,
            flight,
            registry: Arc::clone(registry),
        })
    }
}

fn is_incident(reason: StaleReason) -> bool {
    matches!(
        reason,
        StaleReason::Hash
            | StaleReason::Top
            | StaleReason::Mirror
            | StaleReason::Audit
            | StaleReason::Crossed
            | StaleReason::WorkerDied
    )
}

impl ResyncSink for Incidents {
    fn resync(&self, scope: Scope, assets: &[AssetKey], reason: StaleReason) {
        // First: a mark can wait, a book that is wrong cannot.
        self.wishes.resync(scope, assets, reason);
        if !is_incident(reason) || assets.is_empty() {
            return;
        }
        let names = self.registry.interner().read();
        let named = assets.iter().take(MOST_NAMED);
        let tokens = named.filter_map(|key| Some(names.info(*key)?.asset_id.clone()));
        let mark = Mark {
            kind: reason.name().into(),
            tokens: tokens.collect(),
            text: format!("fresh books of {} tokens were asked for", assets.len()).into(),
        };
        drop(names);
        let at = Instant::now();
        if let Some(flight) = &self.flight {
            flight.incident(mark.clone(), at);
        }
        if let Some(recorder) = &self.recorder {
            recorder.mark(mark, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use polypy_archive::queue::{What, queue};
    use polypy_core::{Market, Token};

    use super::*;

    #[derive(Default)]
    struct Wishes(Mutex<Vec<StaleReason>>);

    impl ResyncSink for Wishes {
        fn resync(&self, _scope: Scope, _assets: &[AssetKey], reason: StaleReason) {
            self.0.lock().push(reason);
        }
    }

    #[test]
    fn every_wish_is_passed_on_and_incidents_are_marked() {
        let (inlet, mut outlet) = queue(1 << 20, Arc::default());
        let registry = Arc::new(AssetRegistry::default());
        let token = Token {
            token_id: "12".parse().unwrap(),
            outcome: "Yes".into(),
        };
        let other = Token {
            token_id: "13".parse().unwrap(),
            outcome: "No".into(),
        };
        registry.upsert(Market::new("0xa1".parse().unwrap(), vec![token, other]));
        let key = registry.interner().read().get("12").unwrap().key;
        let wishes = Arc::new(Wishes::default());
        let passed_on = Arc::clone(&wishes) as Arc<dyn ResyncSink>;
        let untold = Incidents::before(Arc::clone(&passed_on), (None, None), &registry);
        assert!(Arc::ptr_eq(&untold, &passed_on), "nobody is to be told");
        let incidents = Incidents::before(passed_on, (Some(inlet), None), &registry);
        for reason in StaleReason::ALL {
            incidents.resync(Scope::AllFeeds, &[key], reason);
        }
        assert_eq!(*wishes.0.lock(), StaleReason::ALL);
        let mut items = Vec::new();
        outlet.take(usize::MAX, &mut items);
        let marks: Vec<_> = items
            .into_iter()
            .map(|item| match item.what {
                What::Mark(mark) => (mark.kind.to_string(), mark.tokens),
                other => panic!("{other:?}"),
            })
            .collect();
        let kinds: Vec<_> = marks.iter().map(|(kind, _)| kind.as_str()).collect();
        let expected = ["worker_died", "hash", "top", "mirror", "audit", "crossed"];
        assert_eq!(kinds, expected);
        assert!(marks.iter().all(|(_, tokens)| tokens.len() == 1));
    }
}
