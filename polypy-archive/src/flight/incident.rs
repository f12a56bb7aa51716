//! The file that is made of an incident.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::recording::{
    CatalogueEvent, Entry, Frame, Gap, GapScope, Mark, Recorded, RecordedBook, Sent, SocketEvent,
};
use polypy_core::{Asked, AssetId, AssetKey, MarketChange, Timestamp};

use super::copies::BookCopy;
use super::gaps::{Gaps, not_kept};
use super::lately::Lately;
use super::ring::{Carried, Frozen, KEPT_FOR, Said};
use super::{Described, FlightConfig};
use crate::audits::Audit;
use crate::disk::Disk;
use crate::folder::EXTENSION;
use crate::header::Header;
use crate::item::{self, What, control, is_json};
use crate::markets::event_of;
use crate::segment::{Finished, Segment, part_of};

/// What a thread takes at most from reading a frame to delivering it.
const DELIVERY: Duration = Duration::from_secs(2);
/// What the names of files begin with.
const NAME: &str = "incident-";
/// A chunk of the file ends once it has so many bytes.
const CHUNK: usize = 4 << 20;

/// All that a file is made of.
pub(super) struct Incident {
    pub(super) marks: Vec<(Instant, Mark)>,
    pub(super) sockets: Vec<SocketPart>,
    pub(super) copies: Vec<BookCopy>,
    /// Answers of the venue that contradicted a book.
    pub(super) answers: Vec<Audit>,
    /// Of tokens in it, as far as there was room.
    pub(super) markets: Vec<Described>,
    pub(super) lately: Lately,
    /// The clocks at one moment, the wall's in nanoseconds since the epoch.
    pub(super) clocks: (Instant, u64),
    pub(super) session: (String, String),
}

/// What one socket said.
pub(super) struct SocketPart {
    pub(super) number: u64,
    pub(super) connection: Arc<str>,
    /// The books among the copies that it carries.
    pub(super) copied: Vec<AssetKey>,
    pub(super) frozen: Frozen,
}

impl Incident {
    /// Writes the file, and removes the oldest where there are too many.
    pub(super) fn write(self, disk: &dyn Disk, config: &FlightConfig) -> io::Result<Finished> {
        disk.create_folder(&config.folder)?;
        // Where folders cannot be asked, nobody holds one.
        if disk.is_held(&config.folder).unwrap_or(false) {
            let why = "polypy replay plays what is in it, and these files would be among those";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        let (_, wall) = self.clocks;
        let (session, version) = self.session.clone();
        let name = format!("{NAME}{}-{session}.{EXTENSION}", compact(wall));
        let header = Header {
            session: name.clone(),
            number: 1,
            started: wall,
            version,
        };
        let path = config.folder.join(name);
        let created = Segment::create(disk, &path, &header);
        let mut segment = created.inspect_err(|_| drop(disk.remove(&part_of(&path))))?;
        let written: io::Result<()> = self.entries().into_iter().try_for_each(|recorded| {
            if !segment.write(&recorded) {
                segment.end_chunk()?;
                // Alone in a chunk only what is too long for any is left out.
                let _is_too_long = !segment.write(&recorded);
            }
            if segment.waiting() >= CHUNK {
                segment.end_chunk()?;
            }
            Ok(())
        });
        if let Err(error) = written {
            let left = segment.fail();
            // Nothing is to be repaired.
            drop(disk.remove(&left.path));
            return Err(error);
        }
        let finished = segment.finish(disk).map_err(|(error, left)| {
            drop(disk.remove(&left.path));
            error
        })?;
        if let Err(error) = remove_oldest(disk, config) {
            let folder = config.folder.display();
            tracing::warn!(%error, %folder, "the flight recorder cannot remove its oldest files");
        }
        Ok(finished)
    }

    /// What the file says, in order. It is the order of what came, and of when books were
    /// copied: a frame that is in a copy had come before.
    fn entries(self) -> Vec<Recorded> {
        let (now, wall) = self.clocks;
        let at = |moment: Instant| {
            let ago = now.saturating_duration_since(moment).as_nanos();
            wall.saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX))
        };
        // From when on a copy of a book has all that is missing in front of some socket.
        let mut whole_from: HashMap<AssetKey, Instant> = HashMap::new();
        for socket in &self.sockets {
            if let Some(lacks) = socket.frozen.lacks_before {
                let lacks = socket.frozen.begins().unwrap_or(lacks).max(lacks) + DELIVERY;
                for key in &socket.copied {
                    let from = whole_from.entry(*key).or_insert(lacks);
                    *from = lacks.max(*from);
                }
            }
        }
        let is_whole = |copy: &BookCopy| {
            let from = whole_from.get(&copy.checkpoint.whole.info.key);
            from.is_none_or(|from| copy.applied_before >= *from)
        };
        let (whole, early): (Vec<_>, Vec<_>) = self.copies.into_iter().partition(is_whole);
        let moments = self
            .sockets
            .iter()
            .filter_map(|socket| socket.frozen.begins());
        let copied = whole.iter().chain(&early).map(|copy| copy.at);
        // A book that has not changed for long was copied long ago.
        let copied = copied.filter(|at| now.saturating_duration_since(*at) <= KEPT_FOR);
        let began = moments.chain(copied).min().unwrap_or(now);

