use std::io;

use parking_lot::Mutex;
use polypy_core::Timestamp;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_765_189_800_123)
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What both formats make of the events of `log`: text, then JSON.
fn lines(log: impl Fn()) -> (String, String) {
    let take = |captured: &Captured| String::from_utf8(captured.0.lock().clone()).unwrap();
    let captured = Captured::default();
    let layer = tracing_subscriber::fmt::layer().with_writer(captured.clone());
    let text = layer.event_format(Text::new(Arc::new(Noon), false));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(text), &log);
    let text = take(&captured);
    let captured = Captured::default();
    let layer = tracing_subscriber::fmt::layer().with_writer(captured.clone());
    let json = layer.event_format(Json::new(Arc::new(Noon)));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(json), &log);
    (text, take(&captured))
}

#[test]
fn fields_follow_the_message() {
    let (text, json) = lines(|| {
        tracing::info!(
            assets = 400,
            ratio = 0.5,
            name = "a b",
            open = true,
            "subscribed"
        );
    });
    assert_eq!(
        text,
        "10:30:00.123  INFO subscribed assets=400 ratio=0.5 name=\"a b\" open=true\n"
    );
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "timestamp": "2025-12-08T10:30:00.123Z",
            "level": "INFO",
            "target": module_path!(),
            "message": "subscribed",
            "assets": 400,
            "ratio": 0.5,
            "name": "a b",
            "open": true,
        })
    );
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let hostile = "\u{1b}[2J\r\n\"fake\u{7f}\u{9b}31m\u{202e}";
    let (text, json) = lines(|| {
        tracing::warn!(text = hostile, debug = ?hostile, display = %hostile, "{hostile}");
    });
    for line in [&text, &json] {
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        let control = |letter: char| is_unsafe(letter) && letter != '\n';
        assert!(!line.contains(control), "{line:?}");
    }
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["text"], hostile, "JSON gives the text back");
    assert_eq!(value["message"], hostile);
}

#[test]
fn a_value_can_be_read_back_whatever_is_in_it() {
    for (value, shown) in [
        ("word", "word"),
        (r"C:\new", r"C:\new"),
        ("", "\"\""),
        ("two words", "\"two words\""),
        (r"two \words", r#""two \\words""#),
        (r#"{"event_type":"book"}"#, r#"`{"event_type":"book"}`"#),
        (r#"no "x", is it "y"?"#, r#"`no "x", is it "y"?`"#),
        ("`", "\"`\""),
        (r#"a "b" `c` \"#, r#""a \"b\" `c` \\""#),
        ("a \"b\"\n", r#""a \"b\"\n""#),
        (r#"a \"b\" \n"#, r#"`a \"b\" \n`"#),
        ("a=b", "\"a=b\""),
    ] {
        let (text, json) = lines(|| tracing::info!(value, "x"));
        assert_eq!(text, format!("10:30:00.123  INFO x value={shown}\n"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["value"], value);
    }
}

#[test]
fn a_field_cannot_pass_for_the_frame_of_the_line() {
    let (_, json) = lines(|| tracing::info!(level = "FAKE", timestamp = 1, "real"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["level"], "INFO");
    assert_eq!(value["field_level"], "FAKE");
    assert_eq!(value["field_timestamp"], 1);
}

#[test]
fn numbers_that_json_lacks_become_text() {
    let (_, json) = lines(|| tracing::info!(rate = f64::NAN, "x"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["rate"], "NaN");
}

#[test]
fn numbers_have_three_decimals_at_most() {
    let (text, json) = lines(|| {
        tracing::info!(a = 13.126990999999999, b = 0.5, c = 7.0, d = -0.0001, "x");
    });
    assert_eq!(text, "10:30:00.123  INFO x a=13.127 b=0.5 c=7 d=0\n");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["a"], serde_json::json!(13.127));
}

#[test]
fn an_error_comes_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("could not connect")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::from(io::ErrorKind::ConnectionRefused));
    let (text, _) = lines(|| tracing::warn!(error = &error as &dyn std::error::Error, "x"));
    assert!(
        text.ends_with("error=\"could not connect: connection refused\"\n"),
        "{text}"
    );
}
