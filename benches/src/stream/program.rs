//! The release binary in a process of its own: its start, what it says of itself, and
//! what the system says of its threads.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Failure;
use super::venue::Place;

/// How long it may take to have every book.
const START: Duration = Duration::from_secs(120);

/// The program. Dropping it ends it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: Option<JoinHandle<()>>,
    /// Where it serves.
    pub address: SocketAddr,
    /// Bytes that it says its configuration may come to.
    pub memory_bound: u64,
}

/// Processor time by what threads are for, in nanoseconds since the start.
#[derive(Debug, Clone, Default)]
pub struct Threads {
    /// By number.
    each: HashMap<String, (Part, u64)>,
}

/// What a thread is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The venue's sockets, and the workers.
    Feed,
    /// The hub, and those that serve clients.
    Api,
    /// What writes the recording.
    Recorder,
    /// The rest.
    Other,
}

/// Counters of the program, as `/stats` has them.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Level changes applied.
    pub changes: u64,
    /// Messages put into clients' queues.
    pub delivered: u64,
    /// Messages rendered.
    pub published: u64,
    /// Books that the hub keeps.
    pub followed: u64,
    /// Books that are live now.
    pub live: u64,
    /// Times that a book went stale.
    pub went_stale: u64,
    /// Live books that something spoke against, since the program's start. Most of that settles
    /// itself within milliseconds, and clients are told meanwhile that the book is stale.
    pub suspected: u64,
    /// Events dropped, lanes emptied, connections closed, changes that did not follow.
    pub lost: u64,
    /// Clients whose queue was emptied, and those that were closed for it.
    pub slow: u64,
}

impl Program {
    /// The program at this path, against an exchange, once it has every book.
    ///
    /// # Errors
    /// When it does not start, or does not get them.
    pub fn start(path: &str, venue: &Place) -> Result<Self, Failure> {
        Self::start_with(path, venue, &[])
    }

