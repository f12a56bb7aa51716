//! A receiver of Alertmanager's notifications: what a pager would be told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// One notification about one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Which receiver of the configuration it is for.
    pub receiver: String,
    /// The alert.
    pub alert: String,
    /// `firing` or `resolved`.
    pub status: String,
}

/// Listens until it is dropped, and keeps what comes.
#[derive(Debug)]
pub struct Inbox {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<Notification>>>,
    server: JoinHandle<()>,
}

impl Inbox {
    /// Opens it on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let kept = Arc::default();
        let server = tokio::spawn(serve(listener, Arc::clone(&kept)));
        Self {
            address,
            kept,
            server,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether this has come.
    pub fn has(&self, receiver: &str, alert: &str, status: &str) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = [receiver, alert, status];
        kept.iter()
            .any(|of| [&of.receiver, &of.alert, &of.status] == parts)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, kept: Arc<Mutex<Vec<Notification>>>) {
    // Dropped with the task, which ends those it holds.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let kept = Arc::clone(&kept);
        let service = service_fn(move |request: Request<Incoming>| {
            let kept = Arc::clone(&kept);
            async move {
                let body = request.collect().await?.to_bytes();
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(read(&body));
                Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The alerts of a notification; none of what is not one.
fn read(body: &[u8]) -> Vec<Notification> {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let alerts = told["alerts"].as_array().into_iter().flatten();
    alerts
        .map(|alert| Notification {
            receiver: text(&told["receiver"]),
            alert: text(&alert["labels"]["alertname"]),
            status: text(&alert["status"]),
        })
        .collect()
}
