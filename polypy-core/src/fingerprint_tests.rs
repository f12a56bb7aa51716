use super::*;
use crate::id::{AssetId, ConditionId};
use crate::intern::Interner;
use crate::size::Size;

struct Vector {
    market: String,
    asset: String,
    timestamp: u64,
    bids: &'static [(&'static str, &'static str)],
    asks: &'static [(&'static str, &'static str)],
    min_order_size: &'static str,
    tick_size: &'static str,
    neg_risk: bool,
    last_trade_price: &'static str,
    hash: &'static str,
}

fn padded(digits: &str) -> String {
    format!("0x{digits:0>64}")
}

fn fingerprint(vector: &Vector, form: Form) -> Fingerprint {
    let asset_id = AssetId::new(&vector.asset).unwrap();
    let condition_id = ConditionId::new(&vector.market).unwrap();
    let info = Interner::default().insert(&asset_id.clone(), &condition_id.clone(), |key| {
        AssetInfo::new(key, asset_id, condition_id)
    });
    let side = |levels: &[(&str, &str)]| {
        levels
            .iter()
            .map(|(p, s)| Level::new(p.parse().unwrap(), s.parse().unwrap()))
            .collect()
    };
    let mut book = OrderBook::default();
    book.apply_snapshot(side(vector.bids), side(vector.asks));
    Fingerprint::new(
        &book,
        &Attributes {
            info: &info,
            timestamp: Timestamp::from_millis(vector.timestamp),
            tick_size: vector.tick_size,
            min_order_size: vector.min_order_size,
            neg_risk: vector.neg_risk,
            version: None,
            form,
        },
    )
}

fn vectors() -> Vec<Vector> {
    vec![
        Vector {
            market: padded("a1"),
            asset: format!("1{:0>76}", "11"),
            timestamp: 1_791_199_970_000,
            bids: &[("0.47", "250"), ("0.48", "100")],
            asks: &[("0.53", "300"), ("0.52", "120")],
            min_order_size: "5",
            tick_size: "0.01",
            neg_risk: false,
            last_trade_price: "0.500",
            hash: "b17e93a1f6202e13d8e0dd3aeb958b4a882dca3c",
        },
        Vector {
            market: padded("a1"),
            asset: format!("1{:0>76}", "12"),
            timestamp: 1_791_199_970_000,
            bids: &[("0.47", "300"), ("0.48", "120")],
            asks: &[("0.53", "250"), ("0.52", "100")],
            min_order_size: "5",
            tick_size: "0.01",
            neg_risk: false,
            last_trade_price: "0.500",
            hash: "84549e080ed1722e15d1891c5ee759b77760e125",
        },
        Vector {
            market: padded("c3"),
            asset: "42".into(),
            timestamp: 1_795_000_000_123,
            bids: &[("0.4925", "10.5"), ("0.495", "1200")],
            asks: &[("0.51", "33.33"), ("0.5", "7")],
            min_order_size: "5",
            tick_size: "0.0025",
            neg_risk: true,
            last_trade_price: "0.495",
            hash: "219f063631b6bb3247d6c7781af1793e47285069",
        },
        Vector {
            market: padded("c4"),
            asset: "43".into(),
            timestamp: 1_795_000_000_123,
            bids: &[],
            asks: &[],
            min_order_size: "5",
            tick_size: "0.001",
            neg_risk: false,
            last_trade_price: "",
            hash: "b6be02b60b141dc4b99531502b89215fde55dc93",
        },
    ]
}

#[test]
fn reproduces_the_published_vectors() {
    for vector in vectors() {
        let hash = fingerprint(&vector, Form::Ten).with_last_trade_price(vector.last_trade_price);
        assert_eq!(hash.to_string(), vector.hash);
        assert_eq!(BookHash::from_hex(vector.hash.as_bytes()), Some(hash));
    }
}

/// The official SDK's own test hashes a book whose asks ascend, so its text is
/// not a sorted book's; the same text in the venue's order is pinned instead.
#[test]
fn a_book_longer_than_the_buffer_hashes_like_one_text() {
    hashes_like_one_text(|tick| (format!("0.{tick:03}"), format!("{tick}.25")));
}

#[test]
fn the_longest_levels_are_hashed_whole() {
    let largest = Size::from_millionths(u64::MAX).to_string();
    hashes_like_one_text(|tick| (format!("0.{:06}", 500_000 + tick), largest.clone()));
}

fn hashes_like_one_text(level: impl Fn(u32) -> (String, String)) {
    let mut vector = vectors().remove(0);
    let levels: Vec<(String, String)> = (1..200).map(level).collect();
    let leaked: Vec<(&'static str, &'static str)> = levels
        .iter()
        .map(|(p, s)| (&*p.clone().leak(), &*s.clone().leak()))
        .collect();
    vector.bids = leaked.leak();
    let mut text = format!(
        "{{\"market\":\"{}\",\"asset_id\":\"{}\",\"timestamp\":\"{}\",\"hash\":\"\",\"bids\":[",
        vector.market, vector.asset, vector.timestamp
    );
    let level = |(p, s): &(&str, &str)| {
        format!(
            "{{\"price\":\"{}\",\"size\":\"{s}\"}}",
            p.trim_end_matches('0')
        )
    };
    text += &vector.bids.iter().map(level).collect::<Vec<_>>().join(",");
    text += "],\"asks\":[";
    text += &vector.asks.iter().map(level).collect::<Vec<_>>().join(",");
    text += "],\"min_order_size\":\"5\",\"tick_size\":\"0.01\",\"neg_risk\":false,\"last_trade_price\":\"0.500\"}";
    let expected = BookHash(Sha1::digest(text.as_bytes()).into());
    assert_eq!(
        fingerprint(&vector, Form::Ten).with_last_trade_price("0.500"),
        expected
    );
}

