//! What `/livez`, `/readyz` and `/startupz` say.
//!
//! | probe | check | holds when |
//! |---|---|---|
//! | live | `parts` | no part has ended without being asked to |
//! | live | `workers_restart` | no worker has failed so often that it stays down |
//! | live | `workers_responsive` | every worker's thread has looked for work within half a minute |
//! | ready, started | `started` | the start is through |
//! | ready, started | `first_crawl` | a crawl of the catalogue has succeeded |
//! | ready | `not_draining` | no end has been asked for |
//! | ready | `markets` | there are markets to follow, or the venue was listed to its end and none is meant |
//! | ready | `live_books` | the share of live books is `http.ready_live_share` at least; what a change of the selection added within a minute need not be |
//!
//! What the process mends itself is no reason to restart it: a venue that is away, a
//! worker that is being replaced, a discovery that fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use polypy_core::ComponentState;
use polypy_core::catalogue::NotFollowed;
use polypy_core::probe::{Check, Probe, ProbeSource};

use super::overview::{Overview, Phase};

/// A worker looks for work many times a second. Half a minute without is a thread that
/// will not come back, or a machine on which nothing else would help either.
const STUCK: Duration = Duration::from_secs(30);

/// What is known at the moment of the question.
#[derive(Debug, Clone, Default)]
struct Facts {
    /// Parts that ended without being asked to.
    ended: Vec<&'static str>,
    given_up_workers: usize,
    oldest_heartbeat: Duration,
    started: bool,
    draining: bool,
    discovered: bool,
    wanted_assets: usize,
    /// Those of them that a change has added a moment ago.
    recently_added: usize,
    /// The venue was listed to its end.
    listed: bool,
    open_markets: usize,
    /// Open markets of which the venue has not said which tags they have, where that
    /// decides.
    tags_unknown: usize,
    live_books: u64,
    least_live_share: f64,
}

impl Facts {
    fn checks(&self, probe: Probe) -> Vec<Check> {
        match probe {
            Probe::Live => vec![
                self.parts(),
                self.workers_restart(),
                self.workers_responsive(),
            ],
            Probe::Started => vec![self.started(), self.first_crawl()],
            Probe::Ready => vec![
                self.started(),
                self.not_draining(),
                self.first_crawl(),
                self.markets(),
                self.live(),
            ],
        }
    }

    fn parts(&self) -> Check {
        let text = match self.ended.as_slice() {
            [] => "no part has ended by itself".to_owned(),
            ended => format!("ended without being asked to: {}", ended.join(", ")),
        };
        Check::new("parts", self.ended.is_empty(), text)
    }

    fn workers_restart(&self) -> Check {
        let text = match self.given_up_workers {
            0 => "no worker has failed for good".to_owned(),
            workers => format!("workers that failed too often and stay down: {workers}"),
        };
        Check::new("workers_restart", self.given_up_workers == 0, text)
    }

    fn workers_responsive(&self) -> Check {
        let age = self.oldest_heartbeat.as_secs();
        let text = format!("every worker has looked for work within {age} s, of {STUCK:?}");
        Check::new("workers_responsive", self.oldest_heartbeat < STUCK, text)
    }

    fn started(&self) -> Check {
        let text = if self.started {
            "the start is through"
        } else {
            "the program has not started yet, or has stopped"
        };
        Check::new("started", self.started, text)
    }

    fn not_draining(&self) -> Check {
        let text = if self.draining {
            "the program is ending"
        } else {
            "no end has been asked for"
        };
        Check::new("not_draining", !self.draining, text)
    }

    fn first_crawl(&self) -> Check {
        let text = if self.discovered {
            "the catalogue has been crawled"
        } else {
            "no crawl of the catalogue has succeeded yet"
        };
        Check::new("first_crawl", self.discovered, text)
    }

    fn markets(&self) -> Check {
        let Self {
            wanted_assets: wanted,
            open_markets: open,
            tags_unknown: unknown,
            ..
        } = *self;
        let (holds, text) = match wanted {
            0 if !self.listed => (false, "no market is followed".to_owned()),
            // A venue that lists nothing is one that does not answer as it should.
            0 if open == 0 => (false, "the venue lists no open market".to_owned()),
            0 if unknown > 0 => (
                false,
                format!("no market is followed: the venue has not said which tags {unknown} have"),
            ),
            0 => (
                true,
                format!(
                    "the selection matches none of {open} open markets; /v1/selection shows it, \
                     and what of its names is not there"
                ),
            ),
            _ => (true, format!("{wanted} tokens are followed")),
        };
        Check::new("markets", holds, text)
    }

    /// What a change has added has a minute: until then the others alone have to be live.
    fn live(&self) -> Check {
        let wanted = self.wanted_assets.saturating_sub(self.recently_added);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let live = u32::try_from(self.live_books).unwrap_or(u32::MAX);
        let least = self.least_live_share;
        let enough = f64::from(live) >= f64::from(wanted) * least;
        let mut text = format!(
            "{live} of {} books are live, of which {least} must be",
            self.wanted_assets
        );
        if self.recently_added > 0 {
            text.push_str(&format!(
                " without {} that were added within a minute",
                self.recently_added
            ));
        }
        Check::new("live_books", enough, text)
    }
}

