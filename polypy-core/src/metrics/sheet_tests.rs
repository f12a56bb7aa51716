use super::*;
use crate::StatsSource;

crate::counters! {
    /// Hash checks,
    /// by result.
    pub(crate) Checks is "test_checks_total" with "check=\"hash\"," by "result" {
        /// Reproduced at once.
        passed,
        /// Not
        /// reproduced.
        failed,
    }
}

struct Member {
    lost: u64,
    seen: Option<u64>,
}

type Shown = Entry<Member>;

static MEMBER: &[Shown] = &[
    Shown::counter("lost", "test_lost_total", "Lost.", |member| {
        member.lost.into()
    })
    .sparse(),
    Shown::gauge("seen_ms", "", "Seen.", |member| member.seen.into()).unit(Unit::Millis),
];
static BY_CAUSE: Row = Row::by(
    Kind::Counter,
    "causes",
    "test_causes_total",
    "cause",
    "By cause.",
);
static SPARSE: Row = Row::by(Kind::Counter, "kinds", "", "kind", "By kind.").sparse();
static BESIDE: Row = Row::by(Kind::Counter, "*", "test_codes_total", "code", "By code.");
static NAMES: Row = Row::text("names", "Names.");
static TOOK: Row = Row::histogram("test_took_seconds", "Took.", Span::LONG);
static OUTER: Part = Part::new("outer", "An object.");
static LEFT_OUT: Part = Part::new("left_out", "Nothing to say.");
static ARRAY: List = List::array("array", "Members.");
static NAMED: List = List::by_name("named", "name", "Members by name.");

#[derive(Default)]
struct Source {
    checks: [Checks; 2],
    members: Vec<(String, u64)>,
}

impl StatsSource for Source {
    fn show(&self, sheet: &mut dyn Sheet) {
        sheet.part(&OUTER, |sheet| sheet.sum(Checks::ROWS, self.checks.iter()));
        sheet.optional(&LEFT_OUT, MEMBER, None);
        let members = || {
            let seen = |lost: u64| (lost > 1).then_some(lost);
            let member = move |lost| Member {
                lost,
                seen: seen(lost),
            };
            self.members
                .iter()
                .map(move |(name, lost)| (name, member(*lost)))
        };
        sheet.each(&ARRAY, MEMBER, members());
        sheet.each_with(&NAMED, MEMBER, members(), |sheet, member| {
            let lost = member.map_or(0, |member| member.lost);
            sheet.members(&BESIDE, &mut [("200", lost)].into_iter());
        });
        sheet.members(&BY_CAUSE, &mut [("side", 0), ("\"price\"", 3)].into_iter());
        sheet.members(&SPARSE, &mut [("none", 0)].into_iter());
        sheet.words(&NAMES, &mut ["a", "b"].into_iter());
        sheet.histogram(&TOOK, &Reading::default());
    }
}

