//! The attacks, one function each.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::Outcome;
use crate::client::{self, Answer, Probes, connect, connect_narrow, request};
use crate::server::{Group, Server, Setting};
use crate::{broken, crowds, streams, tool};

const MIB: u64 = 1 << 20;
/// The list of so many markets has 2.6 MB.
const MARKETS: usize = 5_000;
/// Between two attempts of a client that was refused.
const PAUSE: Duration = Duration::from_millis(200);
/// How long an attack is kept up once it stands.
const HOLD: Duration = Duration::from_secs(8);

type Attack = fn() -> Pin<Box<dyn Future<Output = Outcome>>>;

/// All but the readers, which take longest and run beside these.
pub(crate) fn all() -> Vec<(&'static str, Attack)> {
    vec![
        ("400 lists nobody reads, 256 MiB", || {
            Box::pin(in_a_small_group(|_| "/markets".to_owned()))
        }),
        ("400 pages nobody reads, 256 MiB", || {
            Box::pin(in_a_small_group(|number| {
                format!("/markets?limit=4500&offset={number}")
            }))
        }),
        ("300 silent readers", || {
            Box::pin(silent_readers(300, 64 * MIB))
        }),
        ("1,000 silent readers", || {
            Box::pin(silent_readers(1_000, 160 * MIB))
        }),
        ("10,000 silent connections", || Box::pin(flood(10_000))),
        ("512 clients that stay", || Box::pin(idle(512))),
        ("600 clients that stay", || Box::pin(idle(600))),
        ("slowhttptest, four ways", || Box::pin(tool::slow_http())),
        ("100,000 broken requests", || {
            Box::pin(broken::requests(100_000))
        }),
        ("256 descriptors", || Box::pin(few_descriptors())),
        ("streams: 1,200 half-open handshakes", || {
            Box::pin(streams::half_open())
        }),
        ("streams: floods of operations", || {
            Box::pin(streams::flood())
        }),
        ("streams: broken frames", || Box::pin(streams::frames())),
        ("streams: 300 slow readers", || {
            Box::pin(crowds::slow_readers())
        }),
        ("streams: 1,536 clients, 1,024 places", || {
            Box::pin(crowds::crowd())
        }),
        ("streams: a storm of subscriptions", || {
            Box::pin(crowds::storm())
        }),
        ("streams: 3,840 cut mid-message", || Box::pin(crowds::cut())),
        ("streams: bad cursors", || Box::pin(streams::cursors())),
        ("streams: bad origins", || Box::pin(streams::origins())),
    ]
}

fn many_markets() -> Setting {
    Setting {
        markets: MARKETS,
        ..Setting::default()
    }
}

/// Connects and asks for `target`; the answer is not read.
async fn ask_and_wait(
    number: usize,
    server: &Server,
    target: &str,
) -> Option<tokio::net::TcpStream> {
    let mut stream = connect_narrow(number, server.address).await.ok()?;
    stream.write_all(request(target).as_bytes()).await.ok()?;
    Some(stream)
}

async fn in_a_small_group(target: fn(usize) -> String) -> Outcome {
    let Some(group) = Group::with_memory(256 * MIB) else {
        return Outcome::skipped("no control group can be made here");
    };
    let mut server = Server::start(&Setting {
        group: Some(group.path.clone()),
        ..many_markets()
    })
    .await;
    let probes = Probes::start(server.address);
    let mut clients = JoinSet::new();
    for number in 0..400 {
        clients.spawn(insist(number, server.address, target(number)));
    }
    tokio::time::sleep(HOLD * 2).await;
    let (probed, figures) = probes.end().await;
    let memory = server.memory();
    let group = group.peak().unwrap_or(0) / MIB;
    drop(clients);
    match memory {
        Some((_, peak)) => Outcome::of(
            // Whatever the group counts and forgives: what answers may hold, and the rest.
            probed.all && peak < 160 * MIB,
            format!(
                "lives; peak RSS {} MiB, of the group {group} MiB; {figures}",
                peak / MIB
            ),
        ),
        None => Outcome::of(false, format!("killed; {figures}")),
    }
}

