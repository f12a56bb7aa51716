//! `polypy events` and `polypy trades`, and what `polypy book` says of what is not followed.

use serde_json::Value;

use crate::process::{Running, output, polypy};
use crate::streams::demo;

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[test]
fn events_are_listed_and_one_is_shown_by_its_slug() {
    let (_demo, url, _token) = demo();
    let ask = |more: &[&str]| {
        let mut args = vec!["events", "--url", &url];
        args.extend(more);
        output(&mut polypy(&args))
    };
    let (code, table, said) = ask(&[]);
    assert_eq!((code, said.as_str()), (0, ""), "{table}");
    assert!(table.starts_with("EVENT "), "{table}");
    let (_, printed, _) = ask(&["--json", "--sort=listed"]);
    let events = lines(&printed);
    assert_eq!(table.lines().count(), events.len() + 1, "{table}");
    let slug = events[0]["slug"].as_str().unwrap();
    assert!(table.contains(slug), "what is typed next is whole: {table}");

    let (code, shown, said) = ask(&[slug]);
    assert_eq!((code, said.as_str()), (0, ""), "{shown}");
    let count = events[0]["market_count"].as_u64().unwrap();
    assert!(
        shown.contains(&format!("of {count} markets are followed")),
        "{shown}"
    );
    assert!(
        shown.contains("QUESTION") && shown.contains("TOKEN"),
        "{shown}"
    );
    let (code, printed, _) = ask(&["--json", slug]);
    let [event] = &lines(&printed)[..] else {
        panic!("{printed}")
    };
    let markets = event["markets"].as_array().unwrap();
    assert_eq!((code, markets.len() as u64), (0, count));
    // Words find, as they do for markets.
    let (code, printed, said) = ask(&["nobodysaysso"]);
    assert_eq!(
        (code, printed.as_str(), said.as_str()),
        (0, "", "nothing matches\n")
    );
    let (code, _, said) = ask(&["--sort=spread"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.starts_with(&format!("{url}: --sort: ")), "{said}");
}

#[test]
fn trades_are_shown_of_a_token_and_of_a_market() {
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=2",
        "--sim-rate=400",
        "--sim-resolve-per-minute=0",
        "--sim-new-markets-per-minute=0",
    ]);
    let health = demo.stdout_line("/health");
    let url = format!("http://{}", health.split('/').nth(2).unwrap());
    let run = |args: &[&str]| {
        let mut args = args.to_vec();
        args.extend(["--url", &url]);
        output(&mut polypy(&args))
    };
    let slug = loop {
        let (_, printed, _) = run(&["markets", "--json", "--limit=1"]);
        if let [market] = &lines(&printed)[..] {
            break market["slug"].as_str().unwrap().to_owned();
        }
    };
    let trades = loop {
        let (code, printed, said) = run(&["trades", "--json", "--limit=3", &slug]);
        assert_eq!(code, 0, "{said}");
        let trades = lines(&printed);
        if trades.len() == 3 {
            break trades;
        }
    };
    let token = trades[0]["token_id"].as_str().unwrap();
    let (code, table, said) = run(&["trades", "--limit=1", &token[..20]]);
    assert_eq!((code, said.as_str()), (0, ""), "{table}");
    let rows: Vec<_> = table.lines().collect();
    assert!(rows[0].starts_with("TIME") && rows.len() == 2, "{table}");
    assert!(
        rows[1].contains(" bought ") || rows[1].contains(" sold "),
        "{table}"
    );
    let (_, book, _) = run(&["book", token]);
    assert!(book.contains("\nlast trade at 0."), "{book}");

    let misspelt = format!("{slug}-x");
    let ids = format!("{}1", &token[..token.len() - 1]);
    let capitals = slug.to_ascii_uppercase();
    let (code, _, said) = run(&["trades", "--limit=1", &capitals]);
    assert_eq!(
        (code, said.as_str()),
        (0, ""),
        "capitals make no difference"
    );
    for (of, parts) in [
        (
            "no-such-market",
            &["no-such-market: no market is listed as", "finds markets"][..],
        ),
        (
            misspelt.as_str(),
            &["is listed as", "; most like it:\n  ", slug.as_str()],
        ),
        ("0x5f65", &["a condition id has to be whole"]),
        (ids.as_str(), &["no such token here"]),
    ] {
        let (code, _, said) = run(&["trades", of]);
        assert_eq!(code, 1, "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{of}: {said}");
    }
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn of_a_book_that_is_not_followed_the_remedy_is_said() {
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=4",
        "--markets-max-markets=1",
        "--sim-resolve-per-minute=0",
        "--sim-new-markets-per-minute=0",
    ]);
    let health = demo.stdout_line("/health");
    let url = format!("http://{}", health.split('/').nth(2).unwrap());
    let market = loop {
        let args = [
            "markets",
            "--json",
            "--unfollowed",
            "--limit=1",
            "--url",
            &url,
        ];
        let (_, printed, _) = output(&mut polypy(&args));
        if let [market] = &lines(&printed)[..] {
            break market.clone();
        }
    };
    let token = market["tokens"][0]["token_id"].as_str().unwrap();
    let id = market["condition_id"].as_str().unwrap();
    // Whole, and as a table shows it.
    for token in [token, &token[..20]] {
        let (code, printed, said) = output(&mut polypy(&["book", token, "--url", &url]));
        assert_eq!((code, printed.as_str()), (1, ""), "{said}");
        for part in ["not followed here", &format!("add {id} to markets.also")] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn keys_of_the_configuration_are_refused_where_a_server_is_asked() {
    for (args, remedy) in [
        (
            ["--markets-tags=crypto", "--url=http://127.0.0.1:9"],
            "use --tags",
        ),
        (["--markets-min-volume=5", "bitcoin"], "use --min-volume"),
        (["--shard=0/2", "--json"], "leave it out"),
        (["--venue-gamma-url=http://a", "--limit=3"], "leave it out"),
    ] {
        let (code, printed, said) = output(&mut polypy(&["markets", args[0], args[1]]));
        assert_eq!((code, printed.as_str()), (2, ""), "{said}");
        let flag = args[0].split('=').next().unwrap();
        for part in [flag, remedy, "add --dry-run"] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}
