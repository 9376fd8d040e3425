//! Settings of a checkpoint: when to commit, how many dead letters to keep, and when to forget a
//! stopped process.

use std::time::Duration;

/// The limit on bytes of dead letters that wait in memory to be written.
pub const UNWRITTEN_LETTERS: u64 = 64 << 20;

/// Settings of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The shortest time between two commits without a waiter, if many results are at stake. If few
    /// are, the time is twenty times as long.
    pub interval: Duration,
    /// Limits on dead letters.
    pub letters: LetterLimits,
    /// The longest time between two commits without a waiter. Pushing stops in a cluster if acks are
    /// not saved in time.
    pub at_most: Duration,
    /// The longest pause after failed commits.
    pub retry_at_most: Duration,
    /// The age at which a stopped process without dead letters is forgotten; `None` for never.
    pub expire_after: Option<Duration>,
}

impl Settings {
    /// Settings with this interval, for at most `letters` dead letters of any size.
    #[must_use]
    pub const fn new(interval: Duration, letters: u64) -> Self {
        let letters =
            LetterLimits { count: letters, bytes: u64::MAX, unwritten_bytes: UNWRITTEN_LETTERS };
        let (at_most, retry_at_most) = (Duration::MAX, Duration::from_secs(10));
        Self { interval, letters, at_most, retry_at_most, expire_after: None }
    }

    /// Processes that were stopped before this time expire now.
    pub(crate) fn expired_before(&self, now: u64) -> Option<u64> {
        let after = self.expire_after?.as_millis();
        Some(now.saturating_sub(u64::try_from(after).unwrap_or(u64::MAX)))
    }

    /// How long the writer collects changes without a waiter, while few results are at stake.
    pub(crate) fn long_interval(&self) -> Duration {
        self.interval.saturating_mul(20).min(self.at_most)
    }
}

/// Limits on dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetterLimits {
    /// The limit on their number.
    pub count: u64,
    /// The limit on their bytes.
    pub bytes: u64,
    /// The limit on bytes that are not on disk yet, and so in memory.
    pub unwritten_bytes: u64,
}
