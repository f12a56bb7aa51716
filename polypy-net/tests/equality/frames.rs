//! Frames like the venue's, and what can become of them.

use fastrand::Rng;

use crate::compare::MARKETS;

/// An object's fields: key, and value as JSON.
type Fields = Vec<(&'static str, String)>;

/// A frame. Most are as the venue writes them; the others differ in order,
/// white space, fields or values.
pub(crate) fn frame(rng: &mut Rng) -> Vec<u8> {
    let style = Style {
        shuffled: rng.u8(..5) == 0,
        spaced: rng.u8(..5) == 0,
        odd: rng.u8(..4) == 0,
    };
    let text = if rng.u8(..6) == 0 {
        let events: Vec<_> = (0..rng.usize(..4)).map(|_| event(rng, &style)).collect();
        array(rng, &style, &events)
    } else {
        event(rng, &style)
    };
    let text = if rng.u8(..20) == 0 {
        format!(
            "{}{text}{}",
            SPACES[rng.usize(..SPACES.len())],
            SPACES[rng.usize(..SPACES.len())]
        )
    } else {
        text
    };
    text.into_bytes()
}

struct Style {
    shuffled: bool,
    spaced: bool,
    odd: bool,
}

const SPACES: [&str; 8] = ["", " ", "\n", "\t", "\r\n", "  ", "\u{c}", "\u{a0}"];

fn space(rng: &mut Rng, style: &Style) -> &'static str {
    if style.spaced && rng.bool() {
        SPACES[rng.usize(..6)]
    } else {
        ""
    }
}

fn array(rng: &mut Rng, style: &Style, elements: &[String]) -> String {
    let mut text = "[".to_owned();
    for (at, element) in elements.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        text += space(rng, style);
        text += comma;
        text += space(rng, style);
        text += element;
    }
    text += space(rng, style);
    text + "]"
}

fn object(rng: &mut Rng, style: &Style, mut fields: Fields) -> String {
    // One of a frame's objects, or the others would hide what it comes to.
    if style.odd && rng.u8(..4) == 0 {
        let at = rng.usize(..fields.len());
        match rng.u8(..5) {
            0 => drop(fields.remove(at)),
            1 => fields.push(fields[at].clone()),
            2 => {
                let value = odd_value(rng);
                fields[at].1 = value;
            }
            3 => {
                let value = odd_value(rng);
                let key = UNKNOWN[rng.usize(..UNKNOWN.len())];
                fields.insert(at, (key, value));
            }
            _ => {}
        }
    }
    if style.shuffled {
        rng.shuffle(&mut fields);
    }
    let mut text = "{".to_owned();
    for (at, (key, value)) in fields.iter().enumerate() {
        if at > 0 {
            text += space(rng, style);
            text += ",";
        }
        let before = space(rng, style);
        let behind = space(rng, style);
        text += &format!("{before}\"{key}\"{behind}:{}{value}", space(rng, style));
    }
    text += space(rng, style);
    text + "}"
}

/// Some the general way reads in other events, some nobody reads.
const UNKNOWN: [&str; 10] = [
    "spread",
    "price",
    "version",
    "neg_risk",
    "min_order_size",
    "bids",
    "price_changes",
    "condition_id",
    "event_typ\\u0065",
    "",
];

fn odd_value(rng: &mut Rng) -> String {
    const VALUES: [&str; 30] = [
        "null",
        "true",
        "\"true\"",
        "0",
        "0.5",
        "1e3",
        "-1",
        "\"\"",
        "\"0\"",
        "\"1\"",
        "\".5\"",
        "\"7.\"",
        "\"-1\"",
        "\"+1\"",
        "\"1.0000001\"",
        "\"0.5000000000\"",
        "\"0.0000001\"",
        "\"00000000000.5\"",
        "\"1234567890123456\"",
        "\"99999999999999999999\"",
        "\"v2\"",
        "\"a version far too long\"",
        "\"\\u0030.5\"",
        "\"0\\/5\"",
        "\"ü\"",
        "[]",
        "{}",
        "[{\"price\":\"0.5\",\"size\":\"1\"}]",
        "\"buy\"",
        "\"soon\"",
    ];
    VALUES[rng.usize(..VALUES.len())].to_owned()
}

fn string(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}

fn digits(rng: &mut Rng, length: usize) -> String {
    (0..length)
        .map(|_| char::from(b'0' + rng.u8(..10)))
        .collect()
}

fn price(rng: &mut Rng) -> String {
    match rng.u8(..20) {
        0 => "0".to_owned(),
        1 => "1".to_owned(),
        _ => {
            let length = rng.usize(1..7);
            format!("0.{}", digits(rng, length))
        }
    }
}

fn size(rng: &mut Rng) -> String {
    let length = rng.usize(1..10);
    let whole = digits(rng, length);
    match rng.u8(..3) {
        0 => whole,
        1 => format!("{whole}.{}", digits(rng, 2)),
        _ => {
            let length = rng.usize(1..8);
            format!("{whole}.{}", digits(rng, length))
        }
    }
}

fn hash(rng: &mut Rng) -> String {
    (0..40).map(|_| rng.digit(16)).collect()
}

fn side(rng: &mut Rng) -> &'static str {
    if rng.bool() { "BUY" } else { "SELL" }
}

fn timestamp(rng: &mut Rng) -> String {
    match rng.u8(..30) {
        0 => {
            let length = rng.usize(1..22);
            digits(rng, length)
        }
        _ => format!("17{}", digits(rng, 11)),
    }
}

