//! What the program says of itself once a second: a *sample*, and samples over time.
//!
//! A sample is read off the rows that parts show: gauges as they are, counters as what they
//! have grown by in a second, histograms as quantiles of that second. `table` says which row
//! becomes which field.

mod history;
mod sheet;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::metrics::ratio;
use polypy_core::{
    Clock, ConnectionReport, ConnectionSource, Health, HealthSource, StatsSource, Timestamp,
};

use crate::client::Told;

use self::history::History;
pub(crate) use self::history::{MINUTES, SECONDS, Sample};
use self::sheet::Taken;
use self::table::{FIELDS, Source};

/// After a longer time nothing is a rate of a second any more.
const LONGEST: Duration = Duration::from_millis(2_500);
/// In a shorter time a rate says little.
const SHORTEST: Duration = Duration::from_millis(200);

/// Whom samples are taken of. The program owns what takes them, so it is not owned here.
#[derive(Clone)]
pub struct Watched {
    /// Its numbers.
    pub stats: Weak<dyn StatsSource>,
    /// Its verdict on itself.
    pub health: Weak<dyn HealthSource>,
    /// Its connections to the venue.
    pub connections: Weak<dyn ConnectionSource>,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// What a connection brought in the last second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rates {
    pub(crate) messages: Option<f64>,
    pub(crate) bytes: Option<f64>,
}

/// The samples of a program.
#[derive(Debug, Default)]
pub struct Samples {
    watched: Mutex<Option<Watched>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the rows said at the last sample.
    before: Option<(Instant, Taken)>,
    history: History,
    connections: HashMap<String, Counted>,
}

/// What a connection had counted, and what that came to since the time before.
#[derive(Debug)]
struct Counted {
    age: Duration,
    messages: u64,
    bytes: u64,
    rates: Rates,
}

impl Samples {
    pub(crate) fn watch(&self, watched: Watched) {
        *self.watched.lock() = Some(watched);
    }

    fn watched(&self) -> Option<Watched> {
        self.watched.lock().clone()
    }

    /// Takes one. Looks at every row once: some ten microseconds, and one more for each
    /// connection.
    pub(crate) fn take(&self, now: Instant) {
        let Some(watched) = self.watched() else {
            return;
        };
        let Some(stats) = watched.stats.upgrade() else {
            return;
        };
        let mut taken = Taken::default();
        stats.show(&mut taken);
        let connections = watched.connections.upgrade();
        let connections = connections.map(|source| source.connections());
        let at = watched.clock.now();
        let state = &mut *self.state.lock();
        let seconds = state.seconds_since(now);
        state.count(connections.unwrap_or_default(), seconds);
        state.add(at, now, taken, seconds);
    }

    /// The verdict as of now, with when that is.
    fn health(&self) -> Option<(Health, Timestamp)> {
        let watched = self.watched()?;
        let health = watched.health.upgrade()?.health();
        Some((health, watched.clock.now()))
    }

    /// What the channel `health` brings now.
    pub(crate) fn told(&self) -> Option<Told> {
        let (health, at) = self.health()?;
        let health = polypy_http::health_json(health, at).ok()?;
        Some(Told::Health {
            health: health.into(),
            sample: self.newest_json().into(),
        })
    }

    /// What the channel `stats` brings now. On a thread that may wait.
    pub(crate) fn stats_json(&self) -> Option<String> {
        let stats = self.watched()?.stats.upgrade()?;
        Some(stats.stats().to_string())
    }

    /// The newest sample as JSON; `null` before the first.
    pub(crate) fn newest_json(&self) -> String {
        let state = self.state.lock();
        let newest = state.history.newest();
        newest.map_or_else(|| "null".to_owned(), object)
    }

    /// The newest seconds, oldest first.
    pub(crate) fn seconds(&self, most: usize) -> Vec<Sample> {
        self.state.lock().history.seconds(most)
    }

