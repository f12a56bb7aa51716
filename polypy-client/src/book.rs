//! One token's book, kept from the stream's messages, and every check that the messages
//! allow.
//!
//! | has | message | becomes |
//! |---|---|---|
//! | anything | `snapshot` | followed: replaced, whatever its epoch |
//! | followed | `delta` that continues it | followed: levels set |
//! | followed | any other `delta` | broken |
//! | not followed, interrupted | `delta` | broken |
//! | followed or paused | `gap` after which a snapshot comes | interrupted, levels kept |
//! | followed or interrupted | `closing`, or the connection is lost ([`Book::pause`]) | paused |
//! | paused | `delta` that is not newer in epoch and sequence | unchanged: a replay |
//! | paused | any other `delta` | as for a followed one |
//! | paused | `subscribed` that recovers nothing | interrupted, levels kept |
//! | paused | `ready` | followed: all that was missed has come |
//! | anything | `state` | trusted as it says |
//!
//! A broken book is not followed until a snapshot comes: the caller subscribes again.
//! What no number in the messages shows cannot be noticed here: a wrong size below the
//! top of the book, for one. The server's checks against the venue's hashes are for that.

use polypy_core::{LevelChange, OrderBook, Price, Side};

use crate::message::{Delta, Gap, Message, Next, Scope, Snapshot, State, Trust};

/// A book that follows the messages of one token.
///
/// ```
/// use polypy_client::{Book, Message, Step};
/// # let snapshot = r#"{"type":"snapshot","token_id":"1","condition_id":"0xa","outcome":"Yes","epoch":1,"sequence":7,"cause":"subscribed","state":"live","reason":null,"verified":true,"hash":null,"tick_size":"0.01","depth":null,"ts_event_ms":1,"ts_recv_us":1000,"bids":[["0.48","10"]],"asks":[["0.52","5"]]}"#;
/// # let delta = r#"{"type":"delta","token_id":"1","epoch":1,"prev_sequence":7,"sequence":8,"ts_event_ms":2,"ts_recv_us":2000,"changes":[["bid","0.49","3"]],"best_bid":"0.49","best_ask":"0.52","conflated":null,"depth":null}"#;
/// let mut book = Book::default();
/// assert_eq!(book.take(&Message::parse(snapshot)?)?, Step::Replaced);
/// assert_eq!(book.take(&Message::parse(delta)?)?, Step::Changed);
/// assert_eq!(book.levels().best_bid().unwrap().price.to_string(), "0.49");
/// assert!(book.is_live());
///
/// // One that was left out is noticed.
/// let later = delta.replace("\"prev_sequence\":7", "\"prev_sequence\":9");
/// let later = later.replace("\"sequence\":8", "\"sequence\":10");
/// assert!(book.take(&Message::parse(&later)?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Book {
    levels: OrderBook,
    following: Following,
    epoch: u64,
    sequence: u64,
    /// What the last delta followed on; none of a snapshot.
    previous: Option<u64>,
    trust: Trust,
    reason: Option<String>,
    verified: Option<bool>,
    tick_size: Option<String>,
    depth: Option<u32>,
    ts_event_ms: Option<u64>,
    ts_recv_us: Option<u64>,
}

/// Whether the next delta continues the levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Following {
    /// No: there are none, or they are wrong.
    No,
    /// No: something is missing after them.
    Interrupted,
    /// Once the connection is back where it was.
    Paused,
    /// Yes, and nothing newer is known to anyone.
    Yes,
}

/// What a message did to a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// It has all new levels.
    Replaced,
    /// Levels were set.
    Changed,
    /// Nothing: this was known, from before the connection was resumed.
    Old,
    /// How far to trust it may be another answer.
    Trusted,
    /// Something is missing; it is not followed until a snapshot comes.
    Interrupted,
    /// Nothing: the message does not concern the book's levels or its state.
    Unconcerned,
}

