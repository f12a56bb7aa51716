//! What readers see of the catalogue and of the selection.

use std::sync::Arc;

use polypy_core::catalogue::{
    CatalogueView, Explanation, MarketEntry, MarketNumber, SelectionSource, SelectionView,
};

use crate::lifecycle::Shared;

impl SelectionSource for Shared {
    fn view(&self) -> Arc<CatalogueView> {
        self.hold().state.table.view()
    }

    fn find(&self, name: &str) -> Vec<MarketEntry> {
        self.hold().state.table.find(name)
    }

    fn of_token(&self, token_id: &str) -> Option<MarketEntry> {
        self.hold().state.table.of_token(token_id)
    }

    fn event(&self, slug: &str) -> Vec<MarketEntry> {
        self.hold().state.table.event(slug)
    }

    fn explain(&self, number: MarketNumber) -> Option<Explanation> {
        let held = self.hold();
        let state = &held.state;
        let found = state.table.get(number)?;
        let (selection, now) = (&state.selection, self.clock.now());
        let judge = selection.judge(Some(selection), state.table.tags(), now);
        Some(Explanation {
            entry: found.entry.clone(),
            generation: state.generation,
            checks: judge.explain(found),
        })
    }

    fn selection(&self) -> SelectionView {
        let held = self.hold();
        SelectionView {
            selection: Arc::clone(&held.state.selection),
            generation: held.state.generation,
            listed: held.state.table.len(),
            followed: self.registry.live_market_count(),
        }
    }
}
