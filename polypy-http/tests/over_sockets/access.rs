//! Tokens, sessions of browsers, other sites' pages, and bodies where they are read.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::sync::Arc;

use crate::common::*;
use polypy_core::{Component, StatsSource};
use polypy_http::{Access, HttpConfig, HttpServer};
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKEN: &str = "correct-horse-battery";

async fn guarded(config: HttpConfig, access: Access) -> (HttpServer, SocketAddr, Arc<Access>) {
    let access = Arc::new(access);
    let sources = sources(&Probe::healthy())
        .with_markets(markets(3))
        .with_books(books());
    let server = HttpServer::builder(config, sources)
        .access(Arc::clone(&access))
        .asset("/ui", "text/html; charset=utf-8", "<p>")
        .unwrap()
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    (server, address, access)
}

/// One request with these headers, and a body if it is not empty.
pub(crate) async fn ask(address: SocketAddr, line: &str, headers: &[&str], body: &str) -> Answer {
    let mut request = format!("{line} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n");
    for header in headers {
        request.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str(&format!("\r\n{body}"));
    let text = raw(address, request.as_bytes()).await;
    let mut answers = Answer::all(&text);
    assert_eq!(answers.len(), 1, "{text}");
    answers.remove(0)
}

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}")
}

#[tokio::test]
async fn nothing_but_probes_and_the_login_is_answered_without_the_token() {
    let (server, address, _) = guarded(config(), Access::new(TOKEN).unwrap()).await;
    let book = format!("/orderbook/{LIVE}");
    let guarded = [
        "/",
        "/version",
        "/stats",
        "/metrics",
        "/markets",
        book.as_str(),
        "/ui",
        "/nothing",
        "/stats/",
        "//stats",
        "/%73tats",
        "/%zz",
        "http://here/stats",
    ];
    for target in guarded {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let line = format!("{method} {target}");
            for headers in [&[][..], &["Authorization: Bearer wrong-token-of-length"]] {
                let answer = ask(address, &line, headers, "").await;
                assert_eq!(answer.status, 401, "{line} {headers:?}");
                let challenge = answer.header("www-authenticate").unwrap();
                assert!(challenge.starts_with("Bearer realm="), "{challenge}");
                assert!(!answer.body.contains("routes"), "{}", answer.body);
            }
        }
        let with_token = ask(address, &format!("GET {target}"), &[&bearer()], "").await;
        assert_ne!(with_token.status, 401, "{target}");
    }
    for target in [
        "/health",
        "/livez",
        "/readyz?verbose",
        "/startupz",
        "/login",
    ] {
        assert_eq!(get(address, target).await.status, 200, "{target}");
    }
    assert_eq!(ask(address, "OPTIONS /stats", &[], "").await.status, 204);
    server.stop().await;
}

#[tokio::test]
async fn probes_can_be_closed_and_the_token_replaced() {
    let access = Access::new(TOKEN).unwrap().with_open_probes(false);
    let (server, address, access) = guarded(config(), access).await;
    for target in ["/health", "/livez"] {
        assert_eq!(get(address, target).await.status, 401, "{target}");
        let line = format!("GET {target}");
        assert_eq!(ask(address, &line, &[&bearer()], "").await.status, 200);
    }
    access.replace("a-token-of-another-day").unwrap();
    assert_eq!(
        ask(address, "GET /stats", &[&bearer()], "").await.status,
        401
    );
    let new = "Authorization: Bearer a-token-of-another-day";
    assert_eq!(ask(address, "GET /stats", &[new], "").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_browser_logs_in_and_out() {
    let (server, address, _) = guarded(config(), Access::new(TOKEN).unwrap()).await;
    let form = "Content-Type: application/x-www-form-urlencoded";
    let body = format!("token={TOKEN}");
    let answer = ask(
        address,
        "POST /login",
        &[form, "Origin: http://here"],
        &body,
    )
    .await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("./"))
    );
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        !cookie.contains("Secure") && !cookie.contains(TOKEN),
        "{cookie}"
    );
    let session = format!("Cookie: {}", cookie.split(';').next().unwrap());
    assert_eq!(
        ask(address, "GET /stats", &[&session], "").await.status,
        200
    );

    // As it was copied, with what stood around it.
    let body = format!("token=%20{TOKEN}%0A");
    let answer = ask(address, "POST /login", &[form], &body).await;
    assert_eq!(answer.status, 303);

    // A program's way, behind a proxy that has spoken TLS.
    let body = json!({ "token": TOKEN }).to_string();
    let answer = ask(address, "POST /login", &["X-Forwarded-Proto: https"], &body).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"));

    let answer = ask(address, "POST /logout", &[form, &session], "").await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(get(address, "/logout").await.status, 405);
    server.stop().await;
}

