//! Subscriptions that come back by themselves.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::book::{Broken, Step};
use crate::books::Books;
use crate::door::{Address, Dial, Door, NoDoor, Question};
use crate::error::{Error, Lost};
use crate::filter::Filter;
use crate::message::{Message, Subscribed};

/// Of the messages.
const VERSION: u32 = 1;
/// How long opening a connection and being answered may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Until the server has said how often it sends heartbeats.
const FIRST_SILENCE: Duration = Duration::from_secs(15);
/// Of a server that was lost without a word, the first wait; doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest of these waits.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Where a server is.
///
/// ```no_run
/// use polypy_client::{Client, Event, Filter};
/// # async fn example() -> Result<(), polypy_client::Error> {
/// let client = Client::new("http://localhost:8080")?;
/// let mut stream = client.subscribe(Filter::everything().markets(["will-it-rain"]));
/// loop {
///     if let Event::Message(received) = stream.next().await? {
///         for (token, book) in stream.books().iter().filter(|(_, book)| book.is_live()) {
///             println!("{token}: {:?}", book.levels().best_bid());
///         }
///         println!("{:?}", received.message);
///     }
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) address: Address,
    pub(crate) dialer: Option<Arc<dyn Dial>>,
    pub(crate) token: Option<String>,
}

// The token is nobody's business.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A server at `http://HOST:PORT` or `unix:FILE`, by Server-Sent Events, or at
    /// `ws://HOST:PORT`, by WebSocket. Both bring the same. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Url`] if the address is none, or asks for TLS.
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self {
            address: Address::parse(url, false)?,
            dialer: None,
            token: None,
        })
    }

    /// The same, also at `https://HOST:PORT` and `wss://HOST:PORT`, to which this opens
    /// the connections.
    ///
    /// # Errors
    /// [`Error::Url`] if the address is none.
    pub fn with_tls(url: &str, dialer: Arc<dyn Dial>) -> Result<Self, Error> {
        Ok(Self {
            address: Address::parse(url, true)?,
            dialer: Some(dialer),
            token: None,
        })
    }

    /// Shows this bearer token with each request.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A subscription. It connects with the first [`Subscription::next`].
    pub fn subscribe(&self, filter: Filter) -> Subscription {
        Subscription {
            question: Question {
                address: self.address.clone(),
                dialer: self.dialer.clone(),
                token: self.token.clone(),
                filter,
                cursor: None,
            },
            state: State::Idle,
            books: Books::default(),
            silence: FIRST_SILENCE,
            failures: 0,
            was_subscribed: false,
            is_back: false,
        }
    }
}

/// What a subscription has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message came, and the books have taken it. A [`Message::Gap`] says what is
    /// missing.
    Message(Received),
    /// The connection was lost; the subscription comes back after this time. Until then
    /// no book is live.
    Lost {
        /// Why.
        cause: Lost,
        /// When it asks again.
        retry: Duration,
    },
    /// It has come back. Recovered: all that was missed follows. Otherwise it is lost, and
    /// snapshots follow. A [gap](Message::Gap) says more where the server was given a place
    /// to go on from, which conflated subscriptions do not have.
    Resumed {
        /// All that was missed follows.
        recovered: bool,
        /// What was accepted.
        subscribed: Subscribed,
        /// The same as it came.
        text: String,
    },
    /// The messages contradict each other: a defect of the server, or of what is between.
    /// Books are had again by a new subscription.
    Broken {
        /// How.
        broken: Broken,
        /// The message that shows it.
        text: String,
    },
}

/// A message.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received {
    /// As it came.
    pub text: String,
    /// As a value.
    pub message: Message,
    /// What it did to a book.
    pub step: Step,
}

type Opening = Pin<Box<dyn Future<Output = Result<Door, NoDoor>> + Send>>;

/// Each wait is kept in here, so that a call of `next` that is dropped loses nothing.
enum State {
    Idle,
    Waiting(Pin<Box<tokio::time::Sleep>>),
    Opening(Opening),
    Open(Door),
}

/// A subscription: its messages in order, and the books that follow them.
///
/// Dropping it closes the connection. It starts no task: nothing is read while nobody
/// asks for the next event, and the server cuts off who does not read.
pub struct Subscription {
    question: Question,
    state: State,
    books: Books,
    /// Longest time in which something has to come.
    silence: Duration,
    /// Connections lost since messages came in full.
    failures: u32,
    was_subscribed: bool,
    /// The connection is not the first one that subscribes, and has not yet.
    is_back: bool,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("filter", &self.question.filter)
            .field("cursor", &self.question.cursor)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    /// The books as far as they have been told. They are live only while the connection
    /// is.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// The place from which the subscription would come back.
    pub fn cursor(&self) -> Option<&str> {
        self.question.cursor.as_deref()
    }

    /// Drops the connection and comes back at once, from where it was: for a machine that
    /// slept, or went to another network.
    pub fn reconnect(&mut self) {
        self.books.pause();
        self.state = State::Idle;
    }

