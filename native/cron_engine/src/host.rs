//! One CU host, as all its monitors see it: which monitors wait for it, how many fetches are under
//! way, whether it answers, and how fast.

pub(crate) mod breaker;
pub(crate) mod id;
pub(crate) mod lane;
pub(crate) mod queue;
pub(crate) mod verdict;

use crate::host::breaker::Breaker;
use crate::host::lane::{Lane, PerLane};
use crate::{MonitorId, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// The longest patience for a fetch in the fast lane, if places are scarce.
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);

/// The shortest patience, however fast the host usually is.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(250);

/// The patience with a host that has never answered.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(1);

/// Patience is this many times the usual time of the host.
const PATIENCE: u32 = 16;

/// The state of a host.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// The number of monitors that may ask it.
    pub(crate) members: usize,
    /// The monitors that wait, in the order of arrival.
    pub(crate) waiting: PerLane<VecDeque<(u64, MonitorId)>>,
    /// Fetches under way.
    pub(crate) inflight: PerLane<usize>,
    /// The first monitor that may go, as the queue has it.
    pub(crate) shown: PerLane<Option<u64>>,
    pub(crate) breaker: Breaker,
    /// Whether the queue counts its breaker among those that are not closed.
    pub(crate) counted_open: bool,
    /// The smoothed time of its answers.
    pace: Option<Duration>,
    /// The time of its last answer.
    last_answer: Option<Time>,
}

impl Host {
    /// The arrival of the first monitor that may go in this lane.
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

    /// The host answered at `now`, after this time.
    pub(crate) fn answered(&mut self, now: Time, took: Duration) {
        self.last_answer = Some(now);
        self.pace = Some(self.pace.map_or(took, |pace| (pace * 7 + took) / 8));
    }

    /// Whether it has answered since `then`.
    pub(crate) fn has_answered_since(&self, then: Time) -> bool {
        self.last_answer.is_some_and(|at| at >= then)
    }

    /// How long a fetch may take before others need its place.
    pub(crate) fn patience(&self, probe: bool) -> Duration {
        // A host that recovers may be slower than before. One place is a fair price for finding
        // out.
        if probe {
            return LONGEST_PATIENCE;
        }
        let Some(pace) = self.pace else { return UNKNOWN_PATIENCE };
        pace.saturating_mul(PATIENCE).clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE)
    }

    /// Whether no monitor uses it and no fetch is under way.
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
    use crate::host::breaker::Change;
    use crate::host::verdict::Verdict;
    use fastrand::Rng;

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

    /// Who may go in each lane of a host with 8 places, 2 of them slow.
    fn heads(host: &Host) -> [Option<u64>; 2] {
        [Lane::Fast, Lane::Slow].map(|lane| host.head(lane, &PerLane { fast: 8, slow: 2 }))
    }

    /// A host where one waits in each lane, and whose breaker has opened so often and lets a probe through.
    fn host_after(trips: u32) -> Host {
        let (mut host, mut rng) = (Host::default(), Rng::with_seed(1));
        host.waiting.fast.push_back((1, MonitorId(1)));
        host.waiting.slow.push_back((2, MonitorId(2)));
        for _ in 0..trips {
            let probe = host.breaker.begun(Lane::Fast).then_some(Lane::Fast);
            let mut fail = || host.breaker.ended(NOW, &mut rng, probe, Verdict::Failed(None));
            let opened = std::iter::repeat_with(&mut fail).take(100).flatten().next();
            let Some(Change::Opened(until)) = opened else { panic!("it opens") };
            assert_eq!(heads(&host), [None, None]);
            host.breaker.due(until);
        }
        host
    }

    #[test]
    fn lanes_of_a_host_that_answers_are_both_open() {
        assert_eq!(heads(&host_after(0)), [Some(1), Some(2)]);
    }

    #[test]
    fn probe_is_of_each_lane_in_turn_if_monitors_wait_in_both() {
        assert_eq!(heads(&host_after(1)), [Some(1), None]);
        assert_eq!(heads(&host_after(2)), [None, Some(2)]);
        assert_eq!(heads(&host_after(3)), [Some(1), None]);
    }

    #[test]
    fn probe_is_of_the_other_lane_if_the_next_one_is_empty() {
        let (mut host, mut other) = (host_after(1), host_after(2));
        host.waiting.fast.clear();
        other.waiting.slow.clear();
        assert_eq!((heads(&host), heads(&other)), ([None, Some(2)], [Some(1), None]));
    }

    #[test]
    fn probe_of_the_fast_lane_may_go_while_a_slow_one_is_under_way() {
        let mut host = host_after(2);
        assert!(host.breaker.begun(Lane::Slow));
        assert_eq!(heads(&host), [Some(1), None]);
    }

    #[test]
    fn host_at_its_share_or_slow_share_lets_no_further_monitor_go() {
        for (fast, slow, expected) in [
            (7, 0, [Some(1), Some(2)]),
            (8, 0, [None, None]),
            (7, 1, [None, None]),
            (0, 2, [Some(1), None]),
            (5, 1, [Some(1), Some(2)]),
        ] {
            let host = Host { inflight: PerLane { fast, slow }, ..host_after(0) };
            assert_eq!(heads(&host), expected, "{fast} and {slow}");
        }
    }

    #[test]
    fn host_has_answered_since_any_time_up_to_its_last_answer() {
        let mut host = Host::default();
        assert!(!host.has_answered_since(Time::ZERO));
        host.answered(NOW, Duration::ZERO);
        assert!(host.has_answered_since(NOW));
        assert!(!host.has_answered_since(NOW + Duration::from_micros(1)));
    }

    #[test]
    fn host_is_unused_without_monitors_fetches_and_a_queue() {
        let under_way = |fast, slow| Host { inflight: PerLane { fast, slow }, ..Host::default() };
        assert!(Host::default().is_unused());
        assert!(!Host { members: 1, ..Host::default() }.is_unused());
        for (fast, slow) in [(1, 0), (0, 1), (1, 1)] {
            assert!(!under_way(fast, slow).is_unused(), "{fast} and {slow}");
        }
        let (mut fast, mut slow) = (host_after(0), host_after(0));
        fast.waiting.slow.clear();
        slow.waiting.fast.clear();
        assert!(!fast.is_unused() && !slow.is_unused());
    }
}
