//! What a frame costs end to end, from a socket into the books:
//! `make bench-end-to-end`.
//!
//! An exchange in a process of its own sends frames of the made-up venue over
//! loopback TCP; three clients take turns in listening to it:
//!
//! - `receive`: tokio-tungstenite alone, on one thread; it counts frames;
//! - `receive and apply`: the same, with each frame decoded and applied at once,
//!   unchecked;
//! - `ours`: the program's connections, pool, router and workers, on its runtime,
//!   all checks on but that of hashes (which carry the times). A run in which it
//!   dropped, doubted or missed anything is an error, and so is one that did not
//!   end with the exchange's books.
//!
//! | table | flow | figure |
//! |---|---|---|
//! | throughput | as fast as it is taken | frames a second, and processor time a frame |
//! | latency | planned times, whatever is taken | from then to the applied change |
//!
//! Latency counts from the planned time, so that a client that holds the exchange
//! up does not look the better for it; `late` is by how much the exchange itself
//! missed the plan, and `from sending` leaves that out.
//!
//! `POLYPY_BENCH_RUNS` and `POLYPY_BENCH_JSON` are those of `polypy_benches::runs`; `POLYPY_BENCH_RUNS=1` takes half
//! a minute. `POLYPY_BENCH_ONLY=plain`, `latency` or `tls` makes one part.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use polypy_benches::loopback::turn::{Bench, Flow, Taken, Who};
use polypy_benches::loopback::{Failure, Security, exchange};
use polypy_benches::runs::{note, runs};
use polypy_benches::spent::Spent;
use serde::Serialize;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Makes this program the exchange.
const EXCHANGE: &str = "--serve-exchange";
/// A second and a bit: enough for the queues to fill and the clock to settle.
const BLAST_MILLIS: u64 = 1_200;
const PACE_MILLIS: u64 = 1_500;
/// Frames a second: a busy hour of some tokens, and more than all of the venue.
const RATES: [u64; 2] = [4_000, 100_000];
/// Of what we can take, in hundredths.
const LOADS: [u64; 3] = [10, 50, 80];

fn main() -> Result<(), Failure> {
    if std::env::args().any(|argument| argument == EXCHANGE) {
        return exchange::serve();
    }
    let only = std::env::var("POLYPY_BENCH_ONLY").ok();
    if let Some(only) = only.as_deref()
        && !["plain", "latency", "tls"].contains(&only)
    {
        return Err(format!("POLYPY_BENCH_ONLY is plain, latency or tls, not {only:?}").into());
    }
    let wants = |part: &str| only.as_ref().is_none_or(|only| only == part);
    let mut bench = Bench::start(EXCHANGE)?;
    let corpus = bench.corpus();
    println!(
        "{} tokens; frames of {} bytes, {:.2} changes; {} runs",
        corpus.keys().len(),
        corpus.frame_bytes(),
        ratio(corpus.changes.try_into()?, corpus.frames.len()),
        runs()
    );
    let all = [Who::Receive, Who::Apply, Who::Ours];
    let mut capacity = None;
    if wants("plain") {
        capacity = Some(throughput(&mut bench, 1, Security::Plain, &all)?);
        throughput(&mut bench, 50, Security::Plain, &all)?;
    }
    if wants("latency") {
        for rate in RATES {
            latency(&mut bench, rate, "", Security::Plain)?;
        }
        let capacity = match capacity {
            Some(capacity) => capacity,
            None => throughput(&mut bench, 1, Security::Plain, &[Who::Ours])?,
        };
        for load in LOADS {
            let of = format!(", {load} % of capacity");
            let rate = capacity * load / 100;
            if let Err(error) = latency(&mut bench, rate, &of, Security::Plain) {
                // Not a defect: a machine that does something else meanwhile.
                println!("  cannot be had: {error}");
            }
        }
    }
    if wants("tls") {
        throughput(&mut bench, 1, Security::Aes256, &all)?;
        throughput(&mut bench, 1, Security::Aes128, &all)?;
        throughput(&mut bench, 1, Security::Aes128Apart, &all)?;
        throughput(&mut bench, 1, Security::ChaCha20, &all)?;
        for rate in RATES {
            latency(&mut bench, rate, "", Security::Aes128)?;
        }
    }
    Ok(())
}

/// The clients taking turns; what each run took, by client.
fn interleave(bench: &mut Bench, whos: &[Who], flow: Flow) -> Result<Vec<Vec<Taken>>, Failure> {
    let mut taken: Vec<Vec<Taken>> = whos.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs() {
        for (who, taken) in whos.iter().zip(&mut taken) {
            taken.push(bench.run(*who, flow)?);
        }
    }
    Ok(taken)
}

