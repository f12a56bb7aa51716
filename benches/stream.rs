//! What a thousand clients of the streams cost, and whom: `make bench-stream`.
//!
//! The release binary keeps the books of an embedded exchange, which is a process of its
//! own, and so are the clients. With nobody there, with one client of every token, with
//! nine and ninety-nine more of 10 to 100 tokens each, and with a thousand of these, 50
//! of which never read, the system is asked what the program's threads have taken.
//!
//! | word | meaning |
//! |---|---|
//! | change | a level of one token that is set in a book; a frame of the exchange carries 2.2 |
//! | feed | threads `polypy-io` and `polypy-worker-*`: the exchange's sockets, decoding, books |
//! | API | threads `polypy-http` and `polypy-stream`: the hub, and what serves clients |
//! | message | a text that a client has read; processor time is divided by these |
//! | age | from the change in the exchange to the client, by the time that is the level's size |
//! | bare loop | writes the messages that the client of everything got, at the times at which it got them, to a thousand clients that ask for the same tokens, 50 of which never read |
//! | relay | forwards the bytes of each connection to the exchange unread |
//!
//! Fan-out is compared in processor time a message and not in messages a second: at full
//! speed two cores would measure the clients. Nothing is pinned, nothing has a lower
//! priority: a thread that needs a core takes it from the others, and the table says how much of
//! the machine each had.
//!
//! The program fails if a bar is missed. `--json` prints the figures as one object.
//! `POLYPY_BENCH_PROGRAM` is the program, `POLYPY_BENCH_SECONDS` (15) the length of a
//! stretch. Those with a thousand clients come three times, each between two with nobody
//! and with one of the bare loop behind it; of what is compared the middle one counts.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use polypy_benches::clock::machine_nanos;
use polypy_benches::runs::number;
use polypy_benches::stream::Failure;
use polypy_benches::stream::bare::{self, Bare};
use polypy_benches::stream::client::Door;
use polypy_benches::stream::crowd::{self, Clients, Got, Group};
use polypy_benches::stream::program::{Part, Program, process_cpu};
use polypy_benches::stream::relay::{self, Relay};
use polypy_benches::stream::venue::{self, Venue};
use polypy_benches::stream::verdict::{ALONGSIDE, NOBODY, Run, Stretch, THOUSAND};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Two tokens each.
const MARKETS: usize = 2_000;
/// Order events and trades a second: some 5,300 level changes.
const RATE: f64 = 2_250.0;
const SECONDS: usize = 15;
/// Stretches with a thousand clients, each between two with nobody.
const ROUNDS: usize = 3;
/// From the last client's opening to the first look.
const SETTLE: Duration = Duration::from_secs(2);
/// Books stay followed for as long as clients can come back.
const UNFOLLOWED: Duration = Duration::from_secs(90);

const NONE: Group = Group {
    everything: false,
    some: 0,
    stuck: 0,
};
const ALL: Group = Group {
    everything: true,
    ..NONE
};
const MANY: Group = Group {
    everything: false,
    some: 1_000,
    stuck: 50,
};

