//! Due times, the earliest first: of ticks, retries and probes.
//!
//! One heap of all of them would not fit into a cache: with 500,000 monitors that was a third of
//! the cost of ticks. Therefore only the next ones are in a heap, and the rest lie in buckets by
//! time, unordered.

use crate::Time;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A bucket covers 2^13 us, 8 ms. With 100,000 monitors at 60 s it holds 14 entries: enough that
/// buckets cost little memory, and few enough that a heap of them is fast.
const BUCKET_BITS: u32 = 13;

/// The heap may grow to this size before its entries are checked for whether they belong into
/// buckets.
const MIN_LIMIT: usize = 1024;

/// Due times of things with an `Id`.
#[derive(Debug)]
pub(crate) struct Timers<Id> {
    /// Entries that are due up to the end of the bucket `last`. Empty only if there are no entries
    /// at all.
    near: BinaryHeap<Reverse<(Time, Id)>>,
    last: u64,
    /// If the heap holds more than this, it is spread over buckets again.
    limit: usize,
    far: BTreeMap<u64, Vec<Reverse<(Time, Id)>>>,
    /// The number of entries in buckets.
    far_len: usize,
    /// Entries whose thing is gone. They are dropped as they come up, or all at once when they
    /// outnumber the others, so that starting and stopping does not grow the memory.
    stale: usize,
}

impl<Id: Ord> Default for Timers<Id> {
    fn default() -> Self {
        let (near, far) = (BinaryHeap::new(), BTreeMap::new());
        Self { near, last: 0, limit: MIN_LIMIT, far, far_len: 0, stale: 0 }
    }
}

impl<Id: Ord + Copy> Timers<Id> {
    /// Adds an entry for `id`, due at `at`.
    pub(crate) fn arm(&mut self, at: Time, id: Id) {
        if bucket(at) > self.last {
            self.put_far(Reverse((at, id)));
        } else {
            self.near.push(Reverse((at, id)));
            self.spread();
        }
        self.refill();
    }

    /// One thing with an entry here is gone. `alive` says which things are not.
    pub(crate) fn forget_one(&mut self, alive: impl Fn(Id) -> bool) {
        self.stale += 1;
        if self.stale > 64 && self.stale * 2 > self.len() {
            self.near.retain(|Reverse((_, id))| alive(*id));
            self.far_len = 0;
            self.far.retain(|_, entries| {
                entries.retain(|Reverse((_, id))| alive(*id));
                self.far_len += entries.len();
                !entries.is_empty()
            });
            self.stale = 0;
            self.refill();
        }
    }

    /// An entry that came up belonged to nothing.
    pub(crate) fn dropped_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// The due time of the next entry.
    pub(crate) fn next(&self) -> Option<Time> {
        self.near.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes the next entry that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Time, Id)> {
        if self.next()? > now {
            return None;
        }
        let Reverse(entry) = self.near.pop()?;
        self.refill();
        Some(entry)
    }

    fn len(&self) -> usize {
        self.near.len() + self.far_len
    }

    fn put_far(&mut self, entry: Reverse<(Time, Id)>) {
        self.far.entry(bucket(entry.0.0)).or_default().push(entry);
        self.far_len += 1;
    }

    /// Continues with the next bucket that holds entries, once the heap is empty.
    fn refill(&mut self) {
        if self.near.is_empty()
            && let Some((bucket, entries)) = self.far.pop_first()
        {
            self.far_len -= entries.len();
            self.last = bucket;
            self.limit = MIN_LIMIT.max(entries.len() * 2);
            self.near = BinaryHeap::from(entries);
        }
    }

    /// Entries in a full heap may be due long before its last bucket: with few entries, that bucket
    /// was far away.
    fn spread(&mut self) {
        if self.near.len() > self.limit {
            for entry in std::mem::take(&mut self.near) {
                self.put_far(entry);
            }
        }
    }
}

