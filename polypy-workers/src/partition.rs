//! The books of one worker.
//!
//! Written under the partition's lock, one batch at a time; read under the same
//! lock.
//!
//! | module | |
//! |---|---|
//! | `slots` | where the slots stand, and how many are in which state |
//! | `mirror` | comparing the two tokens of a market |
//! | `trades` | each token's newest trades |

mod mirror;
mod slots;
mod trades;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{
    AssetKey, BookChange, BookEvent, BookState, FeedId, LastTrade, MarketEvent, PriceChange,
    StaleReason, TradeKept,
};

use self::mirror::MirrorCheck;
use self::slots::{EVENTS_AHEAD, Slots};
use self::trades::{Announced, Noted, Trades};
use crate::book::{BookSlot, Context, Origin};
use crate::config::WorkersConfig;
use crate::feeds::Feeds;
use crate::queue::{Batch, ControlMessage, ControlMessages, StalenessMark};
use crate::stats::WorkerStats;

/// Between two looks at what only time changes.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Events that a frame of the same state may come behind. Frames carry an entry
/// of each token of a market.
const FRAME_AHEAD: usize = 4;

/// Books to be fetched again: on which feed, if not on all of theirs, and why.
pub(crate) type Resyncs = HashMap<(Option<FeedId>, StaleReason), Vec<AssetKey>>;

#[derive(Debug)]
pub(crate) struct Partition {
    slots: Slots,
    trades: Trades,
    context: Context,
    /// Set while something is being applied: recovery finds it set after a
    /// panic.
    applying: bool,
    /// The assets of that batch.
    touched: Vec<AssetKey>,
    /// Control messages that are being applied, and have yet to be. A panic loses the
    /// one in hand; the others are not said again.
    messages: VecDeque<(AssetKey, ControlMessage)>,
    closed: Vec<(FeedId, StaleReason)>,
    retries: BinaryHeap<Reverse<(Instant, AssetKey)>>,
    mirror: MirrorCheck,
    looked: Instant,
    /// Whether the next batch, or control message, is to panic once it is begun.
    #[cfg(any(test, feature = "fault-injection"))]
    panics_next: bool,
}

impl Partition {
    pub(crate) fn new(
        config: &WorkersConfig,
        feeds: Arc<Feeds>,
        stats: Arc<WorkerStats>,
        now: Instant,
    ) -> Self {
        Self {
            slots: Slots::default(),
            trades: Trades::new(config.trades_kept),
            context: Context::new(&config.integrity, feeds, stats, now),
            applying: false,
            touched: Vec::new(),
            messages: VecDeque::new(),
            closed: Vec::new(),
            retries: BinaryHeap::new(),
            mirror: MirrorCheck::default(),
            looked: now,
            #[cfg(any(test, feature = "fault-injection"))]
            panics_next: false,
        }
    }

    /// The asset's slot, if there is one.
    pub(crate) fn slot(&self, asset: AssetKey) -> Option<&BookSlot> {
        self.slots.get(asset)
    }

    /// Places in which slots may stand: of each asset at most one.
    pub(crate) fn places(&self) -> usize {
        self.slots.len()
    }

    /// The slot in such a place, if there is one.
    pub(crate) fn slot_at(&self, place: usize) -> Option<&BookSlot> {
        self.slots.at(place)
    }

    /// The token's own last trade.
    pub(crate) fn last_trade(&self, asset: AssetKey) -> Option<LastTrade> {
        self.trades.last(asset)
    }

    /// The newest trades of an asset, the newest first, and how many were kept so far.
    pub(crate) fn newest_trades(&self, asset: AssetKey, limit: usize) -> (u64, Vec<TradeKept>) {
        self.trades.newest(asset, limit)
    }

    /// How many books are to be looked at from time to time.
    #[cfg(test)]
    pub(crate) fn watched(&self) -> usize {
        self.context.watched.len()
    }

    /// Applies a batch. Inlined where workers do, as it was while only they did.
    #[inline(always)]
    pub(crate) fn apply(&mut self, batch: &mut Batch, now: Instant) {
        self.apply_each(batch, now, |_, _| {});
    }

    /// The same, and `tells` of the book concerned after each event.
    pub(crate) fn apply_and_tell(
        &mut self,
        batch: &mut Batch,
        now: Instant,
        mut tells: impl FnMut(&BookSlot),
    ) {
        self.apply_each(batch, now, |slots, asset| {
            slots.get(asset).into_iter().for_each(&mut tells);
        });
    }

