//! What the exchange does to the program, one fault after the other.
//!
//! Every fault that the exchange knows has its scenario; one that meets only
//! whoever connects or subscribes comes with broken connections. A fault that
//! is added to the exchange without one fails [`scenarios`].

use std::time::Duration;

use polypy::config::Config;
use polypy_sim::{FAULTS, Fault, FaultKind};

/// What a fault takes from the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing that matters to a book: none may be shown as stale for it.
    Nothing,
    /// Word of a book: a message, or its socket.
    Loss,
    /// The truth: what is said contradicts itself.
    Lie,
}

/// How patient the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As it comes.
    Defaults,
    /// Watchdogs of seconds, so that all of them are met within seconds.
    Short,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The fault's name, or `clean`.
    pub name: &'static str,
    /// What it takes.
    pub cause: Cause,
    /// On for the whole time.
    pub steady: Vec<Fault>,
    /// Switched on again and again; each ends by itself.
    pub strikes: Vec<Fault>,
    /// By how much the fault itself delays what is told.
    pub delay: Duration,
    /// Whether messages carry a proof.
    pub provable: bool,
    /// How long a wrong may last that nothing has told of, by [`Patience`].
    pub unseen: Unseen,
    /// Markets are announced and settled meanwhile.
    pub moving: bool,
    /// Its faults hit one connection at a time.
    pub single: bool,
    /// Connections that carry each token.
    pub replicas: usize,
}

/// What ends a wrong that no message tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// There is none.
    Never,
    /// The token's next change, or the audit.
    NextChange,
    /// The audit: nothing comes for the token any more.
    Audit,
    /// The comparison at once: an event of an unknown type names the book.
    EarlyAudit,
    /// The connection's watchdog: nothing comes on it any more.
    Silence,
    /// The watchdog of its pings.
    Pong,
}

impl Unseen {
    /// The bound by the settings.
    pub fn bound(self, config: &Config) -> Duration {
        // An audit round begins when the last one is over: a book is at most
        // two periods from its next comparison. The answer, and the time the
        // feed is given to come as far, follow.
        let audit = 2 * config.audit.period + Duration::from_secs(4);
        match self {
            Self::Never => Duration::ZERO,
            Self::NextChange | Self::Audit => audit,
            // An answer may have to wait for the machine.
            Self::EarlyAudit => Duration::from_millis(1_500) + Duration::from_secs(2),
            Self::Silence => {
                let silent = config.pool.silence_max + 2 * config.pool.probe_deadline;
                (silent + Duration::from_secs(2)).min(audit)
            }
            Self::Pong => config.pool.pong_deadline + config.pool.ping_interval * 2,
        }
    }
}

impl Patience {
    /// Between two strikes: long enough to see a recovery.
    pub fn pace(self) -> Duration {
        match self {
            Self::Defaults => Duration::from_secs(10),
            Self::Short => Duration::from_millis(1_500),
        }
    }

    /// How long faults that end in this way have to last, so that it is seen.
    pub fn lasting(self, unseen: Unseen) -> Duration {
        Duration::from_secs(match (self, unseen) {
            (Self::Short, Unseen::Never | Unseen::NextChange) => 4,
            (Self::Short, _) => 8,
            (Self::Defaults, Unseen::Never | Unseen::NextChange | Unseen::EarlyAudit) => 40,
            (Self::Defaults, Unseen::Pong) => 60,
            (Self::Defaults, Unseen::Silence) => 120,
            (Self::Defaults, Unseen::Audit) => 450,
        })
    }

    /// The program's settings.
    pub fn apply(self, config: &mut Config) {
        let seconds = Duration::from_secs;
        if self == Self::Short {
            config.pool.ping_interval = seconds(1);
            config.pool.pong_deadline = seconds(4);
            config.pool.silence_min = seconds(2);
            config.pool.silence_max = seconds(4);
            config.pool.probe_deadline = seconds(2);
            config.pool.first_book_deadline = seconds(2);
            config.pool.handshake_deadline = seconds(3);
            config.pool.backoff_cap = seconds(2);
            config.pool.stable_after = seconds(3);
            config.lifecycle.discovery_interval = seconds(5);
            config.audit.period = seconds(5);
        }
    }
}

impl Scenario {
    fn new(name: &'static str, cause: Cause, steady: Vec<Fault>) -> Self {
        Self {
            name,
            cause,
            steady,
            strikes: Vec::new(),
            delay: Duration::ZERO,
            provable: true,
            unseen: Unseen::Never,
            moving: false,
            single: false,
            replicas: 1,
        }
    }

    /// Nothing goes wrong.
    pub fn clean() -> Self {
        Self::new("clean", Cause::Nothing, Vec::new())
    }

