//! The fixed grid of a monitor's ticks: first + k * rate. It never drifts. Missed points are
//! skipped.

use crate::Time;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

/// The grid of one monitor's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    first: Time,
    rate: Duration,
}

impl Grid {
    /// The grid of a monitor registered at `start`. Its first point comes after a part of `rate`
    /// that is hashed from `key`: above zero and at most `rate`. Monitors started together
    /// therefore tick at different times, and each keeps its place over restarts.
    #[must_use]
    pub fn new(start: Time, rate: Duration, key: &[u8]) -> Self {
        let rate = rate.max(Duration::from_micros(1));
        let micros = u64::try_from(rate.as_micros()).unwrap_or(u64::MAX);
        let mut hasher = DefaultHasher::new();
        hasher.write(key);
        let phase = Duration::from_micros(hasher.finish() % micros + 1);
        Self { first: start + phase, rate }
    }

    /// The first point of the grid.
    #[must_use]
    pub const fn first(&self) -> Time {
        self.first
    }

    /// The time between two points.
    #[must_use]
    pub const fn rate(&self) -> Duration {
        self.rate
    }

    /// The first point of the grid after `now`, and the number of missed points between `due`,
    /// which is served at `now`, and that point.
    #[must_use]
    pub fn next_after(&self, due: Time, now: Time) -> (Time, u64) {
        if now < self.first {
            return (self.first, 0);
        }
        let rate = u64::try_from(self.rate.as_micros()).unwrap_or(u64::MAX).max(1);
        let steps = |time: Time| {
            time.as_micros().saturating_sub(self.first.as_micros()).checked_div(rate).unwrap_or(0)
        };
        let last = steps(now);
        let missed = last.saturating_sub(steps(due));
        let offset = last.saturating_add(1).saturating_mul(rate);
        (self.first + Duration::from_micros(offset), missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Duration = Duration::from_millis(100);

    #[test]
    fn grid_first_point_is_within_the_first_rate() {
        for key in 0..1000_u32 {
            let grid = Grid::new(Time::from_millis(5), RATE, &key.to_le_bytes());
            assert!(grid.first() > Time::from_millis(5));
            assert!(grid.first() <= Time::from_millis(105));
        }
    }

    #[test]
    fn grid_first_points_of_many_keys_are_spread_evenly() {
        let mut tenths = [0_u32; 10];
        for key in 0..10_000_u32 {
            let phase = Grid::new(Time::ZERO, RATE, &key.to_le_bytes()).first().as_micros() - 1;
            tenths[usize::try_from(phase / 10_000).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|&count| (850..1150).contains(&count)), "{tenths:?}");
    }

    #[test]
    fn grid_before_its_first_point_is_followed_by_it() {
        let grid = Grid::new(Time::from_millis(5), RATE, b"key");
        let before = Time::from_micros(grid.first().as_micros() - 1);
        assert_eq!(grid.next_after(before, before), (grid.first(), 0));
    }

    #[test]
    fn grid_point_served_on_time_is_followed_by_the_next() {
        let grid = Grid::new(Time::ZERO, RATE, b"key");
        let due = grid.first();
        assert_eq!(grid.next_after(due, due), (due + RATE, 0));
    }

    #[test]
    fn grid_point_served_late_skips_what_was_missed_and_does_not_drift() {
        let grid = Grid::new(Time::ZERO, RATE, b"key");
        let late = grid.first() + Duration::from_millis(350);
        assert_eq!(grid.next_after(grid.first(), late), (grid.first() + RATE * 4, 3));
    }

    #[test]
    fn grid_of_one_millisecond_far_in_the_future_stays_exact() {
        let rate = Duration::from_millis(1);
        let grid = Grid::new(Time::ZERO, rate, b"key");
        let now = grid.first() + rate * 4_000_000_000;
        assert_eq!(grid.next_after(now, now), (now + rate, 0));
    }
}
