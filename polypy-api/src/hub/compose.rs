//! The messages, made of what the hub knows.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{
    BookState, BookStatus, Market as CatalogueMarket, MarketChange, TokenInfo, TradeKept,
};

use super::token::Kept;
use super::view::{Step, ToldTop, View};
use crate::anchor::Anchor;
use crate::message::{
    Cause, Conflated, Delta, Event, Gap, GapReason, GapScope, Market, MarketHappening, Snapshot,
    State, Top, Trade,
};

/// A book as a view shows it.
pub(super) fn snapshot(
    info: &Arc<TokenInfo>,
    kept: &Kept,
    view: &View,
    cause: Cause,
    anchor: &Anchor,
) -> Event {
    let shown = view.shown(kept);
    Event::Snapshot(Box::new(Snapshot {
        token: Arc::clone(info),
        epoch: kept.epoch,
        sequence: shown.sequence,
        cause,
        state: kept.status.state,
        verified: kept.status.verified,
        hash: kept.hash,
        tick_size: kept.status.tick_size,
        depth: view.mode.depth,
        at: shown.at,
        received_us: anchor.micros(shown.received),
        bids: shown.bids,
        asks: shown.asks,
    }))
}

pub(super) fn delta(
    info: &Arc<TokenInfo>,
    kept: &Kept,
    step: Step,
    depth: Option<u16>,
    conflated: Option<Conflated>,
    anchor: &Anchor,
) -> Event {
    Event::Delta(Box::new(Delta {
        token: Arc::clone(info),
        epoch: kept.epoch,
        previous: step.previous,
        sequence: step.sequence,
        at: step.at,
        received_us: anchor.micros(step.received),
        changes: step.changes,
        best_bid: step.best_bid,
        best_ask: step.best_ask,
        conflated,
        depth,
    }))
}

pub(super) fn top(
    info: &Arc<TokenInfo>,
    kept: &Kept,
    told: ToldTop,
    conflated: Option<Conflated>,
    anchor: &Anchor,
) -> Event {
    Event::Top(Box::new(Top {
        token: Arc::clone(info),
        epoch: kept.epoch,
        sequence: told.sequence,
        state: told.top.state,
        at: told.at,
        received_us: anchor.micros(told.received),
        bid: told.top.bid,
        ask: told.top.ask,
        conflated,
    }))
}

pub(super) fn trade(info: &Arc<TokenInfo>, kept: &TradeKept, anchor: &Anchor) -> Event {
    Event::Trade(Box::new(Trade {
        token: Arc::clone(info),
        sequence: kept.sequence,
        price: kept.trade.price,
        size: kept.trade.size,
        side: kept.trade.side,
        at: kept.trade.timestamp,
        received_us: anchor.micros(kept.received),
    }))
}

/// How far the token's book can be trusted, of a book of this epoch and sequence.
pub(super) fn state(
    info: &Arc<TokenInfo>,
    status: &BookStatus,
    place: (u64, u64),
    anchor: &Anchor,
) -> Event {
    let (epoch, sequence) = place;
    let is_settled = status.state == BookState::Settled;
    Event::State(Box::new(State {
        token: Arc::clone(info),
        state: Some(status.state),
        since_ms: anchor.millis(status.since),
        epoch,
        sequence,
        verified: status.verified,
        winner: info.winner.clone().filter(|_| is_settled),
    }))
}

pub(super) fn forgotten(
    info: &Arc<TokenInfo>,
    kept: Option<&Kept>,
    now: Instant,
    anchor: &Anchor,
) -> Event {
    Event::State(Box::new(State {
        token: Arc::clone(info),
        state: None,
        since_ms: anchor.millis(now),
        epoch: kept.map_or(0, |kept| kept.epoch),
        sequence: kept.map_or(0, |kept| kept.sequence),
        verified: kept.and_then(|kept| kept.status.verified),
        winner: info.winner.clone(),
    }))
}

/// What is missing between the book that was told and the one that is there now;
/// whether a snapshot follows.
pub(super) fn gap(
    info: &Arc<TokenInfo>,
    had: Option<&Kept>,
    kept: Option<&Kept>,
    reason: GapReason,
    next_is_snapshot: bool,
    anchor: &Anchor,
) -> Event {
    Event::Gap(Box::new(Gap {
        scope: GapScope::Token(Arc::clone(info)),
        reason,
        epoch: had.map(|had| had.epoch),
        after: had.map(|had| had.sequence),
        before: kept.map(|kept| kept.sequence),
        missing: None,
        from_us: had.map(|had| anchor.micros(had.received)),
        to_us: kept.map(|kept| anchor.micros(kept.received)),
        next_is_snapshot,
    }))
}

/// A gap of everything that a subscription, or the connection, covers.
pub(super) fn wide_gap(
    scope: GapScope,
    reason: GapReason,
    missing: Option<u64>,
    next_is_snapshot: bool,
) -> Event {
    Event::Gap(Box::new(Gap {
        scope,
        reason,
        epoch: None,
        after: None,
        before: None,
        missing,
        from_us: None,
        to_us: None,
        next_is_snapshot,
    }))
}

/// Another tick size of one token.
pub(super) fn tick_size(
    token: &TokenInfo,
    market: &CatalogueMarket,
    status: &BookStatus,
    now_us: u64,
) -> Event {
    Event::Market(Box::new(Market {
        token_id: Some(token.info.asset_id.clone()),
        tick_size: status.tick_size,
        ..of_market(MarketHappening::TickSize, market, now_us)
    }))
}

/// What the catalogue tells of a market.
pub(super) fn market(change: &MarketChange, now_us: u64) -> Event {
    let message = match change {
        MarketChange::New(market) => Market {
            tick_size: market.tick_size,
            ..of_market(MarketHappening::New, market, now_us)
        },
        MarketChange::Resolved { market, winner, at } => Market {
            winner: winner.clone(),
            at: *at,
            ..of_market(MarketHappening::Resolved, market, now_us)
        },
        MarketChange::Ended { market, reason, .. } => Market {
            reason: Some(reason),
            ..of_market(MarketHappening::Ended, market, now_us)
        },
        MarketChange::Forgotten { market, .. } => {
            of_market(MarketHappening::Forgotten, market, now_us)
        }
    };
    Event::Market(Box::new(message))
}

fn of_market(change: MarketHappening, market: &CatalogueMarket, now_us: u64) -> Market {
    let tokens = market.tokens.iter();
    Market {
        change,
        condition_id: market.condition_id.clone(),
        slug: market.slug.as_deref().map(Into::into),
        event_slug: market.event.as_ref().map(|event| (&*event.slug).into()),
        question: Some(market.question.as_str().into()),
        tokens: tokens
            .map(|token| (token.token_id.clone(), Arc::clone(&token.outcome)))
            .collect(),
        token_id: None,
        tick_size: None,
        winner: None,
        reason: None,
        at: None,
        received_us: now_us,
    }
}
