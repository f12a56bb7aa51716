//! Measured figures: a table for people, and a line of JSON each for scripts.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// One kind of measurement, a row a setting.
#[derive(Debug)]
pub struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows. Every column's name says its unit.
    pub fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self {
            name,
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row, a figure for each column.
    ///
    /// # Panics
    /// When it has another number of figures.
    pub fn row(&mut self, figures: &[f64]) {
        assert_eq!(figures.len(), self.columns.len());
        self.rows
            .push(figures.iter().map(|one| short(*one)).collect());
        self.record(figures);
    }

    /// Appends the row to the file that `POLYPY_BENCH_JSON` names, if it does.
    fn record(&self, figures: &[f64]) {
        let Some(path) = std::env::var_os("POLYPY_BENCH_JSON") else {
            return;
        };
        let columns = self.columns.iter().map(|column| (*column).to_owned());
        let figures: Map<_, _> = columns.zip(figures.iter().map(|one| json!(one))).collect();
        let line = json!({ "bench": self.name, "figures": Value::Object(figures) });
        let file = OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("the file can be written"), "{line}").expect("it is written");
    }

    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "called by tests, to be read")]
    pub fn print(&self) {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let cells = self.rows.iter().map(|row| row[at].len());
                cells.chain([column.len()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells = cells.zip(&widths);
            let cells: Vec<_> = cells
                .map(|(cell, &width)| format!("{cell:>width$}"))
                .collect();
            println!("| {} |", cells.join(" | "));
        };
        println!("\n{}", self.name);
        line(&mut self.columns.iter().copied());
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
    }
}

/// Three significant digits, and all of a count.
fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 || figure.fract() == 0.0 => grouped(&format!("{figure:.0}")),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.split_at(usize::from(digits.starts_with('-')));
    let mut text = sign.to_owned();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn figure(count: u64) -> f64 {
    count as f64
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> f64 {
    figure(bytes) / f64::from(1 << 20)
}

/// The value below which `percent` of some durations lie.
///
/// # Panics
/// When there are none.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[at]
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The machine and the build, for who reads the figures later.
pub fn conditions() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| {
        rest.trim_matches(['\t', ' ', ':'])
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let built = if cfg!(debug_assertions) {
        "test"
    } else {
        "release"
    };
    format!("{cores} cores of {model}, load {load}, {built} build")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_short() {
        for (figure, text) in [
            (0.0, "0"),
            (0.123, "0.12"),
            (5.0, "5"),
            (12.34, "12.3"),
            (100.0, "100"),
            (1_234_567.8, "1,234,568"),
            (-1_234.0, "-1,234"),
            (123_456.0, "123,456"),
        ] {
            assert_eq!(short(figure), text);
        }
    }

    #[test]
    fn percentiles_are_of_what_was_seen() {
        let seen: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&seen, 50), Duration::from_millis(51));
        assert_eq!(percentile(&seen, 99), Duration::from_millis(100));
        assert_eq!(percentile(&seen[..1], 99), Duration::from_millis(1));
    }
}
