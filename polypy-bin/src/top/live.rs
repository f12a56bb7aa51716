//! The screen while it lives: keys, what the server says, and time, one after the other.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use polypy::exit::Exit;
use polypy_client::reads::{Pages, Query, ReadError};
use polypy_client::{Book, Client, Error, Event, Filter, Message, Subscription};
use polypy_core::{ConditionId, Side};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::look::Look;
use super::model::{Act, Input, Kind, Model, Pulse, Question, Rows, Sight};
use super::screen::{Keys, Screen};
use crate::follow::Target;
use crate::terminal;

/// Between two looks at what time does: ages, and what has become old.
const TICK: Duration = Duration::from_millis(250);
/// A connection that has said nothing for so long is given up.
const GIVEN_UP: Duration = Duration::from_secs(6);
/// How often a ladder is drawn at most.
const PACE: Duration = Duration::from_millis(100);
/// Levels a side that a ladder gets.
const DEPTH: u32 = 100;

type Reading = Pin<Box<dyn Future<Output = Result<Rows, ReadError>>>>;

/// Why it ended.
enum End {
    Quit,
    /// The server refuses, and would again.
    Refused(Error),
    Terminal(io::Error),
}

/// Shows the screen until somebody ends it.
pub(super) async fn live(
    target: &Target,
    client: &Client,
    model: Model,
    delay: Duration,
    look: Look,
) -> Exit {
    let ended = match Screen::open(look) {
        Ok(screen) => run(client, model, delay, screen).await,
        Err(error) => End::Terminal(error),
    };
    // The screen is given back by now.
    match ended {
        End::Quit => Exit::Clean,
        End::Refused(error) => target.refused(&error),
        End::Terminal(error) => {
            terminal::say(&format_args!("the terminal cannot be used: {error}"));
            Exit::Io
        }
    }
}

async fn run(client: &Client, mut model: Model, delay: Duration, screen: Screen) -> End {
    match Running::begin(client, &mut model, delay, screen) {
        Ok(mut running) => match running.go_on(&mut model).await {
            Ok(end) => end,
            Err(error) => End::Terminal(error),
        },
        Err(error) => End::Terminal(error),
    }
}

/// The market of a ladder. Without a subscription the server has refused one.
struct Followed {
    id: ConditionId,
    stream: Option<Subscription>,
}

/// What is open meanwhile.
struct Running<'a> {
    client: &'a Client,
    delay: Duration,
    screen: Screen,
    keys: Keys,
    stops: tokio::signal::unix::Signal,
    pulse: Subscription,
    ladder: Option<Followed>,
    reading: Option<(Question, Reading)>,
    asked: Option<Question>,
    ask_at: Instant,
}

impl<'a> Running<'a> {
    fn begin(
        client: &'a Client,
        model: &mut Model,
        delay: Duration,
        screen: Screen,
    ) -> io::Result<Self> {
        model.size = screen.size()?;
        let stop = rustix::process::Signal::TSTP.as_raw();
        Ok(Self {
            client,
            delay,
            screen,
            keys: Keys::listen()?,
            stops: signal(SignalKind::from_raw(stop))?,
            pulse: client.subscribe(Filter::everything().channels(["health"])),
            ladder: None,
            reading: None,
            asked: None,
            ask_at: Instant::now(),
        })
    }

    async fn go_on(&mut self, model: &mut Model) -> io::Result<End> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.ask(model);
            self.follow(model);
            self.screen.draw(model)?;
            let input = tokio::select! {
                key = self.keys.next() => match key {
                    Some(key) => key?,
                    None => return Ok(End::Quit),
                },
                event = self.pulse.next() => match event {
                    Ok(event) => match heard(event) {
                        Some(input) => input,
                        None => continue,
                    },
                    Err(error) => return Ok(End::Refused(error)),
                },
                inputs = books(&mut self.ladder) => {
                    for input in inputs {
                        model.on(input, Instant::now());
                    }
                    continue;
                },
                input = read(&mut self.reading) => input,
                _ = ticks.tick() => {
                    let heard = model.heard;
                    if heard.is_some_and(|heard| heard.elapsed() > GIVEN_UP) && !model.is_lost() {
                        self.pulse.reconnect();
                        model.on(Input::Lost { cause: "nothing is heard".to_owned(), retry: Duration::ZERO }, Instant::now());
                    }
                    Input::Tick
                },
                _ = self.stops.recv() => {
                    self.screen.suspend()?;
                    continue;
                },
            };
            panic_if_asked(&input);
            let was_old = model.is_old();
            match model.on(input, Instant::now()) {
                Some(Act::Quit) => return Ok(End::Quit),
                Some(Act::Redraw) => self.screen.redraw(model)?,
                Some(Act::Suspend) => self.screen.suspend()?,
                None => {}
            }
            if was_old && !model.is_old() {
                self.ask_at = Instant::now();
            }
        }
    }

    /// Asks for rows when it is time, or something else is to be shown.
    fn ask(&mut self, model: &Model) {
        let Some(question) = model.question() else {
            self.asked = None;
            return;
        };
        let is_other = self.asked.as_ref() != Some(&question);
        let is_due = Instant::now() >= self.ask_at && self.reading.is_none();
        if is_other || is_due {
            let reading = rows(self.client.clone(), question.clone());
            self.reading = Some((question.clone(), Box::pin(reading)));
            self.asked = Some(question);
            self.ask_at = Instant::now() + self.delay;
        }
    }

    /// Follows the books of the market that is shown, and of no other.
    fn follow(&mut self, model: &Model) {
        let wanted = model.followed();
        if self.ladder.as_ref().map(|ladder| &ladder.id) == wanted {
            return;
        }
        self.ladder = wanted.map(|id| {
            let filter = Filter::everything()
                .markets([id.as_str()])
                .channels(["book", "state", "trade"])
                .conflated(PACE)
                .depth(DEPTH);
            Followed {
                id: id.clone(),
                stream: Some(self.client.subscribe(filter)),
            }
        });
    }
}

