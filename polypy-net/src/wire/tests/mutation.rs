//! Frames nobody would send. Whatever comes in, the decoder's promises hold.

use super::*;

/// Printed by a failing assertion together with the frame's number, so that it
/// can be had again.
const SEED: u64 = 0x706f_6c79;
const MUTATED: usize = 200_000;
const RANDOM: usize = 100_000;

/// Pieces that mean something to a parser.
const PIECES: [&str; 18] = [
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "-",
    "1e999",
    ".",
    "\"asset_id\"",
    "\"event_type\":\"book\",",
    "ü",
    "\0",
];

fn samples() -> Vec<Vec<u8>> {
    let events = every_event();
    let mut samples = vec![format!("[{}]\n", events.join(",")), "PONG".to_owned()];
    samples.extend(events);
    samples.push(price_change(&vec![entry(YES, "BUY", "0.49", "50"); 20]));
    samples.into_iter().map(String::into_bytes).collect()
}

fn mutate(rng: &mut fastrand::Rng, frame: &mut Vec<u8>, samples: &[Vec<u8>]) {
    let at = rng.usize(..=frame.len());
    let to = (at + rng.usize(..20)).min(frame.len());
    match rng.u8(..7) {
        0 => frame.truncate(at),
        1 => drop(frame.drain(at..to)),
        2 => {
            let again = frame[at..to].to_vec();
            frame.splice(at..at, again);
        }
        3 => {
            let piece = PIECES[rng.usize(..PIECES.len())];
            frame.splice(at..to, piece.bytes());
        }
        4 => {
            let piece = PIECES[rng.usize(..PIECES.len())];
            frame.splice(at..at, piece.bytes());
        }
        5 => {
            let other = &samples[rng.usize(..samples.len())];
            let from = rng.usize(..other.len());
            frame.splice(at.., other[from..].iter().copied());
        }
        _ => {
            if let Some(byte) = frame.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
    }
}

/// What holds for every frame.
#[track_caller]
fn check(frame: &[u8], assets: &Interner, number: usize) {
    let context = || {
        format!(
            "seed {SEED:#x}, frame {number}: {:?}",
            String::from_utf8_lossy(frame)
        )
    };
    let (stats, mut out) = (WireStats::default(), Decoded::default());
    let kind = decode(frame, assets, &stats, &mut out);
    let snapshot = stats.snapshot();
    assert_eq!(snapshot.parse_errors, out.errors, "{}", context());
    assert_eq!(
        snapshot.parse_errors_by_event.values().sum::<u64>(),
        out.errors,
        "{}",
        context()
    );
    assert!(kind != Frame::Garbage || out.errors > 0, "{}", context());
    assert!(out.undecodable.is_sorted_by(|a, b| a < b), "{}", context());
    assert!(
        out.events
            .iter()
            .all(|event| assets.info(event.asset()).is_some()),
        "{}",
        context()
    );
    // What is named and changed by nothing is in doubt, or the event was
    // understood and is none of a book's.
    let understood = snapshot.unknown_events + snapshot.events.values().sum::<u64>();
    if kind == Frame::Garbage && understood == 0 {
        let text = String::from_utf8_lossy(frame);
        for asset in salvage::named_assets(&text, assets) {
            assert!(out.undecodable.contains(&asset.key), "{}", context());
        }
    }
    // The last change of each asset is marked, and no other.
    let changes = out.events.iter().filter_map(|event| match event {
        MarketEvent::PriceChange(change) => Some((change.asset, change.last_in_frame)),
        _ => None,
    });
    let marked: BTreeMap<_, _> = changes.clone().collect();
    assert!(marked.values().all(|last| *last), "{}", context());
    assert_eq!(
        changes.filter(|change| change.1).count(),
        marked.len(),
        "{}",
        context()
    );
}

#[test]
fn mutated_frames_break_no_promise() {
    let (samples, assets) = (samples(), interner());
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut frame = Vec::new();
    for number in 0..MUTATED {
        frame.clone_from(&samples[rng.usize(..samples.len())]);
        for _ in 0..rng.usize(1..4) {
            mutate(&mut rng, &mut frame, &samples);
        }
        check(&frame, &assets, number);
    }
}

#[test]
fn random_bytes_break_no_promise() {
    let assets = interner();
    let mut rng = fastrand::Rng::with_seed(SEED);
    for number in 0..RANDOM {
        let length = rng.usize(..64);
        let mut frame: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        if rng.bool() {
            // Bytes that get past the first look.
            frame.insert(0, if rng.bool() { b'{' } else { b'[' });
            for byte in &mut frame {
                *byte = if rng.bool() {
                    *byte
                } else {
                    b"[]{}\",:\\0 "[usize::from(*byte % 10)]
                };
            }
        }
        check(&frame, &assets, number);
    }
}
