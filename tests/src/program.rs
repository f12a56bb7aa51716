//! The built program as a process of its own, and what the system says of it.
//!
//! Memory and processor time of a process are its own only if nothing else runs
//! in it: so these tests build the binary, in the profile they were built in
//! themselves, and start it as a person would. A process is killed when it is
//! dropped; while a test panics the last of its log is printed first.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines of a log kept for the message of a failed test.
const KEPT: usize = 40;
/// Clock ticks a second in `/proc`: 100 on every Linux that Rust has a standard
/// library for.
const TICKS_PER_SECOND: u64 = 100;
/// For the words a program says at its start; an exchange of 50,000 markets
/// takes some seconds to make them.
const START: Duration = Duration::from_secs(120);
/// Between two looks of a [`MemoryWatch`].
const SAMPLE: Duration = Duration::from_millis(500);
/// Twice the deadline the program sets its own end.
const END: Duration = Duration::from_secs(20);

/// Where the binary is, built now if it was not.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> PathBuf {
    // target/PROFILE/deps/TEST
    let test = std::env::current_exe().expect("the test knows its file");
    let folder = test.ancestors().nth(2).expect("target/PROFILE");
    let target = folder.parent().expect("target");
    // By name, so that whoever chose the compiler of this test chooses again.
    let mut command = Command::new("cargo");
    command
        .args(["build", "--quiet", "--locked", "--package", "polypy"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("--target-dir")
        .arg(target);
    if folder
        .file_name()
        .is_some_and(|profile| profile == "release")
    {
        command.arg("--release");
    } else {
        // As `make demo` and the tests, which thus share one build.
        command.args(["--features", "tokio/test-util,fault-injection"]);
    }
    // What cargo tells a test of its own package is nothing for the build, whose
    // scripts would run again for it, and everything that depends on them be compiled.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_this_package) {
            command.env_remove(name);
        }
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "the binary could not be built: {status}");
    folder.join("polypy")
}

/// Whether cargo sets the variable for the package that it compiles or runs.
fn is_of_this_package(name: &str) -> bool {
    let exact = ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
    let families = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    exact.contains(&name) || families.iter().any(|family| name.starts_with(family))
}

/// Memory of a process that is not shared with the disk's cache.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Bytes in memory now.
    pub now: u64,
    /// Most bytes in memory ever.
    pub peak: u64,
}

impl Memory {
    /// That of a process; `None` when it is gone.
    fn of(process: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let field = |name: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib = rest.split_whitespace().next()?.parse::<u64>().ok()?;
            Some(kib * 1_024)
        };
        Some(Self {
            now: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }
}

/// Looks at a program's memory every half second, until it is asked.
#[derive(Debug)]
pub struct MemoryWatch {
    stop: SyncSender<()>,
    watch: JoinHandle<u64>,
}

impl MemoryWatch {
    /// Begins.
    pub fn of(program: &Program) -> Self {
        let process = program.id();
        let (stop, stopped) = sync_channel(1);
        let watch = std::thread::spawn(move || {
            let mut most = 0;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(SAMPLE) {
                let now = Memory::of(process).map_or(0, |memory| memory.now);
                most = most.max(now);
            }
            most
        });
        Self { stop, watch }
    }