impl ProbeSource for Overview {
    fn checks(&self, probe: Probe) -> Vec<Check> {
        let parts = &self.parts;
        let (pending, subscribed, _expired) = parts.registry.counts();
        let phase = *self.phase.lock();
        let verdicts = parts.lifecycle.verdicts();
        Facts {
            ended: parts
                .in_start_order()
                .iter()
                .filter(|part| part.state() == ComponentState::Failed)
                .map(|part| part.name())
                .collect(),
            given_up_workers: parts.workers.given_up_count(),
            oldest_heartbeat: parts.workers.oldest_heartbeat(),
            started: matches!(phase, Phase::Running { .. } | Phase::Stopping),
            draining: phase == Phase::Stopping || self.draining.load(Ordering::SeqCst),
            discovered: parts.lifecycle.has_discovered(),
            wanted_assets: pending + subscribed,
            recently_added: parts.lifecycle.recently_added(),
            listed: parts.lifecycle.has_listed(),
            open_markets: verdicts.open(),
            tags_unknown: verdicts.not_followed(NotFollowed::TagsUnknown),
            live_books: parts.workers.store().counts().live,
            least_live_share: self.ready_live_share,
        }
        .checks(probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            started: true,
            discovered: true,
            wanted_assets: 400,
            listed: true,
            open_markets: 200,
            live_books: 400,
            least_live_share: 0.9,
            ..Facts::default()
        }
    }

    impl Facts {
        /// None of so many open markets is followed.
        fn select_nothing(&mut self, listed: bool, open: usize, tags_unknown: usize) {
            (self.wanted_assets, self.live_books) = (0, 0);
            (self.listed, self.open_markets) = (listed, open);
            self.tags_unknown = tags_unknown;
        }
    }

    #[test]
    fn what_was_added_a_moment_ago_need_not_be_live_and_everything_else_does() {
        let facts = |recently_added, live_books| Facts {
            wanted_assets: 1_000,
            recently_added,
            live_books,
            ..good()
        };
        assert_eq!(failed(&facts(600, 360), Probe::Ready), [""; 0]);
        assert_eq!(failed(&facts(600, 359), Probe::Ready), ["live_books"]);
        assert_eq!(failed(&facts(0, 899), Probe::Ready), ["live_books"]);
        let check = facts(600, 360).live();
        assert!(
            check
                .text
                .ends_with("without 600 that were added within a minute")
        );
    }

    fn failed(facts: &Facts, probe: Probe) -> Vec<&'static str> {
        let checks = facts.checks(probe);
        let failed = checks.iter().filter(|check| !check.passed);
        failed.map(|check| check.name).collect()
    }

    #[test]
    fn each_probe_fails_for_its_own_reasons_and_no_other() {
        use Probe::{Live, Ready, Started};
        type Change = fn(&mut Facts);
        let cases: [(Change, [&[&str]; 3]); 12] = [
            (|_| {}, [&[], &[], &[]]),
            (|facts| facts.ended.push("router"), [&["parts"], &[], &[]]),
            (
                |facts| facts.given_up_workers = 1,
                [&["workers_restart"], &[], &[]],
            ),
            (
                |facts| facts.oldest_heartbeat = STUCK,
                [&["workers_responsive"], &[], &[]],
            ),
            (
                |facts| facts.started = false,
                [&[], &["started"], &["started"]],
            ),
            (|facts| facts.draining = true, [&[], &["not_draining"], &[]]),
            (
                |facts| facts.discovered = false,
                [&[], &["first_crawl"], &["first_crawl"]],
            ),
            (
                |facts| facts.select_nothing(false, 200, 0),
                [&[], &["markets"], &[]],
            ),
            (
                |facts| facts.select_nothing(true, 0, 0),
                [&[], &["markets"], &[]],
            ),
            (
                |facts| facts.select_nothing(true, 200, 1),
                [&[], &["markets"], &[]],
            ),
            (|facts| facts.select_nothing(true, 200, 0), [&[], &[], &[]]),
            (|facts| facts.live_books = 359, [&[], &["live_books"], &[]]),
        ];
        for (at, (change, expected)) in cases.into_iter().enumerate() {
            let mut facts = good();
            change(&mut facts);
            let found = [Live, Ready, Started].map(|probe| failed(&facts, probe));
            assert_eq!(found.map(|names| names), expected, "case {at}");
        }
        let enough = Facts {
            live_books: 360,
            ..good()
        };
        assert_eq!(failed(&enough, Ready), [""; 0]);
    }

    #[test]
    fn every_check_is_in_the_table_and_in_the_manual() {
        let table = include_str!("probes.rs");
        let manual = include_str!("../../../docs/http-api.md");
        for (probe, name) in [
            (Probe::Live, "live"),
            (Probe::Ready, "ready"),
            (Probe::Started, "started"),
        ] {
            for check in good().checks(probe) {
                let quoted = format!("`{}`", check.name);
                let in_table = table.lines().any(|line| {
                    line.starts_with("//! |") && line.contains(&quoted) && line.contains(name)
                });
                assert!(in_table, "{quoted} of {name} in the table");
                assert!(manual.contains(&quoted), "{quoted} in the manual");
            }
        }
    }
}
