//! The figures of a run, the bars that are set for them, and how both are printed.

use serde::Serialize;

use super::bare::Played;
use super::crowd::Got;
use super::program::Counts;

/// What one stretch of time took, with some clients there.
#[derive(Debug, Clone, Serialize)]
pub struct Stretch {
    /// Who is there.
    pub name: &'static str,
    /// Clients that never read, beside those of `got`.
    pub stuck: usize,
    /// What hub and doors took from the first client's coming to the last one's having its
    /// openings, in processor time and in time.
    pub opening: [u64; 2],
    /// Its length.
    pub nanos: u64,
    /// Processor time of the threads of the venue's sockets and of the workers.
    pub feed_nanos: u64,
    /// Processor time of the hub's thread and of those that serve clients.
    pub api_nanos: u64,
    /// Processor time of the exchange.
    pub venue_nanos: u64,
    /// What the program counted meanwhile; books that are live and followed: at the end.
    pub counts: Counts,
    /// What the clients got.
    pub got: Got,
    /// The most memory that the program has held so far.
    pub memory_bytes: u64,
    /// Whenever it was asked, every book was live.
    pub all_live: bool,
}

impl Stretch {
    /// Level changes a second.
    pub fn change_rate(&self) -> f64 {
        1e9 * ratio(self.counts.changes, self.nanos)
    }

    /// Processor nanoseconds of the feed a change.
    pub fn feed(&self) -> f64 {
        ratio(self.feed_nanos, self.counts.changes)
    }

    /// Processor nanoseconds of the rest a message that a client got.
    pub fn api(&self) -> f64 {
        ratio(self.api_nanos, self.got.messages)
    }
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Tokens of the exchange.
    pub tokens: usize,
    /// Order events and trades that it is to make a second.
    pub rate: f64,
    /// Processors of the machine.
    pub cores: usize,
    /// In the order in which they were.
    pub stretches: Vec<Stretch>,
    /// The bare loop behind each stretch with a thousand clients, and what its clients got.
    pub bare: Vec<(Played, Got)>,
    /// Straight from the exchange, and by way of the relay.
    pub straight: Got,
    /// See `straight`.
    pub relayed: Got,
    /// Bytes that the configuration may come to.
    pub memory_bound: u64,
    /// Frames that the exchange dropped, steps that it was too slow for, sockets that it
    /// closed.
    pub venue_lost: u64,
}

/// Names of the stretches that bars are about.
pub const NOBODY: &str = "nobody";
/// See [`NOBODY`].
pub const ALONGSIDE: &str = "nobody, beside the bare loop";
/// See [`NOBODY`].
pub const THOUSAND: &str = "1,000 of 10 to 100 tokens";

/// The share by which the feed may cost more with clients.
const FEED: f64 = 1.05;
/// What a message of the bare loop costs, to one of ours, at least.
const FAN_OUT: f64 = 0.6;
/// Level changes a second.
const CHANGES: f64 = 5_000.0;

/// A figure, and what it has to be.
#[derive(Debug, Serialize)]
pub struct Bar {
    /// What.
    pub name: &'static str,
    /// As it is.
    pub is: String,
    /// As it is to be.
    pub wanted: String,
    /// Whether it is so.
    pub holds: bool,
}

impl Run {
    fn named(&self, name: &str) -> impl Iterator<Item = &Stretch> {
        self.stretches.iter().filter(move |one| one.name == name)
    }

    /// The feed's cost a change in all stretches of a name.
    fn feed(&self, name: &str) -> f64 {
        let sum = |of: fn(&Stretch) -> u64| self.named(name).map(of).sum();
        ratio(sum(|one| one.feed_nanos), sum(|one| one.counts.changes))
    }

    /// The feed's cost a change with a thousand clients, each time to that of nobody before
    /// and after, from the least to the most.
    fn feeds(&self) -> Vec<f64> {
        let alone: Vec<_> = self.named(NOBODY).map(Stretch::feed).collect();
        let pairs = alone.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
        let listened = self.named(THOUSAND).map(Stretch::feed);
        sorted(listened.zip(pairs).map(|(with, to)| with / to))
    }

