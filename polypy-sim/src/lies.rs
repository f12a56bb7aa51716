//! Faults of what is said: hashes that fit no state or the next one, prices
//! hashed before they are announced, deltas older than the book before them,
//! changes in no known shape or under no known name.
//!
//! The truth itself stays what `venue` holds, and `/sim/book` shows it; only
//! `price_ahead` moves something true, the last trade price, without a word.

use std::sync::Arc;
use std::time::Duration;

use polypy_core::{Price, Side, Size, Timestamp};
use serde_json::json;
use tokio::time::Instant;

use crate::catalogue;
use crate::delivery::{Frame, FrameKind};
use crate::exchange::{Due, Exchange, Link};
use crate::fault::Fault;
use crate::fault_kind::FaultKind;
use crate::fault_table::UNREADABLE_SHAPES;
use crate::mangle;
use crate::publication::hashed_price;
use crate::render::{self, Print};
use crate::venue::TokenRef;

impl Exchange {
    /// A frame as wrong hashes, missing fields, unreadable shapes and other names
    /// make it.
    pub(crate) fn lie(&mut self, link: &Arc<Link>, frame: Frame) -> Frame {
        let states = matches!(
            frame.kind,
            FrameKind::Opening | FrameKind::Book | FrameKind::PriceChange
        );
        if !states {
            return frame;
        }
        let venue = &self.venue;
        let hits = |active: &crate::fault_set::Active, asset: &str| {
            venue
                .find(asset)
                .is_some_and(|place| active.hits_asset_on(link.id, place))
        };
        let mut text = frame.text.clone();
        for active in self.faults.of(FaultKind::WrongHash) {
            let wrong = mangle::with_hashes(&text, |asset, hash| {
                (hits(active, asset) && active.hits_state(hash)).then(|| mangle::wrong_hash(hash))
            });
            if let Some(wrong) = wrong {
                active.struck();
                text = wrong.into();
            }
        }
        for active in self.faults.of(FaultKind::MissingFields) {
            let fields = active.fault.text("fields");
            if self.rng.f64() >= active.fault.number("rate") {
                continue;
            }
            let mut hit = false;
            let bare = mangle::without_fields(&text, &fields, |asset| {
                let hits = hits(active, asset);
                hit |= hits;
                hits
            });
            if let Some(bare) = bare.filter(|_| hit) {
                active.struck();
                text = bare.into();
            }
        }
        self.disguise(link, Frame { text, ..frame })
    }

    /// A change in a shape that cannot be read, or under a name that nobody knows.
    fn disguise(&mut self, link: &Arc<Link>, mut frame: Frame) -> Frame {
        if frame.kind != FrameKind::PriceChange {
            return frame;
        }
        if let Some(fault) = self.strikes(FaultKind::UnreadableChange, link, &frame) {
            let asked = fault.text("shape");
            let shape = match asked.as_str() {
                "any" => UNREADABLE_SHAPES[self.rng.usize(1..UNREADABLE_SHAPES.len())],
                shape => shape,
            };
            frame.text = mangle::unreadable(&frame.text, shape).into();
        }
        if let Some(fault) = self.strikes(FaultKind::RenamedEvent, link, &frame) {
            // It says that something happened, and to nobody what.
            self.withhold_frame(FaultKind::RenamedEvent, link, &frame);
            frame.text = mangle::renamed(&frame.text, &fault.text("event_type")).into();
        }
        frame
    }

    /// Whether a fault with a rate strikes a market; its settings if so.
    fn strikes_market(&mut self, kind: FaultKind, market: usize) -> Option<Fault> {
        let outcomes = self.venue.markets[market].tokens.len();
        let active = self.faults.of(kind).find(|active| {
            (0..outcomes).any(|outcome| active.hits_asset(TokenRef { market, outcome }))
        })?;
        if self.rng.f64() >= active.fault.number("rate") {
            return None;
        }
        active.struck();
        Some(active.fault.clone())
    }

    /// Whether a burst of this market goes out as one frame a change.
    pub(crate) fn shares_hash(&mut self, market: usize) -> bool {
        self.strikes_market(FaultKind::SharedHash, market).is_some()
    }

