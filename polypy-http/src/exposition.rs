//! The sheet that writes the text formats of Prometheus and OpenMetrics.
//!
//! A family's samples must stand together, whichever part shows them and when: each family
//! has a buffer of its own, and they are joined at the end. Samples are the same in
//! both formats; the lines above them differ.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use polypy_core::StatsSource;
use polypy_core::metrics::{
    BUCKETS, Kind, List, Number, Part, Reading, Row, Sheet, Unit, count, write_count,
};

/// The last line of OpenMetrics.
const END: &[u8] = b"# EOF\n";
/// What a name of a label is cut to, in bytes.
const LABEL_LENGTH: usize = 64;

/// The bounds of histograms in seconds, each at its power of two microseconds.
static BOUNDS: LazyLock<[Vec<u8>; BUCKETS]> = LazyLock::new(|| {
    std::array::from_fn(|power| {
        let mut bound = Vec::new();
        write_decimal(&mut bound, 1 << power, 6);
        bound
    })
});

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

/// Made once and used again: the families, and the memory of their samples, stay.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// In the order in which they came first.
    families: Vec<Family>,
    rows: Vec<Shown>,
    /// The place in `rows` of a row, by the row's address: rows are there for ever.
    by_row: HashMap<usize, usize, BuildHasherDefault<AddressHasher>>,
    by_name: HashMap<&'static str, usize>,
    /// Labels from where the next row stands.
    labels: String,
    /// Lengths of `labels` to go back to.
    marks: Vec<usize>,
    /// The label of each list that is open; empty for one that is not exposed.
    lists: Vec<&'static str>,
    /// Room to put a line's beginning together.
    line: Vec<u8>,
    /// Whether members of lists are exposed of which there may be hundreds.
    details: bool,
}

/// A row that was shown.
#[derive(Debug)]
struct Shown {
    family: usize,
    /// What its line begins with where it has no labels but its own: most have none.
    line: Vec<u8>,
}

#[derive(Debug)]
struct Family {
    /// The lines above the samples in each format, which never change.
    text_head: Vec<u8>,
    open_metrics_head: Vec<u8>,
    samples: Vec<u8>,
}

