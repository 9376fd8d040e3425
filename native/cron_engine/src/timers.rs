//! When something is due, the earliest first: ticks, retries, probes. It knows nothing of what
//! they mean.

use crate::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is due when, of things with an `Id`.
#[derive(Debug)]
pub(crate) struct Timers<Id> {
    heap: BinaryHeap<Reverse<(Time, Id)>>,
    /// Entries whose thing is gone. They are dropped as they come up, or all together once
    /// they outnumber the living: starting and stopping for ever must not grow the heap.
    stale: usize,
}

impl<Id: Ord> Default for Timers<Id> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), stale: 0 }
    }
}

impl<Id: Ord + Copy> Timers<Id> {
    /// Plans something of `id` at `at`.
    pub(crate) fn arm(&mut self, at: Time, id: Id) {
        self.heap.push(Reverse((at, id)));
    }

    /// Says that one thing with an entry in here is gone. `alive` tells who is not.
    pub(crate) fn forget_one(&mut self, alive: impl Fn(Id) -> bool) {
        self.stale += 1;
        if self.stale > 64 && self.stale * 2 > self.heap.len() {
            self.heap.retain(|Reverse((_, id))| alive(*id));
            self.stale = 0;
        }
    }

    /// Says that an entry that came up belonged to nobody.
    pub(crate) fn dropped_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// When the next entry is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next entry that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Time, Id)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MonitorId;

    #[test]
    fn timers_pop_in_order_of_time_and_only_what_is_due() {
        let mut timers = Timers::default();
        timers.arm(Time::from_millis(2), MonitorId(1));
        timers.arm(Time::from_millis(1), MonitorId(2));
        timers.arm(Time::from_millis(3), MonitorId(3));
        let now = Time::from_millis(2);
        assert_eq!(timers.pop_due(now), Some((Time::from_millis(1), MonitorId(2))));
        assert_eq!(timers.pop_due(now), Some((now, MonitorId(1))));
        assert_eq!(timers.pop_due(now), None);
        assert_eq!(timers.next(), Some(Time::from_millis(3)));
    }

    #[test]
    fn timers_of_many_monitors_that_went_do_not_pile_up() {
        let mut timers = Timers::default();
        timers.arm(Time::from_millis(1), MonitorId(0));
        for id in 1..100_000 {
            timers.arm(Time::from_millis(u64::MAX), MonitorId(id));
            timers.forget_one(|id| id == MonitorId(0));
        }
        assert!(timers.heap.len() < 200, "{}", timers.heap.len());
    }
}
