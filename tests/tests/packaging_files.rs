//! The files of `packaging/`: they agree with the program and with each other. Whether they work
//! is tried by `make packages-test`.

use polypy::config::Sources;
use polypy::limits::{Shares, System};
use polypy_tests::tree;

const KUBERNETES: &str = "packaging/kubernetes/polypy.yaml";
const COMPOSE: &str = "packaging/compose/compose.yaml";
const UNIT: &str = "packaging/debian/polypy.service";
const USER: &str = "65532";

/// What stands behind the first line that begins so.
fn value<'a>(text: &'a str, start: &str) -> &'a str {
    let mut lines = text.lines().map(str::trim);
    let found = lines.find_map(|line| line.strip_prefix(start));
    found.map(str::trim).expect(start)
}

#[test]
fn images_are_of_this_version() {
    let image = concat!("polypy:", env!("CARGO_PKG_VERSION"));
    for file in [KUBERNETES, COMPOSE] {
        let text = tree::read(file);
        assert_eq!(value(&text, "image:"), image, "{file}");
    }
    assert!(tree::read("packaging/README.md").contains(image));
}

#[test]
fn one_user_runs_the_image() {
    for file in [
        KUBERNETES,
        "packaging/image",
        "packaging/container/passwd",
        "packaging/container/group",
    ] {
        assert!(tree::read(file).contains(USER), "{file}");
    }
    assert_eq!(value(&tree::read(KUBERNETES), "runAsUser:"), USER);
}

/// The configuration in a ConfigMap, without its indentation.
fn config_map() -> String {
    let text = tree::read(KUBERNETES);
    let lines = text
        .lines()
        .skip_while(|line| line.trim() != "polypy.toml: |");
    let lines = lines.skip(1).take_while(|line| *line != "---");
    lines
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

#[test]
fn every_configuration_that_is_shipped_is_valid_and_serves() {
    let folder = std::env::temp_dir().join(format!("polypy-packaging-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let map = folder.join("map.toml");
    std::fs::write(&map, config_map()).expect("a file");
    for file in [
        tree::root().join("packaging/debian/polypy.toml"),
        tree::root().join("packaging/container/polypy.toml"),
        map,
    ] {
        let sources = Sources {
            named_file: Some(file.clone()),
            ..Sources::default()
        };
        let loaded = sources.load().expect("no mistake");
        assert!(loaded.config.http.enabled, "{}", file.display());
        assert!(loaded.renamed.is_empty(), "{}", file.display());
        // Whoever supervises it waits for the drain and for the end.
        let ending = loaded.config.http.drain_delay + loaded.config.shutdown.deadline;
        let waits = [
            value(&tree::read(UNIT), "TimeoutStopSec=").to_owned(),
            value(&tree::read(KUBERNETES), "terminationGracePeriodSeconds:").to_owned(),
            value(&tree::read(COMPOSE), "stop_grace_period:").replace('s', ""),
        ];
        for wait in waits {
            let seconds: u64 = wait.parse().expect("seconds");
            assert!(seconds > ending.as_secs(), "{wait} s for {ending:?}");
        }
    }
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

/// `512Mi` and `1Gi` in bytes.
fn bytes(text: &str) -> u64 {
    let (number, shift) = match (text.strip_suffix("Mi"), text.strip_suffix("Gi")) {
        (Some(number), _) => (number, 20),
        (_, Some(number)) => (number, 30),
        _ => (text, 0),
    };
    number.parse::<u64>().expect("a number") << shift
}

#[test]
fn the_memory_of_a_pod_is_what_its_configuration_needs_and_a_fifth_more() {
    let map = std::env::temp_dir().join(format!("polypy-memory-{}.toml", std::process::id()));
    std::fs::write(&map, config_map()).expect("a file");
    let sources = Sources {
        named_file: Some(map.clone()),
        ..Sources::default()
    };
    let loaded = sources.load().expect("no mistake");
    std::fs::remove_file(map).expect("it is there");
    let needed = Shares::of(&loaded.config, System::default(), false).memory_needed;
    let text = tree::read(KUBERNETES);
    let (_, limits) = text.split_once("limits:").expect("there are limits");
    let limit = bytes(value(limits, "memory:"));
    assert!(limit >= needed + needed / 5, "{limit} for {needed}");
}

#[test]
fn a_mistake_in_the_configuration_is_not_started_again() {
    let code = polypy::exit::Exit::Config.code().to_string();
    assert_eq!(value(&tree::read(UNIT), "RestartPreventExitStatus="), code);
    let policy = tree::read(COMPOSE);
    let tries = value(&policy, "restart: on-failure:").parse::<u32>();
    assert!(tries.is_ok_and(|tries| tries < 10), "{policy}");
}