#[test]
fn json_nests_objects_and_lists() {
    let mut source = Source::default();
    source.checks[0].passed.add(2);
    source.checks[1].passed.add(3);
    let empty = r#"{"outer":{"passed":5,"failed":0},"array":[],"named":{},"causes":{"side":0,"\"price\"":3},"kinds":{},"names":["a","b"]}"#;
    let shown = |source: &Source| {
        let mut sheet = JsonSheet::with_capacity(0);
        source.show(&mut sheet);
        String::from_utf8(sheet.finish()).unwrap()
    };
    assert_eq!(shown(&source), empty);
    source.members = vec![("x".to_owned(), 0), ("y\\".to_owned(), 7)];
    let full = r#""array":[{"seen_ms":null},{"lost":7,"seen_ms":7}],"named":{"x":{"seen_ms":null,"200":0},"y\\":{"lost":7,"seen_ms":7,"200":7}},"#;
    assert_eq!(
        shown(&source),
        empty.replace(r#""array":[],"named":{},"#, full)
    );
    assert_eq!(source.stats()["named"]["y\\"]["200"], 7);
    assert_eq!(source.stats()["array"][1]["lost"], 7);
}

#[test]
fn the_manual_lists_each_row_once_whatever_is_there() {
    let listed = |members: usize| {
        let members = (0..members).map(|member| (member.to_string(), 1));
        let source = Source {
            members: members.collect(),
            ..Source::default()
        };
        let mut sheet = ManualSheet::default();
        source.show(&mut sheet);
        let lines = sheet.finish();
        let lines = lines
            .iter()
            .map(|line| (line.path.clone(), &*line.labels, line.row));
        lines
            .map(|(path, labels, row)| format!("{path} {}{labels:?}", row.metric()))
            .collect::<Vec<_>>()
    };
    let expected = [
        "outer.passed test_checks_total[]",
        "outer.failed test_checks_total[]",
        "left_out.lost test_lost_total[]",
        "left_out.seen_ms []",
        "array[].lost test_lost_total[\"\"]",
        "array[].seen_ms [\"\"]",
        "named.*.lost test_lost_total[\"name\"]",
        "named.*.seen_ms [\"name\"]",
        "named.*.* test_codes_total[\"name\"]",
        "causes.* test_causes_total[]",
        "kinds.* []",
        "names[] []",
        " test_took_seconds[]",
    ];
    assert_eq!(listed(0), expected);
    assert_eq!(listed(3), expected);
}

#[test]
fn a_record_of_counters_has_a_row_for_each_field() {
    let rows: Vec<_> = Checks::ROWS.iter().map(Entry::row).collect();
    let labels: Vec<_> = rows.iter().map(|row| row.labels()).collect();
    assert_eq!(
        labels,
        [
            r#"check="hash",result="passed""#,
            r#"check="hash",result="failed""#
        ]
    );
    assert_eq!(rows[1].help(), " Not reproduced.");
    assert_eq!(rows[1].family_help(), " Hash checks, by result.");
    assert_eq!(rows[1].kind(), Kind::Counter);
}

/// Shows one number under two labels, in a list that only `/metrics` has.
struct Calls;

impl StatsSource for Calls {
    fn show(&self, sheet: &mut dyn Sheet) {
        static ASKED: Row = Row::by(Kind::Counter, "asked", "test_asked_total", "of", "Asked.");
        static HIDDEN: Row = Row::by(Kind::Counter, "", "test_hidden_total", "of", "Hidden.");
        static UNNAMED: List = List::by_name("", "service", "By service.");
        sheet.with("service=\"gamma\"");
        sheet.members(&ASKED, &mut [("markets", 2)].into_iter());
        sheet.without();
        sheet.each(
            &UNNAMED,
            MEMBER,
            [(
                "clob",
                Member {
                    lost: 1,
                    seen: None,
                },
            )]
            .into_iter(),
        );
        sheet.members(&HIDDEN, &mut [("markets", 2)].into_iter());
        sheet.part(&OUTER, |sheet| {
            sheet.table(
                MEMBER,
                &Member {
                    lost: 0,
                    seen: Some(1),
                },
            )
        });
    }
}

#[test]
fn what_has_no_key_is_not_in_json() {
    let json = r#"{"asked":{"markets":2},"outer":{"seen_ms":1}}"#;
    let mut sheet = JsonSheet::with_capacity(0);
    Calls.show(&mut sheet);
    assert_eq!(String::from_utf8(sheet.finish()).unwrap(), json);
}

#[test]
fn the_manual_says_where_a_row_stands_and_whether_it_is_a_metric() {
    let listed = |source: &dyn StatsSource| {
        let mut sheet = ManualSheet::default();
        source.show(&mut sheet);
        let line = |line: ManualLine| {
            let labels = line.labels.join(",");
            (line.path.clone(), line.part, labels, line.is_exposed())
        };
        sheet.finish().into_iter().map(line).collect::<Vec<_>>()
    };
    let row = |path: &str, part, labels: &str, is_exposed| {
        (path.to_owned(), part, labels.to_owned(), is_exposed)
    };
    assert_eq!(
        listed(&Calls),
        [
            row("asked.*", "", "service=\"gamma\"", true),
            row("", "", "service", true),
            row("", "", "service", false),
            row("", "", "", true),
            row("outer.lost", "outer", "", true),
            row("outer.seen_ms", "outer", "", false),
        ]
    );
    // An array without a label has nothing by which metrics could tell its members apart.
    let source = Source::default();
    let in_array = listed(&source).into_iter().filter(|line| line.1 == "array");
    assert!(in_array.into_iter().all(|line| !line.3));
}

#[test]
fn a_source_that_does_not_say_that_it_is_quick_may_wait() {
    assert_eq!(Source::default().quick_bytes(), None);
}

#[test]
fn an_object_is_left_out_of_json_while_it_has_nothing_to_show() {
    struct Maybe(Option<Member>);
    impl StatsSource for Maybe {
        fn show(&self, sheet: &mut dyn Sheet) {
            sheet.optional(&OUTER, MEMBER, self.0.as_ref());
        }
    }
    assert_eq!(Maybe(None).stats(), serde_json::json!({}));
    let shown = Maybe(Some(Member {
        lost: 2,
        seen: None,
    }))
    .stats();
    assert_eq!(
        shown,
        serde_json::json!({"outer": {"lost": 2, "seen_ms": null}})
    );
}

#[test]
fn lists_in_lists_have_names_or_none_each_for_itself() {
    struct Nested;
    impl StatsSource for Nested {
        fn show(&self, sheet: &mut dyn Sheet) {
            let member = || {
                [(
                    "x",
                    Member {
                        lost: 1,
                        seen: None,
                    },
                )]
                .into_iter()
            };
            sheet.each_with(&NAMED, MEMBER, member(), |sheet, _| {
                sheet.each_with(&ARRAY, MEMBER, member(), |sheet, _| {
                    sheet.each(&NAMED, MEMBER, member());
                });
                sheet.each(&NAMED, MEMBER, member());
            });
        }
    }
    let member = serde_json::json!({"lost": 1, "seen_ms": null});
    let with = |more: &[(&str, &serde_json::Value)]| {
        let mut all = member.clone();
        for (key, value) in more {
            all[*key] = (*value).clone();
        }
        all
    };
    let named = serde_json::json!({"x": member});
    let array = serde_json::json!([with(&[("named", &named)])]);
    let both = serde_json::json!({"named": {"x": with(&[("array", &array), ("named", &named)])}});
    assert_eq!(Nested.stats(), both);
}
