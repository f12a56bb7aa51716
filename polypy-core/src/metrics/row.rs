//! What a number is: its names, its kind and unit, and how it is read.

use std::time::Duration;

use super::histogram::Span;

/// How a number behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes both ways.
    Gauge,
    /// Durations by buckets.
    Histogram,
    /// A sum and a count.
    Summary,
    /// Words as labels; its value is one.
    Info,
}

/// What a number is counted in where it is read. `/stats` shows it as it is, under a
/// key that ends with the unit; `/metrics` shows seconds and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    One,
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Millis,
    /// Millionths of a second.
    Micros,
    /// Billionths of a second.
    Nanos,
    /// Bytes.
    Bytes,
    /// Millions of bytes.
    Megabytes,
}

/// A line of the table. Without a key it is not in `/stats`, without a metric not in
/// `/metrics`.
#[derive(Debug)]
pub struct Row {
    key: &'static str,
    metric: &'static str,
    labels: &'static str,
    help: &'static str,
    family_help: &'static str,
    kind: Kind,
    unit: Unit,
    span: Span,
    sparse: bool,
}

impl Row {
    const fn new(kind: Kind, key: &'static str, metric: &'static str, help: &'static str) -> Self {
        Self {
            key,
            metric,
            labels: "",
            help,
            family_help: "",
            kind,
            unit: Unit::One,
            span: Span::INTERNAL,
            sparse: false,
        }
    }

    /// A histogram: in `/metrics` alone.
    pub const fn histogram(metric: &'static str, help: &'static str, span: Span) -> Self {
        let mut row = Self::new(Kind::Histogram, "", metric, help);
        row.unit = Unit::Seconds;
        row.span = span;
        row
    }

    /// Numbers by name: an object under `key`, or its members beside the other fields
    /// when the key is `*`; one metric with `label`.
    pub const fn by(
        kind: Kind,
        key: &'static str,
        metric: &'static str,
        label: &'static str,
        help: &'static str,
    ) -> Self {
        let mut row = Self::new(kind, key, metric, help);
        row.labels = label;
        row
    }

    /// A text, or texts, in `/stats` alone.
    pub const fn text(key: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Gauge, key, "", help)
    }

    /// Labels of the metric as they are exposed: `check="hash",result="passed"`.
    #[must_use]
    pub const fn label(mut self, labels: &'static str) -> Self {
        self.labels = labels;
        self
    }

    /// What is said of the metric where several rows are one.
    #[must_use]
    pub const fn family(mut self, help: &'static str) -> Self {
        self.family_help = help;
        self
    }

    /// What it is counted in.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Leaves it out of `/stats` while it says nothing: zero, false or null. Of a row
    /// that counts by name the object stays, without the names that say nothing. A
    /// histogram, which is in `/metrics` alone, is left out there while it is empty.
    #[must_use]
    pub const fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// Its field in `/stats`.
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// Its name in `/metrics`.
    pub const fn metric(&self) -> &'static str {
        self.metric
    }

    /// Its labels there; of numbers by name the label that tells them apart.
    pub const fn labels(&self) -> &'static str {
        self.labels
    }

    /// A sentence for people.
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// The sentence for the metric as a whole.
    pub const fn family_help(&self) -> &'static str {
        if self.family_help.is_empty() {
            self.help
        } else {
            self.family_help
        }
    }

    /// How it behaves.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is counted in where it is read.
    pub const fn counted_in(&self) -> Unit {
        self.unit
    }

    /// The bounds of a histogram.
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Whether it is left out while it says nothing.
    pub const fn is_sparse(&self) -> bool {
        self.sparse
    }
}

/// What a row shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number<'a> {
    /// A whole number.
    Count(u64),
    /// Thousandths, shown as a number with a point.
    Thousandths(u64),
    /// Any other number.
    Amount(f64),
    /// Yes or no.
    Flag(bool),
    /// A text.
    Text(&'a str),
    /// Nothing yet.
    Nothing,
}

