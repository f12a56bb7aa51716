//! Which of the listed markets are followed: where that is decided, and done.
//!
//! [`Selecting`] keeps the catalogue of what the venue lists as open, followed or not, and
//! the selection that says which of it to follow. Verdict and effect are one act under its
//! lock ([`Held`]): a market is taken in, ended, released, forgotten or taken back by
//! nobody else, so that no two tasks can contradict each other.
//!
//! | a market | becomes | by |
//! |---|---|---|
//! | listed, wanted | followed | [`Held::take_in`], [`Held::settle`] |
//! | followed, wanted no longer | released, and forgotten in the same act | [`Held::settle`] |
//! | followed | ended | [`Held::expire`] |
//! | ended | forgotten, after a while | [`Held::forget`] |
//! | ended, and listed again | forgotten, and judged as a new one | [`Held::take_back`] |
//!
//! A released market needs no state in between: its keys name nothing from then on,
//! connections pass on nothing that they do not carry, and workers let nothing of a
//! forgotten key in.
//!
//! Lock order: this, the registry's tables, the interner. Nothing here waits.

mod source;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use polypy_core::catalogue::{
    CatalogueTable, Judgement, LeftOut, Listed, MarketNumber, MarketStatus, NotFollowed,
    Resolution, ResolutionSource, Round, SeatOrder, SeatRule, SeatTable, Selection, Verdict,
    VerdictCounts,
};
use polypy_core::{AssetId, ConditionId, Market, MarketChange, StaleReason, Timestamp};

use tokio::time::Instant;

use super::lookup::Lookup;
use super::plan::{Due, Plan};
use super::{EndReason, Shared, SocketBudget, stats};

/// Complete listings in a row that must lack a market that is not followed before it
/// is dropped: rows shift between pages while a listing is walked.
const MISSES: u8 = 2;

/// The catalogue, and what is chosen of it.
#[derive(Debug)]
pub(super) struct Selecting {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    table: CatalogueTable,
    selection: Arc<Selection>,
    /// How many changes of it there were.
    generation: u64,
    seats: Option<SeatTable>,
    /// They were given among all that is listed, or there was no such look yet.
    are_ranked: bool,
    /// What has yet to be brought about.
    unsettled: VecDeque<(MarketNumber, Due)>,
    /// Complete listings in a row that lacked a market that is not followed.
    misses: HashMap<MarketNumber, u8>,
}

/// Where a market stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    NotFollowed,
    Followed,
    /// Followed until it ended, and not forgotten yet.
    Ended,
}

fn seats_of(selection: &Selection) -> Option<SeatTable> {
    selection.seats.map(|rule| SeatTable::new(rule.most))
}

impl Selecting {
    pub(super) fn new(selection: Selection) -> Self {
        Self {
            state: Mutex::new(State {
                table: CatalogueTable::default(),
                seats: seats_of(&selection),
                selection: Arc::new(selection),
                generation: 0,
                are_ranked: false,
                unsettled: VecDeque::new(),
                misses: HashMap::new(),
            }),
        }
    }

    /// The selection, and which one it is.
    pub(super) fn selection(&self) -> (Arc<Selection>, u64) {
        let state = self.state.lock();
        (Arc::clone(&state.selection), state.generation)
    }

    /// Markets in the catalogue, and what it left out.
    pub(super) fn size(&self) -> (usize, LeftOut) {
        let state = self.state.lock();
        (state.table.len(), state.table.left_out())
    }

    /// How many open markets are followed or not.
    pub(super) fn counts(&self) -> VerdictCounts {
        self.state.lock().table.counts()
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_settled(&self) -> bool {
        self.state.lock().unsettled.is_empty()
    }

    /// Whether a market is in the catalogue.
    pub(super) fn knows(&self, condition: &ConditionId) -> bool {
        self.state.lock().table.number_of(condition).is_some()
    }

    /// What `selection` would make of what is listed now, as [`Plan::of`] says it. Until
    /// there was a look at the whole listing, seats were given as rows came: it gives them
    /// anew.
    pub(super) async fn plan(
        &self,
        selection: &Selection,
        was: &Selection,
        most_tokens: usize,
        now: Timestamp,
    ) -> Plan {
        let (view, seats, are_ranked) = {
            let mut state = self.state.lock();
            (state.table.view(), state.seats.clone(), state.are_ranked)
        };
        let round = if was.seats == selection.seats && are_ranked {
            Round::Steady
        } else {
            Round::Fresh
        };
        Plan::of(&view, seats, round, (selection, was), most_tokens, now).await
    }
}

impl State {
    /// What is decided of a market that is not followed, where so many more tokens may be; a
    /// free seat is taken for it.
    fn judge(&mut self, number: MarketNumber, room: usize, now: Timestamp) -> Option<Verdict> {
        let found = self.table.get(number)?;
        let judge = self.selection.judge(None, self.table.tags(), now);
        let refusal = match judge.of(found, &mut ()) {
            Judgement::Wanted => None,
            Judgement::Unwanted(reason) => Some(reason),
            Judgement::NeedsSeat(_) => {
                let seats = self.seats.as_mut();
                if seats.is_some_and(|seats| seats.admit(number)) {
                    let condition = &found.entry.market.condition_id;
                    judge.seated(condition, &mut ()).err()
                } else {
                    Some(NotFollowed::Seats)
                }
            }
        };
        let has_room = found.entry.market.tokens.len() <= room;
        let refusal = refusal.or_else(|| (!has_room).then_some(NotFollowed::Sockets));
        Some(refusal.map_or(Verdict::Followed, Verdict::NotFollowed))
    }

