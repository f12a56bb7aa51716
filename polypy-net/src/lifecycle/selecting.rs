//! Which of the listed markets are followed: where that is decided, and done.
//!
//! [`Selecting`] keeps what the venue lists as open, followed or not, and the [`Choice`]
//! that says which of it to follow. Verdict and effect are one act under its lock
//! ([`Held`]): a market is taken in, ended, released, forgotten or taken back by nobody
//! else, so that no two tasks can contradict each other.
//!
//! | a market | becomes | by |
//! |---|---|---|
//! | listed, wanted | followed | [`Held::take_in`], [`Held::settle`] |
//! | followed, wanted no longer | released, and forgotten in the same act | [`Held::settle`] |
//! | followed | ended | [`Held::expire`] |
//! | ended | forgotten, after a while | [`Held::forget`] |
//! | ended, and listed again | forgotten, and followed if it is wanted | [`Held::take_back`] |
//!
//! A released market needs no state in between: its keys name nothing from then on,
//! connections pass on nothing that they do not carry, and workers let nothing of a
//! forgotten key in.
//!
//! Lock order: this, the registry's tables, the interner. Nothing here waits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use polypy_core::{
    AssetId, AssetKey, Cents, ConditionId, Figures, Listed, Market, MarketChange, NotFollowed,
    StaleReason, Tag,
};

use super::{EndReason, Shared, stats};

/// Markets that are kept in mind at most: ten times what the venue lists.
const MAX_LISTED: usize = 500_000;
/// Complete listings in a row that must lack a market that is not followed before it
/// is dropped: rows shift between pages while a listing is walked.
const MISSES: u8 = 2;

/// What the venue says of a market that it lists as open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The market.
    pub market: Arc<Market>,
    /// What is counted of it.
    pub figures: Figures,
    /// Its tags; `None` as long as the venue has not said.
    pub tags: Option<Arc<[Tag]>>,
}

/// How far ahead a market is among those that want a seat: the larger the sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u64);

/// What a [`Choice`] says of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is to be followed.
    Wanted,
    /// It is to be followed if it is among the first, of which there are
    /// [`Choice::seats`].
    NeedsSeat(Rank),
    /// It is not to be followed, for this reason.
    Unwanted(NotFollowed),
}

/// Says which markets are followed. Answers at once, and the same to the same question.
pub trait Choice: fmt::Debug + Send + Sync {
    /// Whether a market is to be followed, and whether it is now.
    fn judge(&self, known: &Known, is_followed: bool) -> Judgement;

    /// How many of those that need a seat are followed at most; `None`: none needs one.
    fn seats(&self) -> Option<usize>;
}

/// All markets, or the most traded of the day.
#[derive(Debug, Clone, Copy)]
pub(super) struct MostTraded {
    /// How many at most.
    pub(super) most: Option<usize>,
}

impl Choice for MostTraded {
    fn judge(&self, known: &Known, _is_followed: bool) -> Judgement {
        match self.most {
            None => Judgement::Wanted,
            Some(_) => {
                let traded = known.figures.volume_day.map_or(0, Cents::get);
                Judgement::NeedsSeat(Rank(traded))
            }
        }
    }

    fn seats(&self) -> Option<usize> {
        self.most
    }
}

/// What is listed, and what is chosen of it.
#[derive(Debug)]
pub(super) struct Selecting {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    choice: Arc<dyn Choice>,
    /// How many choices there were.
    generation: u64,
    listed: HashMap<ConditionId, Entry>,
    /// Those followed that needed a seat.
    seated: HashSet<ConditionId>,
    /// Markets of which verdict and effect may differ.
    unsettled: VecDeque<ConditionId>,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    /// Complete listings in a row that lacked it.
    misses: u8,
}

/// What the choice comes to, computed from what was listed at a moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Who has a seat.
    seated: HashSet<ConditionId>,
    /// Markets looked at.
    pub(super) listed: usize,
    /// Those that are followed by it.
    pub(super) followed: usize,
    /// Those of them that are not followed yet.
    pub(super) added: usize,
    /// Those that are followed and will not be.
    pub(super) released: usize,
}

/// A plan under way: markets are looked at one by one, with pauses where others run.
#[derive(Debug)]
pub(super) struct Planning {
    choice: Arc<dyn Choice>,
    plan: Plan,
    /// Those that need a seat: rank, whether it stays rather than another of the same
    /// rank, and whether it is followed.
    ranked: Vec<(Rank, bool, ConditionId, bool)>,
    /// Those that sit do not get up for others.
    keeps_seats: bool,
}

/// Where a market stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    NotFollowed,
    Followed,
    /// Followed until it ended, and not forgotten yet.
    Ended,
}

