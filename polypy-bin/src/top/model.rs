//! What is shown, and what a key or an answer does to it: one value with one function, without
//! I/O and without a clock of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use polypy_client::message::Trade;
use polypy_client::reads::{Connection, Market};
use polypy_core::{AssetId, ConditionId, Level};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

/// Nothing for so long from a server that speaks once a second: what is shown is old. One
/// message may be late.
pub(super) const SILENCE: Duration = Duration::from_millis(2_500);
/// Trades that a ladder keeps.
const TRADES: usize = 50;
/// Rows that the server gives at most.
const MOST_ROWS: usize = 1_000;
/// Lines of the screen that are no rows of a table.
pub(super) const FRAME: usize = 7;

/// Which table is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Markets,
    Connections,
}

impl Kind {
    /// The server's orders, the usual one first.
    pub(super) fn sorts(self) -> &'static [&'static str] {
        match self {
            Self::Markets => &[
                "volume_day",
                "change",
                "spread",
                "volume",
                "liquidity",
                "end",
                "listed",
            ],
            Self::Connections => &[
                "trouble",
                "name",
                "messages",
                "bytes",
                "silence",
                "tokens",
                "reconnects",
            ],
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Markets => Self::Connections,
            Self::Connections => Self::Markets,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Markets => "markets",
            Self::Connections => "connections",
        }
    }
}

/// What is asked of the server: it sorts and cuts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) sort: &'static str,
    /// Of markets: words that they have.
    pub(super) words: String,
    pub(super) limit: u16,
}

/// Rows as the server gave them, and how many there are in all.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rows {
    Markets(Vec<Market>, u64),
    Connections(Vec<Connection>, u64),
}

/// The server's verdict and newest sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pulse {
    pub(super) ts_us: u64,
    pub(super) health: Value,
    pub(super) sample: Value,
}

/// The link to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing has come yet.
    Connecting,
    Open,
    /// The connection is there, and nothing comes.
    Silent,
    /// The connection is lost, and is tried again.
    Lost {
        cause: String,
        retry: Instant,
    },
}

/// What a book is like.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sight {
    /// `live`, `stale` and others; empty before anything is known.
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) verified: Option<bool>,
    /// Nothing of it is missing.
    pub(super) is_followed: bool,
    pub(super) ts_event_ms: Option<u64>,
    /// Best first.
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
}

/// The books of a market.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ladder {
    pub(super) condition_id: ConditionId,
    pub(super) question: String,
    pub(super) tokens: Vec<(AssetId, String)>,
    /// The token that is shown.
    pub(super) at: usize,
    pub(super) sights: Vec<Sight>,
    /// The newest first.
    pub(super) trades: VecDeque<Trade>,
}

impl Ladder {
    fn of(market: &Market) -> Self {
        let tokens = market.tokens.iter();
        let tokens: Vec<_> = tokens
            .map(|token| (token.token_id.clone(), token.outcome.clone()))
            .collect();
        Self {
            condition_id: market.condition_id.clone(),
            question: market.question.clone(),
            at: 0,
            sights: vec![Sight::default(); tokens.len()],
            tokens,
            trades: VecDeque::new(),
        }
    }

    pub(super) fn sight(&self) -> Option<&Sight> {
        self.sights.get(self.at)
    }
}

/// What lies above the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Above {
    Nothing,
    Help,
    /// Words that are being typed.
    Search(String),
}

/// Where one is in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    sort: usize,
    /// The row with the cursor, and the first one on the screen.
    pub(super) row: usize,
    pub(super) first: usize,
}

/// What happens.
#[derive(Debug)]
pub(super) enum Input {
    Key(KeyEvent),
    Pasted(String),
    Resized(u16, u16),
    /// The server has spoken.
    Heard(Pulse),
    /// The connection that brings the verdict is lost.
    Lost {
        cause: String,
        retry: Duration,
    },
    /// Rows came for this question.
    Read(Question, Rows),
    /// None came, and why.
    Unread(String),
    /// A token's book is like this.
    Book(AssetId, Sight),
    Traded(Trade),
    /// The connection that brings the books is lost.
    BooksLost,
    /// Time has passed.
    Tick,
}

/// What is to be done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Quit,
    /// Everything is drawn again: something else wrote to the terminal.
    Redraw,
    Suspend,
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) kind: Kind,
    places: [Place; 2],
    pub(super) ladder: Option<Ladder>,
    pub(super) above: Above,
    pub(super) words: String,
    pub(super) link: Link,
    /// When something last came.
    pub(super) heard: Option<Instant>,
    pub(super) pulse: Option<Pulse>,
    pub(super) markets: Vec<Market>,
    pub(super) connections: Vec<Connection>,
    pub(super) matched: u64,
    /// Why the rows are not as new as they should be.
    pub(super) unread: Option<String>,
    /// The question that the rows answer.
    answered: Option<Question>,
    pub(super) size: (u16, u16),
}