    fn of(name: &'static str, kind: FaultKind) -> Self {
        let share = |share| Fault::new(kind).on_share(share);
        let with = |fault: Fault, parameter: &str, value: serde_json::Value| {
            fault.with(parameter, value).expect("the fault knows it")
        };
        let millis = Duration::from_millis;
        let nothing = |fault| Self::new(name, Cause::Nothing, vec![fault]);
        let loss = |fault| Self::new(name, Cause::Loss, vec![fault]);
        let lie = |fault| Self::new(name, Cause::Lie, vec![fault]);
        let again = |mut scenario: Self| {
            std::mem::swap(&mut scenario.steady, &mut scenario.strikes);
            scenario
        };
        let reconnecting = |fault| Self {
            strikes: vec![Fault::new(FaultKind::DropConnection)],
            ..loss(fault)
        };
        match kind {
            FaultKind::StallSocket => Self {
                unseen: Unseen::Silence,
                ..loss(share(0.5))
            },
            FaultKind::StallAll => Self {
                unseen: Unseen::Pong,
                ..loss(share(0.5))
            },
            FaultKind::StallAsset => Self {
                unseen: Unseen::Audit,
                ..loss(share(0.3))
            },
            FaultKind::DropConnection | FaultKind::Close1013 | FaultKind::Close1000 => {
                again(loss(Fault::new(kind)))
            }
            FaultKind::GiantFrame => again(nothing(Fault::new(kind))),
            FaultKind::MissingFirstBook => reconnecting(share(0.3)),
            FaultKind::OmitChange => Self {
                unseen: Unseen::NextChange,
                ..again(loss(share(0.3).lasting(millis(900))))
            },
            FaultKind::Handshake429 => reconnecting(share(0.5)),
            FaultKind::OversizedSubscribeClose => reconnecting(share(0.5)),
            FaultKind::LateSnapshotDelta => {
                reconnecting(with(Fault::new(kind), "conflict", true.into()))
            }
            FaultKind::OpeningDuplicateToken => reconnecting(Fault::new(kind)),
            FaultKind::Reorder => Self {
                delay: millis(20),
                ..nothing(with(Fault::new(kind), "across_tokens", true.into()))
            },
            FaultKind::PongDelay => nothing(with(Fault::new(kind), "delay", "2s".into())),
            FaultKind::EmptyTops => nothing(with(Fault::new(kind), "missing", true.into())),
            FaultKind::WrongHash => lie(share(0.3)),
            FaultKind::NextHash => Self {
                delay: millis(100),
                ..lie(share(0.3))
            },
            FaultKind::PriceAhead => nothing(with(share(0.5), "never", true.into())),
            FaultKind::MissingFields => Self {
                provable: false,
                ..nothing(share(0.3))
            },
            FaultKind::RestLead => Self {
                delay: millis(1_100),
                ..loss(Fault::new(kind))
            },
            FaultKind::EngineRestart => nothing(Fault::new(kind)),
            FaultKind::GammaListedLate | FaultKind::GammaClosedLate => Self {
                moving: true,
                ..nothing(with(Fault::new(kind), "delay", "1s".into()))
            },
            FaultKind::Gamma5xx
            | FaultKind::Gamma429
            | FaultKind::GammaStuckCursor
            | FaultKind::GammaEmptyPage
            | FaultKind::GammaRepeatedPage
            | FaultKind::Clob5xx
            | FaultKind::Clob429
            | FaultKind::Clob425 => nothing(share(0.7)),
            FaultKind::GammaBatch | FaultKind::ClobBatch => {
                nothing(with(Fault::new(kind), "ids", 5.into()))
            }
            FaultKind::GammaPoisoned | FaultKind::ClobPoisoned => nothing(share(0.3)),
            // What REST denies again and again is subscribed again.
            FaultKind::ClobDenies => loss(share(0.3)),
            // Its market's name is all that such a change says, and that counts.
            FaultKind::UnreadableChange => loss(with(share(0.3), "rate", 0.2.into())),
            FaultKind::RenamedEvent => Self {
                unseen: Unseen::EarlyAudit,
                ..loss(share(0.3))
            },
            // What cannot be read may have been of any book of its connection.
            FaultKind::Garbage => loss(Fault::new(kind)),
            _ => nothing(Fault::new(kind)),
        }
    }
}

/// A scenario for each fault; one for two at once, an omission that no hash can
/// tell of; and some for tokens on two connections.
pub fn scenarios() -> Vec<Scenario> {
    let each = FAULTS.iter().map(|info| Scenario::of(info.name, info.kind));
    let mut all: Vec<_> = each.collect();
    let mut bare = Scenario::of("omit_change", FaultKind::OmitChange);
    bare.name = "omit_change + missing_fields";
    bare.steady.push(Fault::new(FaultKind::MissingFields));
    bare.provable = false;
    bare.unseen = Unseen::Audit;
    all.push(bare);
    for (name, kind, single) in [
        (
            "drop_connection, 2 replicas",
            FaultKind::DropConnection,
            true,
        ),
        ("stall_socket, 2 replicas", FaultKind::StallSocket, true),
        ("stall_asset, 2 replicas", FaultKind::StallAsset, false),
        ("omit_change, 2 replicas", FaultKind::OmitChange, false),
    ] {
        let mut paired = Scenario::of(name, kind);
        (paired.replicas, paired.single) = (2, single);
        all.push(paired);
    }
    all
}