        let mut beginning = Vec::new();
        let mut timeline: Vec<(Instant, Happened)> = Vec::new();
        let book = |copy: &BookCopy| {
            let received = at(copy.checkpoint.whole.received);
            Entry::Checkpoint(Box::new(RecordedBook::of(&copy.checkpoint, received)))
        };
        let known: HashSet<_> = whole
            .iter()
            .map(|copy| copy.checkpoint.whole.info.asset_id.clone())
            .collect();
        let described = self.markets.iter().flat_map(|found| &found.market.tokens);
        let mut unknown: HashSet<_> = described.map(|token| token.token_id.clone()).collect();
        unknown.retain(|token| !known.contains(token));
        let mut missing = Gaps::default();
        let (mut gaps, mut lost) = (Vec::new(), HashMap::new());
        for socket in self.sockets {
            let (number, connection) = (socket.number, socket.connection);
            let Frozen {
                before,
                first,
                lacks_before,
                ..
            } = &socket.frozen;
            if let Some(lacks) = *lacks_before {
                let to = socket.frozen.begins().unwrap_or(lacks);
                let gap = not_kept((number, &connection), at(to), at(now));
                for token in before
                    .tokens
                    .keys()
                    .filter(|token| unknown.contains(*token))
                {
                    // Until its next book comes.
                    lost.entry(token.clone()).or_insert_with(|| Gap {
                        scope: GapScope::Token,
                        token_id: Some(token.clone()),
                        to_ts: None,
                        ..gap.clone()
                    });
                }
                gaps.push(gap);
                beginning.extend(open(number, &connection, *first, before));
                missing.begin((number, &connection), before, &unknown, at(began));
            }
            let mut latest = began;
            for (moment, said) in socket.frozen.into_said() {
                latest = latest.max(moment);
                let connection = Arc::clone(&connection);
                timeline.push((latest, Happened::Said(number, connection, said)));
            }
        }
        let ending = self.lately.ending;
        let (ended, suspended) = self.lately.into_parts();
        let ended_here = ended
            .iter()
            .map(|(_, change)| change.market().condition_id.clone());
        let ended_here: HashSet<_> = ended_here.collect();
        for found in &self.markets {
            let market = &found.market;
            beginning.push(Entry::Catalogue(CatalogueEvent::Followed {
                market: Box::new((&**market).into()),
            }));
            if !found.is_over || ended_here.contains(&market.condition_id) {
                let lost = |token: &AssetId| lost.get(token).cloned();
                gaps.extend(missing.follow(market, lost, at(began)));
            }
        }
        // Behind them nothing that they lack is said.
        beginning.extend(early.iter().map(&book));
        beginning.extend(gaps.into_iter().map(Entry::Gap));
        let entry = |moment, entry| (moment, Happened::Noted(entry));
        timeline.extend(whole.iter().map(|copy| entry(copy.at, book(copy))));
        timeline.extend(self.answers.into_iter().map(|audit| {
            let mut answer = audit.answer;
            answer.requested = at(audit.requested);
            entry(audit.received, Entry::Answer(answer))
        }));
        let marks = self.marks.into_iter();
        timeline.extend(marks.map(|(moment, mark)| entry(moment, Entry::Mark(mark))));
        let suspended = suspended.into_iter();
        timeline.extend(suspended.map(|moment| entry(moment, Entry::Mark(item::suspended()))));
        let ended = ended.into_iter();
        timeline.extend(ended.map(|(moment, change)| (moment, Happened::Ended(change))));
        timeline.extend(ending.map(|moment| (moment, Happened::Ending)));
        for (moment, _) in &mut timeline {
            *moment = began.max(*moment);
        }
        // Those of one socket keep their order.
        timeline.sort_by_key(|(moment, _)| *moment);
        let beginning = beginning.into_iter().map(|entry| Recorded {
            at: at(began),
            entry,
        });
        let mut told: Vec<_> = beginning.collect();
        for (moment, happened) in timeline {
            let at = at(moment) + happened.place();
            let entries = happened.entries(&mut missing, at).into_iter();
            told.extend(entries.map(|entry| Recorded { at, entry }));
        }
        told
    }
}

/// Something that is told in its place.
enum Happened {
    /// By a socket, or to it.
    Said(u64, Arc<str>, Said),
    /// Of a market.
    Ended(MarketChange),
    /// The program ends: that sockets close from here on is no loss.
    Ending,
    /// What stands there as it is.
    Noted(Entry),
}

