//! Which tokens came and went lately, for those who come back.

use std::collections::HashMap;
use std::sync::Arc;

use polypy_core::{AssetKey, ConditionId, Market, Selector};

/// As far back as clients may come from.
#[derive(Debug, Default)]
pub(super) struct Passage {
    /// Places at which tokens were announced.
    came: HashMap<AssetKey, u64>,
    /// Places at which tokens were said to be forgotten, and whose they were: nobody else
    /// knows by what names they went.
    went: HashMap<AssetKey, (u64, Arc<Market>)>,
    /// Places at which tokens that are still there were let go of, since nobody wanted them.
    let_go: HashMap<AssetKey, u64>,
    /// Place before which a word was lost: of a token that came or went.
    blind_before: u64,
}

impl Passage {
    /// A token was announced at a place.
    pub(super) fn note_coming(&mut self, key: AssetKey, place: u64) {
        self.came.insert(key, place);
    }

    /// A token of a market was said to be forgotten at a place.
    pub(super) fn note_going(&mut self, key: AssetKey, market: &Arc<Market>, place: u64) {
        self.went.insert(key, (place, Arc::clone(market)));
    }

    /// A token was let go of at a place: what happens to it is published no longer.
    pub(super) fn note_letting_go(&mut self, key: AssetKey, place: u64) {
        self.let_go.insert(key, place);
    }

    /// Whether a token was followed after a place, and then let go of.
    pub(super) fn was_let_go_after(&self, key: AssetKey, place: u64) -> bool {
        self.let_go.get(&key).is_some_and(|let_go| *let_go > place)
    }

    /// A word was lost before this place.
    pub(super) fn note_loss(&mut self, place: u64) {
        self.blind_before = place;
    }

    /// Whether all is known of which tokens went since a place.
    pub(super) fn is_complete_since(&self, place: u64) -> bool {
        self.blind_before <= place
    }

    /// Whether a token was announced after a place: who was there cannot have had it.
    pub(super) fn came_after(&self, key: AssetKey, place: u64) -> bool {
        self.came.get(&key).is_some_and(|came| *came > place)
    }

    /// The tokens that went, each with its market, and where that was said.
    pub(super) fn gone(&self) -> impl Iterator<Item = (AssetKey, &Market, u64)> {
        let gone = self.went.iter();
        gone.map(|(key, (place, market))| (*key, &**market, *place))
    }

    /// Nobody comes back from before this place.
    pub(super) fn forget_before(&mut self, place: u64) {
        self.came.retain(|_, came| *came > place);
        self.went.retain(|_, (went, _)| *went > place);
        self.let_go.retain(|_, let_go| *let_go > place);
    }
}

/// Whether a word names a market as a whole.
pub(super) fn names(word: &Selector, market: &Market) -> bool {
    match word {
        Selector::Everything => true,
        Selector::Market(name) => {
            let slug = market.slug.as_deref();
            let id = ConditionId::new(name);
            id.is_ok_and(|id| id.canonical() == market.condition_id.canonical())
                || slug.is_some_and(|slug| slug.eq_ignore_ascii_case(name))
        }
        Selector::Event(slug) => {
            let event = market.event.as_ref();
            event.is_some_and(|event| event.slug.eq_ignore_ascii_case(slug))
        }
        _ => false,
    }
}
