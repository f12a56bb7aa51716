//! A recording that is to be played: which markets it is about, found by reading it once.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use polypy_core::recording::{
    self, CatalogueEvent, Entry, Recorded, RecordingError, RecordingSource,
};
use polypy_core::{AssetId, ConditionId, Timestamp};

use crate::effects::{Effect, Event, Places, RecordedBook, Text, asset_id, events};
use crate::error::SimError;
use crate::lines::{LineError, Lines};

/// Subscriptions are bits of 32: more tokens than that no market has.
const MOST_TOKENS: usize = 32;

/// What is played, and of which markets.
pub(crate) struct Recording {
    pub(crate) source: Box<dyn RecordingSource>,
    pub(crate) places: Arc<Places>,
    pub(crate) markets: Vec<RecordedMarket>,
    /// The earliest time stamp of the events.
    pub(crate) start: Timestamp,
    /// Frames of sockets.
    pub(crate) frames: usize,
    /// Whether long pauses are passed over.
    pub(crate) jumps_pauses: bool,
}

/// A market of the recording.
#[derive(Debug)]
pub(crate) struct RecordedMarket {
    pub(crate) condition_id: ConditionId,
    /// As it was followed, if the recording says so.
    pub(crate) described: Option<Box<recording::RecordedMarket>>,
    /// All that it has, if that is known. Else those of which the recording holds a book; if
    /// of none, all that occur.
    pub(crate) tokens: Vec<AssetId>,
    /// The first book with a hash, to infer what the stream does not say.
    pub(crate) first_book: Option<(usize, Box<RecordedBook>)>,
}