    /// What a message costs the bare loop, each time to ours before it, from the least to
    /// the most.
    fn fan_outs(&self) -> Vec<f64> {
        let ours = self.named(THOUSAND).map(Stretch::api);
        sorted(
            self.bare
                .iter()
                .map(bare)
                .zip(ours)
                .map(|(bare, ours)| bare / ours),
        )
    }

    /// The bars.
    pub fn bars(&self) -> Vec<Bar> {
        let thousand: Vec<_> = self.named(THOUSAND).collect();
        let of_all = |of: fn(&Stretch) -> u64| self.stretches.iter().map(of).sum::<u64>();
        let of_thousand = |of: fn(&Stretch) -> u64| thousand.iter().copied().map(of).sum::<u64>();
        let changes = self.stretches.iter().map(Stretch::change_rate);
        let changes = changes.fold(f64::INFINITY, f64::min);
        let (feeds, fan_outs) = (self.feeds(), self.fan_outs());
        let (feed, fan_out) = (middle(&feeds), middle(&fan_outs));
        let memory = self.stretches.iter().map(|one| one.memory_bytes).max();
        let memory = memory.unwrap_or(u64::MAX);
        let missing = |got: &Got| got.gaps + got.faults + got.ended;
        let wrong: u64 = self.stretches.iter().map(|one| missing(&one.got)).sum();
        let unready: u64 = self
            .stretches
            .iter()
            .map(|one| one.got.clients - one.got.ready.min(one.got.clients))
            .sum();
        let stale = of_all(|one| one.counts.went_stale + u64::from(!one.all_live));
        let doubts = self.stretches.iter().map(|one| one.counts.suspected).max();
        let told = of_all(|one| one.got.not_live);
        let lost = self.venue_lost + of_all(|one| one.counts.lost);
        let healthy = of_thousand(|one| one.got.clients);
        vec![
            bar(
                "changes a second, the least of all",
                format!("{changes:.0}"),
                format!("at least {CHANGES:.0}"),
                changes >= CHANGES,
            ),
            bar(
                "the feed's processor time a change with 1,000 clients, to nobody",
                format!("{feed:.3}, the middle one of {feeds:.3?}"),
                format!("at most {FEED}"),
                feed <= FEED,
            ),
            bar(
                "dropped upstream: by exchange, router, connections, lanes",
                lost.to_string(),
                "0".to_owned(),
                lost == 0,
            ),
            bar(
                "books that went stale",
                stale.to_string(),
                "0".to_owned(),
                stale == 0,
            ),
            // A change that leads back to a state of the same millisecond is one, and comes with
            // an exchange that has fallen behind.
            bar(
                "times that a client was told of a doubt, and books that were doubted",
                format!("{told}, {}", doubts.unwrap_or(0)),
                "none without a doubted book".to_owned(),
                told == 0 || doubts > Some(0),
            ),
            bar(
                "clients that read and had a gap, a wrong sequence or an end",
                format!("{} of {healthy}", wrong + unready),
                "0".to_owned(),
                wrong + unready == 0 && healthy > 0,
            ),
            bar(
                "most memory, MiB",
                (memory >> 20).to_string(),
                format!("at most {}, by the keys", self.memory_bound >> 20),
                memory <= self.memory_bound,
            ),
            bar(
                "a message of the bare loop, to one of ours, in processor time",
                format!("{fan_out:.3}, the middle one of {fan_outs:.3?}"),
                format!("at least {FAN_OUT}"),
                fan_out >= FAN_OUT,
            ),
        ]
    }

