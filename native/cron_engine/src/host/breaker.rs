//! The breaker of one CU host. It is closed while the host answers. After failures of the host in a
//! row it opens: no fetch is sent for a pause, then one fetch, the probe, finds out for all. A
//! probe of a monitor in the slow lane may take long; meanwhile a probe in the fast lane may find
//! out sooner.

use crate::Time;
use crate::engine::backoff::Backoff;
use crate::host::lane::{Lane, PerLane};
use crate::host::verdict::Verdict;
use fastrand::Rng;
use std::time::Duration;

/// Failures in a row that open it. One lost connection must not stop a host's monitors.
const THRESHOLD: u32 = 5;

/// The pauses between probes. One request every few seconds is no load for a host, and recovery is
/// noticed soon.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10) };

/// The state of a host's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Fetches are allowed.
    Closed,
    /// No fetch is allowed for this long.
    Open(Duration),
    /// One fetch probes whether the host is back.
    HalfOpen,
}

/// A change of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It opened, and will let a probe through at this time.
    Opened(Time),
    /// It closed.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Time },
    HalfOpen,
}

/// The breaker of a host.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    /// The number of times it opened since the host's last answer.
    trips: u64,
    /// The probes under way in each lane, perhaps since before the breaker closed or opened again.
    probes: PerLane<u32>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 }, trips: 0, probes: PerLane::default() }
    }
}

impl Breaker {
    /// Whether a fetch may begin in this lane.
    pub(crate) const fn allows(&self, lane: Lane) -> bool {
        match (self.state, lane) {
            (State::Closed { .. }, _) => true,
            (State::Open { .. }, _) => false,
            (State::HalfOpen, Lane::Fast) => self.probes.fast == 0,
            (State::HalfOpen, Lane::Slow) => self.probes.fast == 0 && self.probes.slow == 0,
        }
    }

