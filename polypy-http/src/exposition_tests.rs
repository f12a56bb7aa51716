use polypy_core::metrics::{Counter, Entry, Histogram, Span};
use std::time::Duration;

use super::*;

struct Mill {
    ground: Counter,
    lost: u64,
    took: Histogram,
}

type Shown = Entry<Mill>;

static GROUND: &[Shown] = &[
    Shown::counter("ground", "mill_sacks_total", "Ground.", |mill| {
        mill.ground.get().into()
    })
    .label("outcome=\"ground\"")
    .family(" Sacks\\bags, \"by outcome\"."),
    Shown::gauge("age_ms", "mill_age_seconds", "Its age.", |_| {
        1_500u64.into()
    })
    .unit(Unit::Millis),
    Shown::exported(Kind::Gauge, "mill_slope", "Of the hill.", |_| 0.25.into()),
    Shown::gauge("is_open", "mill_open", "Whether it is open.", |_| {
        true.into()
    }),
    Shown::shown("name", "Its name.", |_| "old".into()),
    Shown::gauge("unknown", "mill_unknown", "Never known.", |_| {
        Number::Nothing
    }),
    Shown::exported(Kind::Info, "mill_build_info", "Who made it.", |_| {
        1u64.into()
    })
    .label("maker=\"Vos\""),
];
static LOST: &[Shown] =
    &[
        Shown::counter("lost", "mill_sacks_total", "Lost.", |mill| mill.lost.into())
            .label("outcome=\"lost\""),
    ];
static TOOK: Row = Row::histogram("mill_grinding_seconds", "Took.", Span::LONG);
static BUSY: &[Shown] = &[
    Shown::exported(Kind::Counter, "mill_busy_seconds_total", "Busy.", |_| {
        2_000_000_001u64.into()
    })
    .unit(Unit::Nanos),
    Shown::exported(Kind::Summary, "mill_rest_seconds_sum", "Rest.", |_| {
        7u64.into()
    }),
    Shown::exported(Kind::Summary, "mill_rest_seconds_count", "Rest.", |_| {
        3u64.into()
    }),
];
static BY_GRAIN: Row = Row::by(
    Kind::Counter,
    "grain",
    "mill_grain_total",
    "grain",
    "By grain.",
);
static STONES: List = List::by_name("stones", "stone", "Its stones.");
static SECRET: List = List::array("secret", "Not for everyone.");

impl StatsSource for Mill {
    fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(GROUND, self);
        sheet.histogram(&TOOK, &self.took.reading());
        sheet.with("place=\"hill\"");
        sheet.table(BUSY, self);
        sheet.without();
        sheet.begin(&STONES);
        for stone in ["a", "b\"\\\n"] {
            sheet.member(stone);
            sheet.members(&BY_GRAIN, &mut [("rye", 1), ("w\"heat", 2)].into_iter());
            sheet.end_member();
        }
        sheet.end();
        sheet.begin(&SECRET);
        sheet.member("x");
        sheet.table(LOST, self);
        sheet.end_member();
        sheet.end();
        // A family that was begun far above.
        sheet.table(LOST, self);
    }
}

fn mill() -> Mill {
    let mill = Mill {
        ground: Counter::default(),
        lost: 4,
        took: Histogram::default(),
    };
    mill.ground.add(3);
    mill.took.record(Duration::from_micros(900), 1);
    mill.took.record(Duration::from_secs(2), 2);
    mill
}

fn rendered(format: Format) -> String {
    let mut exposition = Exposition::default();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    exposition.render(format, &mill(), &mut first);
    // The second time everything is where it was.
    exposition.render(format, &mill(), &mut second);
    assert_eq!(second, first);
    String::from_utf8(first).unwrap()
}

#[test]
fn text_has_help_and_type_above_each_familys_samples() {
    let expected = r#"# HELP mill_sacks_total Sacks\\bags, "by outcome".
# TYPE mill_sacks_total counter
mill_sacks_total{outcome="ground"} 3
mill_sacks_total{outcome="lost"} 4
# HELP mill_age_seconds Its age.
# TYPE mill_age_seconds gauge
mill_age_seconds 1.5
# HELP mill_slope Of the hill.
# TYPE mill_slope gauge
mill_slope 0.25
# HELP mill_open Whether it is open.
# TYPE mill_open gauge
mill_open 1
# HELP mill_build_info Who made it.
# TYPE mill_build_info gauge
mill_build_info{maker="Vos"} 1
# HELP mill_grinding_seconds Took.
# TYPE mill_grinding_seconds histogram
mill_grinding_seconds_bucket{le="0.001024"} 1
mill_grinding_seconds_bucket{le="0.004096"} 1
mill_grinding_seconds_bucket{le="0.016384"} 1
mill_grinding_seconds_bucket{le="0.065536"} 1
mill_grinding_seconds_bucket{le="0.262144"} 1
mill_grinding_seconds_bucket{le="1.048576"} 1
mill_grinding_seconds_bucket{le="4.194304"} 3
mill_grinding_seconds_bucket{le="16.777216"} 3
mill_grinding_seconds_bucket{le="67.108864"} 3
mill_grinding_seconds_bucket{le="268.435456"} 3
mill_grinding_seconds_bucket{le="1073.741824"} 3
mill_grinding_seconds_bucket{le="+Inf"} 3
mill_grinding_seconds_sum 4.0009
mill_grinding_seconds_count 3
# HELP mill_busy_seconds_total Busy.
# TYPE mill_busy_seconds_total counter
mill_busy_seconds_total{place="hill"} 2.000000001
# HELP mill_rest_seconds Rest.
# TYPE mill_rest_seconds summary
mill_rest_seconds_sum{place="hill"} 7
mill_rest_seconds_count{place="hill"} 3
# HELP mill_grain_total By grain.
# TYPE mill_grain_total counter
mill_grain_total{stone="a",grain="rye"} 1
mill_grain_total{stone="a",grain="w\"heat"} 2
mill_grain_total{stone="b\"\\\n",grain="rye"} 1
mill_grain_total{stone="b\"\\\n",grain="w\"heat"} 2
"#;
    assert_eq!(rendered(Format::Text), expected);
}

#[test]
fn open_metrics_names_families_without_their_endings_and_ends_with_eof() {
    let text = rendered(Format::OpenMetrics);
    for lines in [
        "# TYPE mill_sacks counter\n# HELP mill_sacks Sacks\\\\bags, \\\"by outcome\\\".\nmill_sacks_total{outcome=\"ground\"} 3\n",
        "# TYPE mill_build info\n# HELP mill_build Who made it.\nmill_build_info{maker=\"Vos\"} 1\n",
        "# TYPE mill_age_seconds gauge\n# UNIT mill_age_seconds seconds\n# HELP",
        "# TYPE mill_busy_seconds counter\n# UNIT mill_busy_seconds seconds\n# HELP mill_busy_seconds Busy.\nmill_busy_seconds_total{",
    ] {
        assert!(text.contains(lines), "{lines} in {text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
    assert_eq!(text.matches("# EOF").count(), 1);
}

#[test]
fn labels_are_cut_at_a_letter() {
    let long = "ü".repeat(100);
    assert_eq!(escaped(&long), "ü".repeat(32));
}
