//! A token as the hub knows it: its book's copy, and who wants what of it.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{
    AssetKey, BookHash, BookState, BookStatus, Lane, LevelChange, LevelSet, OrderBook, StaleReason,
    Timestamp, TokenInfo, WholeBook,
};

use super::view::View;
use crate::filter::{Channel, Channels, Mode};
use crate::message::GapReason;

/// One of the modes that are in use, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ModeId(pub(super) u8);

/// Who has to get a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Snapshots and deltas as one mode shows them.
    Book(ModeId),
    /// Tops of one mode.
    Top(ModeId),
    Trade,
    State,
    /// A gap of the token, for those who get its book, or for the others.
    Gap {
        of_books: bool,
    },
    Market,
}

/// A client that wants something of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watcher {
    pub(super) client: u32,
    pub(super) mode: ModeId,
    pub(super) channels: Channels,
}

impl Watcher {
    /// Whether a message of this kind is for it.
    pub(super) fn wants(&self, kind: Kind) -> bool {
        let has = |channel| self.channels.has(channel);
        match kind {
            Kind::Book(mode) => self.mode == mode && has(Channel::Book),
            Kind::Top(mode) => self.mode == mode && has(Channel::Top),
            Kind::Trade => has(Channel::Trade),
            // A book without its state would be a lie: a stale one looks like any other.
            Kind::State => has(Channel::State) || has(Channel::Book),
            // Trades may be missing, too, and no number says so where they reached nobody.
            Kind::Gap { of_books: true } => has(Channel::Book),
            Kind::Gap { of_books: false } => {
                !has(Channel::Book) && (has(Channel::Top) || has(Channel::Trade))
            }
            Kind::Market => has(Channel::Market),
        }
    }
}

/// How far the hub is with a token.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its book is awaited. What was told of it before, if anything was, is known to
    /// lack something, and that was said.
    Awaited { had: Option<Box<Kept>> },
    /// It has no levels yet.
    Pending(BookStatus),
    /// This is its book.
    Kept(Box<Kept>),
    /// It is forgotten.
    Gone,
}

impl Stage {
    /// How far to trust the book, and the book's epoch and sequence.
    pub(super) fn status(&self) -> Option<(BookStatus, (u64, u64))> {
        match self {
            Self::Kept(kept) => Some((kept.status, (kept.epoch, kept.sequence))),
            Self::Pending(status) => Some((*status, (0, 0))),
            Self::Awaited { .. } | Self::Gone => None,
        }
    }
}

/// The copy of a book.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) book: OrderBook,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) status: BookStatus,
    /// Known of whole books alone: changes come without.
    pub(super) hash: Option<BookHash>,
    pub(super) at: Timestamp,
    pub(super) received: Instant,
    /// The levels of a state of the venue that is not complete yet.
    pub(super) open: Option<OpenState>,
}

/// A state of the venue, as far as it has come.
#[derive(Debug)]
pub(super) struct OpenState {
    pub(super) at: Timestamp,
    pub(super) changes: Vec<LevelChange>,
}

impl Kept {
    fn new(whole: WholeBook) -> Self {
        Self {
            book: whole.book,
            epoch: whole.position.epoch,
            sequence: whole.position.sequence,
            status: whole.status,
            hash: whole.hash,
            at: whole.at,
            received: whole.received,
            open: None,
        }
    }

    /// Sets a level, as a part of the state that is open; opens one if none is.
    pub(super) fn set(&mut self, set: &LevelSet) {
        let open = self.open.get_or_insert_with(|| OpenState {
            at: set.at,
            changes: Vec::new(),
        });
        open.changes.push(set.level);
        let level = set.level;
        self.book.apply_change(level.side, level.price, level.size);
        self.sequence = set.sequence;
        self.hash = None;
        self.at = set.at;
        self.received = set.received;
    }
}

/// What a whole book changed.
#[derive(Debug)]
pub(super) enum Replaced {
    /// There was no book before; `was_told`: and that was said.
    First { was_told: bool },
    /// What was told goes on; whether under another status.
    Continued { has_new_status: bool },
    /// Something was missing, and that was said.
    Mended { is_same_epoch: bool },
    /// Something is missing between what was told and this book.
    Gap { had: Box<Kept>, reason: GapReason },
    /// It is of a token that is forgotten.
    Nothing,
}

/// Whether readers see another answer to how far a book can be trusted.
fn is_another(old: &BookStatus, new: &BookStatus) -> bool {
    (old.state, old.verified) != (new.state, new.verified)
}

/// What of a status is new.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct News {
    pub(super) status: bool,
    pub(super) tick_size: bool,
}

/// Whether the workers write the token's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    No,
    /// It is the next one's turn.
    Queued,
    Yes,
}

/// A token.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) key: AssetKey,
    pub(super) info: Arc<TokenInfo>,
    pub(super) lane: Lane,
    pub(super) stage: Stage,
    pub(super) follow: Follow,
    /// At which place somebody first wanted it, since nobody did.
    pub(super) wanted_since: u64,
    /// From which place on everything of it was published; `None` before.
    pub(super) since: Option<u64>,
    /// Why its book was stale last.
    pub(super) last_stale: Option<StaleReason>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) views: Vec<View>,
    /// Since when nobody wants it, or it is forgotten.
    pub(super) idle_since: Option<Instant>,
}

impl Token {
    pub(super) fn new(info: TokenInfo, lane: Lane, place: u64) -> Self {
        Self {
            key: info.info.key,
            info: Arc::new(info),
            lane,
            stage: Stage::Awaited { had: None },
            follow: Follow::No,
            wanted_since: place,
            since: None,
            last_stale: None,
            watchers: Vec::new(),
            views: Vec::new(),
            idle_since: None,
        }
    }

