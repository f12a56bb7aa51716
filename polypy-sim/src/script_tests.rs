use super::*;
use crate::FaultKind;

#[test]
fn steps_come_by_time_with_everything_a_request_can_say() {
    let script = Script::parse(
        "# first the later one\n\
         [[step]]\nat = \"20s\"\nfault = \"wrong_hash\"\nshare = 0.5\nwith = { rate = 1 }\n\n\
         [[step]]\nat = \"500ms\"\nfor = \"5s\"\nfault = \"stall_asset\"\n\
         assets = [\"12\"]\nconnections = [3]\n",
    )
    .unwrap();
    assert_eq!(script.len(), 2);
    let [first, second] = &script.steps[..] else {
        panic!("{script:?}");
    };
    assert_eq!((first.at, first.line), (Duration::from_millis(500), 8));
    assert_eq!(first.fault.kind, FaultKind::StallAsset);
    assert_eq!(first.fault.lasting, Some(Duration::from_secs(5)));
    assert_eq!(first.fault.to_json()["assets"], json!(["12"]));
    assert_eq!(first.fault.to_json()["connections"], json!([3]));
    assert_eq!((second.at, second.line), (Duration::from_secs(20), 2));
    assert!((second.fault.number("rate") - 1.0).abs() < 1e-9);
    assert_eq!(second.fault.share, Some(0.5));
    assert!(Script::parse("").unwrap().is_empty());
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let error = Script::parse(
        "[[step]]\n\
         at = \"soon\"\n\
         fault = \"stall_aset\"\n\
         [[step]]\n\
         fault = \"duplicate\"\n\
         shar = 0.1\n\
         rate = 0.5\n\
         with = { rat = 0.1, rate = 7 }\n\
         assets = [12]\n\
         [[step]]\n\
         at = 3\n\
         [[step]]\n\
         at = \"1s\"\n\
         fault = \"engine_restart\"\n\
         share = 0.5\n\
         with = 1\n\
         [other]\n",
    )
    .unwrap_err();
    let told: Vec<(usize, &str, &str)> = error
        .mistakes
        .iter()
        .map(|mistake| (mistake.line, &*mistake.field, &*mistake.reason))
        .collect();
    for (line, field, reason) in [
        (2, "at", "not a duration"),
        (3, "fault", "did you mean \"stall_asset\"?"),
        (4, "at", "missing"),
        (6, "shar", "did you mean \"share\"?"),
        (7, "rate", "belongs into with"),
        (8, "rat", "did you mean \"rate\"?"),
        (8, "rate", "not a number from 0 to 1"),
        (9, "assets", "not a list of asset ids"),
        (11, "at", "not a duration"),
        (10, "fault", "missing"),
        (15, "share", "hits the whole exchange"),
        (16, "with", "not a table"),
        (17, "other", "a list of [[step]]"),
    ] {
        assert!(
            told.iter()
                .any(|(l, f, r)| *l == line && *f == field && r.contains(reason)),
            "{line} {field} {reason}\n{told:#?}"
        );
    }
    assert_eq!(told.len(), 13, "{told:#?}");
    assert!(told.is_sorted_by_key(|told| told.0));
    assert!(error.to_string().starts_with("line 2: at: not a duration"));
}

#[test]
fn broken_toml_is_told_by_its_line_alone() {
    for (text, line) in [
        ("[[step]]\nat = \"1s\nfault = \"x\"\n", 2),
        ("[[step]\n", 1),
        ("step = 1\n", 1),
        ("step = [1]\n", 1),
        ("\u{0}", 1),
    ] {
        let error = Script::parse(text).unwrap_err();
        assert_eq!(error.mistakes[0].line, line, "{text:?}: {error}");
    }
}

#[test]
fn no_damage_to_a_script_makes_reading_it_panic() {
    let whole = "[[step]]\nat = \"1s\"\nfault = \"duplicate\"\nwith = { rate = 0.5 }\n";
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..3_000 {
        let mut text: Vec<char> = whole.chars().collect();
        for _ in 0..rng.u32(1..6) {
            let at = rng.usize(..text.len());
            match rng.u32(..3) {
                0 => text[at] = rng.char('\u{0}'..='\u{ff}'),
                1 => text.insert(
                    at,
                    *rng.choice("[]{}=\",.#\n1".chars().collect::<Vec<_>>().iter())
                        .unwrap(),
                ),
                _ => text.truncate(at.max(1)),
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = Script::parse(&text) {
            assert!(!error.mistakes.is_empty(), "{text:?}");
        }
    }
}
