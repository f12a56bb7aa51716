//! Markets by the names that the venue's addresses have for them and for their events.

use std::collections::{BTreeSet, HashMap};

use polypy_core::slug::folded;
use polypy_core::{ConditionId, Market};

/// Of two markets with one name the later counts. Capitals make no difference.
#[derive(Debug, Default)]
pub(super) struct Names {
    markets: HashMap<Box<str>, ConditionId>,
    events: HashMap<Box<str>, BTreeSet<ConditionId>>,
}

impl Names {
    pub(super) fn enter(&mut self, market: &Market) {
        let condition = &market.condition_id;
        if let Some(slug) = &market.slug {
            let slug = folded(slug).into();
            self.markets.insert(slug, condition.clone());
        }
        if let Some(event) = &market.event {
            let markets = self.events.entry(folded(&event.slug).into());
            let markets = markets.or_default();
            markets.insert(condition.clone());
        }
    }

    /// Of a market that is forgotten, or was described in another way.
    pub(super) fn leave(&mut self, market: &Market) {
        let condition = &market.condition_id;
        if let Some(slug) = &market.slug
            && self.market(slug) == Some(condition)
        {
            self.markets.remove(&*folded(slug));
        }
        if let Some(event) = &market.event
            && let Some(markets) = self.events.get_mut(&*folded(&event.slug))
        {
            markets.remove(condition);
            if markets.is_empty() {
                self.events.remove(&*folded(&event.slug));
            }
        }
    }

    pub(super) fn market(&self, slug: &str) -> Option<&ConditionId> {
        self.markets.get(&*folded(slug))
    }

    pub(super) fn event(&self, slug: &str) -> impl Iterator<Item = &ConditionId> {
        self.events.get(&*folded(slug)).into_iter().flatten()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.markets.is_empty() && self.events.is_empty()
    }
}
