//! Which rows Gamma is asked for, and in which order.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::gamma::{List, MARKETS_LIMIT};
use crate::gamma_view::View;
use crate::http::Query;

/// A row's place in the order asked for: its key (descending keys are
/// complemented) and its market.
pub(crate) type Position = (u64, usize);

/// Opaque to clients: the filters' digest and the last row's position; behind
/// that may stand what tells two cursors to one page from each other.
pub(crate) fn write_cursor((key, market): Position, binding: u64) -> String {
    format!("{binding:016x}{key:016x}{market:08x}")
}

pub(crate) fn read_cursor(cursor: &str, binding: u64) -> Option<Position> {
    if !matches!(cursor.len(), 40 | 48) || !cursor.is_ascii() {
        return None;
    }
    let bound = u64::from_str_radix(&cursor[..16], 16).ok()?;
    let key = u64::from_str_radix(&cursor[16..32], 16).ok()?;
    let market = usize::from_str_radix(&cursor[32..40], 16).ok()?;
    (bound == binding).then_some((key, market))
}

/// Which rows, and in which order.
#[derive(Debug, Default, Hash)]
pub(crate) struct Filter {
    pub(crate) closed: Option<bool>,
    neg_risk: Option<bool>,
    condition_ids: Vec<String>,
    clob_token_ids: Vec<String>,
    ids: Vec<String>,
    slugs: Vec<String>,
    order: Order,
    descending: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
enum Order {
    #[default]
    Id,
    Volume,
    VolumeDay,
    Liquidity,
    Created,
    End,
}

impl Filter {
    pub(crate) fn parse(query: &Query, closed: Option<bool>) -> Result<Self, String> {
        let flag = |key: &str| match query.get(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(format!("invalid {key}")),
        };
        let list = |key| query.all(key).map(str::to_owned).collect::<Vec<_>>();
        let order = match query.get("order") {
            None | Some("id") => Order::Id,
            Some("volumeNum") => Order::Volume,
            Some("volume24hr") => Order::VolumeDay,
            Some("liquidityNum") => Order::Liquidity,
            Some("createdAt" | "startDate") => Order::Created,
            Some("endDate") => Order::End,
            Some(_) => return Err("order fields are not valid".to_owned()),
        };
        let filter = Self {
            closed: flag("closed")?.or(closed),
            neg_risk: flag("neg_risk")?,
            condition_ids: list("condition_ids"),
            clob_token_ids: list("clob_token_ids"),
            ids: list("id"),
            slugs: list("slug"),
            order,
            descending: flag("ascending")? == Some(false),
        };
        if filter.condition_ids.len() > MARKETS_LIMIT {
            return Err("condition_ids: at most 100".to_owned());
        }
        Ok(filter)
    }

    pub(crate) fn binding(&self, list: List) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        (list == List::Events).hash(&mut hasher);
        hasher.finish()
    }

    /// The rows that match, in order. Of an event's markets the first that
    /// matches stands for the event.
    pub(crate) fn select(&self, view: &View<'_>, list: List) -> Vec<Position> {
        let venue = view.venue;
        let mut named: HashSet<usize> = self
            .condition_ids
            .iter()
            .filter_map(|id| venue.find_condition(id))
            .collect();
        named.extend(
            self.clob_token_ids
                .iter()
                .filter_map(|id| venue.find(id))
                .map(|place| place.market),
        );
        let candidates: Vec<usize> = if self.is_by_name() {
            named.into_iter().collect()
        } else {
            (0..venue.markets.len()).collect()
        };
        let mut selected: Vec<Position> = candidates
            .into_iter()
            .filter(|&market| self.matches(view, market, list))
            .map(|market| (self.key(view, market), market))
            .collect();
        if list == List::Events {
            selected.sort_unstable_by_key(|(_, market)| *market);
            let mut seen = HashSet::new();
            selected.retain(|(_, market)| seen.insert(venue.markets[*market].listing.event.id));
        }
        selected.sort_unstable();
        selected
    }

    /// Whether it names the markets that are wanted.
    pub(crate) fn is_by_name(&self) -> bool {
        !self.condition_ids.is_empty() || !self.clob_token_ids.is_empty()
    }

    fn matches(&self, view: &View<'_>, market: usize, list: List) -> bool {
        let listing = &view.venue.markets[market].listing;
        let (id, slug) = match list {
            List::Markets => (listing.id, view.slug(market)),
            List::Events => (listing.event.id, &*listing.event.slug),
        };
        view.is_listed(market)
            && self
                .closed
                .is_none_or(|closed| closed == view.is_closed(market))
            && self
                .neg_risk
                .is_none_or(|neg_risk| neg_risk == listing.neg_risk)
            && (self.ids.is_empty() || self.ids.contains(&id.to_string()))
            && (self.slugs.is_empty() || self.slugs.iter().any(|wanted| wanted == slug))
    }

    fn key(&self, view: &View<'_>, market: usize) -> u64 {
        let listing = &view.venue.markets[market].listing;
        let key = match self.order {
            Order::Id => listing.id,
            Order::Volume => view.figures(market).volume,
            Order::VolumeDay => view.figures(market).volume_day,
            Order::Liquidity => view.figures(market).liquidity,
            Order::Created => listing.created.millis(),
            Order::End => view.end(market).millis(),
        };
        if self.descending { u64::MAX - key } else { key }
    }
}