#[test]
fn the_price_is_the_only_thing_left_open() {
    let vector = vectors().remove(0);
    let fingerprint = fingerprint(&vector, Form::Ten);
    let matches = (0..=1_000)
        .filter(|price| {
            let text = format!("{}.{:03}", price / 1_000, price % 1_000);
            fingerprint.with_last_trade_price(&text).to_string() == vector.hash
        })
        .collect::<Vec<_>>();
    assert_eq!(matches, [500]);
}

#[test]
fn older_forms_differ_and_ignore_the_price() {
    let vector = vectors().remove(0);
    let nine = fingerprint(&vector, Form::Nine);
    assert_eq!(
        nine.with_last_trade_price("0.1"),
        nine.with_last_trade_price("0.2")
    );
    let six = fingerprint(&vector, Form::Six);
    assert_ne!(
        nine.with_last_trade_price(""),
        six.with_last_trade_price("")
    );
}

#[test]
fn a_hash_is_forty_hexadecimal_digits() {
    let digits = b"0123456789abcdefABCDEF00ff90af7e5a6b4c3d";
    let hash = BookHash::from_hex(digits).unwrap();
    assert_eq!(hash.to_string().as_bytes(), digits.to_ascii_lowercase());
    for at in 0..digits.len() {
        for byte in 0..=u8::MAX {
            let mut text = *digits;
            text[at] = byte;
            let hash = BookHash::from_hex(&text);
            assert_eq!(hash.is_some(), byte.is_ascii_hexdigit(), "{at} {byte}");
            if let Some(hash) = hash {
                assert_eq!(hash.to_string().as_bytes(), text.to_ascii_lowercase());
            }
        }
    }
    assert_eq!(BookHash::from_hex(&digits[1..]), None);
    assert_eq!(BookHash::from_hex(b""), None);
}

/// The text of the first vector's book, written out.
fn text(tail: &str) -> BookHash {
    let vector = vectors().remove(0);
    let text = format!(
        "{{\"market\":\"{}\",\"asset_id\":\"{}\",\"timestamp\":\"{}\",\"hash\":\"\",\
         \"bids\":[{{\"price\":\"0.47\",\"size\":\"250\"}},{{\"price\":\"0.48\",\"size\":\"100\"}}],\
         \"asks\":[{{\"price\":\"0.53\",\"size\":\"300\"}},{{\"price\":\"0.52\",\"size\":\"120\"}}]{tail}}}",
        vector.market, vector.asset, vector.timestamp
    );
    BookHash(Sha1::digest(text.as_bytes()).into())
}

#[test]
fn each_format_has_its_fields() {
    let vector = vectors().remove(0);
    let hash = |form| fingerprint(&vector, form).with_last_trade_price("0.5");
    let nine = ",\"min_order_size\":\"5\",\"tick_size\":\"0.01\",\"neg_risk\":false";
    assert_eq!(hash(Form::Six), text(""));
    assert_eq!(hash(Form::Nine), text(nine));
    let ten = format!("{nine},\"last_trade_price\":\"0.5\"");
    assert_eq!(hash(Form::Ten), text(&ten));
}

#[test]
fn an_attribute_longer_than_the_buffer_is_hashed_whole_and_a_version_stands_last() {
    let asset_id: AssetId = vectors()[0].asset.parse().unwrap();
    let condition_id: ConditionId = vectors()[0].market.parse().unwrap();
    let info = Interner::default().insert(&asset_id.clone(), &condition_id.clone(), |key| {
        AssetInfo::new(key, asset_id, condition_id)
    });
    let level = |(p, s): (&str, &str)| Level::new(p.parse().unwrap(), s.parse().unwrap());
    let vector = vectors().remove(0);
    let mut book = OrderBook::default();
    book.apply_snapshot(
        vector.bids.iter().copied().map(level).collect(),
        vector.asks.iter().copied().map(level).collect(),
    );
    // Around the buffer's length, and far beyond it.
    for length in [1_000, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 5] {
        let tick_size = "1".repeat(length);
        let fingerprint = Fingerprint::new(
            &book,
            &Attributes {
                info: &info,
                timestamp: Timestamp::from_millis(vector.timestamp),
                tick_size: &tick_size,
                min_order_size: "5",
                neg_risk: true,
                version: Some("v2"),
                form: Form::Ten,
            },
        );
        let tail = format!(
            ",\"min_order_size\":\"5\",\"tick_size\":\"{tick_size}\",\"neg_risk\":true,\
             \"last_trade_price\":\"0.5\",\"version\":\"v2\""
        );
        assert_eq!(
            fingerprint.with_last_trade_price("0.5"),
            text(&tail),
            "{length}"
        );
    }
}

#[test]
fn a_hash_is_shown_in_hexadecimal_and_known_by_its_first_bytes() {
    let digits = "0123456789abcdef00000000ff90af7e5a6b4c3d";
    let hash = BookHash::from_hex(digits.as_bytes()).unwrap();
    assert_eq!(format!("{hash:?}"), format!("BookHash({digits})"));
    assert_eq!(hash.prefix(), 0xefcd_ab89_6745_2301);
    assert_eq!(hash.as_bytes()[..3], [0x01, 0x23, 0x45]);
    let shown = format!("{:?}", fingerprint(&vectors()[0], Form::Nine));
    assert!(shown.contains("Nine"), "{shown}");
}
