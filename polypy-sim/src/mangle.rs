//! What faults make of a frame's text. Every function takes a text the exchange
//! itself rendered; one it cannot read it gives back as it was.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// Changes the entries of a `price_change`, or gives the text back.
fn with_entries(text: &str, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    if let Some(Value::Array(entries)) = frame.get_mut("price_changes") {
        change(entries);
    }
    frame.to_string()
}

/// The same entries in the opposite order, as repeats come.
pub(crate) fn reversed(text: &str) -> String {
    with_entries(text, |entries| entries.reverse())
}

/// Without the entries of these assets; `None` when no entry is left.
pub(crate) fn without_assets(text: &str, gone: impl Fn(&str) -> bool) -> Option<String> {
    let mut left = 0;
    let text = with_entries(text, |entries| {
        entries.retain(|entry| !entry["asset_id"].as_str().is_some_and(&gone));
        left = entries.len();
    });
    (left > 0).then_some(text)
}

/// With empty tops.
pub(crate) fn empty_tops(text: &str) -> String {
    with_entries(text, |entries| {
        for entry in entries {
            entry["best_bid"] = json!("");
            entry["best_ask"] = json!("");
        }
    })
}

/// Without tops and hashes.
pub(crate) fn missing_tops(text: &str) -> String {
    with_entries(text, |entries| {
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            for key in ["best_bid", "best_ask", "hash"] {
                entry.shift_remove(key);
            }
        }
    })
}

/// With other hashes, where `other` has one for an asset's hash. Takes events,
/// arrays of them and the entries of a `price_change`.
pub(crate) fn with_hashes(
    text: &str,
    mut other: impl FnMut(&str, &str) -> Option<String>,
) -> Option<String> {
    let mut changed = false;
    let text = with_states(text, |state| {
        let asset = state.get("asset_id").and_then(Value::as_str);
        let hash = state.get("hash").and_then(Value::as_str);
        if let Some(hash) = asset.zip(hash).and_then(|(asset, hash)| other(asset, hash)) {
            state.insert("hash".to_owned(), hash.into());
            changed = true;
        }
    });
    text.filter(|_| changed)
}

/// Without these fields, where `hit` says so of an asset.
pub(crate) fn without_fields(
    text: &str,
    fields: &str,
    mut hit: impl FnMut(&str) -> bool,
) -> Option<String> {
    with_states(text, |state| {
        let asset = state.get("asset_id").and_then(Value::as_str);
        if asset.is_some_and(&mut hit) {
            for field in fields.split(',') {
                state.shift_remove(field.trim());
            }
        }
    })
}

/// Changes whatever in a frame states something of one asset.
fn with_states(text: &str, mut change: impl FnMut(&mut Map<String, Value>)) -> Option<String> {
    with_events(text, |event| match event.get_mut("price_changes") {
        Some(Value::Array(entries)) => entries
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(&mut change),
        _ => change(event),
    })
}

/// Changes the events of a frame.
fn with_events(text: &str, change: impl FnMut(&mut Map<String, Value>)) -> Option<String> {
    let mut frame: Value = serde_json::from_str(text).ok()?;
    let array = frame.is_array();
    let events = match &mut frame {
        Value::Array(events) => events.as_mut_slice(),
        event => std::slice::from_mut(event),
    };
    events
        .iter_mut()
        .filter_map(Value::as_object_mut)
        .for_each(change);
    // Opening arrays end in a line feed.
    let end = if array { "\n" } else { "" };
    Some(format!("{frame}{end}"))
}

/// At another time, so many milliseconds later (earlier if below 0), and without the hashes,
/// which would be of the time that it had.
pub(crate) fn shifted(text: &str, by: i64) -> Option<String> {
    with_events(text, |event| {
        if let Some(stamp) = event.get_mut("timestamp") {
            shift_stamp(stamp, by);
        }
        event.shift_remove("hash");
        if let Some(Value::Array(entries)) = event.get_mut("price_changes") {
            for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
                entry.shift_remove("hash");
            }
        }
    })
}

/// A time as the venue writes it, and as some recordings have it: digits, or a number.
fn shift_stamp(stamp: &mut Value, by: i64) {
    let shifted = |millis: u64| millis.saturating_add_signed(by);
    match stamp {
        Value::String(text) => {
            if let Ok(millis) = text.parse() {
                *text = shifted(millis).to_string();
            }
        }
        Value::Number(number) => {
            if let Some(millis) = number.as_u64() {
                *number = shifted(millis).into();
            }
        }
        _ => {}
    }
}