impl Selecting {
    pub(super) fn new(choice: Arc<dyn Choice>) -> Self {
        Self {
            state: Mutex::new(State {
                choice,
                generation: 0,
                listed: HashMap::new(),
                seated: HashSet::new(),
                unsettled: VecDeque::new(),
            }),
        }
    }

    /// The choice, and which one it is.
    pub(super) fn choice(&self) -> (Arc<dyn Choice>, u64) {
        let state = self.state.lock();
        (Arc::clone(&state.choice), state.generation)
    }

    /// Markets kept in mind.
    pub(super) fn listed(&self) -> usize {
        self.state.lock().listed.len()
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_settled(&self) -> bool {
        self.state.lock().unsettled.is_empty()
    }

    /// Whether a market is listed, as far as is known.
    pub(super) fn knows(&self, condition: &ConditionId) -> bool {
        self.state.lock().listed.contains_key(condition)
    }

    /// All that is listed.
    pub(super) fn snapshot(&self) -> Vec<Known> {
        let state = self.state.lock();
        let entries = state.listed.values();
        entries.map(|entry| entry.known.clone()).collect()
    }
}

impl Planning {
    /// Of a choice that replaces another, or of one that goes on: then `keeps_seats`.
    pub(super) fn new(choice: Arc<dyn Choice>, keeps_seats: bool) -> Self {
        Self {
            choice,
            plan: Plan::default(),
            ranked: Vec::new(),
            keeps_seats,
        }
    }

    /// Looks at some markets.
    pub(super) fn look(&mut self, markets: &[Known], shared: &Shared) {
        for known in markets {
            let condition = &known.market.condition_id;
            let standing = shared.standing(condition);
            self.plan.listed += 1;
            if standing == Standing::Ended {
                continue;
            }
            let is_followed = standing == Standing::Followed;
            match self.choice.judge(known, is_followed) {
                Judgement::Wanted => self.plan.count(is_followed, true),
                Judgement::Unwanted(_) => self.plan.count(is_followed, false),
                Judgement::NeedsSeat(rank) => {
                    self.ranked
                        .push((rank, is_followed, condition.clone(), is_followed));
                }
            }
        }
    }

    /// What it comes to.
    pub(super) fn done(self) -> Plan {
        let Self {
            choice,
            mut plan,
            mut ranked,
            keeps_seats,
        } = self;
        ranked.sort_unstable_by(|(rank, stays, condition, _), (other, others, next, _)| {
            let order = if keeps_seats {
                (stays, rank).cmp(&(others, other))
            } else {
                (rank, stays).cmp(&(other, others))
            };
            order.reverse().then_with(|| condition.cmp(next))
        });
        let seats = choice.seats().unwrap_or(0);
        for (place, (_, _, condition, is_followed)) in ranked.into_iter().enumerate() {
            let sits = place < seats;
            plan.count(is_followed, sits);
            if sits {
                plan.seated.insert(condition);
            }
        }
        plan
    }
}

impl Plan {
    fn count(&mut self, is_followed: bool, is_wanted: bool) {
        self.followed += usize::from(is_wanted);
        self.added += usize::from(is_wanted && !is_followed);
        self.released += usize::from(!is_wanted && is_followed);
    }
}

impl State {
    /// Takes in what a row says. `false`: there are too many markets.
    fn learn(&mut self, market: &Arc<Market>, figures: Figures, tags: Option<Vec<Tag>>) -> bool {
        let condition = &market.condition_id;
        let tags: Option<Arc<[Tag]>> = tags.map(Into::into);
        if let Some(entry) = self.listed.get_mut(condition) {
            let known = &mut entry.known;
            known.figures = figures.or(known.figures);
            // Not every answer states them.
            known.tags = tags.or_else(|| known.tags.take());
            known.market = Arc::clone(market);
            entry.misses = 0;
            return true;
        }
        if self.listed.len() >= MAX_LISTED {
            return false;
        }
        let known = Known {
            market: Arc::clone(market),
            figures,
            tags,
        };
        let entry = Entry { known, misses: 0 };
        self.listed.insert(condition.clone(), entry);
        true
    }

    /// Whether a market is to be followed; a free seat is taken for it.
    fn wants(&mut self, condition: &ConditionId, is_followed: bool) -> bool {
        let Some(entry) = self.listed.get(condition) else {
            return false;
        };
        match self.choice.judge(&entry.known, is_followed) {
            Judgement::Wanted => true,
            Judgement::Unwanted(_) => false,
            Judgement::NeedsSeat(_) if self.seated.contains(condition) => true,
            Judgement::NeedsSeat(_) if self.is_full() => false,
            Judgement::NeedsSeat(_) => {
                self.seated.insert(condition.clone());
                true
            }
        }
    }

