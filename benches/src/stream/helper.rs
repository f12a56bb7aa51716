//! A process of this program's that takes an order a line on its standard input and
//! answers each by a line on its standard output. It ends when its input does, so that
//! it never outlives who started it.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Failure;

/// The longest that an order takes beyond what it says itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// A line of the answers.
#[derive(Debug, Serialize, Deserialize)]
enum Said<T> {
    Told(T),
    Failed(String),
}

/// Takes orders until the standard input ends.
///
/// # Errors
/// When who started it is gone, or says what cannot be read.
pub fn serve<O: DeserializeOwned, A: Serialize>(
    mut obey: impl FnMut(O) -> Result<A, Failure>,
) -> Result<(), Failure> {
    for line in io::stdin().lock().lines() {
        answer(obey(serde_json::from_str(&line?)?))?;
    }
    Ok(())
}

/// Writes an answer.
///
/// # Errors
/// When nobody reads it.
pub fn answer<A: Serialize>(answer: Result<A, Failure>) -> Result<(), Failure> {
    let said = match answer {
        Ok(told) => Said::Told(told),
        Err(error) => Said::Failed(error.to_string()),
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &said)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// This process's end. Dropping it ends the other.
#[derive(Debug)]
pub struct Helper {
    name: &'static str,
    process: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Helper {
    /// Starts this program again; `argument` tells it what to be.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(argument: &'static str) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or("no output of a helper")?;
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
        Ok(Self {
            name: argument,
            process,
            input,
            answers,
            reader: Some(reader),
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Tells it to do something and waits until it is done.
    ///
    /// # Errors
    /// When it fails, is gone, or takes too long.
    pub fn ask<A: DeserializeOwned>(&mut self, order: &impl Serialize) -> Result<A, Failure> {
        self.tell(order)?;
        self.hear()
    }

    /// Tells it to do something, without waiting for the answer.
    ///
    /// # Errors
    /// When it is gone.
    pub fn tell(&mut self, order: &impl Serialize) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or("it is told no more")?;
        serde_json::to_writer(&mut *input, order)?;
        input.write_all(b"\n")?;
        Ok(input.flush()?)
    }

    /// Waits for its next answer.
    ///
    /// # Errors
    /// When it fails, is gone, or takes too long.
    pub fn hear<A: DeserializeOwned>(&mut self) -> Result<A, Failure> {
        let name = self.name;
        let line = match self.answers.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("{name} takes too long").into());
            }
            Err(RecvTimeoutError::Disconnected) => return Err(format!("{name} has ended").into()),
        };
        match serde_json::from_str(&line)? {
            Said::Told(told) => Ok(told),
            Said::Failed(reason) => Err(format!("{name} failed: {reason}").into()),
        }
    }
}

#[expect(clippy::print_stderr, reason = "a benchmark's result is its output")]
impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may be in the middle of something.
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("{}, process {}: {error}", self.name, self.process.id());
        }
        let joined = self.reader.take().map(JoinHandle::join);
        if let Some(Err(_)) = joined {
            eprintln!("{}: the reader of its answers panicked", self.name);
        }
    }
}