impl Number<'_> {
    /// A duration as seconds.
    pub fn seconds(duration: Duration) -> Self {
        Self::Thousandths(super::millis(duration))
    }

    /// A duration as whole milliseconds.
    pub fn millis(duration: Duration) -> Self {
        Self::Count(super::millis(duration))
    }

    /// Whether a sparse row is left out for it.
    pub fn says_nothing(&self) -> bool {
        match *self {
            Self::Count(number) | Self::Thousandths(number) => number == 0,
            Self::Amount(amount) => amount == 0.0,
            Self::Flag(flag) => !flag,
            Self::Text(_) => false,
            Self::Nothing => true,
        }
    }
}

impl From<u64> for Number<'_> {
    fn from(number: u64) -> Self {
        Self::Count(number)
    }
}

impl From<u32> for Number<'_> {
    fn from(number: u32) -> Self {
        Self::Count(number.into())
    }
}

impl From<usize> for Number<'_> {
    fn from(number: usize) -> Self {
        Self::Count(super::count(number))
    }
}

impl From<f64> for Number<'_> {
    fn from(amount: f64) -> Self {
        Self::Amount(amount)
    }
}

impl From<bool> for Number<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<'a> From<&'a str> for Number<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a, N: Into<Number<'a>>> From<Option<N>> for Number<'a> {
    fn from(number: Option<N>) -> Self {
        number.map_or(Self::Nothing, Into::into)
    }
}

/// A row, and how its number is read from `T`.
///
/// ```
/// use polypy_core::metrics::{Counter, Entry};
///
/// struct Doors {
///     opened: Counter,
/// }
///
/// type Shown = Entry<Doors>;
/// static ROWS: &[Shown] = &[Shown::counter(
///     "opened",
///     "example_doors_opened_total",
///     "Times a door was opened.",
///     |doors| doors.opened.get().into(),
/// )];
/// # let doors = Doors { opened: Counter::default() };
/// # assert_eq!(ROWS[0].read(&doors), 0u64.into());
/// ```
#[derive(Debug)]
pub struct Entry<T: 'static> {
    row: Row,
    read: for<'a> fn(&'a T) -> Number<'a>,
}

impl<T> Entry<T> {
    const fn new(row: Row, read: for<'a> fn(&'a T) -> Number<'a>) -> Self {
        Self { row, read }
    }

    /// A number that only grows.
    pub const fn counter(
        key: &'static str,
        metric: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a T) -> Number<'a>,
    ) -> Self {
        Self::new(Row::new(Kind::Counter, key, metric, help), read)
    }

    /// A number that goes both ways.
    pub const fn gauge(
        key: &'static str,
        metric: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a T) -> Number<'a>,
    ) -> Self {
        Self::new(Row::new(Kind::Gauge, key, metric, help), read)
    }

    /// A number in `/stats` alone.
    pub const fn shown(
        key: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a T) -> Number<'a>,
    ) -> Self {
        Self::new(Row::new(Kind::Gauge, key, "", help), read)
    }

    /// A number in `/metrics` alone.
    pub const fn exported(
        kind: Kind,
        metric: &'static str,
        help: &'static str,
        read: for<'a> fn(&'a T) -> Number<'a>,
    ) -> Self {
        Self::new(Row::new(kind, "", metric, help), read)
    }

    /// [`Row::label`].
    #[must_use]
    pub const fn label(mut self, labels: &'static str) -> Self {
        self.row.labels = labels;
        self
    }

    /// [`Row::family`].
    #[must_use]
    pub const fn family(mut self, help: &'static str) -> Self {
        self.row.family_help = help;
        self
    }

    /// [`Row::unit`].
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.row.unit = unit;
        self
    }

    /// [`Row::sparse`].
    #[must_use]
    pub const fn sparse(mut self) -> Self {
        self.row.sparse = true;
        self
    }

    /// The row.
    pub const fn row(&'static self) -> &'static Row {
        &self.row
    }

    /// The number as of now.
    pub fn read<'a>(&self, of: &'a T) -> Number<'a> {
        (self.read)(of)
    }
}

