//! What there is at least to be paid for: a loop that writes messages, prepared with
//! their frames, to the sockets that asked for their tokens. It renders nothing, keeps no
//! books, waits for nobody, and gathers what is due for a socket in one round into one
//! write, as the program does.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::{Message, accept};

use super::Failure;
use super::frame::{Glance, Token, glance, token};
use super::helper::{Helper, serve as take_orders};
use crate::clock::{machine_nanos, process_nanos};
use crate::loopback::script::head;

/// Makes this program the loop.
pub const BARE: &str = "--serve-bare";
/// Nanoseconds from one look for what is due to the next: as often as the program looks.
const ROUND: u64 = 500_000;
/// What the system holds for a socket, as the program has it.
const SEND_BUFFER: u32 = 64 << 10;
const BACKLOG: u32 = 4_096;

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Load(PathBuf),
    Accept(usize),
    Play,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Listening(SocketAddr),
    Accepted,
    Played(Played),
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Played {
    /// Messages, each as often as it was written.
    pub sent: u64,
    /// Those that a socket did not take.
    pub skipped: u64,
    /// Calls.
    pub writes: u64,
    /// Processor time.
    pub cpu_nanos: u64,
    /// Time.
    pub nanos: u64,
}

/// A message, and after how many nanoseconds it is due.
struct Prepared {
    after: u64,
    token: Token,
    frame: Vec<u8>,
}

struct Socket {
    stream: TcpStream,
    /// What the system did not take of the last write.
    rest: Vec<u8>,
    /// Messages that are due.
    due: Vec<usize>,
}

struct Loop {
    listener: TcpListener,
    messages: Vec<Prepared>,
    sockets: Vec<Socket>,
    subscribers: HashMap<Token, Vec<usize>>,
}

/// Serves until the standard input ends.
///
/// # Errors
/// When who started it is gone.
pub fn serve() -> Result<(), Failure> {
    let mut bare = Loop {
        listener: listen()?,
        messages: Vec::new(),
        sockets: Vec::new(),
        subscribers: HashMap::new(),
    };
    take_orders(|order| match order {
        Order::Load(file) => {
            bare.messages = load(&std::fs::read(file)?)?;
            Ok(Answer::Listening(bare.listener.local_addr()?))
        }
        Order::Accept(clients) => {
            for _ in 0..clients {
                bare.accept()?;
            }
            Ok(Answer::Accepted)
        }
        Order::Play => Ok(Answer::Played(bare.play()?)),
    })
}

/// A listener whose sockets have the program's send buffer.
fn listen() -> Result<TcpListener, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    listener.set_nonblocking(false)?;
    Ok(listener)
}

/// Reads messages as the clients kept them.
fn load(mut bytes: &[u8]) -> Result<Vec<Prepared>, Failure> {
    let mut messages = Vec::new();
    let mut first = None;
    while let Some((at, rest)) = bytes.split_first_chunk() {
        let at = u64::from_le_bytes(*at);
        let after = at.saturating_sub(*first.get_or_insert(at));
        let (length, rest) = rest.split_first_chunk().ok_or("a message without length")?;
        let length = usize::try_from(u32::from_le_bytes(*length))?;
        let (text, rest) = rest.split_at_checked(length).ok_or("half a message")?;
        bytes = rest;
        let token = match glance(text) {
            Some(
                Glance::Delta { token, .. } | Glance::State { token, .. } | Glance::Trade { token },
            ) => token,
            other => return Err(format!("a message that is of no token: {other:?}").into()),
        };
        let mut frame = Vec::with_capacity(length + 4);
        head(length, &mut frame);
        frame.extend_from_slice(text);
        messages.push(Prepared {
            after: 1_000 * after,
            token,
            frame,
        });
    }
    Ok(messages)
}

