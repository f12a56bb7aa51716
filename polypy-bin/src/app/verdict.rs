//! Whether the program does its work: one judgement over what its parts say.
//!
//! | component | healthy when |
//! |---|---|
//! | `registry`, `router`, `recycler` | it runs |
//! | `pool` | at least one connection to the venue is open |
//! | `workers` | every thread is alive |
//! | `lifecycle` | it runs, and discovery has succeeded or has not failed yet |
//!
//! The whole is healthy when it runs, every component but the pool is healthy,
//! and no asset is wanted yet, or a connection is open and a book is live: an
//! open connection over which nothing comes is no feed.
//!
//! Everything that is not as it should be is a reason, also while the whole is
//! healthy; what is not healthy has at least one.
//!
//! | reason | the whole |
//! |---|---|
//! | `not_running`, `registry_not_running`, `router_not_running`, `recycler_not_running` | not healthy |
//! | `worker_dead` | not healthy |
//! | `discovery_failing` | not healthy |
//! | `no_connection`, `no_live_books` | not healthy |
//! | `no_markets`, `selection_empty` | healthy |
//! | `books_not_live` | healthy |
//! | `hashes_not_reproduced` | healthy |
//! | `recorder_behind`, `recorder_failed` | healthy |

use polypy_core::Health;

use super::recorders::RecorderState;

/// What is known at the moment of the question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) running: bool,
    pub(super) registry: bool,
    pub(super) router: bool,
    pub(super) workers: bool,
    pub(super) lifecycle: bool,
    pub(super) recycler: bool,
    pub(super) connected: bool,
    pub(super) wanted_assets: usize,
    pub(super) live_books: u64,
    pub(super) stale_books: u64,
    /// Books whose hashes were reproduced once and are not now.
    pub(super) formats_unknown: u64,
    /// Open markets that the venue lists, all of which the selection leaves out; zero if it
    /// leaves any in, or not all were listed yet.
    pub(super) left_out: usize,
    /// How well the recorder does, if there is one.
    pub(super) recorder: RecorderState,
}

impl Facts {
    pub(super) fn judge(&self) -> Health {
        let healthy = self.running
            && self.registry
            && self.router
            && self.workers
            && self.lifecycle
            && self.recycler
            && (self.wanted_assets == 0 || (self.connected && self.live_books > 0));
        let components = vec![
            ("registry", self.registry),
            ("pool", self.connected),
            ("router", self.router),
            ("workers", self.workers),
            ("lifecycle", self.lifecycle),
            ("recycler", self.recycler),
        ];
        let health = Health {
            components,
            ..Health::of(healthy)
        };
        self.with_books(self.with_reasons(health))
    }

    /// Every condition of the verdict that does not hold, and what is amiss beside.
    fn with_reasons(&self, mut health: Health) -> Health {
        let wanted = u64::try_from(self.wanted_assets).unwrap_or(u64::MAX);
        let live = self.live_books;
        let conditions = [
            (
                self.running,
                "not_running",
                "the program has not started yet, or is stopping",
            ),
            (
                self.registry,
                "registry_not_running",
                "the registry is not running",
            ),
            (
                self.router,
                "router_not_running",
                "the router is not running",
            ),
            (self.workers, "worker_dead", "a worker thread is not alive"),
            (
                self.lifecycle,
                "discovery_failing",
                "discovery is not running, or has failed from the start",
            ),
            (
                self.recycler,
                "recycler_not_running",
                "the recycler is not running",
            ),
            (
                wanted == 0 || self.connected,
                "no_connection",
                "no connection to the venue is open",
            ),
            (
                wanted > 0 || !self.running || self.left_out > 0,
                "no_markets",
                "no market is followed yet",
            ),
        ];
        for (holds, code, text) in conditions {
            if !holds {
                health = health.because(code, text);
            }
        }
        if wanted == 0 && self.running && self.left_out > 0 {
            let text = format!(
                "the selection matches none of {} open markets; /v1/selection shows it",
                self.left_out
            );
            health = health.because("selection_empty", text);
        }
        if self.formats_unknown > 0 {
            let (noun, these) = match self.formats_unknown {
                1 => ("book", "it is"),
                _ => ("books", "these are"),
            };
            let text = format!(
                "hashes of {} {noun} are no longer reproduced: {these} checked by top, mirror and audit only",
                self.formats_unknown
            );
            health = health.because("hashes_not_reproduced", text);
        }
        // The books are not concerned.
        match self.recorder {
            RecorderState::Behind => {
                let text =
                    "the recorder has dropped frames within the last minute; /stats says how many";
                health = health.because("recorder_behind", text);
            }
            RecorderState::Failed => {
                let text = "nothing is recorded, since the disk fails, is full or does not answer; \
                            /stats says why";
                health = health.because("recorder_failed", text);
            }
            RecorderState::Off | RecorderState::Recording => {}
        }
        let text = || format!("{live} of {wanted} books are live");
        match live {
            0 if wanted > 0 => health.because("no_live_books", text()),
            live if live < wanted => health.because("books_not_live", text()),
            _ => health,
        }
    }