impl Model {
    pub(super) fn new(kind: Kind, sort: &str, words: String, size: (u16, u16)) -> Self {
        let mut places = [Place::default(); 2];
        let known = kind.sorts().iter().position(|known| *known == sort);
        places[kind as usize].sort = known.unwrap_or(0);
        Self {
            kind,
            places,
            ladder: None,
            above: Above::Nothing,
            words,
            link: Link::Connecting,
            heard: None,
            pulse: None,
            markets: Vec::new(),
            connections: Vec::new(),
            matched: 0,
            unread: None,
            answered: None,
            size,
        }
    }

    /// What the server is to be asked for; nothing while no table is shown.
    pub(super) fn question(&self) -> Option<Question> {
        if self.ladder.is_some() {
            return None;
        }
        let place = self.place();
        let wanted = (place.first + self.room()).clamp(1, MOST_ROWS);
        Some(Question {
            kind: self.kind,
            sort: self.sort(),
            words: match self.kind {
                Kind::Markets => self.words.clone(),
                Kind::Connections => String::new(),
            },
            limit: u16::try_from(wanted).unwrap_or(u16::MAX),
        })
    }

    /// The order in force. That of words is by how well they match, until another is chosen.
    pub(super) fn sort(&self) -> &'static str {
        let place = self.place();
        if self.kind == Kind::Markets && place.sort == 0 && !self.words.is_empty() {
            return "relevance";
        }
        self.kind.sorts()[place.sort]
    }

    /// The market whose books are to be followed.
    pub(super) fn followed(&self) -> Option<&ConditionId> {
        self.ladder.as_ref().map(|ladder| &ladder.condition_id)
    }

    /// Whether what is shown is old.
    pub(super) fn is_old(&self) -> bool {
        self.link != Link::Open
    }

    /// Whether the connection is lost and tried again.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.link, Link::Lost { .. })
    }

    /// Whether the rows answer another question than the one that is asked now.
    pub(super) fn is_asking(&self) -> bool {
        let asked = self.question();
        let same = |one: &Question, other: &Question| {
            (one.kind, one.sort, &one.words) == (other.kind, other.sort, &other.words)
        };
        match (&self.answered, &asked) {
            (Some(answered), Some(asked)) => !same(answered, asked),
            (None, _) => true,
            (_, None) => false,
        }
    }

    pub(super) fn place(&self) -> Place {
        self.places[self.kind as usize]
    }

    /// Rows of a table that fit on the screen.
    pub(super) fn room(&self) -> usize {
        usize::from(self.size.1).saturating_sub(FRAME).max(1)
    }

    pub(super) fn rows(&self) -> usize {
        match self.kind {
            Kind::Markets => self.markets.len(),
            Kind::Connections => self.connections.len(),
        }
    }

    /// The one function that changes it.
    pub(super) fn on(&mut self, input: Input, now: Instant) -> Option<Act> {
        match input {
            Input::Key(key) => return self.press(key),
            Input::Pasted(text) => {
                if let Above::Search(words) = &mut self.above {
                    words.extend(text.chars().filter(|letter| !letter.is_control()));
                }
            }
            Input::Resized(columns, lines) => {
                self.size = (columns, lines);
                self.keep_in_sight();
            }
            Input::Heard(pulse) => {
                self.pulse = Some(pulse);
                self.heard = Some(now);
                self.link = Link::Open;
            }
            Input::Lost { cause, retry } => {
                self.link = Link::Lost {
                    cause,
                    retry: now + retry,
                };
            }
            Input::Read(question, rows) => self.take(question, rows),
            Input::Unread(why) => self.unread = Some(why),
            Input::Book(token, sight) => {
                if let Some(ladder) = &mut self.ladder {
                    let mut tokens = ladder.tokens.iter();
                    if let Some(at) = tokens.position(|(id, _)| *id == token) {
                        ladder.sights[at] = sight;
                    }
                }
            }
            Input::Traded(trade) => {
                if let Some(ladder) = &mut self.ladder {
                    ladder.trades.push_front(trade);
                    ladder.trades.truncate(TRADES);
                }
            }
            Input::BooksLost => {
                for sight in self.ladder.iter_mut().flat_map(|ladder| &mut ladder.sights) {
                    sight.is_followed = false;
                }
            }
            Input::Tick => {
                let is_silent = self
                    .heard
                    .is_some_and(|heard| now.saturating_duration_since(heard) > SILENCE);
                if self.link == Link::Open && is_silent {
                    self.link = Link::Silent;
                }
            }
        }
        None
    }

    /// Takes rows, unless something else was asked since. The cursor stays on its row.
    fn take(&mut self, question: Question, rows: Rows) {
        if question.kind != self.kind || question.words != self.words_of(question.kind) {
            return;
        }
        let held = self.held();
        match rows {
            Rows::Markets(markets, matched) => {
                (self.markets, self.matched) = (markets, matched);
            }
            Rows::Connections(connections, matched) => {
                (self.connections, self.matched) = (connections, matched);
            }
        }
        let is_same_order = self
            .answered
            .as_ref()
            .is_some_and(|before| (before.sort, &before.words) == (question.sort, &question.words));
        self.answered = Some(question);
        self.unread = None;
        let found =
            held.and_then(|held| (0..self.rows()).find(|at| self.name(*at) == Some(&*held)));
        let place = &mut self.places[self.kind as usize];
        // One that was never moved stays at the top, and so it is in another order.
        if let Some(at) = found.filter(|_| is_same_order && place.row > 0) {
            place.row = at;
        }
        self.keep_in_sight();
    }

    fn words_of(&self, kind: Kind) -> &str {
        match kind {
            Kind::Markets => &self.words,
            Kind::Connections => "",
        }
    }

    /// The name of the row with the cursor.
    fn held(&self) -> Option<String> {
        self.name(self.place().row).map(str::to_owned)
    }

    fn name(&self, row: usize) -> Option<&str> {
        match self.kind {
            Kind::Markets => Some(self.markets.get(row)?.condition_id.as_str()),
            Kind::Connections => Some(&self.connections.get(row)?.connection),
        }
    }

    fn press(&mut self, key: KeyEvent) -> Option<Act> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return Some(Act::Quit),
            KeyCode::Char('l') if is_control => return Some(Act::Redraw),
            KeyCode::Char('z') if is_control => return Some(Act::Suspend),
            _ if is_control => return None,
            _ => {}
        }
        match &self.above {
            Above::Search(_) => {
                self.type_word(key.code);
                None
            }
            Above::Help => {
                self.above = Above::Nothing;
                (key.code == KeyCode::Char('q')).then_some(Act::Quit)
            }
            Above::Nothing => self.steer(key.code),
        }
    }

    fn type_word(&mut self, code: KeyCode) {
        let Above::Search(words) = &mut self.above else {
            return;
        };
        match code {
            KeyCode::Enter => {
                self.words = words.trim().to_owned();
                self.above = Above::Nothing;
                self.kind = Kind::Markets;
                self.places[self.kind as usize].row = 0;
                self.keep_in_sight();
            }
            KeyCode::Esc => self.above = Above::Nothing,
            KeyCode::Backspace => {
                words.pop();
            }
            KeyCode::Char(letter) => words.push(letter),
            _ => {}
        }
    }

    fn steer(&mut self, code: KeyCode) -> Option<Act> {
        match code {
            KeyCode::Char('q') => return Some(Act::Quit),
            KeyCode::Char('?') | KeyCode::F(1) => self.above = Above::Help,
            KeyCode::Char('/') => {
                self.ladder = None;
                self.above = Above::Search(self.words.clone());
            }
            _ if self.ladder.is_some() => self.steer_ladder(code),
            _ => self.steer_table(code),
        }
        None
    }

    fn steer_ladder(&mut self, code: KeyCode) {
        match code {
            KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Left => {
                self.ladder = None;
            }
            KeyCode::Tab | KeyCode::Char('o') => {
                if let Some(ladder) = &mut self.ladder {
                    ladder.at = (ladder.at + 1) % ladder.tokens.len().max(1);
                }
            }
            _ => {}
        }
    }

    fn steer_table(&mut self, code: KeyCode) {
        let (rows, room, sorts) = (self.rows(), self.room(), self.kind.sorts().len());
        let place = &mut self.places[self.kind as usize];
        match code {
            KeyCode::Tab | KeyCode::BackTab => {
                self.kind = self.kind.other();
                self.unread = None;
            }
            KeyCode::Char('s') => place.sort = (place.sort + 1) % sorts,
            KeyCode::Char('S') => place.sort = (place.sort + sorts - 1) % sorts,
            KeyCode::Down | KeyCode::Char('j') => place.row += 1,
            KeyCode::Up | KeyCode::Char('k') => place.row = place.row.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => place.row += room,
            KeyCode::PageUp => place.row = place.row.saturating_sub(room),
            KeyCode::Home | KeyCode::Char('g') => place.row = 0,
            KeyCode::End | KeyCode::Char('G') => place.row = rows.saturating_sub(1),
            KeyCode::Esc if self.kind == Kind::Markets => self.words.clear(),
            KeyCode::Enter | KeyCode::Right if self.kind == Kind::Markets => {
                let row = place.row;
                self.ladder = self.markets.get(row).map(Ladder::of);
            }
            _ => {}
        }
        self.keep_in_sight();
    }

    /// The cursor stays on a row that there is, or may be; the rows around it on the screen.
    fn keep_in_sight(&mut self) {
        let room = self.room();
        let most = usize::try_from(self.matched).unwrap_or(usize::MAX);
        let most = most.min(MOST_ROWS).saturating_sub(1);
        let place = &mut self.places[self.kind as usize];
        if self
            .answered
            .as_ref()
            .is_some_and(|question| question.kind == self.kind)
        {
            place.row = place.row.min(most);
        }
        place.first = place
            .first
            .min(place.row)
            .max((place.row + 1).saturating_sub(room));
    }
}
