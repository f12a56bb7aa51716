//! A TLS stream that puts each WebSocket frame into a record of its own, and sends
//! the records of one write together.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustls::{ServerConnection, StreamOwned};

use super::script::length_of;

/// The stream. Whole frames are written to it.
#[derive(Debug)]
pub(crate) struct Records(StreamOwned<ServerConnection, TcpStream>);

impl Records {
    pub(crate) fn of(mut stream: StreamOwned<ServerConnection, TcpStream>) -> Self {
        // A write is some hundred frames, and leaves before the next.
        stream.conn.set_buffer_limit(None);
        Self(stream)
    }
}

impl Read for Records {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Records {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        // What is no frame is the handshake's, and goes as it is.
        while let Some((frame, behind)) = length_of(rest).and_then(|at| rest.split_at_checked(at)) {
            self.0.conn.writer().write_all(frame)?;
            rest = behind;
        }
        self.0.conn.writer().write_all(rest)?;
        self.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.0.conn.wants_write() {
            self.0.conn.write_tls(&mut self.0.sock)?;
        }
        Ok(())
    }
}
