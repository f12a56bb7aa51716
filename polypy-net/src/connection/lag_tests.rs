use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(5);
const FIT: [bool; 2] = [true; 2];

struct Harness {
    comparison: Arc<LagComparison>,
    start: Instant,
}

impl Harness {
    fn new() -> Self {
        let start = Instant::now();
        let comparison = LagComparison::new(start);
        Self { comparison, start }
    }

    fn brought(&self, replica: Replica, fingerprint: u64, at: Duration) {
        self.comparison
            .0
            .lock()
            .brought(replica, fingerprint, self.start + at);
    }

    /// Ten changes a second of the first replica, each of the second replica's that
    /// much later; who trails, looked at every second.
    fn run(&self, seconds: u32, lag: Option<Duration>, fit: [bool; 2]) -> Option<Replica> {
        let mut due: VecDeque<(Duration, u64)> = VecDeque::new();
        let mut found = None;
        for step in 0..seconds * 10 {
            let now = SECOND / 10 * step;
            let fingerprint = u64::from(step) + 1;
            self.brought(Replica::First, fingerprint, now);
            due.extend(lag.map(|lag| (now + lag, fingerprint)));
            while let Some((at, fingerprint)) = due.front().copied()
                && at <= now
            {
                due.pop_front();
                self.brought(Replica::Second, fingerprint, now);
            }
            if step % 10 == 0 {
                let verdict = self.comparison.judge(fit, LIMIT, WINDOW, self.start + now);
                assert!(found.is_none() || verdict.is_none(), "found twice");
                found = found.or(verdict);
            }
        }
        found
    }
}

#[test]
fn a_side_that_is_a_little_behind_does_not_trail() {
    let harness = Harness::new();
    assert_eq!(harness.run(30, Some(SECOND), FIT), None);
    let score = harness.comparison.score();
    assert!(score.first[0] > 280 && score.first[1] == 0, "{score:?}");
    assert_eq!((score.only, score.late), ([0; 2], [0; 2]));
    assert_eq!(score.lead_ms[0], score.first[0] * 1_000);
}

#[test]
fn a_side_that_is_far_behind_trails_and_so_does_a_silent_one() {
    for lag in [Some(3 * SECOND), None] {
        let harness = Harness::new();
        assert_eq!(harness.run(50, lag, FIT), Some(Replica::Second), "{lag:?}");
        assert!(harness.comparison.score().late[1] > 200);
    }
}

#[test]
fn a_side_without_a_socket_or_books_is_not_judged() {
    let harness = Harness::new();
    assert_eq!(harness.run(50, None, [true, false]), None);
    let score = harness.comparison.score();
    assert_eq!(score.late, [0; 2]);
    // What only the first brought is what it saved.
    assert!(score.only[0] > 150, "{score:?}");
}

#[test]
fn a_trailing_side_has_a_rest_before_it_is_found_again() {
    let harness = Harness::new();
    assert_eq!(harness.run(60, None, FIT), Some(Replica::Second));
}

#[test]
fn copies_count_once_and_memory_is_bounded() {
    let harness = Harness::new();
    for _ in 0..3 {
        harness.brought(Replica::First, 7, SECOND);
    }
    harness.brought(Replica::Second, 7, SECOND * 2);
    assert_eq!(harness.comparison.score().first, [1, 0]);
    let most = u64::try_from(MOST_WAITING).unwrap();
    for fingerprint in 10..10 + 3 * most {
        harness.brought(Replica::Second, fingerprint, SECOND);
    }
    let state = harness.comparison.0.lock();
    assert_eq!(state.waiting.len(), MOST_WAITING);
    assert!(state.order.len() <= 2 * MOST_WAITING + 1);
    assert_eq!(state.score.only[1], 2 * most);
}
