//! What finding markets and reading all tops costs over HTTP: the second half of
//! `make bench-catalogue`.
//!
//! The exchange with 50,000 markets and 5,000 frames a second is a process of its own, the
//! program another; one client asks on one connection, one request after the other. Times
//! are those of the client, from the request's first byte to the answer's last: the network
//! within the machine is in them, and what else the machine does.
//!
//! `POLYPY_BENCH_PROGRAM` is the program; `POLYPY_BENCH_MARKETS` other than 50,000 markets.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

type Failure = Box<dyn Error + Send + Sync>;

const MARKETS: u64 = 50_000;
const RATE: &str = "--rate=5000";
/// Queries of all kinds together.
const QUERIES: usize = 2_000;
/// How long the program may take to have every book.
const START: Duration = Duration::from_secs(900);
/// Longer than an answer is kept.
const FORGOTTEN: Duration = Duration::from_millis(1_500);
/// What the start leaves to be done once every book is there.
const SETTLED: Duration = Duration::from_secs(15);
const COLD: usize = 10;
const KEPT: usize = 200;

fn main() -> Result<(), Failure> {
    let program = std::env::var("POLYPY_BENCH_PROGRAM").map_err(
        |_unset| "POLYPY_BENCH_PROGRAM is the path of the program: run `make bench-catalogue`",
    )?;
    let markets = match std::env::var("POLYPY_BENCH_MARKETS") {
        Ok(number) => number.parse()?,
        Err(_unset) => MARKETS,
    };
    let exchange = Process::start(
        &program,
        &[
            "sim",
            "--listen=127.0.0.1:0",
            RATE,
            "--new-markets-per-minute=0",
            "--resolve-per-minute=0",
            "--log-format=json",
            &format!("--markets={markets}"),
        ],
    )?;
    let place = exchange.address;
    let served = Process::start(
        &program,
        &[
            "run",
            "--enable-http",
            "--http-host=127.0.0.1",
            "--http-port=0",
            "--log-format=json",
            &format!("--venue-gamma-url=http://{place}"),
            &format!("--venue-clob-url=http://{place}"),
            &format!("--venue-ws-url=ws://{place}/ws/market"),
        ],
    )?;
    let mut client = Client::connect(served.address)?;
    client.wait_for(2 * markets)?;
    println!("{markets} markets, {} live books", 2 * markets);
    thread::sleep(SETTLED);
    queries(&mut client)?;
    pages(&mut client)?;
    tops(&mut client)
}

/// The mixed queries, and what each kind took.
fn queries(client: &mut Client) -> Result<(), Failure> {
    let words = client.words()?;
    let mut random = fastrand::Rng::with_seed(11);
    let mut word = || words[random.usize(..words.len())].clone();
    let kinds: [(&str, Vec<String>); 5] = {
        let each = QUERIES / 5;
        let of = |make: &mut dyn FnMut() -> String| (0..each).map(|_| make()).collect();
        let mut letters = ('a'..='z').cycle();
        [
            ("a word", of(&mut || word())),
            ("two words", of(&mut || format!("{}+{}", word(), word()))),
            ("will", of(&mut || "will".to_owned())),
            (
                "one letter",
                of(&mut || letters.next().unwrap_or('a').to_string()),
            ),
            ("nothing", of(&mut || "qqqq".to_owned())),
        ]
    };
    // Mixed: no two of one kind stand side by side.
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); kinds.len()];
    let (begun, before) = (Instant::now(), client.frames()?);
    for number in 0..QUERIES / kinds.len() {
        for (kind, (_, queries)) in kinds.iter().enumerate() {
            let target = format!("/v1/markets?q={}", queries[number]);
            times[kind].push(client.get(&target, false)?.took);
        }
    }
    let frames = client.frames()? - before;
    let millis = u64::try_from(begun.elapsed().as_millis())?;
    let rate = frames * 1_000 / millis.max(1);
    for ((kind, _), times) in kinds.iter().zip(&times) {
        println!("  q, {kind:<10} {}", Spread::of(times));
    }
    println!(
        "  q, all        {}   meanwhile {rate} events a second",
        Spread::of(&times.concat())
    );
    Ok(())
}

