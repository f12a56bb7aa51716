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
//! and a connection is open or no asset is wanted yet.

use polypy_core::Health;

/// What is known at the moment of the question.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts {
    pub(super) running: bool,
    pub(super) registry: bool,
    pub(super) router: bool,
    pub(super) workers: bool,
    pub(super) lifecycle: bool,
    pub(super) recycler: bool,
    pub(super) open_connections: usize,
    pub(super) wanted_assets: usize,
}

impl Facts {
    pub(super) fn judge(self) -> Health {
        let connected = self.open_connections > 0;
        let healthy = self.running
            && self.registry
            && self.router
            && self.workers
            && self.lifecycle
            && self.recycler
            && (connected || self.wanted_assets == 0);
        Health::of(healthy)
            .with("registry", self.registry)
            .with("pool", connected)
            .with("router", self.router)
            .with("workers", self.workers)
            .with("lifecycle", self.lifecycle)
            .with("recycler", self.recycler)
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
        open_connections: 2,
        wanted_assets: 400,
    };

    #[test]
    fn everything_counts() {
        let cases = [
            ("all well", GOOD, true),
            ("before the start", Facts::default(), false),
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
                    open_connections: 0,
                    ..GOOD
                },
                false,
            ),
            (
                "nothing wanted yet",
                Facts {
                    open_connections: 0,
                    wanted_assets: 0,
                    ..GOOD
                },
                true,
            ),
        ];
        for (name, facts, expected) in cases {
            assert_eq!(facts.judge().healthy, expected, "{name}");
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
            open_connections: 0,
            wanted_assets: 0,
            ..GOOD
        }
        .judge();
        assert!(pool.components.contains(&("pool", false)));
    }
}
