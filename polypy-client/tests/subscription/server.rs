//! A server that plays what it was given, over real sockets, through either door.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;

/// Which door the client knocks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Events,
    Socket,
}

pub(crate) const DOORS: [Door; 2] = [Door::Events, Door::Socket];

/// What is done on one connection, after it was asked.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// These messages, then the end of the connection.
    Send(Vec<Value>),
    /// The same, and the connection stays open.
    Hold(Vec<Value>),
    /// The messages, byte by byte, and the connection stays open.
    Drip(Vec<Value>),
    /// An answer with this status instead.
    Status(&'static str, &'static str),
}

/// Plays one script for each connection, and remembers how it was asked.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<Vec<String>>,
}

impl Server {
    pub(crate) async fn start(door: Door, scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut asked = Vec::new();
            let mut held = Vec::new();
            for script in scripts {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (question, stream) = play(door, stream, script).await;
                asked.push(question);
                held.extend(stream);
            }
            asked
        });
        Self { address, task }
    }

    pub(crate) fn url(&self, door: Door) -> String {
        let scheme = match door {
            Door::Events => "http",
            Door::Socket => "ws",
        };
        format!("{scheme}://{}", self.address)
    }

    /// How each connection was asked: the head of the request, or that with the operation.
    pub(crate) async fn asked(self) -> Vec<String> {
        self.task.await.expect("the server has played everything")
    }
}

/// Returns the question, and the connection if it stays open.
async fn play(door: Door, mut stream: TcpStream, script: Script) -> (String, Option<Held>) {
    if let Script::Status(status, body) = script {
        let head = head(&mut stream).await;
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nretry-after: 0\r\n\r\n{body}"
        );
        write(&mut stream, answer.as_bytes()).await;
        return (head, None);
    }
    match door {
        Door::Events => {
            let head = head(&mut stream).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                          transfer-encoding: chunked\r\n\r\n";
            write(&mut stream, answer.as_bytes()).await;
            let (Script::Send(messages) | Script::Hold(messages) | Script::Drip(messages)) =
                &script
            else {
                unreachable!("a status is no script of messages");
            };
            let mut text = "retry: 1\n\n".to_owned();
            for (at, message) in messages.iter().enumerate() {
                let name = message["type"].as_str().expect("a type");
                text.push_str(&format!("event: {name}\n"));
                if message["type"] == "delta" {
                    text.push_str(&format!("id: place-{at}\n"));
                }
                text.push_str(&format!("data: {message}\n\n"));
            }
            let size = if let Script::Drip(_) = script {
                1
            } else {
                1_000
            };
            for part in text.as_bytes().chunks(size) {
                let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
                chunk.extend_from_slice(part);
                chunk.extend_from_slice(b"\r\n");
                write(&mut stream, &chunk).await;
                tokio::task::yield_now().await;
            }
            if let Script::Send(_) = script {
                write(&mut stream, b"0\r\n\r\n").await;
                return (head, None);
            }
            (head, Some(Held::Stream(stream)))
        }
        Door::Socket => {
            let mut socket = tokio_tungstenite::accept_async(stream)
                .await
                .expect("an upgrade");
            let asked = socket.next().await.expect("a frame").expect("a frame");
            let asked = asked.into_text().expect("text").as_str().to_owned();
            let (Script::Send(messages) | Script::Hold(messages) | Script::Drip(messages)) =
                &script
            else {
                unreachable!("a status is no script of messages");
            };
            for message in messages {
                let sent = socket.send(Frame::text(message.to_string())).await;
                sent.expect("the client reads");
            }
            if let Script::Send(_) = script {
                socket.close(None).await.expect("the client reads");
                return (asked, None);
            }
            (asked, Some(Held::Socket(Box::new(socket))))
        }
    }
}

/// A connection that is kept open.
#[expect(dead_code, reason = "kept until it is dropped")]
enum Held {
    Stream(TcpStream),
    Socket(Box<tokio_tungstenite::WebSocketStream<TcpStream>>),
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(head).expect("a head of text")
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("the client reads");
}
