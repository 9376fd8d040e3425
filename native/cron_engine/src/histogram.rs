//! Durations, counted in fixed buckets. A histogram is shared by threads without a lock and never
//! decreases. It reads no clock and has no name: the owner knows what is measured and where it is
//! shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds, in us, for what usually takes from 0.1 ms to a minute.
pub const DURATIONS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Upper bounds, in us, for lags: from a tenth of a second to a week.
pub const LAGS: [u64; 17] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
    604_800_000_000,
];

/// Counts of durations by size, and their sum.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [u64; N],
    counts: [AtomicU64; N],
    /// Durations above the last bound.
    over: AtomicU64,
    sum: AtomicU64,
}

/// The contents of a histogram at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Each upper bound in us, with the number of durations between the one before and this one.
    pub buckets: Vec<(u64, u64)>,
    /// The number of durations above the last bound.
    pub over: u64,
    /// The sum of all durations, in us.
    pub sum: u64,
}

/// Durations in one bucket that are not in the histogram yet. Threads that count often would
/// otherwise contend for the same few words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The bucket of all of them.
    bucket: usize,
    count: u64,
    sum: u64,
}

/// A duration in us, as histograms count.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl<const N: usize> Histogram<N> {
    /// An empty histogram with these rising upper bounds in us.
    #[must_use]
    pub const fn new(bounds: [u64; N]) -> Self {
        let counts = [const { AtomicU64::new(0) }; N];
        Self { bounds, counts, over: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let us = micros(duration);
        self.add(Tally { bucket: self.bucket(us), count: 1, sum: us });
    }

    /// Counts a duration in us with the others in `tally`, which is flushed first if it holds
    /// durations of another bucket.
    pub fn tally(&self, tally: &mut Tally, us: u64) {
        let bucket = self.bucket(us);
        if bucket != tally.bucket {
            self.settle(tally);
            tally.bucket = bucket;
        }
        tally.count += 1;
        tally.sum = tally.sum.saturating_add(us);
    }

    /// Counts what is in `tally` and empties it.
    pub fn settle(&self, tally: &mut Tally) {
        let settled = std::mem::take(tally);
        if settled.count > 0 {
            self.add(settled);
        }
    }

    /// The contents. Durations that are counted at the same time may be missing from the sum.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Snapshot {
            buckets: self.bounds.iter().copied().zip(counts).collect(),
            over: self.over.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }

    fn bucket(&self, us: u64) -> usize {
        self.bounds.partition_point(|bound| *bound < us)
    }

    fn add(&self, Tally { bucket, count, sum }: Tally) {
        let counted = self.counts.get(bucket).unwrap_or(&self.over);
        counted.fetch_add(count, Ordering::Relaxed);
        self.sum.fetch_add(sum, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_at_a_bound_is_counted_below_it_and_one_above_it_is_not() {
        let histogram = Histogram::new([10, 20]);
        for us in [0, 10, 11, 20, 21, 1000] {
            histogram.observe(Duration::from_micros(us));
        }
        let expected = Snapshot { buckets: vec![(10, 2), (20, 2)], over: 2, sum: 1062 };
        assert_eq!(histogram.snapshot(), expected);
    }

    #[test]
    fn tally_of_any_durations_counts_as_each_by_itself_once_it_is_settled() {
        let (one_by_one, together) = (Histogram::new(DURATIONS), Histogram::new(DURATIONS));
        let mut tally = Tally::default();
        for us in (0..2000).map(|n: u64| n * n * 50 % 70_000_000) {
            one_by_one.observe(Duration::from_micros(us));
            together.tally(&mut tally, us);
        }
        assert_ne!(one_by_one.snapshot(), together.snapshot());
        together.settle(&mut tally);
        assert_eq!(one_by_one.snapshot(), together.snapshot());
        together.settle(&mut tally);
        assert_eq!(one_by_one.snapshot(), together.snapshot());
    }

    #[test]
    fn bounds_of_the_two_kinds_rise() {
        assert!(DURATIONS.is_sorted_by(|a, b| a < b));
        assert!(LAGS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn duration_beyond_64_bits_of_microseconds_is_the_longest_there_is() {
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }
}
