//! The sheet that takes the rows of which samples are made, and no others.

use std::collections::HashMap;
use std::sync::LazyLock;

use polypy_core::metrics::{List, Number, Part, Reading, Row, Sheet, Unit, ratio};

use super::table::{FIELDS, Rows, Source};

/// The fields that are made of a metric, by its name.
static BY_METRIC: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let mut by_metric: HashMap<_, Vec<usize>> = HashMap::new();
    for (place, field) in FIELDS.iter().enumerate() {
        let metric = match field.source {
            Source::Sum(rows) | Source::Greatest(rows) | Source::Rate(rows) => rows.metric,
            Source::Quantile(metric, _) => metric,
        };
        by_metric.entry(metric).or_default().push(place);
    }
    by_metric
});

/// What the rows said at one moment, by field: a number, or a histogram.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) numbers: Vec<Option<f64>>,
    pub(super) readings: HashMap<usize, Reading>,
}

impl Default for Taken {
    fn default() -> Self {
        Self {
            numbers: vec![None; FIELDS.len()],
            readings: HashMap::new(),
        }
    }
}

impl Taken {
    fn take(&mut self, row: &'static Row, member: &str, number: f64) {
        // A row without a metric is known by its key.
        let name = match row.metric() {
            "" => row.key(),
            metric => metric,
        };
        let Some(places) = BY_METRIC.get(name) else {
            return;
        };
        let number = number * scale(row.counted_in());
        for place in places {
            let kept = &mut self.numbers[*place];
            match FIELDS[*place].source {
                Source::Sum(rows) | Source::Rate(rows) if is_of(row, member, rows) => {
                    *kept = Some(kept.unwrap_or(0.0) + number);
                }
                Source::Greatest(rows) if is_of(row, member, rows) => {
                    *kept = Some(kept.unwrap_or(number).max(number));
                }
                Source::Sum(_) | Source::Rate(_) | Source::Greatest(_) | Source::Quantile(..) => {}
            }
        }
    }
}

fn is_of(row: &Row, member: &str, rows: Rows) -> bool {
    let labels = row.labels();
    let fits = rows.labels.is_empty() || rows.labels.iter().any(|one| labels.contains(one));
    fits && (rows.member.is_empty() || rows.member == member)
}

/// What makes seconds and bytes of it, as `/metrics` has them.
fn scale(unit: Unit) -> f64 {
    match unit {
        Unit::One | Unit::Seconds | Unit::Bytes => 1.0,
        Unit::Millis => 1e-3,
        Unit::Micros => 1e-6,
        Unit::Nanos => 1e-9,
        Unit::Megabytes => 1e6,
    }
}

impl Sheet for Taken {
    fn number(&mut self, row: &'static Row, number: Number<'_>) {
        let number = match number {
            Number::Count(count) => ratio(count, 1),
            Number::Thousandths(thousandths) => ratio(thousandths, 1_000),
            Number::Amount(amount) => amount,
            Number::Flag(flag) => f64::from(u8::from(flag)),
            Number::Text(_) | Number::Nothing => return,
        };
        self.take(row, "", number);
    }

    fn histogram(&mut self, row: &'static Row, reading: &Reading) {
        for place in BY_METRIC.get(row.metric()).into_iter().flatten() {
            self.readings.insert(*place, reading.clone());
        }
    }

    fn members(&mut self, row: &'static Row, members: &mut dyn Iterator<Item = (&str, u64)>) {
        let mut named = 0;
        for (member, number) in members {
            self.take(row, member, ratio(number, 1));
            named += 1;
        }
        // What has no member yet has none of anything.
        if named == 0 {
            self.take(row, "", 0.0);
        }
    }

    fn words(&mut self, _row: &'static Row, _words: &mut dyn Iterator<Item = &str>) {}

    fn open(&mut self, _part: &'static Part) {}

    fn close(&mut self) {}

    fn begin(&mut self, _list: &'static List) {}

    fn member(&mut self, _name: &str) {}

    fn end_member(&mut self) {}

    fn end(&mut self) {}

    // Not each connection, nor the original program's names.
    fn wants(&self, list: &'static List) -> bool {
        !list.is_detail() && !list.key().is_empty()
    }
}
