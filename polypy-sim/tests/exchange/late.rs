//! Events that go on after a socket has unsubscribed.

use std::time::Duration;

use polypy_core::AssetId;
use polypy_sim::{Fault, FaultKind, SimConfig, SimHandle};
use serde_json::Value;

use crate::client::{Client, eventually, start};

/// A busy exchange of one market, and a client whose opening books have come.
async fn subscribed() -> (SimHandle, Vec<AssetId>, Client) {
    let config = SimConfig {
        markets: 1,
        events_per_second: 500.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client.open_custom(&assets).await;
    assert!(client.text().await.starts_with('['));
    (sim, assets, client)
}

/// Frames that came between now and the answer of a ping sent `after`.
async fn frames(client: &mut Client, after: Duration) -> Vec<String> {
    tokio::time::sleep(after).await;
    client.until_pong().await
}

#[tokio::test]
async fn unsubscribed_tokens_are_silent_at_once_or_after_the_faults_delay() {
    let (sim, assets, mut client) = subscribed().await;
    let readers = |sim: &SimHandle| sim.stats().subscriptions;
    client.operation("unsubscribe", &assets).await;
    client.until_pong().await;
    let moment = Duration::from_millis(60);
    assert_eq!(frames(&mut client, moment).await, Vec::<String>::new());

    client.operation("subscribe", &assets).await;
    client.text_where(|text| text.starts_with('[')).await;
    let late = Fault::new(FaultKind::LateFrames).with("delay", "400ms");
    sim.add_fault(late.expect("a parameter of it"));
    client.operation("unsubscribe", &assets).await;
    client.until_pong().await;
    assert_eq!(readers(&sim), 0, "it counts as unsubscribed");
    let frames_after = frames(&mut client, moment).await;
    assert!(
        frames_after
            .iter()
            .any(|text| text.contains("price_change"))
    );
    eventually("it goes silent", || sim.stats().scheduled == 0).await;
    client.until_pong().await;
    sim.pause();
    client.until_pong().await;
    sim.resume();
    assert_eq!(frames(&mut client, moment).await, Vec::<String>::new());
    sim.stop().await;
}

#[tokio::test]
async fn one_that_is_subscribed_again_meanwhile_stays() {
    let (sim, assets, mut client) = subscribed().await;
    let late = Fault::new(FaultKind::LateFrames).with("delay", "100ms");
    sim.add_fault(late.expect("a parameter of it"));
    client.operation("unsubscribe", &assets).await;
    client.operation("subscribe", &assets).await;
    let opening = client.text_where(|text| text.starts_with('[')).await;
    let books: Vec<Value> = serde_json::from_str(&opening).expect("books");
    assert_eq!(books.len(), 2);
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.until_pong().await;
    client.event("price_change").await;
    // Nor is a socket that ends before its time kept in mind.
    client.operation("unsubscribe", &assets).await;
    client.until_pong().await;
    drop(client);
    eventually("the socket is forgotten", || sim.connections().is_empty()).await;
    let sent = sim.stats().totals.frames_queued;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(sim.stats().totals.frames_queued, sent);
    sim.stop().await;
}
