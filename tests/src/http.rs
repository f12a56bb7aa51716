//! A client that asks one question a connection, or many over one.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as received.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// One kept-alive connection.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    address: SocketAddr,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// As the socket says.
    pub async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self {
            sender,
            driver,
            address,
        })
    }

    /// Asks and reads the whole answer.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn ask(&mut self, method: Method, path: &str) -> std::io::Result<Answer> {
        self.request(method, path, &[], Bytes::new()).await
    }

    /// The same with a body.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> std::io::Result<Answer> {
        self.request(method, path, &[], body.into()).await
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> std::io::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string());
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| {
                request.header(*name, *value)
            })
            .body(Full::new(body))
            .map_err(std::io::Error::other)?;
        self.sender.ready().await.map_err(std::io::Error::other)?;
        let answer = self
            .sender
            .send_request(request)
            .await
            .map_err(std::io::Error::other)?;
        let (parts, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(std::io::Error::other)?
            .to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// GET.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn get(&mut self, path: &str) -> std::io::Result<Answer> {
        self.ask(Method::GET, path).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// GET on a connection of its own.
///
/// # Errors
/// When nobody listens, or the connection ends first.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    Client::connect(address).await?.get(path).await
}

/// Any method on a connection of its own.
///
/// # Errors
/// When nobody listens, or the connection ends first.
pub async fn ask(address: SocketAddr, method: Method, path: &str) -> std::io::Result<Answer> {
    Client::connect(address).await?.ask(method, path).await
}

/// The same with headers.
///
/// # Errors
/// When nobody listens, or the connection ends first.
pub async fn ask_with(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<Answer> {
    let mut client = Client::connect(address).await?;
    client.request(method, path, headers, Bytes::new()).await
}