fn market(rng: &mut Rng) -> (&'static str, [&'static str; 2]) {
    // The last one's ids are short, which real ones never are.
    let last = if rng.u8(..30) == 0 {
        MARKETS.len()
    } else {
        MARKETS.len() - 1
    };
    MARKETS[rng.usize(..last)]
}

fn event(rng: &mut Rng, style: &Style) -> String {
    let (market, tokens) = market(rng);
    let token = match rng.u8(..40) {
        0 => "99953460969144501144385266431497900786362265483971474370583776523710017709391",
        _ => tokens[rng.usize(..2)],
    };
    let mut fields: Fields = vec![("market", string(market))];
    match rng.u8(..10) {
        0 => book(rng, style, &mut fields, token),
        1 => fields.extend([
            ("asset_id", string(token)),
            ("price", string(price(rng))),
            ("size", string(size(rng))),
            ("fee_rate_bps", string("0")),
            ("side", string(side(rng))),
            ("timestamp", string(timestamp(rng))),
            ("event_type", string("last_trade_price")),
            (
                "transaction_hash",
                string(format!("0x{}{}", hash(rng), &hash(rng)[..24])),
            ),
        ]),
        2 => fields.extend([
            ("asset_id", string(token)),
            ("best_bid", string(price(rng))),
            ("best_ask", string(price(rng))),
            ("spread", string(price(rng))),
            ("timestamp", string(timestamp(rng))),
            ("event_type", string("best_bid_ask")),
        ]),
        3 => fields.extend([
            ("asset_id", string(token)),
            ("old_tick_size", string("0.01")),
            ("new_tick_size", string("0.001")),
            ("timestamp", string(timestamp(rng))),
            ("event_type", string("tick_size_change")),
        ]),
        4 if rng.u8(..4) == 0 => fields.extend([
            (
                "assets_ids",
                format!("[\"{}\",\"{}\"]", tokens[0], tokens[1]),
            ),
            ("winning_asset_id", string(token)),
            ("timestamp", string(timestamp(rng))),
            ("event_type", string("market_resolved")),
        ]),
        _ => {
            let many = if rng.u8(..50) == 0 { 40 } else { 5 };
            let entries: Vec<_> = (0..rng.usize(..many))
                .map(|at| {
                    let token = if rng.u8(..8) == 0 {
                        token
                    } else {
                        tokens[at % 2]
                    };
                    entry(rng, style, token)
                })
                .collect();
            let entries = array(rng, style, &entries);
            fields.extend([
                ("price_changes", entries),
                ("timestamp", string(timestamp(rng))),
                ("event_type", string("price_change")),
            ]);
        }
    }
    object(rng, style, fields)
}

fn entry(rng: &mut Rng, style: &Style, token: &str) -> String {
    let mut fields: Fields = vec![
        ("asset_id", string(token)),
        ("price", string(price(rng))),
        ("size", string(size(rng))),
        ("side", string(side(rng))),
        ("hash", string(hash(rng))),
        ("best_bid", string(price(rng))),
        ("best_ask", string(price(rng))),
    ];
    if rng.u8(..10) == 0 {
        fields.remove(4);
    }
    object(rng, style, fields)
}

fn book(rng: &mut Rng, style: &Style, fields: &mut Fields, token: &str) {
    let mut side = || {
        let levels: Vec<_> = (0..rng.usize(..6))
            .map(|_| {
                let level = vec![("price", string(price(rng))), ("size", string(size(rng)))];
                object(rng, style, level)
            })
            .collect();
        array(rng, style, &levels)
    };
    let (bids, asks) = (side(), side());
    fields.extend([
        ("asset_id", string(token)),
        ("timestamp", string(timestamp(rng))),
        ("hash", string(hash(rng))),
        ("bids", bids),
        ("asks", asks),
        ("event_type", string("book")),
    ]);
    if rng.bool() {
        let last = if rng.bool() {
            String::new()
        } else {
            price(rng)
        };
        fields.extend([
            ("tick_size", string("0.01")),
            ("last_trade_price", string(last)),
        ]);
    }
    if rng.u8(..5) == 0 {
        fields.push(("version", string("v2")));
    }
}

/// Pieces that mean something to a parser.
const PIECES: [&str; 26] = [
    "\"",
    "\\",
    "\\u",
    "\\\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "-",
    ".",
    "0",
    "1e9",
    " ",
    "\n",
    "ü",
    "\0",
    "\u{7f}",
    "\"asset_id\":",
    "\"event_type\":\"book\",",
    "\"price\"",
    "\",\"",
    "BUY",
    "\"x\":\"y\",",
];

/// Damages a frame in one place.
pub(crate) fn mutate(rng: &mut Rng, frame: &mut Vec<u8>) {
    let at = rng.usize(..=frame.len());
    let to = (at + rng.usize(..12)).min(frame.len());
    match rng.u8(..9) {
        0 => frame.truncate(at),
        1 => drop(frame.drain(at..to)),
        2 => {
            let again = frame[at..to].to_vec();
            frame.splice(at..at, again);
        }
        3 => drop(frame.splice(at..to, PIECES[rng.usize(..PIECES.len())].bytes())),
        4 => drop(frame.splice(at..at, PIECES[rng.usize(..PIECES.len())].bytes())),
        5 => {
            let other = self::frame(rng);
            let from = rng.usize(..other.len());
            frame.splice(at.., other[from..].iter().copied());
        }
        6 => {
            // Two neighbours change places.
            if at > 0 && at < frame.len() {
                frame.swap(at - 1, at);
            }
        }
        7 => {
            if let Some(byte) = frame.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        _ => {
            if let Some(byte) = frame.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
    }
}
