//! Whether the loop should let events gather before it serves them: a wake-up for each event costs
//! more than serving it, in the loop and in the threads that it wakes. This file measures and
//! decides; the caller waits.

use std::time::Duration;

/// How long events gather while many polls come. Each step from a tick to its results may come that
/// much later. With 1,000 results a second, one to a page, it saves three tenths of the CPU time of
/// each.
const GATHER: Duration = Duration::from_millis(4);

/// How long events gather while many registrations come, and few polls. It ends when a tick is due,
/// which would otherwise be that much later. Without it the loop wakes for nearly each of 20,000
/// registrations a second, and takes the core of a thread that registers.
const GATHER_STARTS: Duration = Duration::from_millis(1);

/// The time over which polls and registrations are counted.
const WINDOW: Duration = Duration::from_millis(20);

/// Below this mean time between two polls or two registrations, events gather. Nothing else counts:
/// the drain of a backlog fetches its next page only after the last one, and waiting would delay it.
/// At this time two polls come while events gather: fewer would save no wake-up.
const CROWDED: Duration = Duration::from_millis(2);

/// The least time between two rounds of ticks, if nothing else happens: ticks due in between are
/// sent together. With 25,000 ticks a second, rounds 1 ms apart take a third more CPU time. A
/// single tick is sent when it is due.
pub const TICKS_APART: Duration = Duration::from_millis(2);

/// What came since the loop last looked.
#[derive(Debug, Default, Clone, Copy)]
pub struct Came {
    /// Polls.
    pub polls: u32,
    /// Registrations of monitors.
    pub registrations: u32,
}

/// What comes in great number.
#[derive(Debug, Clone, Copy)]
enum Crowd {
    Polls,
    Registrations,
}

/// Counts polls and registrations.
#[derive(Debug, Default)]
pub struct Pace {
    came: Came,
    during: Duration,
    crowd: Option<Crowd>,
}

impl Pace {
    /// Counts what came in a period.
    pub fn came(&mut self, came: Came, during: Duration) {
        self.came.polls = self.came.polls.saturating_add(came.polls);
        self.came.registrations = self.came.registrations.saturating_add(came.registrations);
        self.during += during;
        if self.during >= WINDOW {
            let is_crowd = |count: u32| CROWDED * count >= self.during;
            self.crowd = if is_crowd(self.came.polls) {
                Some(Crowd::Polls)
            } else {
                is_crowd(self.came.registrations).then_some(Crowd::Registrations)
            };
            (self.came, self.during) = (Came::default(), Duration::ZERO);
        }
    }

    /// How long to let more events gather. `until_due` returns the time until the next timer is due;
    /// it is called only while many registrations come.
    #[must_use]
    pub fn gather(&self, until_due: impl FnOnce() -> Duration) -> Option<Duration> {
        match self.crowd? {
            Crowd::Polls => Some(GATHER),
            Crowd::Registrations => {
                Some(GATHER_STARTS.min(until_due())).filter(|gap| !gap.is_zero())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polls(polls: u32) -> Came {
        Came { polls, registrations: 0 }
    }

    fn registrations(registrations: u32) -> Came {
        Came { polls: 0, registrations }
    }

    /// After looks this far apart, each with so many polls.
    fn after(pace: &mut Pace, count: u32, apart: Duration) -> Option<Duration> {
        for _ in 0..100 {
            pace.came(polls(count), apart);
        }
        pace.gather(|| Duration::MAX)
    }

    #[test]
    fn commands_without_polls_are_served_at_once_however_many() {
        let mut pace = Pace::default();
        assert_eq!(pace.gather(|| Duration::MAX), None);
        assert_eq!(after(&mut pace, 0, Duration::from_micros(10)), None);
    }

    #[test]
    fn polls_of_hundreds_gather_and_no_more_once_they_are_few() {
        let mut pace = Pace::default();
        assert_eq!(after(&mut pace, 1, Duration::from_micros(500)), Some(GATHER));
        // Gathered, they come at the same pace in larger groups.
        assert_eq!(after(&mut pace, 8, GATHER), Some(GATHER));
        assert_eq!(after(&mut pace, 1, GATHER), None);
    }

    #[test]
    fn polls_gather_only_after_they_were_many_for_a_while() {
        let mut pace = Pace::default();
        pace.came(polls(1000), WINDOW.saturating_sub(Duration::from_nanos(1)));
        assert_eq!(pace.gather(|| Duration::MAX), None);
        pace.came(polls(0), Duration::from_nanos(1));
        assert_eq!(pace.gather(|| Duration::MAX), Some(GATHER));
        // The next ones count anew.
        pace.came(polls(0), WINDOW);
        assert_eq!(pace.gather(|| Duration::MAX), None);
    }

    #[test]
    fn polls_after_a_long_silence_are_served_at_once() {
        let mut pace = Pace::default();
        let _ = after(&mut pace, 1, Duration::from_micros(10));
        pace.came(polls(1), Duration::from_hours(1));
        assert_eq!(pace.gather(|| Duration::MAX), None);
    }

    #[test]
    fn polls_at_the_bound_of_a_crowd_gather_and_fewer_are_served_at_once() {
        let mut pace = Pace::default();
        pace.came(polls(10), CROWDED * 10);
        assert_eq!(pace.gather(|| Duration::MAX), Some(GATHER));
        pace.came(polls(10), CROWDED * 10 + Duration::from_nanos(1));
        assert_eq!(pace.gather(|| Duration::MAX), None);
        pace.came(polls(u32::MAX), Duration::ZERO);
        pace.came(polls(1), WINDOW);
        assert_eq!(pace.gather(|| Duration::MAX), Some(GATHER));
    }

    #[test]
    fn registrations_of_hundreds_gather_for_less_time_than_polls() {
        let mut pace = Pace::default();
        pace.came(registrations(10), CROWDED * 10);
        assert_eq!(pace.gather(|| Duration::MAX), Some(GATHER_STARTS));
        pace.came(Came { polls: 10, registrations: 1000 }, CROWDED * 10);
        assert_eq!(pace.gather(|| Duration::MAX), Some(GATHER));
        pace.came(Came { polls: 9, registrations: 9 }, CROWDED * 10);
        assert_eq!(pace.gather(|| Duration::MAX), None, "neither is a crowd");
    }

    #[test]
    fn registrations_gather_no_longer_than_until_a_timer_is_due() {
        let mut pace = Pace::default();
        pace.came(registrations(10), CROWDED * 10);
        let soon = Duration::from_micros(300);
        assert_eq!(pace.gather(|| soon), Some(soon));
        assert_eq!(pace.gather(|| Duration::ZERO), None);
        pace.came(polls(10), CROWDED * 10);
        assert_eq!(pace.gather(|| soon), Some(GATHER), "polls gather beyond it");
    }
}
