use super::*;

/// The root of the repository, where the files that show the table stand.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a file with what the table makes of it; with `POLYPY_BLESS` set in
/// the environment of the test, writes it.
fn compare(path: &str, expected: impl FnOnce(&str) -> String) {
    let path = root().join(path);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let expected = expected(&found);
    if std::env::var_os("POLYPY_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (found, expected) = (lines(&found), lines(&expected));
    let longest = found.len().max(expected.len());
    if let Some(line) = (0..longest).find(|line| found.get(*line) != expected.get(*line)) {
        panic!(
            "{} has drifted from the table, run the test with POLYPY_BLESS=1\n\
             line {}: {:?}\nexpected: {:?}",
            path.display(),
            line + 1,
            found.get(line),
            expected.get(line),
        );
    }
}

#[test]
fn the_example_file_is_the_table() {
    compare("polypy.example.toml", |_| example());
}

#[test]
fn the_documented_keys_are_the_table() {
    const BEGIN: &str = "<!-- keys: made from the table in polypy-bin/src/config/table.rs -->\n\n";
    const END: &str = "<!-- end of keys -->";
    compare("docs/configuration.md", |found| {
        let (head, rest) = found.split_once(BEGIN).expect("the marker before the keys");
        let (_, tail) = rest.split_once(END).expect("the marker after the keys");
        format!("{head}{BEGIN}{}{END}{tail}", documentation())
    });
}

#[test]
fn the_example_file_has_every_key_and_means_the_defaults() {
    let layer = document::from_toml(&example(), Path::new("example"));
    assert_eq!(layer.entries.len(), KEYS.len());
    assert_eq!(of_layer(layer).unwrap().config, Config::default());
}

#[test]
fn later_layers_outrank_earlier_ones() {
    let folder = temporary("outrank");
    let file = folder.join("p.toml");
    std::fs::write(&file, "[http]\nport = 1\nhost = '::1'\nenabled = true\n").unwrap();
    let mut flags = Layer::default();
    flags.set(
        key("http.enabled").unwrap(),
        "false",
        Source::Flag {
            flag: "--enable-http".to_owned(),
        },
    );
    let mut demo = Layer::default();
    demo.set(key("http.port").unwrap(), "7", Source::Demo);
    demo.set(key("log.level").unwrap(), "debug", Source::Demo);
    let loaded = Sources {
        named_file: Some(file.clone()),
        variables: vec![("HTTP_PORT".to_owned(), "2".to_owned())],
        demo,
        flags,
    }
    .load()
    .unwrap();
    std::fs::remove_dir_all(folder).unwrap();

    let origin = |name| loaded.origin(key(name).unwrap()).to_string();
    assert!(!loaded.config.http.enabled);
    assert_eq!(origin("http.enabled"), "flag --enable-http");
    assert_eq!(loaded.config.http.port, 2);
    assert_eq!(origin("http.port"), "environment HTTP_PORT");
    assert_eq!(loaded.config.http.host.to_string(), "::1");
    assert_eq!(origin("http.host"), format!("{} line 3", file.display()));
    assert_eq!(origin("log.level"), "demo");
    assert_eq!(origin("log.format"), "default");

    let printed = effective(&loaded);
    assert!(printed.contains("http.port = 2 "), "{printed}");
    assert!(printed.contains("# environment HTTP_PORT\n"), "{printed}");
    let again = document::from_toml(&printed, Path::new("printed"));
    assert!(again.mistakes.is_empty(), "what is printed can be read");
    assert_eq!(again.entries.len(), KEYS.len());
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let mut flags = Layer::default();
    flags.set(
        key("log.format").unwrap(),
        "xml",
        Source::Flag {
            flag: "--log-format".to_owned(),
        },
    );
    let error = Sources {
        named_file: Some(PathBuf::from("no/such.toml")),
        variables: vec![
            ("HTTP_PORT".to_owned(), "70000".to_owned()),
            ("POLYPY_HTTP__HSOT".to_owned(), "::1".to_owned()),
        ],
        flags,
        ..Sources::default()
    }
    .load()
    .unwrap_err();
    let text = error.to_string();
    assert_eq!(error.mistakes().len(), 4, "{text}");
    assert_eq!(text.lines().count(), 4);
    let unreadable = text
        .lines()
        .find(|line| line.starts_with("file: cannot be read: "));
    let unreadable = unreadable.expect(&text);
    assert!(unreadable.contains("no/such.toml"), "{text}");
    assert!(unreadable.ends_with("(flag --config)"), "{text}");
    assert!(
        text.contains("http.port: must be a whole number from 0 to 65535, not \"70000\" (environment HTTP_PORT)"),
        "{text}"
    );
    assert!(text.contains("did you mean POLYPY_HTTP__HOST?"), "{text}");
    assert!(
        text.contains("log.format: must be auto, text or json, not \"xml\" (flag --log-format)"),
        "{text}"
    );
}

/// A test that waits for ever is one that has failed.
#[cfg(unix)]
#[test]
fn a_file_that_is_none_is_refused_and_not_waited_for() {
    let folder = temporary("no-file");
    let pipe = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for (path, reason) in [
        (pipe.as_path(), "pipe: is a pipe that nobody writes to"),
        (
            Path::new("/dev/zero"),
            "/dev/zero: has more than 1048576 bytes",
        ),
        (folder.as_path(), "Is a directory"),
    ] {
        let named = Sources {
            named_file: Some(path.to_owned()),
            ..Sources::default()
        };
        let text = named.load().unwrap_err().to_string();
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn the_environment_can_name_the_file_and_a_flag_outranks_it() {
    let folder = temporary("named");
    let file = |name: &str, port: u16| {
        let path = folder.join(name);
        std::fs::write(&path, format!("[http]\nport = {port}\n")).unwrap();
        path
    };
    let (named, flagged) = (file("named.toml", 1), file("flagged.toml", 2));
    let variable = ("POLYPY_CONFIG".to_owned(), named.display().to_string());
    let load = |named_file| {
        let sources = Sources {
            named_file,
            variables: vec![variable.clone()],
            ..Sources::default()
        };
        let loaded = sources.load().unwrap();
        (loaded.config.http.port, loaded.file)
    };
    let found = [load(None), load(Some(flagged.clone()))];
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, [(1, Some(named)), (2, Some(flagged))]);
}

#[test]
fn a_file_is_looked_for_where_people_put_it() {
    let show = |xdg, home| -> Vec<String> {
        let places = places(xdg, home).into_iter();
        places.map(|path| path.display().to_string()).collect()
    };
    assert_eq!(
        show(Some("/x"), Some("/h")),
        [
            "polypy.toml",
            "/x/polypy/polypy.toml",
            "/etc/polypy/polypy.toml"
        ]
    );
    assert_eq!(show(None, Some("/h"))[1], "/h/.config/polypy/polypy.toml");
    assert_eq!(show(None, None).len(), 2);
}

#[test]
fn files_of_incidents_go_where_programs_keep_their_state() {
    let load = |variables: &[(&str, &str)], flags: &[(&str, &str)]| {
        let mut layer = Layer::default();
        for (name, text) in flags {
            let flag = (*name).to_owned();
            layer.set(key(name).unwrap(), *text, Source::Flag { flag });
        }
        // One that has nothing, so that nobody's own is read.
        let empty = ("POLYPY_CONFIG", "/dev/null");
        let variables = variables.iter().chain([&empty]);
        let variables = variables.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let sources = Sources {
            variables: variables.collect(),
            flags: layer,
            ..Sources::default()
        };
        sources.load().map(|loaded| {
            let shown = effective(&loaded);
            let flight = conversion::flight_recorder(&loaded.config).unwrap();
            let folder = flight.folder.display().to_string();
            let is_told = shown.contains(&format!("flight_recorder.dir = \"{folder}\""));
            (folder, is_told)
        })
    };
    let user = [("HOME", "/h"), ("XDG_STATE_HOME", "/x")];
    let service = [("HOME", "/h"), ("STATE_DIRECTORY", "/var/lib/p:/var/lib/q")];
    for (variables, folder) in [
        (&[][..], "incidents"),
        (&user[..1], "/h/.local/state/polypy/incidents"),
        (&user[..], "/x/polypy/incidents"),
        (&service[..], "/var/lib/p/incidents"),
    ] {
        assert_eq!(load(variables, &[]).unwrap(), (folder.to_owned(), true));
    }
    let recorded = load(&user, &[("record.dir", "r")]).unwrap();
    assert_eq!(recorded, ("r/incidents".to_owned(), false));
    let named = [("flight_recorder.dir", "i"), ("record.dir", "r")];
    assert_eq!(load(&user, &named).unwrap(), ("i".to_owned(), true));
    let same = [("flight_recorder.dir", "r"), ("record.dir", "r")];
    let error = load(&user, &same).unwrap_err().to_string();
    assert!(
        error.contains("flight_recorder.dir: must be another folder than record.dir"),
        "{error}"
    );
}

#[test]
fn a_plain_zero_turns_the_flight_recorder_off_wherever_it_is_written() {
    const KEY: &str = "flight_recorder.memory";
    let is_off = |loaded: Result<Loaded, ConfigError>| {
        let loaded = loaded.unwrap();
        assert!(effective(&loaded).contains("flight_recorder.memory = \"0B\""));
        conversion::flight_recorder(&loaded.config).is_none()
    };
    // A folder, without which it would be off, too.
    let place = "dir = 'i'\n";
    for text in ["memory = 0", "memory = '0'", "memory = '0B'"] {
        assert!(is_off(of_file(&format!(
            "[flight_recorder]\n{place}{text}\n"
        ))));
    }
    let loaded = |variables: &[(&str, &str)], flag: Option<&str>| {
        let mut flags = Layer::default();
        for (name, text) in [(KEY, flag), ("flight_recorder.dir", Some("i"))] {
            let flag = format!("--{name}");
            if let Some(text) = text {
                flags.set(key(name).unwrap(), text, Source::Flag { flag });
            }
        }
        let variables = variables.iter().chain(&[("POLYPY_CONFIG", "/dev/null")]);
        let variables = variables.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let sources = Sources {
            variables: variables.collect(),
            flags,
            ..Sources::default()
        };
        sources.load()
    };
    assert!(is_off(loaded(&[], Some("0"))));
    assert!(is_off(loaded(
        &[("POLYPY_FLIGHT_RECORDER__MEMORY", "0")],
        None
    )));
    let kept = loaded(&[], None).unwrap();
    assert!(conversion::flight_recorder(&kept.config).is_some());
}

#[test]
fn the_first_file_found_is_the_only_one_read() {
    let folder = temporary("first");
    std::fs::write(folder.join("b.toml"), "[http]\nport = 1\n").unwrap();
    std::fs::write(folder.join("c.toml"), "nonsense").unwrap();
    let places: Vec<PathBuf> = ["a.toml", "b.toml", "c.toml"]
        .iter()
        .map(|name| folder.join(name))
        .collect();
    let mut passed_over = Vec::new();
    let (file, layer) = read_first(&places, &mut passed_over);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(file, Some(places[1].clone()));
    assert_eq!((layer.entries.len(), layer.mistakes.len()), (1, 0));
    assert_eq!(passed_over, []);
}

fn temporary(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("polypy-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What a file with this text alone comes to.
fn of_file(text: &str) -> Result<Loaded, ConfigError> {
    of_layer(document::from_toml(text, Path::new("p.toml")))
}

fn of_layer(file: Layer) -> Result<Loaded, ConfigError> {
    let nothing = Layer::default;
    let mut merged = Merged::of([nothing(), file, nothing(), nothing()]);
    merged.judge();
    merged.loaded(None)
}

fn overlay(json: &str) -> Overlay {
    Overlay::parse(json).unwrap()
}

#[test]
fn a_former_name_is_read_with_a_warning_and_not_beside_the_new_one() {
    let loaded = |text: &str| of_file(text);
    let most = |text: &str| loaded(text).unwrap().config.markets.max_markets;
    assert_eq!(most("markets.max_markets = 6"), 6);
    assert!(
        loaded("markets.max_markets = 6")
            .unwrap()
            .renamed
            .is_empty()
    );
    let text = "[lifecycle]\nforget_after = '2h'\nmax_markets = 5\n";
    let former = loaded(text).unwrap();
    assert_eq!(former.config.markets.max_markets, 5);
    let origin = former.origin(key("markets.max_markets").unwrap());
    assert_eq!(origin.to_string(), "p.toml line 3");
    let warnings: Vec<_> = former.renamed.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "lifecycle.max_markets is called markets.max_markets now: rename it before version \
             0.3, which no longer reads it (p.toml line 3)"
        ]
    );
    let both = loaded("[lifecycle]\nmax_markets = 5\n[markets]\nmax_markets = 5\n");
    assert_eq!(
        both.unwrap_err().to_string(),
        "lifecycle.max_markets: is the former name of markets.max_markets, which is set as \
         well: set that alone (p.toml line 2)"
    );
    // A value is judged as one of the key.
    let wrong = loaded("lifecycle.max_markets = 'many'").unwrap_err();
    let wrong = wrong.to_string();
    assert!(wrong.starts_with("markets.max_markets: must be"), "{wrong}");
}

#[test]
fn a_former_name_has_its_layers_rank() {
    let sources = |variable: &str, flag: Option<&str>| {
        let mut sources = Sources {
            variables: vec![(variable.to_owned(), "7".to_owned())],
            ..Sources::default()
        };
        if let Some(text) = flag {
            let flag = "--lifecycle-max-markets".to_owned();
            sources
                .flags
                .set_former(&FORMER[0], text, Source::Flag { flag });
        }
        sources.merged().1.loaded(None).unwrap()
    };
    let former = "POLYPY_LIFECYCLE__MAX_MARKETS";
    let loaded = sources(former, None);
    assert_eq!(loaded.config.markets.max_markets, 7);
    assert_eq!(loaded.renamed.len(), 1);
    // The flag's, above the variable's, by whichever name.
    for variable in [former, "POLYPY_MARKETS__MAX_MARKETS"] {
        let loaded = sources(variable, Some("9"));
        assert_eq!(loaded.config.markets.max_markets, 9, "{variable}");
    }
}

#[test]
fn a_window_that_ends_before_it_begins_is_a_mistake() {
    for (after, before, is_wrong) in [
        ("2026-12-31", "2026-12-30", true),
        ("2026-12-31", "2026-12-31", false),
        ("7d", "6d", true),
        ("7d", "168h", false),
        // Which is later changes with the clock.
        ("7d", "2020-01-01", false),
    ] {
        let text = format!("[markets]\nends_after = '{after}'\nends_before = '{before}'\n");
        let loaded = of_file(&text);
        assert_eq!(loaded.is_err(), is_wrong, "{text}");
        if let Err(error) = loaded {
            let text = error.to_string();
            assert!(text.starts_with("markets.ends_before: "), "{text}");
            assert!(text.contains("markets.ends_after"), "{text}");
        }
    }
}

#[test]
fn an_array_is_what_commas_separate_and_dates_need_no_quotes() {
    let written = [
        "[markets]\ntags = ['Middle East', 'crypto']\nends_before = 2026-12-31\n",
        "[markets]\ntags = 'middle-east, Crypto'\nends_before = '2026-12-31T00:00:00Z'\n",
    ];
    let [array, text] = written.map(|text| of_file(text).unwrap().config.markets);
    assert_eq!(array, text);
    assert_eq!(array.tags.0.len(), 2);
    for odd in [
        "markets.tags = ['a, b']",
        "markets.tags = [['a']]",
        "http.port = [1]",
    ] {
        assert_eq!(of_file(odd).unwrap_err().mistakes().len(), 1, "{odd}");
    }
}

#[test]
fn the_documented_examples_are_read_as_they_are_meant() {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let examples = text.split("```toml\n").skip(1);
    let examples: Vec<_> = examples
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let loaded = of_file(example).expect(example);
        assert_ne!(loaded.config, Config::default(), "{example}");
    }
}

#[test]
fn an_overlay_outranks_every_layer_key_by_key_and_goes_without_a_trace() {
    let file = "[markets]\ntags = 'crypto'\nmin_volume = 5\n[lifecycle]\nmax_markets = 7\n";
    let loaded = of_file(file).unwrap();
    let over = loaded.with_overlay(overlay(r#"{"tags": ["sports"], "max_markets": 0}"#));
    let over = over.unwrap();
    let show = |loaded: &Loaded, name: &str| {
        let key = key(name).unwrap();
        (key.show(&loaded.config), loaded.origin(key).to_string())
    };
    let is = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(show(&over, "markets.tags"), is("sports", "overlay"));
    assert_eq!(show(&over, "markets.min_volume"), is("5", "p.toml line 3"));
    // By whichever name the layers below set it.
    assert_eq!(show(&over, "markets.max_markets"), is("0", "overlay"));
    assert_eq!(over.config.markets.max_markets, 0);
    let layers: Vec<_> = over.selection().origins.iter().cloned().collect();
    assert!(layers.contains(&("tags", "overlay".into())), "{layers:?}");
    assert!(
        layers.contains(&("min_volume", "file".into())),
        "{layers:?}"
    );
    assert!(layers.contains(&("order", "default".into())), "{layers:?}");
    // Each replaces the one before.
    let again = over.with_overlay(overlay(r#"{"order": "end"}"#)).unwrap();
    assert_eq!(show(&again, "markets.tags"), is("crypto", "p.toml line 2"));
    let former = ("max_markets", "file".into());
    assert!(again.selection().origins.contains(&former));
    assert_eq!(again.config.markets.max_markets, 7);
    let none = again.with_overlay(Overlay::default()).unwrap();
    assert_eq!(none.config, loaded.config);
    assert!(none.overlay().is_empty());
}

#[test]
fn what_overlay_and_file_contradict_each_other_in_is_the_overlays_mistake() {
    let loaded = of_file("[markets]\nends_before = '2026-12-30'\n").unwrap();
    let error = loaded.with_overlay(overlay(r#"{"ends_after": "2026-12-31"}"#));
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("markets.ends_before: "), "{text}");
    assert!(text.ends_with("(overlay)"), "{text}");
}

#[test]
fn the_file_of_the_overlay_is_read_at_the_start_with_all_other_mistakes() {
    let folder = temporary("overlay");
    let (file, kept) = (folder.join("p.toml"), folder.join("overlay.json"));
    let text = format!(
        "[markets]\noverlay_file = {:?}\ntags = 'crypto'\n",
        kept.display()
    );
    std::fs::write(&file, &text).unwrap();
    let sources = Sources {
        named_file: Some(file.clone()),
        ..Sources::default()
    };
    assert!(
        sources.load().unwrap().overlay().is_empty(),
        "not there yet"
    );
    std::fs::write(&kept, r#"{"tags": "sports"}"#).unwrap();
    let loaded = sources.load().unwrap();
    assert_eq!(loaded.config.markets.tags.show(), "sports");
    let printed = effective(&loaded);
    let origin = format!("# overlay {}\n", kept.display());
    assert!(printed.contains(&origin), "{printed}");
    // Asked for without, or with another, none is read.
    let without = sources.load_with(Overlay::default()).unwrap();
    assert_eq!(without.config.markets.tags.show(), "crypto");
    let other = sources
        .load_with(overlay(r#"{"tags": "politics"}"#))
        .unwrap();
    assert_eq!(other.config.markets.tags.show(), "politics");
    std::fs::write(&kept, r#"{"tgas": "sports"}"#).unwrap();
    std::fs::write(&file, format!("{text}[http]\nport = 70000\n")).unwrap();
    let error = sources.load().unwrap_err();
    std::fs::remove_dir_all(folder).unwrap();
    let named: Vec<_> = error
        .mistakes()
        .iter()
        .map(|one| one.key.as_str())
        .collect();
    assert_eq!(named, ["http.port", "tgas"], "{error}");
}

#[test]
fn what_is_settled_at_the_start_is_kept_by_a_reload() {
    let mut before = of_file("markets.shard = '0/2'\nmarkets.overlay_file = '/a'").unwrap();
    before.file = Some("/p.toml".into());
    // On another line than before.
    let after = of_file("markets.tags = 'crypto'\nmarkets.shard = '1/2'").unwrap();
    let settled = after.settled_as(&before);
    assert_eq!(settled.config.markets.shard.show(), "0/2");
    assert_eq!(settled.config.markets.overlay_file.show(), "/a");
    assert_eq!(settled.config.markets.tags.show(), "crypto");
    let origin = |loaded: &Loaded| loaded.origin(key("markets.shard").unwrap()).to_string();
    assert_eq!(origin(&settled), origin(&before));
    let overlay = Overlay::parse(r#"{"max_markets": 3}"#).unwrap();
    let overlaid = before.with_overlay(overlay).unwrap();
    assert_eq!(overlaid.file, before.file);
}

#[test]
fn what_a_program_sets_is_told_from_defaults() {
    let mut config = Config::default();
    config.markets.max_markets = 5;
    let loaded = Loaded::of_program(config);
    assert_eq!(
        loaded.origin(key("markets.max_markets").unwrap()).layer(),
        "program"
    );
    assert_eq!(loaded.origin(key("http.port").unwrap()).layer(), "default");
}
