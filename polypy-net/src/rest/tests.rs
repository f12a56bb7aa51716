//! The client against a service in memory, on paused time.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::fake::{FakeService, Reply};
use super::*;

fn ok(body: &str) -> Reply {
    Reply::Ok(body.to_owned())
}

fn status(code: u16) -> Reply {
    Reply::Status(code, Vec::new(), "refused".to_owned())
}

fn failures(client: &RestClient, class: &str) -> u64 {
    client.stats()["rest"]["failures"][class].as_u64().unwrap()
}

#[test]
fn only_http_addresses_are_a_base() {
    let dial = FakeService::scripted([]).dialer();
    for good in ["http://a", "https://a:1/prefix/", "http://[::1]:80"] {
        let client = RestClient::new(Arc::clone(&dial), good, RestConfig::default());
        assert!(client.is_ok(), "{good}");
    }
    for bad in ["", "a", "ws://a", "/path", "http://a?x=1", "http://"] {
        let client = RestClient::new(Arc::clone(&dial), bad, RestConfig::default());
        assert!(matches!(client, Err(RestError::Base(_))), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_carries_many_requests() {
    let service = FakeService::new(|seen| Reply::Ok(seen.line.clone()));
    let client = service.client(RestConfig::default());
    for number in 0..5 {
        let answer = client.get(&format!("/n?i={number}")).await.unwrap();
        assert_eq!(answer, format!("GET /n?i={number}"));
    }
    assert_eq!(client.post("/p", "[]".into()).await.unwrap(), "POST /p");
    assert_eq!(service.seen().last().unwrap().body, "[]");
    assert_eq!(service.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_side_by_side_have_connections_of_their_own() {
    let service = FakeService::new(|_| Reply::Late(Duration::from_secs(1), "late".to_owned()));
    let client = service.client(RestConfig::default());
    let (a, b) = tokio::join!(client.get("/a"), client.get("/b"));
    assert_eq!(
        (&a.unwrap()[..], &b.unwrap()[..]),
        (&b"late"[..], &b"late"[..])
    );
    assert_eq!(service.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_while_idle_costs_neither_retry_nor_time() {
    let service = FakeService::scripted([ok("1"), ok("2")]);
    let client = service.client(RestConfig::default());
    assert_eq!(client.get("/").await.unwrap(), "1");
    service.hang_up();
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    assert_eq!(client.get("/").await.unwrap(), "2");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(service.dials(), 2);
    assert_eq!(client.stats()["rest"]["stale_connections"], 1);
    assert_eq!(client.stats()["rest"]["retries"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_under_its_request_costs_no_retry() {
    let service = FakeService::scripted([ok("1"), Reply::Break, ok("2")]);
    let client = service.client(RestConfig::default());
    assert_eq!(client.get("/").await.unwrap(), "1");
    assert_eq!(client.get("/").await.unwrap(), "2");
    assert_eq!(service.dials(), 2);
    assert_eq!(client.stats()["rest"]["stale_connections"], 1);
    assert_eq!(client.stats()["rest"]["retries"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_announced_to_close_is_not_kept() {
    let service = FakeService::scripted([Reply::OkThenClose("1".to_owned()), ok("2")]);
    let client = service.client(RestConfig::default());
    assert_eq!(client.get("/").await.unwrap(), "1");
    assert_eq!(client.get("/").await.unwrap(), "2");
    assert_eq!(service.dials(), 2);
    assert_eq!(client.stats()["rest"]["stale_connections"], 0);
    assert_eq!(client.stats()["rest"]["retries"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_long_is_dropped() {
    let service = FakeService::scripted([ok("1"), ok("2")]);
    let client = service.client(RestConfig::default());
    client.get("/").await.unwrap();
    sleep(Duration::from_secs(56)).await;
    client.get("/").await.unwrap();
    assert_eq!((service.dials(), service.open()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_may_heal_is_tried_again() {
    for (fault, class) in [
        (status(429), "too_many_requests"),
        (status(500), "server_error"),
        (status(503), "server_error"),
        (Reply::Hang, "timeout"),
        (Reply::Break, "transport"),
    ] {
        let service = FakeService::scripted([fault.clone(), fault, ok("at last")]);
        let client = service.client(RestConfig::default());
        assert_eq!(client.get("/").await.unwrap(), "at last", "{class}");
        assert_eq!(failures(&client, class), 2, "{class}");
        assert_eq!(client.stats()["rest"]["retries"], 2);
        assert_eq!(client.stats()["rest"]["requests"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_again() {
    let service = FakeService::scripted([ok("at last")]);
    service.refuse(2);
    let client = service.client(RestConfig::default());
    assert_eq!(client.get("/").await.unwrap(), "at last");
    assert_eq!(failures(&client, "connect"), 2);
}

#[tokio::test(start_paused = true)]
async fn other_answers_are_final() {
    for code in [301, 400, 403, 404, 422] {
        let service = FakeService::scripted([status(code), ok("never asked")]);
        let client = service.client(RestConfig::default());
        let error = client.get("/").await.unwrap_err();
        assert_eq!(error.status().unwrap().as_u16(), code);
        assert!(error.to_string().contains("refused"), "{error}");
        assert_eq!(service.seen().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_out() {
    let service = FakeService::new(|_| status(500));
    let client = service.client(RestConfig::default());
    let error = client.get("/").await.unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(service.seen().len(), 4);
    assert_eq!(client.stats()["rest"]["retries"], 3);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_and_clamped() {
    // (header, least seconds, most seconds): the backoff adds at most 250 ms.
    for (header, least, most) in [
        ("7", 7, 8),
        ("1000000000", 60, 61),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0, 1),
        ("soon", 0, 1),
    ] {
        let headers = vec![("retry-after", header.to_owned())];
        let limited = Reply::Status(429, headers, String::new());
        let service = FakeService::scripted([limited, ok("")]);
        let client = service.client(RestConfig::default());
        let begin = Instant::now();
        client.get("/").await.unwrap();
        let waited = begin.elapsed();
        assert!(waited >= Duration::from_secs(least), "{header}: {waited:?}");
        assert!(waited < Duration::from_secs(most), "{header}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_service_costs_the_deadline_and_no_more() {
    let service = FakeService::new(|_| Reply::Hang);
    let client = service.client(RestConfig {
        attempts: 1,
        ..RestConfig::default()
    });
    let begin = Instant::now();
    let error = client.get("/").await.unwrap_err();
    assert!(matches!(error, RestError::Timeout(_)), "{error}");
    assert_eq!(begin.elapsed().as_secs(), 20);
    tokio::task::yield_now().await;
    assert_eq!(service.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_is_refused() {
    let service = FakeService::new(|_| ok(&"x".repeat(1_001)));
    let client = service.client(RestConfig {
        max_body: 1_000,
        ..RestConfig::default()
    });
    let error = client.get("/").await.unwrap_err();
    assert!(matches!(error, RestError::TooLarge { limit: 1_000 }));
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_of_unknown_length_is_refused() {
    let pieces = |count| Reply::Pieces(vec!["x".repeat(100); count]);
    let service = FakeService::scripted([pieces(10), pieces(11)]);
    let client = service.client(RestConfig {
        max_body: 1_000,
        ..RestConfig::default()
    });
    assert_eq!(client.get("/").await.unwrap().len(), 1_000);
    let error = client.get("/").await.unwrap_err();
    assert!(matches!(error, RestError::TooLarge { limit: 1_000 }));
}

#[tokio::test(start_paused = true)]
async fn an_encoding_nobody_asked_for_is_refused() {
    let headers = vec![("content-encoding", "br".to_owned())];
    let service = FakeService::scripted([Reply::Status(200, headers, "bomb".to_owned())]);
    let client = service.client(RestConfig::default());
    let error = client.get("/").await.unwrap_err();
    assert!(matches!(error, RestError::Encoded));
}

#[tokio::test(start_paused = true)]
async fn a_packed_answer_is_unpacked_and_one_that_is_broken_asked_for_again() {
    let plain = "0123456789".repeat(50);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let broken = Reply::Packed(packed[..packed.len() / 2].to_vec());
    let service = FakeService::scripted([broken, Reply::Packed(packed.clone())]);
    let client = service.client(RestConfig::default());
    assert_eq!(client.get("/").await.unwrap(), plain.as_bytes());
    assert_eq!(service.seen().len(), 2);
    // What came, not what it became.
    let received = &client.stats()["rest"]["bytes_received"];
    assert_eq!(
        received.as_u64().unwrap(),
        metrics::count(packed.len() + packed.len() / 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_prefix_of_the_base_is_kept() {
    let service = FakeService::new(|seen| Reply::Ok(seen.line.clone()));
    let base = "http://venue.test/gamma/";
    let client = RestClient::new(service.dialer(), base, RestConfig::default()).unwrap();
    assert_eq!(client.get("/markets").await.unwrap(), "GET /gamma/markets");
    assert!(matches!(
        client.get("/with space").await.unwrap_err(),
        RestError::Request(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_closes_its_connection() {
    let service = FakeService::new(|_| Reply::Hang);
    let client = service.client(RestConfig::default());
    let request = timeout(Duration::from_secs(1), client.get("/"));
    assert!(request.await.is_err());
    tokio::task::yield_now().await;
    assert_eq!((service.dials(), service.open()), (1, 0));
}
