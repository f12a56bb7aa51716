use super::*;

fn shown<T: Setting>(text: &str) -> Result<String, String> {
    T::parse(text).map(|value| value.show())
}

#[test]
fn values_read_as_a_person_writes_them() {
    type Show = fn(&str) -> Result<String, String>;
    let cases: &[(Show, &str, &str)] = &[
        (shown::<bool>, "yes", "true"),
        (shown::<bool>, "1", "true"),
        (shown::<bool>, "FALSE", "false"),
        (shown::<bool>, "no", "false"),
        (shown::<u16>, "8080", "8080"),
        (shown::<usize>, "65_536", "65536"),
        (shown::<f64>, "0.30", "0.3"),
        (shown::<f64>, "2", "2.0"),
        (shown::<Duration>, "250ms", "250ms"),
        (shown::<Duration>, "1.5s", "1500ms"),
        (shown::<Duration>, "60s", "1m"),
        (shown::<Duration>, "24h", "24h"),
        (shown::<Duration>, "0s", "0ms"),
        (shown::<Duration>, "0", "0ms"),
        (shown::<ByteSize>, "16MiB", "16MiB"),
        (shown::<ByteSize>, "16 mib", "16MiB"),
        (shown::<ByteSize>, "2048B", "2KiB"),
        (shown::<ByteSize>, "1KB", "1000B"),
        (shown::<ByteSize>, "0", "0B"),
        (shown::<ByteSize>, " 0 ", "0B"),
        (shown::<IpAddr>, "::1", "::1"),
        (shown::<SocketAddr>, "127.0.0.1:9", "127.0.0.1:9"),
        (shown::<WorkerCount>, "auto", "auto"),
        (shown::<WorkerCount>, "3", "3"),
        (shown::<LogFormat>, "JSON", "json"),
        (shown::<LogFilter>, "INFO", "info"),
        (shown::<LogFilter>, "WARNING", "warn"),
        (
            shown::<LogFilter>,
            "info, polypy_net=DEBUG",
            "info,polypy_net=debug",
        ),
        (
            shown::<LogFilter>,
            "polypy_net::pool::owner=trace,h2=warn",
            "polypy_net::pool::owner=trace,h2=warn",
        ),
        (shown::<HttpUrl>, "https://a.example/", "https://a.example"),
        (shown::<WsUrl>, "ws://[::1]:80/ws", "ws://[::1]:80/ws"),
        (shown::<Option<PathBuf>>, "", ""),
        (shown::<Option<PathBuf>>, "a/b.jsonl", "a/b.jsonl"),
    ];
    for (show, text, expected) in cases {
        let once = show(text);
        assert_eq!(once.as_deref(), Ok(*expected), "{text}");
        assert_eq!(show(expected), once, "{text} shown and read again");
    }
}

#[test]
fn nonsense_is_refused_with_what_was_wanted() {
    type Show = fn(&str) -> Result<String, String>;
    let cases: &[(Show, &str, &str)] = &[
        (shown::<bool>, "maybe", "true, false"),
        (shown::<u16>, "70000", "0 to 65535"),
        (shown::<u16>, "-1", "0 to 65535"),
        (shown::<usize>, "", "whole number"),
        (shown::<f64>, "NaN", "number"),
        (shown::<f64>, "inf", "number"),
        (shown::<Duration>, "30", "such as 250ms"),
        (shown::<Duration>, "-1s", "duration"),
        (shown::<Duration>, "1e400h", "duration"),
        (shown::<Duration>, "s", "duration"),
        (shown::<ByteSize>, "16", "such as 64KiB"),
        (shown::<ByteSize>, "00", "such as 64KiB"),
        (shown::<ByteSize>, "99999999999999999999GiB", "size"),
        (shown::<ByteSize>, "18446744073709551615GiB", "size"),
        (shown::<IpAddr>, "localhost", "IP address"),
        (shown::<SocketAddr>, "127.0.0.1", "port"),
        (shown::<WorkerCount>, "0", "1 to 64"),
        (shown::<WorkerCount>, "65", "1 to 64"),
        (shown::<LogFormat>, "xml", "auto, text or json"),
        (shown::<LogFilter>, "inof", "off, error"),
        (shown::<LogFilter>, "info,polypy_net", "off, error"),
        (
            shown::<LogFilter>,
            "info,polpy_net=debug",
            "did you mean polypy_net?",
        ),
        (
            shown::<LogFilter>,
            "polypy_nett::pool=debug",
            "did you mean polypy_net?",
        ),
        (
            shown::<LogFilter>,
            "info,polypy_net::pol=debug",
            "did you mean polypy_net::pool?",
        ),
        (
            shown::<LogFilter>,
            "polypy_net:pool=debug",
            "polypy_net has audit,",
        ),
        (
            shown::<LogFilter>,
            "polypy_workers::anything=debug",
            "polypy_workers has manager,",
        ),
        (
            shown::<LogFilter>,
            "polypy-net=debug",
            "did you mean polypy_net?",
        ),
        (
            shown::<LogFilter>,
            "info,polypy_net[read]=debug",
            "off, error",
        ),
        (shown::<LogFilter>, "=debug", "off, error"),
        (shown::<HttpUrl>, "ws://a", "http://"),
        (shown::<HttpUrl>, "http://", "http://"),
        (shown::<HttpUrl>, "http://:80", "http://"),
        (shown::<HttpUrl>, "http://a\u{1b}", "http://"),
        (shown::<WsUrl>, "https://a", "wss://"),
    ];
    for (show, text, expected) in cases {
        let reason = show(text).expect_err(text);
        assert!(reason.contains(expected), "{text}: {reason}");
        assert!(!reason.contains('\u{1b}'), "control characters escaped");
    }
}

