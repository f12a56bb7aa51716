//! What the workers write, and what becomes of it.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{
    AssetKey, BookChange, BookState, BookStatus, Lane, LevelSet, StaleReason, TradeKept, WholeBook,
};

use super::Hub;
use super::compose;
use super::token::{Follow, Kind, ModeId, Replaced, Stage, Token};
use super::view::ToldTop;
use crate::message::{Cause, Conflated, GapReason};

impl Hub {
    /// Takes in an entry of a lane.
    pub(super) fn take(&mut self, lane: Lane, entry: BookChange, now: Instant) {
        match entry {
            BookChange::Level(set) => self.take_level(&set, now),
            BookChange::StateEnd(asset) => self.close_state_of(asset, now),
            BookChange::Whole(whole) => self.take_whole(*whole, now),
            BookChange::Status(change) => {
                self.close_state_of(change.asset, now);
                if let Some(at) = self.tokens.find(change.asset) {
                    self.take_status(at, change.status, now);
                }
            }
            BookChange::Trade(trade) => self.take_trade(&trade, now),
            BookChange::Gone(asset) => self.take_end(asset, now),
            BookChange::Reset => {
                let reason = GapReason::Stale(StaleReason::WorkerDied);
                self.follow_again(lane, reason, now);
            }
        }
    }

    fn take_level(&mut self, set: &LevelSet, now: Instant) {
        let Some(at) = self.tokens.find(set.asset) else {
            self.strays.insert(set.asset);
            return;
        };
        let Some(kept) = self.tokens.get(at).and_then(Token::kept) else {
            // The whole book is on its way, with this level in it.
            return;
        };
        if set.sequence != kept.sequence + 1 {
            let (expected, found) = (kept.sequence + 1, set.sequence);
            self.mistrust(at, expected, found, now);
            return;
        }
        // The last change of the state before set no level, and nothing said so.
        if kept.open.as_ref().is_some_and(|open| open.at != set.at) {
            self.close_state(at, now);
        }
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        let Token { stage, views, .. } = token;
        let Stage::Kept(kept) = stage else { return };
        if kept.open.is_none() {
            self.open.push(at);
            for view in views {
                view.before_change(kept);
            }
        }
        kept.set(set);
        if set.ends_state {
            self.close_state(at, now);
        }
    }

    /// The hub's copy has missed something, by a defect: it is read again.
    fn mistrust(&mut self, at: u32, expected: u64, found: u64, now: Instant) {
        self.close_state(at, now);
        self.out.numbers.mismatches.increment();
        if let Some(token) = self.tokens.get(at) {
            let token_id = token.info.info.asset_id.as_str();
            tracing::error!(
                token_id,
                expected,
                found,
                "a change of a book is missing: it is read again"
            );
        }
        self.lose(at, GapReason::Internal, now);
    }

    /// Tells the states that are open: what else belongs to them may never come.
    pub(super) fn close_states(&mut self, now: Instant) {
        while let Some(at) = self.open.pop() {
            self.close_state(at, now);
        }
    }

    fn close_state_of(&mut self, asset: AssetKey, now: Instant) {
        if let Some(at) = self.tokens.find(asset) {
            self.close_state(at, now);
        }
    }

    /// Tells a state of the venue, if one is open.
    fn close_state(&mut self, at: u32, now: Instant) {
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        let about = (at, token.key);
        let Token {
            stage,
            views,
            watchers,
            info,
            ..
        } = token;
        let Stage::Kept(kept) = stage else { return };
        let Some(open) = kept.open.take() else { return };
        for view in views {
            let (id, depth) = (view.id, view.mode.depth);
            if view.mode.interval.is_some() {
                view.states += 1;
                if !std::mem::replace(&mut view.is_due, true) {
                    self.ticks[usize::from(id.0)].due.push(at);
                }
                continue;
            }
            if let Some(step) = view.step(kept, Some(&open.changes)) {
                let event = compose::delta(info, kept, step, depth, None, &self.anchor);
                let kind = Kind::Book(id);
                self.out.publish(about, watchers, kind, event, now);
            }
            if let Some(top) = view.new_top(kept) {
                let event = compose::top(info, kept, top, None, &self.anchor);
                self.out.publish(about, watchers, Kind::Top(id), event, now);
            }
        }
    }

