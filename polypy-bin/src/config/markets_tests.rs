use super::*;

fn shown<T: Setting>(text: &str) -> Result<String, String> {
    T::parse(text).map(|value| value.show())
}

type Show = fn(&str) -> Result<String, String>;

#[test]
fn markets_are_named_as_a_person_writes_them() {
    let cases: &[(Show, &str, &str)] = &[
        (shown::<List<Label>>, "", ""),
        (
            shown::<List<Label>>,
            "Middle East ,crypto,  ",
            "Middle East, crypto",
        ),
        (shown::<List<Glob>>, "BTC-* , a-b", "BTC-*, a-b"),
        (shown::<List<Phrase>>, "fed rate,Łódź", "fed rate, Łódź"),
        (shown::<List<ConditionId>>, "0x1 ,0xab", "0x1, 0xab"),
        (
            shown::<List<Name>>,
            "0x1, Who-Will-Win",
            "0x1, Who-Will-Win",
        ),
        (shown::<Option<Cents>>, "", ""),
        (shown::<Option<Cents>>, "10000", "10000"),
        (shown::<Option<Cents>>, "0.5", "0.50"),
        (shown::<Option<Bound>>, "", ""),
        (
            shown::<Option<Bound>>,
            "2026-12-31",
            "2026-12-31T00:00:00.000Z",
        ),
        (
            shown::<Option<Bound>>,
            "2026-12-31T12:00:00+02:00",
            "2026-12-31T10:00:00.000Z",
        ),
        (shown::<Option<Bound>>, "7d", "7d"),
        (shown::<Option<Bound>>, "48h", "2d"),
        (shown::<Option<Bound>>, "36h", "36h"),
        (shown::<Option<Bound>>, "0d", "0d"),
        (shown::<Option<Bound>>, "90m", "90m"),
        (shown::<Option<bool>>, "Any", "any"),
        (shown::<Option<bool>>, "no", "false"),
        (shown::<Option<ShardOf>>, "", ""),
        (shown::<Option<ShardOf>>, "0/1", "0/1"),
        (shown::<Option<ShardOf>>, "3/4", "3/4"),
        (shown::<SeatOrder>, "end", "end"),
    ];
    for (show, text, expected) in cases {
        let once = show(text);
        assert_eq!(once.as_deref(), Ok(*expected), "{text}");
        assert_eq!(show(expected), once, "{text} shown and read again");
    }
}

#[test]
fn what_names_no_market_is_refused_with_what_was_wanted() {
    let cases: &[(Show, &str, &str)] = &[
        (
            shown::<List<Label>>,
            "crypto, ?!",
            "not \"?!\": there is no letter or digit in it",
        ),
        (
            shown::<List<Label>>,
            ", ,",
            "has nothing but blanks and commas, \", ,\": name something, or leave it empty",
        ),
        (shown::<List<Glob>>, " ", "nothing but blanks"),
        (shown::<List<Glob>>, "a b", "btc-updown-*"),
        (shown::<List<Phrase>>, "?", "one to eight words"),
        (
            shown::<List<Phrase>>,
            "a b c d e f g h i",
            "more than 8 words",
        ),
        (shown::<List<Phrase>>, "🚀", "no letter or digit"),
        (shown::<List<ConditionId>>, "0xg", "hexadecimal"),
        (shown::<List<ConditionId>>, "a-slug", "condition ids"),
        (shown::<List<Name>>, "0xg", "hexadecimal"),
        (shown::<List<Name>>, "btc-*", "whole slugs"),
        (shown::<List<Name>>, "a\u{1b} b", "whole slugs"),
        (shown::<Option<Cents>>, "-1", "such as 10000"),
        (shown::<Option<Cents>>, "much", "such as 10000"),
        (shown::<Option<Cents>>, "1e6", "plain digits"),
        (shown::<Option<Cents>>, "10_000", "plain digits"),
        (shown::<Option<Bound>>, "2026-13-01", "such as 2026-12-31"),
        (shown::<Option<Bound>>, "-7d", "7d, 12h or 30m"),
        (shown::<Option<Bound>>, "1.5h", "7d, 12h or 30m"),
        (shown::<Option<Bound>>, "tomorrow", "7d, 12h or 30m"),
        (shown::<Option<bool>>, "maybe", "any, true or false"),
        (shown::<Option<ShardOf>>, "4/4", "the last of 4 is 3/4"),
        (shown::<Option<ShardOf>>, "0/0", "1 to 256"),
        (shown::<Option<ShardOf>>, "0/257", "1 to 256"),
        (shown::<Option<ShardOf>>, "1", "two numbers"),
        (shown::<SeatOrder>, "newest", "volume_day, volume,"),
    ];
    for (show, text, expected) in cases {
        let reason = show(text).expect_err(text);
        assert!(reason.contains(expected), "{text}: {reason}");
        assert!(!reason.contains('\u{1b}'), "control characters escaped");
    }
}