    /// The same with further arguments.
    ///
    /// # Errors
    /// When it does not start, or does not get them.
    pub fn start_with(path: &str, venue: &Place, further: &[String]) -> Result<Self, Failure> {
        let mut command = Command::new(path);
        // Variables of the benchmark are no keys of the program.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POLYPY_")) {
            command.env_remove(name);
        }
        command
            .args([
                "run",
                "--enable-http",
                "--http-host=127.0.0.1",
                "--http-port=0",
                // All clients come from one address.
                "--http-max-connections-per-peer=2048",
                "--log-format=json",
            ])
            .arg(format!("--venue-gamma-url={}", venue.rest))
            .arg(format!("--venue-clob-url={}", venue.rest))
            .arg(format!("--venue-ws-url={}", venue.socket))
            .args(further);
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let log = child.stderr.take().ok_or("no log")?;
        let mut lines = BufReader::new(log).lines();
        let mut memory_bound = 0;
        let address = loop {
            let line = lines
                .next()
                .ok_or("the program ended before it listened: start it by hand")??;
            let event: Value = serde_json::from_str(&line)?;
            if let Some(mib) = event["memory_needed_mib"].as_u64() {
                memory_bound = mib << 20;
            } else if event["message"] == "http server listening" {
                let address = event["address"].as_str().ok_or("no address")?;
                break address.parse()?;
            }
        };
        // What it says further must not fill the pipe.
        let log = thread::spawn(move || lines.for_each(drop));
        let mut program = Self {
            child,
            log: Some(log),
            address,
            memory_bound,
        };
        program.wait_for_books(venue.tokens.len())?;
        Ok(program)
    }

    fn wait_for_books(&mut self, tokens: usize) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let live = self.counts()?.live;
            if usize::try_from(live)? == tokens {
                return Ok(());
            }
            if began.elapsed() > START {
                return Err(format!("{live} of {tokens} books are live").into());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it counts.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn counts(&self) -> Result<Counts, Failure> {
        let stats = self.stats()?;
        let number = |path: &str| -> Result<u64, Failure> {
            let found = stats.pointer(path).and_then(Value::as_u64);
            found.ok_or_else(|| format!("/stats has no {path}").into())
        };
        let workers = stats["workers"]["worker_stats"].as_object();
        let applied = workers.into_iter().flatten();
        let applied = applied.filter_map(|(_, worker)| worker["updates_applied"].as_u64());
        let sum = |paths: &[&str]| -> Result<u64, Failure> {
            paths.iter().map(|path| number(path)).sum()
        };
        Ok(Counts {
            changes: applied.sum(),
            delivered: number("/stream/delivered")?,
            published: number("/stream/published")?,
            followed: number("/stream/followed_books")?,
            live: number("/workers/books/live")?,
            went_stale: number("/workers/events/went_stale")?,
            suspected: number("/workers/integrity/suspected")?,
            lost: sum(&[
                "/router/messages_dropped",
                "/router/routing_errors",
                "/pool/connections_closed",
                "/pool/connections_failed",
                "/pool/reconnects/closed",
                "/stream/overfull_lanes",
                "/stream/mismatches",
                "/stream/restarts",
            ])?,
            slow: sum(&["/stream/emptied_queues", "/stream/slow_closed"])?,
        })
    }

    /// `/stats`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn stats(&self) -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&fetch(self.address, "/stats")?)?)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not, or not well.
    pub fn end(mut self) -> Result<(), Failure> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.ok_or("no process")?, Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the program ended with {status}").into())
        }
    }

    /// What its threads have taken so far.
    ///
    /// # Errors
    /// When it is gone, or the system does not say.
    pub fn threads(&self) -> Result<Threads, Failure> {
        let mut each = HashMap::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let folder = thread?.path();
            // A thread may have ended meanwhile.
            let (Ok(name), Ok(times)) = (
                fs::read_to_string(folder.join("comm")),
                fs::read_to_string(folder.join("schedstat")),
            ) else {
                continue;
            };
            let nanos = times.split_whitespace().next().unwrap_or_default();
            each.insert(
                folder.to_string_lossy().into_owned(),
                (Part::of(name.trim()), nanos.parse()?),
            );
        }
        Ok(Threads { each })
    }

    /// The most memory that it has held.
    ///
    /// # Errors
    /// When it is gone.
    pub fn most_memory(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.ok_or("no VmHWM")?.parse()?;
        Ok(kib << 10)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(self.log.take().map(JoinHandle::join));
    }
}

impl Part {
    fn of(thread: &str) -> Self {
        match thread {
            "polypy-io" => Self::Feed,
            "polypy-http" | "polypy-stream" => Self::Api,
            "polypy-record" => Self::Recorder,
            worker if worker.starts_with("polypy-worker") => Self::Feed,
            _ => Self::Other,
        }
    }
}

impl Threads {
    /// What threads of this kind have taken since an earlier look.
    pub fn since(&self, before: &Self, part: Part) -> u64 {
        let own = self.each.iter().filter(|(_, (kind, _))| *kind == part);
        let taken = own.map(|(thread, (_, nanos))| {
            let before = before.each.get(thread).map_or(0, |(_, nanos)| *nanos);
            nanos.saturating_sub(before)
        });
        taken.sum()
    }
}

/// Processor time that a process has taken, in nanoseconds.
///
/// # Errors
/// When it is gone.
pub fn process_cpu(id: u32) -> Result<u64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("no name")?;
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    // A tick is a hundredth of a second on every Linux.
    let ticks = ticks(11).ok_or("no time")? + ticks(12).ok_or("no time")?;
    Ok(ticks * 10_000_000)
}

/// The body of an answer.
fn fetch(address: SocketAddr, path: &str) -> Result<Vec<u8>, Failure> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.ok_or("no head")? + 4);
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(format!("refused: {}", String::from_utf8_lossy(&answer)).into());
    }
    Ok(body)
}
