//! What replacements and lost sockets leave behind.

use std::time::Duration;

use polypy_core::StatsSource;

use super::tests::pool;
use super::*;
use crate::connection::OutageOutcome;
use crate::connection::testing::{Answer, SimulatedVenue, opening, until};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lost_socket_leaves_a_receipt_once_its_books_are_back() {
    let mut world = SimulatedVenue::new(1);
    let pool = pool(&world, PoolConfig::default());
    pool.start().await.unwrap();
    let ids = ["0".to_owned(), "1".to_owned()];
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids.iter())).await;
    until("books", SECOND, || world.sink.books().len() == 2).await;
    assert!(pool.reconnects().is_empty());
    // The next socket fails, the one after it is lost before its books are there.
    world.network.script(&[Answer::Unreachable], Answer::Accept);
    drop(peer);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids[..1].iter())).await;
    tokio::time::sleep(SECOND / 10).await;
    drop(peer);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids[..1].iter())).await;
    until("one book", SECOND, || world.sink.books().len() == 1).await;
    tokio::time::sleep(SECOND).await;
    assert!(pool.reconnects().is_empty());
    peer.say(opening(ids[1..].iter())).await;
    until("receipt", SECOND, || pool.reconnects().len() == 1).await;
    let receipt = &pool.reconnects()[0];
    assert_eq!(receipt.connection, "conn-0");
    assert_eq!(receipt.cause, "dropped");
    assert_eq!(receipt.outcome, OutageOutcome::Recovered);
    assert_eq!((receipt.books, receipt.covered), (2, 0));
    assert_eq!(receipt.attempts_failed, 2);
    let first = receipt.first_book_ms.unwrap();
    assert!(
        first >= 100 && receipt.downtime_ms >= first + 1_000,
        "{receipt:?}"
    );
    let stats = pool.stats();
    assert_eq!(stats["reconnects"]["recovered"], 1);
    assert_eq!(stats["reconnects"]["receipts"][0]["books"], 2);
    pool.stop().await;
    assert_eq!(pool.reconnects().len(), 1, "an end is no outage");
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_is_ended_by_closing_says_so() {
    let (world, behaviour) = SimulatedVenue::new(1).serve_all();
    let pool = pool(&world, PoolConfig::default());
    pool.start().await.unwrap();
    until("books", SECOND, || world.sink.books().len() == 2).await;
    world.network.script(&[], Answer::Unreachable);
    behaviour.lock().no_pong = true;
    until("loss", 600 * SECOND, || world.sink.books().is_empty()).await;
    tokio::time::sleep(30 * SECOND).await;
    assert!(pool.reconnects().is_empty());
    pool.stop().await;
    let receipts = pool.reconnects();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].cause, "no_pong");
    assert_eq!(receipts[0].outcome, OutageOutcome::Closed);
    assert!(receipts[0].attempts_failed > 1);
    assert_eq!(receipts[0].first_book_ms, None);
    assert!(receipts[0].downtime_ms >= 30_000);
}

#[tokio::test(start_paused = true)]
async fn the_newest_receipts_are_kept() {
    let (world, behaviour) = SimulatedVenue::new(1).serve_all();
    let pool = pool(&world, PoolConfig::default());
    pool.start().await.unwrap();
    until("books", SECOND, || world.sink.books().len() == 2).await;
    behaviour.lock().no_pong = true;
    until("losses", 7_200 * SECOND, || {
        pool.stats()["reconnects"]["recovered"].as_u64() > Some(20)
    })
    .await;
    assert_eq!(pool.reconnects().len(), 16);
    pool.stop().await;
}