    /// Inlined, so that nothing is left of an `applied` that does nothing.
    #[inline(always)]
    fn apply_each(
        &mut self,
        batch: &mut Batch,
        now: Instant,
        mut applied: impl FnMut(&Slots, AssetKey),
    ) {
        self.applying = true;
        self.touched.clear();
        self.touched
            .extend(batch.events.iter().map(MarketEvent::asset));
        let origin = Origin {
            feed: batch.feed,
            number: batch.number,
            closed: self.context.feeds.closed(batch.feed),
            received: batch.queued_at.into(),
        };
        self.context.checker.now = now;
        let (slots, cx) = (&mut self.slots, &mut self.context);
        let mut rest = batch.events.as_mut_slice();
        let mut near = 0;
        while !rest.is_empty() {
            if near == 0 {
                near = one_round(rest.len());
                slots.prefetch(&rest[..near]);
            }
            near -= 1;
            let Some((event, ahead)) = rest.split_first_mut() else {
                break;
            };
            if let MarketEvent::PriceChange(change) = event
                && change.last_in_frame
                && is_continued(change, ahead)
            {
                change.last_in_frame = false;
            }
            apply_event(slots, &mut self.trades, cx, event, origin);
            applied(slots, event.asset());
            #[cfg(any(test, feature = "fault-injection"))]
            if std::mem::take(&mut self.panics_next) {
                injected_panic();
            }
            rest = ahead;
        }
        batch.events.clear();
        if let Some((book, requested)) = batch.audit.take() {
            audit(slots, cx, &book, requested);
            applied(slots, book.info.key);
        }
        if let Some(suspensions) = batch.resumed {
            cx.feeds.resume_applied(batch.feed, suspensions);
        }
        self.conclude();
    }

    /// Has the next batch panic in its midst.
    #[cfg(any(test, feature = "fault-injection"))]
    pub(crate) fn inject_panic(&mut self) {
        self.panics_next = true;
    }

    /// Takes in what was said apart from the events.
    pub(crate) fn take(&mut self, control: ControlMessages, now: Instant) {
        self.applying = true;
        self.touched.clear();
        self.context.checker.now = now;
        // Behind what a panic has left.
        self.messages.extend(control.assets);
        self.closed.extend(control.closed);
        let (slots, cx) = (&mut self.slots, &mut self.context);
        while let Some((asset, message)) = self.messages.pop_front() {
            if message.forgotten {
                self.trades.forget(asset);
            }
            take_message(slots, cx, asset, message);
            #[cfg(any(test, feature = "fault-injection"))]
            if std::mem::take(&mut self.panics_next) {
                injected_panic();
            }
        }
        if !self.closed.is_empty() {
            let closed: HashMap<_, _> = self.closed.iter().copied().collect();
            for at in 0..slots.len() {
                let Some(slot) = slots.at(at) else {
                    continue;
                };
                let key = slot.key();
                let feeds: Vec<_> = slot
                    .feeds()
                    .filter_map(|feed| closed.get(&feed).map(|reason| (feed, *reason)))
                    .collect();
                for (feed, reason) in feeds {
                    slots.with(key, cx, |slot, cx| slot.close_feed(feed, reason, cx));
                }
            }
            for (feed, _) in self.closed.drain(..) {
                cx.feeds.closing_applied(feed);
            }
        }
        self.conclude();
    }

    /// Looks at what only time changes, if it is time to.
    pub(crate) fn look(&mut self, now: Instant) {
        self.look_and_tell(now, |_| {});
    }

    /// The same, and `tells` of each book that was looked at.
    pub(crate) fn look_and_tell(&mut self, now: Instant, mut tells: impl FnMut(&BookSlot)) {
        if now.saturating_duration_since(self.looked) < LOOK_INTERVAL {
            return;
        }
        self.looked = now;
        self.context.checker.now = now;
        let (slots, cx) = (&mut self.slots, &mut self.context);
        let mut watched = std::mem::take(&mut cx.watched);
        watched.retain(|&key| {
            let is_watched = slots.with(key, cx, BookSlot::look).unwrap_or(false);
            slots.get(key).into_iter().for_each(&mut tells);
            is_watched
        });
        // Some are watched from this look on.
        cx.watched.append(&mut watched);
        while let Some(Reverse((at, key))) = self.retries.peek().copied()
            && at <= now
        {
            self.retries.pop();
            slots.with(key, cx, BookSlot::retry);
        }
        self.end_batch();
        self.publish();
    }

    /// Whether a book waits to be looked at.
    pub(crate) fn awaits_look(&self) -> bool {
        !self.context.watched.is_empty() || !self.retries.is_empty()
    }