/// Asks until it is being sent an answer, and then does not read it.
async fn insist(number: usize, to: SocketAddr, target: String) {
    loop {
        let Ok(mut stream) = connect_narrow(number, to).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let asked = stream.write_all(request(&target).as_bytes()).await;
        let mut start = [0; 12];
        let answered = stream.read_exact(&mut start).await;
        if asked.is_ok() && answered.is_ok() && start.ends_with(b"200") {
            return std::future::pending().await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Neither the process nor the system's buffers may grow past `bound` together.
async fn silent_readers(number: usize, bound: u64) -> Outcome {
    let mut server = Server::start(&many_markets()).await;
    // The list is rendered and the allocator warm before it is measured.
    client::get(server.address, "/markets").await;
    let (before, _) = server.memory().unwrap_or_default();
    let system = system_memory();
    let probes = Probes::start(server.address);
    let mut held = Vec::new();
    for number in 0..number {
        held.push(ask_and_wait(number, &server, "/markets").await);
    }
    tokio::time::sleep(HOLD).await;
    let kernel = system_memory().saturating_sub(system);
    let (probed, figures) = probes.end().await;
    let Some((_, peak)) = server.memory() else {
        return Outcome::of(false, format!("killed; {figures}"));
    };
    let cost = peak.saturating_sub(before);
    drop(held);
    Outcome::of(
        probed.all && cost + kernel <= bound,
        format!(
            "{} MiB of the process and {} MiB of the system's buffers more; {figures}",
            cost / MIB,
            kernel / MIB
        ),
    )
}

/// Bytes in the system's socket buffers, of both ends.
fn system_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages = text
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

async fn flood(number: usize) -> Outcome {
    let server = Server::start(&Setting {
        markets: 200,
        ..Setting::default()
    })
    .await;
    let probes = Probes::start(server.address);
    let began = Instant::now();
    let mut held = Vec::with_capacity(number);
    let mut failed = 0;
    for number in 0..number {
        match connect(number, server.address).await {
            Ok(stream) => held.push(stream),
            Err(_) => failed += 1,
        }
    }
    let took = began.elapsed().as_secs_f64();
    tokio::time::sleep(HOLD).await;
    let (probed, figures) = probes.end().await;
    Outcome::of(
        probed.quickly,
        format!(
            "{} connected in {took:.1} s, {failed} could not; {figures}",
            held.len()
        ),
    )
}

async fn idle(number: usize) -> Outcome {
    let server = Server::start(&Setting {
        markets: 200,
        ..Setting::default()
    })
    .await;
    let mut held = Vec::new();
    let mut refused = 0;
    let keep = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for number in 0..number {
        let Ok(mut stream) = connect(number, server.address).await else {
            refused += 1;
            continue;
        };
        let mut bytes = [0; 2_048];
        let asked = stream.write_all(keep.as_bytes()).await.is_ok();
        if asked && stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
            held.push(stream);
        } else {
            refused += 1;
        }
    }
    let probes = Probes::start(server.address);
    tokio::time::sleep(HOLD).await;
    let (probed, figures) = probes.end().await;
    Outcome::of(
        probed.quickly && refused == 0,
        format!("{} were answered, {refused} not; {figures}", held.len()),
    )
}

/// Five clients read the whole list at so many bytes a second.
pub(crate) async fn steady_readers(markets: usize, rate: usize) -> Outcome {
    let server = Server::start(&Setting {
        markets,
        ..Setting::default()
    })
    .await;
    let mut readers = JoinSet::new();
    for number in 0..5 {
        let stream = ask_and_wait(number, &server, "/markets").await;
        readers.spawn(async move {
            let mut stream = stream?;
            let mut bytes = Vec::new();
            let mut lump = vec![0; rate / 10];
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                match stream.read(&mut lump).await {
                    Ok(0) => break,
                    Ok(read) => bytes.extend_from_slice(&lump[..read]),
                    Err(_) => return None,
                }
            }
            let whole = Answer::read(&bytes).json()["total"].as_u64().is_some();
            whole.then_some(bytes.len())
        });
    }
    let began = Instant::now();
    let mut whole = 0;
    let mut length = 0;
    while let Some(read) = readers.join_next().await {
        if let Ok(Some(read)) = read {
            whole += 1;
            length = read;
        }
    }
    Outcome::of(
        whole == 5,
        format!(
            "{whole} of 5 had all {length} bytes, after {:.0} s",
            began.elapsed().as_secs_f64()
        ),
    )
}

async fn few_descriptors() -> Outcome {
    // Three hundred connections to the venue are wanted.
    let setting = Setting {
        markets: 3_000,
        descriptors: Some(256),
        flags: vec!["--pool-target=20".to_owned(), "--pool-cap=50".to_owned()],
        ..Setting::default()
    };
    let server = Server::start(&setting);
    let Ok(server) = tokio::time::timeout(Duration::from_secs(100), server).await else {
        return Outcome::of(false, "it does not answer at all");
    };
    let probes = Probes::start(server.address);
    tokio::time::sleep(HOLD).await;
    let (probed, figures) = probes.end().await;
    let stats = client::get(server.address, "/stats").await.json();
    let connections = stats["pool"]["active_connections"].as_u64().unwrap_or(0);
    let accept_errors = &stats["http"]["accept_errors"];
    Outcome::of(
        probed.all && connections > 50,
        format!(
            "{connections} of 300 sockets to the venue, {accept_errors} failed to be accepted; {figures}"
        ),
    )
}