impl Loop {
    /// Takes a client, which asks for tokens.
    fn accept(&mut self) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Subscribe {
            tokens: Vec<String>,
        }
        let (stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        let mut socket = accept(stream).map_err(|error| error.to_string())?;
        let message = socket.read()?;
        let asked: Subscribe = serde_json::from_str(message.to_text()?)?;
        for id in &asked.tokens {
            let subscribers = self.subscribers.entry(token(id.as_bytes()));
            subscribers.or_default().push(self.sockets.len());
        }
        let ready = r#"{"type":"ready","id":1,"cursor":null}"#;
        socket.send(Message::text(ready))?;
        let stream = socket.into_inner();
        stream.set_nonblocking(true)?;
        self.sockets.push(Socket {
            stream,
            rest: Vec::new(),
            due: Vec::new(),
        });
        Ok(())
    }

    /// Writes all messages, each when it is due.
    fn play(&mut self) -> Result<Played, Failure> {
        let mut played = Played::default();
        let (start, cpu) = (machine_nanos(), process_nanos());
        let (mut at, mut touched, mut gathered) = (0, Vec::new(), Vec::new());
        while let Some(next) = self.messages.get(at) {
            // One round after the other, however late: else a busy machine would have it
            // write less often.
            let end = (next.after / ROUND + 1) * ROUND;
            let left = end.saturating_sub(machine_nanos() - start);
            std::thread::sleep(Duration::from_nanos(left));
            while let Some(message) = self.messages.get(at).filter(|next| next.after < end) {
                for &to in self.subscribers.get(&message.token).into_iter().flatten() {
                    let due = &mut self.sockets[to].due;
                    if due.is_empty() {
                        touched.push(to);
                    }
                    due.push(at);
                }
                at += 1;
            }
            for to in touched.drain(..) {
                self.sockets[to].write(&self.messages, &mut gathered, &mut played)?;
            }
        }
        played.nanos = machine_nanos() - start;
        played.cpu_nanos = process_nanos() - cpu;
        Ok(played)
    }
}

impl Socket {
    /// Writes what is due; nothing while the system has not taken what was before.
    fn write(
        &mut self,
        messages: &[Prepared],
        gathered: &mut Vec<u8>,
        played: &mut Played,
    ) -> Result<(), Failure> {
        let number = u64::try_from(self.due.len())?;
        if !self.rest.is_empty() {
            let taken = written(&mut self.stream, &self.rest)?;
            played.writes += 1;
            self.rest.drain(..taken);
        }
        if !self.rest.is_empty() {
            self.due.clear();
            played.skipped += number;
            return Ok(());
        }
        let bytes = match self.due[..] {
            [one] => &messages[one].frame,
            _ => {
                gathered.clear();
                for at in &self.due {
                    gathered.extend_from_slice(&messages[*at].frame);
                }
                &*gathered
            }
        };
        let taken = written(&mut self.stream, bytes)?;
        played.writes += 1;
        self.rest.extend_from_slice(&bytes[taken..]);
        self.due.clear();
        played.sent += number;
        Ok(())
    }
}

/// How many bytes the system takes.
fn written(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        taken => taken,
    }
}

/// This process's end of the loop.
#[derive(Debug)]
pub struct Bare {
    helper: Helper,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Bare {
    /// A loop with the messages of a file.
    ///
    /// # Errors
    /// When it cannot be started, or the file is not as it was kept.
    pub fn start(file: PathBuf) -> Result<Self, Failure> {
        let mut helper = Helper::start(BARE)?;
        match helper.ask(&Order::Load(file))? {
            Answer::Listening(address) => Ok(Self { helper, address }),
            other => Err(unexpected(&other)),
        }
    }

    /// Has it take so many clients, who are to come now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn expect(&mut self, clients: usize) -> Result<(), Failure> {
        self.helper.tell(&Order::Accept(clients))
    }

    /// Waits until all have come.
    ///
    /// # Errors
    /// When one of them asks for something else.
    pub fn accepted(&mut self) -> Result<(), Failure> {
        match self.helper.hear()? {
            Answer::Accepted => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Has it write.
    ///
    /// # Errors
    /// When a client is gone.
    pub fn play(&mut self) -> Result<Played, Failure> {
        match self.helper.ask(&Order::Play)? {
            Answer::Played(played) => Ok(played),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> Failure {
    format!("the loop said {answer:?}").into()
}