/// A hash of no state: every digit another, and the same for the same hash.
pub(crate) fn wrong_hash(hash: &str) -> String {
    let digit = |c: char| {
        c.to_digit(16)
            .and_then(|digit| char::from_digit(15 - digit, 16))
    };
    hash.chars().map(|c| digit(c).unwrap_or(c)).collect()
}

/// A `price_change` that still names its market, while its tokens cannot be read:
/// the list of changes is not one, or the ids in it are nobody's.
pub(crate) fn unreadable(text: &str, shape: &str) -> String {
    let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    let Some(event) = frame.as_object_mut() else {
        return text.to_owned();
    };
    let Some(changes) = event.get_mut("price_changes") else {
        return text.to_owned();
    };
    match shape {
        "object" => {
            let numbered = changes.as_array().into_iter().flatten().enumerate();
            *changes = numbered
                .map(|(at, entry)| (at.to_string(), entry.clone()))
                .collect();
        }
        "null" => *changes = Value::Null,
        "missing" => {
            event.shift_remove("price_changes");
        }
        "text" => *changes = json!(changes.to_string()),
        _ => {
            for entry in changes.as_array_mut().into_iter().flatten() {
                let id = entry["asset_id"].as_str().map(hexadecimal);
                match shape {
                    "null_id" => entry["asset_id"] = Value::Null,
                    "empty_id" => entry["asset_id"] = json!(""),
                    "hex_id" => entry["asset_id"] = json!(id),
                    _ => {
                        entry
                            .as_object_mut()
                            .map(|entry| entry.shift_remove("asset_id"));
                    }
                }
            }
        }
    }
    frame.to_string()
}

/// A token's id in the other notation that block explorers show.
fn hexadecimal(decimal: &str) -> String {
    // Base 65,536, the least digit first.
    let mut digits = vec![0_u32];
    for figure in decimal.chars().filter_map(|c| c.to_digit(10)) {
        let mut carry = figure;
        for digit in &mut digits {
            let sum = *digit * 10 + carry;
            (*digit, carry) = (sum & 0xffff, sum >> 16);
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    let last = digits.pop().unwrap_or_default();
    let others = digits.iter().rev().map(|digit| format!("{digit:04x}"));
    std::iter::once(format!("0x{last:x}"))
        .chain(others)
        .collect()
}

/// With another `event_type`.
pub(crate) fn renamed(text: &str, event_type: &str) -> String {
    let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    if let Some(event) = frame.as_object_mut() {
        event.insert("event_type".to_owned(), event_type.into());
    }
    frame.to_string()
}

/// With blanks around everything JSON lets them stand around.
pub(crate) fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() * 5 / 4);
    spaced.push_str(" \n");
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        spaced.push(c);
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => spaced.push(' '),
            ':' if !quoted => spaced.push('\t'),
            '{' | '[' if !quoted => spaced.push_str("\r\n "),
            _ => {}
        }
    }
    spaced.push_str(" \n");
    spaced
}

/// An event nobody has heard of.
pub(crate) fn unknown_event(rng: &mut Rng) -> String {
    json!({
        "event_type": "liquidity_weather",
        "market": crate::catalogue::hex32(rng),
        "asset_id": "1",
        "nested": { "levels": [[1, 2.5], null], "text": "}]\"," },
    })
    .to_string()
}

/// A frame together with an event nobody has heard of, in one array.
pub(crate) fn beside_unknown(text: &str, rng: &mut Rng) -> String {
    let unknown = unknown_event(rng);
    let text = text.trim();
    match text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
    {
        Some("") => format!("[{unknown}]\n"),
        Some(inner) => format!("[{unknown},{inner}]\n"),
        None => format!("[{unknown},{text}]"),
    }
}

/// A text that is no JSON: a frame cut off, or another service's words.
pub(crate) fn garbage(text: &str, rng: &mut Rng) -> String {
    match rng.u32(0..3) {
        0 => {
            let cut = (0..=text.len() / 2)
                .rev()
                .find(|&at| text.is_char_boundary(at));
            text[..cut.unwrap_or(0)].to_owned() + "\u{fffd}"
        }
        1 => "<html><body>502 Bad Gateway</body></html>".to_owned(),
        _ => "{\"event_type\":\"book\",\"bids\":[{\"price\":}".to_owned(),
    }
}

