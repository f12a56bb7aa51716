//! What a client of the streams is told of each book, in order, for as long as it listens.
//!
//! Two runs of the program that were told the same by the venue tell their clients the same:
//! [`History::states`] and [`History::breaks`] leave out what is of the run alone, which is
//! numbers, times of arrival, and books that are told once more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use polypy_client::message::Trust;
use polypy_client::{Client, Event, Filter, Message, Step, Subscription};
use polypy_core::AssetId;
use tokio::sync::oneshot;

use crate::follower::levels;

/// A book as the venue had it: the time of its last change, and a digest of its levels.
pub type State = (u64, u64);

/// What is told of one book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Its levels, by a snapshot or a delta.
    Book(State),
    /// It is to be trusted from here on.
    Live,
    /// It is not, for this reason.
    Stale(String),
    /// Something is missing here, for this reason.
    Gap(String),
}

/// All that was told of one book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(pub Vec<Told>);

/// Where something is missing: how many states come before it, and why.
pub type Break = (usize, String);

impl History {
    /// The book's states in order, each told once.
    pub fn states(&self) -> Vec<State> {
        let states = self.0.iter().filter_map(|told| match told {
            Told::Book(state) => Some(*state),
            _ => None,
        });
        let mut states: Vec<_> = states.collect();
        states.dedup();
        states
    }

    /// Where something is missing between its states.
    pub fn breaks(&self) -> Vec<Break> {
        let (mut breaks, mut count, mut last) = (Vec::new(), 0, None);
        for told in &self.0 {
            match told {
                Told::Book(state) if last != Some(*state) => {
                    last = Some(*state);
                    count += 1;
                }
                Told::Gap(reason) => breaks.push((count, reason.clone())),
                Told::Book(_) | Told::Live | Told::Stale(_) => {}
            }
        }
        breaks
    }
}

/// What two histories of one book have in common, when neither contradicts the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreement {
    /// States that both have, in the same order.
    pub states: usize,
    /// States that one of them lacks, right before or behind a gap that both have.
    pub beside_gaps: usize,
    /// Gaps that both have, in the same place.
    pub gaps: usize,
    /// Gaps that the second one has more, in which nothing is missing.
    pub empty_gaps: usize,
    /// Gaps that the first one has more, of a token that was asked for again: the second one
    /// lacks nothing of what it was told on either side.
    pub asked_again: usize,
}

/// Why a token has no book for a moment that is asked for again where it is subscribed already.
/// A replay has no such gap: its client is given the same frames, and asks for nothing again.
/// `silent` is a book that an answer of REST was ahead of for `integrity.audit_patience`: the
/// socket is read late, or the venue has kept something back. Both reach the client of a
/// replay as they reached the socket, while the replay's REST is never ahead of what it has
/// sent. So each state that was told has to be told again, and the replay may tell more: what
/// came before the book that was asked for.
const ASKED_AGAIN: [&str; 2] = ["resubscribing", "silent"];

/// States that one may be told more beside a gap, at most: those of a tenth of a second.
const AT_ONCE: usize = 100;

impl History {
    /// Without the states that the venue never had: where the parts of one came in two reads,
    /// the first part is told as a state of its own. How many there were.
    #[must_use]
    pub fn of_the_venue(self, had: &HashSet<State>) -> (Self, usize) {
        let all = self.0.len();
        let is_real = |told: &Told| !matches!(told, Told::Book(state) if !had.contains(state));
        let real: Vec<_> = self.0.into_iter().filter(is_real).collect();
        let parts = all - real.len();
        (Self(real), parts)
    }

    /// With the last state of each millisecond alone: the venue's clock has no finer time, and
    /// what a read brings together of one time may be told together.
    #[must_use]
    pub fn by_time(self) -> Self {
        let mut later = None;
        let mut last: Vec<_> = self.0.into_iter().rev().collect();
        last.retain(|told| match told {
            Told::Book((at, _)) => later.replace(*at) != Some(*at),
            Told::Live | Told::Stale(_) | Told::Gap(_) => true,
        });
        last.reverse();
        Self(last)
    }

    /// What was told from this state on; all if it is not there.
    #[must_use]
    pub fn since(&self, state: &State) -> Self {
        let is_it = |told: &Told| matches!(told, Told::Book(found) if found == state);
        let from = self.0.iter().position(is_it).unwrap_or(0);
        Self(self.0[from..].to_vec())
    }

