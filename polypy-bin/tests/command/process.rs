//! The built program as a person or a supervisor meets it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine of two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program with an environment of its own: nothing of the developer's
/// settings or files reaches it.
pub(crate) fn polypy(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polypy"));
    command
        .args(args)
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null());
    command
}

/// The same with a limit that the shell's `ulimit` sets first.
pub(crate) fn limited(limit: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_polypy"))
        .args(args)
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn output(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (
        status.code().expect("not killed"),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// A program that runs, killed when the test is over.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    /// Everything read so far, for messages of failed tests.
    pub(crate) seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(&mut polypy(args))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout: ChildStdout = child.stdout.take().unwrap();
        let stderr: ChildStderr = child.stderr.take().unwrap();
        Self {
            child,
            stdout: lines(stdout),
            stderr: lines(stderr),
            seen: Vec::new(),
        }
    }

    /// The next line of standard output that contains `text`.
    pub(crate) fn stdout_line(&mut self, text: &str) -> String {
        wait(&self.stdout, &mut self.seen, text)
    }

    /// The next line of standard error that contains `text`.
    pub(crate) fn stderr_line(&mut self, text: &str) -> String {
        wait(&self.stderr, &mut self.seen, text)
    }

    /// Sends a signal by name, as a person would.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end and reads what is left of its words.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "still running: {:#?}",
                self.seen
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        self.seen.extend(self.stdout.iter());
        self.seen.extend(self.stderr.iter());
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(10_000);
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn wait(lines: &Receiver<String>, seen: &mut Vec<String>, text: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                seen.push(line.clone());
                if line.contains(text) {
                    return line;
                }
            }
            Err(RecvTimeoutError::Timeout) => panic!("no {text:?} in {seen:#?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("ended without {text:?}: {seen:#?}"),
        }
    }
}

/// `GET` of a URL as the demo prints it: status and body.
pub(crate) fn get(url: &str) -> (u16, serde_json::Value) {
    send("GET", url, &[], "")
}

/// A request with these header lines and this body: status and body of the answer.
pub(crate) fn send(
    method: &str,
    url: &str,
    headers: &[&str],
    body: &str,
) -> (u16, serde_json::Value) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    if method != "GET" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    write!(stream, "{head}\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}
