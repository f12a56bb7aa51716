//! `polypy markets`, with the demo and with the embedded exchange.

use std::net::TcpListener;

use serde_json::Value;

use crate::process::{Running, output, polypy};
use crate::streams::{answer, demo};

#[test]
fn markets_are_shown_and_a_short_id_is_taken_back() {
    let (_demo, url, _token) = demo();
    let (code, table, said) = output(&mut polypy(&["markets", "--url", &url, "--limit=2"]));
    assert_eq!((code, said.as_str()), (0, "2 of 5 are shown: --limit 5\n"));
    let mut lines = table.lines();
    let head = lines.next().unwrap();
    let at = |column: &str| head.find(column).unwrap();
    assert!(
        at("OUTCOME") < at("BID") && at("TOKEN") < at("ENDS"),
        "{head}"
    );
    let rows: Vec<_> = lines.collect();
    assert_eq!(rows.len(), 4, "two of each: {table}");
    // Each row stands for itself where a program reads: question, outcome and all the rest.
    let id = rows[0]
        .split("  ")
        .map(str::trim)
        .find(|cell| cell.len() >= 10 && cell.bytes().all(|byte| byte.is_ascii_digit()));
    let id = id.unwrap_or_else(|| panic!("no id in {}", rows[0]));
    let (code, book, said) = output(&mut polypy(&["book", id, "--url", &url]));
    assert_eq!((code, said.as_str()), (0, ""), "{id}");
    assert!(book.starts_with("live"), "{book}");

    let args = [
        "markets",
        "--json",
        "--limit=3",
        "--sort=listed",
        "--url",
        &url,
    ];
    let (code, printed, _) = output(&mut polypy(&args));
    let markets: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((code, markets.len()), (0, 3));
    assert!(
        markets
            .iter()
            .all(|market| market["tokens"][0]["top"]["state"] == "live")
    );
    let whole = markets[0]["tokens"][0]["token_id"].as_str().unwrap();
    assert!(
        whole.len() > 60,
        "ids are whole where programs read: {whole}"
    );

    let (code, printed, said) = output(&mut polypy(&["markets", "nobodysaysso", "--url", &url]));
    assert_eq!(
        (code, printed.as_str(), said.as_str()),
        (0, "", "nothing matches\n")
    );
    let args = ["markets", "--tags=wether", "--url", &url];
    let (code, printed, said) = output(&mut polypy(&args));
    assert_eq!((code, printed.as_str()), (0, ""));
    let tag = "no market has the tag \"wether\": --json shows the tags of markets\n";
    assert_eq!(said, format!("nothing matches\n{tag}"));
    let (_, all, _) = output(&mut polypy(&["markets", "--json", "--url", &url]));
    for (state, lines) in [("live", all.lines().count()), ("stale", 0)] {
        let state = format!("--state={state}");
        let args = ["markets", "--json", &state, "--url", &url];
        let (code, printed, _) = output(&mut polypy(&args));
        assert_eq!((code, printed.lines().count()), (0, lines), "{state}");
    }
    for (args, said_of) in [
        (["--state=good", "--all"], "--state: "),
        (["--sort=end", ""], "QUERY: "),
        (["--sort=end", "🚀"], "QUERY: "),
    ] {
        let args = [&["markets", "--url", &url], &args[..]].concat();
        let (code, printed, said) = output(&mut polypy(&args));
        assert_eq!((code, printed.as_str()), (2, ""), "{said}");
        assert!(said.starts_with(&format!("{url}: {said_of}")), "{said}");
    }
    let (code, _, said) = output(&mut polypy(&["markets", "--sort=best", "--url", &url]));
    assert_eq!(code, 2, "{said}");
    assert!(said.starts_with(&format!("{url}: --sort: ")), "{said}");
}

#[test]
fn what_is_in_the_way_of_an_answer_is_said_with_what_to_do() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let token = answer("401 Unauthorized", r#"{"error":"a token is needed"}"#);
    let older = answer("404 Not Found", "");
    for (url, text) in [
        (nobody.as_str(), "is a server running there"),
        (&token, "--token-file"),
        (&older, "it is an older one"),
    ] {
        let (code, printed, said) = output(&mut polypy(&["markets", "--url", url]));
        assert_eq!((code, printed.as_str()), (1, ""), "{said}");
        assert!(said.contains(text) && said.contains(url), "{said}");
    }
}

