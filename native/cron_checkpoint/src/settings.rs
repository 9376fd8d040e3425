//! How a checkpoint is kept: when it is written, how many dead letters there may be, and when a stopped
//! process is forgotten.

use std::time::Duration;

/// The most bytes of dead letters that wait in memory to be written.
pub const UNWRITTEN_LETTERS: u64 = 64 << 20;

/// How a checkpoint is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least time between two commits that nothing waits for, if many results are at stake. If
    /// few are, it is twenty times as long.
    pub interval: Duration,
    /// How many dead letters there may be.
    pub letters: LetterLimits,
    /// After how long a stopped process without dead letters is forgotten; `None` for never.
    pub expire_after: Option<Duration>,
}

impl Settings {
    /// Settings with this interval, for at most `letters` dead letters of any size.
    #[must_use]
    pub const fn new(interval: Duration, letters: u64) -> Self {
        let letters =
            LetterLimits { count: letters, bytes: u64::MAX, unwritten_bytes: UNWRITTEN_LETTERS };
        Self { interval, letters, expire_after: None }
    }

    /// Processes that were stopped before this time are to be forgotten now.
    pub(crate) fn expired_before(&self, now: u64) -> Option<u64> {
        let after = self.expire_after?.as_millis();
        Some(now.saturating_sub(u64::try_from(after).unwrap_or(u64::MAX)))
    }

    /// How long the writer collects changes that nothing waits for, while few results are at stake.
    pub(crate) const fn long_interval(&self) -> Duration {
        self.interval.saturating_mul(20)
    }
}

/// How many dead letters there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetterLimits {
    /// In number.
    pub count: u64,
    /// In bytes.
    pub bytes: u64,
    /// In bytes that are not on disk yet, and so in memory.
    pub unwritten_bytes: u64,
}
