//! The lease of this node, readable from any thread without a lock: whether a push may begin.

use crate::clock;
use cron_cluster::may_push;
use cron_engine::Time;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// No time, in either word.
const NONE: u64 = u64::MAX;

/// Whether a push may begin now.
#[derive(Debug)]
pub struct Lease {
    /// When the lease ends, in microseconds of [`clock::now`].
    until: AtomicU64,
    /// When the oldest unsaved ack was made.
    unsaved: AtomicU64,
    /// The node was halted: nothing is allowed any more.
    halted: AtomicBool,
}

impl Lease {
    pub(crate) const fn new() -> Self {
        let (until, unsaved) = (AtomicU64::new(NONE), AtomicU64::new(NONE));
        Self { until, unsaved, halted: AtomicBool::new(false) }
    }

    /// Whether a push, a retry, a redelivery or a message of a result may begin. This must be asked
    /// before each, because the node may be paused between any two instructions.
    #[must_use]
    pub fn allows(&self) -> bool {
        may_push(clock::now(), self.until(), time(self.unsaved.load(Ordering::Acquire)))
    }

    /// When the lease ends; `None`: there is none.
    #[must_use]
    pub fn until(&self) -> Option<Time> {
        time(self.until.load(Ordering::Acquire)).filter(|_| !self.halted.load(Ordering::Acquire))
    }

    /// The oldest ack that is not saved was made at this time of [`clock::now`].
    pub fn unsaved_since(&self, since: Option<Time>) {
        self.unsaved.store(since.map_or(NONE, Time::as_micros), Ordering::Release);
    }

    /// Allows nothing from now on.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    pub(crate) fn set(&self, until: Option<Time>) {
        self.until.store(until.map_or(NONE, Time::as_micros), Ordering::Release);
    }
}

fn time(word: u64) -> Option<Time> {
    Some(word).filter(|word| *word != NONE).map(Time::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lease_allows_pushes_until_its_end() {
        let lease = Lease::new();
        assert!(!lease.allows());
        lease.set(Some(clock::now() + Duration::from_mins(10)));
        assert!(lease.allows());
        lease.set(Some(clock::now()));
        assert!(!lease.allows());
        lease.halt();
        lease.set(Some(clock::now() + Duration::from_mins(10)));
        assert!(!lease.allows());
    }

    #[test]
    fn lease_with_an_old_unsaved_ack_allows_nothing() {
        let lease = Lease::new();
        lease.set(Some(clock::now() + Duration::from_mins(10)));
        lease.unsaved_since(Some(Time::ZERO));
        assert!(!lease.allows());
        lease.unsaved_since(Some(clock::now() + Duration::from_mins(1)));
        assert!(lease.allows());
        lease.unsaved_since(None);
        assert!(lease.allows());
    }
}
