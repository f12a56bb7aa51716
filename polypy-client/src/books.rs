//! The books and trades of a subscription, by token.

use std::collections::{HashMap, HashSet};

use polypy_core::AssetId;

use crate::book::{Book, Broken, Step, is_for_all};
use crate::message::{Message, Trust};

/// Every book of one subscription. Tokens appear with their first message and go when
/// the server forgets them, so it is as large as what was asked for.
#[derive(Debug, Clone, Default)]
pub struct Books {
    books: HashMap<AssetId, Book>,
    trades: HashMap<AssetId, Trades>,
    /// The connection was lost, and not all that came since has come again.
    is_paused: bool,
    /// Tokens from before the connection was lost of which the new one has said nothing.
    untold: HashSet<AssetId>,
}

/// The trades of one token.
#[derive(Debug, Clone, Copy)]
struct Trades {
    /// The last one's number.
    last: u64,
    /// There was a gap since, which may have trades.
    has_gap: bool,
}

impl Books {
    /// Takes a message, whatever it is about.
    ///
    /// # Errors
    /// [`Broken`] if the message contradicts those before it.
    pub fn take(&mut self, message: &Message) -> Result<Step, Broken> {
        let Some(token) = message.token_id() else {
            return Ok(self.take_for_all(message));
        };
        self.untold.remove(token);
        match message {
            Message::Trade(trade) => return self.trade(token, trade.trade_sequence),
            Message::State(state) if state.state == Trust::Forgotten => {
                self.books.remove(token);
                self.trades.remove(token);
                return Ok(Step::Trusted);
            }
            Message::Gap(_) => {
                let trades = self.trades.get_mut(token);
                trades.into_iter().for_each(|trades| trades.has_gap = true);
            }
            Message::Snapshot(_) | Message::Delta(_) | Message::State(_) => {}
            _ => return Ok(Step::Unconcerned),
        }
        match self.books.get_mut(token) {
            Some(book) => book.take(message),
            // One that is broken or only interrupted is no book yet.
            None => {
                let mut book = Book::default();
                let step = book.take(message)?;
                if step != Step::Interrupted {
                    self.books.insert(token.clone(), book);
                }
                Ok(step)
            }
        }
    }

    /// The connection is lost: no book is live until the client has come back.
    pub fn pause(&mut self) {
        self.is_paused = true;
        self.books.values_mut().for_each(Book::pause);
    }

    /// The book of a token.
    pub fn get(&self, token: &str) -> Option<&Book> {
        self.books.get(token)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&AssetId, &Book)> {
        self.books.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.books.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// What concerns the connection as a whole concerns every token.
    fn take_for_all(&mut self, message: &Message) -> Step {
        match message {
            Message::Gap(gap) if is_for_all(gap) => self.doubt_trades(),
            Message::Closing(_) => self.is_paused = true,
            // Nothing of before comes again, and a server that was restarted may not have
            // these tokens any more.
            Message::Subscribed(subscribed) if self.is_paused && !subscribed.recovered => {
                self.is_paused = false;
                self.doubt_trades();
                let known = self.books.keys().chain(self.trades.keys());
                self.untold = known.cloned().collect();
            }
            Message::Ready(_) => {
                self.is_paused = false;
                for gone in self.untold.drain() {
                    self.books.remove(&gone);
                    self.trades.remove(&gone);
                }
            }
            _ => return Step::Unconcerned,
        }
        let mut step = Step::Unconcerned;
        for book in self.books.values_mut() {
            if let Ok(Step::Interrupted) = book.take(message) {
                step = Step::Interrupted;
            }
        }
        step
    }

    /// Trades may be missing: the next number of each token may be any.
    fn doubt_trades(&mut self) {
        let trades = self.trades.values_mut();
        trades.for_each(|trades| trades.has_gap = true);
    }

    fn trade(&mut self, token: &AssetId, found: u64) -> Result<Step, Broken> {
        let new = Trades {
            last: found,
            has_gap: false,
        };
        let Some(trades) = self.trades.get_mut(token) else {
            self.trades.insert(token.clone(), new);
            return Ok(Step::Unconcerned);
        };
        if self.is_paused && found <= trades.last {
            return Ok(Step::Old);
        }
        let old = std::mem::replace(trades, new);
        if found == old.last + 1 || old.has_gap {
            Ok(Step::Unconcerned)
        } else {
            Err(Broken::Trade {
                before: old.last,
                found,
            })
        }
    }
}
