use super::*;

/// One message of each type, as the server's tests hold them.
const MESSAGES: &str = include_str!("../../../polypy-client/tests/data/messages.ndjson");

#[test]
fn frames_are_taken_off_one_by_one_whatever_their_length() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let payload = "x".repeat(length);
        let mut bytes = text(&payload);
        // As a server sends it: without the mask.
        let mask = bytes.len() - length - 4;
        bytes.drain(mask..mask + 4);
        bytes[1] &= 127;
        assert_eq!(first(&bytes[..bytes.len() - 1]), None);
        bytes.extend_from_slice(b"\x89\x01!");
        let frame = first(&bytes).unwrap();
        assert_eq!(frame.opcode, TEXT);
        assert_eq!(frame.payload, payload.as_bytes());
        let next = first(&bytes[frame.length..]).unwrap();
        assert_eq!((next.opcode, next.payload), (PING, &b"!"[..]));
    }
}

#[test]
fn messages_of_every_type_are_read_and_say_what_their_json_says() {
    let (mut deltas, mut snapshots) = (0, 0);
    for line in MESSAGES.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| json[name].as_u64().unwrap();
        let id = || token(json["token_id"].as_str().unwrap().as_bytes());
        let glance = glance(line.as_bytes()).unwrap();
        match json["type"].as_str().unwrap() {
            "delta" => {
                deltas += 1;
                let levels = json["changes"].as_array().unwrap();
                let sizes = levels.iter().map(|level| level[2].as_str().unwrap());
                let size = sizes.clone().find(|size| *size != "0");
                let expected = Glance::Delta {
                    token: id(),
                    epoch: number("epoch"),
                    previous: number("prev_sequence"),
                    sequence: number("sequence"),
                    changes: u64::try_from(levels.len()).unwrap(),
                    size: size.map(|size| millionths(size.as_bytes()).unwrap()),
                };
                assert_eq!(glance, expected);
            }
            "snapshot" => {
                snapshots += 1;
                let expected = Glance::Snapshot {
                    token: id(),
                    epoch: number("epoch"),
                    sequence: number("sequence"),
                    live: json["state"] == "live",
                };
                assert_eq!(glance, expected);
            }
            "state" => {
                let live = json["state"] == "live";
                assert_eq!(glance, Glance::State { token: id(), live });
            }
            "trade" => assert_eq!(glance, Glance::Trade { token: id() }),
            "ready" => assert_eq!(glance, Glance::Ready),
            "gap" => assert_eq!(glance, Glance::Gap),
            _ => assert_eq!(glance, Glance::Other),
        }
    }
    assert!(deltas > 0 && snapshots > 0);
    for cut in [r#""#, r#"{"type":"de"#, r#"{"type":"delta","token_id":"1"#] {
        assert_eq!(glance(cut.as_bytes()), None);
    }
}

#[test]
fn sizes_are_read_in_millionths() {
    assert_eq!(millionths(b"0"), Some(0));
    assert_eq!(millionths(b"17"), Some(17_000_000));
    assert_eq!(millionths(b"17.5"), Some(17_500_000));
    assert_eq!(millionths(b"3599.000001"), Some(3_599_000_001));
    assert_eq!(millionths(b"1.0000001"), None);
    assert_eq!(millionths(b"1.2.3"), None);
    let frame = br#"{"market":"0x1","price_changes":[{"price":"0.1","size":"0"},{"size":"2.5"}]}"#;
    assert_eq!(venue_size(frame), Some(2_500_000));
    assert_eq!(
        venue_size(br#"[{"market":"0x1","bids":[{"size":"3"}]}]"#),
        None
    );
}
