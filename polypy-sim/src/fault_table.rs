//! The table of faults: what each is called, does and can be told.
//!
//! [`FAULTS`] is the one table: requests are checked against it, `GET
//! /sim/faults` lists it, and `docs/sim.md` is held against it by a test. Each
//! entry has been seen on the real venue or reported by those who trade there.

use crate::fault_kind::{FaultInfo, FaultKind, Parameter, Scope, Values};

const fn number(name: &'static str, default: &'static str, low: f64, high: f64) -> Parameter {
    Parameter {
        name,
        default,
        values: Values::Number(low, high),
    }
}

const fn duration(name: &'static str, default: &'static str) -> Parameter {
    Parameter {
        name,
        default,
        values: Values::Duration,
    }
}

const fn flag(name: &'static str) -> Parameter {
    Parameter {
        name,
        default: "false",
        values: Values::Flag,
    }
}

const fn status(default: &'static str) -> Parameter {
    number("status", default, 400.0, 599.0)
}

const RATE: Parameter = number("rate", "0.05", 0.0, 1.0);

/// What is wrong with an unreadable change; the first is any of the others, by chance.
pub(crate) const UNREADABLE_SHAPES: &[&str] = &[
    "any", "object", "null", "missing", "text", "no_id", "null_id", "empty_id", "hex_id",
];

/// How Gamma may spell an id.
const SPELLINGS: &[&str] = &["upper_case", "without_zeros"];