impl Happened {
    /// How many nanoseconds after its group it stands.
    fn place(&self) -> u64 {
        match self {
            Self::Said(_, _, Said::Frame { place, .. }) => (*place).into(),
            Self::Said(..) | Self::Ended(_) | Self::Ending | Self::Noted(_) => 0,
        }
    }

    /// What the file has of it, and what is missing from here on, or is no more.
    fn entries(self, missing: &mut Gaps, at: u64) -> Vec<Entry> {
        let (mut entries, gaps) = match self {
            Self::Said(socket, connection, said) => {
                let gaps = missing.said((socket, &connection), &said, at);
                (said_entries(socket, &connection, said), gaps)
            }
            Self::Ended(change) => {
                let gaps = missing.end(change.market(), at);
                (vec![Entry::Catalogue(event_of(&change))], gaps)
            }
            Self::Ending => {
                missing.ending();
                Default::default()
            }
            Self::Noted(entry) => (vec![entry], Vec::new()),
        };
        entries.extend(gaps.into_iter().map(Entry::Gap));
        entries
    }
}

/// How a socket was at the beginning.
fn open(socket: u64, connection: &str, next_sequence: u32, before: &Carried) -> Vec<Entry> {
    let tokens: Vec<_> = before.tokens.keys().cloned().collect();
    let kept = before.tokens.iter().filter(|(_, has_book)| **has_book);
    let kept: Vec<AssetId> = kept.map(|(token, _)| token.clone()).collect();
    let mut events = vec![SocketEvent::Open {
        socket,
        connection: connection.into(),
        next_sequence,
        feed_id: before.feed.map(|feed| feed.0),
    }];
    if !tokens.is_empty() {
        events.push(SocketEvent::Carries { socket, tokens });
    }
    if !kept.is_empty() {
        events.push(SocketEvent::FirstBooks {
            socket,
            tokens: kept,
            origin: "earlier".into(),
        });
    }
    events.into_iter().map(Entry::Socket).collect()
}

/// What something that a socket said is in a file.
fn said_entries(socket: u64, connection: &str, said: Said) -> Vec<Entry> {
    match said {
        Said::Frame {
            sequence,
            bytes,
            is_text,
            ..
        } => {
            let entry = if is_text && is_json(&bytes) {
                Entry::Frame(Frame {
                    socket,
                    connection: connection.into(),
                    sequence,
                    bytes: bytes.into(),
                })
            } else {
                Entry::Control(control(socket, sequence, &bytes, is_text))
            };
            vec![entry]
        }
        Said::Other(what) => other_entries(socket, connection, &what),
    }
}

fn other_entries(socket: u64, connection: &str, what: &What) -> Vec<Entry> {
    match what {
        What::Opened { is_replacement, .. } => vec![Entry::Socket(SocketEvent::Opened {
            socket,
            connection: connection.into(),
            is_replacement: *is_replacement,
        })],
        What::Sent(sent) => {
            let tokens = sent.tokens.to_vec();
            let carries = (sent.asked == Asked::Subscribe).then(|| {
                let tokens = tokens.clone();
                Entry::Socket(SocketEvent::Carries { socket, tokens })
            });
            let sent = Entry::Sent(Sent {
                socket,
                asked: sent.asked.name().into(),
                reason: sent.asked.reason().map(Into::into),
                tokens,
                text: sent.text.clone(),
            });
            carries.into_iter().chain([sent]).collect()
        }
        What::FirstBooks(tokens, origin) => vec![Entry::Socket(SocketEvent::FirstBooks {
            socket,
            tokens: tokens.to_vec(),
            origin: origin.name().into(),
        })],
        What::Delivers(feed) => vec![Entry::Socket(SocketEvent::Delivers {
            socket,
            feed_id: feed.0,
        })],
        What::Closed(reason, owner) => vec![Entry::Socket(SocketEvent::Closed {
            socket,
            reason: reason.clone(),
            owner: *owner,
        })],
        What::Frames(_) | What::Answer(_) | What::Market(_) | What::Mark(_) | What::Lost(_) => {
            Vec::new()
        }
    }
}

/// Leaves the youngest files, by their names.
fn remove_oldest(disk: &dyn Disk, config: &FlightConfig) -> io::Result<()> {
    let files = disk.list(&config.folder)?.into_iter();
    let mut names: Vec<_> = files
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(NAME))
        .collect();
    names.sort();
    let most = config.most_kept.max(1);
    for name in names.iter().rev().skip(most) {
        match disk.remove(&config.folder.join(name)) {
            // Another process keeps the folder in order, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// A moment as names have it, to the millisecond.
fn compact(wall: u64) -> String {
    let text = Timestamp::from_millis(wall / 1_000_000).to_string();
    text.chars()
        .filter(|letter| !matches!(letter, '-' | ':'))
        .collect()
}