    /// The tables for people.
    pub fn table(&self) -> String {
        let mut lines = vec![
            format!(
                "{} tokens, {} order events and trades a second; {} cores for exchange, program \
                 and clients together",
                self.tokens, self.rate, self.cores
            ),
            String::new(),
            "| clients | changes/s | feed ns/change | messages/s | messages/read | API ns/message \
             | age ms p50, p99 | cores: feed, API, exchange, clients |"
                .to_owned(),
            "|---|---:|---:|---:|---:|---:|---:|---|".to_owned(),
        ];
        for one in &self.stretches {
            lines.push(one.row());
        }
        lines.push(String::new());
        for one in &self.bare {
            let (played, got) = one;
            lines.push(format!(
                "bare loop, same messages, same clients: {:.0} ns/message, {:.0} messages/s, {:.2} \
                 messages/read, {:.2} messages/write, {} not taken by stuck sockets",
                bare(one),
                1e9 * ratio(got.messages, played.nanos),
                ratio(got.messages, got.reads),
                ratio(played.sent, played.writes),
                played.skipped
            ));
        }
        lines.extend([
            format!(
                "the feed's cost to nobody beside the bare loop: {:.3}",
                self.feed(THOUSAND) / self.feed(ALONGSIDE)
            ),
            format!(
                "age of a change, one client of everything, ms p50, p99: straight from the \
                 exchange {}, through a bare relay {}",
                ages(&self.straight),
                ages(&self.relayed)
            ),
            self.opened(),
            format!("what limits it: {}", self.limit()),
            String::new(),
            "| | is | wanted | |".to_owned(),
            "|---|---:|---|---|".to_owned(),
        ]);
        for Bar {
            name,
            is,
            wanted,
            holds,
        } in self.bars()
        {
            let word = if holds { "holds" } else { "MISSED" };
            lines.push(format!("| {name} | {is} | {wanted} | {word} |"));
        }
        lines.join("\n")
    }

    /// What it takes to open a thousand clients.
    fn opened(&self) -> String {
        let Some(one) = self.named(THOUSAND).next() else {
            return String::new();
        };
        let [cpu, time] = one.opening;
        format!(
            "{} clients with {} books to open: {:.2} s, of which the API took {:.2} s of processor \
             time, {:.1} us a book",
            one.got.clients,
            one.got.snapshots,
            ratio(time, 1_000_000_000),
            ratio(cpu, 1_000_000_000),
            ratio(cpu, 1_000 * one.got.snapshots.max(1)),
        )
    }

    /// How much of the machine the greatest stretch took.
    fn limit(&self) -> String {
        let Some(one) = self.named(THOUSAND).next() else {
            return String::new();
        };
        let busy = one.cores().iter().sum::<f64>();
        let of = self.cores;
        if busy > 0.9 * ratio(u64::try_from(of).unwrap_or(u64::MAX), 1) {
            format!(
                "the machine. {busy:.2} of {of} cores were taken with 1,000 clients; ages and \
                 rates are those of a full machine, processor times a message are not"
            )
        } else {
            format!(
                "the flow. {busy:.2} of {of} cores were taken with 1,000 clients: everything that \
                 was sent came at once"
            )
        }
    }
}

impl Stretch {
    /// Cores that the feed, the rest of the program, the exchange and the clients took.
    fn cores(&self) -> [f64; 4] {
        let all = [
            self.feed_nanos,
            self.api_nanos,
            self.venue_nanos,
            self.got.cpu_nanos,
        ];
        all.map(|nanos| ratio(nanos, self.nanos))
    }

    fn row(&self) -> String {
        let [feed, api, venue, clients] = self.cores();
        let stuck = match self.stuck {
            0 => String::new(),
            stuck => format!(", {stuck} of them stuck"),
        };
        let messages = if self.got.messages > 0 && self.counts.delivered > 0 {
            format!(
                "{:.0} | {:.2} | {:.0} | {}",
                1e9 * ratio(self.got.messages, self.nanos),
                ratio(self.got.messages, self.got.reads),
                self.api(),
                ages(&self.got),
            )
        } else {
            " | | | ".to_owned()
        };
        format!(
            "| {}{stuck} | {:.0} | {:.0} | {messages} | {feed:.3}, {api:.3}, \
             {venue:.3}, {clients:.3} |",
            self.name,
            self.change_rate(),
            self.feed(),
        )
    }
}

fn bar(name: &'static str, is: String, wanted: String, holds: bool) -> Bar {
    Bar {
        name,
        is,
        wanted,
        holds,
    }
}

/// What a message costs the bare loop, in processor nanoseconds.
fn bare((played, got): &(Played, Got)) -> f64 {
    ratio(played.cpu_nanos, got.messages)
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<_> = figures.collect();
    all.sort_by(f64::total_cmp);
    all
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ages(got: &Got) -> String {
    let millis = got.age_us.map(|micros| ratio(micros, 1_000));
    format!("{:.2}, {:.2}", millis[0], millis[1])
}

#[expect(
    clippy::cast_precision_loss,
    reason = "far below where a float loses a unit"
)]
fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}
