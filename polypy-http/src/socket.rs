//! A client's socket, of whichever kind, and what listens for them.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::peer::Peer;
use crate::tls::{Tls, TlsStream, below};

/// A listening socket that a program opened itself, or was handed by its supervisor.
/// The server serves it beside its own, through all of its lives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Listener {
    /// TCP.
    Tcp(Arc<std::net::TcpListener>),
    /// A Unix socket. Who reaches it is for the file's mode to decide.
    Unix {
        /// The socket.
        listener: Arc<std::os::unix::net::UnixListener>,
        /// Its file, if it is known.
        path: Option<PathBuf>,
    },
}

impl From<std::net::TcpListener> for Listener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::Tcp(Arc::new(listener))
    }
}

impl From<std::os::unix::net::UnixListener> for Listener {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        Self::Unix {
            listener: Arc::new(listener),
            path: None,
        }
    }
}

impl Listener {
    /// A Unix socket whose file is known.
    pub fn unix(listener: std::os::unix::net::UnixListener, path: &Path) -> Self {
        Self::Unix {
            listener: Arc::new(listener),
            path: Some(path.to_owned()),
        }
    }

    /// One for the event loop. The socket itself stays open with the other.
    pub(crate) fn listening(&self) -> io::Result<Listening> {
        match self {
            Self::Tcp(listener) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                Ok(Listening::Tcp(TcpListener::from_std(listener)?))
            }
            Self::Unix { listener, path } => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                Ok(Listening::Unix(
                    UnixListener::from_std(listener)?,
                    path.clone(),
                ))
            }
        }
    }
}

/// A socket on which clients arrive.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, Option<PathBuf>),
}

impl Listening {
    /// Where it listens, for people.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.to_string(),
                Err(error) => error.to_string(),
            },
            Self::Unix(listener, path) => {
                let address = listener.local_addr();
                let bound = || address.as_ref().ok().and_then(|it| it.as_pathname());
                let path = path.as_deref().or_else(bound);
                path.map_or_else(
                    || "unix".to_owned(),
                    |path| format!("unix:{}", path.display()),
                )
            }
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, address)| {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "nodelay not set");
                }
                (Socket::Tcp(stream), Peer::new(address))
            }),
            Self::Unix(listener, _) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| (Socket::Unix(stream), Peer::LOCAL)),
        }
    }
}

/// The next client of any of them, each in its turn.
pub(crate) async fn accept(
    listening: &[Listening],
    turn: &mut usize,
) -> io::Result<(Socket, Peer)> {
    std::future::poll_fn(|cx| {
        for offset in 0..listening.len() {
            let at = (*turn + offset) % listening.len();
            if let Poll::Ready(accepted) = listening[at].poll_accept(cx) {
                *turn = at + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// The writing side of a client's socket, for another thread than that of its task. What
/// is written is whole only if both agree on who writes when.
#[derive(Debug, Clone)]
pub struct DirectWriter(Arc<TcpStream>);

impl DirectWriter {
    /// Writes what fits at once, and waits for nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing fits; others if the client is gone.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
}

/// A client's socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    /// TCP that another thread writes to, too.
    Shared(Arc<TcpStream>),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Socket {
    /// Whether what goes over it is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Lets another thread write to it as well, where that is possible without a task:
    /// over TCP that is not encrypted.
    pub(crate) fn shared(self) -> (Self, Option<DirectWriter>) {
        match self {
            Self::Tcp(stream) => {
                let stream = Arc::new(stream);
                let writer = DirectWriter(Arc::clone(&stream));
                (Self::Shared(stream), Some(writer))
            }
            other => (other, None),
        }
    }

    /// Speaks TLS over TCP, if there is a certificate; other kinds stay as they are.
    pub(crate) async fn secured(self, tls: Option<&Tls>) -> io::Result<Self> {
        match (self, tls) {
            (Self::Tcp(stream), Some(tls)) => Ok(Self::Tls(Box::new(tls.accept(stream).await?))),
            (other, _) => Ok(other),
        }
    }

    /// Writes what fits at once.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Shared(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            // A record is more than one write of the system.
            Self::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes what has arrived, to throw it away.
    pub(crate) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(bytes),
            Self::Shared(stream) => stream.try_read(bytes),
            Self::Unix(stream) => stream.try_read(bytes),
            Self::Tls(stream) => below(stream).try_read(bytes),
        }
    }

    /// Has the system forget at the close what was not sent. A Unix socket does so
    /// anyway.
    pub(crate) fn forget_unsent(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::Shared(stream) => stream.set_zero_linger(),
            Self::Unix(_) => Ok(()),
            Self::Tls(stream) => below(stream).set_zero_linger(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Shared(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                match stream.try_read(buffer.initialize_unfilled()) {
                    Ok(read) => {
                        buffer.advance(read);
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Shared(stream) => poll_shared(stream, cx, || stream.try_write(bytes)),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Shared(stream) => poll_shared(stream, cx, || stream.try_write_vectored(slices)),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Shared(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            // A socket has nothing to flush.
            Self::Shared(_) => Poll::Ready(Ok(())),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Shared(stream) => match Arc::get_mut(stream) {
                Some(stream) => Pin::new(stream).poll_shutdown(cx),
                // The other writer would be cut off in the midst of a message.
                None => Poll::Ready(Err(io::ErrorKind::ResourceBusy.into())),
            },
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Writes once the socket takes something.
fn poll_shared(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    write: impl Fn() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match write() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}