    /// The same from a state on that was had before anything was told: what is told next may
    /// be further.
    #[must_use]
    pub fn begun_with(mut self, state: State) -> Self {
        let begin = [Told::Book(state), Told::Gap("begun".to_owned())];
        self.0.splice(..0, begin);
        self
    }

    /// What two histories of one book have in common: every state of either is in the other,
    /// in the same order, and each gap of the first is in the same place of the second. Beside
    /// a gap that both have one of them may have been told more: what a socket had brought
    /// when it was lost may be applied or not, and how far the book is when it can be told
    /// again depends on the moment.
    ///
    /// # Errors
    /// Says where they part.
    pub fn agrees(&self, other: &Self) -> Result<Agreement, String> {
        let (ours, theirs) = (Walk::of(self), Walk::of(other));
        let mut agreement = Agreement::default();
        let (mut i, mut j) = (0, 0);
        loop {
            let (gaps, more) = (ours.gaps_at(i), theirs.gaps_at(j));
            let has_ours = |at: usize| {
                let theirs = theirs.gaps_at(at);
                let mut lost = gaps.iter().filter(|reason| !ASKED_AGAIN.contains(*reason));
                lost.all(|reason| theirs.contains(reason))
            };
            // Who is told of a book behind a gap for the first time is told of no gap.
            if i > 0 && !has_ours(j) {
                let Some(told) = (1..=AT_ONCE).find(|told| has_ours(j + told)) else {
                    return Err(parted((&ours, i), (&theirs, j), "a gap is missing"));
                };
                agreement.beside_gaps += told;
                j += told;
                continue;
            }
            let mut reasons = gaps.iter();
            let is_asked_again =
                reasons.all(|reason| ASKED_AGAIN.contains(reason)) && gaps.is_disjoint(&more);
            if !gaps.is_empty() {
                agreement.asked_again += usize::from(is_asked_again);
                agreement.gaps += usize::from(!is_asked_again);
                let skip = if is_asked_again {
                    0
                } else {
                    ours.ahead(i, theirs.states.get(j))
                };
                let skip_theirs = theirs.ahead(j, ours.states.get(i));
                agreement.beside_gaps += skip + skip_theirs;
                (i, j) = (i + skip, j + skip_theirs);
            }
            match (ours.states.get(i), theirs.states.get(j)) {
                (None, None) => return Ok(agreement),
                (one, other) if one == other => {
                    agreement.empty_gaps += usize::from(gaps.is_empty() && !more.is_empty());
                    agreement.states += 1;
                    (i, j) = (i + 1, j + 1);
                }
                _ => {
                    let is_same = |told: &usize| {
                        let gaps = ours.gaps_at(i + told);
                        !gaps.is_empty() && gaps.is_subset(&more)
                    };
                    let told = (1..=AT_ONCE).find(is_same).filter(|_| is_asked_again);
                    let Some(told) = told else {
                        return Err(parted((&ours, i), (&theirs, j), "another state"));
                    };
                    agreement.beside_gaps += told;
                    i += told;
                }
            }
        }
    }
}

/// The states of a history, and its gaps by how many states come before.
struct Walk {
    states: Vec<State>,
    gaps: Vec<Break>,
}

impl Walk {
    fn of(history: &History) -> Self {
        Self {
            states: history.states(),
            gaps: history.breaks(),
        }
    }

    /// The reasons of the gaps behind so many states.
    fn gaps_at(&self, at: usize) -> BTreeSet<&str> {
        let from = self.gaps.partition_point(|(place, _)| *place < at);
        let here = self.gaps[from..]
            .iter()
            .take_while(|(place, _)| *place == at);
        here.map(|(_, reason)| reason.as_str()).collect()
    }

    /// How many states are told from here on before this one, if few are.
    fn ahead(&self, from: usize, first: Option<&State>) -> usize {
        let some = self.states.iter().skip(from).take(AT_ONCE);
        let place = some.copied().position(|state| Some(&state) == first);
        place.unwrap_or(0)
    }
}

