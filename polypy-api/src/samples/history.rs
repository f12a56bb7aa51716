//! Samples over time: the newest seconds one by one, the newest minutes folded.

use std::collections::VecDeque;

use super::table::{FIELDS, Fold};

/// Seconds that are kept.
pub(crate) const SECONDS: usize = 900;
/// Minutes that are kept.
pub(crate) const MINUTES: usize = 1_440;
const MINUTE_MS: u64 = 60_000;

/// What the program said of itself at one moment, by field. What is not known is no number:
/// single precision holds seven digits, and a quarter of the memory.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// When, in milliseconds since 1970: of a minute when that began.
    pub(crate) at_ms: u64,
    values: Box<[f32]>,
}

impl Sample {
    pub(super) fn new(at_ms: u64, values: impl Iterator<Item = Option<f64>>) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "seven digits are what is shown"
        )]
        let values = values.map(|value| value.map_or(f32::NAN, |value| value as f32));
        Self {
            at_ms,
            values: values.collect(),
        }
    }

    /// A field by its place.
    pub(crate) fn value(&self, place: usize) -> Option<f32> {
        let value = self.values.get(place).copied();
        value.filter(|value| value.is_finite())
    }
}

/// All samples that are kept.
#[derive(Debug, Default)]
pub(super) struct History {
    seconds: VecDeque<Sample>,
    minutes: VecDeque<Sample>,
    minute: Option<Minute>,
}

impl History {
    pub(super) fn push(&mut self, sample: Sample) {
        let minute_ms = sample.at_ms - sample.at_ms % MINUTE_MS;
        let ended = self.minute.take_if(|minute| minute.at_ms != minute_ms);
        if let Some(ended) = ended {
            keep(&mut self.minutes, MINUTES, ended.sample());
        }
        let minute = self.minute.get_or_insert_with(|| Minute::new(minute_ms));
        minute.add(&sample);
        keep(&mut self.seconds, SECONDS, sample);
    }

    pub(super) fn newest(&self) -> Option<&Sample> {
        self.seconds.back()
    }

    /// The newest seconds, oldest first.
    pub(super) fn seconds(&self, most: usize) -> Vec<Sample> {
        newest(&self.seconds, most)
    }

    /// The newest minutes that are over, oldest first.
    pub(super) fn minutes(&self, most: usize) -> Vec<Sample> {
        newest(&self.minutes, most)
    }
}

fn keep(kept: &mut VecDeque<Sample>, most: usize, sample: Sample) {
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(sample);
}

fn newest(kept: &VecDeque<Sample>, most: usize) -> Vec<Sample> {
    let left_out = kept.len().saturating_sub(most);
    kept.iter().skip(left_out).cloned().collect()
}

/// The minute that is under way: of each field what it came to, and of how many seconds.
#[derive(Debug)]
struct Minute {
    at_ms: u64,
    folded: Vec<(f64, u32)>,
}

impl Minute {
    fn new(at_ms: u64) -> Self {
        Self {
            at_ms,
            folded: vec![(0.0, 0); FIELDS.len()],
        }
    }

    fn add(&mut self, sample: &Sample) {
        for (place, (folded, count)) in self.folded.iter_mut().enumerate() {
            let Some(value) = sample.value(place).map(f64::from) else {
                continue;
            };
            *folded = match FIELDS[place].fold {
                _ if *count == 0 => value,
                Fold::Least => folded.min(value),
                Fold::Most => folded.max(value),
                Fold::Mean => *folded + value,
            };
            *count += 1;
        }
    }

    fn sample(&self) -> Sample {
        let values = self.folded.iter().zip(FIELDS.iter());
        let values = values.map(|((folded, count), field)| match field.fold {
            _ if *count == 0 => None,
            Fold::Mean => Some(folded / f64::from(*count)),
            Fold::Least | Fold::Most => Some(*folded),
        });
        Sample::new(self.at_ms, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, live: f64, stale: f64, changes: Option<f64>) -> Sample {
        let values = FIELDS.iter().map(|field| match &*field.name {
            "books_live" => Some(live),
            "books_stale" => Some(stale),
            "changes_per_second" => changes,
            _ => None,
        });
        Sample::new(at_ms, values)
    }

    fn of(sample: &Sample, name: &str) -> Option<f32> {
        let place = FIELDS.iter().position(|field| &*field.name == name);
        sample.value(place.unwrap())
    }

    #[test]
    fn a_minute_keeps_the_least_the_most_and_the_mean_of_its_seconds() {
        let mut history = History::default();
        history.push(sample(60_000, 10.0, 0.0, None));
        history.push(sample(61_000, 4.0, 6.0, Some(100.0)));
        history.push(sample(119_999, 9.0, 1.0, Some(50.0)));
        assert!(history.minutes(9).is_empty(), "it is not over");
        history.push(sample(120_000, 10.0, 0.0, Some(1.0)));
        let minutes = history.minutes(9);
        let [minute] = &minutes[..] else {
            panic!("{minutes:?}")
        };
        assert_eq!(minute.at_ms, 60_000);
        assert_eq!(of(minute, "books_live"), Some(4.0));
        assert_eq!(of(minute, "books_stale"), Some(6.0));
        assert_eq!(of(minute, "changes_per_second"), Some(75.0));
        assert_eq!(of(minute, "cpu_cores"), None, "nobody knew");
        assert_eq!(history.newest().unwrap().at_ms, 120_000);
    }

    #[test]
    fn as_many_are_kept_as_are_promised_and_the_newest_of_them_shown() {
        let mut history = History::default();
        let all = u32::try_from(SECONDS).unwrap() + 100;
        for second in 0..all {
            let at_ms = u64::from(second) * 1_000;
            history.push(sample(at_ms, f64::from(second), 0.0, None));
        }
        assert_eq!(history.seconds(usize::MAX).len(), SECONDS);
        let newest = history.seconds(2);
        let times: Vec<_> = newest.iter().map(|one| one.at_ms / 1_000).collect();
        assert_eq!(times, [u64::from(all) - 2, u64::from(all) - 1]);
        for minute in 0..MINUTES as u64 + 10 {
            history.push(sample((100 + minute) * MINUTE_MS, 0.0, 0.0, None));
        }
        assert_eq!(history.minutes(usize::MAX).len(), MINUTES);
    }
}
