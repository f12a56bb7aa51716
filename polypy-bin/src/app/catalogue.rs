//! The registry as streams ask it.

use std::sync::Arc;

use polypy_core::{AssetKey, CatalogueSource, Market, Selector, TokenInfo};
use polypy_net::registry::AssetRegistry;

/// Answers by the registry. Holds its locks for one look-up at a time.
pub(super) struct Names {
    registry: Arc<AssetRegistry>,
}

impl Names {
    pub(super) fn new(registry: Arc<AssetRegistry>) -> Self {
        Self { registry }
    }
}

impl CatalogueSource for Names {
    fn resolve(&self, selector: &Selector) -> Vec<AssetKey> {
        let names = self.registry.interner();
        match selector {
            Selector::Everything => {
                let conditions = self.registry.live_conditions();
                let tokens = conditions.iter();
                tokens
                    .flat_map(|condition| self.registry.assets_of(condition))
                    .collect()
            }
            Selector::Token(id) => {
                let names = names.read();
                names.get(id).map(|info| info.key).into_iter().collect()
            }
            Selector::Market(name) => {
                let condition = names
                    .read()
                    .market(name)
                    .next()
                    .map(|info| info.condition_id.clone());
                let condition = condition.or_else(|| self.registry.named(name));
                condition.map_or_else(Vec::new, |condition| self.registry.assets_of(&condition))
            }
            Selector::Event(slug) => {
                let conditions = self.registry.of_event(slug);
                let tokens = conditions.iter();
                tokens
                    .flat_map(|condition| self.registry.assets_of(condition))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn token(&self, asset: AssetKey) -> Option<TokenInfo> {
        let info = self.registry.interner().read().info(asset).cloned()?;
        let market = self.registry.market(&info.condition_id);
        let token = market.as_ref().and_then(|market| {
            let mut tokens = market.tokens.iter();
            tokens.find(|token| token.token_id == info.asset_id)
        });
        Some(TokenInfo {
            outcome: token.map(|token| Arc::clone(&token.outcome)),
            winner: self.registry.winner(&info.condition_id),
            info,
        })
    }

    fn market(&self, asset: AssetKey) -> Option<Arc<Market>> {
        let info = self.registry.interner().read().info(asset).cloned()?;
        self.registry.market(&info.condition_id)
    }
}