impl Recording {
    /// Reads a file of lines.
    pub(crate) fn read(path: &Path) -> Result<Self, SimError> {
        let path = || path.to_owned();
        let lines = Lines::open(&path()).map_err(|source| SimError::Recording {
            path: path(),
            source,
        })?;
        let recording = Self::of(Box::new(lines)).map_err(|error| {
            let path = path();
            let reason = match error.into_inner().downcast::<LineError>() {
                Ok(error) => {
                    let LineError { line, reason } = *error;
                    return SimError::RecordingLine { path, line, reason };
                }
                Err(reason) => reason,
            };
            let source = match reason.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(reason) => io::Error::other(reason),
            };
            SimError::Recording { path, source }
        })?;
        recording.ok_or_else(|| SimError::EmptyRecording { path: path() })
    }

    /// Reads what comes from somewhere else; `None`: it names no token.
    pub(crate) fn of(mut source: Box<dyn RecordingSource>) -> Result<Option<Self>, RecordingError> {
        let mut index = Index::default();
        let mut entries = Vec::new();
        source.rewind()?;
        loop {
            let goes_on = source.read(&mut entries)?;
            entries.drain(..).for_each(|entry| index.note(&entry));
            if !goes_on {
                break;
            }
        }
        source.rewind()?;
        Ok(index.recording(source))
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("markets", &self.markets.len())
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

/// Markets and tokens in the order in which they came.
#[derive(Debug, Default)]
struct Named {
    tokens: Vec<(ConditionId, AssetId)>,
    known: HashSet<String>,
}

impl Named {
    fn note(&mut self, event: &Event<'_>, id: &Text<'_>) {
        let Some(text) = id.as_str().filter(|text| !self.known.contains(*text)) else {
            return;
        };
        if let (Some(condition), Some(asset)) = (event.condition(), asset_id(id)) {
            self.known.insert(text.to_owned());
            self.tokens.push((condition, asset));
        }
    }

    fn note_ids(&mut self, condition: &ConditionId, asset: &AssetId) {
        if self.known.insert(asset.to_string()) {
            self.tokens.push((condition.clone(), asset.clone()));
        }
    }
}

#[derive(Debug, Default)]
struct Index {
    /// Of which there is a book.
    booked: Named,
    /// All that change.
    changed: Named,
    /// All that are announced or resolved.
    announced: Named,
    /// The first book with a hash of each market, and its token.
    first_books: HashMap<String, (String, Box<RecordedBook>)>,
    /// Markets as they were followed.
    catalogue: HashMap<String, Box<recording::RecordedMarket>>,
    earliest: Option<Timestamp>,
    frames: usize,
}

impl Index {
    fn note(&mut self, entry: &Recorded) {
        let bytes = match &entry.entry {
            Entry::Frame(frame) => {
                self.frames += 1;
                &*frame.bytes
            }
            Entry::Answer(answer) => answer.body.as_bytes(),
            Entry::Checkpoint(book) if book.is_live() => {
                self.note_checkpoint(book);
                return;
            }
            Entry::Catalogue(
                CatalogueEvent::New { market } | CatalogueEvent::Followed { market },
            ) => {
                let id = market.condition_id.to_string();
                self.catalogue.insert(id, market.clone());
                return;
            }
            _ => return,
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        for event in events(text) {
            if event.bids.is_some() {
                self.booked.note(&event, &event.asset_id);
                self.note_book(&event);
            } else {
                self.changed.note(&event, &event.asset_id);
            }
            for entry in &event.price_changes {
                self.changed.note(&event, &entry.asset_id);
            }
            for id in &event.assets_ids {
                self.announced.note(&event, id);
            }
            let stamps = self.earliest.into_iter().chain(event.stamp());
            self.earliest = stamps.min();
        }
    }

    fn note_checkpoint(&mut self, book: &recording::RecordedBook) {
        self.booked.note_ids(&book.condition_id, &book.token_id);
        let market = book.condition_id.as_str();
        let found = RecordedBook::from(book);
        self.earliest = self.earliest.into_iter().chain([found.stamp]).min();
        if !self.first_books.contains_key(market) && found.hash.is_some() {
            let first = (book.token_id.to_string(), Box::new(found));
            self.first_books.insert(market.to_owned(), first);
        }
    }

    fn note_book(&mut self, event: &Event<'_>) {
        let (Some(market), Some(asset)) = (event.market.as_str(), event.asset_id.as_str()) else {
            return;
        };
        if !self.first_books.contains_key(market)
            && let Some(book) = event.book().filter(|book| book.hash.is_some())
        {
            let first = (asset.to_owned(), Box::new(book));
            self.first_books.insert(market.to_owned(), first);
        }
    }

    /// Where a market stands among those that are listed: behind the first of its event.
    fn rank(&self, firsts: &mut HashMap<String, usize>, condition: &ConditionId) -> usize {
        let described = self.catalogue.get(condition.as_str());
        let event = described.and_then(|market| market.event.as_ref());
        let name = event.map_or(condition.as_str(), |event| &event.slug);
        let next = firsts.len();
        *firsts.entry(name.to_owned()).or_insert(next)
    }

    fn recording(mut self, source: Box<dyn RecordingSource>) -> Option<Recording> {
        let mut markets: Vec<RecordedMarket> = Vec::new();
        let mut places = Places::default();
        let mut booked_tokens = std::mem::take(&mut self.booked.tokens);
        let mut firsts = HashMap::new();
        let has_catalogue = !self.catalogue.is_empty();
        booked_tokens.sort_by_cached_key(|(condition, _)| self.rank(&mut firsts, condition));
        let catalogue = &mut self.catalogue;
        let mut add = |condition: ConditionId, asset: AssetId, places: &mut Places| {
            let market = *places
                .by_condition
                .entry(condition.to_string())
                .or_insert_with(|| {
                    markets.push(RecordedMarket {
                        described: catalogue.remove(condition.as_str()),
                        condition_id: condition,
                        tokens: Vec::new(),
                        first_book: None,
                    });
                    markets.len() - 1
                });
            let RecordedMarket {
                described, tokens, ..
            } = &mut markets[market];
            let all = described.iter().flat_map(|market| &market.tokens);
            let all: Vec<_> = all.map(|token| token.token_id.clone()).collect();
            for asset in all.into_iter().chain([asset]) {
                let is_known = places.by_asset.contains_key(asset.as_str());
                if tokens.len() < MOST_TOKENS && !is_known {
                    let place = (market, tokens.len());
                    places.by_asset.insert(asset.to_string(), place);
                    tokens.push(asset);
                }
            }
        };
        // Tokens with a book first; those of the other markets afterwards.
        for (condition, asset) in booked_tokens {
            add(condition, asset, &mut places);
        }
        let booked: HashSet<String> = places.by_condition.keys().cloned().collect();
        for (condition, asset) in self.changed.tokens {
            // Where the recording has a catalogue, what is not in it was no market.
            if !booked.contains(condition.as_str()) && !has_catalogue {
                add(condition, asset, &mut places);
            }
        }
        if places.by_condition.is_empty() {
            // Announcements and resolutions name a market's assets all at once.
            for (condition, asset) in self.announced.tokens {
                add(condition, asset, &mut places);
            }
        }
        if markets.is_empty() {
            return None;
        }
        for market in &mut markets {
            let first = self.first_books.remove(market.condition_id.as_str());
            market.first_book = first.and_then(|(asset, book)| {
                let (_, outcome) = *places.by_asset.get(&asset)?;
                Some((outcome, book))
            });
        }
        Some(Recording {
            source,
            places: Arc::new(places),
            markets,
            start: self.earliest.unwrap_or_default(),
            frames: self.frames,
            jumps_pauses: false,
        })
    }
}

/// Tokens of a book that an effect brings whole.
pub(crate) fn booked(effect: &Effect) -> Option<(crate::effects::Place, Timestamp)> {
    match effect {
        Effect::Book(place, book) => Some((*place, book.stamp)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