/// The messages contradict each other: something was lost, and nothing said so. The
/// book is not followed any more; subscribe again, without a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A change of a book of which there is none: the cursor of a narrower
    /// subscription was used, or the snapshot was lost.
    #[error("a delta came without a book to apply it to (its sequence: {sequence})")]
    NoBook {
        /// The delta's.
        sequence: u64,
    },
    /// A delta of another epoch, with no snapshot before it.
    #[error("a delta of epoch {theirs} came for a book of epoch {ours}")]
    Epoch {
        /// The book's.
        ours: u64,
        /// The delta's.
        theirs: u64,
    },
    /// The delta before this one is missing, or this one begins in the middle of it.
    #[error("a delta from {prev_sequence} to {sequence} came for a book at {ours}")]
    Sequence {
        /// The book's.
        ours: u64,
        /// What the delta follows on.
        prev_sequence: u64,
        /// The delta's.
        sequence: u64,
    },
    /// The delta has more or fewer levels than its numbers say.
    #[error("a delta of {said} levels has {found}")]
    Length {
        /// By its numbers.
        said: u64,
        /// In it.
        found: u64,
    },
    /// The book's best price is not the one that the delta states.
    #[error("the best {} is {} by the levels, and {} by the delta", side_name(*side), shown(*ours), shown(*theirs))]
    Top {
        /// Which side's.
        side: Side,
        /// By the levels.
        ours: Option<Price>,
        /// By the delta.
        theirs: Option<Price>,
    },
    /// A trade is missing. The book itself is followed on.
    #[error("trade {found} came after trade {before}")]
    Trade {
        /// The last one's number.
        before: u64,
        /// The number of the one that came.
        found: u64,
    },
}

impl Default for Book {
    fn default() -> Self {
        Self {
            levels: OrderBook::default(),
            following: Following::No,
            epoch: 0,
            sequence: 0,
            previous: None,
            trust: Trust::Pending,
            reason: None,
            verified: None,
            tick_size: None,
            depth: None,
            ts_event_ms: None,
            ts_recv_us: None,
        }
    }
}

impl Book {
    /// Takes a message of the book's token, or of the connection.
    ///
    /// # Errors
    /// [`Broken`] says what does not fit. The levels are as before for all but
    /// [`Broken::Top`].
    pub fn take(&mut self, message: &Message) -> Result<Step, Broken> {
        match message {
            Message::Snapshot(snapshot) => Ok(self.replace(snapshot)),
            Message::Delta(delta) => {
                let step = self.change(delta);
                if step.is_err() {
                    self.following = Following::No;
                }
                step
            }
            Message::State(state) => Ok(self.trust(state)),
            Message::Gap(gap) => Ok(self.interrupt(gap)),
            Message::Closing(_) => {
                self.pause();
                Ok(Step::Interrupted)
            }
            Message::Subscribed(subscribed)
                if self.following == Following::Paused && !subscribed.recovered =>
            {
                self.following = Following::Interrupted;
                Ok(Step::Interrupted)
            }
            Message::Ready(_) => {
                if self.following == Following::Paused {
                    self.following = Following::Yes;
                }
                Ok(Step::Unconcerned)
            }
            _ => Ok(Step::Unconcerned),
        }
    }

    /// The connection is lost. The book is not live until the client has come back.
    pub fn pause(&mut self) {
        // Also after a gap: if the client comes back with a cursor from before it, all
        // that was missing comes.
        if matches!(self.following, Following::Yes | Following::Interrupted) {
            self.following = Following::Paused;
        }
    }

    /// The levels.
    pub fn levels(&self) -> &OrderBook {
        &self.levels
    }

    /// History without a known hole.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number of the last message that set levels.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the levels are those of the server, as far as anything has arrived.
    pub fn is_followed(&self) -> bool {
        self.following == Following::Yes
    }

    /// Whether the levels may be traded on: followed, and live.
    pub fn is_live(&self) -> bool {
        self.is_followed() && self.trust == Trust::Live
    }

    /// What the server last said of how far to trust it.
    pub fn state(&self) -> Trust {
        self.trust
    }

    /// Why it is stale.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Whether the venue's hash came out of the levels; `None`: no hash says anything.
    pub fn verified(&self) -> Option<bool> {
        self.verified
    }

    /// Smallest step of a price, as the venue writes it.
    pub fn tick_size(&self) -> Option<&str> {
        self.tick_size.as_deref()
    }

    /// Levels a side at most; `None`: all.
    pub fn depth(&self) -> Option<u32> {
        self.depth
    }

    /// The venue's time of the last change, milliseconds since 1970.
    pub fn ts_event_ms(&self) -> Option<u64> {
        self.ts_event_ms
    }

