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

/// What the queue knows of a market, whatever it has dropped.
#[derive(Debug, Clone)]
pub(crate) struct KnownMarket {
    pub(crate) market: Arc<Market>,
    /// That it was decided, or is followed no longer.
    pub(crate) end: Option<MarketChange>,
}

/// What a change means for the market's tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// They are followed from now on.
    Followed(Vec<AssetId>),
    /// They are followed no longer: nothing of theirs is missing from now on.
    Released(Vec<AssetId>),
}

impl Markets {
    /// Takes in what happened: what is recorded of it, and what follows.
    pub(crate) fn take(&mut self, change: &MarketChange) -> (CatalogueEvent, Wanted) {
        let (event, market) = (event_of(change), change.market());
        match change {
            MarketChange::New(market) => {
                let row = Row {
                    market: Arc::clone(market),
                    since: Vec::new(),
                };
                self.0.insert(market.condition_id.clone(), row);
                return (event, Wanted::Followed(tokens(market)));
            }
            // The venue decided it: it is over, as one is that ended otherwise.
            MarketChange::Resolved { .. } | MarketChange::Ended { .. } => {
                if let Some(row) = self.0.get_mut(&market.condition_id) {
                    row.since.push(event.clone());
                }
            }
            MarketChange::Forgotten { .. } => drop(self.0.remove(&market.condition_id)),
        }
        (event, Wanted::Released(tokens(market)))
    }

    /// What was said of markets was lost; these there are, and some of them have ended.
    pub(crate) fn replace(
        &mut self,
        known: &BTreeMap<ConditionId, KnownMarket>,
    ) -> Vec<(CatalogueEvent, Wanted)> {
        let is_other_life = |id: &ConditionId, row: &Row| match known.get(id) {
            Some(known) => known.end.is_none() && !row.since.is_empty(),
            None => true,
        };
        let rows = self.0.iter().filter(|(id, row)| is_other_life(id, row));
        let gone: Vec<_> = rows.map(|(_, row)| Arc::clone(&row.market)).collect();
        let gone = gone.into_iter().map(|market| {
            let keys = Vec::new();
            self.take(&MarketChange::Forgotten { market, keys })
        });
        let mut changes: Vec<_> = gone.collect();
        for (id, KnownMarket { market, end }) in known {
            if !self.0.contains_key(id) {
                changes.push(self.take(&MarketChange::New(Arc::clone(market))));
            }
            let has_ended = self.0.get(id).is_some_and(|row| !row.since.is_empty());
            if let Some(end) = end.as_ref().filter(|_| !has_ended) {
                changes.push(self.take(end));
            }
        }
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
}

/// What is recorded of a change.
pub(crate) fn event_of(change: &MarketChange) -> CatalogueEvent {
    let condition_id = change.market().condition_id.clone();
    match change {
        MarketChange::New(market) => CatalogueEvent::New {
            market: Box::new((&**market).into()),
        },
        MarketChange::Resolved { winner, at, .. } => CatalogueEvent::Resolved {
            condition_id,
            winner: winner.clone(),
            resolved_ts: at.map(|at| at.millis()),
        },
        MarketChange::Ended { reason, .. } => CatalogueEvent::Ended {
            condition_id,
            reason: (*reason).into(),
        },
        MarketChange::Forgotten { .. } => CatalogueEvent::Forgotten { condition_id },
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

    fn resolved(market: &Arc<Market>) -> MarketChange {
        MarketChange::Resolved {
            market: Arc::clone(market),
            winner: None,
            at: None,
        }
    }

    fn known(
        market: &Arc<Market>,
        end: Option<MarketChange>,
    ) -> BTreeMap<ConditionId, KnownMarket> {
        let market = Arc::clone(market);
        BTreeMap::from([(market.condition_id.clone(), KnownMarket { market, end })])
    }

    #[test]
    fn a_market_that_was_decided_is_followed_no_longer() {
        let (mut markets, one) = (Markets::default(), market(1));
        markets.take(&MarketChange::New(Arc::clone(&one)));
        let (event, wanted) = markets.take(&resolved(&one));
        assert_eq!(wanted, Wanted::Released(tokens(&one)));
        assert_eq!(markets.beginning(&one.condition_id)[1..], [event]);
    }

    #[test]
    fn that_a_market_has_ended_or_is_back_is_known_though_it_was_lost() {
        let (mut markets, one) = (Markets::default(), market(1));
        let wanted = |markets: &mut Markets, end: Option<MarketChange>| {
            let changes = markets.replace(&known(&one, end)).into_iter();
            changes.map(|(_, wanted)| wanted).collect::<Vec<_>>()
        };
        let followed = || Wanted::Followed(tokens(&one));
        let released = || Wanted::Released(tokens(&one));
        let ended = || Some(resolved(&one));
        // It came and ended while nothing of it could be queued.
        assert_eq!(wanted(&mut markets, ended()), [followed(), released()]);
        assert!(wanted(&mut markets, ended()).is_empty());
        // It is open again.
        assert_eq!(wanted(&mut markets, None), [released(), followed()]);
        assert_eq!(wanted(&mut markets, ended()), [released()]);
    }

    #[test]
    fn what_was_lost_is_made_up_from_what_there_is() {
        let mut markets = Markets::default();
        let (one, two) = (market(1), market(2));
        markets.take(&MarketChange::New(Arc::clone(&one)));
        let there = known(&two, None);
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