#[test]
fn an_address_that_is_none_is_told_what_would_be_right() {
    let (_demo, url, _token) = demo();
    let place = url.strip_prefix("http://").unwrap();
    for (typed, code, part) in [
        (
            place.to_owned(),
            2,
            format!("it names no scheme: {url}, or https://"),
        ),
        (format!("{url}/health"), 2, format!("{url} is the server")),
        (
            format!("{url}/elsewhere"),
            1,
            "behind a proxy, at /elsewhere?".to_owned(),
        ),
        (
            format!("https://{place}"),
            1,
            "Without TLS the address is http://".to_owned(),
        ),
    ] {
        for command in [&["markets"][..], &["trades", "a-slug"]] {
            let args = [command, &["--url", &typed]].concat();
            let (found, printed, said) = output(&mut polypy(&args));
            assert_eq!((found, printed.as_str()), (code, ""), "{args:?}: {said}");
            assert!(
                said.contains(&part) && !said.contains('\\'),
                "{args:?}: {said}"
            );
        }
    }
    // Left out, a market of the path would be, too: other lines than those asked for.
    let routed = format!("{url}/v1/markets/rain-in-lisbon");
    let (code, _, said) = output(&mut polypy(&["markets", "--url", &routed]));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains(&format!("{url} is the server")), "{said}");
}

#[test]
fn a_dry_run_shows_what_a_configuration_would_follow_and_follows_nothing() {
    let mut exchange = Running::start(&["sim", "--listen=127.0.0.1:0", "--markets=40"]);
    let url = exchange.stdout_line("http://");
    let url = url.split('"').find(|word| word.starts_with("http://"));
    let url = url.unwrap_or_else(|| panic!("no address: {:?}", exchange.seen));
    let gamma = format!("--venue-gamma-url={url}");
    let dry = |more: &[&str]| {
        let mut args = vec!["markets", "--dry-run", &gamma];
        args.extend(more);
        output(&mut polypy(&args))
    };
    let (code, text, said) = dry(&["--limit=3"]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(
        text.starts_with("40 markets are listed as open; 40 would be followed (80 tokens)\n"),
        "{text}"
    );
    assert!(text.ends_with("  and 37 more: --limit 40\n"), "{text}");
    assert!(
        text.contains("\nFOLLOWED, THE MOST TRADED OF A DAY FIRST"),
        "{text}"
    );
    let (_, text, _) = dry(&["--limit=3", "--markets-order=end"]);
    assert!(text.contains("\nFOLLOWED, THOSE THAT END FIRST"), "{text}");

    let (code, printed, said) =
        dry(&["--json", "--markets-max-markets=7", "--markets-tags=cripto"]);
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (code, &object["listed"]),
        (0, &Value::from(40)),
        "{printed}"
    );
    assert_eq!(object["followed"], 0);
    assert_eq!(object["not_followed"]["tags"], 40);
    assert!(
        said.contains("no listed market has the tag \"cripto\""),
        "{said}"
    );
    let (_, printed, _) = dry(&["--json", "--markets-max-markets=7"]);
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&object["followed"], &object["not_followed"]["max_markets"]),
        (&Value::from(7), &Value::from(33))
    );
    assert_eq!(object["complete"], true);

    let (code, _, said) = dry(&["--markets-max-markets=many"]);
    assert_eq!(code, 78, "{said}");
    let (code, _, said) = output(&mut polypy(&["markets", "bitcoin", "--dry-run"]));
    assert_eq!(code, 2, "{said}");
    let (code, _, said) = output(&mut polypy(&["markets", "--markets-tags=crypto"]));
    assert_eq!(code, 2, "{said}");
    exchange.signal("TERM");
    assert_eq!(exchange.end().code(), Some(0));
    // Of a listing that failed nobody says that it has no such tag.
    let (code, _, said) = dry(&["--markets-tags=cripto"]);
    assert_eq!(code, 1);
    assert!(said.contains("broke off"), "{said}");
    assert!(!said.contains("no listed market"), "{said}");
    let (_, printed, _) = dry(&["--json", "--markets-tags=cripto"]);
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(object["warnings"], Value::Array(Vec::new()), "{printed}");
}

#[test]
fn a_dry_run_at_a_venue_that_refuses_tags_says_so_and_why() {
    let script = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("refuses-tags.toml");
    let text = "[[step]]\nat = \"0s\"\nfault = \"gamma_refuses_tag\"\n";
    std::fs::write(&script, text).unwrap();
    let script = format!("--script={}", script.display());
    let mut exchange = Running::start(&["sim", "--listen=127.0.0.1:0", "--markets=5", &script]);
    let url = exchange.stdout_line("http://");
    let url = url.split('"').find(|word| word.starts_with("http://"));
    let gamma = format!("--venue-gamma-url={}", url.expect("an address"));
    let (code, text, said) = output(&mut polypy(&[
        "markets",
        "--dry-run",
        &gamma,
        "--markets-tags=crypto",
    ]));
    assert_eq!(code, 0, "{said}");
    assert!(text.contains("the venue has not said which tags"), "{text}");
    for part in [
        "refuses to list tags",
        "422",
        "whether a market has \"crypto\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("no listed market"), "{said}");
}