    fn free_seat(&mut self, number: MarketNumber) {
        if let Some(seats) = &mut self.seats {
            seats.free(number);
        }
    }

    fn market(&self, number: MarketNumber) -> Option<Arc<Market>> {
        let found = self.table.get(number)?;
        Some(Arc::clone(&found.entry.market))
    }

    fn is_full(&self) -> bool {
        let rule = self.selection.seats;
        let taken = self.seats.as_ref().map_or(0, SeatTable::len);
        rule.is_some_and(|rule| taken >= rule.most.get())
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

    /// Tokens that may be followed, by the connections that there may be.
    pub(super) fn most_tokens(&self) -> usize {
        let sockets = self.config.sockets;
        sockets.map_or(usize::MAX, SocketBudget::most_tokens)
    }

    /// Tokens for which there is room at this moment.
    fn room(&self) -> usize {
        let (pending, subscribed, _) = self.registry.counts();
        self.most_tokens().saturating_sub(pending + subscribed)
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
        if let Some(change) = change {
            for told in &self.told {
                told.changed(change.clone());
            }
        }
    }
}

impl Held<'_> {
    /// Takes in what a row says of an open market. Whether it is followed now and was
    /// not.
    pub(super) fn take_in(&mut self, listed: Listed) -> bool {
        let condition = listed.market.condition_id.clone();
        let Some(taken) = self.state.table.take_in(listed) else {
            return false;
        };
        let number = taken.number;
        let has_vanished = self.shared.delistings.has_vanished(&condition);
        if !has_vanished && self.shared.standing(&condition) != Standing::NotFollowed {
            return self.follow(number);
        }
        if has_vanished {
            // It sits nowhere: it is full for it as for a new one.
            if self.is_full() {
                return false;
            }
            self.shared.delistings.forget(&condition);
            self.take_back(&condition);
        }
        let (room, now) = (self.shared.room(), self.shared.clock.now());
        match self.state.judge(number, room, now) {
            Some(Verdict::Followed) => self.follow(number),
            Some(verdict) => {
                self.state.table.set_verdict(number, verdict, None);
                false
            }
            None => false,
        }
    }

    /// Follows a market, or what has changed about one that is followed. Whether it was
    /// not before.
    fn follow(&mut self, number: MarketNumber) -> bool {
        let shared = self.shared;
        let Some(market) = self.state.market(number) else {
            return false;
        };
        let condition = market.condition_id.clone();
        let upserted = shared.registry.upsert(Arc::clone(&market));
        // Before their new keys have a connection.
        shared.books.forget(&upserted.forgotten);
        let has_new_keys = !upserted.forgotten.is_empty();
        let keys = shared.registry.assets_of(&condition);
        let table = &mut self.state.table;
        table.set_verdict(number, Verdict::Followed, Some(keys.into()));
        if has_new_keys {
            shared.tell(Some(MarketChange::Forgotten {
                market: Arc::clone(&market),
                keys: upserted.forgotten,
            }));
        }
        if upserted.added || has_new_keys {
            shared.tell(Some(MarketChange::New(market)));
        }
        if upserted.added {
            stats::count(&shared.stats.markets_added);
        }
        upserted.added
    }

    /// Has Gamma asked about a market that is followed again and may have ended while it
    /// was not: nothing is announced of what is not followed. Nobody else would ask before
    /// its books have failed to come for a while.
    fn doubt(&self, number: MarketNumber) {
        let Some(market) = self.state.market(number) else {
            return;
        };
        let now = self.shared.clock.now();
        let is_overdue = market.end_timestamp.is_some_and(|end| end <= now);
        if is_overdue || self.state.misses.contains_key(&number) {
            let condition = market.condition_id.clone();
            self.shared.ask(Lookup::IsClosed, condition);
        }
    }

