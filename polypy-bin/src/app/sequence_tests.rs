use parking_lot::Mutex;
use polypy_core::BoxFuture;

use super::*;

/// What a part does when called.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Good,
    FailsToStart,
    PanicsOnStart,
    PanicsOnStop,
    HangsOnStop,
    Dies,
}

struct Part {
    name: &'static str,
    mood: Mood,
    state: Mutex<ComponentState>,
    /// What happened, shared by all parts of a test.
    diary: Arc<Mutex<Vec<String>>>,
}

impl Component for Part {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async {
            self.diary.lock().push(format!("start {}", self.name));
            *self.state.lock() = ComponentState::Starting;
            assert!(self.mood != Mood::PanicsOnStart, "no good reason");
            if self.mood == Mood::FailsToStart {
                *self.state.lock() = ComponentState::Stopped;
                return Err(ComponentError::new(self.name, "out of order"));
            }
            *self.state.lock() = match self.mood {
                Mood::Dies => ComponentState::Failed,
                _ => ComponentState::Running,
            };
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.diary.lock().push(format!("stop {}", self.name));
            assert!(self.mood != Mood::PanicsOnStop, "no good reason");
            if self.mood == Mood::HangsOnStop {
                std::future::pending::<()>().await;
            }
            *self.state.lock() = ComponentState::Stopped;
        })
    }

    fn state(&self) -> ComponentState {
        *self.state.lock()
    }
}

struct Cast {
    parts: Vec<Arc<dyn Component>>,
    diary: Arc<Mutex<Vec<String>>>,
}

fn cast(moods: &[(&'static str, Mood)]) -> Cast {
    let diary = Arc::<Mutex<Vec<String>>>::default();
    let parts = moods.iter().map(|(name, mood)| {
        let part: Arc<dyn Component> = Arc::new(Part {
            name,
            mood: *mood,
            state: Mutex::new(ComponentState::Stopped),
            diary: Arc::clone(&diary),
        });
        part
    });
    Cast {
        parts: parts.collect(),
        diary,
    }
}

impl Cast {
    fn reversed(&self) -> Vec<Arc<dyn Component>> {
        self.parts.iter().rev().cloned().collect()
    }

    fn diary(&self) -> Vec<String> {
        self.diary.lock().clone()
    }
}

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn parts_start_and_stop_in_the_given_order() {
    let cast = cast(&[("a", Mood::Good), ("b", Mood::Good)]);
    start_all(&cast.parts, DEADLINE).await.unwrap();
    let report = stop_all(&cast.reversed(), DEADLINE).await;
    assert!(report.is_clean());
    assert_eq!(cast.diary(), ["start a", "start b", "stop b", "stop a"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_unwinds_what_had_started() {
    let cast = cast(&[
        ("a", Mood::Good),
        ("b", Mood::Good),
        ("c", Mood::FailsToStart),
        ("d", Mood::Good),
    ]);
    let error = start_all(&cast.parts, DEADLINE).await.unwrap_err();
    assert_eq!(error.to_string(), "c could not start: out of order");
    assert_eq!(
        cast.diary(),
        ["start a", "start b", "start c", "stop b", "stop a"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_starting_is_a_failure_and_the_part_is_stopped_too() {
    let cast = cast(&[("a", Mood::Good), ("b", Mood::PanicsOnStart)]);
    let error = start_all(&cast.parts, DEADLINE).await.unwrap_err();
    assert_eq!(error.component(), "b");
    assert_eq!(cast.diary(), ["start a", "start b", "stop b", "stop a"]);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_or_panics_is_named_and_the_rest_still_ends() {
    let cast = cast(&[
        ("a", Mood::Good),
        ("b", Mood::PanicsOnStop),
        ("c", Mood::HangsOnStop),
        ("d", Mood::Good),
    ]);
    start_all(&cast.parts, DEADLINE).await.unwrap();
    let before = Instant::now();
    let report = stop_all(&cast.reversed(), DEADLINE).await;
    assert!(before.elapsed() <= DEADLINE);
    assert_eq!(report.aborted, ["c"]);
    assert_eq!(report.failed, ["b"]);
    assert_eq!(
        cast.diary()[4..],
        ["stop d", "stop c", "stop b", "stop a"],
        "every part was asked"
    );
    assert_eq!(cast.parts[0].state(), ComponentState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn parts_that_do_not_run_are_left_alone() {
    let cast = cast(&[("a", Mood::Good), ("b", Mood::Good)]);
    start(&cast.parts[0]).await.unwrap();
    stop_all(&cast.reversed(), DEADLINE).await;
    assert_eq!(cast.diary(), ["start a", "stop a"]);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_dies_is_noticed_and_can_still_be_stopped() {
    let cast = cast(&[("a", Mood::Good), ("b", Mood::Dies)]);
    start(&cast.parts[0]).await.unwrap();
    let none = timeout(Duration::from_secs(60), failure(&cast.parts)).await;
    assert!(none.is_err(), "nothing has died: {none:?}");
    start(&cast.parts[1]).await.unwrap();
    assert_eq!(failure(&cast.parts).await, "b");
    assert!(stop_all(&cast.reversed(), DEADLINE).await.is_clean());
    assert_eq!(cast.diary()[2..], ["stop b", "stop a"]);
}

#[test]
fn a_share_leaves_something_for_those_that_follow() {
    let ms = Duration::from_millis;
    assert_eq!(share(ms(10_000), 4), ms(9_000));
    assert_eq!(share(ms(10_000), 0), ms(10_000));
    assert_eq!(share(ms(500), 4), ms(100));
    assert_eq!(share(ms(0), 4), ms(0));
}