#[test]
fn modules_of_ours_and_crates_that_we_do_not_know_can_be_logged() {
    for text in [
        "info,polypy_net=debug",
        "warn,polypy_net::pool=trace,polypy=info",
        "info,hyper=debug,rustls=trace",
    ] {
        assert!(LogFilter::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn ranges_include_their_ends() {
    let second = Duration::from_secs(1);
    assert!(within(&second, "1s", "5s").is_ok());
    assert!(within(&(second * 5), "1s", "5s").is_ok());
    let reason = within(&(second * 6), "1s", "5s").unwrap_err();
    assert_eq!(reason, "must be 1s to 5s, not 6s");
}

#[test]
fn numbers_that_are_too_large_are_refused_with_a_bound_that_a_person_reads() {
    let large = "99999999999999999999";
    let reason = usize::parse(large).unwrap_err();
    assert_eq!(
        reason,
        format!("must be a whole number of at most 19 digits, not {large:?}")
    );
    for odd in [large, "-1", "many"] {
        let reason = usize::parse_within(odd, "1", "500").unwrap_err();
        assert_eq!(
            reason,
            format!("must be a whole number from 1 to 500, not {odd:?}")
        );
    }
    assert_eq!(usize::parse_within("500", "1", "500"), Ok(500));
    let reason = usize::parse_within("501", "1", "500").unwrap_err();
    assert_eq!(reason, "must be 1 to 500, not 501");
    for key in crate::config::KEYS {
        let mut config = crate::config::Config::default();
        let Err(reason) = key.set(&mut config, large) else {
            continue;
        };
        assert!(
            !reason.contains("18446744073709551615"),
            "{}: {reason}",
            key.name
        );
    }
}

#[test]
fn auto_leaves_a_core_to_the_sockets() {
    let resolve = |cores| {
        WorkerCount::Auto
            .resolve(NonZeroUsize::new(cores).unwrap())
            .get()
    };
    assert_eq!([1, 2, 3, 64].map(resolve), [1, 1, 2, 4]);
}

#[test]
fn host_names_are_names_without_ports() {
    for (text, names) in [
        ("", &[][..]),
        ("Polypy.Example.org", &["polypy.example.org"]),
        (
            "a.example, *.b.example,c",
            &["a.example", "*.b.example", "c"],
        ),
        ("*", &["*"]),
    ] {
        let parsed = HostNames::parse(text).unwrap();
        assert_eq!(parsed.0, names, "{text}");
        assert_eq!(HostNames::parse(&parsed.show()), Ok(parsed));
    }
    let reason = HostNames::parse(" , ").unwrap_err();
    assert!(reason.contains("nothing but blanks and commas"), "{reason}");
    for odd in [
        "a:80",
        "http://a",
        "a..b",
        ".a",
        "*a.example",
        "a.*.b",
        "a b",
    ] {
        let reason = HostNames::parse(odd).unwrap_err();
        assert!(reason.contains("without a port"), "{reason}");
    }
}
