//! What it takes to tell something of a token, to those whom it concerns.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{AssetKey, TokenInfo};

use super::compose;
use super::publisher::Publisher;
use super::token::{Kept, Kind, ModeId, Stage, Token, Watcher};
use super::tokens::Tokens;
use super::view::{Step, ToldTop, View};
use super::{Hub, Tick};
use crate::anchor::Anchor;
use crate::message::{Conflated, Event, GapReason};

/// Whom something is about, and whom it concerns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whom<'a> {
    pub(super) at: u32,
    pub(super) key: AssetKey,
    pub(super) info: &'a Arc<TokenInfo>,
    pub(super) watchers: &'a [Watcher],
}

pub(super) fn whom(at: u32, token: &Token) -> Whom<'_> {
    Whom {
        at,
        key: token.key,
        info: &token.info,
        watchers: &token.watchers,
    }
}

/// The same with the book that is there, and how it is shown.
pub(super) fn kept_of(at: u32, token: &mut Token) -> Option<(Whom<'_>, &mut Kept, &mut Vec<View>)> {
    let Token {
        key,
        info,
        stage,
        watchers,
        views,
        ..
    } = token;
    let Stage::Kept(kept) = stage else {
        return None;
    };
    let about = Whom {
        at,
        key: *key,
        info,
        watchers,
    };
    Some((about, kept, views))
}

/// Tells something of tokens at a moment.
pub(super) struct Teller<'a> {
    pub(super) out: &'a mut Publisher,
    pub(super) ticks: &'a mut [Tick],
    pub(super) anchor: &'a Anchor,
    pub(super) now: Instant,
}

impl Teller<'_> {
    pub(super) fn publish(&mut self, about: Whom<'_>, kind: Kind, event: Event) {
        let token = (about.at, about.key);
        self.out
            .publish(token, about.watchers, kind, event, self.now);
    }

    pub(super) fn delta(
        &mut self,
        about: Whom<'_>,
        kept: &Kept,
        view: &View,
        step: Step,
        conflated: Option<Conflated>,
    ) {
        let depth = view.mode.depth;
        let event = compose::delta(about.info, kept, step, depth, conflated, self.anchor);
        self.publish(about, Kind::Book(view.id), event);
    }

    pub(super) fn top(
        &mut self,
        about: Whom<'_>,
        kept: &Kept,
        id: ModeId,
        top: ToldTop,
        conflated: Option<Conflated>,
    ) {
        let event = compose::top(about.info, kept, top, conflated, self.anchor);
        self.publish(about, Kind::Top(id), event);
    }

    /// Something is missing between two books, to those who get books and to the others.
    pub(super) fn gap(
        &mut self,
        about: Whom<'_>,
        had: Option<&Kept>,
        kept: Option<&Kept>,
        reason: GapReason,
    ) {
        self.out.numbers.count_gap(reason);
        for of_books in [true, false] {
            let gap = compose::gap(about.info, had, kept, reason, of_books, self.anchor);
            self.publish(about, Kind::Gap { of_books }, gap);
        }
    }

    /// The token is told at the next tick of the view's mode.
    pub(super) fn note_due(&mut self, at: u32, view: &mut View) {
        if !std::mem::replace(&mut view.is_due, true) {
            self.ticks[usize::from(view.id.0)].note(at, self.now);
        }
    }
}

impl Hub {
    /// The tokens, and what it takes to tell something of them.
    pub(super) fn teller(&mut self, now: Instant) -> (&mut Tokens, Teller<'_>) {
        let teller = Teller {
            out: &mut self.out,
            ticks: &mut self.ticks,
            anchor: &self.anchor,
            now,
        };
        (&mut self.tokens, teller)
    }
}
