//! The faults of what is said and when, scripts and the journal, from outside.

use std::time::Duration;

use polypy_core::{AssetId, Side};
use polypy_sim::{Fault, FaultKind, JournalEntry, Script, SimConfig, SimError, SimHandle, digest};
use serde_json::{Value, json};

use crate::client::{Client, Got, Kept, eventually, get, start};

/// One busy market whose states are all kept.
async fn kept_market(events_per_second: f64) -> (SimHandle, Vec<AssetId>) {
    let config = SimConfig {
        markets: 1,
        events_per_second,
        journal: 100_000,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    (sim, assets)
}

async fn opened(sim: &SimHandle, assets: &[AssetId]) -> (Client, String) {
    let mut client = Client::connect(sim).await;
    client.open_custom(assets).await;
    let opening = client.text().await;
    assert!(opening.starts_with('['), "{opening}");
    (client, opening)
}

fn with(kind: FaultKind, parameter: &str, value: impl Into<Value>) -> Fault {
    Fault::new(kind).with(parameter, value).unwrap()
}

/// The entries of one asset, with the stamp of their frame.
fn entries(frame: &Value, asset: &AssetId) -> Vec<(String, Value)> {
    let stamp = frame["timestamp"].as_str().unwrap().to_owned();
    frame["price_changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["asset_id"] == asset.as_str())
        .map(|entry| (stamp.clone(), entry.clone()))
        .collect()
}

fn state_with_hash(states: &[JournalEntry], hash: &Value) -> Option<JournalEntry> {
    states
        .iter()
        .find(|state| *hash == state.hash.to_string())
        .cloned()
}

#[tokio::test]
async fn the_journal_tells_which_truth_a_book_was_and_until_when() {
    let (sim, assets) = kept_market(500.0).await;
    let asset = &assets[0];
    let (mut client, opening) = opened(&sim, &assets).await;
    let mut kept = Kept::default();
    kept.apply(asset, &opening);
    let mut equal = 0;
    for _ in 0..200 {
        let text = client.text().await;
        kept.apply(asset, &text);
        let shown = digest(kept.book.levels(Side::Bid), kept.book.levels(Side::Ask));
        let states = sim.journal(asset);
        equal += usize::from(states.iter().any(|state| state.digest == shown));
    }
    // Within a split burst a book is no state; but mostly it is one.
    assert!(equal > 150, "{equal}");
    sim.pause();
    let states = sim.journal(asset);
    assert!(states.len() > 100);
    for pair in states.windows(2) {
        assert_eq!(pair[0].until, Some(pair[1].published));
        assert!(pair[0].sequence <= pair[1].sequence);
    }
    let truth = sim.true_book(asset).unwrap();
    let last = states.last().unwrap();
    assert_eq!((last.sequence, last.hash), (truth.sequence, truth.hash));
    assert_eq!(last.digest, digest(truth.bids, truth.asks));
    assert_eq!(last.until, None);
    sim.stop().await;

    let off = start(SimConfig::for_tests()).await;
    assert!(off.journal(&off.assets()[0]).is_empty());
    off.stop().await;
    let two = start(SimConfig {
        journal: 2,
        markets: 1,
        ..SimConfig::for_tests()
    })
    .await;
    let asset = two.assets()[0].clone();
    eventually("some states", || {
        two.journal(&asset)
            .last()
            .is_some_and(|state| state.sequence > 4)
    })
    .await;
    assert_eq!(two.journal(&asset).len(), 2, "the newest alone");
    two.stop().await;
}

#[tokio::test]
async fn omitted_changes_are_known_to_the_judge() {
    let (sim, assets) = kept_market(300.0).await;
    let (mut client, _) = opened(&sim, &assets).await;
    sim.add_fault(Fault::new(FaultKind::OmitChange).on_assets([assets[0].clone()]));
    eventually("a change is omitted", || {
        !sim.withheld(&assets[0]).is_empty()
    })
    .await;
    sim.pause();
    let texts = client.until_pong().await;
    let withheld = sim.withheld(&assets[0]);
    assert_eq!(withheld.len(), 1, "one and no more");
    assert_eq!(withheld[0].connection, None, "nobody was told");
    assert_eq!(withheld[0].fault, FaultKind::OmitChange);
    assert!(sim.withheld(&assets[1]).is_empty());
    // The sibling's entries of the same batch came, one more than this asset's.
    let told = |asset: &AssetId| {
        let states = sim.journal(asset);
        let state = states
            .iter()
            .find(|state| state.sequence == withheld[0].sequence);
        let hash = format!("\"hash\":\"{}\"", state.unwrap().hash);
        let changes = texts.iter().filter(|text| text.contains("price_change"));
        changes
            .map(|text| text.matches(&hash).count())
            .sum::<usize>()
    };
    assert!(told(&assets[0]) < told(&assets[1]));
    sim.stop().await;
}

#[tokio::test]
async fn stalls_are_told_to_the_judge_by_socket() {
    let (sim, assets) = kept_market(300.0).await;
    let (_client, _) = opened(&sim, &assets).await;
    let connection = sim.connections()[0];
    sim.add_fault(Fault::new(FaultKind::StallAsset).on_assets([assets[1].clone()]));
    eventually("something is lost", || !sim.withheld(&assets[1]).is_empty()).await;
    assert_eq!(sim.withheld(&assets[1])[0].connection, Some(connection));
    assert!(sim.withheld(&assets[0]).is_empty());
    sim.stop().await;
}

#[tokio::test]
async fn wrong_hashes_fit_no_state_and_touch_no_other_asset() {
    let (sim, assets) = kept_market(300.0).await;
    sim.add_fault(with(FaultKind::WrongHash, "rate", 1).on_assets([assets[0].clone()]));
    let (mut client, opening) = opened(&sim, &assets).await;
    let books: Vec<Value> = serde_json::from_str(&opening).unwrap();
    let states = |asset| sim.journal(asset);
    assert_eq!(
        state_with_hash(&states(&assets[0]), &books[0]["hash"]),
        None
    );
    assert!(state_with_hash(&states(&assets[1]), &books[1]["hash"]).is_some());
    for _ in 0..20 {
        let frame = client.event("price_change").await;
        for (_, entry) in entries(&frame, &assets[0]) {
            assert_eq!(state_with_hash(&states(&assets[0]), &entry["hash"]), None);
            assert_eq!(entry["hash"].as_str().unwrap().len(), 40);
        }
        for (_, entry) in entries(&frame, &assets[1]) {
            assert!(state_with_hash(&states(&assets[1]), &entry["hash"]).is_some());
        }
    }
    let book = client.event("book").await;
    assert!(book["hash"].is_string());
    sim.stop().await;
}

#[tokio::test]
async fn next_hash_is_that_of_the_following_change() {
    let (sim, assets) = kept_market(300.0).await;
    let (mut client, _) = opened(&sim, &assets).await;
    let fault = with(FaultKind::NextHash, "rate", 1);
    sim.add_fault(fault.with("delay", "10s").unwrap());
    let mut ahead = 0;
    while ahead < 20 {
        let frame = client.event("price_change").await;
        for (stamp, entry) in entries(&frame, &assets[0]) {
            let states = sim.journal(&assets[0]);
            let state = state_with_hash(&states, &entry["hash"]).expect("a state's hash");
            if state.timestamp.millis().to_string() != stamp {
                let own = states
                    .iter()
                    .position(|own| own.timestamp.millis().to_string() == stamp)
                    .unwrap();
                let next = states[own..]
                    .iter()
                    .find(|next| next.sequence == states[own].sequence + 1);
                assert_eq!(next.map(|next| next.hash), Some(state.hash));
                ahead += 1;
            }
        }
    }
    sim.pause();
    sim.clear_faults();
    sim.stop().await;

    // With nothing to follow, the change comes with its own hash.
    let (sim, assets) = kept_market(30.0).await;
    let (mut client, _) = opened(&sim, &assets).await;
    let fault = with(FaultKind::NextHash, "rate", 1);
    sim.add_fault(fault.with("delay", "1ms").unwrap());
    let frame = client.event("price_change").await;
    let (stamp, entry) = entries(&frame, &assets[0]).remove(0);
    let state = state_with_hash(&sim.journal(&assets[0]), &entry["hash"]).unwrap();
    assert_eq!(state.timestamp.millis().to_string(), stamp);
    sim.stop().await;
}

#[tokio::test]
async fn shared_hash_splits_every_burst() {
    let (sim, assets) = kept_market(500.0).await;
    let (mut client, _) = opened(&sim, &assets).await;
    sim.add_fault(Fault::new(FaultKind::SharedHash));
    client.until_pong().await;
    let mut last = Value::Null;
    let mut shared = 0;
    for _ in 0..300 {
        let frame = client.event("price_change").await;
        let own = entries(&frame, &assets[0]);
        assert_eq!(own.len(), 1, "one level a frame: {frame}");
        shared += usize::from(own[0].1["hash"] == last);
        last = own[0].1["hash"].clone();
    }
    assert!(shared > 0);
    sim.stop().await;
}

#[tokio::test]
async fn prices_run_ahead_of_their_announcement_or_are_never_announced() {
    for never in [false, true] {
        let (sim, assets) = kept_market(200.0).await;
        let (mut client, _) = opened(&sim, &assets).await;
        let fault = with(FaultKind::PriceAhead, "rate", 0.2)
            .with("delay", "50ms")
            .unwrap();
        let id = sim.add_fault(fault.with("never", never).unwrap());
        eventually("many changes", || sim.journal(&assets[0]).len() > 100).await;
        sim.pause();
        sim.remove_fault(id);
        eventually("all is sent", || sim.stats().scheduled == 0).await;
        let prints = client
            .until_pong()
            .await
            .iter()
            .filter(|text| text.contains("\"last_trade_price\",\"transaction_hash\""))
            .count();
        let prices = sim
            .journal(&assets[0])
            .windows(2)
            .filter(|pair| pair[0].last_trade_price != pair[1].last_trade_price)
            .count();
        let trades = usize::try_from(sim.stats().totals.trades).unwrap();
        assert!(prices > 5, "{prices}");
        if never {
            assert_eq!(prints, trades, "no word of the others");
        } else {
            assert!(prints > trades, "{prints} {trades}");
        }
        sim.stop().await;
    }
}

#[tokio::test]
async fn fields_are_missing_where_they_are_told_to_be() {
    let (sim, assets) = kept_market(300.0).await;
    let fault = with(FaultKind::MissingFields, "fields", "hash, best_ask");
    sim.add_fault(fault.on_assets([assets[0].clone()]));
    let (mut client, opening) = opened(&sim, &assets).await;
    let books: Vec<Value> = serde_json::from_str(&opening).unwrap();
    assert_eq!(books[0].get("hash"), None);
    assert!(books[1]["hash"].is_string());
    let frame = client.event("price_change").await;
    let (_, entry) = entries(&frame, &assets[0]).remove(0);
    assert_eq!((entry.get("hash"), entry.get("best_ask")), (None, None));
    assert!(entry["best_bid"].is_string());
    assert!(entries(&frame, &assets[1])[0].1["hash"].is_string());
    sim.stop().await;
}

#[tokio::test]
async fn an_older_entry_and_a_second_book_follow_the_opening() {
    for conflict in [false, true] {
        let (sim, assets) = kept_market(0.0).await;
        sim.add_fault(with(FaultKind::LateSnapshotDelta, "conflict", conflict));
        sim.add_fault(Fault::new(FaultKind::OpeningDuplicateToken).on_assets([assets[1].clone()]));
        let (mut client, opening) = opened(&sim, &assets).await;
        let books: Vec<Value> = serde_json::from_str(&opening).unwrap();
        assert_eq!(books.len(), 3);
        assert_eq!(books[1], books[2]);
        let frame = client.event("price_change").await;
        let (stamp, entry) = entries(&frame, &assets[0]).remove(0);
        let number = |text: &str| text.parse::<u64>().unwrap();
        let behind = number(books[0]["timestamp"].as_str().unwrap()) - number(&stamp);
        assert!((1..=2).contains(&behind), "{behind}");
        assert_ne!(entry["hash"], books[0]["hash"]);
        let best = books[0]["bids"].as_array().unwrap().last().unwrap();
        assert_eq!(entry["price"], best["price"]);
        assert_eq!(entry["size"] != best["size"], conflict);
        sim.stop().await;
    }
}

#[tokio::test]
async fn rest_lags_behind_the_truth_by_the_delay() {
    let (sim, assets) = kept_market(200.0).await;
    let path = format!("/book?token_id={}", assets[0]);
    sim.add_fault(with(FaultKind::RestLag, "delay", "300ms"));
    eventually("some past", || sim.journal(&assets[0]).len() > 20).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let asked = tokio::time::Instant::now();
    let (_, book) = get(&sim, &path).await;
    let state = state_with_hash(&sim.journal(&assets[0]), &book["hash"]).unwrap();
    let until = state.until.expect("it is over");
    let delay = Duration::from_millis(300);
    assert!(until + delay > asked, "it was true no longer ago than that");
    assert!(state.published + delay <= tokio::time::Instant::now());
    sim.pause();
    tokio::time::sleep(Duration::from_millis(350)).await;
    let truth = sim.true_book(&assets[0]).unwrap();
    let (_, book) = get(&sim, &path).await;
    assert_eq!(book["hash"], truth.hash.to_string(), "it has caught up");
    sim.stop().await;
}

#[tokio::test]
async fn rest_leads_a_socket_that_stays_in_order() {
    let (sim, assets) = kept_market(300.0).await;
    let asset = &assets[0];
    let (mut client, opening) = opened(&sim, &assets).await;
    let mut kept = Kept::default();
    kept.apply(asset, &opening);
    let id = sim.add_fault(with(FaultKind::RestLead, "delay", "400ms"));
    let texts = client.until_pong().await;
    texts.iter().for_each(|text| kept.apply(asset, text));
    eventually("it trails", || sim.stats().scheduled > 40).await;
    let path = format!("/book?token_id={asset}");
    let (_, book) = get(&sim, &path).await;
    let ahead = state_with_hash(&sim.journal(asset), &book["hash"]).unwrap();
    let texts = client.until_pong().await;
    texts.iter().for_each(|text| kept.apply(asset, text));
    let shown = state_with_hash(&sim.journal(asset), &json!(kept.hash)).unwrap();
    assert!(shown.sequence < ahead.sequence, "{shown:?} {ahead:?}");
    // What waits is not overtaken by what comes when the fault is over.
    sim.remove_fault(id);
    eventually("nothing trails", || sim.stats().scheduled < 5).await;
    sim.pause();
    eventually("all is sent", || sim.stats().scheduled == 0).await;
    for text in client.until_pong().await {
        kept.apply(asset, &text);
        if kept.opened {
            let sequence = state_with_hash(&sim.journal(asset), &json!(kept.hash));
            assert!(sequence.is_some());
        }
    }
    assert!(kept.equals(&sim.true_book(asset).unwrap()));
    sim.stop().await;
}

#[tokio::test]
async fn clob_refuses_and_sockets_are_called_done() {
    let (sim, assets) = kept_market(300.0).await;
    let path = format!("/book?token_id={}", assets[0]);
    for (kind, status) in [(FaultKind::Clob429, 429), (FaultKind::Clob425, 425)] {
        let id = sim.add_fault(Fault::new(kind));
        assert_eq!(get(&sim, &path).await.0, status);
        assert!(sim.remove_fault(id));
    }
    let (mut client, _) = opened(&sim, &assets).await;
    sim.add_fault(Fault::new(FaultKind::Close1000));
    match client.ending().await {
        Got::Close(Some(frame)) => {
            assert_eq!(u16::from(frame.code), 1000);
            assert_eq!(frame.reason.as_str(), "all subscribed assets resolved");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(get(&sim, &path).await.0, 200, "it still trades");
    sim.stop().await;
}

#[tokio::test]
async fn gamma_lists_and_closes_late() {
    let sim = start(SimConfig {
        markets: 20,
        new_markets_per_minute: 600.0,
        resolve_per_minute: 600.0,
        ..SimConfig::for_tests()
    })
    .await;
    sim.add_fault(with(FaultKind::GammaListedLate, "delay", "1h"));
    sim.add_fault(with(FaultKind::GammaClosedLate, "delay", "1h"));
    eventually("markets come and go", || {
        let totals = sim.stats().totals;
        totals.markets_announced > 3 && totals.markets_settled > 3
    })
    .await;
    sim.pause();
    // Longer than the lags without the faults.
    tokio::time::sleep(Duration::from_millis(120)).await;
    let (_, open) = get(&sim, "/markets/keyset?limit=100").await;
    assert_eq!(open["markets"].as_array().unwrap().len(), 20);
    let (_, closed) = get(&sim, "/markets/keyset?limit=100&closed=true").await;
    assert_eq!(closed["markets"], json!([]));
    sim.stop().await;
}

#[tokio::test]
async fn a_restarting_engine_is_silent_and_then_bursts() {
    let (sim, assets) = kept_market(100.0).await;
    let (mut client, _) = opened(&sim, &assets).await;
    let fault = with(FaultKind::EngineRestart, "burst", 1_000);
    sim.add_fault(fault.lasting(Duration::from_millis(400)));
    let before = sim.stats().totals.steps;
    tokio::time::sleep(Duration::from_millis(150)).await;
    client.until_pong().await;
    assert!(sim.stats().totals.steps <= before + 1, "silence");
    let silent = tokio::time::Instant::now();
    eventually("the burst", || sim.stats().totals.steps > before + 1_000).await;
    assert!(
        silent.elapsed() < Duration::from_secs(8),
        "not at the usual pace"
    );
    client.event("price_change").await;
    sim.stop().await;
}

#[tokio::test]
async fn a_script_runs_by_the_clock_and_is_listed() {
    let (sim, assets) = kept_market(300.0).await;
    let (mut client, _) = opened(&sim, &assets).await;
    let script = Script::parse(
        "[[step]]\nat = \"0ms\"\nfault = \"missing_fields\"\nfor = \"1h\"\n\
         [[step]]\nat = \"1h\"\nfault = \"stall_all\"\n\
         [[step]]\nat = \"50ms\"\nfor = \"1ms\"\nfault = \"whitespace\"\n",
    )
    .unwrap();
    sim.run_script(script);
    client
        .text_where(|text| text.contains("price_changes") && !text.contains("hash"))
        .await;
    // The third step has come and gone once only the second is left.
    loop {
        let (_, faults) = get(&sim, "/sim/faults").await;
        assert_eq!(faults["active"][0]["script_line"], 1);
        let script = faults["script"].as_array().unwrap();
        if script.len() == 1 {
            assert_eq!(script[0]["name"], "stall_all");
            assert_eq!(script[0]["script_line"], 5);
            assert!(script[0]["starts_in_seconds"].as_f64().unwrap() > 3_000.0);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_script_that_cannot_be_run_starts_nothing() {
    let config = |script: &std::path::Path| SimConfig {
        script: Some(script.to_owned()),
        ..SimConfig::for_tests()
    };
    let clock = crate::client::clock;
    let file = std::env::temp_dir().join(format!("polypy-script-{}.toml", std::process::id()));
    let started = polypy_sim::Sim::start(config(&file), clock()).await;
    assert!(matches!(started, Err(SimError::ScriptFile { .. })));
    std::fs::write(&file, "[[step]]\nat = \"1h\"\nfault = \"garbag\"\n").unwrap();
    match polypy_sim::Sim::start(config(&file), clock()).await {
        Err(SimError::Script { source, .. }) => {
            assert_eq!(source.mistakes[0].line, 3);
            assert!(source.to_string().contains("did you mean \"garbage\"?"));
        }
        other => panic!("{other:?}"),
    }
    std::fs::write(&file, "[[step]]\nat = \"1h\"\nfault = \"garbage\"\n").unwrap();
    let sim = start(config(&file)).await;
    let (_, faults) = get(&sim, "/sim/faults").await;
    assert_eq!(faults["script"][0]["name"], "garbage");
    sim.stop().await;
    std::fs::remove_file(&file).unwrap();
}
