//! The clients: all of one process, which has one thread. They read, check sequences and
//! take ages; those that are stuck never read.

use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, BufRead, BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinSet, LocalSet};

use super::Failure;
use super::client::{Client, Door, Kept, Tally};
use super::frame;
use super::helper::{Helper, answer};
use crate::clock::process_nanos;

/// Makes this program the clients.
pub const CROWD: &str = "--serve-crowd";
/// Longer than the longest message: a hundred opening books of the exchange.
const SCRATCH: usize = 4 << 20;
/// What the system holds for a client that does not read: as little as it lets one ask for.
const STUCK_BUFFER: u32 = 4 << 10;
/// Tokens in a frame that asks the exchange for them.
const CHUNK: usize = 100;
/// Tokens of a connection to the exchange, as the program has them.
const SHARE: usize = 200;
const SEED: u64 = 14;

/// Who is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// A client of every token, beside the others.
    pub everything: bool,
    /// Clients of ten to a hundred tokens each; the same number asks for the same ones.
    pub some: usize,
    /// So many of them never read.
    pub stuck: usize,
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Know(Vec<String>),
    Open {
        to: SocketAddr,
        door: Door,
        group: Group,
    },
    Begin {
        keep: bool,
    },
    Tell,
    Keep(PathBuf),
    Close,
}

/// What the clients that read have got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Got {
    /// Clients that read, and were there from the start.
    pub clients: u64,
    /// Tokens of all of them, each counted as often as it is asked for.
    pub tokens: u64,
    /// Of `Tally`, like all that has no other sentence here.
    pub messages: u64,
    /// In the messages.
    pub bytes: u64,
    /// In deltas.
    pub changes: u64,
    /// That returned something.
    pub reads: u64,
    /// How old changes were when they came, in microseconds: half, and all but one in a
    /// hundred.
    pub age_us: [u64; 2],
    /// The oldest of them.
    pub longest_us: u64,
    /// Since the clients were opened, as what follows.
    pub snapshots: u64,
    /// Clients that had all their openings.
    pub ready: u64,
    /// Messages that say that something is missing.
    pub gaps: u64,
    /// Sequences that do not follow, texts that cannot be read.
    pub faults: u64,
    /// Books that were said not to be live.
    pub not_live: u64,
    /// Clients that ended.
    pub ended: u64,
    /// For which the process ran since the count began.
    pub cpu_nanos: u64,
}

struct World {
    scratch: RefCell<Vec<u8>>,
    tally: RefCell<Tally>,
    kept: RefCell<Option<Kept>>,
}

struct Crowd {
    world: Rc<World>,
    tokens: Vec<String>,
    clients: JoinSet<()>,
    stuck: Vec<TcpStream>,
    reading: u64,
    subscribed: u64,
    cpu: u64,
}

/// Serves until the standard input ends.
///
/// # Errors
/// When who started it is gone.
pub fn serve() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // An order is answered before the next is given.
    let (sender, mut orders) = tokio::sync::mpsc::channel(1);
    let reader = std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut crowd = Crowd {
        world: Rc::new(World {
            scratch: RefCell::new(vec![0; SCRATCH]),
            tally: RefCell::default(),
            kept: RefCell::default(),
        }),
        tokens: Vec::new(),
        clients: JoinSet::new(),
        stuck: Vec::new(),
        reading: 0,
        subscribed: 0,
        cpu: 0,
    };
    let served = LocalSet::new().block_on(&runtime, async {
        while let Some(line) = orders.recv().await {
            let order: Order = serde_json::from_str(&line)?;
            answer(crowd.obey(order).await)?;
        }
        Ok::<(), Failure>(())
    });
    drop(orders);
    reader
        .join()
        .map_err(|_panic| "the reader of orders panicked")?;
    served
}

