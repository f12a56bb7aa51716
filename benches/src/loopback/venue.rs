//! This process's end of the exchange: starts it, tells it what to do, and sees
//! to it that it ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Answer, Failure, Order};

/// The longest that any order takes: a run of seconds, and room for a machine
/// that does something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// The exchange's process. Dropping it ends it.
#[derive(Debug)]
pub struct Venue {
    process: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    /// Where it listens.
    pub port: u16,
}

impl Venue {
    /// Starts this program again, to be the exchange: `argument` tells it so.
    ///
    /// # Errors
    /// When it cannot be started, or does not listen.
    pub fn start(argument: &str) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or("no output of the exchange")?;
        // An order is answered before the next is given.
        let (sender, answers) = sync_channel(1);
        let reader = std::thread::spawn(move || {
            // Both ends are reported by who waits for the next answer.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut venue = Self {
            process,
            input,
            answers,
            reader: Some(reader),
            port: 0,
        };
        match venue.answer()? {
            Answer::Ready { port } => venue.port = port,
            other => return Err(format!("the exchange began with {other:?}").into()),
        }
        Ok(venue)
    }

    /// Tells it to do something, without waiting for the answer.
    ///
    /// # Errors
    /// When it is gone.
    pub fn tell(&mut self, order: Order) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or("the exchange is told no more")?;
        serde_json::to_writer(&mut *input, &order)?;
        input.write_all(b"\n")?;
        Ok(input.flush()?)
    }

    /// Waits for its next answer.
    ///
    /// # Errors
    /// When it fails, is gone, or takes too long.
    pub fn answer(&mut self) -> Result<Answer, Failure> {
        let line = match self.answers.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Err("the exchange takes too long".into()),
            Err(RecvTimeoutError::Disconnected) => return Err("the exchange has ended".into()),
        };
        match serde_json::from_str(&line)? {
            Answer::Failed { reason } => Err(format!("the exchange failed: {reason}").into()),
            answer => Ok(answer),
        }
    }
}

#[expect(clippy::print_stderr, reason = "a benchmark's result is its output")]
impl Drop for Venue {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may be in the middle of a run.
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("the exchange's process {}: {error}", self.process.id());
        }
        let joined = self.reader.take().map(JoinHandle::join);
        if let Some(Err(_)) = joined {
            eprintln!("the reader of the exchange's answers panicked");
        }
    }
}
