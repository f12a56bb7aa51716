//! Plain-text frames: whatever begins neither with `{` nor with `[`.
//!
//! They are counted by text and are never decode errors. One that holds a `{` is
//! no control text: an event may stand behind what cannot be read of it.

use tracing::info;

use super::Frame;
use super::stats::WireStats;

/// Recognises a control text.
pub(super) fn decode(text: &str, stats: &WireStats) -> Frame {
    let text = text.trim();
    let first = stats.count_control_text(text);
    match text {
        "PONG" => Frame::Pong,
        "INVALID OPERATION" => Frame::InvalidOperation,
        "NO NEW ASSETS" => Frame::NoNewAssets,
        "INVALID MESSAGE" => Frame::InvalidMessage,
        _ => {
            if first {
                info!(text = excerpt(text), "first control text of this kind");
            }
            Frame::Control
        }
    }
}

/// As much of the venue's text as a log line needs.
pub(super) fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}
