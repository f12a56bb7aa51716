//! A WebSocket client that takes frames off what it reads, and does nothing else: what it
//! gets a second is what the other side can give.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Failure;
use crate::stream::frame;

/// Read at once: some 1,500 frames.
const BUFFER: usize = 1 << 20;
/// No frame of the corpus is longer.
const LONGEST_FRAME: usize = 64 << 10;
/// Without a byte for so long, the other side has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that has subscribed.
#[derive(Debug)]
pub struct Bare {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where in it what was read and not taken begins and ends.
    unread: std::ops::Range<usize>,
}

impl Bare {
    /// Opens the market socket at this address.
    ///
    /// # Errors
    /// When it does not open.
    pub fn connect(to: SocketAddr) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "GET /ws/market HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.extend_from_slice(&byte);
        }
        if !answer.starts_with(b"HTTP/1.1 101") {
            return Err(format!("refused: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER],
            unread: 0..0,
        })
    }

    /// Subscribes tokens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn subscribe(&mut self, tokens: &[String]) -> Result<(), Failure> {
        let request = serde_json::json!({ "type": "market", "assets_ids": tokens });
        Ok(self.stream.write_all(&frame::text(&request.to_string()))?)
    }

    /// Reads until so many texts were taken, and gives each to `each`.
    ///
    /// # Errors
    /// When the other side stops before.
    pub fn read(&mut self, texts: usize, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
        let mut left = texts;
        loop {
            let unread = &self.buffer[self.unread.clone()];
            match frame::first(unread) {
                Some(found) if left > 0 => {
                    self.unread.start += found.length;
                    match found.opcode {
                        frame::TEXT => {
                            left -= 1;
                            each(found.payload);
                        }
                        frame::CLOSE => return Err("the other side closed".into()),
                        _ => {}
                    }
                }
                _ if left == 0 => return Ok(()),
                Some(_) | None => self.fill(left)?,
            }
        }
    }

    fn fill(&mut self, left: usize) -> Result<(), Failure> {
        if self.buffer.len() - self.unread.end < LONGEST_FRAME {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let read = self.stream.read(&mut self.buffer[self.unread.end..]);
        let read = read.map_err(|error| format!("{left} frames are missing: {error}"))?;
        if read == 0 {
            return Err(format!("the other side closed; {left} frames are missing").into());
        }
        self.unread.end += read;
        Ok(())
    }
}
