//! A connection that takes over from another, and one that is taken over from.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_replacement_stays_unheard_until_it_takes_over() {
    let (world, behaviour) = served(1);
    behaviour.lock().flow = Some(SECOND / 10);
    let fixture = Fixture::with(&world, 0..2, config(), Role::Replacement);
    until("books", 2 * SECOND, || {
        let state = fixture.connection.view().state();
        state.is_open() && state.retryable().count() == 0
    })
    .await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(world.sink.all(), []);
    fixture.connection.take_over();
    until("take-over", SECOND, || world.sink.books().len() == 2).await;
    let told = world.sink.all();
    assert_eq!(told[0], Told::Opened(FeedId(1)));
    assert!(
        matches!(&told[1], Told::Delivered(_, books, others) if books.len() == 2 && *others > 5)
    );
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_never_takes_over_leaves_nothing() {
    let (world, _manners) = served(1);
    let fixture = Fixture::with(&world, 0..2, config(), Role::Replacement);
    tokio::time::sleep(5 * SECOND).await;
    assert!(fixture.connection.view().is_open());
    fixture.stop(&world).await;
    assert_eq!(world.sink.all(), []);
}

#[tokio::test(start_paused = true)]
async fn a_retired_connection_ends_with_its_socket() {
    let mut world = SimulatedVenue::new(1);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    fixture.connection.retire();
    until("word", SECOND, || {
        fixture.connection.view().state().is_retired()
    })
    .await;
    assert_eq!(
        fixture.connection.view().state().status(),
        ConnectionStatus::Draining
    );
    drop(peer);
    fixture.task.await.unwrap();
    assert_eq!(world.network.dial_count(), 1);
}