    // ---- who follows the books ----------------------------------------------

    /// From now on somebody follows these books. Each is written as it is, as a whole
    /// where there is one.
    pub(crate) fn follow(&mut self, assets: impl Iterator<Item = AssetKey>, now: Instant) {
        self.context.checker.now = now;
        for asset in assets {
            self.slots.follow(asset, &mut self.context);
        }
        self.slots.write(&mut self.context);
        self.publish();
    }

    /// Nobody does any more.
    pub(crate) fn unfollow(&mut self, assets: impl Iterator<Item = AssetKey>) {
        for asset in assets {
            self.slots.unfollow(asset, &mut self.context);
        }
    }

    /// Writes how each followed book is shown now, where that has changed. Whether there
    /// may be a book whose feed has not answered since the process last stood still.
    pub(crate) fn review(&mut self, now: Instant) -> bool {
        self.context.checker.now = now;
        // First: what answers meanwhile is reviewed once too often.
        let is_any_suspended = self.context.feeds.is_any_suspended();
        self.context.log.published_mut().touch_all();
        self.slots.write(&mut self.context);
        is_any_suspended
    }

    /// What was written for those who follow books and has yet to be handed over; `None`
    /// if that is nothing.
    #[inline]
    pub(crate) fn written(&mut self) -> Option<&mut Vec<BookChange>> {
        self.context.log.published_mut().written()
    }

    // ---- ends ---------------------------------------------------------------

    /// The requests that came up, by reason. To be made without the lock.
    pub(crate) fn take_resyncs(&mut self) -> Option<Resyncs> {
        let mut by_reason = Resyncs::new();
        for (feed, asset, reason) in self.context.resyncs.drain(..) {
            by_reason.entry((feed, reason)).or_default().push(asset);
        }
        (!by_reason.is_empty()).then_some(by_reason)
    }

    /// Picks up after a dead thread: no book can be trusted until a snapshot
    /// of batch `number` or a later one. The assets to be fetched again are those with a
    /// book and those of the batch that was lost.
    pub(crate) fn recover(&mut self, number: u64, now: Instant) -> Vec<AssetKey> {
        let torn = std::mem::take(&mut self.applying);
        let mut assets = std::mem::take(&mut self.touched);
        if !torn {
            assets.clear();
        }
        self.context.clear();
        self.retries.clear();
        self.context.checker.now = now;
        let (slots, cx) = (&mut self.slots, &mut self.context);
        let kept = self
            .messages
            .iter()
            .filter(|(_, message)| !message.forgotten);
        for asset in kept.map(|(asset, _)| asset).chain(&assets) {
            // Without a slot, a snapshot that is still queued could not know of the mark.
            slots.ensure(*asset, cx);
        }
        slots.alter_all(cx, |slot, cx| {
            // Of whoever follows it something is lost: they have to begin again.
            slot.book_mut().unfollow(cx);
            let reason = StaleReason::WorkerDied;
            slot.worker_died(StalenessMark { number, reason }, cx);
            if matches!(slot.state(), BookState::Stale(_)) {
                assets.push(slot.key());
            }
        });
        // Of what the panic kept from being applied, what is not said again.
        for (asset, message) in self.messages.drain(..) {
            if message.forgotten {
                slots.forget(asset, cx);
            } else if message.settled {
                slots.with(asset, cx, BookSlot::settle);
            }
        }
        for (feed, _) in self.closed.drain(..) {
            cx.feeds.closing_applied(feed);
        }
        self.context.log.end_batch();
        assets.sort_unstable();
        assets.dedup();
        self.publish();
        assets
    }

    /// The end of whatever was being applied.
    fn conclude(&mut self) {
        self.end_batch();
        self.applying = false;
        self.publish();
    }

    /// Compares what has changed. What is due to those who follow books is written last
    /// of all, for the comparison still decides how far they are to be trusted.
    fn end_batch(&mut self) {
        let (slots, cx) = (&mut self.slots, &mut self.context);
        self.mirror.compare_tokens(slots, cx);
        cx.log.end_batch();
        slots.write(cx);
    }

    fn publish(&mut self) {
        let planned = self.context.retries.drain(..);
        self.retries.extend(planned.map(Reverse));
        self.slots.publish(&self.context.stats, self.trades.bytes());
    }
}

#[cfg(any(test, feature = "fault-injection"))]
#[expect(clippy::panic, reason = "panicking is what it is for")]
fn injected_panic() {
    std::panic::panic_any("a panic was injected");
}

