//! What each channel of a recording holds.
//!
//! | channel | holds |
//! |---|---|
//! | `frames/<connection>/<socket>` | the JSON frames of one socket, untouched |
//! | `control` | frames that are no JSON: [`Control`] |
//! | `sent` | what we sent: [`Sent`] |
//! | `rest` | answers of the venue's REST interface: [`RestAnswer`] |
//! | `socket` | what became of sockets: [`SocketEvent`] |
//! | `gap` | what is missing: [`Gap`] |
//! | `clock` | the two clocks, when they part: [`ClockStep`] |
//! | `mark` | incidents: [`Mark`] |
//! | `catalogue` | what became of markets: [`CatalogueEvent`] |
//! | `checkpoint` | books that the program had: [`RecordedBook`] |
//!
//! All but the first have a JSON schema, in `docs/schemas/recording` and in every file. A
//! channel of another name is one of a later version: what it holds is left alone.

use polypy_core::recording::{
    CatalogueEvent, ClockStep, Control, Entry, Frame, Gap, Mark, Recorded, RecordedBook,
    RestAnswer, Sent, SocketEvent,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::format::ChannelName;
use crate::scan::RawEntry;

macro_rules! schema {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../docs/schemas/recording/", $name, ".json")),
        )
    };
}

/// The channels that every file may have, and their schemas. A channel's number is its
/// place from 1, and so is its schema's.
pub(crate) const SCHEMAS: [(&str, &str); 9] = [
    schema!("control"),
    schema!("sent"),
    schema!("rest"),
    schema!("socket"),
    schema!("gap"),
    schema!("clock"),
    schema!("mark"),
    schema!("catalogue"),
    schema!("checkpoint"),
];
/// The first number of a channel with frames.
pub(crate) const FIRST_SOCKET: u16 = 16;

const FRAMES: &str = "frames/";

/// Why a message is not an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// It is of a channel that this version does not know. Nothing is wrong with it.
    #[error("channel {0:?} is of a later version")]
    UnknownChannel(String),
    /// It is not what its channel holds.
    #[error("an entry of channel {channel:?} is unreadable: {error}")]
    Unreadable {
        /// The channel.
        channel: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

/// The topic of a socket's frames.
pub(crate) fn frames_topic(connection: &str, socket: u64) -> String {
    format!("{FRAMES}{connection}/{socket}")
}

/// The number of a channel that every file may have, its name, and the entry as JSON.
/// `None`: a frame, which has a channel of its own.
pub(crate) fn encode(entry: &Entry) -> Option<(u16, ChannelName, Vec<u8>)> {
    let (topic, data) = match entry {
        Entry::Frame(_) => return None,
        Entry::Control(control) => ("control", json(control)),
        Entry::Sent(sent) => ("sent", json(sent)),
        Entry::Answer(answer) => ("rest", json(answer)),
        Entry::Socket(event) => ("socket", json(event)),
        Entry::Gap(gap) => ("gap", json(gap)),
        Entry::Clock(step) => ("clock", json(step)),
        Entry::Mark(mark) => ("mark", json(mark)),
        Entry::Catalogue(event) => ("catalogue", json(event)),
        Entry::Checkpoint(book) => ("checkpoint", json(book)),
    };
    let numbers = (1..).zip(SCHEMAS);
    let (number, _) = numbers.into_iter().find(|(_, (name, _))| *name == topic)?;
    let topic = topic.to_owned();
    let name = ChannelName {
        schema: number,
        topic,
    };
    Some((number, name, data))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Texts and numbers: there is nothing that JSON could refuse.
    serde_json::to_vec(value).unwrap_or_default()
}

/// What a message of a channel says.
pub(crate) fn decode(message: &RawEntry<'_>) -> Result<Recorded, EntryError> {
    let channel = message.channel;
    let entry = match channel {
        "control" => Entry::Control(parsed::<Control>(channel, message)?),
        "sent" => Entry::Sent(parsed::<Sent>(channel, message)?),
        "rest" => Entry::Answer(parsed::<RestAnswer>(channel, message)?),
        "socket" => Entry::Socket(parsed::<SocketEvent>(channel, message)?),
        "gap" => Entry::Gap(parsed::<Gap>(channel, message)?),
        "clock" => Entry::Clock(parsed::<ClockStep>(channel, message)?),
        "mark" => Entry::Mark(parsed::<Mark>(channel, message)?),
        "catalogue" => Entry::Catalogue(parsed::<CatalogueEvent>(channel, message)?),
        "checkpoint" => Entry::Checkpoint(parsed::<Box<RecordedBook>>(channel, message)?),
        _ => {
            let unknown = || EntryError::UnknownChannel(channel.to_owned());
            let (connection, socket) = socket_of(channel).ok_or_else(unknown)?;
            Entry::Frame(Frame {
                socket,
                connection: connection.into(),
                sequence: message.sequence,
                bytes: message.data.into(),
            })
        }
    };
    let at = message.at;
    Ok(Recorded { at, entry })
}

/// The connection and the socket whose frames a channel holds.
pub(crate) fn socket_of(channel: &str) -> Option<(&str, u64)> {
    let (connection, socket) = channel.strip_prefix(FRAMES)?.rsplit_once('/')?;
    Some((connection, socket.parse().ok()?))
}

fn parsed<T: DeserializeOwned>(channel: &str, message: &RawEntry<'_>) -> Result<T, EntryError> {
    serde_json::from_slice(message.data).map_err(|error| EntryError::Unreadable {
        channel: channel.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_name_may_have_any_letters() {
        let topic = frames_topic("a/b", 7);
        assert_eq!(socket_of(&topic), Some(("a/b", 7)));
        for other in ["gap", "frames/a", "frames/a/x", "checkpoint"] {
            assert_eq!(socket_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_later_version_writes_is_told_from_damage() {
        let message = |channel, data| RawEntry {
            channel,
            sequence: 0,
            at: 1,
            data,
        };
        let later = decode(&message("of_later", b"{}")).unwrap_err();
        assert!(matches!(later, EntryError::UnknownChannel(_)), "{later}");
        let damaged = decode(&message("gap", b"{\"scope\":")).unwrap_err();
        assert!(
            matches!(damaged, EntryError::Unreadable { .. }),
            "{damaged}"
        );
    }
}