    fn with_books(&self, health: Health) -> Health {
        let wanted = u64::try_from(self.wanted_assets).unwrap_or(u64::MAX);
        let (live, stale) = (self.live_books, self.stale_books);
        let awaited = wanted.saturating_sub(live.saturating_add(stale));
        health.with_counts(
            "books",
            [
                ("wanted", wanted),
                ("live", live),
                ("stale", stale),
                ("awaited", awaited),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Facts = Facts {
        running: true,
        registry: true,
        router: true,
        workers: true,
        lifecycle: true,
        recycler: true,
        connected: true,
        wanted_assets: 400,
        live_books: 1,
        stale_books: 0,
        formats_unknown: 0,
        left_out: 0,
        recorder: RecorderState::Recording,
    };

    /// What is known before the start.
    const NOTHING: Facts = Facts {
        running: false,
        registry: false,
        router: false,
        workers: false,
        lifecycle: false,
        recycler: false,
        connected: false,
        wanted_assets: 0,
        live_books: 0,
        recorder: RecorderState::Off,
        ..GOOD
    };

    #[test]
    fn everything_counts() {
        let cases = [
            ("all well", GOOD, true),
            ("before the start", NOTHING, false),
            (
                "stopped",
                Facts {
                    running: false,
                    ..GOOD
                },
                false,
            ),
            (
                "a dead worker",
                Facts {
                    workers: false,
                    ..GOOD
                },
                false,
            ),
            (
                "no registry",
                Facts {
                    registry: false,
                    ..GOOD
                },
                false,
            ),
            (
                "no router",
                Facts {
                    router: false,
                    ..GOOD
                },
                false,
            ),
            (
                "discovery fails",
                Facts {
                    lifecycle: false,
                    ..GOOD
                },
                false,
            ),
            (
                "no recycler",
                Facts {
                    recycler: false,
                    ..GOOD
                },
                false,
            ),
            (
                "no connection",
                Facts {
                    connected: false,
                    ..GOOD
                },
                false,
            ),
            (
                "connected, and nothing comes",
                Facts {
                    live_books: 0,
                    ..GOOD
                },
                false,
            ),
            (
                "nothing wanted yet",
                Facts {
                    connected: false,
                    wanted_assets: 0,
                    live_books: 0,
                    ..GOOD
                },
                true,
            ),
        ];
        for (name, facts, expected) in cases {
            let health = facts.judge();
            assert_eq!(health.healthy, expected, "{name}");
            // No verdict is left unexplained.
            assert!(health.healthy || !health.reasons.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_selection_that_matches_nothing_is_told_from_a_venue_that_lists_nothing() {
        let nothing = Facts {
            connected: false,
            wanted_assets: 0,
            live_books: 0,
            ..GOOD
        };
        let code = |facts: Facts| {
            let health = facts.judge();
            assert!(health.healthy);
            let codes: Vec<_> = health.reasons.iter().map(|reason| reason.code).collect();
            codes
        };
        assert_eq!(code(nothing), ["no_markets"]);
        let left_out = 7;
        assert_eq!(
            code(Facts {
                left_out,
                ..nothing
            }),
            ["selection_empty"]
        );
        assert_eq!(code(Facts { left_out, ..GOOD }), ["books_not_live"]);
    }

    #[test]
    fn a_recorder_that_lags_or_fails_is_a_reason_of_its_own_and_harms_no_book() {
        for (recorder, expected) in [
            (RecorderState::Off, None),
            (RecorderState::Recording, None),
            (RecorderState::Behind, Some("recorder_behind")),
            (RecorderState::Failed, Some("recorder_failed")),
        ] {
            let live_books = 400;
            let health = Facts {
                live_books,
                recorder,
                ..GOOD
            }
            .judge();
            assert!(health.healthy, "{recorder:?}");
            let codes = health.reasons.iter().map(|reason| reason.code);
            assert!(codes.eq(expected), "{recorder:?}: {:?}", health.reasons);
        }
    }

    /// All combinations of what the verdict depends on.
    fn all() -> impl Iterator<Item = Facts> {
        (0..1_u32 << 7).flat_map(|bits| {
            let bit = move |at: u32| bits >> at & 1 == 1;
            [(false, 0), (false, 4), (true, 4)]
                .into_iter()
                .flat_map(move |(connected, wanted)| {
                    [(0, 0, 0), (0, 3, 0), (1, 3, 0), (4, 0, 0), (4, 0, 4)].map(
                        move |(live, stale, unknown)| Facts {
                            running: bit(0),
                            registry: bit(1),
                            router: bit(2),
                            workers: bit(3),
                            lifecycle: bit(4),
                            recycler: bit(5),
                            connected,
                            wanted_assets: wanted,
                            live_books: live,
                            stale_books: stale,
                            formats_unknown: unknown,
                            left_out: usize::from(bit(6)) * 9,
                            recorder: match bits % 3 {
                                0 => RecorderState::Recording,
                                1 => RecorderState::Behind,
                                _ => RecorderState::Failed,
                            },
                        },
                    )
                })
        })
    }

    #[test]
    fn what_is_not_healthy_says_why_and_degraded_says_what() {
        const HARMLESS: [&str; 6] = [
            "no_markets",
            "selection_empty",
            "books_not_live",
            "hashes_not_reproduced",
            "recorder_behind",
            "recorder_failed",
        ];
        for facts in all() {
            let health = facts.judge();
            let grave = |reason: &&polypy_core::Reason| !HARMLESS.contains(&reason.code);
            let graves = health.reasons.iter().filter(grave).count();
            assert_eq!(health.healthy, graves == 0, "{facts:?} {health:?}");
            let wanted = u64::try_from(facts.wanted_assets).unwrap();
            if health.healthy && health.reasons.is_empty() {
                assert!(wanted > 0 && facts.live_books >= wanted, "{facts:?}");
            }
        }
        let some = Facts {
            wanted_assets: 60,
            live_books: 2,
            stale_books: 50,
            ..GOOD
        }
        .judge();
        assert!(some.healthy);
        assert_eq!(some.reasons[0].code, "books_not_live");
        assert_eq!(some.reasons[0].text, "2 of 60 books are live");
        let counts = [("wanted", 60), ("live", 2), ("stale", 50), ("awaited", 8)];
        assert_eq!(some.counts, [("books", counts.to_vec())]);
    }

    #[test]
    fn every_reason_is_in_the_table_and_in_the_manual() {
        let table = include_str!("verdict.rs");
        let manual = include_str!("../../../docs/http-api.md");
        let codes: std::collections::BTreeSet<_> = all()
            .flat_map(|facts| facts.judge().reasons)
            .map(|reason| reason.code)
            .collect();
        assert_eq!(codes.len(), 14);
        for code in codes {
            let quoted = format!("`{code}`");
            let documented = table
                .lines()
                .any(|line| line.starts_with("//! |") && line.contains(&quoted));
            assert!(documented, "{code} in the table");
            assert!(manual.contains(&quoted), "{code} in the manual");
        }
    }

    #[test]
    fn components_are_named_in_the_documented_order() {
        let names: Vec<_> = GOOD
            .judge()
            .components
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(
            names,
            [
                "registry",
                "pool",
                "router",
                "workers",
                "lifecycle",
                "recycler"
            ]
        );
        let pool = Facts {
            connected: false,
            wanted_assets: 0,
            ..GOOD
        }
        .judge();
        assert!(pool.components.contains(&("pool", false)));
    }
}
