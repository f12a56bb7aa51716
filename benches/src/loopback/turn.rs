//! One run: a fresh set of connections, a flow, and what it cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_net::dial::{Dial, DialConfig, SystemDialer};
use rustls::pki_types::CertificateDer;

use super::bare::{Bare, Listening, Work};
use super::product::Product;
use super::stamps::Ages;
use super::venue::Venue;
use super::{Answer, CERTIFICATE, Failure, HOST, Order, Security, Sent};
use crate::checksum::Checksum;
use crate::clock::process_nanos;
use crate::corpus::Corpus;

/// The longest that openings take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A WebSocket client that counts.
    Receive,
    /// One that decodes and applies, without a program around it.
    Apply,
    /// The program.
    Ours,
}

impl Who {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Apply => "receive and apply",
            Self::Ours => "ours",
        }
    }
}

/// What is sent, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Each carries as many tokens as the others.
    pub connections: usize,
    /// How they are protected.
    pub security: Security,
    /// Frames a second; as many as are taken where there is no plan.
    pub rate: Option<u64>,
    /// For so long.
    pub millis: u64,
}

/// What a run took.
#[derive(Debug)]
pub struct Taken {
    /// What was sent.
    pub sent: Sent,
    /// From the first frame's leaving to the last one's being dealt with.
    pub nanos: u64,
    /// Processor time of all threads of the client.
    pub cpu_nanos: u64,
    /// How old changes were when they were applied; of a planned flow only.
    pub ages: Ages,
}

/// The exchange, and all that its clients need.
pub struct Bench {
    venue: Venue,
    corpus: Arc<Corpus>,
    dialer: Arc<dyn Dial>,
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench")
            .field("venue", &self.venue)
            .finish_non_exhaustive()
    }
}

impl Bench {
    /// Starts the exchange; `argument` makes this program one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(argument: &str) -> Result<Self, Failure> {
        let venue = Venue::start(argument)?;
        let roots = [CertificateDer::from(CERTIFICATE)];
        let dialer = SystemDialer::with_roots(DialConfig::default(), &roots)?;
        Ok(Self {
            venue,
            corpus: Arc::new(Corpus::cyclic(super::TOKENS, super::FRAMES)),
            dialer: Arc::new(dialer),
        })
    }

    /// What is told.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Runs once.
    ///
    /// # Errors
    /// When something failed, or the program did not do what it should have.
    pub fn run(&mut self, who: Who, flow: Flow) -> Result<Taken, Failure> {
        let to = self.listening(flow)?;
        match who {
            Who::Receive => self.bare(Work::Receive, to, flow),
            Who::Apply => self.bare(Work::Apply, to, flow),
            Who::Ours => self.ours(&to, flow),
        }
    }

    /// Has the program listen, over one connection, to `warming` frames and more as
    /// fast as it takes them, then to these flows in turn; `mark` is called before
    /// the first and after each. What was sent of each.
    ///
    /// # Errors
    /// As of [`Self::run`].
    pub fn run_warm(
        &mut self,
        warming: u64,
        flows: &[Flow],
        mut mark: impl FnMut(),
    ) -> Result<Vec<Sent>, Failure> {
        let warm = Flow {
            connections: 1,
            security: Security::Plain,
            rate: None,
            millis: 100,
        };
        let to = self.listening(warm)?;
        let product = Product::start(&to)?;
        self.subscribed()?;
        product.wait_for_books()?;
        let mut all = Sent::default();
        while all.frames < warming {
            self.send_more(&product, warm, &mut all)?;
        }
        mark();
        let mut sent = Vec::with_capacity(flows.len());
        for flow in flows {
            sent.push(self.send_more(&product, *flow, &mut all)?);
            mark();
        }
        let verdict = product.verify(&all, self.truth()?);
        product.stop();
        verdict.map(|()| sent)
    }

    fn send_more(
        &mut self,
        product: &Product,
        flow: Flow,
        all: &mut Sent,
    ) -> Result<Sent, Failure> {
        let sent = self.send(flow)?;
        all.frames += sent.frames;
        all.changes += sent.changes;
        product.wait_for(all)?;
        Ok(sent)
    }

    /// Has the exchange take new connections; where they find it.
    fn listening(&mut self, flow: Flow) -> Result<Listening, Failure> {
        let Flow {
            connections,
            security,
            ..
        } = flow;
        let accept = Order::Accept {
            connections,
            security,
        };
        self.venue.tell(accept)?;
        let scheme = match security {
            Security::Plain => "ws",
            Security::Aes256 | Security::Aes128 | Security::Aes128Apart | Security::ChaCha20 => {
                "wss"
            }
        };
        let port = self.venue.port;
        Ok(Listening {
            url: format!("{scheme}://{HOST}:{port}/ws/market").parse()?,
            dialer: Arc::clone(&self.dialer),
            corpus: Arc::clone(&self.corpus),
            connections,
            aged: flow.rate.is_some(),
        })
    }

    fn bare(&mut self, work: Work, to: Listening, flow: Flow) -> Result<Taken, Failure> {
        let openings = u64::try_from(to.corpus.openings.len())?;
        let client = Bare::start(work, to);
        self.subscribed()?;
        let start = Instant::now();
        while client.messages() < openings {
            if start.elapsed() > PATIENCE {
                return Err("the bare client does not get its openings".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let cpu = process_nanos();
        let sent = self.send(flow)?;
        let (messages, end, ages) = client.join()?;
        let cpu_nanos = process_nanos() - cpu;
        if messages != openings + sent.frames {
            return Err(format!("{messages} of {} frames arrived", sent.frames).into());
        }
        Ok(Taken {
            nanos: end - sent.start,
            sent,
            cpu_nanos,
            ages,
        })
    }

    fn ours(&mut self, to: &Listening, flow: Flow) -> Result<Taken, Failure> {
        let product = Product::start(to)?;
        self.subscribed()?;
        product.wait_for_books()?;
        drop(product.take_ages());
        let cpu = process_nanos();
        let sent = self.send(flow)?;
        let end = product.wait_for(&sent)?;
        let cpu_nanos = process_nanos() - cpu;
        let ages = product.take_ages();
        let verdict = product.verify(&sent, self.truth()?);
        product.stop();
        verdict?;
        Ok(Taken {
            nanos: end - sent.start,
            sent,
            cpu_nanos,
            ages,
        })
    }

    fn truth(&mut self) -> Result<Checksum, Failure> {
        self.venue.tell(Order::Truth)?;
        match self.venue.answer()? {
            Answer::Truth { levels, sum } => Ok(Checksum { levels, sum }),
            other => Err(unexpected(&other)),
        }
    }

    fn subscribed(&mut self) -> Result<(), Failure> {
        match self.venue.answer()? {
            Answer::Subscribed => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn send(&mut self, flow: Flow) -> Result<Sent, Failure> {
        let millis = flow.millis;
        let order = match flow.rate {
            None => Order::Blast { millis },
            Some(rate) => Order::Pace { rate, millis },
        };
        self.venue.tell(order)?;
        match self.venue.answer()? {
            Answer::Sent(sent) => Ok(sent),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> Failure {
    format!("the exchange said {answer:?}").into()
}