    /// Its book, if there is one that is not in question.
    pub(super) fn kept(&self) -> Option<&Kept> {
        match &self.stage {
            Stage::Kept(kept) => Some(kept),
            _ => None,
        }
    }

    /// Whether there is something to open with.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.stage, Stage::Awaited { .. })
    }

    /// What is there lacks something: nothing counts until the whole book comes.
    pub(super) fn await_whole(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Gone);
        self.stage = match stage {
            Stage::Kept(kept) => Stage::Awaited { had: Some(kept) },
            Stage::Pending(_) => Stage::Awaited { had: None },
            stage @ (Stage::Awaited { .. } | Stage::Gone) => stage,
        };
    }

    /// The whole book, as it is now.
    pub(super) fn take_whole(&mut self, whole: WholeBook, position: u64) -> Replaced {
        let stage = std::mem::replace(&mut self.stage, Stage::Gone);
        let was_told = self.since.is_some();
        let kept = Box::new(Kept::new(whole));
        let is_same_epoch = |had: &Kept| had.epoch == kept.epoch;
        let replaced = match stage {
            Stage::Gone => return Replaced::Nothing,
            Stage::Pending(_) | Stage::Awaited { had: None } => Replaced::First { was_told },
            Stage::Awaited { had: Some(had) } => Replaced::Mended {
                is_same_epoch: is_same_epoch(&had),
            },
            Stage::Kept(had) if is_same_epoch(&had) && had.sequence == kept.sequence => {
                let has_new_status = is_another(&had.status, &kept.status);
                Replaced::Continued { has_new_status }
            }
            Stage::Kept(had) => {
                // Within an epoch nothing but we can have lost it.
                let reason = match self.last_stale {
                    Some(stale) if !is_same_epoch(&had) => GapReason::Stale(stale),
                    _ => GapReason::Internal,
                };
                Replaced::Gap { had, reason }
            }
        };
        self.since.get_or_insert(position);
        self.note_status(&kept.status);
        self.stage = Stage::Kept(kept);
        replaced
    }

    /// A status without levels: of a book that has none yet, or of one that is there.
    pub(super) fn take_status(&mut self, status: BookStatus, position: u64) -> News {
        let is_pending = status.state == BookState::Pending;
        self.note_status(&status);
        match &mut self.stage {
            Stage::Kept(kept) => {
                let old = std::mem::replace(&mut kept.status, status);
                News {
                    status: is_another(&old, &status),
                    tick_size: old.tick_size != status.tick_size,
                }
            }
            Stage::Pending(old) => News {
                status: std::mem::replace(old, status).state != status.state,
                ..News::default()
            },
            Stage::Awaited { had: None } if is_pending => {
                let was_told = self.since.is_some();
                self.stage = Stage::Pending(status);
                self.since.get_or_insert(position);
                News {
                    status: was_told,
                    tick_size: false,
                }
            }
            Stage::Awaited { .. } | Stage::Gone => News::default(),
        }
    }

    /// It is forgotten; its last book, if there was one.
    pub(super) fn forget(&mut self, now: Instant) -> Option<Box<Kept>> {
        self.idle_since = Some(now);
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Kept(kept) => Some(kept),
            Stage::Awaited { had } => had,
            Stage::Pending(_) | Stage::Gone => None,
        }
    }

    fn note_status(&mut self, status: &BookStatus) {
        if let BookState::Stale(reason) = status.state {
            self.last_stale = Some(reason);
        }
    }

    pub(super) fn watcher(&self, client: u32) -> Option<&Watcher> {
        self.watchers
            .iter()
            .find(|watcher| watcher.client == client)
    }

    /// From now on the client wants these channels of it, and no others; none at all
    /// ends it.
    pub(super) fn set_watcher(&mut self, watcher: Watcher) {
        let at = |known: &Watcher| known.client == watcher.client;
        match self.watchers.iter().position(at) {
            Some(at) if watcher.channels.is_empty() => {
                self.watchers.swap_remove(at);
            }
            Some(at) => self.watchers[at] = watcher,
            None if watcher.channels.is_empty() => {}
            None => self.watchers.push(watcher),
        }
    }

    /// Makes the views that the watchers need, and notes which of them nobody needs any
    /// more.
    pub(super) fn arrange_views(
        &mut self,
        position: u64,
        now: Instant,
        mode_of: impl Fn(ModeId) -> Mode,
    ) {
        for watcher in &self.watchers {
            let wants = |channel| watcher.channels.has(channel);
            let (book, top) = (wants(Channel::Book), wants(Channel::Top));
            if !book && !top {
                continue;
            }
            let known = self.views.iter().position(|view| view.id == watcher.mode);
            let at = known.unwrap_or_else(|| {
                let view = View::new(watcher.mode, mode_of(watcher.mode));
                self.views.push(view);
                self.views.len() - 1
            });
            let kept = match &self.stage {
                Stage::Kept(kept) => Some(&**kept),
                _ => None,
            };
            self.views[at].begin(book, top, kept, position);
        }
        let watchers = &self.watchers;
        for view in &mut self.views {
            let is_wanted = watchers.iter().any(|watcher| watcher.mode == view.id);
            view.idle_since = match view.idle_since {
                _ if is_wanted => None,
                None => Some(now),
                since => since,
            };
        }
        self.views
            .retain(|view| view.idle_since.is_none() || view.mode.interval.is_none());
    }
}
