//! Rolling restarts: two instances behind a load balancer that follows `/readyz`, one of
//! them after the other restarted, and no request of the clients fails.
//!
//! `make soak` restarts twenty times under ten thousand requests at least; `cargo test`
//! does each instance once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use polypy_sim::{SimConfig, SimHandle};
use polypy_tests::http::{self, Client};
use polypy_tests::program::Program;
use polypy_tests::wait;
use polypy_tests::world::{SOON, exchange};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

/// Between two questions of the balancer to an instance. Well within the drain's delay.
const LOOK: Duration = Duration::from_millis(25);
/// What balancers get to notice that an instance is leaving.
const DELAY: &str = "500ms";
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(3);

fn restarts() -> (usize, u64) {
    match std::env::var("POLYPY_SOAK").as_deref() {
        Ok("full") => (20, 10_000),
        _ => (2, 200),
    }
}

/// An instance as the balancer sees it.
struct Backend {
    address: std::sync::Mutex<Option<SocketAddr>>,
    ready: AtomicBool,
}

impl Backend {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            address: std::sync::Mutex::new(None),
            ready: AtomicBool::new(false),
        })
    }

    fn address(&self) -> Option<SocketAddr> {
        *self.address.lock().expect("no panic while it is held")
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    /// Asks for ever whether it is ready.
    async fn follow(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            let ready = match self.address() {
                Some(address) => http::get(address, "/readyz")
                    .await
                    .is_ok_and(|answer| answer.status.is_success()),
                None => false,
            };
            self.ready.store(ready, Ordering::SeqCst);
        }
    }
}

/// A balancer that leads each connection to the next instance that is ready.
async fn balance(listener: TcpListener, backends: [Arc<Backend>; 2]) {
    let mut connections = JoinSet::new();
    let mut turn = 0;
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (mut client, _) = accepted.expect("a client");
                turn += 1;
                let order = [&backends[turn % 2], &backends[(turn + 1) % 2]];
                let chosen = order.into_iter().find(|backend| backend.is_ready());
                // With none that is ready the client is closed, and fails.
                let Some(address) = chosen.and_then(|backend| backend.address()) else {
                    continue;
                };
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(address).await {
                        // Either may leave first.
                        drop(copy_bidirectional(&mut client, &mut server).await);
                    }
                });
            }
        }
    }
}

/// What clients have seen.
#[derive(Default)]
struct Tally {
    asked: AtomicU64,
    failed: std::sync::Mutex<Vec<String>>,
}

impl Tally {
    fn note(&self, path: &str, answer: std::io::Result<http::Answer>) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let failure = match answer {
            Ok(answer) if answer.status.is_success() => {
                return answer
                    .headers
                    .get("connection")
                    .is_some_and(|it| it == "close");
            }
            Ok(answer) => format!("{path}: {}", answer.status),
            Err(error) => format!("{path}: {error}"),
        };
        self.failed
            .lock()
            .expect("no panic while it is held")
            .push(failure);
        true
    }
}

/// Asks for ever over a connection that is kept until the server closes it.
async fn faithful(balancer: SocketAddr, paths: Arc<Vec<String>>, tally: Arc<Tally>) {
    let mut kept: Option<Client> = None;
    for path in paths.iter().cycle() {
        let connected = match kept.take() {
            Some(client) => Ok(client),
            None => Client::connect(balancer).await,
        };
        match connected {
            Ok(mut client) => {
                let closed = tally.note(path, client.get(path).await);
                kept = (!closed).then_some(client);
            }
            Err(error) => drop(tally.note(path, Err(error))),
        }
        sleep(PAUSE).await;
    }
}

/// Asks for ever, each time over a new connection.
async fn fickle(balancer: SocketAddr, paths: Arc<Vec<String>>, tally: Arc<Tally>) {
    for path in paths.iter().cycle() {
        tally.note(path, http::get(balancer, path).await);
        sleep(PAUSE).await;
    }
}

fn start(sim: &SimHandle) -> (Program, SocketAddr) {
    let arguments = [
        "run".to_owned(),
        "--enable-http".to_owned(),
        "--http-host=127.0.0.1".to_owned(),
        "--http-port=0".to_owned(),
        format!("--http-drain-delay={DELAY}"),
        // A book that has not come yet is answered with 503.
        "--http-ready-live-share=1".to_owned(),
        "--log-format=json".to_owned(),
        format!("--venue-gamma-url={}", sim.gamma_url()),
        format!("--venue-clob-url={}", sim.clob_url()),
        format!("--venue-ws-url={}", sim.ws_url()),
    ];
    let program = Program::start(&arguments);
    let line = program.logs("http server listening");
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    let address = line["address"].as_str().expect("an address");
    (program, address.parse().expect("an address"))
}

/// Starts an instance and hands it to the balancer, once it can be asked.
async fn bring(sim: &SimHandle, backend: &Backend) -> Program {
    let (program, address) = tokio::task::block_in_place(|| start(sim));
    *backend.address.lock().expect("no panic while it is held") = Some(address);
    wait::until("the balancer sees it ready", SOON, async || {
        backend.is_ready()
    })
    .await;
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_instances_are_restarted_in_turn() {
    let (restarts, least) = restarts();
    let sim = exchange(SimConfig {
        markets: 20,
        ..SimConfig::for_tests()
    })
    .await;
    let backends = [Backend::new(), Backend::new()];
    let mut balancer = JoinSet::new();
    for backend in &backends {
        balancer.spawn(Arc::clone(backend).follow());
    }
    let mut programs = [
        Some(bring(&sim, &backends[0]).await),
        Some(bring(&sim, &backends[1]).await),
    ];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    balancer.spawn(balance(listener, backends.clone()));

    let book = format!("/orderbook/{}?depth=5", sim.assets()[0]);
    let paths = ["/health", "/stats", "/markets", "/metrics", &book];
    let paths = Arc::new(paths.map(str::to_owned).to_vec());
    let tally = Arc::new(Tally::default());
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        clients.spawn(faithful(address, Arc::clone(&paths), Arc::clone(&tally)));
        clients.spawn(fickle(address, Arc::clone(&paths), Arc::clone(&tally)));
    }
    let asked = || tally.asked.load(Ordering::SeqCst);
    for restart in 0..restarts {
        let before = asked();
        let leaving = restart % 2;
        let program = programs[leaving].take().expect("it runs");
        tokio::task::block_in_place(|| program.stop());
        programs[leaving] = Some(bring(&sim, &backends[leaving]).await);
        assert!(asked() > before, "nobody asked meanwhile");
    }
    wait::until("enough requests", SOON, async || asked() >= least).await;
    clients.shutdown().await;
    let failed = tally.failed.lock().expect("no client is left").clone();
    assert_eq!(failed, Vec::<String>::new(), "of {} requests", asked());
    println!("{restarts} restarts, {} requests, none failed", asked());
    drop(programs);
    balancer.shutdown().await;
    sim.stop().await;
}
