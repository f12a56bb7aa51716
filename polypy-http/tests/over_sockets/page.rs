//! The page at `/`, and its files.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::net::SocketAddr;
use std::sync::Arc;

use polypy_core::Component;
use polypy_http::{Access, Assets, HttpServer};

use crate::access::ask;
use crate::common::*;

const PAGE: &str = "<!doctype html><script type=module src=\"page/{build}/main.js\"></script>\n";
const TOKEN: &str = "correct-horse-battery";
/// As Chromium asks for a page.
const BROWSER: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
const HTML: &str = "Accept: text/html";

fn assets(script: &'static str) -> Assets {
    let long = "/* long enough to be worth compressing */\n".repeat(100);
    Assets::new(
        PAGE,
        [
            ("main.js", "text/javascript; charset=utf-8", script.into()),
            (
                "draw/chart.js",
                "text/javascript; charset=utf-8",
                long.into(),
            ),
        ],
    )
}

async fn served(access: Option<Access>) -> (HttpServer, SocketAddr, String) {
    let page = assets("run()");
    let build = page.build().to_owned();
    let builder = HttpServer::builder(config(), sources(&Probe::healthy())).page(page);
    let server = match access {
        Some(access) => builder.access(Arc::new(access)).build(),
        None => builder.build(),
    };
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    (server, address, build)
}

#[tokio::test]
async fn a_page_is_for_those_who_prefer_it_by_name() {
    let (server, address, build) = served(None).await;
    for (accept, is_page) in [
        (&[][..], false),
        (&["Accept: */*"], false),
        (&["Accept: text/*"], false),
        (&["Accept: application/json"], false),
        (&["Accept: text/html;q=0.1, application/json"], false),
        (&["Accept: text/html;q=0, */*"], false),
        (&[HTML], true),
        (&[BROWSER], true),
    ] {
        let answer = ask(address, "GET /", accept, "").await;
        assert_eq!(answer.status, 200);
        let kind = answer.header("content-type").unwrap();
        assert_eq!(kind.starts_with("text/html"), is_page, "{accept:?}: {kind}");
        assert_eq!(answer.header("vary"), Some("accept"), "{accept:?}");
        let tag = format!("\"{build}\"");
        let expected = is_page.then_some(tag.as_str());
        assert_eq!(answer.header("etag"), expected, "{accept:?}");
        if is_page {
            let named = format!("src=\"page/{build}/main.js\"");
            assert!(answer.body.contains(&named), "{}", answer.body);
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.contains("script-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        }
        let head = ask(address, "HEAD /", accept, "").await;
        let sizes = [&head, &answer].map(|one| one.header("content-length").map(str::to_owned));
        assert_eq!(head.body, "");
        assert_eq!(sizes[0], sizes[1]);
    }
    let known = format!("If-None-Match: W/\"{build}\"");
    let answer = ask(address, "GET /", &[HTML, &known], "").await;
    assert_eq!((answer.status, answer.body.as_str()), (304, ""));
    server.stop().await;
}

#[tokio::test]
async fn its_files_are_kept_for_ever_under_the_name_of_their_build() {
    let (server, address, build) = served(None).await;
    let main = format!("GET /page/{build}/main.js");
    let chart = format!("GET /page/{build}/draw/chart.js");
    for (line, length) in [(&main, 5), (&chart, 4_200)] {
        let answer = ask(address, line, &[], "").await;
        assert_eq!((answer.status, answer.body.len()), (200, length), "{line}");
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("text/javascript; charset=utf-8"));
        assert!(
            answer
                .header("cache-control")
                .unwrap()
                .ends_with("immutable")
        );
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
    }
    for coding in [&[][..], &["Accept-Encoding: gzip"]] {
        let known = format!("If-None-Match: \"{build}\"");
        let headers: Vec<&str> = coding.iter().copied().chain([known.as_str()]).collect();
        assert_eq!(ask(address, &chart, &headers, "").await.status, 304);
    }
    let length = |answer: &Answer| answer.header("content-length").unwrap().parse::<usize>();
    let line = chart.replace("GET", "HEAD");
    for _ in 0..2 {
        let packed = ask(address, &line, &["Accept-Encoding: gzip"], "").await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(length(&packed).unwrap() < 1_000);
    }
    for (target, reason) in [
        (format!("/page/{build}/other.js"), "no such file"),
        (format!("/page/{build}/chart.js"), "no such file"),
        (format!("/page/{build}/main.js/main.js"), "no such file"),
        (format!("/page/{build}/draw%2Fchart.js"), "no such file"),
        ("/page/0123456789abcdef/main.js".to_owned(), "another build"),
    ] {
        let answer = get(address, &target).await;
        assert_eq!(answer.status, 404, "{target}");
        assert!(answer.body.contains(reason), "{}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    server.stop().await;
}

#[test]
fn other_bytes_or_names_are_another_build() {
    let one = assets("run()");
    assert_eq!(one.build().len(), 16);
    assert_eq!(one.build(), assets("run()").build());
    assert_ne!(one.build(), assets("run(1)").build());
    let named = |name| Assets::new(PAGE, [(name, "text/plain", "x".into())]);
    assert_ne!(named("a").build(), named("b").build());
}

#[tokio::test]
async fn it_is_open_and_what_it_shows_is_not() {
    let (server, address, build) = served(Some(Access::new(TOKEN).unwrap())).await;
    for (line, headers, status) in [
        ("GET /".to_owned(), &[HTML][..], 200),
        ("GET /".to_owned(), &[BROWSER], 200),
        (format!("GET /page/{build}/main.js"), &[], 200),
        ("GET /".to_owned(), &[], 401),
        ("GET /".to_owned(), &["Accept: */*"], 401),
        ("GET /stats".to_owned(), &[HTML], 401),
        ("GET /page".to_owned(), &[HTML], 401),
    ] {
        let answer = ask(address, &line, headers, "").await;
        assert_eq!(answer.status, status, "{line} {headers:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_login_is_for_the_folder_that_it_lies_in() {
    let (server, address, _) = served(Some(Access::new(TOKEN).unwrap())).await;
    let form = ask(address, "GET /login", &[], "").await;
    assert!(form.body.contains("action=\"login\""), "{}", form.body);
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let body = format!("token={TOKEN}");
    let answer = ask(address, "POST /login", &[kind], &body).await;
    // A browser that came to /a/b/login goes to /a/b/, and keeps the cookie for /a/b.
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("./"))
    );
    let cookie = answer.header("set-cookie").unwrap();
    assert!(!cookie.to_lowercase().contains("path="), "{cookie}");
    server.stop().await;
}
