//! The Python client in a process of its own, which follows a server and says what its
//! books are: `clients/python/tests/follower.py`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use polypy_core::{AssetId, Level};
use polypy_sim::digest;

use crate::follower::{Door, Record};
use crate::tree;
use crate::world::SOON;

/// A book as it was when it was asked for: whether it was live, and its digest.
pub type Shown = HashMap<AssetId, (bool, u64)>;

/// Lines that may wait to be heard; past it the process waits, as for any slow reader.
const LINES: usize = 65_536;

/// A client in Python that follows everything.
#[derive(Debug)]
pub struct Python {
    process: Child,
    wishes: ChildStdin,
    lines: Receiver<String>,
    listening: JoinHandle<()>,
    record: Record,
    /// How messages contradicted each other: nothing ever should.
    broken: Vec<String>,
    books: Shown,
}

impl Python {
    /// Connects to a server, and follows; with the interpreter that is named.
    ///
    /// # Panics
    /// When it cannot be started, or computes digests otherwise.
    pub fn start(interpreter: &str, address: SocketAddr, door: Door) -> Self {
        let scheme = match door {
            Door::Events => "http",
            Door::Socket => "ws",
        };
        let client = tree::root().join("clients/python");
        let mut process = Command::new(interpreter)
            .arg(client.join("tests/follower.py"))
            .arg(format!("{scheme}://{address}"))
            .env("PYTHONPATH", client.join("src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONHASHSEED", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter starts");
        let wishes = process.stdin.take().expect("a pipe");
        let said = BufReader::new(process.stdout.take().expect("a pipe"));
        let (sender, lines) = sync_channel(LINES);
        let listening = std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let first = lines.recv_timeout(SOON).expect("it says something");
        let level = |price: &str, size: &str| {
            let price = price.parse().expect("a price");
            Level::new(price, size.parse().expect("a size"))
        };
        let expected = digest([level("0.489", "29.5")], []);
        assert_eq!(first, format!("digest {expected}"), "both compute the same");
        Self {
            process,
            wishes,
            lines,
            listening,
            record: Record::default(),
            broken: Vec::new(),
            books: Shown::new(),
        }
    }

    /// Levels that deltas have set so far.
    pub fn changes(&mut self) -> u64 {
        self.hear();
        self.record.changes
    }

    /// Contradictions that it has met so far.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// Drops its connection; it comes back by itself.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn reconnect(&mut self) {
        self.wish("reconnect");
    }

    /// Its books as they are now.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn books(&mut self) -> Shown {
        self.wish("books");
        self.books.clear();
        loop {
            let line = self.lines.recv_timeout(SOON);
            match line.expect("the follower in Python answers").as_str() {
                "books" => return self.books.clone(),
                line => self.take(line),
            }
        }
    }

    /// Ends it; what it has said.
    ///
    /// # Panics
    /// When it did not end well.
    pub fn end(mut self) -> Record {
        self.wish("end");
        while let Ok(line) = self.lines.recv() {
            self.take(&line);
        }
        let status = self.process.wait().expect("it is a child");
        assert!(status.success(), "{status}");
        self.listening.join().expect("listening does not panic");
        assert_eq!(self.broken, Vec::<String>::new());
        self.record
    }

    fn wish(&mut self, wish: &str) {
        let sent = writeln!(self.wishes, "{wish}");
        sent.expect("the follower in Python runs");
    }

    fn hear(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.take(&line);
        }
    }

    fn take(&mut self, line: &str) {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<_> = rest.split(' ').collect();
        let record = &mut self.record;
        match (name, &words[..]) {
            ("place", [token, epoch, sequence, digest]) => {
                let place = (id(token), number(epoch), number(sequence));
                record.states.insert(place, number(digest));
            }
            ("changes", [count]) => record.changes = number(count),
            ("gap", [reason, owner]) => {
                let cause = ((*reason).to_owned(), (*owner).to_owned());
                *record.gaps.entry(cause).or_default() += 1;
            }
            ("resumed", ["True"]) => record.resumed.0 += 1,
            ("resumed", _) => record.resumed.1 += 1,
            ("lost", _) => record.lost.push(rest.to_owned()),
            ("broken", _) => self.broken.push(rest.to_owned()),
            ("book", [token, is_live, digest]) => {
                let book = (*is_live == "True", number(digest));
                self.books.insert(id(token), book);
            }
            _ => self.broken.push(format!("not known: {line:?}")),
        }
    }
}

fn id(text: &str) -> AssetId {
    text.parse().expect("a token")
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
