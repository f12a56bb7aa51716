use std::sync::Arc;

use polypy_core::{AssetInfo, BookOrigin, Interner};

use super::*;

const SHARE: usize = 4_096;

fn infos(count: u8) -> Vec<Arc<AssetInfo>> {
    let (mut interner, condition) = (Interner::default(), "0xa1".parse().unwrap());
    (1..=count)
        .map(|id| {
            let id: AssetId = id.to_string().parse().unwrap();
            interner.insert(&id, &condition, |key| {
                AssetInfo::new(key, id.clone(), condition.clone())
            })
        })
        .collect()
}

fn say(ring: &mut Ring, frames: &[&str], at: Instant) {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for frame in frames {
        bytes.extend_from_slice(frame.as_bytes());
        ends.push(bytes.len());
    }
    ring.frames(&bytes, &ends, true, (at, SHARE));
}

fn ask(ring: &mut Ring, asked: Asked, infos: &[Arc<AssetInfo>], at: Instant) {
    let named: Vec<_> = infos
        .iter()
        .map(|info| (info.key, info.asset_id.clone()))
        .collect();
    ring.name(asked, &named);
    let sent = SentText {
        asked,
        tokens: infos.iter().map(|info| info.asset_id.clone()).collect(),
        text: "{}".into(),
    };
    ring.said(What::Sent(Box::new(sent)), (at, SHARE));
}

/// Sequences and frames.
fn frames(frozen: Frozen) -> Vec<(u32, String)> {
    let said = frozen.into_said().filter_map(|(_, said)| match said {
        Said::Frame {
            sequence, bytes, ..
        } => Some((sequence, String::from_utf8(bytes).unwrap())),
        Said::Other(_) => None,
    });
    said.collect()
}

#[test]
fn the_newest_frames_are_there_byte_for_byte_and_the_rest_is_said_to_lack() {
    let (mut ring, at) = (Ring::new(), Instant::now());
    let mut rng = fastrand::Rng::with_seed(7);
    let mut all = Vec::new();
    for group in 0..500u32 {
        let group: Vec<String> = (0..rng.u32(1..5))
            .map(|frame| format!("[{group}.{frame}{}]", "x".repeat(rng.usize(..200))))
            .collect();
        let shown: Vec<_> = group.iter().map(String::as_str).collect();
        say(&mut ring, &shown, at);
        all.extend(group);
        assert!(ring.size() <= SHARE, "{}", ring.size());
        assert!(ring.bytes.capacity() <= SHARE);
    }
    let frozen = ring.freeze(at);
    assert_eq!(frozen.lacks_before, Some(at));
    let kept = frames(frozen);
    assert!(kept.len() > 10);
    let first = all.len() - kept.len();
    for (place, (sequence, frame)) in kept.iter().enumerate() {
        assert_eq!(*frame, all[first + place]);
        assert_eq!(*sequence as usize, first + place);
    }
    // All of it stays for the next time.
    assert_eq!(frames(ring.freeze(at)), kept);
    say(&mut ring, &["[next]"], at);
    let next = frames(ring.freeze(at)).pop();
    let number = u32::try_from(all.len()).unwrap();
    assert_eq!(next, Some((number, "[next]".to_owned())));
}

#[test]
fn a_socket_that_opened_lately_lacks_nothing_and_what_is_old_is_forgotten() {
    let (mut ring, began) = (Ring::new(), Instant::now());
    say(&mut ring, &["[0]", "[1]"], began);
    assert_eq!(ring.lacks_before, None);
    say(&mut ring, &["[2]"], began + KEPT_FOR);
    assert_eq!(ring.lacks_before, None);
    let later = began + KEPT_FOR + Duration::from_secs(1);
    say(&mut ring, &["[3]"], later);
    let frozen = ring.freeze(later);
    assert_eq!(frozen.lacks_before, Some(began));
    assert_eq!(frozen.begins(), Some(began + KEPT_FOR));
    assert_eq!(frames(frozen), [(2, "[2]".into()), (3, "[3]".into())]);
}

#[test]
fn what_has_become_old_since_a_socket_said_something_is_in_no_file() {
    let (mut ring, began) = (Ring::new(), Instant::now());
    let second = Duration::from_secs(1);
    say(&mut ring, &["[0]"], began);
    say(&mut ring, &["[1]"], began + 5 * second);
    assert_eq!(frames(ring.freeze(began + KEPT_FOR)).len(), 2);
    // Nothing came meanwhile.
    let frozen = ring.freeze(began + KEPT_FOR + second);
    assert_eq!(frozen.lacks_before, Some(began));
    assert_eq!(frames(frozen), [(1, "[1]".into())]);
}

#[test]
fn what_a_socket_carried_before_the_oldest_is_known_after_it_was_forgotten() {
    let (mut ring, began) = (Ring::new(), Instant::now());
    let infos = infos(4);
    let keys: Vec<_> = infos.iter().map(|info| info.key).collect();
    ask(&mut ring, Asked::Subscribe, &infos[..3], began);
    let named = ring.named(&keys);
    assert_eq!(named.len(), 3, "the fourth is not carried");
    let first = What::FirstBooks(named[..2].into(), BookOrigin::Snapshot);
    ring.said(first, (began, SHARE));
    ring.said(What::Delivers(FeedId(9)), (began, SHARE));
    ask(&mut ring, Asked::Unsubscribe, &infos[..1], began);
    let carries = |at: usize| ring.carries_one_of(&HashSet::from([&infos[at].asset_id]));
    assert!(!carries(0) && carries(1));
    let later = began + KEPT_FOR + Duration::from_secs(1);
    // This one is not old.
    ask(&mut ring, Asked::Subscribe, &infos[3..], later);
    let frozen = ring.freeze(later);
    let id = |at: usize| infos[at].asset_id.clone();
    let expected = BTreeMap::from([(id(1), true), (id(2), false)]);
    assert_eq!(frozen.before.tokens, expected);
    assert_eq!(frozen.before.feed, Some(FeedId(9)));
    assert_eq!(frozen.into_said().count(), 1);
    // Once that one is forgotten, it is of before, too.
    let last = later + 2 * KEPT_FOR;
    say(&mut ring, &["[0]"], last);
    assert_eq!(ring.freeze(last).before.tokens.len(), 3);
}

#[test]
fn a_frame_that_is_longer_than_the_share_leaves_nothing_before_it() {
    let (mut ring, at) = (Ring::new(), Instant::now());
    say(&mut ring, &["[0]"], at);
    say(&mut ring, &[&"x".repeat(SHARE)], at);
    assert_eq!(ring.size(), 0);
    say(&mut ring, &["[2]"], at);
    let frozen = ring.freeze(at);
    assert_eq!(frozen.lacks_before, Some(at));
    assert_eq!(frames(frozen), [(2, "[2]".into())]);
}

#[test]
fn a_share_that_has_become_less_gives_its_memory_back() {
    let (mut ring, at) = (Ring::new(), Instant::now());
    let long = "x".repeat(100);
    for _ in 0..30 {
        say(&mut ring, &[&long], at);
    }
    let before = ring.bytes.capacity();
    ring.frames(long.as_bytes(), &[100], true, (at, SHARE / 8));
    assert!(ring.size() <= SHARE / 8);
    assert!(
        ring.bytes.capacity() <= before / 4,
        "{}",
        ring.bytes.capacity()
    );
}
