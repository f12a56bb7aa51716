//! What stands in the queue from the sockets to the thread that writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use polypy_core::recording::{Control, Mark, RestAnswer};
use polypy_core::{Asked, AssetId, BookOrigin, FeedId, MarketChange, Owner, SocketId, StaleReason};

/// What an item takes beside its block.
pub(crate) const ITEM_BYTES: usize = size_of::<Item>();

/// Something that came, in its place.
#[derive(Debug)]
pub struct Item {
    /// When.
    pub at: Instant,
    /// Which socket it is about; `None`: none in particular.
    pub socket: Option<SocketId>,
    /// What.
    pub what: What,
}

/// What came.
#[derive(Debug)]
pub enum What {
    /// Frames of the socket.
    Frames(Box<Frames>),
    /// The socket opened.
    Opened {
        /// The name of its connection.
        connection: Arc<str>,
        /// Whether it is to replace another one.
        is_replacement: bool,
    },
    /// We sent something.
    Sent(Box<SentText>),
    /// The socket keeps these tokens' books from now on.
    FirstBooks(Box<[AssetId]>, BookOrigin),
    /// What the socket says is delivered as this feed from now on.
    Delivers(FeedId),
    /// The socket is gone.
    Closed(Box<str>, Owner),
    /// The venue's REST interface answered; when it was asked.
    Answer(Box<(RestAnswer, Instant)>),
    /// Something became of a market.
    Market(Box<MarketChange>),
    /// Something to know of at this place.
    Mark(Box<Mark>),
    /// What was dropped since the last such item, by socket.
    Lost(Box<BTreeMap<SocketId, Lost>>),
}

/// A group of frames.
#[derive(Debug)]
pub struct Frames {
    /// The sequence of the first.
    pub first: u32,
    /// Where in `bytes` each of them ends.
    pub ends: Box<[usize]>,
    /// As received.
    pub bytes: Box<[u8]>,
    /// Whether they came as text.
    pub is_text: bool,
}

/// Something that we sent.
#[derive(Debug)]
pub struct SentText {
    /// What it asks for.
    pub asked: Asked,
    /// The tokens that it is about.
    pub tokens: Box<[AssetId]>,
    /// As sent.
    pub text: Box<str>,
}

/// What was dropped of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Frames.
    pub frames: u64,
    /// Among them those that were longer than frames may be; the others had no room.
    pub too_long: u64,
    /// Other items: what it opened with, was sent, closed with.
    pub others: u64,
    /// The first of it came at this time.
    pub from: Instant,
    /// The last.
    pub to: Instant,
}

impl Lost {
    pub(crate) fn at(at: Instant) -> Self {
        Self {
            frames: 0,
            too_long: 0,
            others: 0,
            from: at,
            to: at,
        }
    }
}

/// A socket that is open, as far as it is known: for the beginning of a file, and for what
/// follows a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    /// Its number.
    pub socket: SocketId,
    /// The name of its connection.
    pub connection: Arc<str>,
    /// The sequence of its next frame. It may have said more since.
    pub next_sequence: u32,
    /// The feed as which it delivers.
    pub feed: Option<FeedId>,
    /// What it was asked to bring, and whether it keeps the book.
    pub tokens: Vec<(AssetId, bool)>,
}

impl Item {
    /// What it counts for.
    pub(crate) fn bytes(&self) -> usize {
        self.what.bytes() + ITEM_BYTES
    }
}

impl What {
    /// What it takes beside the item.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Frames(frames) => {
                frames.bytes.len() + size_of_val(&*frames.ends) + size_of::<Frames>()
            }
            Self::Opened { connection, .. } => connection.len(),
            Self::Sent(sent) => sent.text.len() + size_of_val(&*sent.tokens),
            Self::FirstBooks(tokens, _) => size_of_val(&**tokens),
            Self::Closed(reason, _) => reason.len(),
            Self::Answer(answer) => {
                let (answer, _) = &**answer;
                answer.path.len() + answer.request.len() + answer.body.len()
            }
            Self::Market(_) => size_of::<MarketChange>(),
            Self::Mark(mark) => size_of_val(&*mark.tokens) + mark.text.len(),
            Self::Delivers(_) | Self::Lost(_) => 0,
        }
    }
}

/// That the process did not run for seconds.
pub(crate) fn suspended() -> Mark {
    let text = "the process did not run for seconds: what came meanwhile is stamped late";
    Mark {
        kind: StaleReason::Suspended.name().into(),
        tokens: Vec::new(),
        text: text.into(),
    }
}

/// Whether a text is meant to be JSON: the others have a channel of their own.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'['))
}

/// A frame that is no JSON, as it is recorded.
pub(crate) fn control(socket: u64, sequence: u32, bytes: &[u8], is_text: bool) -> Control {
    let text = std::str::from_utf8(bytes).ok().filter(|_| is_text);
    Control {
        socket,
        sequence,
        text: text.map(Into::into),
        binary: match text {
            Some(_) => None,
            None => Some(crate::segment::hex(bytes).into()),
        },
    }
}