#[tokio::test]
async fn logins_that_are_none_are_refused() {
    let (server, address, _) = guarded(config(), Access::new(TOKEN).unwrap()).await;
    let form = "Content-Type: application/x-www-form-urlencoded";
    let long = "x".repeat(4_097);
    for (headers, body, status) in [
        (&[form][..], "token=wrong-token-of-length", 401),
        (&[], "{\"token\":\"wrong-token-of-length\"}", 401),
        (&[form], "", 400),
        (&[form], "token=a&token=b", 400),
        (&[form], "user=a", 400),
        (&[], "", 400),
        (&[], "{", 400),
        (&[], "[]", 400),
        (&[], "{\"token\":1}", 400),
        (&[], "{\"token\":\"a\",\"more\":1}", 400),
        (&[], &long, 413),
        (&["Content-Encoding: gzip"], "{}", 415),
        (&["Origin: http://evil.example"], "{}", 403),
        (&["Origin: null"], "{}", 403),
    ] {
        let answer = ask(address, "POST /login", headers, body).await;
        assert_eq!(answer.status, status, "{headers:?} {body}");
        assert_eq!(answer.header("set-cookie"), None, "{headers:?} {body}");
    }
    // Elsewhere no body is read.
    assert_eq!(
        ask(address, "POST /stats", &[&bearer()], "{}").await.status,
        405
    );
    assert_eq!(
        ask(address, "GET /stats", &[&bearer()], "{}").await.status,
        413
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (server, address, _) = guarded(config(), Access::new(TOKEN).unwrap()).await;
    let text = raw(
        address,
        b"POST /login HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n{",
    )
    .await;
    assert_eq!(Answer::all(&text)[0].status, 408, "{text}");
    server.stop().await;
}

#[tokio::test]
async fn without_access_there_is_no_login() {
    let (server, address) = full().await;
    assert_eq!(get(address, "/login").await.status, 404);
    assert_eq!(get(address, "/stats").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn other_sites_pages_read_only_where_they_are_listed() {
    let origin = "Origin: https://app.example.org";
    let (server, address) = full().await;
    let answer = ask(address, "GET /health", &[origin], "").await;
    for header in [
        "access-control-allow-origin",
        "access-control-allow-credentials",
    ] {
        assert_eq!(answer.header(header), None);
    }
    for (header, value) in [
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(answer.header(header), Some(value));
    }
    server.stop().await;

    let listed = HttpConfig {
        cors_origins: vec!["https://app.example.org".to_owned()],
        ..config()
    };
    let (server, address, _) = guarded(listed, Access::new(TOKEN).unwrap()).await;
    let answer = ask(address, "GET /stats", &[origin, &bearer()], "").await;
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example.org"));
    let vary: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "vary")
        .collect();
    assert!(vary.iter().any(|(_, value)| value == "origin"), "{vary:?}");
    let preflight = [
        origin,
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: authorization",
    ];
    let answer = ask(address, "OPTIONS /stats", &preflight, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET, HEAD")
    );
    let headers = answer.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("authorization"), "{headers}");
    // Also an error can be read, and no other origin reads anything.
    let answer = ask(address, "GET /stats", &[origin], "").await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("access-control-allow-origin").is_some());
    let other = "Origin: https://app.example.org.evil.example";
    let answer = ask(address, "GET /stats", &[other, &bearer()], "").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    server.stop().await;
}

/// Requests that were right once, with a few bytes changed. `make attack` does the same
/// to the whole program, where nobody needs a token.
#[tokio::test]
async fn broken_requests_are_answered_or_closed_and_let_nobody_in() {
    const SEEDS: [&str; 5] = [
        "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\ntoken=0123456789abcd",
        "POST /login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"token\":1}\r\n0\r\n\r\n",
        "POST /logout HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nContent-Length: 0\r\n\r\n",
        "GET /stats HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 0123456789abcdef\r\nConnection: close\r\n\r\n",
        "GET /markets HTTP/1.1\r\nHost: a\r\nCookie: polypy_session=1765189800001.00ff\r\nConnection: close\r\n\r\n",
    ];
    let (server, address, _) = guarded(config(), Access::new(TOKEN).unwrap()).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap() % bound
    };
    for _ in 0..1_000 {
        let mut request = SEEDS[below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=below(3) {
            let at = below(request.len());
            match below(3) {
                0 => request[at] = u8::try_from(below(256)).unwrap(),
                1 => drop(request.remove(at)),
                _ => request.insert(at, b"\r\n \0%:;="[below(8)]),
            }
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes).await);
        let text = String::from_utf8_lossy(&bytes);
        for answer in Answer::all(&text) {
            let inside = matches!(answer.status, 200 | 204 | 303);
            let body = &answer.body;
            assert!(
                !body.contains("total"),
                "{}",
                String::from_utf8_lossy(&request)
            );
            let session = answer
                .header("set-cookie")
                .is_some_and(|it| !it.contains("Max-Age=0"));
            assert!(!session, "{}", String::from_utf8_lossy(&request));
            assert!(inside || answer.status >= 400, "{text}");
            assert_ne!(answer.status, 500, "{}", String::from_utf8_lossy(&request));
        }
    }
    assert_eq!(server.stats()["handler_panics"], 0);
    server.stop().await;
}