    fn is_full(&self) -> bool {
        let seats = self.choice.seats();
        seats.is_some_and(|seats| self.seated.len() >= seats)
    }
}

/// The right to change what is followed, while it is held.
pub(super) struct Held<'a> {
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
}

impl Shared {
    /// Waits for nobody but another that holds it.
    pub(super) fn hold(&self) -> Held<'_> {
        Held {
            shared: self,
            state: self.selecting.state.lock(),
        }
    }

    fn standing(&self, condition: &ConditionId) -> Standing {
        if self.registry.is_live(condition) {
            Standing::Followed
        } else if self.registry.market(condition).is_some() {
            Standing::Ended
        } else {
            Standing::NotFollowed
        }
    }

    /// With none of the registry's locks held: who is told may ask there.
    fn tell(&self, change: Option<MarketChange>) {
        if let (Some(told), Some(change)) = (&self.told, change) {
            told.changed(change);
        }
    }

    fn tell_forgotten(&self, market: Option<Arc<Market>>, keys: Vec<AssetKey>) {
        self.tell(market.map(|market| MarketChange::Forgotten { market, keys }));
    }
}

impl Held<'_> {
    /// Takes in what a row says of an open market. Whether it is followed now and was
    /// not.
    pub(super) fn take_in(&mut self, listed: Listed) -> bool {
        let Listed {
            market,
            figures,
            tags,
        } = listed;
        let condition = market.condition_id.clone();
        let has_vanished = self.shared.delistings.has_vanished(&condition);
        let standing = self.shared.standing(&condition);
        if standing != Standing::NotFollowed && !has_vanished {
            let is_added = self.upsert(market);
            // As it stands there: both share it.
            if let Some(market) = self.shared.registry.market(&condition) {
                self.learn(&market, figures, tags);
            }
            return is_added;
        }
        let market = Arc::new(market);
        self.learn(&market, figures, tags);
        let is_wanted = self.state.wants(&condition, false);
        if is_wanted && has_vanished {
            self.bring_back(&condition);
        }
        is_wanted && self.follow(&condition)
    }

    /// A market that vanished is listed again.
    fn bring_back(&mut self, condition: &ConditionId) {
        let entry = self.state.listed.remove(condition);
        self.shared.delistings.forget(condition);
        self.take_back(condition);
        // What is known of it stays, and so does the seat that it was given.
        if let Some(entry) = entry {
            self.state.listed.insert(condition.clone(), entry);
        }
        self.state.wants(condition, false);
    }

    fn learn(&mut self, market: &Arc<Market>, figures: Figures, tags: Option<Vec<Tag>>) {
        if !self.state.learn(market, figures, tags) {
            stats::count(&self.shared.stats.listings_refused);
        }
    }

    /// Follows a listed market. Whether it was not before.
    fn follow(&mut self, condition: &ConditionId) -> bool {
        let Some(entry) = self.state.listed.get(condition) else {
            return false;
        };
        let market = Market::clone(&entry.known.market);
        let is_added = self.upsert(market);
        if let Some(entry) = self.state.listed.get_mut(condition)
            && let Some(market) = self.shared.registry.market(condition)
        {
            entry.known.market = market;
        }
        is_added
    }

    fn upsert(&self, market: Market) -> bool {
        let shared = self.shared;
        let condition = market.condition_id.clone();
        let upserted = shared.registry.upsert(market);
        // Before their new keys have a connection.
        shared.books.forget(&upserted.forgotten);
        let has_new_keys = !upserted.forgotten.is_empty();
        if upserted.added || has_new_keys {
            let market = shared.registry.market(&condition);
            if has_new_keys {
                shared.tell_forgotten(market.clone(), upserted.forgotten);
            }
            shared.tell(market.map(MarketChange::New));
        }
        if upserted.added {
            stats::count(&shared.stats.markets_added);
        }
        upserted.added
    }

    /// Lets go of a market that trades and that nobody wants here any more. Its books go
    /// first: none is shown as live that is not fed.
    fn release(&mut self, condition: &ConditionId) {
        let shared = self.shared;
        let Some(market) = shared.registry.market(condition) else {
            return;
        };
        let reason = "released";
        shared.tell(Some(MarketChange::Ended {
            market: Arc::clone(&market),
            reason,
        }));
        let assets = shared.registry.assets_of(condition);
        // Said first: who asks for it by name at this moment finds either it or the word.
        shared.tell_forgotten(Some(market), assets.clone());
        shared.books.forget(&assets);
        shared.registry.forget(condition);
        shared.delistings.known([condition]);
        self.state.seated.remove(condition);
        stats::count(&shared.stats.released);
        tracing::debug!(%condition, "market released");
    }

    /// Ends a market. Whether it was live.
    pub(super) fn expire(&mut self, condition: &ConditionId, reason: EndReason) -> bool {
        let shared = self.shared;
        if !shared.registry.is_live(condition) {
            return false;
        }
        let assets = shared.registry.expire(condition);
        match reason {
            EndReason::Resolved | EndReason::Closed => shared.books.settle(&assets),
            // Nobody said that it is settled.
            EndReason::Vanished => shared.books.mark_stale(&assets, StaleReason::Silent),
        }
        self.state.seated.remove(condition);
        shared
            .retention
            .retain(condition.clone(), shared.config.forget_after);
        stats::count(match reason {
            EndReason::Resolved => &shared.stats.expired_resolved,
            EndReason::Closed => &shared.stats.expired_closed,
            EndReason::Vanished => &shared.stats.expired_unknown,
        });
        tracing::debug!(%condition, reason = reason.name(), "market ended");
        let winner = shared.registry.winner(condition);
        shared.tell(shared.registry.market(condition).map(|market| {
            if reason == EndReason::Resolved || winner.is_some() {
                let at = None;
                MarketChange::Resolved { market, winner, at }
            } else {
                let reason = reason.name();
                MarketChange::Ended { market, reason }
            }
        }));
        true
    }

    /// Ends a market that was resolved, with the token that won if that was said. Whether
    /// it was live.
    pub(super) fn resolve(&mut self, condition: &ConditionId, winner: Option<&AssetId>) -> bool {
        // First: readers who see that it is settled are to see who won.
        if let Some(winner) = winner
            && !self.shared.registry.decide(condition, winner)
        {
            tracing::debug!(%condition, %winner, "the token that won is not the market's");
        }
        self.expire(condition, EndReason::Resolved)
    }

    /// Forgets an ended market here and in the books, and says so.
    pub(super) fn forget(&mut self, condition: &ConditionId) {
        let shared = self.shared;
        // Said first: who asks for it by name at this moment finds either it or the word.
        let market = shared.registry.market(condition);
        shared.tell_forgotten(market, shared.registry.assets_of(condition));
        shared.books.forget(&shared.registry.forget(condition));
        self.state.seated.remove(condition);
        self.state.listed.remove(condition);
    }

    /// Forgets an ended market at once: it comes back as a new one.
    pub(super) fn take_back(&mut self, condition: &ConditionId) {
        self.shared.retention.release(condition);
        self.forget(condition);
        stats::count(&self.shared.stats.returned);
        tracing::info!(%condition, "market is back");
    }

    /// Whether no further market has a seat.
    pub(super) fn is_full(&self) -> bool {
        self.state.is_full()
    }

    /// A complete listing named these: drops what it keeps lacking and nobody follows.
    pub(super) fn drop_unlisted(&mut self, seen: &HashSet<ConditionId>) {
        let shared = self.shared;
        let State { listed, seated, .. } = &mut *self.state;
        listed.retain(|condition, entry| {
            entry.misses = if seen.contains(condition) {
                0
            } else {
                entry.misses.saturating_add(1)
            };
            let is_kept =
                entry.misses < MISSES || shared.standing(condition) != Standing::NotFollowed;
            if !is_kept {
                seated.remove(condition);
            }
            is_kept
        });
    }

    /// Replaces the choice. All that is listed is to be settled by it.
    pub(super) fn choose(&mut self, choice: Arc<dyn Choice>, plan: Plan) -> u64 {
        self.state.choice = choice;
        self.state.generation += 1;
        self.unsettle(plan);
        self.state.generation
    }

    /// All that is listed is to be settled again, with these seats.
    pub(super) fn unsettle(&mut self, plan: Plan) {
        let state = &mut *self.state;
        state.seated = plan.seated;
        // Some have come and gone since the plan was made.
        state
            .seated
            .retain(|condition| state.listed.contains_key(condition));
        state.unsettled = state.listed.keys().cloned().collect();
    }

    /// Brings the next markets, `most` of them, to what is chosen. Whether any was
    /// followed or released.
    pub(super) fn settle(&mut self, most: usize) -> bool {
        let mut is_any = false;
        for _ in 0..most {
            let Some(condition) = self.state.unsettled.pop_front() else {
                break;
            };
            let is_followed = match self.shared.standing(&condition) {
                Standing::Ended => {
                    self.state.seated.remove(&condition);
                    continue;
                }
                Standing::Followed => true,
                Standing::NotFollowed => false,
            };
            let is_wanted = self.state.wants(&condition, is_followed);
            match (is_followed, is_wanted) {
                (true, false) => self.release(&condition),
                (false, true) => {
                    self.follow(&condition);
                }
                (true, true) | (false, false) => continue,
            }
            is_any = true;
        }
        is_any
    }
}
