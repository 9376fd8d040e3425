//! The lease of this node, readable from any thread without a lock: whether a push may begin.

use crate::clock;
use cron_cluster::may_push;
use cron_engine::Time;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// No time.
const NONE: u64 = u64::MAX;

/// Whether a push may begin now.
#[derive(Debug)]
pub struct Lease {
    /// When the lease ends, in microseconds of [`clock::now`].
    until: AtomicU64,
    /// The node was halted: nothing is allowed any more.
    halted: AtomicBool,
}

impl Lease {
    pub(crate) const fn new() -> Self {
        Self { until: AtomicU64::new(NONE), halted: AtomicBool::new(false) }
    }

    /// Whether a push, a retry, a redelivery or a message of a result may begin: see [`may_push`].
    /// `unsaved_for` is the age of the oldest ack that is not saved, zero if there is none.
    #[must_use]
    pub fn allows(&self, unsaved_for: Duration) -> bool {
        may_push(clock::now(), self.until(), unsaved_for)
    }

    /// When the lease ends; `None`: there is none.
    #[must_use]
    pub fn until(&self) -> Option<Time> {
        let until = Some(self.until.load(Ordering::Acquire)).filter(|until| *until != NONE);
        until.filter(|_| !self.halted.load(Ordering::Acquire)).map(Time::from_micros)
    }

    /// Allows nothing from now on.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    pub(crate) fn set(&self, until: Option<Time>) {
        self.until.store(until.map_or(NONE, Time::as_micros), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cron_cluster::UNSAVED_LIMIT;

    #[test]
    fn lease_allows_pushes_until_its_end() {
        let lease = Lease::new();
        assert!(!lease.allows(Duration::ZERO));
        lease.set(Some(clock::now() + Duration::from_mins(10)));
        assert!(lease.allows(Duration::ZERO));
        lease.set(Some(clock::now()));
        assert!(!lease.allows(Duration::ZERO));
        lease.halt();
        lease.set(Some(clock::now() + Duration::from_mins(10)));
        assert!(!lease.allows(Duration::ZERO));
    }

    #[test]
    fn lease_with_an_old_unsaved_ack_allows_nothing() {
        let lease = Lease::new();
        lease.set(Some(clock::now() + Duration::from_mins(10)));
        assert!(!lease.allows(UNSAVED_LIMIT));
        assert!(lease.allows(UNSAVED_LIMIT / 2));
    }
}