    /// The lane to take a probe from, if both have monitors. A fast one finds out sooner; but only
    /// a slow one finds out that a host is back that has become slow.
    pub(crate) const fn preferred(&self) -> Lane {
        if self.trips.is_multiple_of(2) { Lane::Slow } else { Lane::Fast }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// The state at `now`.
    pub(crate) fn stands(&self, now: Time) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } => BreakerState::Open(until.since(now)),
            State::HalfOpen => BreakerState::HalfOpen,
        }
    }

    /// When a fetch may begin that is not a probe, as far as is known; `None` if it may begin now.
    pub(crate) fn opens(&self, now: Time) -> Option<Time> {
        match self.state {
            State::Closed { .. } => None,
            State::HalfOpen if self.allows(Lane::Slow) => None,
            State::HalfOpen => Some(now),
            State::Open { until } => Some(until),
        }
    }

    /// A fetch begins. Returns true if it is a probe.
    pub(crate) const fn begun(&mut self, lane: Lane) -> bool {
        let is_probe = matches!(self.state, State::HalfOpen);
        if is_probe {
            *self.probes.of_mut(lane) += 1;
        }
        is_probe
    }

    /// Becomes half open if the pause is over.
    pub(crate) fn due(&mut self, now: Time) {
        if matches!(self.state, State::Open { until } if until <= now) {
            self.state = State::HalfOpen;
        }
    }

    /// A fetch ended. `probe` is its lane if [`Breaker::begun`] said that it is a probe.
    pub(crate) fn ended(
        &mut self,
        now: Time,
        rng: &mut Rng,
        probe: Option<Lane>,
        verdict: Verdict,
    ) -> Option<Change> {
        if let Some(lane) = probe {
            let probes = self.probes.of_mut(lane);
            *probes = probes.saturating_sub(1);
        }
        match (verdict, self.state) {
            // An answer to a fetch from before the breaker opened counts, too: the host is there.
            (Verdict::Answered, state) => {
                self.state = State::Closed { failures: 0 };
                self.trips = 0;
                (!matches!(state, State::Closed { .. })).then_some(Change::Closed)
            }
            (Verdict::Failed(asked), State::Closed { failures }) => {
                let failures = failures + 1;
                self.state = State::Closed { failures };
                (failures >= THRESHOLD).then(|| self.open(now, rng, asked))
            }
            (Verdict::Failed(asked), State::HalfOpen) if probe.is_some() => {
                Some(self.open(now, rng, asked))
            }
            // A probe that says nothing, or a late failure of a fetch from before the breaker opened.
            _ => None,
        }
    }

    fn open(&mut self, now: Time, rng: &mut Rng, asked: Option<Duration>) -> Change {
        self.trips += 1;
        let pause = PAUSES.pause(self.trips, rng).max(asked.unwrap_or_default());
        let until = now + pause;
        self.state = State::Open { until };
        Change::Opened(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1000);
    const FAILED: Verdict = Verdict::Failed(None);
    const PROBE: Option<Lane> = Some(Lane::Fast);

    /// A breaker that opened, and when it will let the probe through.
    fn opened(rng: &mut Rng) -> (Breaker, Time) {
        let mut breaker = Breaker::default();
        for _ in 1..THRESHOLD {
            assert_eq!(breaker.ended(NOW, rng, None, FAILED), None);
            assert!(breaker.allows(Lane::Fast));
        }
        let Some(Change::Opened(until)) = breaker.ended(NOW, rng, None, FAILED) else {
            panic!("it opens");
        };
        (breaker, until)
    }

    #[test]
    fn closed_failures_with_an_answer_in_between_keep_it_closed() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::with_seed(1));
        for _ in 0..100 {
            for _ in 1..THRESHOLD {
                assert_eq!(breaker.ended(NOW, &mut rng, None, FAILED), None);
            }
            assert_eq!(breaker.ended(NOW, &mut rng, None, Verdict::Answered), None);
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn open_lets_one_probe_through_once_its_pause_is_over() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        assert!(!breaker.allows(Lane::Fast));
        breaker.due(NOW);
        assert!(!breaker.allows(Lane::Fast), "too early");
        breaker.due(until);
        assert!(breaker.allows(Lane::Fast));
        assert!(breaker.begun(Lane::Fast));
        assert!(!breaker.allows(Lane::Fast), "one is enough");
    }

    #[test]
    fn half_open_probe_that_is_answered_closes_it() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        breaker.due(until);
        assert!(breaker.begun(Lane::Fast));
        assert_eq!(breaker.ended(until, &mut rng, PROBE, Verdict::Answered), Some(Change::Closed));
        assert!(breaker.is_closed());
    }

    #[test]
    fn half_open_probe_that_fails_opens_it_for_longer_up_to_the_longest_pause() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, mut now) = opened(&mut rng);
        let mut longest = Duration::ZERO;
        for _ in 0..50 {
            breaker.due(now);
            assert!(breaker.begun(Lane::Fast));
            let Some(Change::Opened(until)) = breaker.ended(now, &mut rng, PROBE, FAILED) else {
                panic!("it opens again");
            };
            longest = longest.max(until.since(now));
            now = until;
        }
        assert!(longest > PAUSES.longest / 2 && longest <= PAUSES.longest, "{longest:?}");
    }

    #[test]
    fn half_open_probe_that_says_nothing_is_followed_by_another() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        breaker.due(until);
        assert!(breaker.begun(Lane::Fast));
        assert_eq!(breaker.ended(until, &mut rng, PROBE, Verdict::Neither), None);
        assert!(breaker.allows(Lane::Fast) && !breaker.is_closed());
    }

    #[test]
    fn half_open_late_failure_of_a_fetch_that_is_no_probe_changes_nothing() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        breaker.due(until);
        assert_eq!(breaker.ended(until, &mut rng, None, FAILED), None);
        assert!(breaker.allows(Lane::Fast) && !breaker.is_closed());
    }

    #[test]
    fn half_open_slow_probe_leaves_room_for_one_that_is_fast() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        breaker.due(until);
        assert!(breaker.begun(Lane::Slow));
        assert!(!breaker.allows(Lane::Slow) && breaker.allows(Lane::Fast));
        assert!(breaker.begun(Lane::Fast));
        assert_eq!(breaker.ended(until, &mut rng, PROBE, Verdict::Answered), Some(Change::Closed));
        assert_eq!(breaker.ended(until, &mut rng, Some(Lane::Slow), FAILED), None);
        assert!(breaker.is_closed(), "one failure among answers");
    }

    #[test]
    fn open_late_failures_of_older_fetches_change_nothing_and_a_late_answer_closes_it() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        assert_eq!(breaker.ended(NOW, &mut rng, None, FAILED), None);
        assert_eq!(breaker.opens(NOW), Some(until));
        assert_eq!(breaker.ended(NOW, &mut rng, None, Verdict::Answered), Some(Change::Closed));
    }

    #[test]
    fn open_pause_is_no_shorter_than_what_the_host_asks_for() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::with_seed(1));
        let asked = Verdict::Failed(Some(Duration::from_mins(2)));
        let last = (0..THRESHOLD).map(|_| breaker.ended(NOW, &mut rng, None, asked)).last();
        assert_eq!(last, Some(Some(Change::Opened(NOW + Duration::from_mins(2)))));
    }

    #[test]
    fn half_open_again_there_is_no_second_slow_probe_beside_the_first() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        breaker.due(until);
        assert!(breaker.begun(Lane::Slow));
        assert!(breaker.begun(Lane::Fast));
        let Some(Change::Opened(again)) = breaker.ended(until, &mut rng, PROBE, FAILED) else {
            panic!("it opens again");
        };
        breaker.due(again);
        assert!(!breaker.allows(Lane::Slow), "the first one is under way yet");
        assert!(breaker.allows(Lane::Fast));
    }

    #[test]
    fn half_open_again_there_is_no_second_fast_probe_beside_the_first() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        breaker.due(until);
        assert!(breaker.begun(Lane::Slow) && breaker.begun(Lane::Fast));
        let slow = breaker.ended(until, &mut rng, Some(Lane::Slow), FAILED);
        let Some(Change::Opened(again)) = slow else { panic!("it opens again") };
        breaker.due(again);
        assert!(!breaker.allows(Lane::Fast) && !breaker.allows(Lane::Slow));
        assert_eq!(breaker.ended(again, &mut rng, PROBE, Verdict::Neither), None);
        assert!(breaker.allows(Lane::Fast));
    }

    #[test]
    fn probe_from_before_it_closed_does_not_free_the_lane_of_a_later_one() {
        let mut rng = Rng::with_seed(1);
        let (mut breaker, until) = opened(&mut rng);
        breaker.due(until);
        assert!(breaker.begun(Lane::Slow) && breaker.begun(Lane::Fast));
        assert_eq!(breaker.ended(until, &mut rng, PROBE, Verdict::Answered), Some(Change::Closed));
        let again =
            (0..THRESHOLD).filter_map(|_| breaker.ended(until, &mut rng, None, FAILED)).last();
        let Some(Change::Opened(again)) = again else { panic!("it opens again") };
        breaker.due(again);
        assert!(!breaker.allows(Lane::Slow), "the slow one is under way yet");
        assert!(breaker.begun(Lane::Fast));
        assert_eq!(breaker.ended(again, &mut rng, Some(Lane::Slow), Verdict::Neither), None);
        assert!(!breaker.allows(Lane::Slow) && !breaker.allows(Lane::Fast));
    }

    #[test]
    fn half_open_probe_that_says_nothing_leaves_the_one_of_the_other_lane_alone() {
        for (ended, fast) in [(Lane::Fast, true), (Lane::Slow, false)] {
            let mut rng = Rng::with_seed(1);
            let (mut breaker, until) = opened(&mut rng);
            breaker.due(until);
            assert!(breaker.begun(Lane::Slow) && breaker.begun(Lane::Fast));
            assert_eq!(breaker.ended(until, &mut rng, Some(ended), Verdict::Neither), None);
            assert_eq!((breaker.allows(Lane::Fast), breaker.allows(Lane::Slow)), (fast, false));
        }
    }

    #[test]
    fn half_open_probe_that_says_nothing_is_followed_by_one_of_either_lane() {
        for lane in [Lane::Fast, Lane::Slow] {
            let mut rng = Rng::with_seed(1);
            let (mut breaker, until) = opened(&mut rng);
            breaker.due(until);
            assert!(breaker.begun(lane));
            assert_eq!(breaker.ended(until, &mut rng, Some(lane), Verdict::Neither), None);
            assert!(breaker.allows(Lane::Fast) && breaker.allows(Lane::Slow));
        }
    }
}
