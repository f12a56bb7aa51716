//! Frame bytes to events.
use polypy_core::{AssetKey, Interner, LifecycleEvent, MarketEvent};
/// What one or more frames decoded to; reused from read to read.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Changes to books, in wire order.
    pub events: Vec<MarketEvent>,
    /// Changes to the catalogue.
    pub lifecycle: Vec<LifecycleEvent>,
    /// Known assets of which an event could not be decoded.
    pub undecodable: Vec<AssetKey>,
}
/// What a frame was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// JSON with events (or `[]`).
    Data,
    /// `PONG`
    Pong,
    /// `INVALID OPERATION`
    InvalidOperation,
    /// Other plain text.
    Control,
    /// Not decodable as a whole.
    Garbage,
}
/// Counters shared by all decoders.
#[derive(Debug, Default)]
pub struct WireStats {}
/// Decodes one frame, appending to `out`. Never fails as a whole.
pub fn decode(_frame: &[u8], _assets: &Interner, _stats: &WireStats, _out: &mut Decoded) -> Frame {
    Frame::Data
}
