//! A recording to do things to.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use polypy_archive::testing::FaultyDisk;
use polypy_archive::{Disk, Header, Piece, Scanner, Segment};
use polypy_core::recording::{Control, Entry, Frame, Gap, Mark, Recorded, SocketEvent};
use polypy_core::{AssetId, Owner, recording::ClockStep};

/// The first moment of the recording, in nanoseconds since the epoch.
pub(crate) const BEGIN: u64 = 1_795_000_000_000_000_000;

/// Whether tests run at full length.
pub(crate) fn is_full() -> bool {
    std::env::var("POLYPY_SOAK").is_ok_and(|value| value == "full")
}

pub(crate) fn path() -> PathBuf {
    PathBuf::from("recording/00000001-20261118T110640Z.mcap")
}

pub(crate) fn part() -> PathBuf {
    PathBuf::from("recording/00000001-20261118T110640Z.mcap.part")
}

pub(crate) fn header() -> Header {
    Header {
        session: "a-session".into(),
        number: 1,
        started: BEGIN,
        version: "0.1.0".into(),
    }
}

pub(crate) fn token(rng: &mut Rng) -> AssetId {
    let digits: String = (0..77).map(|_| rng.digit(10)).collect();
    AssetId::new(&digits).expect("digits")
}

/// Entries of two sockets and of all other channels, with numbered frames of some size.
pub(crate) fn entries(count: usize) -> Vec<Recorded> {
    let mut rng = Rng::with_seed(11);
    let tokens: Vec<_> = (0..4).map(|_| token(&mut rng)).collect();
    let mut entries = Vec::new();
    let mut sequence = [0, 0];
    for at in 0..count {
        let socket = u64::from(rng.bool()) + 1;
        let entry = match at % 40 {
            0 => Entry::Socket(SocketEvent::Carries {
                socket,
                tokens: tokens.clone(),
            }),
            7 => Entry::Gap(Gap::of_recording(
                "disk_full",
                Owner::Us,
                (Some(5), None),
                6,
            )),
            13 => Entry::Clock(ClockStep { step: -20_000_000 }),
            19 => Entry::Mark(Mark {
                kind: "hash".into(),
                tokens: tokens[..1].to_vec(),
                text: "the levels do not give the hash".into(),
            }),
            23 => Entry::Control(Control {
                socket,
                sequence: next(&mut sequence, socket),
                text: Some("PONG".into()),
                binary: None,
            }),
            _ => Entry::Frame(Frame {
                socket,
                connection: format!("connection-{socket}").into(),
                sequence: next(&mut sequence, socket),
                bytes: frame(&mut rng, &tokens).into_bytes().into(),
            }),
        };
        entries.push(Recorded {
            at: BEGIN + at as u64 * 1_000_003,
            entry,
        });
    }
    entries
}

fn next(sequence: &mut [u32; 2], socket: u64) -> u32 {
    let next = &mut sequence[usize::from(socket == 2)];
    *next += 1;
    *next - 1
}

/// Reads like a change of the venue, with a random hash.
fn frame(rng: &mut Rng, tokens: &[AssetId]) -> String {
    let token = &tokens[rng.usize(..tokens.len())];
    let hash: String = (0..40).map(|_| rng.digit(16)).collect();
    format!(
        r#"{{"price_changes":[{{"asset_id":"{token}","price":"0.{}","size":"{}","hash":"{hash}"}}]}}"#,
        rng.u32(1..100),
        rng.u32(1..1_000),
    )
}

/// Writes these entries to a disk, ending a chunk after each so many of them.
pub(crate) fn write(
    disk: &dyn Disk,
    entries: &[Recorded],
    per_chunk: usize,
) -> std::io::Result<Segment> {
    let mut segment = Segment::create(disk, &path(), &header())?;
    for entries in entries.chunks(per_chunk) {
        for entry in entries {
            assert!(segment.write(entry));
        }
        segment.end_chunk()?;
    }
    Ok(segment)
}

/// The bytes of a finished file with these entries.
pub(crate) fn finished(entries: &[Recorded], per_chunk: usize) -> Vec<u8> {
    let disk = FaultyDisk::default();
    let segment = write(&disk, entries, per_chunk).expect("a disk that works");
    segment.finish(&disk).expect("a disk that works");
    disk.content(&path()).expect("the file is there")
}

