//! The engine's notion of now: microseconds since a start that the caller chooses. It is not a
//! clock: the caller reads one and passes the reading in.

use std::ops::Add;
use std::time::Duration;

/// A point in time, in microseconds since the engine's start.
///
/// 64 bits of microseconds last 584,000 years, so additions saturate instead of failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The engine's start.
    pub const ZERO: Self = Self(0);

    /// A point that is never reached.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The point `micros` microseconds after the engine's start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The point `millis` milliseconds after the engine's start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the engine's start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_add_beyond_range_saturates() {
        assert_eq!(Time::from_micros(u64::MAX) + Duration::MAX, Time::from_micros(u64::MAX));
    }

    #[test]
    fn time_since_a_later_point_is_zero() {
        assert_eq!(Time::ZERO.since(Time::from_millis(1)), Duration::ZERO);
        assert_eq!(Time::from_millis(3).since(Time::from_millis(1)), Duration::from_millis(2));
    }
}