impl Crowd {
    async fn obey(&mut self, order: Order) -> Result<Got, Failure> {
        match order {
            Order::Know(tokens) => self.tokens = tokens,
            Order::Open { to, door, group } => self.open(to, door, group).await?,
            Order::Begin { keep } => {
                self.world.tally.borrow_mut().restart();
                *self.world.kept.borrow_mut() = keep.then(Kept::default);
                self.cpu = process_nanos();
            }
            Order::Tell => {}
            Order::Keep(path) => self.keep(path)?,
            Order::Close => {
                self.stuck.clear();
                self.clients.shutdown().await;
                *self.world.tally.borrow_mut() = Tally::default();
                (self.reading, self.subscribed) = (0, 0);
            }
        }
        Ok(self.got())
    }

    fn got(&self) -> Got {
        let tally = self.world.tally.borrow();
        let age = |quantile| tally.ages.value_at_quantile(quantile);
        Got {
            clients: self.reading,
            tokens: self.subscribed,
            messages: tally.messages,
            bytes: tally.bytes,
            changes: tally.changes,
            reads: tally.reads,
            age_us: [age(0.5), age(0.99)],
            longest_us: tally.ages.max(),
            snapshots: tally.snapshots,
            ready: tally.ready,
            gaps: tally.gaps,
            faults: tally.faults,
            not_live: tally.not_live,
            ended: tally.ended,
            cpu_nanos: process_nanos().saturating_sub(self.cpu),
        }
    }

    async fn open(&mut self, to: SocketAddr, door: Door, group: Group) -> Result<(), Failure> {
        if group.everything {
            let all = self.tokens.clone();
            if door == Door::Venue {
                for share in all.chunks(SHARE) {
                    self.enter(to, door, share, false).await?;
                }
            } else {
                self.enter(to, door, &[], true).await?;
                self.subscribed += u64::try_from(all.len())?;
            }
        }
        let mut rng = Rng::with_seed(SEED);
        for number in 0..group.some {
            let count = rng.usize(10..=100);
            let tokens = rng.choose_multiple(self.tokens.clone(), count);
            if number < group.stuck {
                let (stream, _) = connect(to, door, &tokens, Some(STUCK_BUFFER)).await?;
                self.stuck.push(stream);
            } else {
                self.enter(to, door, &tokens, false).await?;
            }
        }
        Ok(())
    }

    /// Adds a client that reads.
    async fn enter(
        &mut self,
        to: SocketAddr,
        door: Door,
        tokens: &[String],
        is_kept: bool,
    ) -> Result<(), Failure> {
        let (stream, rest) = connect(to, door, tokens, None).await?;
        self.reading += 1;
        self.subscribed += u64::try_from(tokens.len())?;
        let client = Client::new(door, is_kept);
        let world = Rc::clone(&self.world);
        self.clients.spawn_local(async move {
            // Whatever ends it, it has ended.
            let how = follow(stream, rest, client, &world).await;
            let mut tally = world.tally.borrow_mut();
            tally.ended += 1;
            tally.tell("a client ended", format!("{how:?}").as_bytes());
        });
        Ok(())
    }

    /// Writes what was kept.
    fn keep(&self, path: PathBuf) -> Result<(), Failure> {
        let kept = self.world.kept.borrow_mut().take();
        let kept = kept.ok_or("nothing was to be kept")?;
        let mut file = BufWriter::new(File::create(path)?);
        for (at, text) in kept.messages {
            file.write_all(&at.to_le_bytes())?;
            file.write_all(&u32::try_from(text.len())?.to_le_bytes())?;
            file.write_all(&text)?;
        }
        Ok(file.flush()?)
    }
}

