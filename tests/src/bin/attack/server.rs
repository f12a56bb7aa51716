//! The program under attack, with the exchange that it follows.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use polypy_tests::program::Program;
use serde_json::Value;

use crate::client;

/// For every book to be live.
const READY: Duration = Duration::from_secs(60);

/// What the program is given and denied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setting {
    pub(crate) markets: usize,
    /// Descriptors, as both limits.
    pub(crate) descriptors: Option<u32>,
    pub(crate) group: Option<PathBuf>,
    pub(crate) flags: Vec<String>,
}

/// Both processes.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) program: Program,
    _exchange: Program,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts both, and waits until books are live.
    pub(crate) async fn start(setting: &Setting) -> Self {
        let binary = binary();
        let mut command = Command::new(&binary);
        command.args([
            "sim",
            "--listen=127.0.0.1:0",
            "--new-markets-per-minute=0",
            "--resolve-per-minute=0",
            "--rate=200",
            "--log-level=warn",
        ]);
        command.arg(format!("--markets={}", setting.markets));
        command.env_clear();
        let exchange = Program::spawn(command);
        let quoted = |line: String| line.split('"').nth(1).expect("a quoted URL").to_owned();
        let gamma = quoted(exchange.says("gamma_url"));
        let ws = quoted(exchange.says("ws_url"));

        let mut script = String::new();
        if let Some(group) = &setting.group {
            script += &format!("echo $$ > {}/cgroup.procs; ", group.display());
        }
        if let Some(descriptors) = setting.descriptors {
            script += &format!("ulimit -n {descriptors}; ");
        }
        script += "exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(&binary).args([
            "run",
            "--enable-http",
            "--http-host=127.0.0.1",
            "--http-port=0",
            "--log-format=json",
            "--log-level=info",
        ]);
        command.arg(format!("--venue-gamma-url={gamma}"));
        command.arg(format!("--venue-clob-url={gamma}"));
        command.arg(format!("--venue-ws-url={ws}"));
        command.args(&setting.flags);
        // Files of incidents are nobody's sources.
        command
            .env_clear()
            .env("XDG_STATE_HOME", std::env::temp_dir());
        let program = Program::spawn(command);
        let listening = program.logs("http server listening");
        let listening: Value = serde_json::from_str(&listening).expect("a line of JSON");
        let address = listening["address"].as_str().expect("an address");
        let server = Self {
            program,
            _exchange: exchange,
            address: address.parse().expect("an address"),
        };
        // With too few descriptors some books never come: half of them will do.
        let wanted = setting.markets as u64;
        let began = Instant::now();
        while server.live().await < wanted && began.elapsed() < READY {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        server
    }

    async fn live(&self) -> u64 {
        let stats = client::get(self.address, "/stats").await.json();
        stats["workers"]["books"]["live"].as_u64().unwrap_or(0)
    }

    /// Bytes in memory now and at most; nothing once it is dead.
    pub(crate) fn memory(&mut self) -> Option<(u64, u64)> {
        self.program.is_running().then(|| {
            let memory = self.program.memory();
            (memory.now, memory.peak)
        })
    }
}

/// The binary that is attacked.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("POLYPY").map(PathBuf::from);
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/polypy");
    named.unwrap_or_else(built)
}

/// A control group with so much memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) path: PathBuf,
    peak: &'static str,
}

impl Group {
    /// `None` where none can be made: without privileges, or without groups.
    pub(crate) fn with_memory(bytes: u64) -> Option<Self> {
        let own = std::process::id();
        let first = Path::new("/sys/fs/cgroup/memory");
        let second = Path::new("/sys/fs/cgroup");
        for (root, limit, peak) in [
            (first, "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            (second, "memory.max", "memory.peak"),
        ] {
            let path = root.join(format!("polypy-attack-{own}-{bytes}"));
            if std::fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self { path, peak };
            // Swap would hide what is being looked for.
            for swap in ["memory.swap.max", "memory.swappiness"] {
                drop(std::fs::write(group.path.join(swap), "0"));
            }
            if std::fs::write(group.path.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    /// Most bytes that it ever held, with what the system held for it.
    pub(crate) fn peak(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.path.join(self.peak)).ok()?;
        text.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails while the program ends; it is empty then and harmless.
        drop(std::fs::remove_dir(&self.path));
    }
}
