//! What an answer costs over HTTP, beside a bare server: `make bench-http`.
//!
//! The program runs the demo with a silent exchange, 20 connections and 4 workers, on
//! one core; a hyper server that sends ready bytes of the same size takes turns with it
//! on the same core. Sixteen kept-alive connections ask each of them, one request after
//! the other, for a second at a time.
//!
//! | column | meaning |
//! |---|---|
//! | ours, bare | requests a second, the median of the turns |
//! | ratio | ours over bare |
//! | cpu ratio | processor time a request, bare over ours: what a busy machine disturbs less |
//!
//! `POLYPY_BENCH_PROGRAM` is the program; `POLYPY_BENCH_RUNS` other than seven turns.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::convert::Infallible;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use polypy_benches::runs::runs;
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;

/// Makes this program the bare server.
const BARE: &str = "--serve-bare";
const CLIENTS: usize = 16;
const TURN: Duration = Duration::from_secs(1);
/// Path, and the least ratio that is wanted.
const ROUTES: [(&str, f64); 3] = [("/health", 0.9), ("/stats", 0.35), ("/metrics", 0.35)];
/// How long the demo may take to have every book.
const START: Duration = Duration::from_secs(60);

fn main() -> Result<(), Failure> {
    if std::env::args().any(|argument| argument == BARE) {
        return serve_bare();
    }
    let program = std::env::var("POLYPY_BENCH_PROGRAM").map_err(
        |_unset| "POLYPY_BENCH_PROGRAM is the path of the program: run `make bench-http`",
    )?;
    let ours = Server::program(&program)?;
    println!(
        "{CLIENTS} connections, {} turns of {TURN:?} each, one core for the server\n",
        runs()
    );
    println!(
        "| route | bytes | ours | bare | ratio | cpu ratio | wanted |\n|---|---|---|---|---|---|---|"
    );
    for (path, wanted) in ROUTES {
        let answer = fetch(ours.address, path)?;
        let bare = Server::bare(&answer)?;
        let mut turns = (Vec::new(), Vec::new());
        for _ in 0..runs() {
            turns.0.push(ours.turn(path)?);
            turns.1.push(bare.turn(path)?);
        }
        let (ours_rate, ours_cpu) = medians(&turns.0);
        let (bare_rate, bare_cpu) = medians(&turns.1);
        println!(
            "| `{path}` | {} | {ours_rate:.0} | {bare_rate:.0} | {:.2} | {:.2} | {wanted} |",
            answer.len(),
            ours_rate / bare_rate,
            bare_cpu / ours_cpu,
        );
    }
    Ok(())
}