/// Reads until the end.
async fn follow(
    mut stream: TcpStream,
    mut rest: Vec<u8>,
    mut client: Client,
    world: &World,
) -> io::Result<()> {
    loop {
        // The buffer is everybody's: nobody holds it while there is nothing to read.
        let taken = poll_fn(|cx| {
            let mut scratch = world.scratch.borrow_mut();
            let had = rest.len();
            scratch[..had].copy_from_slice(&rest);
            let mut buffer = ReadBuf::new(&mut scratch[had..]);
            ready!(Pin::new(&mut stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled().len();
            let mut tally = world.tally.borrow_mut();
            tally.reads += 1;
            let bytes = &scratch[..had + read];
            let mut taken = client.take(bytes, &mut tally, &mut world.kept.borrow_mut());
            rest.clear();
            rest.extend_from_slice(&bytes[taken.bytes..]);
            taken.is_over |= read == 0;
            Poll::Ready(io::Result::Ok(taken))
        })
        .await?;
        if taken.is_over {
            return Ok(());
        }
        if !taken.answer.is_empty() {
            stream.write_all(&taken.answer).await?;
        }
    }
}

/// Opens a WebSocket and asks for these tokens, for all without any. The stream, and what
/// came behind the answer to the handshake.
async fn connect(
    to: SocketAddr,
    door: Door,
    tokens: &[String],
    buffer: Option<u32>,
) -> Result<(TcpStream, Vec<u8>), Failure> {
    let socket = TcpSocket::new_v4()?;
    if let Some(buffer) = buffer {
        socket.set_recv_buffer_size(buffer)?;
    }
    let mut stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    let path = match door {
        Door::Stream | Door::Prepared => "/v1/ws",
        Door::Venue => "/ws/market",
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let end = loop {
        let end = head.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            break end + 4;
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err("closed within the handshake".into());
        }
    };
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(format!("refused: {}", String::from_utf8_lossy(&head)).into());
    }
    let asks = match door {
        Door::Stream | Door::Prepared => {
            let mut subscribe = json!({"op": "subscribe", "id": 1});
            if !tokens.is_empty() {
                subscribe["tokens"] = json!(tokens);
            }
            frame::text(&subscribe.to_string())
        }
        Door::Venue => {
            let frames = tokens.chunks(CHUNK).enumerate().map(|(at, ids)| {
                let ask = if at == 0 {
                    json!({"type": "market", "assets_ids": ids})
                } else {
                    json!({"operation": "subscribe", "assets_ids": ids})
                };
                frame::text(&ask.to_string())
            });
            frames.flatten().collect()
        }
    };
    stream.write_all(&asks).await?;
    Ok((stream, head.split_off(end)))
}

/// This process's end of the clients.
#[derive(Debug)]
pub struct Clients {
    helper: Helper,
}

impl Clients {
    /// Clients that know of these tokens.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start(tokens: &[String]) -> Result<Self, Failure> {
        let mut clients = Self {
            helper: Helper::start(CROWD)?,
        };
        clients.ask(&Order::Know(tokens.to_vec()))?;
        Ok(clients)
    }

    fn ask(&mut self, order: &Order) -> Result<Got, Failure> {
        self.helper.ask(order)
    }

    /// Has a group connect, and waits until each of those that read has its openings.
    ///
    /// # Errors
    /// When one of them is refused, or does not get them.
    pub fn open(&mut self, to: SocketAddr, door: Door, group: Group) -> Result<Got, Failure> {
        const LOOKS: usize = 600;
        self.ask(&Order::Open { to, door, group })?;
        for _ in 0..LOOKS {
            let got = self.told()?;
            if got.ready == got.clients || door == Door::Venue {
                return Ok(got);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("the clients are not ready: {:?}", self.told()?).into())
    }

    /// Begins to count, and to keep what the client of everything gets.
    ///
    /// # Errors
    /// When they are gone.
    pub fn begin(&mut self, keep: bool) -> Result<(), Failure> {
        self.ask(&Order::Begin { keep }).map(drop)
    }

    /// What they have got.
    ///
    /// # Errors
    /// When they are gone.
    pub fn told(&mut self) -> Result<Got, Failure> {
        self.ask(&Order::Tell)
    }

    /// Writes what was kept into a file.
    ///
    /// # Errors
    /// When nothing was to be kept, or it cannot be written.
    pub fn keep(&mut self, file: PathBuf) -> Result<(), Failure> {
        self.ask(&Order::Keep(file)).map(drop)
    }

    /// Has all of them leave.
    ///
    /// # Errors
    /// When they are gone.
    pub fn close(&mut self) -> Result<(), Failure> {
        self.ask(&Order::Close).map(drop)
    }
}