    /// Lets go of a market that trades and that is not wanted any more. Its books go
    /// first: none is shown as live that is not fed.
    fn release(&mut self, number: MarketNumber, verdict: Verdict) {
        let shared = self.shared;
        let Some(market) = self.state.market(number) else {
            return;
        };
        let condition = &market.condition_id;
        let keys = shared.registry.assets_of(condition);
        shared.tell(Some(MarketChange::Ended {
            market: Arc::clone(&market),
            reason: "released",
            keys: keys.clone(),
        }));
        // Said first: who asks for it by name at this moment finds either it or the word.
        shared.tell(Some(MarketChange::Forgotten {
            market: Arc::clone(&market),
            keys: keys.clone(),
        }));
        shared.books.forget(&keys);
        shared.registry.forget(condition);
        self.state.table.set_verdict(number, verdict, None);
        shared.delistings.known([condition]);
        stats::count(&shared.stats.released);
        tracing::debug!(%condition, "market released");
    }

    /// Ends a market; at this moment, if the venue says when. Whether it was live.
    pub(super) fn expire(
        &mut self,
        condition: &ConditionId,
        reason: EndReason,
        at: Option<Timestamp>,
    ) -> bool {
        let shared = self.shared;
        if !shared.registry.is_live(condition) {
            return false;
        }
        let winner = shared.registry.decided(condition);
        let is_resolved = reason == EndReason::Resolved || winner.is_some();
        // Said first: the pool takes an expired asset off its socket at once, and a
        // recorder has to know by then that nothing is missed of it.
        shared.tell(shared.registry.market(condition).map(|market| {
            if is_resolved {
                let winner = winner.clone();
                MarketChange::Resolved { market, winner, at }
            } else {
                MarketChange::Ended {
                    reason: reason.name(),
                    keys: shared.registry.assets_of(condition),
                    market,
                }
            }
        }));
        let assets = shared.registry.expire(condition);
        match reason {
            EndReason::Resolved | EndReason::Closed => shared.books.settle(&assets),
            // Nobody said that it is settled.
            EndReason::Vanished => shared.books.mark_stale(&assets, StaleReason::Silent),
        }
        shared
            .retention
            .retain(condition.clone(), shared.config.forget_after);
        stats::count(match reason {
            EndReason::Resolved => &shared.stats.expired_resolved,
            EndReason::Closed => &shared.stats.expired_closed,
            EndReason::Vanished => &shared.stats.expired_unknown,
        });
        tracing::debug!(%condition, reason = reason.name(), "market ended");
        if let Some(number) = self.state.table.number_of(condition) {
            let (status, resolution) = if is_resolved {
                let source = match reason {
                    EndReason::Resolved => ResolutionSource::Feed,
                    EndReason::Closed | EndReason::Vanished => ResolutionSource::Listing,
                };
                let resolution = Resolution { winner, at, source };
                (MarketStatus::Resolved, Some(resolution))
            } else {
                (MarketStatus::Closed, None)
            };
            self.state.table.set_status(number, status, resolution);
            self.state.free_seat(number);
        }
        true
    }

    /// Ends a market that was resolved, with the token that won and the moment if they were
    /// said. Whether it was live.
    pub(super) fn resolve(
        &mut self,
        condition: &ConditionId,
        winner: Option<&AssetId>,
        at: Option<Timestamp>,
    ) -> bool {
        self.decide(condition, winner);
        self.expire(condition, EndReason::Resolved, at)
    }

    /// The same for one that Gamma calls closed.
    pub(super) fn close(
        &mut self,
        condition: &ConditionId,
        winner: Option<&AssetId>,
        at: Option<Timestamp>,
    ) -> bool {
        self.decide(condition, winner);
        self.expire(condition, EndReason::Closed, at)
    }

    /// First: readers who see that it is settled are to see who won.
    fn decide(&self, condition: &ConditionId, winner: Option<&AssetId>) {
        if let Some(winner) = winner
            && !self.shared.registry.decide(condition, winner)
        {
            tracing::debug!(%condition, %winner, "the token that won is not the market's");
        }
    }

    /// Forgets an ended market everywhere, and says so.
    pub(super) fn forget(&mut self, condition: &ConditionId) {
        self.forget_books(condition);
        if let Some(number) = self.state.table.number_of(condition) {
            self.state.table.remove(number);
        }
    }

    fn forget_books(&mut self, condition: &ConditionId) {
        let shared = self.shared;
        let keys = shared.registry.assets_of(condition);
        // Said first: who asks for it by name at this moment finds either it or the word.
        let market = shared.registry.market(condition);
        shared.tell(market.map(|market| MarketChange::Forgotten { market, keys }));
        shared.books.forget(&shared.registry.forget(condition));
    }

