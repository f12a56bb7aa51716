use std::fs;
use std::time::Duration;

use polypy_sim::{Sim, SimConfig, SimHandle};

use polypy_core::{CatalogueSource as _, Selector};

use super::*;
use crate::app::PolyPy;
use crate::app::catalogue::Names;
use crate::clock::SystemClock;
use crate::config::{Config, Sources};

async fn exchange() -> SimHandle {
    let sim = Sim::start(SimConfig::for_tests(), Arc::new(SystemClock)).await;
    sim.unwrap()
}

async fn started(sim: &SimHandle, loaded: Loaded) -> PolyPy {
    let app = PolyPy::builder()
        .loaded(loaded)
        .num_workers(1)
        .venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url())
        .build()
        .unwrap();
    app.start().await.unwrap();
    until("everything is listed", || {
        app.parts().lifecycle.has_listed()
    })
    .await;
    app
}

async fn until(what: &str, ready: impl Fn() -> bool) {
    let wait = async {
        while !ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    assert!(waited.is_ok(), "not within a minute: {what}");
}

fn defaults() -> Loaded {
    Loaded::of_program(Config::default())
}

fn overlay(json: &str) -> Overlay {
    Overlay::parse(json).unwrap()
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("polypy-selection-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[tokio::test]
async fn an_overlay_is_followed_shown_and_taken_back() {
    let sim = exchange().await;
    let app = started(&sim, defaults()).await;
    let all = app.selection();
    assert_eq!((all.generation, all.followed), (0, all.listed));
    assert!(all.listed > 4 && all.overlay().is_empty());
    let selected = app
        .select(overlay(r#"{"max_markets": 4, "tags": ""}"#))
        .await
        .unwrap();
    assert_eq!((selected.generation, selected.followed), (1, 4));
    assert_eq!((selected.added, selected.released), (0, all.listed - 4));
    assert_eq!(selected.warnings, Vec::<String>::new());
    let four = app.selection();
    assert_eq!((four.generation, four.followed), (1, 4));
    assert_eq!(four.overlay().to_string(), r#"{"tags":"","max_markets":4}"#);
    assert_eq!(four.instance, all.instance);
    assert_ne!(four.etag(), all.etag());
    // Another that follows the same: no other generation, and it is what is shown.
    let same = app
        .select(overlay(r#"{"max_markets": "4"}"#))
        .await
        .unwrap();
    assert_eq!((same.generation, same.added, same.released), (1, 0, 0));
    assert_eq!(
        app.selection().overlay().to_string(),
        r#"{"max_markets":"4"}"#
    );
    // Only to what was seen.
    let error = app.select_if(Overlay::default(), &all).await.unwrap_err();
    assert!(
        matches!(error, SelectionError::Changed { generation: 1 }),
        "{error}"
    );
    // Nor if just the overlay is another one: it is another's change.
    let now = app.selection();
    assert_ne!(now.etag(), four.etag());
    let error = app.select_if(Overlay::default(), &four).await.unwrap_err();
    assert!(
        matches!(error, SelectionError::Changed { generation: 1 }),
        "{error}"
    );
    assert_eq!(app.selection().etag(), now.etag());
    assert_eq!(app.selection().followed, 4);
    let back = app.select_if(Overlay::default(), &now).await.unwrap();
    assert_eq!((back.generation, back.added), (2, all.listed - 4));
    until("all are followed", || {
        app.selection().followed == all.listed
    })
    .await;
    let explained = app.catalogue().view();
    let number = explained.iter().next().unwrap().entry.number;
    assert_eq!(app.catalogue().explain(number).unwrap().checks.len(), 0);
    let warned = app
        .select(overlay(r#"{"tags": "nothing-has-this"}"#))
        .await
        .unwrap();
    assert_eq!(warned.followed, 0);
    assert!(
        warned.warnings[0].contains("nothing-has-this"),
        "{warned:?}"
    );
    let checks = app.catalogue().explain(number).unwrap().checks;
    assert_eq!(checks[0].origin.as_deref(), Some("overlay"));
    app.stop().await;
    let error = app.select(Overlay::default()).await.unwrap_err();
    assert!(matches!(error, SelectionError::Stopped), "{error}");
    sim.stop().await;
}

/// Streams take the names that reads take.
#[tokio::test]
async fn a_market_is_found_by_its_id_in_any_spelling() {
    let sim = exchange().await;
    let app = started(&sim, defaults()).await;
    let names = Names::new(Arc::clone(app.registry()), app.catalogue());
    let resolve = |name: String| names.resolve(&Selector::Market(name.into()));
    let [id, ..] = &app.registry().live_conditions()[..] else {
        panic!("nothing is followed")
    };
    let keys = resolve(id.to_string());
    assert_eq!(keys.len(), 2);
    let digits = id.as_str().trim_start_matches("0x");
    let spellings = [
        format!("0X{digits}"),
        format!("0x{}", digits.to_uppercase()),
        format!("0x{}", digits.trim_start_matches('0')),
    ];
    for spelling in spellings {
        assert_eq!(resolve(spelling.clone()), keys, "{spelling}");
    }
    assert_eq!(resolve("no-such-slug".to_owned()), []);
    app.stop().await;
    sim.stop().await;
}

#[tokio::test]
async fn what_is_kept_is_what_is_in_force_and_what_cannot_be_kept_is_not_done() {
    let folder = Folder::new("kept");
    let sim = exchange().await;
    let path = folder.0.join("overlay.json");
    let mut config = Config::default();
    config.markets.overlay_file = Some(path.clone());
    let app = started(&sim, Loaded::of_program(config.clone())).await;
    let first = app.selection();
    app.select(overlay(r#"{"max_markets": 3}"#)).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"max_markets\":3}\n");
    // Nothing is written for what is refused.
    let refused = app.select_if(overlay(r#"{"max_markets": 2}"#), &first);
    let refused = refused.await.unwrap_err();
    assert!(
        matches!(refused, SelectionError::Changed { generation: 1 }),
        "{refused}"
    );
    let contradiction = r#"{"ends_after": "2030-01-02", "ends_before": "2030-01-01"}"#;
    let refused = app.select(overlay(contradiction)).await.unwrap_err();
    assert!(matches!(refused, SelectionError::Mistakes(_)), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"max_markets\":3}\n");
    // Nor done what cannot be written.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = app
        .select(overlay(r#"{"max_markets": 2}"#))
        .await
        .unwrap_err();
    assert!(matches!(&error, SelectionError::NotKept { path: named, .. } if *named == path));
    assert!(
        error.to_string().ends_with("nothing was changed"),
        "{error}"
    );
    let now = app.selection();
    assert_eq!((now.generation, now.followed), (1, 3));
    assert_eq!(now.overlay().to_string(), r#"{"max_markets":3}"#);
    app.stop().await;
    // The next start begins with it.
    fs::remove_dir(&path).unwrap();
    fs::write(&path, r#"{"max_markets": 2}"#).unwrap();
    let app = PolyPy::builder().config(config.clone()).build().unwrap();
    assert_eq!(
        app.selection().overlay().to_string(),
        r#"{"max_markets":2}"#
    );
    assert_eq!(app.config().markets.max_markets, 2);
    fs::write(&path, "{").unwrap();
    let error = PolyPy::builder().config(config).build().unwrap_err();
    assert!(
        error.to_string().starts_with("markets.overlay_file: "),
        "{error}"
    );
    sim.stop().await;
}

/// Two changes that come together: of a file and of the overlay. Neither loses the other.
#[tokio::test]
async fn a_file_and_an_overlay_that_change_together_both_count() {
    let sim = exchange().await;
    let app = started(&sim, defaults()).await;
    let mut below = Config::default();
    below.markets.order = polypy_core::catalogue::SeatOrder::Listed;
    let (reloaded, selected) = tokio::join!(
        app.reload_configuration(Loaded::of_program(below)),
        app.select(overlay(r#"{"max_markets": 3}"#)),
    );
    let superseded = |error: SelectionError| matches!(error, SelectionError::Superseded);
    assert!(reloaded.map_or_else(superseded, |_| true));
    assert!(selected.map_or_else(superseded, |_| true));
    until("three are followed", || app.selection().followed == 3).await;
    let now = app.selection();
    let shown = keys(&now.loaded, Detail::Layer);
    assert_eq!(shown["order"]["value"], "listed");
    assert_eq!(shown["order"]["layer"], "program");
    assert_eq!(shown["max_markets"]["layer"], "overlay");
    app.stop().await;
    sim.stop().await;
}

/// Before the start nothing is known to be missing, and nothing was wrong with a file.
#[tokio::test]
async fn a_program_that_does_not_run_warns_of_nothing_and_blames_no_file() {
    let misspelt = defaults().with_overlay(overlay(r#"{"tags": "no-such"}"#));
    let app = PolyPy::builder().loaded(misspelt.unwrap()).build().unwrap();
    let now = app.selection();
    assert!(!now.complete);
    assert_eq!(*now.warnings, [""; 0]);
    let error = app.reload_configuration(defaults()).await.unwrap_err();
    assert!(matches!(error, SelectionError::Stopped), "{error}");
    assert_eq!(app.stats()["configuration"]["last_reload_successful"], true);
}

/// The overlay that was seen is there still, and what is below it is not.
#[tokio::test]
async fn what_was_seen_is_the_choice_and_not_the_overlay_alone() {
    let sim = exchange().await;
    let app = started(&sim, defaults()).await;
    let seen = app.selection();
    let mut below = Config::default();
    below.markets.max_markets = 3;
    let below = Loaded::of_program(below);
    let reloaded = app.reload_configuration(below).await.unwrap();
    assert_eq!(reloaded.selected.generation, 1);
    let refused = app.select_if(overlay(r#"{"max_markets": 2}"#), &seen);
    let refused = refused.await.unwrap_err();
    assert!(
        matches!(refused, SelectionError::Changed { generation: 1 }),
        "{refused}"
    );
    app.stop().await;
    sim.stop().await;
}

#[tokio::test]
async fn a_reload_takes_all_of_a_file_or_nothing_and_names_what_waits() {
    let folder = Folder::new("reload");
    let file = folder.write("p.toml", "[markets]\nmax_markets = 5\n");
    let sources = Sources {
        named_file: Some(file),
        ..Sources::default()
    };
    let sim = exchange().await;
    let app = started(&sim, sources.load().unwrap()).await;
    let stat = || app.stats()["configuration"]["last_reload_successful"].clone();
    assert_eq!((app.selection().followed, stat()), (5, true.into()));
    // The good half of a bad one is not taken.
    folder.write("p.toml", "[markets]\nmax_markets = 2\ntgas = 'crypto'\n");
    app.reload_from(sources.clone()).await;
    assert_eq!((app.selection().followed, stat()), (5, false.into()));
    assert_eq!(app.selection().generation, 0);
    // Neither is one that contradicts the overlay.
    app.select(overlay(r#"{"ends_after": "2020-01-01"}"#))
        .await
        .unwrap();
    folder.write(
        "p.toml",
        "[markets]\nmax_markets = 2\nends_before = '2019-01-01'\n",
    );
    app.reload_from(sources.clone()).await;
    assert_eq!(stat(), false);
    app.select(Overlay::default()).await.unwrap();
    folder.write(
        "p.toml",
        "[markets]\nmax_markets = 2\nshard = '1/2'\n[http]\nport = 7\n",
    );
    let loaded = sources.load().unwrap();
    let reloaded = app.reload_configuration(loaded).await.unwrap();
    assert_eq!(reloaded.waiting, ["http.port", "markets.shard"]);
    // Named once: they are known to wait.
    assert_eq!(app.selection.waiting.lock().len(), 2);
    assert_eq!((reloaded.selected.followed, stat()), (2, true.into()));
    let shown = keys(&app.selection().loaded, Detail::Layer);
    assert_eq!(shown["shard"]["value"], serde_json::Value::Null);
    // The overlay stays above whatever is read.
    app.select(overlay(r#"{"max_markets": 4}"#)).await.unwrap();
    folder.write("p.toml", "[markets]\nmax_markets = 1\n");
    app.reload_from(sources.clone()).await;
    assert_eq!((app.selection().followed, stat()), (4, true.into()));
    let generation = app.selection().generation;
    app.reload_from(sources).await;
    assert_eq!(app.selection().generation, generation, "nothing is new");
    app.stop().await;
    sim.stop().await;
}
