//! How tokens that a selection names fare: their states, as the stream tells them, held
//! against the changes of the selection.
//!
//! A token is *held* from the moment at which a change that names it was through until
//! one that does not was asked for. Once its book was live within that time it has to
//! stay so.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use polypy::PolyPy;
use polypy::clock::SystemClock;
use polypy::stream::{Channel, Channels, Event, Filter};
use polypy_core::{BookState, Clock};
use tokio::task::JoinHandle;

/// The time as messages state it, in milliseconds.
pub fn now() -> u64 {
    SystemClock.now().millis()
}

/// What became of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// It is live.
    Live,
    /// It is not: there is none yet, or it is stale.
    NotLive,
    /// It is forgotten.
    Gone,
}

/// A message on the state of a token's book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whose.
    pub token: String,
    /// Since when.
    pub at: u64,
    /// What.
    pub became: Became,
    /// Why it is not live.
    pub reason: Option<String>,
}

/// Listens to the states of all books.
#[derive(Debug)]
pub struct Listener {
    task: JoinHandle<(Vec<Told>, usize)>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Listener {
    /// Begins; what is live already is told first.
    ///
    /// # Panics
    /// When the stream cannot be had.
    pub async fn begin(polypy: &PolyPy) -> Self {
        let filter = Filter::everything(Channels::NONE.with(Channel::State));
        let mut stream = polypy.subscribe(filter).await.expect("a stream");
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut told, mut gaps) = (Vec::new(), 0);
            loop {
                let message = tokio::select! {
                    message = stream.next() => message,
                    _ = &mut stopped => return (told, gaps),
                };
                let message = message.expect("the program runs");
                match message.event() {
                    Event::State(state) => told.push(Told {
                        token: state.token.info.asset_id.to_string(),
                        at: state.since_ms,
                        reason: state.state.map(|state| format!("{state:?}")),
                        became: match state.state {
                            Some(BookState::Live) => Became::Live,
                            Some(_) => Became::NotLive,
                            None => Became::Gone,
                        },
                    }),
                    Event::Gap(_) => gaps += 1,
                    _ => {}
                }
            }
        });
        Self { task, stop }
    }

    /// Ends; all that was told.
    ///
    /// # Panics
    /// When it missed something.
    pub async fn end(self) -> Vec<Told> {
        drop(self.stop);
        let (told, gaps) = self.task.await.expect("listening does not panic");
        assert_eq!(gaps, 0, "states were missed");
        told
    }
}

/// A change of the selection.
#[derive(Debug, Clone)]
pub struct Change {
    /// When it was asked for.
    pub asked: u64,
    /// When it was through; `None`: another took its place.
    pub through: Option<u64>,
    /// The tokens that it names in any case.
    pub must: BTreeSet<String>,
    /// Those that it names or does not.
    pub may: BTreeSet<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Books that were not live while they were held, with the time of the change that
    /// named them first.
    pub broken: Vec<(Told, u64)>,
    /// Times for which a token was held and its book live.
    pub held: usize,
    /// From being asked for to the book being live.
    pub to_live: Vec<Duration>,
    /// From being left out to the book being forgotten.
    pub to_gone: Vec<Duration>,
}

/// Clocks of two readings are this far apart at most, and a little more.
const SLACK: u64 = 5;

/// A state of several frames, some of which are still on their way, is no book of the
/// venue's: until they come its hash does not fit. That ends sooner than another book can be
/// had, which takes the exchange this many milliseconds at least.
pub const REST_OF_A_STATE: u64 = 100;

/// Holds what was told against the changes, of which the first is through before anything
/// is looked at; `end` is when that ends. A token that is named again is held from `late`
/// milliseconds on: until then frames of its earlier life come, and the new book that they
/// have led astray is found out by its hash and asked for again. A book may be in the midst
/// of a state.
pub fn look(told: &[Told], changes: &[Change], end: u64, late: u64) -> Found {
    let mut by_token: HashMap<&str, Vec<&Told>> = HashMap::new();
    for told in told {
        by_token.entry(&told.token).or_default().push(told);
    }
    let mut found = Found::default();
    for (token, mut told) in by_token {
        // The order of the stream is that of its time but for equal ones, where it stays.
        told.sort_by_key(|told| told.at);
        look_at(token, &told, changes, (end, late), &mut found);
    }
    found
}