/// Where two histories part, and their gaps near there.
fn parted((ours, i): (&Walk, usize), (theirs, j): (&Walk, usize), why: &str) -> String {
    let near = |walk: &Walk, at: usize| -> Vec<Break> {
        let is_near = |gap: &&Break| gap.0.abs_diff(at) <= AT_ONCE;
        walk.gaps.iter().filter(is_near).cloned().collect()
    };
    let here = |walk: &Walk, at: usize| {
        let (state, all) = (walk.states.get(at).copied(), walk.states.len());
        format!("{at} of {all}, {state:?}, gaps {:?}", near(walk, at))
    };
    format!("{why}: {} and {}", here(ours, i), here(theirs, j))
}

/// All that was told of each book.
pub type Histories = BTreeMap<AssetId, History>;

/// A client that notes what it is told of every book.
#[derive(Debug)]
pub struct Witness {
    told: Arc<Mutex<Noted>>,
    end: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Noted {
    histories: Histories,
    positions: HashMap<AssetId, (u64, u64)>,
    /// What must not be: messages that contradict each other, a connection that is lost,
    /// gaps of the client's own.
    faults: Vec<String>,
    is_ready: bool,
}

impl Witness {
    /// Connects to a server.
    ///
    /// # Panics
    /// When the address is none.
    pub fn start(address: SocketAddr) -> Self {
        let client = Client::new(&format!("ws://{address}")).expect("an address");
        let filter = Filter::everything().channels(["book", "state"]);
        let told = Arc::new(Mutex::new(Noted::default()));
        let (end, ending) = oneshot::channel();
        let task = tokio::spawn(listen(client.subscribe(filter), ending, Arc::clone(&told)));
        Self { told, end, task }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.told.lock().expect("noting does not panic")
    }

    /// Whether all that there was at its beginning has been told.
    pub fn is_ready(&self) -> bool {
        self.noted().is_ready
    }

    /// How many books it has been told of.
    pub fn books(&self) -> usize {
        self.noted().histories.len()
    }

    /// Where a book stands as it has been told: epoch and sequence.
    pub fn position(&self, token: &AssetId) -> Option<(u64, u64)> {
        self.noted().positions.get(token).copied()
    }