    /// Lets the last trade price run ahead of what is announced.
    pub(crate) fn move_price_ahead(&mut self, market: usize) {
        let Some(fault) = self.strikes_market(FaultKind::PriceAhead, market) else {
            return;
        };
        let state = &self.venue.markets[market];
        let (bid, ask) = render::tops(&state.tokens[0].book);
        let before = state.last_trade_price;
        // Some trade near the top, at another price than the last.
        let mid = u32::midpoint(bid.millionths(), ask.millionths()) / 1_000;
        let price = [1, 2]
            .map(|off| (mid + off * self.rng.u32(1..=5)).clamp(1, 999))
            .into_iter()
            .filter_map(|thousandths| Price::from_millionths(thousandths * 1_000))
            .find(|price| hashed_price(*price) != before);
        let Some(price) = price else { return };
        let side = if self.rng.bool() {
            Side::Bid
        } else {
            Side::Ask
        };
        let print = Print {
            outcome: 0,
            price,
            size: Size::from_millionths(self.rng.u64(1..1_000) * 1_000_000),
            side,
            transaction_hash: catalogue::hex32(&mut self.rng),
        };
        let state = &mut self.venue.markets[market];
        state.last_trade_price = hashed_price(price);
        state.last_trade_side = Some(side);
        if !fault.flag("never") {
            let due = Instant::now() + fault.duration("delay");
            self.schedule(due, Due::Print { market, print });
        }
    }

    /// Whether the market's next frames wait for the change after them; they
    /// are released at the latest when the fault's delay is over.
    pub(crate) fn holds_change(&mut self, market: usize) -> bool {
        let Some(fault) = self.strikes_market(FaultKind::NextHash, market) else {
            return false;
        };
        let due = Instant::now() + fault.duration("delay");
        self.schedule(due, Due::ReleaseChange { market })
    }

    /// The market has changed again: what waited for that goes out with the
    /// hash of the state now.
    pub(crate) fn release_with_next_hash(&mut self, market: usize) {
        let Some(frames) = self.awaiting.remove(&market) else {
            return;
        };
        let outcomes = self.venue.markets[market].tokens.len();
        let hit: Vec<(String, String)> = (0..outcomes)
            .map(|outcome| TokenRef { market, outcome })
            .filter(|&place| {
                self.faults
                    .of(FaultKind::NextHash)
                    .any(|active| active.hits_asset(place))
            })
            .collect::<Vec<_>>()
            .into_iter()
            .map(|place| {
                let asset = self.venue.token(place).info.asset_id.to_string();
                let hash = self.venue.markets[market].hash(place.outcome);
                (asset, hash.to_string())
            })
            .collect();
        for frame in frames {
            let next = mangle::with_hashes(&frame.text, |asset, _own| {
                hit.iter()
                    .find(|(id, _)| id == asset)
                    .map(|(_, hash)| hash.clone())
            });
            let text = next.map_or_else(|| frame.text.clone(), Into::into);
            self.publish(&Frame { text, ..frame });
        }
    }

    /// Nothing came to lend its hash: what waited goes out as it is.
    pub(crate) fn release_changes(&mut self, market: usize) {
        for frame in self.awaiting.remove(&market).unwrap_or_default() {
            self.publish(&frame);
        }
    }

    /// Sends entries older than the opening books that were just sent.
    pub(crate) fn send_late_deltas(&mut self, link: &Arc<Link>, opened: &[TokenRef]) {
        for &place in opened {
            let fault = self
                .faults
                .on_asset(FaultKind::LateSnapshotDelta, link.id, place);
            let Some(conflict) = fault.map(|fault| fault.flag("conflict")) else {
                continue;
            };
            if let Some(text) = self.late_delta(place, conflict) {
                let frame = Frame::of_market(FrameKind::PriceChange, place.market, text);
                self.deliver(link, &frame);
            }
        }
    }

    fn late_delta(&mut self, place: TokenRef, conflict: bool) -> Option<String> {
        let state = &self.venue.markets[place.market];
        let token = &state.tokens[place.outcome];
        let (side, level) = match (token.book.best_bid(), token.book.best_ask()) {
            (Some(bid), _) => (Side::Bid, bid),
            (None, Some(ask)) => (Side::Ask, ask),
            (None, None) => return None,
        };
        let older = Duration::from_millis(self.rng.u64(1..=2)).as_millis();
        let older = u64::try_from(older).unwrap_or(1);
        let stamp = Timestamp::from_millis(token.changed.millis().saturating_sub(older));
        let more = if conflict { 10_000_000 } else { 0 };
        let size = Size::from_millionths(level.size.millionths() + more);
        let mut book = token.book.clone();
        book.apply_change(side, level.price, size);
        let (bid, ask) = render::tops(&book);
        let hash = state.hash_of(place.outcome, &book, stamp).to_string();
        let mut frame = json!({
            "market": state.listing.condition_id.as_str(),
            "price_changes": [{
                "asset_id": token.info.asset_id.as_str(),
                "price": level.price,
                "size": size,
                "side": render::side_name(side),
                "best_bid": bid,
                "best_ask": ask,
            }],
            "timestamp": stamp.millis().to_string(),
            "event_type": "price_change",
        });
        if state.states_hashes {
            frame["price_changes"][0]["hash"] = hash.into();
        }
        Some(frame.to_string())
    }
}