    /// The newest minutes that are over, oldest first.
    pub(crate) fn minutes(&self, most: usize) -> Vec<Sample> {
        self.state.lock().history.minutes(most)
    }

    /// The connections as of now, with what they brought in the last second.
    pub(crate) fn connections(&self) -> Vec<(ConnectionReport, Rates)> {
        let source = self.watched();
        let source = source.and_then(|watched| watched.connections.upgrade());
        let reports = source.map_or_else(Vec::new, |source| source.connections());
        let state = self.state.lock();
        let reports = reports.into_iter().map(|report| {
            let counted = state.connections.get(&report.name);
            let rates = counted.filter(|counted| counted.age <= report.age);
            let rates = rates.map_or_else(Rates::default, |counted| counted.rates);
            (report, rates)
        });
        reports.collect()
    }
}

impl State {
    /// Since the last sample, if that was about a second ago.
    fn seconds_since(&self, now: Instant) -> Option<f64> {
        let (before, _) = self.before.as_ref()?;
        let passed = now.saturating_duration_since(*before);
        let is_second = (SHORTEST..=LONGEST).contains(&passed);
        is_second.then_some(passed.as_secs_f64())
    }

    fn add(&mut self, at: Timestamp, now: Instant, taken: Taken, seconds: Option<f64>) {
        let before = self.before.as_ref().map(|(_, before)| before);
        let values = FIELDS.iter().enumerate().map(|(place, field)| {
            let number = taken.numbers[place];
            match field.source {
                Source::Sum(_) | Source::Greatest(_) => number,
                Source::Rate(_) => rate(before?.numbers[place]?, number?, seconds?),
                Source::Quantile(_, percent) => {
                    let earlier = before?.readings.get(&place)?;
                    let since = taken.readings.get(&place)?.since(earlier);
                    seconds?;
                    (since.count() > 0).then(|| since.percentile_ms(percent))
                }
            }
        });
        let sample = Sample::new(at.millis(), values);
        self.history.push(sample);
        self.before = Some((now, taken));
    }

    fn count(&mut self, reports: Vec<ConnectionReport>, seconds: Option<f64>) {
        let mut before = std::mem::take(&mut self.connections);
        for report in reports {
            // A name that another connection had begins from the start.
            let known = before.remove(&report.name);
            let known = known.filter(|known| known.age <= report.age);
            let rate = |earlier: u64, later: u64| {
                let grown = later.checked_sub(earlier)?;
                Some(ratio(grown, 1) / seconds?)
            };
            let rates = known.map_or_else(Rates::default, |known| Rates {
                messages: rate(known.messages, report.messages),
                bytes: rate(known.bytes, report.bytes),
            });
            let counted = Counted {
                age: report.age,
                messages: report.messages,
                bytes: report.bytes,
                rates,
            };
            self.connections.insert(report.name, counted);
        }
    }
}

/// `None` where a counter began from the start.
fn rate(earlier: f64, later: f64, seconds: f64) -> Option<f64> {
    (later >= earlier).then(|| (later - earlier) / seconds)
}

/// The fields that were asked for, or all: their names and their places.
pub(crate) fn fields() -> impl Iterator<Item = (&'static str, usize)> {
    FIELDS
        .iter()
        .enumerate()
        .map(|(at, field)| (&*field.name, at))
}

/// A value to three digits behind the point.
pub(crate) fn write_value(out: &mut String, value: Option<f32>) {
    let Some(value) = value.map(f64::from) else {
        out.push_str("null");
        return;
    };
    let text = format!("{value:.3}");
    out.push_str(text.trim_end_matches('0').trim_end_matches('.'));
}

/// A sample as a JSON object.
fn object(sample: &Sample) -> String {
    let mut out = format!("{{\"ts_ms\":{}", sample.at_ms);
    for (name, place) in fields() {
        out.push_str(",\"");
        out.push_str(name);
        out.push_str("\":");
        write_value(&mut out, sample.value(place));
    }
    out.push('}');
    out
}

#[cfg(test)]
pub(crate) mod tests;
