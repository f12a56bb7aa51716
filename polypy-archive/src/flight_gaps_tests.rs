//! What a file of the flight recorder lacks, and how far back it goes.

use polypy_core::{CatalogueSink as _, Lane, MarketChange};

use super::*;

/// Gaps of tokens: whose, why, and what ended them.
fn gaps_of_tokens(entries: &[Recorded]) -> Vec<(AssetId, String, Option<String>)> {
    let gaps = entries.iter().filter_map(|recorded| match &recorded.entry {
        Entry::Gap(gap) => Some((
            gap.token_id.clone()?,
            gap.reason.to_string(),
            gap.healed_by.as_deref().map(str::to_owned),
        )),
        _ => None,
    });
    gaps.collect()
}

#[test]
fn a_token_that_no_socket_carries_is_missing_till_its_next_book() {
    let bench = Bench::new(1 << 20);
    let mut first = bench.open(1);
    bench.copied();
    say(&mut first, "[0]");
    first.closed("dropped", Owner::Network, Instant::now());
    let mut second = bench.open(2);
    say(&mut second, "[0]");
    bench.incident("hash");
    until("the file is written", || bench.files() == 1);
    let mut gaps = gaps_of_tokens(&bench.entries(&bench.names()[0]));
    gaps.retain(|(_, reason, _)| reason == "disconnected");
    let [one, two] = [0, 1].map(|number| bench.books.token(number));
    let gap = |token: &AssetId, by: Option<&str>| {
        (
            token.clone(),
            "disconnected".to_owned(),
            by.map(str::to_owned),
        )
    };
    let by = Some("snapshot");
    let expected = [
        gap(&one, None),
        gap(&two, None),
        gap(&one, by),
        gap(&two, by),
    ];
    assert_eq!(gaps, expected);
}

#[test]
fn a_market_that_ended_and_a_program_that_ends_miss_nothing() {
    let bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    bench.copied();
    let [over, on] = <[_; 2]>::try_from(bench.books.infos()).unwrap();
    let change = MarketChange::Resolved {
        market: market(&over.asset_id).unwrap(),
        winner: None,
        at: None,
    };
    bench.recorder.inlet().changed(change);
    // Its socket is asked for it no longer.
    socket.sent("{}", Asked::Unsubscribe, &[over], Instant::now());
    bench.recorder.ending();
    socket.closed("asked", Owner::Us, Instant::now());
    bench.incident_of("hash", vec![on.asset_id.clone()]);
    until("the file is written", || bench.files() == 1);
    let entries = bench.entries(&bench.names()[0]);
    let mut gaps = gaps_of_tokens(&entries);
    gaps.retain(|(_, reason, _)| reason != "starting");
    assert_eq!(gaps, []);
    let is_resolved = |recorded: &Recorded| {
        let resolved = matches!(
            &recorded.entry,
            Entry::Catalogue(CatalogueEvent::Resolved { .. })
        );
        resolved
    };
    assert!(entries.iter().any(is_resolved));
}

#[test]
fn that_the_process_did_not_run_is_in_the_file() {
    let bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    say(&mut socket, "[0]");
    bench
        .recorder
        .shared
        .lately
        .lock()
        .suspended(Instant::now());
    bench.incident("hash");
    until("the file is written", || bench.files() == 1);
    let told = kinds(&bench.entries(&bench.names()[0]));
    let marks: Vec<_> = told
        .iter()
        .filter(|kind| kind.starts_with("mark"))
        .collect();
    assert_eq!(marks, ["mark suspended", "mark hash"]);
}

#[test]
fn a_file_has_nothing_that_is_older_than_what_is_kept() {
    let second = Duration::from_secs(1);
    let now = Instant::now();
    let books = Books::new(&[2]);
    let mut page = Vec::new();
    books.copy(Lane(0), 0, &|_, _| true, &mut page).unwrap();
    let copies = page.into_iter().zip([60, 1]).map(|(checkpoint, age)| {
        // One of them has not changed for long.
        let at = now - age * second;
        copies::BookCopy {
            checkpoint,
            at,
            applied_before: at,
        }
    });
    let mut ring = Ring::new();
    for age in [60, 31, 29, 2] {
        let frame = format!("[{age}]");
        ring.frames(
            frame.as_bytes(),
            &[frame.len()],
            true,
            (now - age * second, 4_096),
        );
    }
    let incident = incident::Incident {
        marks: Vec::new(),
        sockets: vec![incident::SocketPart {
            number: 1,
            connection: "conn-1".into(),
            copied: Vec::new(),
            frozen: ring.freeze(now),
        }],
        copies: copies.collect(),
        answers: Vec::new(),
        markets: Vec::new(),
        lately: Lately::default(),
        clocks: (now, BEGIN),
        session: ("a-session".to_owned(), "0".to_owned()),
    };
    let disk = FaultyDisk::default();
    let config = FlightConfig::new(Path::new("incidents"));
    let written = incident.write(&disk, &config).unwrap();
    let (first, last) = written.times.unwrap();
    let span = Duration::from_nanos(last - first);
    assert_eq!(span, 28 * second, "from the oldest frame to the newest");
    assert_eq!(first, BEGIN - 29_000_000_000);
    assert_eq!(written.frames, 2);
}