/// Of so many events those to be fetched together: in rounds of one size, or the
/// last few would be waited for by themselves.
fn one_round(events: usize) -> usize {
    events.div_ceil(events.div_ceil(EVENTS_AHEAD))
}

/// Of a whole book the levels are taken; everything else is left as it is.
#[inline]
fn apply_event(
    slots: &mut Slots,
    trades: &mut Trades,
    cx: &mut Context,
    event: &mut MarketEvent,
    origin: Origin,
) {
    cx.stats.messages_processed.increment();
    let asset = event.asset();
    match event {
        MarketEvent::PriceChange(change) => slots.change(change, origin, cx),
        MarketEvent::Book(event) => {
            cx.stats.snapshots_received.increment();
            slots.ensure(asset, cx);
            slots.with(asset, cx, |slot, cx| slot.snapshot(event, origin, cx));
        }
        MarketEvent::Trade(trade) => {
            cx.stats.events.trades.increment();
            // For the hashes one announcement stands for both tokens of the market.
            let complement = slots.with(asset, cx, |slot, cx| {
                let Noted { is_last, what } = trades.note(trade, origin);
                if is_last {
                    slot.book_mut().revise();
                }
                match what {
                    Announced::New(kept) => slot.book().write_trade(kept, cx),
                    Announced::Repeated => cx.stats.events.trades_repeated.increment(),
                    Announced::NotKept => {}
                }
                slot.book_mut().trade(trade);
                slot.book().complement()
            });
            if let Some(complement) = complement.flatten() {
                slots.with(complement, cx, |slot, _| slot.book_mut().trade(trade));
            }
        }
        MarketEvent::TickSizeChange(event) => {
            cx.stats.events.tick_size_changes.increment();
            slots.with(asset, cx, |slot, cx| slot.change_tick(event, cx));
        }
        MarketEvent::BestBidAsk(event) => {
            slots.with(asset, cx, |slot, cx| slot.book_mut().best_prices(event, cx));
        }
    }
}

/// A book that was fetched apart from the feeds.
fn audit(slots: &mut Slots, cx: &mut Context, book: &BookEvent, requested: Instant) {
    let known = slots.with(book.info.key, cx, |slot, cx| {
        slot.audit(book, requested, cx);
    });
    if known.is_none() {
        cx.stats.integrity.audit.not_applicable.increment();
    }
}

fn take_message(slots: &mut Slots, cx: &mut Context, asset: AssetKey, message: ControlMessage) {
    if message.forgotten {
        slots.forget(asset, cx);
        return;
    }
    // Without a slot, a snapshot that is still queued could not know of it.
    slots.ensure(asset, cx);
    slots.with(asset, cx, |slot, cx| {
        if let Some(mark) = message.mark {
            slot.mark(mark, cx);
        }
        for (feed, mark) in message.gaps {
            slot.mark_feed(feed, mark, cx);
        }
        if message.settled {
            slot.settle(cx);
        }
    });
}

/// Whether the next frame of the batch about this asset carries the same state on: until
/// then there is nothing to be checked. A book may come back to a state within the
/// millisecond, and what lies between is another one.
#[inline(always)]
fn is_continued(change: &PriceChange, ahead: &[MarketEvent]) -> bool {
    let state = |change: &PriceChange| (change.timestamp, change.hash);
    let carries_on = |event: &MarketEvent| match event {
        MarketEvent::PriceChange(next) => {
            next.asset == change.asset && state(next) == state(change)
        }
        MarketEvent::Book(_)
        | MarketEvent::Trade(_)
        | MarketEvent::TickSizeChange(_)
        | MarketEvent::BestBidAsk(_) => false,
    };
    // As an array, which is looked through without a loop.
    let found = match ahead.first_chunk::<FRAME_AHEAD>() {
        Some(ahead) => ahead.iter().any(carries_on),
        None => ahead.iter().any(carries_on),
    };
    found && change.hash.is_some() && next_about(change.asset, ahead).is_some_and(carries_on)
}

/// The next event that says something of an asset's levels.
#[cold]
fn next_about(asset: AssetKey, ahead: &[MarketEvent]) -> Option<&MarketEvent> {
    ahead.iter().find(|event| match event {
        MarketEvent::PriceChange(next) => next.asset == asset,
        MarketEvent::Book(book) => book.info.key == asset,
        MarketEvent::Trade(_) | MarketEvent::TickSizeChange(_) | MarketEvent::BestBidAsk(_) => {
            false
        }
    })
}
