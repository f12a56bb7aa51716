//! The markets that are followed, as the file that is being written says it.

use std::collections::BTreeMap;
use std::sync::Arc;

use polypy_core::recording::CatalogueEvent;
use polypy_core::{AssetId, ConditionId, Market, MarketChange};

/// Markets that are followed, or were and are not forgotten.
#[derive(Debug, Default)]
pub(crate) struct Markets(BTreeMap<ConditionId, Row>);

#[derive(Debug)]
struct Row {
    market: Arc<Market>,
    /// That it was decided, and that it is followed no longer.
    since: Vec<CatalogueEvent>,
}

/// What a change means for the market's tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// They are followed from now on.
    Followed(Vec<AssetId>),
    /// They are followed no longer.
    Released(Vec<AssetId>),
    /// As before.
    Unchanged,
}

impl Markets {
    /// Takes in what happened: what is recorded of it, and what follows.
    pub(crate) fn take(&mut self, change: &MarketChange) -> (CatalogueEvent, Wanted) {
        match change {
            MarketChange::New(market) => {
                let row = Row {
                    market: Arc::clone(market),
                    since: Vec::new(),
                };
                self.0.insert(market.condition_id.clone(), row);
                let event = CatalogueEvent::New {
                    market: Box::new((&**market).into()),
                };
                (event, Wanted::Followed(tokens(market)))
            }
            MarketChange::Resolved { market, winner, at } => {
                let event = CatalogueEvent::Resolved {
                    condition_id: market.condition_id.clone(),
                    winner: winner.clone(),
                    resolved_ts: at.map(|at| at.millis()),
                };
                self.note(market, &event);
                (event, Wanted::Unchanged)
            }
            MarketChange::Ended { market, reason, .. } => {
                let event = CatalogueEvent::Ended {
                    condition_id: market.condition_id.clone(),
                    reason: (*reason).into(),
                };
                self.note(market, &event);
                (event, Wanted::Released(tokens(market)))
            }
            MarketChange::Forgotten { market, .. } => {
                let event = self.forget(market);
                (event, Wanted::Released(tokens(market)))
            }
        }
    }

    /// What was said of markets was lost; these there are.
    pub(crate) fn replace(
        &mut self,
        known: &BTreeMap<ConditionId, Arc<Market>>,
    ) -> Vec<(CatalogueEvent, Wanted)> {
        let gone: Vec<_> = self
            .0
            .iter()
            .filter(|(id, _)| !known.contains_key(*id))
            .map(|(_, row)| Arc::clone(&row.market))
            .collect();
        let new: Vec<_> = known
            .iter()
            .filter(|(id, _)| !self.0.contains_key(*id))
            .map(|(_, market)| Arc::clone(market))
            .collect();
        let gone = gone
            .into_iter()
            .map(|market| (self.forget(&market), Wanted::Released(tokens(&market))));
        let mut changes: Vec<_> = gone.collect();
        changes.extend(
            new.into_iter()
                .map(|market| self.take(&MarketChange::New(market))),
        );
        changes
    }

    /// All of them, by their ids.
    pub(crate) fn ids(&self) -> Vec<ConditionId> {
        self.0.keys().cloned().collect()
    }

    /// What a file says at its beginning of one of them.
    pub(crate) fn beginning(&self, id: &ConditionId) -> Vec<CatalogueEvent> {
        let Some(row) = self.0.get(id) else {
            return Vec::new();
        };
        let market = Box::new((&*row.market).into());
        let mut events = vec![CatalogueEvent::Followed { market }];
        events.extend(row.since.iter().cloned());
        events
    }

    fn note(&mut self, market: &Market, event: &CatalogueEvent) {
        if let Some(row) = self.0.get_mut(&market.condition_id) {
            row.since.push(event.clone());
        }
    }

    fn forget(&mut self, market: &Market) -> CatalogueEvent {
        self.0.remove(&market.condition_id);
        CatalogueEvent::Forgotten {
            condition_id: market.condition_id.clone(),
        }
    }
}

fn tokens(market: &Market) -> Vec<AssetId> {
    let tokens = market.tokens.iter();
    tokens.map(|token| token.token_id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use polypy_core::Token;

    use super::*;

    fn market(number: u8) -> Arc<Market> {
        let token = |id: u8| Token {
            token_id: id.to_string().parse().unwrap(),
            outcome: "Yes".into(),
        };
        let condition = format!("0x{number:x}").parse().unwrap();
        Arc::new(Market::new(
            condition,
            vec![token(2 * number), token(2 * number + 1)],
        ))
    }

    #[test]
    fn a_file_begins_with_what_has_become_of_each_market_till_then() {
        let mut markets = Markets::default();
        let one = market(1);
        let (event, wanted) = markets.take(&MarketChange::New(Arc::clone(&one)));
        assert!(matches!(&event, CatalogueEvent::New { market } if market.tokens.len() == 2));
        assert_eq!(wanted, Wanted::Followed(tokens(&one)));
        let (ended, wanted) = markets.take(&MarketChange::Ended {
            market: Arc::clone(&one),
            reason: "released",
            keys: Vec::new(),
        });
        assert_eq!(wanted, Wanted::Released(tokens(&one)));
        let beginning = markets.beginning(&one.condition_id);
        assert!(matches!(beginning[0], CatalogueEvent::Followed { .. }));
        assert_eq!(beginning[1..], [ended]);
        let keys = Vec::new();
        markets.take(&MarketChange::Forgotten { market: one, keys });
        assert!(markets.ids().is_empty());
    }

    #[test]
    fn what_was_lost_is_made_up_from_what_there_is() {
        let mut markets = Markets::default();
        let (one, two) = (market(1), market(2));
        markets.take(&MarketChange::New(Arc::clone(&one)));
        let there = BTreeMap::from([(two.condition_id.clone(), Arc::clone(&two))]);
        let changes = markets.replace(&there);
        let wanted: Vec<_> = changes.into_iter().map(|(_, wanted)| wanted).collect();
        let expected = [
            Wanted::Released(tokens(&one)),
            Wanted::Followed(tokens(&two)),
        ];
        assert_eq!(wanted, expected);
        assert_eq!(markets.ids(), std::slice::from_ref(&two.condition_id));
        assert!(markets.replace(&there).is_empty());
    }
}
