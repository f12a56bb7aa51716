use polypy_core::recording::{Recorded, RecordingError, RecordingSource};

use super::*;
use crate::reading::Reading;
use crate::recording::Recording;

struct Nothing;

impl RecordingSource for Nothing {
    fn rewind(&mut self) -> Result<(), RecordingError> {
        Ok(())
    }

    fn read(&mut self, _out: &mut Vec<Recorded>) -> Result<bool, RecordingError> {
        Ok(false)
    }
}

#[test]
fn recorded_time_passes_at_the_speed() {
    let recording = Recording {
        source: Box::new(Nothing),
        places: Arc::default(),
        markets: Vec::new(),
        start: Timestamp::default(),
        frames: 0,
        jumps_pauses: false,
    };
    let feed = Feed::start(Reading::new(recording, 0..u64::MAX), false).unwrap();
    let mut player = Player::new(feed, 0, 20.0, Duration::ZERO);
    let (second, began) = (Duration::from_secs(1), Instant::now());
    (player.state, player.looked) = (State::Playing, began);
    player.advance(began + second).unwrap();
    player.advance(began + 2 * second).unwrap();
    assert_eq!(player.position, 40 * second);
    assert_eq!(player.after(began, 40 * second), began + 2 * second);
}