/// One event of so many bytes.
pub(crate) fn giant(bytes: usize) -> String {
    let head = "{\"event_type\":\"liquidity_weather\",\"padding\":\"";
    let padding = bytes.saturating_sub(head.len() + 2);
    let mut text = String::with_capacity(bytes);
    text.push_str(head);
    text.extend(std::iter::repeat_n('x', padding));
    text.push_str("\"}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &str = r#"{"market":"0x1","price_changes":[{"asset_id":"1","price":"0.5","hash":"a","best_bid":"0.4","best_ask":"0.6"},{"asset_id":"2","price":"0.5","hash":"b","best_bid":"0.4","best_ask":"0.6"}],"timestamp":"1","event_type":"price_change"}"#;

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_change_keeps_the_rest_of_the_frame() {
        let entries = |text: &str| parse(text)["price_changes"].clone();
        assert_eq!(entries(&reversed(FRAME))[0]["asset_id"], "2");
        assert_eq!(reversed(&reversed(FRAME)), FRAME);
        assert_eq!(
            entries(&without_assets(FRAME, |id| id == "1").unwrap())[0]["asset_id"],
            "2"
        );
        assert_eq!(without_assets(FRAME, |_| true), None);
        assert_eq!(entries(&empty_tops(FRAME))[1]["best_ask"], "");
        assert_eq!(entries(&missing_tops(FRAME))[1].get("hash"), None);
        assert_eq!(parse(&spaced(FRAME)), parse(FRAME));
        assert!(spaced(FRAME).len() > FRAME.len());
    }

    #[test]
    fn hashes_and_fields_change_for_the_assets_meant() {
        let wrong = |asset: &str, hash: &str| (asset == "2").then(|| wrong_hash(hash));
        let text = with_hashes(FRAME, wrong).unwrap();
        assert_eq!(parse(&text)["price_changes"][1]["hash"], "4");
        assert_eq!(parse(&text)["price_changes"][0]["hash"], "a");
        assert_eq!(with_hashes(FRAME, |_, _| None), None);
        let opening = "[{\"asset_id\":\"2\",\"hash\":\"0f\"}]\n";
        assert_eq!(
            with_hashes(opening, wrong).unwrap(),
            "[{\"asset_id\":\"2\",\"hash\":\"f0\"}]\n"
        );
        let text = without_fields(FRAME, "hash, best_ask", |asset| asset == "1").unwrap();
        let frame = parse(&text);
        assert_eq!(frame["price_changes"][0].get("hash"), None);
        assert_eq!(frame["price_changes"][0]["best_bid"], "0.4");
        assert_eq!(frame["price_changes"][1]["hash"], "b");
    }

    #[test]
    fn an_unreadable_change_names_its_market_and_none_of_its_tokens() {
        for shape in ["null", "missing", "no_id", "null_id", "empty_id", "hex_id"] {
            let text = unreadable(FRAME, shape);
            assert_eq!(parse(&text)["market"], "0x1", "{shape}");
            assert!(!text.contains(r#""asset_id":"1""#), "{shape}: {text}");
        }
        let changes = |shape| parse(&unreadable(FRAME, shape))["price_changes"].clone();
        assert_eq!(changes("object")["1"]["asset_id"], "2");
        assert_eq!(
            parse(changes("text").as_str().unwrap()),
            parse(FRAME)["price_changes"]
        );
        assert_eq!(changes("null"), Value::Null);
        assert_eq!(changes("hex_id")[1]["asset_id"], "0x2");
        for (decimal, hex) in [
            ("0", "0x0"),
            ("65536", "0x10000"),
            (
                "340282366920938463463374607431768211455",
                "0xffffffffffffffffffffffffffffffff",
            ),
        ] {
            assert_eq!(hexadecimal(decimal), hex);
        }
        assert_eq!(parse(&renamed(FRAME, "other"))["event_type"], "other");
        assert_eq!(renamed(&renamed(FRAME, "other"), "price_change"), FRAME);
    }

    #[test]
    fn noise_is_what_it_says() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..20 {
            assert!(serde_json::from_str::<Value>(&garbage(FRAME, &mut rng)).is_err());
        }
        assert_eq!(parse(&giant(5_000))["event_type"], "liquidity_weather");
        assert_eq!(giant(5_000).len(), 5_000);
        assert_eq!(parse(&beside_unknown(FRAME, &mut rng))[1], parse(FRAME));
        assert_eq!(
            parse(&beside_unknown("[1,2]\n", &mut rng))
                .as_array()
                .unwrap()
                .len(),
            3
        );
        assert_eq!(
            parse(&beside_unknown("[]\n", &mut rng))
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }
}