/// Changes in succession that all name a token.
struct Run {
    /// Which is the first.
    first: usize,
    /// When it was asked for, or the beginning of all.
    begun: u64,
    /// When the first of them was through that was not replaced.
    through: Option<u64>,
    /// When one was asked for that does not name it.
    until: u64,
}

fn runs(token: &str, changes: &[Change], end: u64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut is_open = false;
    for (number, change) in changes.iter().enumerate() {
        let names = change.must.contains(token);
        if let Some(run) = runs.last_mut().filter(|_| is_open) {
            if names {
                run.through = run.through.or(change.through);
            } else {
                run.until = change.asked;
            }
        } else if names {
            runs.push(Run {
                first: number,
                begun: if number == 0 { 0 } else { change.asked },
                through: change.through,
                until: end,
            });
        }
        is_open = names;
    }
    runs
}

/// Whether what is told says no more than that the rest of a state is on its way.
fn is_in_midst(told: &Told, next: Option<&&Told>) -> bool {
    let is_doubt = told.reason.as_deref() == Some("Stale(Hash)");
    let ends = next.filter(|next| next.became != Became::NotLive);
    is_doubt && ends.is_some_and(|next| next.at - told.at < REST_OF_A_STATE)
}

fn look_at(
    token: &str,
    told: &[&Told],
    changes: &[Change],
    (end, late): (u64, u64),
    found: &mut Found,
) {
    let millis = Duration::from_millis;
    for run in runs(token, changes, end) {
        let asked = changes[run.first].asked;
        // What was said before it was named may be of an earlier life, and what is said as it
        // is let go follows from that.
        let span = run.begun..run.until.saturating_sub(SLACK);
        let within = told
            .iter()
            .enumerate()
            .filter(|(_, told)| span.contains(&told.at));
        let late = if run.begun == 0 { 0 } else { late };
        let held_from = run.through.map(|through| through + SLACK + late);
        let mut is_live = false;
        let mut was_live = false;
        for (number, now) in within {
            if now.became == Became::Live {
                if !was_live && now.at >= asked {
                    found.to_live.push(millis(now.at - asked));
                }
                (is_live, was_live) = (true, true);
            } else if !is_in_midst(now, told.get(number + 1)) {
                let is_held = held_from.is_some_and(|from| now.at > from);
                if is_live && is_held {
                    found.broken.push(((*now).clone(), asked));
                }
                is_live = false;
            }
        }
        found.held += usize::from(was_live && held_from.is_some());
        let released = changes[run.first..]
            .iter()
            .find(|it| !it.must.contains(token));
        if let Some(change) = released.filter(|it| is_live && !it.may.contains(token)) {
            let mut later = told.iter().filter(|told| told.at >= change.asked);
            let gone = later.find(|told| told.became == Became::Gone);
            let gone = gone.filter(|_| change.through.is_some());
            found
                .to_gone
                .extend(gone.map(|told| millis(told.at - change.asked)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(at: u64, became: Became) -> Told {
        Told {
            token: "1".to_owned(),
            at,
            became,
            reason: None,
        }
    }

    fn change(asked: u64, through: Option<u64>, names: bool) -> Change {
        let token = || BTreeSet::from(["1".to_owned()]);
        Change {
            asked,
            through,
            must: if names { token() } else { BTreeSet::new() },
            may: BTreeSet::new(),
        }
    }

    #[test]
    fn a_held_token_that_was_live_has_to_stay_so() {
        let changes = [change(100, Some(110), true), change(200, Some(210), true)];
        for became in [Became::NotLive, Became::Gone] {
            for at in [150, 205, 250] {
                let all = [told(20, Became::Live), told(at, became)];
                let found = look(&all, &changes, 300, 0);
                assert_eq!(found.broken, [(told(at, became), 100)], "{at}");
            }
        }
        let all = [told(112, Became::NotLive), told(120, Became::Live)];
        let found = look(&all, &changes, 300, 0);
        assert!(found.broken.is_empty(), "it was not live yet");
        assert_eq!(found.to_live, [Duration::from_millis(20)]);
        assert_eq!(found.held, 1);
    }

    #[test]
    fn one_may_be_in_the_midst_of_a_state_and_no_longer() {
        let changes = [change(0, Some(10), true)];
        let doubt = |reason: &str| Told {
            reason: Some(reason.to_owned()),
            ..told(50, Became::NotLive)
        };
        let broken = |doubt: Told, next| {
            let all = [told(20, Became::Live), doubt, next];
            look(&all, &changes, 900, 0).broken.len()
        };
        let hash = || doubt("Stale(Hash)");
        let back = |at| told(at, Became::Live);
        assert_eq!(broken(hash(), back(50 + REST_OF_A_STATE - 1)), 0);
        assert_eq!(broken(hash(), back(50 + REST_OF_A_STATE)), 1);
        assert_eq!(broken(hash(), told(60, Became::NotLive)), 1);
        assert_eq!(broken(hash(), told(60, Became::Gone)), 1, "of the second");
        assert_eq!(broken(doubt("Stale(Disconnected)"), back(60)), 1);
        let all = [told(20, Became::Live), hash()];
        assert_eq!(look(&all, &changes, 900, 0).broken.len(), 1);
    }

    #[test]
    fn what_is_told_as_it_is_let_go_follows_from_that() {
        let changes = [change(0, Some(10), true), change(200, Some(210), false)];
        let broken = |at| {
            let all = [told(20, Became::Live), told(at, Became::Gone)];
            look(&all, &changes, 300, 0).broken.len()
        };
        assert_eq!((broken(194), broken(195), broken(199)), (1, 0, 0));
    }

    #[test]
    fn one_that_is_named_again_is_held_once_late_frames_are_over() {
        let changes = [
            change(0, Some(10), true),
            change(100, Some(110), false),
            change(200, Some(210), true),
        ];
        let all = |at| {
            [
                told(20, Became::Live),
                told(104, Became::Gone),
                told(230, Became::Live),
                told(at, Became::NotLive),
            ]
        };
        let broken = |at| look(&all(at), &changes, 300, 50).broken.len();
        assert_eq!((broken(260), broken(270)), (0, 1));
    }

    #[test]
    fn one_that_a_change_leaves_out_may_go_and_come_again() {
        let changes = [
            change(0, Some(10), true),
            change(100, Some(110), false),
            change(200, Some(210), true),
        ];
        let all = [
            told(20, Became::Live),
            told(104, Became::Gone),
            told(205, Became::NotLive),
            told(230, Became::Live),
        ];
        let found = look(&all, &changes, 300, 0);
        assert!(found.broken.is_empty());
        let ms = Duration::from_millis;
        assert_eq!(found.to_gone, [ms(4)]);
        assert_eq!(found.to_live, [ms(20), ms(30)]);
        // The word that it went may come when it is named again already.
        let all = [
            told(20, Became::Live),
            told(220, Became::Gone),
            told(230, Became::Live),
            told(260, Became::NotLive),
        ];
        let found = look(&all, &changes, 300, 0);
        assert_eq!(found.broken, [(told(260, Became::NotLive), 200)]);
    }

    #[test]
    fn a_change_that_another_replaced_may_have_let_go_what_it_leaves_out() {
        let changes = [
            change(0, Some(10), true),
            change(100, None, false),
            change(101, Some(120), true),
        ];
        let all = [
            told(20, Became::Live),
            told(102, Became::Gone),
            told(119, Became::Live),
            told(140, Became::NotLive),
        ];
        let found = look(&all, &changes, 300, 0);
        assert_eq!(found.broken, [(told(140, Became::NotLive), 101)]);
    }
}
