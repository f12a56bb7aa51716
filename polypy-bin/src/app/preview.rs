//! What a configuration would follow, found out by a listing of its own, without following
//! anything.

use std::ops::ControlFlow;
use std::sync::Arc;

use polypy_core::catalogue::{
    CatalogueTable, CatalogueView, Judgement, MarketEntry, MarketNumber, NotFollowed, Rank, Round,
    SeatOrder, SeatTable, Selection, Verdict,
};
use polypy_core::{Clock, Timestamp};
use polypy_net::gamma::{GammaClient, Listing};
use polypy_net::rest::RestClient;

use super::builder::system_dialer;
use super::error::BuildError;
use super::selection::warnings;
use crate::config::{Loaded, conversion};

/// What a configuration would follow.
#[derive(Debug)]
#[non_exhaustive]
pub struct Preview {
    /// Open markets that the venue lists.
    pub listed: usize,
    /// Those that would be followed, the first in `order` first.
    pub followed: Vec<MarketEntry>,
    /// The order in which they are chosen where not all can be followed.
    pub order: SeatOrder,
    /// Why the others would not, by the check that comes first, and how many these are.
    pub not_followed: Vec<(NotFollowed, usize)>,
    /// What the configuration names and nothing listed has; none of a listing that broke off,
    /// which says nothing of that.
    pub warnings: Vec<String>,
    /// Why the venue gave no tags, if it refused them.
    pub without_tags: Option<String>,
    /// Why the listing broke off; `None`: it is whole.
    pub broke_off: Option<String>,
}

impl Preview {
    /// Tokens of what would be followed.
    pub fn tokens(&self) -> usize {
        let followed = self.followed.iter();
        followed.map(|entry| entry.market.tokens.len()).sum()
    }
}

/// Lists what the venue has open, and judges it; tells after each page how many markets
/// were listed so far.
///
/// # Errors
/// When a value of the configuration cannot work.
pub async fn preview(
    loaded: &Loaded,
    clock: &dyn Clock,
    mut listed: impl FnMut(usize),
) -> Result<Preview, BuildError> {
    let venue = &loaded.config.venue;
    let dialer = Arc::new(system_dialer(venue)?);
    let rest = RestClient::new(dialer, venue.gamma_url.as_str(), conversion::rest(venue));
    let rest = rest.map_err(|error| BuildError::Value {
        key: "venue.gamma_url",
        reason: error.to_string(),
    })?;
    let gamma = GammaClient::new(rest, conversion::gamma(&loaded.config));
    let mut table = CatalogueTable::default();
    let crawl = gamma.crawl(Listing::Steady, |rows| {
        for row in rows {
            // What cannot be followed by anybody is not listed.
            if let Ok(row) = row.listed() {
                table.take_in(row);
            }
        }
        listed(table.len());
        ControlFlow::Continue(())
    });
    let end = crawl.await.end;
    let selection = loaded.selection();
    let order = loaded.config.markets.order;
    let mut preview = judged(&table.view(), &selection, order, clock.now());
    preview.broke_off = (end.name() != "complete").then(|| end.to_string());
    preview.without_tags = gamma.refuses_tags().map(str::to_owned);
    if preview.broke_off.is_some() {
        preview.warnings.clear();
    }
    Ok(preview)
}

/// What a selection makes of what is listed, where nothing is followed yet.
fn judged(
    view: &CatalogueView,
    selection: &Selection,
    order: SeatOrder,
    now: Timestamp,
) -> Preview {
    let judge = selection.judge(None, view.tags(), now);
    let mut verdicts: Vec<(&MarketEntry, Verdict)> = Vec::new();
    let mut ranked: Vec<(Rank, MarketNumber)> = Vec::new();
    for found in view.iter() {
        let verdict = match judge.of(found, &mut ()) {
            Judgement::Wanted => Verdict::Followed,
            Judgement::Unwanted(reason) => Verdict::NotFollowed(reason),
            Judgement::NeedsSeat(rank) => {
                ranked.push((rank, found.entry.number));
                Verdict::NotFollowed(NotFollowed::Seats)
            }
        };
        verdicts.push((found.entry, verdict));
    }
    if let Some(rule) = selection.seats {
        let mut seats = SeatTable::new(rule.most);
        seats.review(ranked, Round::Fresh);
        for (entry, verdict) in &mut verdicts {
            if seats.has(entry.number) {
                let condition = &entry.market.condition_id;
                *verdict = match judge.seated(condition, &mut ()) {
                    Ok(()) => Verdict::Followed,
                    Err(reason) => Verdict::NotFollowed(reason),
                };
            }
        }
    }
    let count = |reason| {
        let verdicts = verdicts.iter();
        let its = verdicts.filter(|(_, verdict)| *verdict == Verdict::NotFollowed(reason));
        (reason, its.count())
    };
    let mut not_followed: Vec<_> = NotFollowed::ALL.into_iter().map(count).collect();
    not_followed.retain(|(_, count)| *count > 0);
    let followed = verdicts.iter();
    let followed = followed.filter(|(_, verdict)| *verdict == Verdict::Followed);
    let mut followed: Vec<_> = followed.map(|(entry, _)| (*entry).clone()).collect();
    followed.sort_by_key(|entry| (order.rank(entry, now), entry.number));
    Preview {
        listed: verdicts.len(),
        followed,
        order,
        not_followed,
        warnings: warnings(selection, view),
        without_tags: None,
        broke_off: None,
    }
}
