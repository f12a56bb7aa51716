//! The way that reads every frame, whatever its shape.
//!
//! Its result is the definition of what a frame means: a faster way for some
//! shapes goes before it, frame by frame, and has to agree with it.

use std::str::Utf8Error;
use std::sync::Arc;

use polypy_core::{AssetId, AssetInfo, AssetKey, Interner};
use tracing::{debug, info, warn};

use super::control::excerpt;
use super::elements::Elements;
use super::error::WireError;
use super::kind::EventKind;
use super::stats::WireStats;
use super::{Decoded, Frame, event, object, salvage, scalar};

/// Decodes a frame that begins with `{` or `[`.
pub(super) fn decode(text: &str, assets: &Interner, stats: &WireStats, out: &mut Decoded) -> Frame {
    let before = (out.undecodable.len(), out.unknown.len());
    let kind = Decoder { assets, stats, out }.frame(text);
    if (out.undecodable.len(), out.unknown.len()) != before {
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

/// Counts a frame that is text and more than a control text.
pub(super) fn refuse_text(
    text: &str,
    assets: &Interner,
    stats: &WireStats,
    out: &mut Decoded,
) -> Frame {
    Decoder { assets, stats, out }.refuse(None, &WireError::NotAnObject, text);
    keep_each_once(out);
    Frame::Garbage
}

fn keep_each_once(out: &mut Decoded) {
    for keys in [&mut out.undecodable, &mut out.unknown] {
        keys.sort_unstable();
        keys.dedup();
    }
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
                self.concerns_named(&name, text);
            }
            Err(error) => self.refuse(None, &error, text),
        }
        Ok(())
    }

    /// The asset an event names, `None` if it is not known. An id in another form
    /// than ours could be that of any asset.
    pub(super) fn asset(
        &mut self,
        asset_id: scalar::Value<'_>,
    ) -> Result<Option<&'a Arc<AssetInfo>>, WireError> {
        const FIELD: &str = "asset_id";
        let id = scalar::required(asset_id, FIELD)?;
        let info = self.assets.get(&id);
        if info.is_none() {
            AssetId::new(&id).map_err(|source| WireError::Id {
                field: FIELD,
                source,
            })?;
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
        let event = kind.map(EventKind::name);
        // The log names each cause once; the counters say how often.
        if self.stats.count_error(kind, error) {
            warn!(event, cause = error.name(), error = %error, "the venue sent what cannot be read");
        } else {
            debug!(event, cause = error.name(), error = %error, "could not be read");
        }
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
                let (assets, before) = (self.assets, self.out.undecodable.len());
                for info in salvage::named_assets(text, assets) {
                    self.lose(info.key);
                }
                if self.out.undecodable.len() == before {
                    self.lose_named(text);
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
        let named = named(text, self.assets);
        self.out.undecodable.extend(named);
    }

    /// An event of a type that nobody here knows is about what it names: it may
    /// have changed those books.
    fn concerns_named(&mut self, name: &str, text: &str) {
        let before = self.out.unknown.len();
        self.out.unknown.extend(named(text, self.assets));
        let is_about_known = self.out.unknown.len() > before;
        if is_about_known && let Some(counts) = self.stats.note_unknown_of_known(name) {
            warn!(
                name = excerpt(name),
                events = counts.unknown,
                known_changes = counts.known,
                "events of an unknown type outnumber the changes: has the venue renamed them?"
            );
        }
    }
}

/// The assets that a text names, with the other tokens of their markets, and those
/// of the markets that it names.
fn named<'a>(text: &'a str, assets: &'a Interner) -> impl Iterator<Item = AssetKey> + 'a {
    let with_complement = |info: &'a Arc<AssetInfo>| [Some(info.key), info.complement];
    salvage::named_assets(text, assets)
        .flat_map(with_complement)
        .flatten()
        .chain(salvage::assets_of_named_markets(text, assets).map(|info| info.key))
}

/// The text is not JSON; already counted.
struct NotJson;