/// Panics at a key, for tests of what becomes of the terminal.
#[cfg(feature = "fault-injection")]
fn panic_if_asked(input: &Input) {
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};
    let is_asked = matches!(input, Input::Key(key)
        if key.code == KeyCode::Char('p') && key.modifiers.contains(KeyModifiers::CONTROL));
    assert!(!is_asked, "a key asked for it");
}

#[cfg(not(feature = "fault-injection"))]
fn panic_if_asked(_input: &Input) {}

/// What an event of the verdict's subscription says.
fn heard(event: Event) -> Option<Input> {
    match event {
        Event::Message(received) => match received.message {
            Message::Health(health) => Some(Input::Heard(Pulse {
                ts_us: health.ts_us,
                health: health.health,
                sample: health.sample,
            })),
            _ => None,
        },
        Event::Lost { cause, retry } => Some(Input::Lost {
            cause: cause.to_string(),
            retry,
        }),
        _ => None,
    }
}

/// What the subscription of a ladder says next: never anything without one.
async fn books(ladder: &mut Option<Followed>) -> Vec<Input> {
    let followed = ladder.as_mut().map(|ladder| &mut ladder.stream);
    let Some(slot) = followed else {
        return pending().await;
    };
    let Some(stream) = slot else {
        return pending().await;
    };
    match stream.next().await {
        Ok(Event::Message(received)) => {
            let mut inputs = Vec::new();
            if let Some(token) = received.message.token_id().cloned()
                && let Some(book) = stream.books().get(token.as_str())
            {
                inputs.push(Input::Book(token, sight(book)));
            }
            if let Message::Trade(trade) = received.message {
                inputs.push(Input::Traded(trade));
            }
            inputs
        }
        Ok(Event::Lost { .. }) => vec![Input::BooksLost],
        Ok(_) => Vec::new(),
        Err(error) => {
            // The market is gone, or was never here: the table says more.
            *slot = None;
            vec![Input::BooksLost, Input::Unread(error.to_string())]
        }
    }
}

pub(super) fn sight(book: &Book) -> Sight {
    let levels = |side| book.levels().levels(side).collect();
    Sight {
        state: book.state().name().to_owned(),
        reason: book.reason().map(str::to_owned),
        verified: book.verified(),
        is_followed: book.is_followed(),
        ts_event_ms: book.ts_event_ms(),
        bids: levels(Side::Bid),
        asks: levels(Side::Ask),
    }
}

/// The rows that are being read: never anything while none are.
async fn read(reading: &mut Option<(Question, Reading)>) -> Input {
    let Some((question, rows)) = reading else {
        return pending().await;
    };
    let read = rows.as_mut().await;
    let question = question.clone();
    *reading = None;
    match read {
        Ok(rows) => Input::Read(question, rows),
        Err(error) => Input::Unread(error.to_string()),
    }
}

/// What the server answers to a question.
pub(super) async fn rows(client: Client, question: Question) -> Result<Rows, ReadError> {
    let limit = question.limit;
    match question.kind {
        Kind::Markets => {
            let mut found: Pages<_> = client.markets(&query(&question));
            let mut markets = Vec::new();
            while markets.len() < usize::from(limit)
                && let Some(market) = found.next().await?
            {
                markets.push(market);
            }
            let matched = found.head().map_or(0, |head| head.matched);
            Ok(Rows::Markets(markets, matched))
        }
        Kind::Connections => {
            let found = client.connections(question.sort, limit).await?;
            Ok(Rows::Connections(found.connections, found.matched))
        }
    }
}

/// The question for markets, in the server's words.
pub(super) fn query(question: &Question) -> Query {
    let query = Query::default().page(question.limit).tops();
    let query = query.set("sort", question.sort);
    match question.words.as_str() {
        "" => query,
        words => query.text(words),
    }
}
