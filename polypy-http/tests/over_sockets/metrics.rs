//! `/metrics`: formats by what the client likes, and where it is written.

use std::sync::Arc;

use polypy_core::metrics::{Counter, Entry, Sheet};
use polypy_core::{Component, StatsSource};

use crate::common::*;

/// Counts the threads it was shown on; says that it is quick, or not.
struct Mill {
    shown: Counter,
    quick_bytes: Option<usize>,
    threads: parking_lot::Mutex<Vec<std::thread::ThreadId>>,
}

type Shown = Entry<Mill>;

static ROWS: &[Shown] = &[Shown::counter(
    "shown",
    "mill_shown_total",
    "Times it was shown.",
    |mill| mill.shown.get().into(),
)];

impl StatsSource for Mill {
    fn show(&self, sheet: &mut dyn Sheet) {
        self.shown.add_shared(1);
        self.threads.lock().push(std::thread::current().id());
        sheet.table(ROWS, self);
    }

    fn quick_bytes(&self) -> Option<usize> {
        self.quick_bytes
    }
}

fn mill(quick_bytes: Option<usize>) -> Arc<Mill> {
    Arc::new(Mill {
        shown: Counter::default(),
        quick_bytes,
        threads: parking_lot::Mutex::default(),
    })
}

fn sources_of(mill: &Arc<Mill>) -> polypy_http::Sources {
    polypy_http::Sources::new(Probe::healthy(), mill.clone(), Arc::new(FixedClock))
}

async fn ask(address: std::net::SocketAddr, headers: &str) -> Answer {
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\r\n");
    let text = raw(address, request.as_bytes()).await;
    Answer::all(&text).remove(0)
}

#[tokio::test]
async fn the_numbers_are_sent_as_text_or_open_metrics() {
    let (server, address) = started(config(), sources_of(&mill(None))).await;
    for (accept, content_type, body) in [
        (
            "",
            "text/plain; version=0.0.4; charset=utf-8",
            "# HELP mill_shown_total Times it was shown.\n# TYPE mill_shown_total counter\nmill_shown_total 1\n",
        ),
        (
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE mill_shown counter\n# HELP mill_shown Times it was shown.\nmill_shown_total 2\n# EOF\n",
        ),
        (
            "Accept: image/png\r\n",
            "text/plain; version=0.0.4; charset=utf-8",
            "# HELP mill_shown_total Times it was shown.\n# TYPE mill_shown_total counter\nmill_shown_total 3\n",
        ),
    ] {
        let answer = ask(address, accept).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.body, body);
        let varies: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "vary")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(varies, ["accept", "accept-encoding"]);
    }
    let head = request(address, "HEAD /metrics").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(request(address, "POST /metrics").await.status, 405);
    server.stop().await;
}

/// The event loop is this test's own thread.
#[tokio::test]
async fn only_what_says_that_it_is_quick_is_written_on_the_event_loop() {
    let here = std::thread::current().id();
    for (quick_bytes, headers, is_here) in [
        (Some(100), "", true),
        (Some(100), "Accept-Encoding: gzip\r\n", false),
        (Some(64 * 1024 + 1), "", false),
        (None, "", false),
    ] {
        let mill = mill(quick_bytes);
        let (server, address) = started(config(), sources_of(&mill)).await;
        for path in ["/metrics", "/stats"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\r\n");
            let answer = raw(address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            let answer = Answer::all(&answer).remove(0);
            let varies = answer.headers.iter().filter(|(name, _)| name == "vary");
            assert!(varies.into_iter().any(|(_, by)| by == "accept-encoding"));
        }
        let threads = mill.threads.lock().clone();
        assert_eq!(threads.len(), 2);
        assert!(
            threads.iter().all(|thread| (*thread == here) == is_here),
            "{headers}"
        );
        server.stop().await;
    }
}