    /// Tells the latest state of a token to those who want it at intervals.
    pub(super) fn tell_latest(&mut self, at: u32, id: ModeId, now: Instant) {
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        let about = (at, token.key);
        let Token {
            stage,
            views,
            watchers,
            info,
            ..
        } = token;
        let Some(view) = views.iter_mut().find(|view| view.id == id && view.is_due) else {
            return;
        };
        let Stage::Kept(kept) = stage else {
            // Told when it is there again.
            self.ticks[usize::from(id.0)].due.push(at);
            return;
        };
        view.is_due = false;
        let states = std::mem::take(&mut view.states);
        if let Some(step) = view.step(kept, None) {
            let depth = view.mode.depth;
            let conflated = step.conflated(states, depth);
            let event = compose::delta(info, kept, step, depth, conflated, &self.anchor);
            let kind = Kind::Book(id);
            self.out.publish(about, watchers, kind, event, now);
        }
        if let Some(top) = view.new_top(kept) {
            let conflated = (states > 1).then_some(Conflated::Interval);
            let event = compose::top(info, kept, top, conflated, &self.anchor);
            self.out.publish(about, watchers, Kind::Top(id), event, now);
        }
    }

    fn take_whole(&mut self, whole: WholeBook, now: Instant) {
        let Some(at) = self.tokens.find(whole.info.key) else {
            return;
        };
        self.close_state(at, now);
        let position = self.place_for(at);
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        match token.take_whole(whole, position) {
            Replaced::Nothing
            | Replaced::Continued {
                has_new_status: false,
            } => {}
            Replaced::Continued {
                has_new_status: true,
            } => self.tell_status(at, now),
            Replaced::First { was_told: false } => {
                // Everybody's opening is owed yet.
                if let Stage::Kept(kept) = &token.stage {
                    token.views.iter_mut().for_each(|view| view.restart(kept));
                }
            }
            Replaced::First { was_told: true } => self.tell_whole(at, Cause::First, now),
            Replaced::Mended {
                is_same_epoch: true,
            } => self.tell_whole(at, Cause::Gap, now),
            Replaced::Mended {
                is_same_epoch: false,
            } => self.tell_whole(at, Cause::Epoch, now),
            Replaced::Gap { had, reason } => {
                let Stage::Kept(kept) = &token.stage else {
                    return;
                };
                let cause = if had.epoch == kept.epoch {
                    Cause::Gap
                } else {
                    Cause::Epoch
                };
                let (info, had) = (&token.info, Some(&*had));
                self.out.numbers.count_gap(reason);
                let about = (at, token.key);
                for of_books in [true, false] {
                    let kept = token.kept();
                    let gap = compose::gap(info, had, kept, reason, of_books, &self.anchor);
                    let kind = Kind::Gap { of_books };
                    self.out.publish(about, &token.watchers, kind, gap, now);
                }
                self.tell_whole(at, cause, now);
            }
        }
    }

    /// The place from which on everything of a token is published, if it begins now: behind
    /// each cursor that was given before, since none of those vouches for the token.
    fn place_for(&mut self, at: u32) -> u64 {
        let token = self.tokens.get(at);
        if token.is_some_and(|token| token.since.is_none()) {
            self.out.position += 1;
        }
        self.out.position
    }

    /// Something of a book is lost, be it only a trade. Says so, and has it read again.
    fn lose(&mut self, at: u32, reason: GapReason, now: Instant) {
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        // Of what nobody was told of nothing can be missing.
        if token.since.is_some() && !matches!(token.stage, Stage::Gone) {
            let had = match &token.stage {
                Stage::Kept(had) | Stage::Awaited { had: Some(had) } => Some(&**had),
                _ => None,
            };
            self.out.numbers.count_gap(reason);
            let (about, info) = ((at, token.key), &token.info);
            for of_books in [true, false] {
                let gap = compose::gap(info, had, None, reason, of_books, &self.anchor);
                let kind = Kind::Gap { of_books };
                self.out.publish(about, &token.watchers, kind, gap, now);
            }
        }
        token.await_whole();
        self.tokens.queue(at);
    }

    /// Tells a whole book to everybody.
    fn tell_whole(&mut self, at: u32, cause: Cause, now: Instant) {
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        let about = (at, token.key);
        let Token {
            stage,
            views,
            watchers,
            info,
            ..
        } = token;
        let Stage::Kept(kept) = stage else { return };
        for view in views {
            view.restart(kept);
            if view.book_since.is_some() {
                let event = compose::snapshot(info, kept, view, cause, &self.anchor);
                let kind = Kind::Book(view.id);
                self.out.publish(about, watchers, kind, event, now);
            }
            if view.top_since.is_some() {
                let top = ToldTop::of(kept);
                let event = compose::top(info, kept, top, None, &self.anchor);
                let kind = Kind::Top(view.id);
                self.out.publish(about, watchers, kind, event, now);
            }
        }
        self.tell_status(at, now);
    }