    /// Comes back from here with the next connection: of an earlier subscription with
    /// the same filter, whose books are not here. So what the server replays has no
    /// book to be applied to; for trades, states and markets alone.
    pub fn resume_from(&mut self, cursor: impl Into<String>) {
        self.question.cursor = Some(cursor.into());
    }

    /// Waits for the next event, connecting whenever there is no connection. May be
    /// dropped and called again: nothing is lost.
    ///
    /// # Errors
    /// [`Error`] if asking again would end in the same way. A later call asks again.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            match &mut self.state {
                State::Idle => {
                    let opening = Door::open(self.question.clone());
                    self.state = State::Opening(Box::pin(async {
                        let opened = tokio::time::timeout(DIAL_TIMEOUT, opening).await;
                        opened.unwrap_or(Err(NoDoor::Lost(Lost::DialTimeout(DIAL_TIMEOUT))))
                    }));
                }
                State::Waiting(sleep) => {
                    sleep.as_mut().await;
                    self.state = State::Idle;
                }
                State::Opening(opening) => match opening.as_mut().await {
                    Ok(door) => {
                        self.silence = FIRST_SILENCE;
                        self.is_back = self.was_subscribed;
                        self.state = State::Open(door);
                    }
                    Err(NoDoor::Lost(lost)) => return Ok(self.lose(lost, None)),
                    Err(NoDoor::Refused(error)) => return Err(self.end(error)),
                },
                State::Open(door) => {
                    let arrived = tokio::time::timeout(self.silence, door.next()).await;
                    let arrived = arrived.unwrap_or(Err(Lost::Silent(self.silence)));
                    let retry = door.retry();
                    match arrived {
                        Ok(arrived) => {
                            if let Some(event) = self.take(arrived.text, arrived.id)? {
                                return Ok(event);
                            }
                        }
                        Err(lost) => return Ok(self.lose(lost, retry)),
                    }
                }
            }
        }
    }

    fn take(&mut self, text: String, id: Option<String>) -> Result<Option<Event>, Error> {
        let message = match Message::parse(&text) {
            Ok(message) => message,
            Err(error) => return Err(self.end(error.into())),
        };
        let step = match self.books.take(&message) {
            Ok(step) => step,
            Err(broken) => {
                // A trade that is lost is not had again by asking for everything.
                if !matches!(broken, Broken::Trade { .. }) {
                    self.question.cursor = None;
                    self.failures += 1;
                    let wait = self.wait(None);
                    self.state = State::Waiting(Box::pin(tokio::time::sleep(wait)));
                    self.books.pause();
                }
                return Ok(Some(Event::Broken { broken, text }));
            }
        };
        // Only once the message is in the books: a cursor promises what was before it.
        if let Some(cursor) = id.or_else(|| message.cursor().map(str::to_owned)) {
            self.question.cursor = Some(cursor);
        }
        match &message {
            Message::Hello(hello) if hello.version != VERSION => {
                return Err(self.end(Error::Version(hello.version)));
            }
            Message::Subscribed(subscribed) => {
                self.silence = Duration::from_millis(subscribed.heartbeat_ms.max(100)) * 3;
                self.was_subscribed = true;
                // Of an earlier subscription, too, that the caller resumes.
                let is_back = std::mem::take(&mut self.is_back) || subscribed.was_resuming;
                if is_back {
                    return Ok(Some(Event::Resumed {
                        recovered: subscribed.recovered,
                        subscribed: subscribed.clone(),
                        text,
                    }));
                }
            }
            Message::Ready(_) => self.failures = 0,
            Message::Closing(closing) => {
                let closing = closing.clone();
                return match closing.retry_ms {
                    Some(_) => Ok(Some(self.lose(Lost::Closing(closing), None))),
                    None => Err(self.end(Error::Closed(closing))),
                };
            }
            // Over a WebSocket; Server-Sent Events answer with a status.
            Message::Error(refusal) if refusal.id.is_some() => {
                let refusal = refusal.clone();
                return if refusal.temporary {
                    Ok(Some(self.lose(Lost::Refused(refusal), None)))
                } else {
                    Err(self.end(Error::Refused(refusal)))
                };
            }
            _ => {}
        }
        Ok(Some(Event::Message(Received {
            text,
            message,
            step,
        })))
    }

    fn lose(&mut self, cause: Lost, retry: Option<Duration>) -> Event {
        self.books.pause();
        self.failures += 1;
        let retry = self.wait(cause.retry().or(retry));
        self.state = State::Waiting(Box::pin(tokio::time::sleep(retry)));
        Event::Lost { cause, retry }
    }

    fn end(&mut self, error: Error) -> Error {
        self.books.pause();
        self.state = State::Idle;
        error
    }

    /// As the server says, or twice as long each time; never all clients at once.
    fn wait(&self, said: Option<Duration>) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let own = (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT);
        match said {
            // Its number is random already. One that fails again is asked less often.
            Some(said) if self.failures <= 1 => said,
            Some(said) => said.max(own.mul_f64(0.5 + fastrand::f64() / 2.0)),
            None => own.mul_f64(0.5 + fastrand::f64() / 2.0),
        }
    }
}