/// An object under a key of `/stats`.
#[derive(Debug)]
pub struct Part {
    key: &'static str,
    help: &'static str,
}

impl Part {
    /// An object under `key`.
    pub const fn new(key: &'static str, help: &'static str) -> Self {
        Self { key, help }
    }

    /// Its field in `/stats`.
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// What is in it.
    pub const fn help(&self) -> &'static str {
        self.help
    }
}

/// Several objects of one kind: an array, or an object by name.
#[derive(Debug)]
pub struct List {
    key: &'static str,
    label: &'static str,
    named: bool,
    detail: bool,
    help: &'static str,
}

impl List {
    /// An array, in `/stats` alone.
    pub const fn array(key: &'static str, help: &'static str) -> Self {
        Self {
            key,
            label: "",
            named: false,
            detail: false,
            help,
        }
    }

    /// An object by name; the name is `label` in `/metrics`. Without a key it is not in
    /// `/stats`.
    pub const fn by_name(key: &'static str, label: &'static str, help: &'static str) -> Self {
        Self {
            key,
            label,
            named: true,
            detail: false,
            help,
        }
    }

    /// Exposes an array's members too, told apart by `label`.
    #[must_use]
    pub const fn labelled(mut self, label: &'static str) -> Self {
        self.label = label;
        self
    }

    /// Exposes its members only where details are asked for: there may be hundreds.
    #[must_use]
    pub const fn detail(mut self) -> Self {
        self.detail = true;
        self
    }

    /// Its field in `/stats`.
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// Whether it is exposed only where details are asked for.
    pub const fn is_detail(&self) -> bool {
        self.detail
    }