const fn bucket(at: Time) -> u64 {
    at.as_micros() >> BUCKET_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MonitorId;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// As one heap of all of them would have it, whenever what is armed.
        #[test]
        fn timers_armed_at_any_times_pop_as_from_one_heap(
            steps in prop::collection::vec((0..200_000_u64, 1..40_usize, 0..60_000_u64), 1..80),
        ) {
            let (mut timers, mut model) = (Timers::default(), BinaryHeap::new());
            let (mut now, mut next_id) = (Time::ZERO, 0);
            for (ahead, count, passes) in steps {
                for apart in 0..count {
                    let at = now + Duration::from_micros(ahead * (1 + apart as u64 % 3));
                    timers.arm(at, MonitorId(next_id));
                    model.push(Reverse((at, MonitorId(next_id))));
                    next_id += 1;
                }
                now = now + Duration::from_micros(passes);
                loop {
                    prop_assert_eq!(timers.next(), model.peek().map(|Reverse((at, _))| *at));
                    prop_assert_eq!(timers.len(), model.len());
                    let Some(due) = timers.pop_due(now) else { break };
                    prop_assert_eq!(Some(Reverse(due)), model.pop());
                }
                prop_assert!(model.peek().is_none_or(|Reverse((at, _))| *at > now));
            }
        }
    }

    #[test]
    fn timers_that_all_come_before_the_only_one_do_not_stay_in_one_heap() {
        let mut timers = Timers::default();
        timers.arm(Time::from_millis(60_000), MonitorId(0));
        for id in 1..=50_000 {
            timers.arm(Time::from_millis(id), MonitorId(id));
        }
        assert!(timers.near.len() <= MIN_LIMIT, "{}", timers.near.len());
        let popped = std::iter::from_fn(|| timers.pop_due(Time::from_millis(50_000)));
        assert!(popped.map(|(_, MonitorId(id))| id).eq(1..=50_000));
    }

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
        assert!(timers.len() < 200, "{}", timers.len());
    }

    #[test]
    fn timers_due_within_8_ms_lie_together_and_later_ones_by_themselves() {
        let mut timers = Timers::default();
        for micros in [0, 8192, 10_000, 16_383, 16_384] {
            timers.arm(Time::from_micros(micros), MonitorId(micros));
        }
        assert_eq!(timers.near.len(), 1);
        assert_eq!(timers.far.values().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn timers_of_a_large_bucket_are_spread_once_there_are_twice_as_many() {
        let mut timers = Timers::default();
        timers.arm(Time::ZERO, MonitorId(0));
        for id in 1..=3000 {
            timers.arm(Time::from_millis(1000), MonitorId(id));
        }
        timers.pop_due(Time::ZERO);
        for id in 3001..=6000 {
            timers.arm(Time::from_millis(500), MonitorId(id));
        }
        assert_eq!((timers.near.len(), timers.far_len), (6000, 0));
        timers.arm(Time::from_millis(500), MonitorId(6001));
        assert_eq!((timers.near.len(), timers.far_len), (3001, 3000));
    }

    #[test]
    fn timers_whose_things_are_gone_are_dropped_together_once_they_outnumber_the_living() {
        for (count, purge) in [(100, 65), (1000, 501)] {
            let mut timers = Timers::default();
            for id in 1..=count {
                timers.arm(Time::from_millis(id), MonitorId(id));
            }
            let all = timers.len();
            for gone in 1..purge {
                timers.forget_one(|MonitorId(id)| id > gone);
                assert_eq!(timers.len(), all, "{gone} of {count}");
            }
            timers.forget_one(|MonitorId(id)| id > purge);
            let left = all - usize::try_from(purge).unwrap();
            assert_eq!((timers.len(), timers.stale), (left, 0));
            let popped = std::iter::from_fn(|| timers.pop_due(Time::from_millis(count)));
            assert!(popped.map(|(_, MonitorId(id))| id).eq(purge + 1..=count));
        }
    }

    #[test]
    fn timers_whose_things_are_gone_are_not_counted_again_once_they_came_up() {
        let mut timers = Timers::default();
        timers.arm(Time::ZERO, MonitorId(1));
        timers.forget_one(|_| false);
        timers.pop_due(Time::ZERO);
        timers.dropped_stale();
        assert_eq!(timers.stale, 0);
    }
}
