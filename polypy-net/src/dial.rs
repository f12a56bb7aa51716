//! Opens byte streams: the one place that knows names, sockets and TLS.
use polypy_core::BoxFuture;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
/// A connected byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
/// Opens streams to `http`, `https`, `ws` and `wss` authorities; handed in, so that tests can replace the network.
pub trait Dial: Send + Sync {
    /// Connects to the authority of `uri`, with TLS when its scheme says so.
    fn dial<'a>(&'a self, uri: &'a hyper::Uri) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}
