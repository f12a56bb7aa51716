//! The program that plays a recording, in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Failure;
use crate::stream::venue::Place;

/// A replay. Dropping it ends it.
#[derive(Debug)]
pub struct Replay {
    child: Child,
    /// Where it serves.
    pub address: SocketAddr,
}

impl Replay {
    /// Plays this folder: `max`, or so many times as fast as it was.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &str, folder: &Path, speed: &str) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .arg("replay")
            .arg(folder)
            .args(["--speed", speed, "--listen", "127.0.0.1:0"])
            // It refuses variables that are no settings of its own, as the benchmarks' are.
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let said = child.stdout.take().ok_or("no output")?;
        let line = BufReader::new(said).lines().next();
        let line = line.ok_or("the program ended before it listened: start it by hand")??;
        let address = line
            .split_once("http://")
            .and_then(|(_, rest)| rest.trim_end_matches('"').parse().ok())
            .ok_or_else(|| format!("no address: {line}"))?;
        Ok(Self { child, address })
    }

    /// Where the program under test finds it, and the tokens that it is told to have.
    pub fn place(&self, tokens: Vec<String>) -> Place {
        let address = self.address;
        Place {
            rest: format!("http://{address}"),
            socket: format!("ws://{address}/ws/market"),
            address,
            tokens,
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
