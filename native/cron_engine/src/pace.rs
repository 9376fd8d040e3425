//! How fast commands and ticks come to the loop, and so whether it should let some gather before it serves
//! them: waking for each costs more than serving it, here and in all threads that hear of it. It measures and
//! decides; whoever runs the engine waits.

use std::time::Duration;

/// How long commands gather. A fetch begins that much later. With 2,000 results a second, one to a page, this and
/// the 2 ms of [`ticks_apart`] take a seventh off the CPU time of each, beside half of both.
const GATHER: Duration = Duration::from_millis(1);

/// The mean time between two commands below which they gather. The drain of one backlog stays well
/// above it, so that its pages are not held up; a thousand monitors at a tick a second come below.
const CROWDED: Duration = Duration::from_micros(250);

/// No time counts as longer: a quiet moment is forgotten soon, and so is a crowded one.
const LONGEST: Duration = Duration::from_millis(2);

/// Of how many looks the mean is, about.
const LOOKS: u32 = 8;

/// How long it is at least from one look at the ticks that are due to the next one, while nothing else happens,
/// after so many were due: those due meanwhile are sent together. With 50,000 ticks a second 1 ms is a third of the
/// CPU time that a wake-up for each takes; where they are few it takes longer until there are some to go
/// together. A lone tick is sent when it is due.
#[must_use]
pub const fn ticks_apart(due: usize) -> Duration {
    if due < 8 { Duration::from_millis(2) } else { Duration::from_millis(1) }
}

/// The mean time between two commands, of late.
#[derive(Debug)]
pub struct Pace {
    mean: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { mean: LONGEST }
    }
}

impl Pace {
    /// So many commands came in this time.
    pub fn came(&mut self, commands: usize, during: Duration) {
        let commands = u32::try_from(commands).unwrap_or(u32::MAX).max(1);
        let each = (during / commands).min(LONGEST);
        self.mean = (self.mean * (LOOKS - 1) + each) / LOOKS;
    }

    /// How long to let more of them come.
    #[must_use]
    pub fn gather(&self) -> Option<Duration> {
        (self.mean < CROWDED).then_some(GATHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a second of so many commands at a time, as far apart.
    fn after(pace: &mut Pace, commands: usize, apart: Duration) -> Option<Duration> {
        for _ in 0..100 {
            pace.came(commands, apart);
        }
        pace.gather()
    }

    #[test]
    fn commands_of_one_drain_are_served_at_once() {
        let mut pace = Pace::default();
        assert_eq!(pace.gather(), None);
        assert_eq!(after(&mut pace, 1, Duration::from_micros(500)), None);
    }

    #[test]
    fn commands_of_thousands_gather_and_no_more_once_they_are_few() {
        let mut pace = Pace::default();
        assert_eq!(after(&mut pace, 1, Duration::from_micros(100)), Some(GATHER));
        // Gathered, they come at the same pace in larger groups.
        assert_eq!(after(&mut pace, 5, Duration::from_micros(500)), Some(GATHER));
        assert_eq!(after(&mut pace, 1, Duration::from_millis(1)), None);
    }

    #[test]
    fn commands_after_a_long_silence_are_served_at_once() {
        let mut pace = Pace::default();
        let _ = after(&mut pace, 1, Duration::from_micros(10));
        pace.came(1, Duration::from_hours(1));
        assert_eq!(pace.gather(), None);
    }

    #[test]
    fn commands_at_the_bound_of_a_crowd_are_served_at_once_and_closer_ones_gather() {
        let mut pace = Pace::default();
        assert_eq!(after(&mut pace, 1, CROWDED), None);
        assert_eq!(after(&mut pace, 1, Duration::from_micros(249)), Some(GATHER));
    }

    #[test]
    fn ticks_that_were_many_are_looked_at_sooner_than_few() {
        let apart = [7, 8].map(ticks_apart);
        assert_eq!(apart, [2, 1].map(Duration::from_millis));
    }
}
