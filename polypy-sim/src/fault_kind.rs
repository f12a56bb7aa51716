//! What a fault is called, whom it can hit and what it can be told.

use crate::fault_table::FAULTS;

/// A fault by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the table beside it says what each does")]
pub enum FaultKind {
    StallSocket,
    StallAll,
    StallAsset,
    DropConnection,
    Close1013,
    MissingFirstBook,
    OmitChange,
    Duplicate,
    Reorder,
    OversizedSubscribeClose,
    UnknownEvent,
    Garbage,
    ControlText,
    PongDelay,
    GiantFrame,
    Whitespace,
    EmptyTops,
    TickChangeTwice,
    Handshake429,
    Gamma5xx,
    Gamma429,
    GammaStuckCursor,
    Clob5xx,
    Clob429,
    Clob425,
    Close1000,
    WrongHash,
    NextHash,
    SharedHash,
    PriceAhead,
    MissingFields,
    LateSnapshotDelta,
    OpeningDuplicateToken,
    RestLag,
    RestLead,
    GammaListedLate,
    GammaClosedLate,
    EngineRestart,
    GammaBatch,
    GammaPoisoned,
    GammaEmptyPage,
    GammaRepeatedPage,
    GammaCallsClosed,
    ClobBatch,
    ClobPoisoned,
    ClobDenies,
    UnreadableChange,
    RenamedEvent,
    GammaTagsMissing,
    GammaTagsEmpty,
    GammaVolumeWild,
    GammaEndMoved,
    GammaSlugTwice,
    GammaRefusesTag,
    GammaIdSpelling,
    LateFrames,
}

/// What a fault's target and share choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Sockets: `connections` or `share` of them; else every one.
    Connection,
    /// Assets: `assets` or `share` of them, on `connections` if given; else
    /// every asset.
    Asset,
    /// Requests: `share` is the probability of each; else every one.
    Request,
    /// The exchange as a whole: there is nothing to choose.
    Exchange,
}

impl Scope {
    /// Its name in the listing and in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Asset => "asset",
            Self::Request => "request",
            Self::Exchange => "exchange",
        }
    }

    /// The fields of a request that choose whom a fault hits.
    pub fn target_fields(self) -> &'static [&'static str] {
        match self {
            Self::Connection => &["connections", "share"],
            Self::Asset => &["assets", "share", "connections"],
            Self::Request => &["share"],
            Self::Exchange => &[],
        }
    }
}

/// One thing a fault can be told beyond its target.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its key in the request.
    pub name: &'static str,
    /// What it is when not given, as text.
    pub default: &'static str,
    /// What values it takes.
    pub values: Values,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// A number within these bounds.
    Number(f64, f64),
    /// A duration such as `"120ms"`, up to an hour.
    Duration,
    /// Any text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
}

/// One row of the table of faults.
#[derive(Debug, Clone, Copy)]
pub struct FaultInfo {
    /// Which it is.
    pub kind: FaultKind,
    /// Its name in requests.
    pub name: &'static str,
    /// What its target chooses from.
    pub scope: Scope,
    /// What it does.
    pub summary: &'static str,
    /// What else it can be told.
    pub parameters: &'static [Parameter],
}

impl FaultKind {
    /// Its row of the table.
    pub fn info(self) -> &'static FaultInfo {
        // A test holds that every kind has a row.
        FAULTS
            .iter()
            .find(|info| info.kind == self)
            .unwrap_or(&FAULTS[0])
    }
}