    /// Forgets the books of an ended market at once: it is open again, and is to be
    /// judged as a new one.
    pub(super) fn take_back(&mut self, condition: &ConditionId) {
        self.shared.retention.release(condition);
        self.forget_books(condition);
        if let Some(number) = self.state.table.number_of(condition) {
            let table = &mut self.state.table;
            table.set_status(number, MarketStatus::Open, None);
            table.set_verdict(number, Verdict::NotFollowed(NotFollowed::Unjudged), None);
        }
        stats::count(&self.shared.stats.returned);
        tracing::info!(%condition, "market is back");
    }

    /// Whether no further market has a seat.
    pub(super) fn is_full(&self) -> bool {
        self.state.is_full()
    }

    /// Whether nothing that a listing in the order of these seats has further back is
    /// wanted. By its end, what should have ended already is listed first, and seated last.
    pub(super) fn has_enough(&self, rule: SeatRule) -> bool {
        let selection = &self.state.selection;
        let is_first_first = selection.seats == Some(rule) && rule.order != SeatOrder::End;
        is_first_first && selection.also.is_empty() && self.is_full()
    }

    /// The venue's listing was read to its end.
    pub(super) fn complete(&mut self) {
        self.state.table.complete();
    }

    /// A complete listing named these: drops what it keeps lacking and nobody follows.
    pub(super) fn drop_unlisted(&mut self, seen: &HashSet<ConditionId>) {
        let view = self.state.table.view();
        let mut misses = HashMap::new();
        for entry in view.iter().map(|found| found.entry) {
            let condition = &entry.market.condition_id;
            let is_unlisted = entry.status == MarketStatus::Open && !seen.contains(condition);
            if !is_unlisted || self.shared.standing(condition) != Standing::NotFollowed {
                continue;
            }
            let before = self.state.misses.get(&entry.number).copied();
            let times = before.unwrap_or(0).saturating_add(1);
            if times >= MISSES {
                self.state.table.remove(entry.number);
                self.state.free_seat(entry.number);
            } else {
                misses.insert(entry.number, times);
            }
        }
        self.state.misses = misses;
    }

    /// Another selection is in force from now on; the plan says what follows from it.
    /// Which one it is.
    pub(super) fn choose(&mut self, selection: Arc<Selection>, plan: Plan) -> u64 {
        self.state.selection = selection;
        self.state.generation += 1;
        self.unsettle(plan);
        self.state.generation
    }

    /// An equal one is: where it was set may be another place.
    pub(super) fn replace(&mut self, selection: Arc<Selection>) {
        self.state.selection = selection;
    }

    /// What a plan says is to be done, and what came meanwhile to be judged.
    pub(super) fn unsettle(&mut self, plan: Plan) {
        let state = &mut *self.state;
        let view = state.table.view();
        state.are_ranked |= plan.is_whole();
        let (seats, due, end) = plan.into_parts();
        state.seats = seats;
        state.unsettled = due;
        // Some may have ended since: an ended one sits nowhere.
        if let Some(seats) = &mut state.seats {
            let ended = view.iter().map(|found| found.entry);
            let ended = ended.filter(|entry| entry.status != MarketStatus::Open);
            ended.for_each(|entry| seats.free(entry.number));
        }
        let newer = view.from(end).map(|found| found.entry);
        let judged = newer.map(|entry| (entry.number, Due::Judge));
        state.unsettled.extend(judged);
    }

    /// Brings the next markets, `most` of them, to what was decided. Whether any was
    /// followed or released.
    pub(super) fn settle(&mut self, most: usize) -> bool {
        let mut is_any = false;
        for _ in 0..most {
            let Some((number, due)) = self.state.unsettled.pop_front() else {
                break;
            };
            let standing = self
                .state
                .market(number)
                .map(|market| self.shared.standing(&market.condition_id));
            let Some(standing @ (Standing::Followed | Standing::NotFollowed)) = standing else {
                // It has ended, or is gone.
                self.state.free_seat(number);
                continue;
            };
            let verdict = match due {
                Due::Settle(verdict) => verdict,
                Due::Judge => {
                    // What is followed has its room.
                    let is_in = standing == Standing::Followed;
                    let room = if is_in {
                        usize::MAX
                    } else {
                        self.shared.room()
                    };
                    let now = self.shared.clock.now();
                    let Some(verdict) = self.state.judge(number, room, now) else {
                        continue;
                    };
                    verdict
                }
            };
            match (standing, verdict) {
                (Standing::Followed, Verdict::NotFollowed(_)) => self.release(number, verdict),
                (Standing::NotFollowed, Verdict::Followed) => {
                    self.follow(number);
                    let tokens = self.state.market(number).map_or(0, |it| it.tokens.len());
                    self.shared.additions.note(tokens, Instant::now());
                    self.doubt(number);
                }
                _ => {
                    if standing == Standing::NotFollowed {
                        self.state.table.set_verdict(number, verdict, None);
                    }
                    continue;
                }
            }
            is_any = true;
        }
        is_any
    }
}