    /// When the last change reached the server, microseconds since 1970.
    pub fn ts_recv_us(&self) -> Option<u64> {
        self.ts_recv_us
    }

    fn replace(&mut self, snapshot: &Snapshot) -> Step {
        self.levels
            .apply_snapshot(snapshot.bids.clone(), snapshot.asks.clone());
        self.following = Following::Yes;
        self.epoch = snapshot.epoch;
        self.sequence = snapshot.sequence;
        self.previous = None;
        self.trust = snapshot.state;
        self.reason.clone_from(&snapshot.reason);
        self.verified = snapshot.verified;
        self.tick_size.clone_from(&snapshot.tick_size);
        self.depth = snapshot.depth;
        self.ts_event_ms = Some(snapshot.ts_event_ms);
        self.ts_recv_us = Some(snapshot.ts_recv_us);
        Step::Replaced
    }

    fn change(&mut self, delta: &Delta) -> Result<Step, Broken> {
        match self.following {
            Following::No | Following::Interrupted => {
                return Err(Broken::NoBook {
                    sequence: delta.sequence,
                });
            }
            // Over a WebSocket what came since the last heartbeat comes again. The numbers
            // grow across epochs, so an old delta is old in both.
            Following::Paused if delta.epoch <= self.epoch && delta.sequence <= self.sequence => {
                // Where the replay meets the book it has to be the same delta.
                let is_last = (delta.epoch, delta.sequence) == (self.epoch, self.sequence);
                let is_other = self.previous.is_some_and(|own| own != delta.prev_sequence);
                return if is_last && is_other {
                    Err(self.out_of_sequence(delta))
                } else {
                    Ok(Step::Old)
                };
            }
            Following::Paused | Following::Yes => {}
        }
        if delta.epoch != self.epoch {
            return Err(Broken::Epoch {
                ours: self.epoch,
                theirs: delta.epoch,
            });
        }
        if delta.prev_sequence != self.sequence || delta.sequence <= self.sequence {
            return Err(self.out_of_sequence(delta));
        }
        let said = delta.sequence.saturating_sub(delta.prev_sequence);
        let found = u64::try_from(delta.changes.len()).unwrap_or(u64::MAX);
        if delta.conflated.is_none() && delta.depth.is_none() && said != found {
            return Err(Broken::Length { said, found });
        }
        for LevelChange { side, price, size } in &delta.changes {
            self.levels.apply_change(*side, *price, *size);
        }
        self.sequence = delta.sequence;
        self.previous = Some(delta.prev_sequence);
        self.ts_event_ms = Some(delta.ts_event_ms);
        self.ts_recv_us = Some(delta.ts_recv_us);
        for (side, theirs) in [(Side::Bid, delta.best_bid), (Side::Ask, delta.best_ask)] {
            let ours = self.levels.best_price(side);
            if ours != theirs {
                return Err(Broken::Top { side, ours, theirs });
            }
        }
        Ok(Step::Changed)
    }

    fn out_of_sequence(&self, delta: &Delta) -> Broken {
        Broken::Sequence {
            ours: self.sequence,
            prev_sequence: delta.prev_sequence,
            sequence: delta.sequence,
        }
    }

    fn trust(&mut self, state: &State) -> Step {
        self.trust = state.state;
        self.reason.clone_from(&state.reason);
        self.verified = state.verified;
        if state.state == Trust::Forgotten {
            self.following = Following::No;
        }
        Step::Trusted
    }

    fn interrupt(&mut self, gap: &Gap) -> Step {
        match gap.next {
            // Nothing of the book is missing: trades are.
            Next::None => Step::Unconcerned,
            // What is missing comes if the client comes back with its last cursor.
            Next::Closing => {
                self.pause();
                Step::Interrupted
            }
            Next::Snapshot | Next::Other => {
                if self.following != Following::No {
                    self.following = Following::Interrupted;
                }
                Step::Interrupted
            }
        }
    }
}

/// Whether a gap concerns every token of the subscription that is followed.
pub(crate) fn is_for_all(gap: &Gap) -> bool {
    match gap.scope {
        Scope::Token => false,
        Scope::Subscription | Scope::Connection | Scope::Other => true,
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Bid => "bid",
        Side::Ask => "ask",
    }
}

fn shown(price: Option<Price>) -> String {
    price.map_or_else(|| "none".to_owned(), |price| price.to_string())
}
