//! One frame through both ways of decoding. The fuzz target and the randomised
//! test share it.

use polypy_core::{
    AssetId, AssetInfo, BestBidAsk, ConditionId, Interner, MarketEvent, Timestamp, Top,
};
use polypy_net::wire::{self, Decoded, WireSnapshot, WireStats};

/// The markets known in these frames, each with two tokens. All of a real id's
/// length or nearly so, but one.
pub(crate) const MARKETS: [(&str, [&str; 2]); 4] = [
    (
        "0x98e6e35c934b5281f28373b408a129825c6453918fb8bd9dfb8a991be2dd6841",
        [
            "28543399540889573521326455114444614843465304193358852739098843595402438285281",
            "64737144597035632498370333432882203102562861720967881889541302920852035334771",
        ],
    ),
    (
        "0x8bf1c1536ecb1c08fe13c6b71e8ab1f58bf3461c4cb79f5f1679f869a06aef81",
        [
            "111604417349377875799825956621596386269673370070912696668140891647145772186041",
            "3601505092112730624527706104469979726878026817244685606329154831896892049741",
        ],
    ),
    (
        "0x2a3278f486f9653e46a70fb43334acb73652f2e35b22f7b0bdb8e7dab467401",
        [
            // The same but for one digit, first or last.
            "57953460969144501144385266431497900786362265483971474370583776523710017709391",
            "67953460969144501144385266431497900786362265483971474370583776523710017709391",
        ],
    ),
    ("0xa1", ["11", "12"]),
];

/// Knows [`MARKETS`].
pub(crate) fn interner() -> Interner {
    let mut interner = Interner::default();
    for (market, tokens) in MARKETS {
        let condition: ConditionId = market.parse().expect("is a condition id");
        let keys = tokens.map(|token| {
            let asset: AssetId = token.parse().expect("is an asset id");
            let describe = |key| AssetInfo::new(key, asset.clone(), condition.clone());
            interner.insert(&asset, &condition, describe).key
        });
        for (key, complement) in [(keys[0], keys[1]), (keys[1], keys[0])] {
            let mut info = AssetInfo::clone(interner.info(key).expect("was inserted"));
            info.complement = Some(complement);
            interner.update(key, info).expect("was inserted");
        }
    }
    interner
}

/// What both ways agree that a frame is.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) events: Vec<MarketEvent>,
    pub(crate) stats: WireSnapshot,
}

/// Decodes a frame both ways.
///
/// # Panics
/// If they differ in anything but the count of the way, or if the fast way
/// reads what the general way finds an error in.
#[track_caller]
pub(crate) fn compare(frame: &[u8], assets: &Interner) -> Agreed {
    let [fast, general] = [wire::decode, wire::decode_generally].map(|decode| {
        let (stats, mut out) = (WireStats::default(), Decoded::default());
        // What is there already stays, whichever way gives up.
        out.events.push(before(assets));
        let kind = decode(frame, assets, &stats, &mut out);
        assert_eq!(out.events.remove(0), before(assets));
        (kind, out, stats.snapshot())
    });
    let text = || String::from_utf8_lossy(frame);
    let mut expected = general.2.clone();
    if fast.2.fast_frames > 0 {
        assert_eq!(general.1.errors, 0, "an error read over: {}", text());
        assert_eq!(general.2.unknown_events, 0, "{}", text());
        assert_eq!(general.2.unknown_assets, 0, "{}", text());
        expected.fast_frames = 1;
        expected.general_frames = 0;
    }
    assert_eq!(fast.0, general.0, "kind: {}", text());
    assert_eq!(fast.1.events, general.1.events, "{}", text());
    assert_eq!(fast.1.lifecycle, general.1.lifecycle, "{}", text());
    assert_eq!(fast.1.undecodable, general.1.undecodable, "{}", text());
    assert_eq!(fast.1.errors, general.1.errors, "{}", text());
    assert_eq!(fast.2, expected, "counts: {}", text());
    Agreed {
        events: fast.1.events,
        stats: fast.2,
    }
}

fn before(assets: &Interner) -> MarketEvent {
    MarketEvent::BestBidAsk(BestBidAsk {
        asset: assets.get(MARKETS[0].1[0]).expect("is known").key,
        timestamp: Timestamp::default(),
        best_bid: Top::Empty,
        best_ask: Top::Empty,
    })
}
