//! What a selection would make of what is listed: computed from a view, without a lock,
//! before anything is done.

use std::collections::VecDeque;

use polypy_core::Timestamp;
use polypy_core::catalogue::{
    CatalogueView, Judgement, MarketEntry, MarketNumber, MarketStatus, NotFollowed, Rank, Round,
    SeatTable, Selection, Verdict,
};

/// Markets judged between two looks at what else there is to do.
const LOOK: usize = 256;

/// What is to be done about a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It was judged.
    Settle(Verdict),
    /// It came while others were: it is to be judged.
    Judge,
}

/// What a selection comes to, computed from a view.
#[derive(Debug)]
pub(super) struct Plan {
    seats: Option<SeatTable>,
    /// Those of which the verdict changes.
    due: VecDeque<(MarketNumber, Due)>,
    /// What is listed from this number on was not looked at.
    end: MarketNumber,
    /// The venue's listing had been read to its end.
    is_whole: bool,
    tally: Tally,
}

/// A plan in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Markets looked at.
    pub(super) listed: usize,
    /// Those that are followed by it.
    pub(super) followed: usize,
    /// Those of them that are not followed yet.
    pub(super) added: usize,
    /// Those that are followed and will not be.
    pub(super) released: usize,
    /// Those of them whose seats others have, since all seats were given anew.
    pub(super) reseated: usize,
    /// Tokens of all that are wanted, be there room for them or not.
    pub(super) tokens: usize,
}

impl Plan {
    /// What `selection` makes of these markets and seats, where so many tokens may be
    /// followed. `was` is the selection before; the same one, where only the markets have
    /// changed. Takes a while, with pauses.
    pub(super) async fn of(
        view: &CatalogueView,
        seats: Option<SeatTable>,
        round: Round,
        (selection, was): (&Selection, &Selection),
        most_tokens: usize,
        now: Timestamp,
    ) -> Self {
        let judge = selection.judge(Some(was), view.tags(), now);
        let mut verdicts: Vec<(&MarketEntry, Verdict)> = Vec::new();
        let mut ranked: Vec<(Rank, MarketNumber)> = Vec::new();
        let mut end = MarketNumber::new(0);
        let mut listed = 0;
        for found in view.iter() {
            let entry = found.entry;
            end = MarketNumber::new(entry.number.get() + 1);
            listed += 1;
            if listed % LOOK == 0 {
                tokio::task::yield_now().await;
            }
            if entry.status != MarketStatus::Open {
                continue;
            }
            let verdict = match judge.of(found, &mut ()) {
                Judgement::Wanted => Verdict::Followed,
                Judgement::Unwanted(reason) => Verdict::NotFollowed(reason),
                Judgement::NeedsSeat(rank) => {
                    ranked.push((rank, entry.number));
                    // Until it has one.
                    Verdict::NotFollowed(NotFollowed::Seats)
                }
            };
            verdicts.push((entry, verdict));
        }
        let seats = selection.seats.map(|rule| {
            let mut seats = seats.unwrap_or_else(|| SeatTable::new(rule.most));
            seats.resize(rule.most);
            seats.review(ranked, round);
            seats
        });
        let mut tally = Tally {
            listed,
            ..Tally::default()
        };
        let tokens = |entry: &MarketEntry| entry.market.tokens.len();
        let mut kept = 0;
        for (entry, verdict) in &mut verdicts {
            let has_seat = seats.as_ref().is_some_and(|seats| seats.has(entry.number));
            if has_seat {
                let condition = &entry.market.condition_id;
                *verdict = match judge.seated(condition, &mut ()) {
                    Ok(()) => Verdict::Followed,
                    Err(reason) => Verdict::NotFollowed(reason),
                };
            }
            let will = *verdict == Verdict::Followed;
            tally.tokens += if will { tokens(entry) } else { 0 };
            if will && entry.verdict == Verdict::Followed {
                kept += tokens(entry);
            }
        }
        // What is followed goes on; what is new has what that leaves.
        let mut room = most_tokens.saturating_sub(kept);
        let (mut due, mut releases) = (VecDeque::new(), VecDeque::new());
        for (entry, mut verdict) in verdicts {
            let is = entry.verdict == Verdict::Followed;
            if verdict == Verdict::Followed && !is {
                match room.checked_sub(tokens(entry)) {
                    Some(rest) => room = rest,
                    None => verdict = Verdict::NotFollowed(NotFollowed::Sockets),
                }
            }
            let will = verdict == Verdict::Followed;
            tally.followed += usize::from(will);
            tally.added += usize::from(will && !is);
            tally.released += usize::from(is && !will);
            let loses_seat = verdict == Verdict::NotFollowed(NotFollowed::Seats);
            tally.reseated += usize::from(is && loses_seat && round == Round::Fresh);
            if verdict != entry.verdict {
                let due = if is { &mut releases } else { &mut due };
                due.push_back((entry.number, Due::Settle(verdict)));
            }
        }
        // First: what is added takes the connections of what goes.
        releases.append(&mut due);
        Self {
            seats,
            due: releases,
            end,
            is_whole: view.is_complete(),
            tally,
        }
    }

    /// Whether it was made of all that the venue lists.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// In numbers.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The seats, what is to be done, and from which number on nothing was looked at.
    pub(super) fn into_parts(
        self,
    ) -> (
        Option<SeatTable>,
        VecDeque<(MarketNumber, Due)>,
        MarketNumber,
    ) {
        (self.seats, self.due, self.end)
    }
}
