//! One CU host, as all monitors that ask it see it: who waits for it, how many fetches are under
//! way, whether it answers, and how fast.

use crate::breaker::Breaker;
use crate::queue::{Lane, PerLane};
use crate::{MonitorId, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// A CU host: everything behind one scheme, name and port. Whoever makes the numbers gives equal
/// ones to equal hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u64);

/// The longest that a fetch may take in the fast lane, in a crowd.
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);

/// The shortest that it is given, however fast its host usually is.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(250);

/// What it is given at a host that has never answered.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(1);

/// How many times the usual time is out of the usual.
const PATIENCE: u32 = 16;

/// What is known of a host.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// How many monitors may ask it.
    pub(crate) members: usize,
    /// Who waits, by when they came.
    pub(crate) waiting: PerLane<VecDeque<(u64, MonitorId)>>,
    /// Fetches under way.
    pub(crate) inflight: PerLane<usize>,
    /// Who is first and may go, as the queue shows it.
    pub(crate) shown: PerLane<Option<u64>>,
    pub(crate) breaker: Breaker,
    /// The queue counts its breaker among those that are not closed.
    pub(crate) counted_open: bool,
    /// The time that its answers take, smoothed.
    pace: Option<Duration>,
    /// When it answered last.
    last_answer: Option<Time>,
}

impl Host {
    /// When the first one came that may go in this lane.
    pub(crate) fn head(&self, lane: Lane, shares: &PerLane<usize>) -> Option<u64> {
        let first = |lane| self.waiting.of(lane).front().map(|(arrival, _)| *arrival);
        let full = self.inflight.fast + self.inflight.slow >= shares.fast
            || (lane == Lane::Slow && self.inflight.slow >= shares.slow);
        let preferred = self.breaker.preferred();
        let better = lane != preferred
            && !self.breaker.is_closed()
            && self.breaker.allows(preferred)
            && !self.waiting.of(preferred).is_empty();
        if full || better || !self.breaker.allows(lane) { None } else { first(lane) }
    }

    /// It answered at `now`, whatever it was, after this time.
    pub(crate) fn answered(&mut self, now: Time, took: Duration) {
        self.last_answer = Some(now);
        self.pace = Some(self.pace.map_or(took, |pace| (pace * 7 + took) / 8));
    }

    /// Whether it answered anything since then.
    pub(crate) fn has_answered_since(&self, then: Time) -> bool {
        self.last_answer.is_some_and(|at| at >= then)
    }

    /// How long an answer may take before the place is needed more by others.
    pub(crate) fn patience(&self, probe: bool) -> Duration {
        // A host that comes back may be slower than it was. One place is not much for finding out.
        if probe {
            return LONGEST_PATIENCE;
        }
        let Some(pace) = self.pace else { return UNKNOWN_PATIENCE };
        pace.saturating_mul(PATIENCE).clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE)
    }

    /// Whether nobody asks it and nothing is under way.
    pub(crate) fn is_unused(&self) -> bool {
        self.members == 0
            && self.inflight.fast + self.inflight.slow == 0
            && self.waiting.fast.is_empty()
            && self.waiting.slow.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1000);

    #[test]
    fn patience_follows_the_pace_within_its_bounds() {
        let mut host = Host::default();
        assert_eq!(host.patience(false), UNKNOWN_PATIENCE);
        host.answered(NOW, Duration::from_millis(1));
        assert_eq!(host.patience(false), SHORTEST_PATIENCE);
        for _ in 0..100 {
            host.answered(NOW, Duration::from_millis(100));
        }
        assert!(host.patience(false) > Duration::from_millis(1500));
        assert!(host.patience(false) <= Duration::from_millis(1600));
        host.answered(NOW, Duration::from_mins(1));
        assert_eq!(host.patience(false), LONGEST_PATIENCE);
    }
}
