//! Whether the loop should let events gather before it serves them: a wake-up for each event costs
//! more than serving it, in the loop and in the threads that it wakes. This file measures and
//! decides; the caller waits.

use std::time::Duration;

/// How long events gather while many polls come. Each step from a tick to its results may come that
/// much later. With 2,000 results a second, one to a page, it saves a tenth of the CPU time of
/// each.
const GATHER: Duration = Duration::from_millis(4);

/// The time over which polls are counted.
const WINDOW: Duration = Duration::from_millis(20);

/// Below this mean time between two polls, events gather. Only polls count, since they come
/// regardless of how long earlier ones took. The drain of a backlog fetches its next page only
/// after the last one, and a registration is better served at once.
const CROWDED: Duration = Duration::from_millis(1);

/// The least time between two rounds of ticks, if nothing else happens: ticks due in between are
/// sent together. With 25,000 ticks a second, rounds 1 ms apart take a third more CPU time. A
/// single tick is sent when it is due.
pub const TICKS_APART: Duration = Duration::from_millis(2);

/// Counts polls.
#[derive(Debug, Default)]
pub struct Pace {
    polls: u32,
    during: Duration,
    crowded: bool,
}

impl Pace {
    /// Counts polls that came in a period.
    pub fn came(&mut self, polls: u32, during: Duration) {
        self.polls = self.polls.saturating_add(polls);
        self.during += during;
        if self.during >= WINDOW {
            self.crowded = CROWDED * self.polls >= self.during;
            (self.polls, self.during) = (0, Duration::ZERO);
        }
    }

    /// How long to let more polls gather.
    #[must_use]
    pub fn gather(&self) -> Option<Duration> {
        self.crowded.then_some(GATHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After looks this far apart, each with so many polls.
    fn after(pace: &mut Pace, polls: u32, apart: Duration) -> Option<Duration> {
        for _ in 0..100 {
            pace.came(polls, apart);
        }
        pace.gather()
    }

    #[test]
    fn commands_without_polls_are_served_at_once_however_many() {
        let mut pace = Pace::default();
        assert_eq!(pace.gather(), None);
        assert_eq!(after(&mut pace, 0, Duration::from_micros(10)), None);
    }

    #[test]
    fn polls_of_thousands_gather_and_no_more_once_they_are_few() {
        let mut pace = Pace::default();
        assert_eq!(after(&mut pace, 1, Duration::from_micros(500)), Some(GATHER));
        // Gathered, they come at the same pace in larger groups.
        assert_eq!(after(&mut pace, 8, GATHER), Some(GATHER));
        assert_eq!(after(&mut pace, 3, GATHER), None);
    }

    #[test]
    fn polls_gather_only_after_they_were_many_for_a_while() {
        let mut pace = Pace::default();
        pace.came(1000, WINDOW.saturating_sub(Duration::from_nanos(1)));
        assert_eq!(pace.gather(), None);
        pace.came(0, Duration::from_nanos(1));
        assert_eq!(pace.gather(), Some(GATHER));
        // The next ones count anew.
        pace.came(0, WINDOW);
        assert_eq!(pace.gather(), None);
    }

    #[test]
    fn polls_after_a_long_silence_are_served_at_once() {
        let mut pace = Pace::default();
        let _ = after(&mut pace, 1, Duration::from_micros(10));
        pace.came(1, Duration::from_hours(1));
        assert_eq!(pace.gather(), None);
    }

    #[test]
    fn polls_at_the_bound_of_a_crowd_gather_and_fewer_are_served_at_once() {
        let mut pace = Pace::default();
        pace.came(20, CROWDED * 20);
        assert_eq!(pace.gather(), Some(GATHER));
        pace.came(20, CROWDED * 20 + Duration::from_nanos(1));
        assert_eq!(pace.gather(), None);
        pace.came(u32::MAX, Duration::ZERO);
        pace.came(1, WINDOW);
        assert_eq!(pace.gather(), Some(GATHER));
    }
}
