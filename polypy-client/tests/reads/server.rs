//! A server that answers what it was given, a connection each.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Ok(Value),
    Status(u16, Value),
}

/// Gives the answers in their order, and remembers what was asked.
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<Vec<String>>,
}

impl Server {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                asked.push(question(&mut stream).await);
                let (status, body) = match answer {
                    Answer::Ok(body) => (200, body),
                    Answer::Status(status, body) => (status, body),
                };
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let text = format!("{head}{body}");
                stream.write_all(text.as_bytes()).await.expect("a reader");
            }
            asked
        });
        Self { address, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Each question, once all are answered.
    pub(crate) async fn asked(self) -> Vec<String> {
        self.task.await.expect("everything was asked")
    }
}

/// A request with its body.
async fn question(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.expect("a request");
        assert!(read > 0, "it ends in the middle");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
        if body.len() >= length {
            return text;
        }
    }
}