    /// Ends it.
    ///
    /// # Panics
    /// When it was told what cannot be, or did not listen all the time.
    pub async fn end(self) -> Histories {
        // It has ended if nobody is there.
        let _there = self.end.send(());
        self.task.await.expect("listening does not panic");
        let mut noted = self.told.lock().expect("noting does not panic");
        assert_eq!(noted.faults, Vec::<String>::new());
        std::mem::take(&mut noted.histories)
    }
}

async fn listen(
    mut stream: Subscription,
    mut ending: oneshot::Receiver<()>,
    told: Arc<Mutex<Noted>>,
) {
    loop {
        tokio::select! {
            event = stream.next() => {
                let event = event.expect("the server refuses nothing");
                note(&mut told.lock().expect("noting does not panic"), &stream, event);
            }
            _ended = &mut ending => return,
        }
    }
}

fn note(noted: &mut Noted, stream: &Subscription, event: Event) {
    let received = match event {
        Event::Message(received) => received,
        Event::Broken { broken, text } => {
            noted.faults.push(format!("{broken}: {text}"));
            return;
        }
        other => {
            noted.faults.push(format!("{other:?}"));
            return;
        }
    };
    let Some(token) = received.message.token_id().cloned() else {
        match &received.message {
            Message::Ready(_) => noted.is_ready = true,
            Message::Gap(_) | Message::Error(_) | Message::Closing(_) => {
                noted.faults.push(received.text);
            }
            _ => {}
        }
        return;
    };
    let book = stream.books().get(token.as_str());
    if let Some(book) = book {
        let position = (book.epoch(), book.sequence());
        noted.positions.insert(token.clone(), position);
    }
    let history = &mut noted.histories.entry(token.clone()).or_default().0;
    match &received.message {
        Message::Snapshot(snapshot) => {
            history.extend(book.map(|book| Told::Book((snapshot.ts_event_ms, levels(book)))));
            history.push(trust(snapshot.state, snapshot.reason.as_deref()));
        }
        Message::Delta(delta) if received.step == Step::Changed => {
            history.extend(book.map(|book| Told::Book((delta.ts_event_ms, levels(book)))));
        }
        Message::State(state) => history.push(trust(state.state, state.reason.as_deref())),
        Message::Gap(gap) => history.push(Told::Gap(gap.reason.clone())),
        _ => {}
    }
}

fn trust(state: Trust, reason: Option<&str>) -> Told {
    if state == Trust::Live {
        Told::Live
    } else {
        Told::Stale(reason.unwrap_or(state.name()).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digits are states, `!` is a gap, `?` and `-` those of a token that is asked for again.
    fn history(told: &str) -> History {
        let told = told.chars().map(|c| match (c, c.to_digit(10)) {
            (_, Some(digit)) => Told::Book((u64::from(digit), 0)),
            ('?', None) => Told::Gap(ASKED_AGAIN[0].to_owned()),
            ('-', None) => Told::Gap(ASKED_AGAIN[1].to_owned()),
            (_, None) => Told::Gap("disconnected".to_owned()),
        });
        History(told.collect())
    }

    #[test]
    fn histories_agree_only_if_every_state_is_in_both_in_its_order() {
        let ours = history("0112!4567");
        let agreement = |states, beside_gaps, gaps, empty_gaps| Agreement {
            states,
            beside_gaps,
            gaps,
            empty_gaps,
            asked_again: 0,
        };
        let cases = [
            ("012!4567", Some(agreement(7, 0, 1, 0))),
            ("012!2!4!4567", Some(agreement(7, 0, 1, 1))),
            // The book can be told again a little later.
            ("012!67", Some(agreement(5, 2, 1, 0))),
            // The socket was lost with some that had not been applied, or later than that.
            ("01!4567", Some(agreement(6, 1, 1, 0))),
            ("0123!4567", Some(agreement(7, 1, 1, 0))),
            ("0!2!4567", Some(agreement(5, 3, 1, 0))),
            // Lost in the midst, at the end; told twice, in another order.
            ("02!4567", None),
            ("012!457", None),
            ("012!456", None),
            ("012!45676", None),
            ("012!4657", None),
            // No gap.
            ("0124567", None),
        ];
        let begun_behind_it = history("!012!4567");
        assert!(begun_behind_it.agrees(&ours).is_ok());
        for (theirs, expected) in cases {
            let found = ours.agrees(&history(theirs));
            assert_eq!(found.clone().ok(), expected, "{theirs}: {found:?}");
        }
    }

    #[test]
    fn where_a_token_was_only_asked_for_again_nothing_of_what_was_told_may_be_missing() {
        for mark in ["?", "-"] {
            let ours = |told: &str| history(&told.replace('~', mark));
            let asked_again = |states, beside_gaps| {
                Some(Agreement {
                    states,
                    beside_gaps,
                    asked_again: 1,
                    ..Agreement::default()
                })
            };
            let cases = [
                ("012~34", "01234", asked_again(5, 0)),
                // The replay tells what came before the book that was asked for.
                ("012~56", "0123456", asked_again(5, 2)),
                // Lost before it, behind it, on both sides; told in another order.
                ("012~34", "0134", None),
                ("012~34", "0124", None),
                ("012~34", "014", None),
                ("012~34", "01243", None),
                ("012~34", "01235", None),
                // A gap is told there, and is no excuse either.
                ("012~34", "012!4", None),
            ];
            for (told, again, expected) in cases {
                let found = ours(told).agrees(&history(again));
                assert_eq!(found.clone().ok(), expected, "{told} {again}: {found:?}");
            }
            // The socket was lost soon after, in the replay with what had not been applied.
            assert!(ours("01~23!45").agrees(&history("01!45")).is_ok());
            // Both were asked for again.
            let both = ours("012~56").agrees(&ours("012~6"));
            assert_eq!(
                both.map(|found| (found.gaps, found.beside_gaps)),
                Ok((1, 1))
            );
        }
    }

    #[test]
    fn of_a_millisecond_the_last_state_is_left() {
        let book = |at, levels| Told::Book((at, levels));
        let gap = || Told::Gap("disconnected".to_owned());
        let told = vec![
            book(1, 5),
            book(2, 6),
            gap(),
            book(2, 7),
            book(3, 8),
            book(2, 9),
        ];
        let left = [book(1, 5), gap(), book(2, 7), book(3, 8), book(2, 9)];
        assert_eq!(History(told).by_time().0, left);
    }
}
