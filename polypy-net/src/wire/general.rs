//! The way that reads every frame, whatever its shape.
//!
//! Its result is the definition of what a frame means: a faster way for some
//! shapes goes before it, frame by frame, and has to agree with it.

use std::str::Utf8Error;
use std::sync::Arc;

use polypy_core::{AssetInfo, AssetKey, Interner};
use tracing::{debug, info};

use super::control::excerpt;
use super::elements::Elements;
use super::error::WireError;
use super::kind::EventKind;
use super::stats::WireStats;
use super::{Decoded, Frame, event, object, salvage, scalar};

/// Decodes a frame that begins with `{` or `[`.
pub(super) fn decode(text: &str, assets: &Interner, stats: &WireStats, out: &mut Decoded) -> Frame {
    let lost = out.undecodable.len();
    let kind = Decoder { assets, stats, out }.frame(text);
    if out.undecodable.len() > lost {
        keep_each_once(out);
    }
    kind
}

/// Counts a frame that is not even text.
pub(super) fn refuse_bytes(
    frame: &[u8],
    error: Utf8Error,
    assets: &Interner,
    stats: &WireStats,
    out: &mut Decoded,
) -> Frame {
    let text = String::from_utf8_lossy(frame);
    Decoder { assets, stats, out }.refuse(None, &WireError::Utf8(error), &text);
    keep_each_once(out);
    Frame::Garbage
}

fn keep_each_once(out: &mut Decoded) {
    out.undecodable.sort_unstable();
    out.undecodable.dedup();
}

/// One frame's decoding under way.
pub(super) struct Decoder<'a> {
    pub(super) assets: &'a Interner,
    pub(super) stats: &'a WireStats,
    pub(super) out: &'a mut Decoded,
}

impl<'a> Decoder<'a> {
    fn frame(&mut self, text: &str) -> Frame {
        let Some(elements) = Elements::of(text) else {
            return match self.event(text) {
                Ok(()) => Frame::Data,
                Err(NotJson) => Frame::Garbage,
            };
        };
        let mut kind = Frame::Data;
        for element in elements {
            match element {
                // A single event that is no JSON is one refused event of many.
                Ok(text) => self.event(text).unwrap_or_default(),
                Err(rest) => {
                    self.refuse(None, &WireError::BrokenArray, rest);
                    kind = Frame::Garbage;
                }
            }
        }
        kind
    }

    /// Decodes one event, or counts why not. Says only whether it was JSON.
    fn event(&mut self, text: &str) -> Result<(), NotJson> {
        let event = match object::parse::<object::Event<'_>>(text) {
            Ok(event) => event,
            Err(error) => {
                self.refuse(None, &error, text);
                return match error {
                    WireError::Json(_) => Err(NotJson),
                    _ => Ok(()),
                };
            }
        };
        match event::recognise(&event) {
            Ok(event::Type::Known(kind)) => {
                self.stats.count_event(kind);
                if let Err(error) = self.known_event(kind, &event) {
                    self.refuse(Some(kind), &error, text);
                }
            }
            Ok(event::Type::Unknown(name)) => {
                if self.stats.count_unknown_event(&name) {
                    info!(
                        name = excerpt(&name),
                        event = excerpt(text),
                        "first event of an unknown type"
                    );
                }
            }
            Err(error) => self.refuse(None, &error, text),
        }
        Ok(())
    }

    /// The asset an event names, `None` if it is not known.
    pub(super) fn asset(
        &mut self,
        asset_id: scalar::Value<'_>,
    ) -> Result<Option<&'a Arc<AssetInfo>>, WireError> {
        let id = scalar::required(asset_id, "asset_id")?;
        let info = self.assets.get(&id);
        if info.is_none() {
            self.stats.count_unknown_asset();
        }
        Ok(info)
    }

    /// Counts an error in an event.
    pub(super) fn error(&mut self, kind: EventKind, error: &WireError) {
        self.count_error(Some(kind), error);
    }

    fn count_error(&mut self, kind: Option<EventKind>, error: &WireError) {
        self.out.errors += 1;
        self.stats.count_error(kind, error);
        debug!(
            event = kind.map(EventKind::name),
            %error,
            "could not be read"
        );
    }

    /// Counts an event, or what may have been one (`None`), that could not be
    /// decoded, and names the assets whose books may lack it.
    fn refuse(&mut self, kind: Option<EventKind>, error: &WireError, text: &str) {
        self.count_error(kind, error);
        debug!(text = excerpt(text), "event refused");
        let Some(kind) = kind else {
            self.lose_named(text);
            return;
        };
        match kind {
            EventKind::Book | EventKind::TickSizeChange => {
                let assets = self.assets;
                for info in salvage::named_assets(text, assets) {
                    self.lose(info.key);
                }
            }
            EventKind::PriceChange => self.lose_named(text),
            // They say something about a book and change none of its levels.
            EventKind::LastTradePrice
            | EventKind::BestBidAsk
            | EventKind::NewMarket
            | EventKind::MarketResolved => {}
        }
    }

    /// A change to this asset's book is lost.
    pub(super) fn lose(&mut self, asset: AssetKey) {
        self.out.undecodable.push(asset);
    }

    /// Changes to any asset that `text` names may be lost, and to the other
    /// token of its market, which the text may have been about to name.
    fn lose_named(&mut self, text: &str) {
        let assets = self.assets;
        for info in salvage::named_assets(text, assets) {
            self.lose(info.key);
            if let Some(complement) = info.complement {
                self.lose(complement);
            }
        }
    }
}

/// The text is not JSON; already counted.
struct NotJson;