    pub(super) fn take_status(&mut self, at: u32, status: BookStatus, now: Instant) {
        let position = self.place_for(at);
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        let news = token.take_status(status, position);
        if news.tick_size {
            self.tell_tick_size(at, &status, now);
        }
        if news.status {
            self.tell_status(at, now);
        }
    }

    /// Tells how far a book can be trusted.
    fn tell_status(&mut self, at: u32, now: Instant) {
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        let (status, place) = match &token.stage {
            Stage::Kept(kept) => (kept.status, (kept.epoch, kept.sequence)),
            Stage::Pending(status) => (*status, (0, 0)),
            Stage::Awaited { .. } | Stage::Gone => return,
        };
        if status.state == BookState::Settled
            && token.info.winner.is_none()
            && let Some(info) = self.asked.catalogue.token(token.key)
        {
            token.info = Arc::new(info);
        }
        let about = (at, token.key);
        let Token {
            stage,
            views,
            watchers,
            info,
            ..
        } = token;
        let event = compose::state(info, &status, place, &self.anchor);
        self.out.publish(about, watchers, Kind::State, event, now);
        let Stage::Kept(kept) = stage else { return };
        // The state is a part of the top.
        for view in views {
            let id = view.id;
            if view.mode.interval.is_some() {
                if !std::mem::replace(&mut view.is_due, true) {
                    self.ticks[usize::from(id.0)].due.push(at);
                }
            } else if let Some(top) = view.new_top(kept) {
                let event = compose::top(info, kept, top, None, &self.anchor);
                self.out.publish(about, watchers, Kind::Top(id), event, now);
            }
        }
    }

    fn tell_tick_size(&mut self, at: u32, status: &BookStatus, now: Instant) {
        let Some(token) = self.tokens.get(at) else {
            return;
        };
        let Some(market) = self.asked.catalogue.market(token.key) else {
            return;
        };
        let event = compose::tick_size(&token.info, &market, status, self.anchor.micros(now));
        let watchers = token.watchers.iter();
        let wanting = watchers.filter(|watcher| watcher.wants(Kind::Market));
        let clients: Vec<_> = wanting.map(|watcher| watcher.client).collect();
        self.out.publish_market(&clients, &[token.key], event, now);
    }

    fn take_trade(&mut self, trade: &TradeKept, now: Instant) {
        let Some(at) = self.tokens.find(trade.asset) else {
            return;
        };
        // The trade stands behind the levels that came before it.
        self.close_state(at, now);
        let Some(token) = self.tokens.get(at) else {
            return;
        };
        if token.since.is_some() {
            let event = compose::trade(&token.info, trade, &self.anchor);
            let about = (at, token.key);
            self.out
                .publish(about, &token.watchers, Kind::Trade, event, now);
        }
    }

    fn take_end(&mut self, asset: AssetKey, now: Instant) {
        let Some(at) = self.tokens.find(asset) else {
            return;
        };
        self.close_state(at, now);
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        if matches!(token.stage, Stage::Gone) {
            return;
        }
        let kept = token.forget(now);
        let about = (at, token.key);
        let event = compose::forgotten(&token.info, kept.as_deref(), now, &self.anchor);
        self.out
            .publish(about, &token.watchers, Kind::State, event, now);
    }

    /// The lane lacks something: its books are read again.
    pub(super) fn follow_again(&mut self, lane: Lane, reason: GapReason, now: Instant) {
        self.close_states(now);
        let tokens = self.tokens.iter();
        let its = tokens.filter(|(_, token)| token.lane == lane && token.follow != Follow::No);
        let its: Vec<_> = its.map(|(at, _)| at).collect();
        for at in its {
            self.lose(at, reason, now);
        }
    }

    /// The worker of a lane does not run: its books are stale.
    pub(super) fn say_worker_died(&mut self, lane: Lane, now: Instant) {
        let tokens = self.tokens.iter();
        let its = tokens.filter(|(_, token)| token.lane == lane);
        let its: Vec<_> = its
            .filter_map(|(at, token)| Some((at, token.kept()?.status)))
            .filter(|(_, status)| status.state != BookState::Settled)
            .collect();
        for (at, mut status) in its {
            if !matches!(status.state, BookState::Stale(_)) {
                status.since = now;
            }
            status.state = BookState::Stale(StaleReason::WorkerDied);
            self.take_status(at, status, now);
        }
    }
}