fn main() -> ExitCode {
    let ran = match std::env::args().nth(1).as_deref() {
        Some(venue::VENUE) => venue::serve(),
        Some(crowd::CROWD) => crowd::serve(),
        Some(bare::BARE) => bare::serve(),
        Some(relay::RELAY) => relay::serve(),
        _ => return measure(),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("stream: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> ExitCode {
    let run = match Bench::start().and_then(Bench::run) {
        Ok(run) => run,
        Err(error) => {
            println!("stream: {error}");
            return ExitCode::FAILURE;
        }
    };
    let bars = run.bars();
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", serde_json::json!({ "run": run, "bars": bars }));
    } else {
        println!("{}", run.table());
    }
    if bars.iter().all(|bar| bar.holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Bench {
    venue: Venue,
    program: Program,
    clients: Clients,
    length: Duration,
    /// What opening the clients that are there took: processor time and time.
    opening: [u64; 2],
    stretches: Vec<Stretch>,
}

impl Bench {
    fn start() -> Result<Self, Failure> {
        let path = std::env::var("POLYPY_BENCH_PROGRAM").map_err(
            |_unset| "POLYPY_BENCH_PROGRAM is the path of the program: run `make bench-stream`",
        )?;
        let seconds = number("POLYPY_BENCH_SECONDS", 1).unwrap_or(SECONDS);
        let venue = Venue::start(MARKETS, RATE)?;
        let clients = Clients::start(&venue.place.tokens)?;
        let program = Program::start(&path, &venue.place)?;
        thread::sleep(SETTLE);
        Ok(Self {
            venue,
            program,
            clients,
            length: Duration::from_secs(u64::try_from(seconds)?),
            opening: [0; 2],
            stretches: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Run, Failure> {
        let name = format!("polypy-stream-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let run = self.stretch_by_stretch(&file);
        if file.exists() {
            std::fs::remove_file(&file)?;
        }
        run
    }

    fn stretch_by_stretch(&mut self, file: &Path) -> Result<Run, Failure> {
        let length = self.length;
        self.listened(NOBODY, NONE, length)?;
        self.open(ALL)?;
        self.stretch("1 of every token", 0, |bench| {
            bench.clients.begin(true)?;
            bench.wait(length)
        })?;
        self.clients.keep(file.to_owned())?;
        self.clients.close()?;
        for (name, some) in [
            ("the same, and 9 of some", 9),
            ("the same, and 99 of some", 99),
        ] {
            self.listened(name, Group { some, ..ALL }, length)?;
        }
        self.listened(THOUSAND, MANY, length)?;
        let straight = self.unread(self.venue.place.address)?;
        let relay = Relay::start(self.venue.place.address)?;
        let relayed = self.unread(relay.address)?;
        drop(relay);
        self.wait_until_unfollowed()?;
        let mut bare = vec![self.beside_the_bare_loop(file)?];
        self.listened(NOBODY, NONE, length)?;
        // In turn: a machine drifts by more in minutes than the bars allow.
        for _ in 1..ROUNDS {
            self.listened(THOUSAND, MANY, length)?;
            self.wait_until_unfollowed()?;
            bare.push(self.beside_the_bare_loop(file)?);
            self.listened(NOBODY, NONE, length)?;
        }
        let sent = self.venue.sent()?;
        Ok(Run {
            tokens: self.venue.place.tokens.len(),
            rate: RATE,
            cores: available_parallelism()?.get(),
            stretches: std::mem::take(&mut self.stretches),
            bare,
            straight,
            relayed,
            memory_bound: self.program.memory_bound,
            venue_lost: sent.lost + sent.late,
        })
    }

    /// A stretch with clients of the program's.
    fn listened(
        &mut self,
        name: &'static str,
        group: Group,
        length: Duration,
    ) -> Result<(), Failure> {
        if group != NONE {
            self.open(group)?;
        }
        self.stretch(name, group.stuck, |bench| {
            bench.clients.begin(false)?;
            bench.wait(length)
        })?;
        self.clients.close()
    }

    fn open(&mut self, group: Group) -> Result<(), Failure> {
        let (start, before) = (machine_nanos(), self.program.threads()?);
        self.clients
            .open(self.program.address, Door::Stream, group)?;
        let after = self.program.threads()?;
        self.opening = [after.since(&before, Part::Api), machine_nanos() - start];
        thread::sleep(SETTLE);
        Ok(())
    }

    /// Waits, and looks once a second whether every book is live.
    fn wait(&mut self, length: Duration) -> Result<bool, Failure> {
        let end = Instant::now() + length;
        let tokens = self.venue.place.tokens.len();
        let mut all_live = true;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(all_live);
            }
            thread::sleep(left.min(Duration::from_secs(1)));
            all_live &= usize::try_from(self.program.counts()?.live)? == tokens;
        }
    }

    /// Measures while something happens.
    fn stretch(
        &mut self,
        name: &'static str,
        stuck: usize,
        happening: impl FnOnce(&mut Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let before = self.program.counts()?;
        let (start, threads) = (machine_nanos(), self.program.threads()?);
        let venue = process_cpu(self.venue.id())?;
        let all_live = happening(self)?;
        let (end, after) = (machine_nanos(), self.program.threads()?);
        let got = self.clients.told()?;
        let mut counts = self.program.counts()?;
        counts.changes -= before.changes;
        counts.delivered -= before.delivered;
        counts.published -= before.published;
        counts.went_stale -= before.went_stale;
        counts.lost -= before.lost;
        counts.slow -= before.slow;
        self.stretches.push(Stretch {
            name,
            stuck,
            opening: std::mem::take(&mut self.opening),
            nanos: end - start,
            feed_nanos: after.since(&threads, Part::Feed),
            api_nanos: after.since(&threads, Part::Api),
            venue_nanos: process_cpu(self.venue.id())? - venue,
            counts,
            got,
            memory_bytes: self.program.most_memory()?,
            all_live,
        });
        Ok(())
    }

    /// What one client of every token gets there.
    fn unread(&mut self, at: std::net::SocketAddr) -> Result<Got, Failure> {
        self.clients.open(at, Door::Venue, ALL)?;
        thread::sleep(SETTLE);
        self.clients.begin(false)?;
        thread::sleep(self.length);
        let got = self.clients.told()?;
        self.clients.close()?;
        Ok(got)
    }

    fn wait_until_unfollowed(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        while self.program.counts()?.followed > 0 {
            if began.elapsed() > UNFOLLOWED {
                return Err("books stay followed that nobody wants".into());
            }
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }

    /// The bare loop's clients are there, and nobody is at the program.
    fn beside_the_bare_loop(&mut self, file: &Path) -> Result<(bare::Played, Got), Failure> {
        let mut bare = Bare::start(file.to_owned())?;
        bare.expect(MANY.some)?;
        self.clients.open(bare.address, Door::Prepared, MANY)?;
        bare.accepted()?;
        thread::sleep(SETTLE);
        let mut played = bare::Played::default();
        self.stretch(ALONGSIDE, 0, |bench| {
            bench.clients.begin(false)?;
            played = bare.play()?;
            Ok(true)
        })?;
        let got = self.clients.told()?;
        self.clients.close()?;
        Ok((played, got))
    }
}