fn ratio(nanos: u64, units: usize) -> f64 {
    Spent { nanos, units }.each()
}

/// The median, the least and the most.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    [values[last / 2], values[0], values[last]]
}

#[derive(Serialize)]
struct Throughput<'a> {
    bench: &'a str,
    on: &'a str,
    way: &'a str,
    frames_per_second: [f64; 3],
    cpu_nanos_per_frame: [f64; 3],
    runs: usize,
}

/// Prints what each client takes; the last one's frames a second.
fn throughput(
    bench: &mut Bench,
    connections: usize,
    security: Security,
    whos: &[Who],
) -> Result<u64, Failure> {
    let flow = Flow {
        connections,
        security,
        rate: None,
        millis: BLAST_MILLIS,
    };
    let on = format!("connections: {connections}, security: {security:?}");
    println!("throughput, {on}: thousand frames a second; processor ns a frame");
    let (mut first, mut capacity) = (None, 0.0);
    for (who, taken) in whos.iter().zip(interleave(bench, whos, flow)?) {
        let frames = |taken: &Taken| usize::try_from(taken.sent.frames).unwrap_or(usize::MAX);
        let rates = spread(taken.iter().map(|run| 1e9 / ratio(run.nanos, frames(run))));
        let cpu = spread(taken.iter().map(|run| ratio(run.cpu_nanos, frames(run))));
        let [rate, least, most] = rates.map(|rate| rate / 1e3);
        capacity = rates[0];
        let share = capacity / *first.get_or_insert(capacity);
        let name = who.name();
        println!(
            "  {name:18} {rate:8.0} ({least:.0}..{most:.0})  {share:5.2}  {:7.0} ns ({:.0}..{:.0})",
            cpu[0], cpu[1], cpu[2]
        );
        note(&Throughput {
            bench: "end to end, throughput",
            on: &on,
            way: name,
            frames_per_second: rates,
            cpu_nanos_per_frame: cpu,
            runs: taken.len(),
        });
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of a plan, positive and far below the bound"
    )]
    Ok(capacity as u64)
}

#[derive(Serialize)]
struct Latency<'a> {
    bench: &'a str,
    on: &'a str,
    way: &'a str,
    rate: u64,
    /// Of the 50th, 99th and 99.9th hundredth: median, least and most.
    planned_micros: [[f64; 3]; 3],
    sent_micros: [[f64; 3]; 3],
    late_micros: [[f64; 3]; 2],
    runs: usize,
}

/// Prints how old changes are when they are applied.
fn latency(bench: &mut Bench, rate: u64, of: &str, security: Security) -> Result<(), Failure> {
    let flow = Flow {
        connections: 1,
        security,
        rate: Some(rate),
        millis: PACE_MILLIS,
    };
    let on = format!("connections: 1, security: {security:?}");
    println!(
        "latency, {rate} frames a second{of}, {on}: us to p50, p99, p99.9; from sending; late p50, p99"
    );
    let whos = [Who::Apply, Who::Ours];
    let mut first = None;
    for (who, taken) in whos.iter().zip(interleave(bench, &whos, flow)?) {
        let micros =
            |of: &dyn Fn(&Taken) -> u64| spread(taken.iter().map(|run| ratio(of(run), 1_000)));
        let quantiles = [0.5, 0.99, 0.999];
        let planned =
            quantiles.map(|quantile| micros(&|run| run.ages.planned.value_at_quantile(quantile)));
        let sent =
            quantiles.map(|quantile| micros(&|run| run.ages.sent.value_at_quantile(quantile)));
        let late = [0, 1].map(|at| micros(&|run| run.sent.late[at]));
        let shares = *first.get_or_insert([planned[0][0], sent[0][0]]);
        let name = who.name();
        println!(
            "  {name:18} {:7.1} {:8.1} {:9.1}  {:5.2}   {:7.1} {:8.1} {:9.1}  {:5.2}   {:6.1} {:7.1}",
            planned[0][0],
            planned[1][0],
            planned[2][0],
            planned[0][0] / shares[0],
            sent[0][0],
            sent[1][0],
            sent[2][0],
            sent[0][0] / shares[1],
            late[0][0],
            late[1][0],
        );
        note(&Latency {
            bench: "end to end, latency",
            on: &on,
            way: name,
            rate,
            planned_micros: planned,
            sent_micros: sent,
            late_micros: late,
            runs: taken.len(),
        });
    }
    Ok(())
}