/// An address is a hash already, but for its lowest bits.
#[derive(Debug, Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_usize(&mut self, address: usize) {
        self.0 = (count(address) >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Exposition {
    pub(crate) fn new(details: bool) -> Self {
        Self {
            details,
            ..Self::default()
        }
    }

    /// Writes what the source shows, as of now.
    pub(crate) fn render(&mut self, format: Format, source: &dyn StatsSource, out: &mut Vec<u8>) {
        for family in &mut self.families {
            family.samples.clear();
        }
        source.show(self);
        let lengths = self.families.iter().map(|one| one.lines(format));
        let length: usize = lengths
            .map(|[head, samples]| head.len() + samples.len())
            .sum();
        out.reserve(length + END.len());
        for family in &self.families {
            for part in family.lines(format) {
                out.extend_from_slice(part);
            }
        }
        if format == Format::OpenMetrics {
            out.extend_from_slice(END);
        }
    }

    fn is_hidden(&self, row: &Row) -> bool {
        row.metric().is_empty() || self.lists.iter().any(|label| label.is_empty())
    }

    fn shown(&mut self, row: &'static Row) -> usize {
        let address = std::ptr::from_ref(row).addr();
        if let Some(&at) = self.by_row.get(&address) {
            return at;
        }
        let name = family_name(row);
        let family = *self.by_name.entry(name).or_insert(self.families.len());
        if family == self.families.len() {
            self.families.push(Family {
                text_head: head(row, name, Format::Text),
                open_metrics_head: head(row, name, Format::OpenMetrics),
                samples: Vec::new(),
            });
        }
        let at = self.rows.len();
        let line = match row.labels() {
            "" => format!("{} ", row.metric()),
            labels => format!("{}{{{labels}}} ", row.metric()),
        };
        let line = line.into_bytes();
        self.rows.push(Shown { family, line });
        self.by_row.insert(address, at);
        at
    }

    /// The same as [`Self::sample`] for a row that stands alone under its own labels.
    fn line(&mut self, row: &'static Row) -> &mut Vec<u8> {
        if !self.labels.is_empty() {
            return self.sample(row, "", row.labels(), None);
        }
        let at = self.shown(row);
        let Shown { family, line } = &self.rows[at];
        let out = &mut self.families[*family].samples;
        out.extend_from_slice(line);
        out
    }

    /// Begins a line and returns its buffer: name and labels are written, the value
    /// is not.
    fn sample(
        &mut self,
        row: &'static Row,
        suffix: &str,
        own: &str,
        extra: Option<(&str, &str)>,
    ) -> &mut Vec<u8> {
        let at = self.shown(row);
        let out = &mut self.families[self.rows[at].family].samples;
        out.extend_from_slice(row.metric().as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        let mut separator = b'{';
        for labels in [self.labels.as_str(), own] {
            if !labels.is_empty() {
                out.push(separator);
                out.extend_from_slice(labels.as_bytes());
                separator = b',';
            }
        }
        if let Some((name, value)) = extra {
            out.push(separator);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            out.extend_from_slice(value.as_bytes());
            out.push(b'"');
            separator = b',';
        }
        if separator == b',' {
            out.push(b'}');
        }
        out.push(b' ');
        out
    }

    fn push_label(&mut self, label: &str) {
        self.marks.push(self.labels.len());
        if !self.labels.is_empty() {
            self.labels.push(',');
        }
        self.labels.push_str(label);
    }

    fn pop_label(&mut self) {
        let length = self.marks.pop().unwrap_or(0);
        self.labels.truncate(length);
    }
}

impl Sheet for Exposition {
    fn number(&mut self, row: &'static Row, number: Number<'_>) {
        if self.is_hidden(row) || matches!(number, Number::Text(_) | Number::Nothing) {
            return;
        }
        let out = self.line(row);
        write_number(out, number, row.counted_in());
        out.push(b'\n');
    }

    fn histogram(&mut self, row: &'static Row, reading: &Reading) {
        let says_nothing = row.is_sparse() && reading.count() == 0;
        if self.is_hidden(row) || says_nothing {
            return;
        }
        let at = self.shown(row);
        // What all buckets begin with is put together once.
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        line.extend_from_slice(row.metric().as_bytes());
        line.extend_from_slice(b"_bucket{");
        for labels in [self.labels.as_str(), row.labels()] {
            if !labels.is_empty() {
                line.extend_from_slice(labels.as_bytes());
                line.push(b',');
            }
        }
        line.extend_from_slice(b"le=\"");
        let all = reading.count();
        let out = &mut self.families[self.rows[at].family].samples;
        for (power, below) in reading.cumulative(row.span()) {
            out.extend_from_slice(&line);
            out.extend_from_slice(&BOUNDS[power]);
            out.extend_from_slice(b"\"} ");
            write_count(out, below);
            out.push(b'\n');
        }
        out.extend_from_slice(&line);
        out.extend_from_slice(b"+Inf\"} ");
        write_count(out, all);
        out.push(b'\n');
        self.line = line;
        let out = self.sample(row, "_sum", row.labels(), None);
        write_decimal(out, reading.total_micros(), 6);
        out.push(b'\n');
        let out = self.sample(row, "_count", row.labels(), None);
        write_count(out, all);
        out.push(b'\n');
    }

    fn members(&mut self, row: &'static Row, members: &mut dyn Iterator<Item = (&str, u64)>) {
        if self.is_hidden(row) {
            return;
        }
        for (name, number) in members {
            let name = escaped(name);
            let out = self.sample(row, "", "", Some((row.labels(), &name)));
            write_number(out, number.into(), row.counted_in());
            out.push(b'\n');
        }
    }

    fn words(&mut self, _row: &'static Row, _words: &mut dyn Iterator<Item = &str>) {}

    fn open(&mut self, _part: &'static Part) {}

    fn close(&mut self) {}

    fn wants(&self, list: &'static List) -> bool {
        !list.label().is_empty() && (self.details || !list.is_detail())
    }

    fn begin(&mut self, list: &'static List) {
        // One that is not wanted may have been begun all the same.
        let label = if self.wants(list) { list.label() } else { "" };
        self.lists.push(label);
    }

    fn member(&mut self, name: &str) {
        let label = self.lists.last().copied().unwrap_or_default();
        let label = format!("{label}=\"{}\"", escaped(name));
        self.push_label(&label);
    }

    fn end_member(&mut self) {
        self.pop_label();
    }

    fn end(&mut self) {
        self.lists.pop();
    }

    fn with(&mut self, label: &'static str) {
        self.push_label(label);
    }

    fn without(&mut self) {
        self.pop_label();
    }
}

impl Family {
    /// The family's lines; none if nobody has shown it.
    fn lines(&self, format: Format) -> [&[u8]; 2] {
        let head = match format {
            Format::Text => &self.text_head,
            Format::OpenMetrics => &self.open_metrics_head,
        };
        if self.samples.is_empty() {
            return [&[], &[]];
        }
        [head, &self.samples]
    }
}

/// The lines above a family's samples.
fn head(row: &'static Row, name: &'static str, format: Format) -> Vec<u8> {
    let (name, type_name) = match (format, row.kind()) {
        (Format::Text, Kind::Info) => (name, "gauge"),
        (Format::OpenMetrics, Kind::Info) => (without(name, "_info"), "info"),
        (Format::Text, Kind::Counter) => (name, "counter"),
        (Format::OpenMetrics, Kind::Counter) => (without(name, "_total"), "counter"),
        (_, Kind::Gauge) => (name, "gauge"),
        (_, Kind::Histogram) => (name, "histogram"),
        (_, Kind::Summary) => (name, "summary"),
    };
    let mut out = Vec::new();
    let mut comment = |keyword: &str, text: &str| {
        for part in ["# ", keyword, " ", name, " ", text, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    };
    let mut help = row.family_help().trim().replace('\\', "\\\\");
    if format == Format::OpenMetrics {
        help = help.replace('"', "\\\"");
        let unit = ["seconds", "bytes"];
        let unit = unit.into_iter().find(|unit| {
            let rest = name.strip_suffix(unit);
            rest.is_some_and(|rest| rest.ends_with('_'))
        });
        comment("TYPE", type_name);
        if let Some(unit) = unit {
            comment("UNIT", unit);
        }
        comment("HELP", &help);
    } else {
        comment("HELP", &help);
        comment("TYPE", type_name);
    }
    out
}

fn without(name: &'static str, suffix: &str) -> &'static str {
    name.strip_suffix(suffix).unwrap_or(name)
}

/// A summary's rows are its sum and its count.
fn family_name(row: &'static Row) -> &'static str {
    match row.kind() {
        Kind::Summary => without(without(row.metric(), "_sum"), "_count"),
        Kind::Counter | Kind::Gauge | Kind::Histogram | Kind::Info => row.metric(),
    }
}

/// A label's value as it stands between quotes.
fn escaped(value: &str) -> Cow<'_, str> {
    let value = &value[..value.floor_char_boundary(LABEL_LENGTH)];
    let is_special = |byte: u8| matches!(byte, b'\\' | b'"' | b'\n');
    if !value.bytes().any(is_special) {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// A number in seconds, bytes or things, whatever it is counted in.
fn write_number(out: &mut Vec<u8>, number: Number<'_>, unit: Unit) {
    let places = match unit {
        Unit::One | Unit::Seconds | Unit::Bytes | Unit::Megabytes => 0,
        Unit::Millis => 3,
        Unit::Micros => 6,
        Unit::Nanos => 9,
    };
    match number {
        Number::Count(number) => write_decimal(out, number, places),
        Number::Thousandths(number) => write_decimal(out, number, places + 3),
        Number::Amount(amount) => out.extend_from_slice(amount.to_string().as_bytes()),
        Number::Flag(flag) => out.push(if flag { b'1' } else { b'0' }),
        Number::Text(_) | Number::Nothing => {}
    }
}

/// A number with so many of its digits behind the point, without zeros at the end.
fn write_decimal(out: &mut Vec<u8>, number: u64, places: usize) {
    let power = u32::try_from(places).unwrap_or(0);
    let one = 10u64.pow(power);
    write_count(out, number / one);
    let fraction = number % one;
    if fraction == 0 {
        return;
    }
    // A one before it keeps the zeros at its beginning.
    let point = out.len();
    write_count(out, one + fraction);
    out[point] = b'.';
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