/// Every fault there is.
pub const FAULTS: &[FaultInfo] = &[
    FaultInfo {
        kind: FaultKind::StallSocket,
        name: "stall_socket",
        scope: Scope::Connection,
        summary: "market data is lost, PING is still answered",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::StallAll,
        name: "stall_all",
        scope: Scope::Connection,
        summary: "everything is lost, PONG too",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::StallAsset,
        name: "stall_asset",
        scope: Scope::Asset,
        summary: "neither opening books nor events of the asset are sent, its siblings flow",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::DropConnection,
        name: "drop_connection",
        scope: Scope::Connection,
        summary: "TCP closes without a close frame; at once, and while it lasts at each first frame",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Close1013,
        name: "close_1013",
        scope: Scope::Connection,
        summary: "closed as a slow consumer; at once, and while it lasts at each first frame",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::MissingFirstBook,
        name: "missing_first_book",
        scope: Scope::Asset,
        summary: "the opening array leaves the asset out, its events flow",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::OmitChange,
        name: "omit_change",
        scope: Scope::Asset,
        summary: "the next changes of the asset are never sent to anybody",
        parameters: &[number("count", "1", 1.0, 1e6)],
    },
    FaultInfo {
        kind: FaultKind::Duplicate,
        name: "duplicate",
        scope: Scope::Asset,
        summary: "a price_change comes again up to delay later, its entries reversed",
        parameters: &[RATE, duration("delay", "120ms")],
    },
    FaultInfo {
        kind: FaultKind::Reorder,
        name: "reorder",
        scope: Scope::Asset,
        summary: "best_bid_ask and prints come up to delay late; with across_tokens, neighbouring \
                  frames of different markets also change places",
        parameters: &[
            number("rate", "0.5", 0.0, 1.0),
            duration("delay", "600ms"),
            flag("across_tokens"),
        ],
    },
    FaultInfo {
        kind: FaultKind::OversizedSubscribeClose,
        name: "oversized_subscribe_close",
        scope: Scope::Connection,
        summary: "a subscribe frame with more ids than this ends the socket 100 to 200 ms later",
        parameters: &[number("ids", "100", 0.0, 1e6)],
    },
    FaultInfo {
        kind: FaultKind::UnknownEvent,
        name: "unknown_event",
        scope: Scope::Asset,
        summary: "an event of unknown type comes before a frame, or in one array with it",
        parameters: &[RATE],
    },
    FaultInfo {
        kind: FaultKind::Garbage,
        name: "garbage",
        scope: Scope::Connection,
        summary: "a text that is no JSON comes before a frame",
        parameters: &[RATE],
    },
    FaultInfo {
        kind: FaultKind::ControlText,
        name: "control_text",
        scope: Scope::Connection,
        summary: "a plain text comes before a frame",
        parameters: &[
            RATE,
            Parameter {
                name: "text",
                default: "SUBSCRIPTION UPDATED",
                values: Values::Text,
            },
        ],
    },
    FaultInfo {
        kind: FaultKind::PongDelay,
        name: "pong_delay",
        scope: Scope::Connection,
        summary: "PONG comes delay late",
        parameters: &[duration("delay", "11s")],
    },
    FaultInfo {
        kind: FaultKind::GiantFrame,
        name: "giant_frame",
        scope: Scope::Connection,
        summary: "one frame of an unknown event with so many bytes, at once",
        parameters: &[number("bytes", "2097152", 100.0, 67_108_864.0)],
    },
    FaultInfo {
        kind: FaultKind::Whitespace,
        name: "whitespace",
        scope: Scope::Asset,
        summary: "frames have blanks after commas and colons and around them",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::EmptyTops,
        name: "empty_tops",
        scope: Scope::Asset,
        summary: "best_bid and best_ask of a price_change are empty; with missing, they and the \
                  hash are left out",
        parameters: &[flag("missing")],
    },
    FaultInfo {
        kind: FaultKind::TickChangeTwice,
        name: "tick_change_twice",
        scope: Scope::Asset,
        summary: "each tick_size_change is sent twice; markets of named assets change now if \
                  their grid can become finer",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Handshake429,
        name: "handshake_429",
        scope: Scope::Request,
        summary: "the WebSocket handshake is refused with 429",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Gamma5xx,
        name: "gamma_5xx",
        scope: Scope::Request,
        summary: "Gamma answers an error",
        parameters: &[number("status", "503", 500.0, 599.0)],
    },
    FaultInfo {
        kind: FaultKind::Gamma429,
        name: "gamma_429",
        scope: Scope::Request,
        summary: "Gamma answers 429",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::GammaStuckCursor,
        name: "gamma_stuck_cursor",
        scope: Scope::Request,
        summary: "every page of Gamma's keyset lists names page one's cursor as the next",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Clob5xx,
        name: "clob_5xx",
        scope: Scope::Request,
        summary: "CLOB answers an error",
        parameters: &[number("status", "503", 500.0, 599.0)],
    },
    FaultInfo {
        kind: FaultKind::Clob429,
        name: "clob_429",
        scope: Scope::Request,
        summary: "CLOB answers 429",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Clob425,
        name: "clob_425",
        scope: Scope::Request,
        summary: "CLOB answers 425, as while its engine restarts",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Close1000,
        name: "close_1000",
        scope: Scope::Connection,
        summary: "closed as if all assets were settled; at once, and while it lasts at each first \
                  frame",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::WrongHash,
        name: "wrong_hash",
        scope: Scope::Asset,
        summary: "the hash of a state is no state's, wherever the socket shows it",
        parameters: &[RATE],
    },
    FaultInfo {
        kind: FaultKind::NextHash,
        name: "next_hash",
        scope: Scope::Asset,
        summary: "a price_change waits for the following change, at most delay, and carries that \
                  one's hash",
        parameters: &[RATE, duration("delay", "100ms")],
    },
    FaultInfo {
        kind: FaultKind::SharedHash,
        name: "shared_hash",
        scope: Scope::Asset,
        summary: "changes of several levels come as one frame a level, all with the hash after \
                  the last",
        parameters: &[number("rate", "1", 0.0, 1.0)],
    },
    FaultInfo {
        kind: FaultKind::PriceAhead,
        name: "price_ahead",
        scope: Scope::Asset,
        summary: "the hash uses a last trade price announced delay later, or never",
        parameters: &[RATE, duration("delay", "2s"), flag("never")],
    },
    FaultInfo {
        kind: FaultKind::MissingFields,
        name: "missing_fields",
        scope: Scope::Asset,
        summary: "books and entries of a price_change lack these fields",
        parameters: &[
            number("rate", "1", 0.0, 1.0),
            Parameter {
                name: "fields",
                default: "hash,best_bid,best_ask",
                values: Values::Text,
            },
        ],
    },
    FaultInfo {
        kind: FaultKind::LateSnapshotDelta,
        name: "late_snapshot_delta",
        scope: Scope::Asset,
        summary: "right after the opening book comes an entry 1 to 2 ms older; with conflict, its \
                  size is one the book has moved on from",
        parameters: &[flag("conflict")],
    },
    FaultInfo {
        kind: FaultKind::OpeningDuplicateToken,
        name: "opening_duplicate_token",
        scope: Scope::Asset,
        summary: "the opening array holds the asset's book twice",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::RestLag,
        name: "rest_lag",
        scope: Scope::Asset,
        summary: "REST books are those of delay ago",
        parameters: &[duration("delay", "1100ms")],
    },
    FaultInfo {
        kind: FaultKind::RestLead,
        name: "rest_lead",
        scope: Scope::Connection,
        summary: "the socket's market data comes delay late, in order, so that REST is ahead of it",
        parameters: &[duration("delay", "1100ms")],
    },
    FaultInfo {
        kind: FaultKind::GammaListedLate,
        name: "gamma_listed_late",
        scope: Scope::Exchange,
        summary: "markets announced meanwhile are listed delay after their announcement",
        parameters: &[duration("delay", "60s")],
    },
    FaultInfo {
        kind: FaultKind::GammaClosedLate,
        name: "gamma_closed_late",
        scope: Scope::Exchange,
        summary: "markets settled meanwhile are closed delay after their settlement",
        parameters: &[duration("delay", "3m")],
    },
    FaultInfo {
        kind: FaultKind::EngineRestart,
        name: "engine_restart",
        scope: Scope::Exchange,
        summary: "nothing happens, for 90 s if not told otherwise; then a burst of events at once",
        parameters: &[number("burst", "200", 0.0, 1e4)],
    },
    FaultInfo {
        kind: FaultKind::GammaBatch,
        name: "gamma_batch",
        scope: Scope::Request,
        summary: "Gamma refuses to look up more markets at once than this, as a firewall does",
        parameters: &[number("ids", "40", 0.0, 1e6), status("403")],
    },
    FaultInfo {
        kind: FaultKind::GammaPoisoned,
        name: "gamma_poisoned",
        scope: Scope::Asset,
        summary: "Gamma fails on each look-up that names the asset's market",
        parameters: &[status("500")],
    },
    FaultInfo {
        kind: FaultKind::GammaEmptyPage,
        name: "gamma_empty_page",
        scope: Scope::Request,
        summary: "a later page of Gamma's keyset lists is empty, and its cursor leads on",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::GammaRepeatedPage,
        name: "gamma_repeated_page",
        scope: Scope::Request,
        summary: "a later page of Gamma's keyset lists comes again under its next cursor",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::GammaCallsClosed,
        name: "gamma_calls_closed",
        scope: Scope::Asset,
        summary: "Gamma calls the asset's market closed while it trades; with in_open_lists, rows \
                  in lists of open markets alone say so",
        parameters: &[flag("in_open_lists")],
    },
    FaultInfo {
        kind: FaultKind::ClobBatch,
        name: "clob_batch",
        scope: Scope::Request,
        summary: "CLOB refuses to answer more books at once than this",
        parameters: &[number("ids", "40", 0.0, 1e6), status("413")],
    },
    FaultInfo {
        kind: FaultKind::ClobPoisoned,
        name: "clob_poisoned",
        scope: Scope::Asset,
        summary: "CLOB refuses each request for books that names the asset",
        parameters: &[status("400")],
    },
    FaultInfo {
        kind: FaultKind::ClobDenies,
        name: "clob_denies",
        scope: Scope::Asset,
        summary: "CLOB has no book of the asset over REST, its events flow",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::UnreadableChange,
        name: "unreadable_change",
        scope: Scope::Asset,
        summary: "a price_change names its market, and its tokens cannot be read",
        parameters: &[
            RATE,
            Parameter {
                name: "shape",
                default: "any",
                values: Values::OneOf(UNREADABLE_SHAPES),
            },
        ],
    },
    FaultInfo {
        kind: FaultKind::RenamedEvent,
        name: "renamed_event",
        scope: Scope::Asset,
        summary: "a price_change comes under another event_type",
        parameters: &[
            number("rate", "1", 0.0, 1.0),
            Parameter {
                name: "event_type",
                default: "level_change",
                values: Values::Text,
            },
        ],
    },
    FaultInfo {
        kind: FaultKind::GammaTagsMissing,
        name: "gamma_tags_missing",
        scope: Scope::Asset,
        summary: "Gamma leaves the tags of the asset's market out, though it is asked for them",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::GammaTagsEmpty,
        name: "gamma_tags_empty",
        scope: Scope::Asset,
        summary: "Gamma says that the asset's market has no tags",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::GammaVolumeWild,
        name: "gamma_volume_wild",
        scope: Scope::Asset,
        summary: "volumes and liquidity of the asset's market are up to factor times as much in \
                  one answer, and as little in another",
        parameters: &[number("factor", "1000", 1.0, 1e6)],
    },
    FaultInfo {
        kind: FaultKind::GammaEndMoved,
        name: "gamma_end_moved",
        scope: Scope::Asset,
        summary: "Gamma says that the asset's market ends so many hours later; earlier if they \
                  are below 0",
        parameters: &[number("hours", "-4800", -87_600.0, 87_600.0)],
    },
    FaultInfo {
        kind: FaultKind::GammaSlugTwice,
        name: "gamma_slug_twice",
        scope: Scope::Asset,
        summary: "Gamma lists the asset's market under the slug of the exchange's first",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::GammaRefusesTag,
        name: "gamma_refuses_tag",
        scope: Scope::Request,
        summary: "Gamma refuses to answer when it is asked for tags",
        parameters: &[status("422")],
    },
    FaultInfo {
        kind: FaultKind::GammaIdSpelling,
        name: "gamma_id_spelling",
        scope: Scope::Asset,
        summary: "Gamma spells the condition id of the asset's market another way than the feed",
        parameters: &[Parameter {
            name: "spelling",
            default: "upper_case",
            values: Values::OneOf(SPELLINGS),
        }],
    },
    FaultInfo {
        kind: FaultKind::LateFrames,
        name: "late_frames",
        scope: Scope::Asset,
        summary: "events of the asset go on for delay after a socket has unsubscribed it",
        parameters: &[duration("delay", "2s")],
    },
];
