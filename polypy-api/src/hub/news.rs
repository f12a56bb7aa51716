//! What the workers write, and what becomes of it.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{
    AssetKey, BookChange, BookState, BookStatus, Lane, LevelSet, StaleReason, TradeKept, WholeBook,
};

use super::Hub;
use super::compose;
use super::teller::{Whom, kept_of, whom};
use super::token::{Follow, Kind, ModeId, Replaced, Stage, Token};
use super::view::{ToldTop, View};
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
        let (tokens, mut teller) = self.teller(now);
        let Some((about, kept, views)) = tokens.get_mut(at).and_then(|token| kept_of(at, token))
        else {
            return;
        };
        let Some(open) = kept.open.take() else { return };
        for view in views {
            if view.mode.interval.is_some() {
                view.states += 1;
                teller.note_due(at, view);
                continue;
            }
            if let Some(step) = view.step(kept, Some(&open.changes)) {
                teller.delta(about, kept, view, step, None);
            }
            if let Some(top) = view.new_top(kept) {
                teller.top(about, kept, view.id, top, None);
            }
        }
    }

    /// Tells the latest state of a token to those who want it at intervals.
    pub(super) fn tell_latest(&mut self, at: u32, id: ModeId, now: Instant) {
        let (tokens, mut teller) = self.teller(now);
        let Some(token) = tokens.get_mut(at) else {
            return;
        };
        let is_due = |view: &&mut View| view.id == id && view.is_due;
        let Some((about, kept, views)) = kept_of(at, token) else {
            // Told when it is there again.
            if let Some(view) = token.views.iter_mut().find(is_due) {
                view.is_due = false;
                teller.note_due(at, view);
            }
            return;
        };
        let Some(view) = views.iter_mut().find(is_due) else {
            return;
        };
        view.is_due = false;
        let states = std::mem::take(&mut view.states);
        if let Some(step) = view.step(kept, None) {
            let conflated = step.conflated(states, view.mode.depth);
            teller.delta(about, kept, view, step, conflated);
        }
        if let Some((top, watchers)) = view.due_top(kept, about.watchers) {
            let conflated = (states > 1).then_some(Conflated::Interval);
            let about = Whom {
                watchers: &watchers,
                ..about
            };
            teller.top(about, kept, id, top, conflated);
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
                let (tokens, mut teller) = self.teller(now);
                if let Some(token) = tokens.get(at) {
                    teller.gap(whom(at, token), Some(&*had), token.kept(), reason);
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
        let (tokens, mut teller) = self.teller(now);
        let Some(token) = tokens.get_mut(at) else {
            return;
        };
        // Of what nobody was told of nothing can be missing.
        if token.since.is_some() && !matches!(token.stage, Stage::Gone) {
            let had = match &token.stage {
                Stage::Kept(had) | Stage::Awaited { had: Some(had) } => Some(&**had),
                _ => None,
            };
            teller.gap(whom(at, token), had, None, reason);
        }
        token.await_whole();
        self.tokens.queue(at);
    }

    /// Tells a whole book to everybody.
    fn tell_whole(&mut self, at: u32, cause: Cause, now: Instant) {
        let (tokens, mut teller) = self.teller(now);
        let Some((about, kept, views)) = tokens.get_mut(at).and_then(|token| kept_of(at, token))
        else {
            return;
        };
        for view in views {
            view.restart(kept);
            if view.book_since.is_some() {
                let event = compose::snapshot(about.info, kept, view, cause, teller.anchor);
                teller.publish(about, Kind::Book(view.id), event);
            }
            if view.top_since.is_some() {
                teller.top(about, kept, view.id, ToldTop::of(kept), None);
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
        let Some((status, place)) = token.stage.status() else {
            return;
        };
        if status.state == BookState::Settled
            && token.info.winner.is_none()
            && let Some(info) = self.asked.catalogue.token(token.key)
        {
            token.info = Arc::new(info);
        }
        let (tokens, mut teller) = self.teller(now);
        let Some(token) = tokens.get_mut(at) else {
            return;
        };
        let event = compose::state(&token.info, &status, place, teller.anchor);
        teller.publish(whom(at, token), Kind::State, event);
        let Some((about, kept, views)) = kept_of(at, token) else {
            return;
        };
        // The state is a part of the top.
        for view in views {
            if view.mode.interval.is_some() {
                teller.note_due(at, view);
            } else if let Some(top) = view.new_top(kept) {
                teller.top(about, kept, view.id, top, None);
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
        let watchers: Vec<_> = wanting.copied().collect();
        self.out.publish_market(&watchers, &[token.key], event, now);
    }

    fn take_trade(&mut self, trade: &TradeKept, now: Instant) {
        let Some(at) = self.tokens.find(trade.asset) else {
            return;
        };
        // The trade stands behind the levels that came before it.
        self.close_state(at, now);
        let (tokens, mut teller) = self.teller(now);
        if let Some(token) = tokens.get(at).filter(|token| token.since.is_some()) {
            let event = compose::trade(&token.info, trade, teller.anchor);
            teller.publish(whom(at, token), Kind::Trade, event);
        }
    }

    /// A token is gone.
    pub(super) fn take_end(&mut self, asset: AssetKey, now: Instant) {
        let Some(at) = self.tokens.find(asset) else {
            return;
        };
        self.close_state(at, now);
        let (tokens, mut teller) = self.teller(now);
        let token = tokens.get_mut(at);
        let Some(token) = token.filter(|token| !matches!(token.stage, Stage::Gone)) else {
            return;
        };
        let kept = token.forget(now);
        let event = compose::forgotten(&token.info, kept.as_deref(), now, teller.anchor);
        // By the time at which a client that is behind reads, nothing may be left here of
        // the token: it is told now, and not in the place of the book that it is owed.
        let told = teller.out.release_ends(at, &token.watchers);
        teller.publish(whom(at, token), Kind::State, event);
        for client in told {
            self.opened(client, at);
        }
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
