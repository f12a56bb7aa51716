//! What is followed, as streams and reads ask for it.

use std::sync::Arc;

use polypy_core::catalogue::SelectionSource;
use polypy_core::{AssetKey, CatalogueSource, Market, MarketEntry, Selector, TokenInfo};
use polypy_net::registry::AssetRegistry;

/// Answers by the registry, and by the whole catalogue of what is not in there. Holds their
/// locks for one look-up at a time.
pub(super) struct Names {
    registry: Arc<AssetRegistry>,
    listed: Arc<dyn SelectionSource>,
}

impl Names {
    pub(super) fn new(registry: Arc<AssetRegistry>, listed: Arc<dyn SelectionSource>) -> Self {
        Self { registry, listed }
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
                match condition {
                    Some(condition) => self.registry.assets_of(&condition),
                    // An id may be spelt in another way.
                    None => {
                        let found = self.listed.find(name).into_iter();
                        let keys = found.filter_map(|entry| entry.keys).next();
                        keys.map_or_else(Vec::new, |keys| keys.to_vec())
                    }
                }
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

    fn not_followed(&self, selector: &Selector) -> Option<MarketEntry> {
        let named = match selector {
            Selector::Token(id) => self.listed.of_token(id).into_iter().collect(),
            Selector::Market(name) => self.listed.find(name),
            Selector::Event(slug) => self.listed.event(slug),
            _ => Vec::new(),
        };
        named.into_iter().find(|entry| entry.keys.is_none())
    }
}
