//! What the first client of everything costs, and whom: `make bench-first-client`.
//!
//! The release binary keeps the books of an embedded exchange with 50,000 markets, which is
//! a process of its own, and so are the clients. Two hundred clients of 10 to 100 tokens
//! each are there. A client of every token connects: nobody followed most of the books
//! before. It leaves, and another one comes, for which they are still followed; then one
//! more beside it. Both leave, and a minute later most books are followed no longer.
//!
//! | word | meaning |
//! |---|---|
//! | opening | from the connection to the last opening book and `ready`, read and parsed |
//! | age | from the change in the exchange to one of the two hundred, by the time that is the level's size |
//! | longest | the greatest age while that goes on: so long somebody else was held up |
//!
//! `POLYPY_BENCH_PROGRAM` is the program; `POLYPY_BENCH_MARKETS` other than 50,000 markets.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use polypy_benches::clock::machine_nanos;
use polypy_benches::runs::number;
use polypy_benches::stream::Failure;
use polypy_benches::stream::client::Door;
use polypy_benches::stream::crowd::{self, Clients, Got, Group};
use polypy_benches::stream::program::{Part, Program};
use polypy_benches::stream::venue::{self, Venue};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MARKETS: usize = 50_000;
/// Order events and trades a second: some 5,300 level changes.
const RATE: f64 = 2_250.0;
/// The clients beside.
const BESIDE: usize = 200;
/// How long it is looked at what is there without the others.
const ALONE: Duration = Duration::from_secs(10);
/// Books stay followed for a minute after their last client.
const LET_GO: Duration = Duration::from_secs(70);
/// From the last client's opening to the first look.
const SETTLE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let ran = match std::env::args().nth(1).as_deref() {
        Some(venue::VENUE) => venue::serve(),
        Some(crowd::CROWD) => crowd::serve(),
        _ => measure(),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("first_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Failure> {
    let path = std::env::var("POLYPY_BENCH_PROGRAM").map_err(
        |_unset| "POLYPY_BENCH_PROGRAM is the path of the program: run `make bench-first-client`",
    )?;
    let markets = number("POLYPY_BENCH_MARKETS", 1).unwrap_or(MARKETS);
    let venue = Venue::start(markets, RATE)?;
    let mut bench = Bench {
        beside: Clients::start(&venue.place.tokens)?,
        program: Program::start(&path, &venue.place)?,
    };
    let mut first = Clients::start(&venue.place.tokens)?;
    let mut second = Clients::start(&venue.place.tokens)?;
    println!(
        "{} tokens, {BESIDE} clients of 10 to 100 of them; {} MiB before any client",
        venue.place.tokens.len(),
        bench.program.most_memory()? >> 20
    );
    let group = Group {
        everything: false,
        some: BESIDE,
        stuck: 0,
    };
    let address = bench.program.address;
    bench.beside.open(address, Door::Stream, group)?;
    thread::sleep(SETTLE);
    bench.watch("nobody else", ALONE, || Ok(()))?;
    bench.open("the first of everything", &mut first)?;
    bench.watch("it leaves", ALONE, || first.close())?;
    bench.open("the next one", &mut first)?;
    bench.open("one more beside that one", &mut second)?;
    first.close()?;
    second.close()?;
    thread::sleep(SETTLE);
    let followed = bench.program.counts()?.followed;
    bench.watch("its books are let go of", LET_GO, || Ok(()))?;
    println!(
        "books followed: {followed}, then {}",
        bench.program.counts()?.followed
    );
    let lost = bench.program.counts()?.lost;
    let told = bench.beside.told()?;
    println!(
        "lost upstream: {lost}; gaps and faults beside: {}, {}",
        told.gaps, told.faults
    );
    Ok(())
}

struct Bench {
    beside: Clients,
    program: Program,
}

impl Bench {
    /// Does something, and waits; what the others notice meanwhile.
    fn watch(
        &mut self,
        name: &str,
        length: Duration,
        happens: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.beside.begin(false)?;
        happens()?;
        thread::sleep(length);
        println!("{name:<28}{}", ages(&self.beside.told()?));
        Ok(())
    }

    /// Has a client of everything connect; what it took, and what the others noticed.
    fn open(&mut self, name: &str, clients: &mut Clients) -> Result<(), Failure> {
        let group = Group {
            everything: true,
            some: 0,
            stuck: 0,
        };
        self.beside.begin(false)?;
        clients.begin(false)?;
        let (start, before) = (machine_nanos(), self.program.threads()?);
        let got = clients.open(self.program.address, Door::Stream, group)?;
        let millis = (machine_nanos() - start) / 1_000_000;
        let taken = self.program.threads()?;
        let api = taken.since(&before, Part::Api) / 1_000_000;
        let feed = taken.since(&before, Part::Feed) / 1_000_000;
        let beside = self.beside.told()?;
        println!(
            "{name:<28}{}; opening {millis} ms, {} MB, {} books; hub and doors {api} ms, feed {feed} \
             ms; {} MiB at most",
            ages(&beside),
            got.bytes / 1_000_000,
            got.snapshots,
            self.program.most_memory()? >> 20
        );
        thread::sleep(SETTLE);
        Ok(())
    }
}

/// The ages of what clients got.
fn ages(got: &Got) -> String {
    let [half, most] = got.age_us.map(|micros| micros / 10);
    let longest = got.longest_us / 1_000;
    format!(
        "p50 {}.{:02} ms, p99 {}.{:02} ms, longest {longest} ms of {} messages",
        half / 100,
        half % 100,
        most / 100,
        most % 100,
        got.messages
    )
}
