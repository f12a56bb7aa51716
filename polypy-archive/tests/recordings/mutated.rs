//! Files and chunks changed at random, by more than a bit.

use fastrand::Rng;

use crate::any_bytes::check;
use crate::common::{entries, finished, is_full, read};

/// Takes out, puts in, repeats or overwrites some bytes.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let from = rng.usize(..=bytes.len());
    let most = 1 << rng.u32(1..14);
    let to = (from + rng.usize(..most)).min(bytes.len());
    match rng.u8(..5) {
        0 => drop(bytes.drain(from..to)),
        1 => bytes[from..to].fill_with(|| rng.u8(..)),
        2 => {
            let again = bytes[from..to].to_vec();
            let place = rng.usize(..=bytes.len());
            bytes.splice(place..place, again);
        }
        3 => bytes.truncate(to),
        // A length, where one may stand.
        _ => {
            let lengths = [0, 1, 255, 1 << 16, 1 << 32, u64::MAX, bytes.len() as u64];
            let length = lengths[rng.usize(..lengths.len())].to_le_bytes();
            let end = (from + 8).min(bytes.len());
            bytes[from..end].copy_from_slice(&length[..end - from]);
        }
    }
}

/// What the chunks of a file hold, uncompressed.
fn records(file: &[u8]) -> Vec<Vec<u8>> {
    let chunks = read(file).chunks.into_iter();
    let records = chunks.map(|at| {
        let content = &file[usize::try_from(at).unwrap() + 9..];
        let size = u64::from_le_bytes(content[16..24].try_into().unwrap());
        let size = usize::try_from(size).unwrap();
        let length = u64::from_le_bytes(content[36..44].try_into().unwrap());
        let compressed = &content[44..44 + usize::try_from(length).unwrap()];
        zstd::bulk::decompress(compressed, size).unwrap()
    });
    records.collect()
}

#[test]
fn bytes_changed_at_random_lose_nothing_that_is_whole() {
    let file = finished(&entries(120), 20);
    let chunks = records(&file);
    assert_eq!(chunks.len(), 6);
    check(&file);
    check(&chunks[0]);
    let mut rng = Rng::with_seed(41);
    for round in 0..if is_full() { 50_000 } else { 400 } {
        let mut bytes = match round % 2 {
            0 => file.clone(),
            _ => chunks[rng.usize(..chunks.len())].clone(),
        };
        for _ in 0..rng.u32(1..4) {
            mutate(&mut bytes, &mut rng);
        }
        check(&bytes);
    }
}
