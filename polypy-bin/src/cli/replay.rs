//! `polypy replay`, as typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{File, Span};

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A folder, one of its files, or frames as lines of JSON
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,
    #[command(flatten)]
    pub(crate) span: Span,
    /// How fast: 1x as it was, 10x, or max, as fast as clients read
    #[arg(long, value_name = "SPEED", default_value = "1x", value_parser = speed)]
    pub(crate) speed: Speed,
    /// Begin again at the end, with all sockets dropped
    #[arg(long = "loop")]
    pub(crate) again: bool,
    /// Shift the frames' time stamps to now, and leave out their hashes, which cover them
    #[arg(long)]
    pub(crate) shift_times: bool,
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) file: File,
}

/// How many times faster than it was; zero is as fast as it can be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed(pub(crate) f64);

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed(0.0));
    }
    let number = text.strip_suffix('x').unwrap_or(text).parse::<f64>();
    match number {
        Ok(number) if number > 0.0 && number <= 1_000_000.0 => Ok(Speed(number)),
        _ => Err("not a speed: 1x, 0.5x, 10x up to 1000000x, or max".to_owned()),
    }
}

pub(crate) const REPLAY_EXAMPLES: &str = "\
Examples:
  polypy replay recording
  polypy replay recording --speed max --listen 127.0.0.1:9000
  polypy replay recording --from 2026-11-29T08:43:00Z --to 2026-11-29T09:00:00Z --speed 10x --loop

Serves what was recorded as the venue served it: Gamma, the CLOB's books and the market WebSocket
on one port. Point a client to the addresses that it prints; for this server:

  polypy run --enable-http --venue-gamma-url URL --venue-clob-url URL --venue-ws-url URL

It begins half a second after the last subscription. Frames keep their bytes, and their times: a
hash covers them. With --shift-times they are of now, and hashes are left out of frames and books:
these can be followed, and no longer be verified. That goes with the speed of 1x. What several
sockets brought is given once. Where the recording lost tokens, the sockets that carry them are
dropped, and come back to books that are whole. Pauses longer than ten seconds are passed over.
Ends with Ctrl-C.";