    /// The label of its members; empty for those that are not in `/metrics`.
    pub const fn label(&self) -> &'static str {
        self.label
    }

    /// Whether its members have names in `/stats`.
    pub const fn is_named(&self) -> bool {
        self.named
    }

    /// What is in it.
    pub const fn help(&self) -> &'static str {
        self.help
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_in_seconds_with_a_point_or_in_whole_milliseconds() {
        let duration = Duration::from_micros(1_500_900);
        assert_eq!(Number::seconds(duration), Number::Thousandths(1_500));
        assert_eq!(Number::millis(duration), Number::Count(1_500));
    }

    #[test]
    fn zero_no_and_nothing_say_nothing_and_every_text_says_something() {
        for (nothing, something) in [
            (Number::Count(0), Number::Count(1)),
            (Number::Thousandths(0), Number::Thousandths(1)),
            (Number::Amount(0.0), Number::Amount(-0.5)),
            (Number::Flag(false), Number::Flag(true)),
            (Number::Nothing, Number::Text("")),
        ] {
            assert!(nothing.says_nothing(), "{nothing:?}");
            assert!(!something.says_nothing(), "{something:?}");
        }
    }

    #[test]
    fn whatever_a_part_counts_with_becomes_a_number() {
        assert_eq!(Number::from(7u64), Number::Count(7));
        assert_eq!(Number::from(7u32), Number::Count(7));
        assert_eq!(Number::from(7usize), Number::Count(7));
        assert_eq!(Number::from(0.5), Number::Amount(0.5));
        assert_eq!(Number::from(true), Number::Flag(true));
        assert_eq!(Number::from("open"), Number::Text("open"));
        assert_eq!(Number::from(Some(7u64)), Number::Count(7));
        assert_eq!(Number::from(None::<u64>), Number::Nothing);
    }

    #[test]
    fn a_row_says_what_it_was_declared_with() {
        static ROW: Row = Row::by(Kind::Gauge, "sizes", "test_sizes", "side", "Sizes.")
            .family("Sizes of all.")
            .unit(Unit::Megabytes)
            .sparse();
        assert_eq!((ROW.key(), ROW.metric()), ("sizes", "test_sizes"));
        assert_eq!((ROW.help(), ROW.family_help()), ("Sizes.", "Sizes of all."));
        assert_eq!((ROW.kind(), ROW.labels()), (Kind::Gauge, "side"));
        assert_eq!((ROW.counted_in(), ROW.is_sparse()), (Unit::Megabytes, true));

        static OTHER: Row = Row::by(Kind::Counter, "", "", "", "Others.").label("side=\"bid\"");
        assert_eq!(OTHER.labels(), "side=\"bid\"");
        assert_eq!(OTHER.family_help(), "Others.", "a family of its own");
        assert_eq!((OTHER.counted_in(), OTHER.is_sparse()), (Unit::One, false));

        static TOOK: Row = Row::histogram("test_took_seconds", "Took.", Span::NETWORK);
        assert_eq!((TOOK.key(), TOOK.kind()), ("", Kind::Histogram));
        assert_eq!(
            (TOOK.counted_in(), TOOK.span()),
            (Unit::Seconds, Span::NETWORK)
        );

        static WORDS: Row = Row::text("words", "Words.");
        assert_eq!(
            (WORDS.key(), WORDS.metric(), WORDS.help()),
            ("words", "", "Words.")
        );
    }

    #[test]
    fn an_entry_is_a_row_in_both_places_or_in_one() {
        type Shown = Entry<u64>;
        static ENTRIES: [Shown; 4] = [
            Shown::counter("done", "test_done_total", "Done.", |done| (*done).into()),
            Shown::gauge("waiting", "test_waiting", "Waiting.", |waiting| {
                (*waiting).into()
            })
            .label("queue=\"first\"")
            .family("Waiting anywhere.")
            .unit(Unit::Bytes)
            .sparse(),
            Shown::shown("age_ms", "Age.", |age| (*age).into()),
            Shown::exported(Kind::Info, "test_info", "Words.", |info| (*info).into()),
        ];
        let [done, waiting, age, info] = ENTRIES.each_ref().map(|entry| entry.row());
        assert_eq!((done.kind(), done.is_sparse()), (Kind::Counter, false));
        assert_eq!((done.key(), done.metric()), ("done", "test_done_total"));
        assert_eq!((waiting.kind(), waiting.is_sparse()), (Kind::Gauge, true));
        assert_eq!(waiting.labels(), "queue=\"first\"");
        assert_eq!(waiting.family_help(), "Waiting anywhere.");
        assert_eq!(waiting.counted_in(), Unit::Bytes);
        assert_eq!((age.key(), age.metric()), ("age_ms", ""));
        assert_eq!(
            (info.kind(), info.key(), info.metric()),
            (Kind::Info, "", "test_info")
        );
        assert_eq!(ENTRIES[0].read(&7), Number::Count(7));
    }

    #[test]
    fn lists_say_whose_members_have_names_and_labels() {
        static PART: Part = Part::new("pool", "Connections.");
        assert_eq!((PART.key(), PART.help()), ("pool", "Connections."));

        static ARRAY: List = List::array("stats", "Each.");
        assert_eq!(
            (ARRAY.key(), ARRAY.label(), ARRAY.help()),
            ("stats", "", "Each.")
        );
        assert!(!ARRAY.is_named() && !ARRAY.is_detail());

        static LABELLED: List = List::array("stats", "Each.")
            .labelled("connection")
            .detail();
        assert_eq!(LABELLED.label(), "connection");
        assert!(!LABELLED.is_named() && LABELLED.is_detail());

        static NAMED: List = List::by_name("workers", "worker", "Each.");
        assert_eq!(
            (NAMED.key(), NAMED.label(), NAMED.help()),
            ("workers", "worker", "Each.")
        );
        assert!(NAMED.is_named() && !NAMED.is_detail());
    }
}