/// A server in a process of its own, on the first core.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn on_first_core(program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", "0", program]).args(arguments);
        command
    }

    /// The demo, once it has every book.
    fn program(path: &str) -> Result<Self, Failure> {
        let mut command = Self::on_first_core(
            path,
            &[
                "run",
                "--demo",
                "--http-port=0",
                "--sim-markets=2000",
                "--sim-rate=0",
                "--sim-new-markets-per-minute=0",
                "--sim-resolve-per-minute=0",
                "--pool-target=200",
                "--pool-pace=1ms",
                "--workers-count=4",
                "--log-format=json",
            ],
        );
        // Variables of the benchmark are no keys of the program.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POLYPY_")) {
            command.env_remove(name);
        }
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let log = child.stderr.take().ok_or("no log")?;
        let mut lines = BufReader::new(log).lines();
        let line = lines.find(|line| {
            let line = line.as_deref().unwrap_or_default();
            line.contains("http server listening")
        });
        let line = line.ok_or("the program ended before it listened: start it by hand")??;
        let event: serde_json::Value = serde_json::from_str(&line)?;
        let address = event["address"]
            .as_str()
            .or_else(|| event["fields"]["address"].as_str());
        let address = address
            .ok_or_else(|| format!("no address in {line}"))?
            .parse()?;
        // What it says further must not fill the pipe.
        thread::spawn(move || lines.for_each(drop));
        let server = Self { child, address };
        let began = Instant::now();
        loop {
            let stats: serde_json::Value = serde_json::from_slice(&fetch(address, "/stats")?)?;
            if stats["workers"]["books"]["live"] == 4_000 && stats["pool"]["connection_count"] == 20
            {
                return Ok(server);
            }
            if began.elapsed() > START {
                return Err(format!("not ready: {}", stats["pool"]).into());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A bare server that answers with these bytes.
    fn bare(bytes: &[u8]) -> Result<Self, Failure> {
        let own = std::env::current_exe()?;
        let own = own.to_str().ok_or("a path that is no text")?;
        let mut child = Self::on_first_core(own, &[BARE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        child.stdin.take().ok_or("no pipe")?.write_all(bytes)?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let address = line.trim().parse()?;
        Ok(Self { child, address })
    }

    /// Requests a second, and processor seconds a request.
    fn turn(&self, path: &str) -> Result<(f64, f64), Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (stop, address, path) = (Arc::clone(&stop), self.address, path.to_owned());
                thread::spawn(move || ask(address, &path, &stop))
            })
            .collect();
        let (began, before) = (Instant::now(), self.cpu_ticks()?);
        thread::sleep(TURN);
        stop.store(true, Ordering::Relaxed);
        let mut answers = 0_u32;
        for client in clients {
            answers += client.join().map_err(|_panic| "a client panicked")??;
        }
        let (took, after) = (began.elapsed().as_secs_f64(), self.cpu_ticks()?);
        let answers = f64::from(answers);
        // A tick is a hundredth of a second on every Linux.
        Ok((answers / took, f64::from(after - before) / 100.0 / answers))
    }

    fn cpu_ticks(&self) -> Result<u32, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, after_name) = stat.rsplit_once(')').ok_or("no name")?;
        let fields: Vec<_> = after_name.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
        Ok(ticks(11).ok_or("no time")? + ticks(12).ok_or("no time")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn medians(turns: &[(f64, f64)]) -> (f64, f64) {
    let median = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let (rates, costs) = turns.iter().copied().unzip();
    (median(rates), median(costs))
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Asks again and again; how many answers came.
fn ask(address: SocketAddr, path: &str, stop: &AtomicBool) -> Result<u32, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let request = request(path);
    let mut buffer = vec![0; 256 * 1_024];
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(request.as_bytes())?;
        read_answer(&mut stream, &mut buffer)?;
        answers += 1;
    }
    Ok(answers)
}

/// Reads one answer; where its body stands in the buffer.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<(usize, usize), Failure> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err("the server closed, or its answer is too long".into());
        }
        filled += read;
        let so_far = &buffer[..filled];
        let Some(end) = so_far.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&so_far[..end])?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("refused: {head}").into());
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        let (start, length) = (end + 4, length.ok_or("an answer without a length")?);
        while filled < start + length {
            let read = stream.read(&mut buffer[filled..])?;
            if read == 0 {
                return Err("the server closed within an answer".into());
            }
            filled += read;
        }
        return Ok((start, length));
    }
}

fn fetch(address: SocketAddr, path: &str) -> Result<Vec<u8>, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request(path).as_bytes())?;
    let mut buffer = vec![0; 256 * 1_024];
    let (start, length) = read_answer(&mut stream, &mut buffer)?;
    Ok(buffer[start..start + length].to_vec())
}

/// Answers everything with what stands on standard input.
fn serve_bare() -> Result<(), Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let bytes = Bytes::from(bytes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let service = service_fn(move |_request: Request<_>| {
                    let mut response = Response::new(Full::new(bytes.clone()));
                    let json = HeaderValue::from_static("application/json");
                    response.headers_mut().insert(CONTENT_TYPE, json);
                    async { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that goes away is no failure.
                drop(
                    connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    })
}
