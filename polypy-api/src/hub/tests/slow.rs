//! Clients that read too slowly.

use super::*;

#[test]
fn a_slow_client_is_warned_then_begins_again_and_is_closed_the_third_time() {
    let mut world = World::new(StreamConfig {
        buffer: 8 << 10,
        ..StreamConfig::default()
    });
    world.add_token(true);
    let (slow, healthy) = (world.open(), world.open());
    world.subscribe(&slow, 0, &book_of(&["1"]), None).unwrap();
    world
        .subscribe(&healthy, 0, &book_of(&["1"]), None)
        .unwrap();
    world.step();
    read(&slow);
    read(&healthy);
    let mut healthy_deltas = 0;
    for overflow in 1..=3 {
        for _ in 0..40 {
            let size = 11 + world.clock_ms % 1_000;
            world.set(0, &[(Side::Bid, 41, u32::try_from(size).unwrap())], true);
            world.step();
            let told = read(&healthy);
            assert_eq!(names(&told), ["delta"]);
            healthy_deltas += 1;
        }
        assert_eq!(world.numbers.overflows.get(), overflow);
        if overflow < 3 {
            let told = read(&slow);
            assert_eq!(
                names(&told),
                ["error", "gap"],
                "nothing before the snapshot"
            );
            assert!(
                told[1]
                    .text()
                    .as_str()
                    .contains(r#""reason":"slow","owner":"client""#)
            );
            assert!(told[1].text().as_str().contains(r#""next":"snapshot""#));
            world.step();
            let told = read(&slow);
            assert_eq!(names(&told), ["snapshot"]);
        }
    }
    while let Some(Batch::Messages(_)) = slow.outbox().try_next(usize::MAX) {}
    let Some(Batch::End(closing)) = slow.outbox().try_next(usize::MAX) else {
        panic!("it goes on");
    };
    assert_eq!(closing.code, 1_013);
    assert!(closing.retry_ms.is_some());
    assert_eq!(healthy_deltas, 120);
}