    /// Most bytes at any of the looks.
    ///
    /// # Panics
    /// When the watching thread died.
    pub fn most(self) -> u64 {
        drop(self.stop);
        self.watch.join().expect("it only reads")
    }
}

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    log: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts the binary with nothing of the surroundings' settings.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(args: &[String]) -> Self {
        let binary = binary();
        let mut command = Command::new(binary);
        command
            .args(args)
            .env_clear()
            .current_dir(binary.parent().expect("target/PROFILE"));
        Self::spawn(command)
    }

    /// Starts any command that becomes the program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::default();
        let (stdout, out) = read(child.stdout.take().expect("piped"), &log);
        let (stderr, err) = read(child.stderr.take().expect("piped"), &log);
        Self {
            child,
            stdout,
            stderr,
            log,
            readers: vec![out, err],
        }
    }

    /// The next line of standard output that contains `text`.
    ///
    /// # Panics
    /// When it does not come.
    pub fn says(&self, text: &str) -> String {
        find(&self.stdout, text)
    }

    /// The next line of the log that contains `text`.
    ///
    /// # Panics
    /// When it does not come.
    pub fn logs(&self, text: &str) -> String {
        find(&self.stderr, text)
    }

    /// Memory at this moment.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn memory(&self) -> Memory {
        Memory::of(self.id()).expect("the process runs, on Linux")
    }

    /// Processor time used so far by all its threads, in steps of 10 ms.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()));
        let stat = stat.expect("the process runs, on Linux");
        // The name, in brackets, may hold anything; user and system time are
        // the 12th and 13th field after it.
        let (_, rest) = stat.rsplit_once(") ").expect("a name in brackets");
        let fields = rest.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum();
        Duration::from_millis(ticks * (1_000 / TICKS_PER_SECOND))
    }

    /// Sends a signal by name.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, name: &str) {
        send(self.child.id(), name);
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// When that cannot be learned.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Its number, for what goes on beside it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has, cleanly.
    ///
    /// # Panics
    /// When it does not, or with an error.
    pub fn stop(self) {
        let status = self.ended();
        assert!(status.success(), "ended with {status}");
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it does not.
    pub fn ended(mut self) -> ExitStatus {
        self.signal("TERM");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(begun.elapsed() < END, "does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "told beside a test's own failure")]
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        if std::thread::panicking()
            && let Ok(log) = self.log.lock()
        {
            for line in &*log {
                eprintln!("| {line}");
            }
        }
    }
}

/// Gives a program a part of the machine only, until it is dropped: it is held
/// for the rest of each tenth of a second, as containers are held that have used
/// up their share.
#[derive(Debug)]
pub struct Throttle {
    shell: Child,
    throttled: u32,
}

impl Throttle {
    /// Lets `program` run for so many hundredths of the time.
    ///
    /// # Panics
    /// When no shell can be started, or the share is not 1 to 99.
    pub fn of(program: &Program, percent: u32) -> Self {
        assert!((1..100).contains(&percent), "{percent} %");
        let throttled = program.id();
        let script = format!(
            "while kill -STOP {throttled} && sleep 0.0{held:02} && kill -CONT {throttled} \
             && sleep 0.0{percent:02}; do :; done",
            held = 100 - percent
        );
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        Self { shell, throttled }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // These fail only when there is nothing left to end or to free.
        drop(self.shell.kill());
        drop(self.shell.wait());
        let free = Command::new("kill")
            .args(["-CONT", &self.throttled.to_string()])
            .stderr(Stdio::null())
            .status();
        drop(free);
    }
}

/// Sends a signal to a process by name.
///
/// # Panics
/// When there is no such process.
pub fn send(process: u32, signal: &str) {
    let status = Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(process.to_string())
        .status()
        .expect("kill runs");
    assert!(status.success(), "no process {process}");
}

/// Reads lines to the end, so that the writer never waits. Whoever waits for a
/// line gets the first ones; the newest are kept for the message of a failure.
fn read(
    from: impl Read + Send + 'static,
    log: &Arc<Mutex<VecDeque<String>>>,
) -> (Receiver<String>, JoinHandle<()>) {
    let (sender, receiver) = sync_channel(1_024);
    let log = Arc::clone(log);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Ok(mut log) = log.lock() {
                if log.len() >= KEPT {
                    log.pop_front();
                }
                log.push_back(line.clone());
            }
            // Full or gone: nobody waits for more lines.
            drop(sender.try_send(line));
        }
    });
    (receiver, reader)
}

#[expect(clippy::panic, reason = "called by tests, whose way to fail this is")]
fn find(lines: &Receiver<String>, text: &str) -> String {
    let deadline = Instant::now() + START;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines
            .recv_timeout(left)
            .unwrap_or_else(|_| panic!("nothing says {text:?}"));
        if line.contains(text) {
            return line;
        }
    }
}
