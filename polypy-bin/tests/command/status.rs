//! The line below the log of `polypy run` on a terminal.

use crate::process::{Running, polypy};
use crate::tmux::Terminal;

/// What lines say while a start goes on.
const STEPS: [&str; 4] = [
    "discovering markets",
    "looking for markets",
    "subscribing",
    "waiting for books",
];

#[test]
fn the_start_is_shown_below_the_log_and_then_one_quiet_line() {
    let Some(terminal) = Terminal::open() else {
        return;
    };
    let program = env!("CARGO_BIN_EXE_polypy");
    terminal.resize(160, 40);
    let still = "--sim-resolve-per-minute=0 --sim-new-markets-per-minute=0";
    terminal.run(&format!(
        "{program} run --demo --http-port=0 --sim-markets=5 {still}"
    ));
    let screen = terminal.until("one quiet line", |screen| {
        screen.contains("10 of 10 books live | ")
    });
    let last = screen.trim_end().lines().last().unwrap();
    assert!(last.starts_with("10 of 10 books live | "), "{screen}");
    assert_eq!(screen.matches("books live |").count(), 1, "{screen}");
    assert!(screen.contains("polypy started"), "{screen}");
    // What it says stands in no line above it.
    for step in STEPS {
        assert!(!screen.contains(step), "{screen}");
    }
    // What the demo prints stands above it, whole.
    let screen = terminal.until("the addresses", |screen| screen.contains("/orderbook/"));
    let last = screen.trim_end().lines().last().unwrap();
    assert!(last.starts_with("10 of 10 books live | "), "{screen}");
    terminal.until("the end of the start", |screen| {
        screen.contains("every book is live")
    });
    terminal.key("C-c");
    let screen = terminal.until("the prompt", |screen| {
        screen
            .trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("prompt>"))
    });
    assert!(!screen.contains("books live |"), "{screen}");
}

#[test]
fn elsewhere_there_are_lines_alone() {
    let mut running = Running::spawn(
        polypy(&["run", "--demo", "--http-port=0", "--sim-markets=5"]).env("TERM", "xterm"),
    );
    running.stderr_line("every book is live");
    running.signal("TERM");
    running.end();
    let has_step = |line: &String| STEPS.iter().any(|step| line.contains(step));
    assert!(running.seen.iter().any(has_step), "{:#?}", running.seen);
    let steering = running
        .seen
        .iter()
        .find(|line| line.contains('\u{1b}') || line.contains('\r'));
    assert_eq!(steering, None);
}
