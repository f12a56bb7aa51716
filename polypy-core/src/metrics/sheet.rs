//! Where parts show their numbers.

use super::histogram::Reading;
use super::row::{Entry, List, Number, Part, Row};

/// Takes numbers, row by row.
///
/// What is shown, and in which order, is the same each time, whatever the numbers
/// are: a sheet may rely on it. Parts call the methods of `dyn Sheet`, which go
/// through tables; the ones here are for what no table can say.
pub trait Sheet {
    /// One number.
    fn number(&mut self, row: &'static Row, number: Number<'_>);

    /// A histogram.
    fn histogram(&mut self, row: &'static Row, reading: &Reading);

    /// Numbers by name, of a row made by [`Row::by`].
    fn members(&mut self, row: &'static Row, members: &mut dyn Iterator<Item = (&str, u64)>);

    /// Texts, of a row made by [`Row::text`].
    fn words(&mut self, row: &'static Row, words: &mut dyn Iterator<Item = &str>);

    /// Begins an object.
    fn open(&mut self, part: &'static Part);

    /// Ends it.
    fn close(&mut self);

    /// Begins several objects of one kind.
    fn begin(&mut self, list: &'static List);

    /// Begins one of them.
    fn member(&mut self, name: &str);

    /// Ends it.
    fn end_member(&mut self);

    /// Ends the list.
    fn end(&mut self);

    /// Adds a label to what follows, `service="gamma"`, until [`Self::without`].
    fn with(&mut self, _label: &'static str) {}

    /// Takes the last label away.
    fn without(&mut self) {}

    /// Whether rows are wanted whose numbers are not there: those of a list without
    /// members, and of what is left out.
    fn wants_every_row(&self) -> bool {
        false
    }

    /// Whether members of a list would be shown. If not, they need not be read.
    fn wants(&self, _list: &'static List) -> bool {
        true
    }
}

impl dyn Sheet + '_ {
    /// Every row of a table.
    pub fn table<T>(&mut self, table: &'static [Entry<T>], of: &T) {
        for entry in table {
            self.number(entry.row(), entry.read(of));
        }
    }

    /// Every row of a table of counts, added up.
    pub fn sum<'t, T: 'static>(
        &mut self,
        table: &'static [Entry<T>],
        of: impl Iterator<Item = &'t T> + Clone,
    ) {
        for entry in table {
            let total: u64 = of
                .clone()
                .map(|one| match entry.read(one) {
                    Number::Count(number) => number,
                    _ => 0,
                })
                .sum();
            self.number(entry.row(), total.into());
        }
    }

    /// An object, and what is in it.
    pub fn part(&mut self, part: &'static Part, inside: impl FnOnce(&mut dyn Sheet)) {
        self.open(part);
        inside(self);
        self.close();
    }

    /// An object that is left out while there is nothing to show.
    pub fn optional<T>(&mut self, part: &'static Part, table: &'static [Entry<T>], of: Option<&T>) {
        match of {
            Some(of) => self.part(part, |sheet| sheet.table(table, of)),
            None if self.wants_every_row() => self.part(part, |sheet| sheet.rows(table)),
            None => {}
        }
    }

    /// Members of a list, each with the same table.
    pub fn each<T: 'static, N: AsRef<str>>(
        &mut self,
        list: &'static List,
        table: &'static [Entry<T>],
        members: impl Iterator<Item = (N, T)>,
    ) {
        self.each_with(list, table, members, |_, _| {});
    }

    /// The same, with more in each member than its table. `more` gets `None` from
    /// sheets that want every row; it shows then what it always shows, empty.
    pub fn each_with<T: 'static, N: AsRef<str>>(
        &mut self,
        list: &'static List,
        table: &'static [Entry<T>],
        members: impl Iterator<Item = (N, T)>,
        mut more: impl FnMut(&mut dyn Sheet, Option<&T>),
    ) {
        if !self.wants(list) {
            return;
        }
        self.begin(list);
        if self.wants_every_row() {
            self.member("");
            self.rows(table);
            more(self, None);
            self.end_member();
        }
        for (name, one) in members {
            self.member(name.as_ref());
            self.table(table, &one);
            more(self, Some(&one));
            self.end_member();
        }
        self.end();
    }

    /// The rows of a table without numbers.
    fn rows<T>(&mut self, table: &'static [Entry<T>]) {
        for entry in table {
            self.number(entry.row(), Number::Nothing);
        }
    }
}

/// A record of counters with its table: no field without a row.
///
/// All of its counters are one metric, told apart by the label whose value is the
/// field's name. The lines of documentation are the help texts.
///
/// ```
/// polypy_core::counters! {
///     /// Doors, by what became of them.
///     pub(crate) Doors is "example_doors_total" with "" by "outcome" {
///         /// Opened.
///         opened,
///         /// Slammed.
///         slammed,
///     }
/// }
/// let doors = Doors::default();
/// doors.slammed.increment();
/// let row = Doors::ROWS[1].row();
/// assert_eq!((row.key(), row.labels()), ("slammed", r#"outcome="slammed""#));
/// ```
#[macro_export]
macro_rules! counters {
    // Without the word `struct` in the call: what reads sources by their text would
    // take the fields for private ones.
    (
        $(#[doc = $doc:literal])+
        $vis:vis $name:ident is $metric:literal with $fixed:literal by $label:literal {
            $($(#[doc = $help:literal])+ $field:ident,)*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Default)]
        $vis struct $name {
            $($(#[doc = $help])+ $vis $field: $crate::metrics::Counter,)*
        }

        impl $name {
            const FAMILY: &'static str = concat!($($doc),+);
            /// A row for each field.
            $vis const ROWS: &'static [$crate::metrics::Entry<Self>] = &[$(
                $crate::metrics::Entry::<Self>::counter(
                    stringify!($field),
                    $metric,
                    concat!($($help),+),
                    |counters| counters.$field.get().into(),
                )
                .label(concat!($fixed, $label, "=\"", stringify!($field), "\""))
                .family(Self::FAMILY),
            )*];
        }
    };
}