/// All that can be said of a file.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) header: Option<Header>,
    pub(crate) entries: Vec<Recorded>,
    pub(crate) chunks: Vec<u64>,
    pub(crate) damaged: Vec<polypy_archive::Damaged>,
    pub(crate) torn: Option<polypy_archive::Torn>,
    pub(crate) is_finished: bool,
}

impl Read {
    /// Whether nothing is said to be wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.torn.is_none() && self.is_finished
    }
}

pub(crate) fn read(bytes: &[u8]) -> Read {
    let mut scanner = Scanner::new(Cursor::new(bytes)).expect("memory");
    let mut read = Read::default();
    while let Some(piece) = scanner.next_piece().expect("memory") {
        match piece {
            Piece::Header(header) => read.header = Some(header),
            Piece::Chunk(chunk) => {
                read.chunks.push(chunk.offset());
                let entries = chunk.entries().map(|entry| entry.expect("an entry"));
                read.entries.extend(entries);
            }
            Piece::Damaged(damaged) => read.damaged.push(damaged),
            Piece::Torn(torn) => read.torn = Some(torn),
            Piece::Finished => read.is_finished = true,
            _ => unreachable!("no other pieces"),
        }
    }
    read
}

/// The topic and the data with which an entry stands in a file.
pub(crate) fn data_of(recorded: &Recorded) -> (String, Vec<u8>) {
    let json = |topic: &str, value: serde_json::Result<Vec<u8>>| {
        (topic.to_owned(), value.expect("texts and numbers"))
    };
    match &recorded.entry {
        Entry::Frame(frame) => {
            let topic = format!("frames/{}/{}", frame.connection, frame.socket);
            (topic, frame.bytes.to_vec())
        }
        Entry::Control(control) => json("control", serde_json::to_vec(control)),
        Entry::Socket(event) => json("socket", serde_json::to_vec(event)),
        Entry::Sent(sent) => json("sent", serde_json::to_vec(sent)),
        Entry::Answer(answer) => json("rest", serde_json::to_vec(answer)),
        Entry::Gap(gap) => json("gap", serde_json::to_vec(gap)),
        Entry::Clock(step) => json("clock", serde_json::to_vec(step)),
        Entry::Mark(mark) => json("mark", serde_json::to_vec(mark)),
        Entry::Catalogue(event) => json("catalogue", serde_json::to_vec(event)),
        Entry::Checkpoint(book) => json("checkpoint", serde_json::to_vec(book)),
    }
}

/// Whether `some` come in `all` in their order, with others between them.
pub(crate) fn is_within(some: &[Recorded], all: &[Recorded]) -> bool {
    let mut all = all.iter();
    some.iter().all(|entry| all.any(|other| other == entry))
}

pub(crate) fn exists(disk: &FaultyDisk, path: &Path) -> bool {
    disk.content(path).is_some()
}

/// Messages that a reader of another language finds: from the row of a chunk, which stands at
/// the end of a file, to the index of each channel that it names, and from there to the message.
pub(crate) fn indexed(bytes: &[u8]) -> u64 {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let small = |number: u64| usize::try_from(number).expect("small");
    // The footer says where what stands behind the chunks begins.
    let mut at = small(number(bytes.len() - 28));
    let mut indexed = 0;
    while bytes[at] != 2 {
        if bytes[at] == 8 {
            let length = u32::from_le_bytes(bytes[at + 41..at + 45].try_into().expect("four"));
            let channels = &bytes[at + 45..][..small(length.into())];
            for named in channels.chunks(10) {
                let (channel, place) = named.split_at(2);
                let place = small(u64::from_le_bytes(place.try_into().expect("eight bytes")));
                assert_eq!((bytes[place], &bytes[place + 9..place + 11]), (7, channel));
                let places = &bytes[place + 11..place + 15];
                let places = u32::from_le_bytes(places.try_into().expect("four"));
                indexed += u64::from(places) / 16;
            }
        }
        at += small(length_at(bytes, at as u64));
    }
    indexed
}

/// Bytes of the record at this place, with its head.
pub(crate) fn length_at(bytes: &[u8], at: u64) -> u64 {
    let at = usize::try_from(at).expect("small");
    9 + u64::from_le_bytes(bytes[at + 1..at + 9].try_into().expect("eight bytes"))
}