/// The first page of a hundred, made and kept.
fn pages(client: &mut Client) -> Result<(), Failure> {
    for (form, packed) in [("plain", false), ("gzip", true)] {
        let ask = |client: &mut Client| client.get("/v1/markets?limit=100", packed);
        let mut cold = Vec::new();
        for _ in 0..COLD {
            thread::sleep(FORGOTTEN);
            cold.push(ask(client)?.took);
        }
        let mut kept = Vec::new();
        let mut bytes = 0;
        for _ in 0..KEPT {
            let answer = ask(client)?;
            bytes = answer.bytes;
            kept.push(answer.took);
        }
        println!(
            "  first page of 100, {form}: {bytes} bytes; made {}; again {}",
            Spread::of(&cold),
            Spread::of(&kept)
        );
    }
    Ok(())
}

/// All tops, written and kept.
fn tops(client: &mut Client) -> Result<(), Failure> {
    for (form, packed) in [("plain", false), ("gzip", true)] {
        let mut made = Vec::new();
        let mut again = Vec::new();
        let mut bytes = 0;
        for _ in 0..COLD / 2 {
            // It lasts for ten times as long as it took.
            let wait = made.last().copied().unwrap_or(FORGOTTEN) * 12;
            thread::sleep(wait.max(FORGOTTEN));
            let answer = client.get("/v1/tops", packed)?;
            bytes = answer.bytes;
            made.push(answer.took);
            again.push(client.get("/v1/tops", packed)?.took);
        }
        println!(
            "  /v1/tops, {form}: {bytes} bytes; written and sent {}; sent again {}",
            Spread::of(&made),
            Spread::of(&again)
        );
    }
    Ok(())
}

/// The middle and the last but a hundredth.
struct Spread {
    median: Duration,
    last: Duration,
}

impl Spread {
    fn of(times: &[Duration]) -> Self {
        let mut times = times.to_vec();
        times.sort_unstable();
        let at = |part: usize| {
            let found = times.get(times.len() * part / 100);
            found.copied().unwrap_or_default()
        };
        Self {
            median: at(50),
            last: at(99),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.2?} p99 {:.2?}", self.median, self.last)
    }
}

/// A process that says in its log where it listens. Dropping it ends it.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(path: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new(path);
        // Variables of the benchmark are no keys of the program.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POLYPY_")) {
            command.env_remove(name);
        }
        command.args(arguments);
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let log = child.stderr.take().ok_or("no log")?;
        let mut lines = BufReader::new(log).lines();
        let address = loop {
            let line = lines.next().ok_or("it ended before it listened")??;
            let event: Value = serde_json::from_str(&line)?;
            let message = event["message"].as_str().unwrap_or_default();
            if !message.contains("listen") {
                continue;
            }
            let stated = event["address"].as_str();
            break stated
                .ok_or_else(|| format!("no address: {line}"))?
                .parse()?;
        };
        // What it says further must not fill the pipe.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

struct Answer {
    took: Duration,
    bytes: usize,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::with_capacity(1 << 20, stream),
            body: Vec::new(),
        })
    }

    /// Asks, and reads the answer into `body`.
    fn get(&mut self, target: &str, packed: bool) -> Result<Answer, Failure> {
        let encoding = if packed {
            "Accept-Encoding: gzip\r\n"
        } else {
            ""
        };
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{encoding}\r\n");
        let begun = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200") {
            return Err(format!("{target}: {line}").into());
        }
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(Answer {
            took: begun.elapsed(),
            bytes: length,
        })
    }

    fn json(&mut self, target: &str) -> Result<Value, Failure> {
        self.get(target, false)?;
        Ok(serde_json::from_slice(&self.body)?)
    }

    fn wait_for(&mut self, books: u64) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let live = self.json("/stats")?["workers"]["books"]["live"].as_u64();
            if live.is_some_and(|live| live >= books) {
                return Ok(());
            }
            if began.elapsed() > START {
                return Err(format!("{live:?} of {books} books are live").into());
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Events that were routed so far.
    fn frames(&mut self) -> Result<u64, Failure> {
        let routed = &self.json("/stats")?["router"]["messages_routed"];
        Ok(routed.as_u64().ok_or("/stats has no messages_routed")?)
    }

    /// Words of questions.
    fn words(&mut self) -> Result<Vec<String>, Failure> {
        let page = self.json("/v1/markets?limit=1000&fields=question&sort=listed")?;
        let markets = page["markets"].as_array().ok_or("no markets")?;
        let questions = markets.iter().filter_map(|one| one["question"].as_str());
        let words = questions.flat_map(|question| question.split(|c: char| !c.is_alphanumeric()));
        let words = words.filter(|word| word.len() > 2 && word.is_ascii());
        Ok(words.map(str::to_owned).collect())
    }
}
