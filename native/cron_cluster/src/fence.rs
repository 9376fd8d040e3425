//! Whether a push may begin: within a lease that renewals extend, and only while acks can be saved.

use crate::config::{Config, UNSAVED_LIMIT};
use cron_engine::Time;
use std::time::Duration;

/// Whether a push, a retry, a redelivery or a message of a result may begin at `now`.
///
/// `leased_until` is what [`crate::Member::leased_until`] says, `unsaved_for` the age of the oldest ack
/// that is not saved, zero if there is none. This must be checked before each push, because a node may
/// be paused between any two instructions.
#[must_use]
pub fn may_push(now: Time, leased_until: Option<Time>, unsaved_for: Duration) -> bool {
    unsaved_for < UNSAVED_LIMIT && leased_until.is_some_and(|until| now < until)
}

/// The lease of an incarnation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lease {
    /// When the last good renewal began.
    renewed: Option<Time>,
}

impl Lease {
    /// A renewal that began at `started` succeeded.
    pub(crate) fn renew(&mut self, started: Time) {
        self.renewed = self.renewed.max(Some(started));
    }

    /// Ends the lease until the next renewal of another incarnation.
    pub(crate) const fn revoke(&mut self) {
        self.renewed = None;
    }

    /// When the lease ends; `None`: there is none.
    pub(crate) fn until(&self, config: &Config) -> Option<Time> {
        Some(self.renewed? + config.lease())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Config = Config::new(Duration::from_secs(6));

    #[test]
    fn lease_without_a_renewal_allows_nothing() {
        let mut lease = Lease::default();
        assert_eq!(lease.until(&CONFIG), None);
        assert!(!may_push(Time::ZERO, None, Duration::ZERO));
        lease.renew(Time::from_millis(100));
        assert_eq!(lease.until(&CONFIG), Some(Time::from_millis(5500)));
        lease.revoke();
        assert_eq!(lease.until(&CONFIG), None);
    }

    #[test]
    fn push_begins_before_the_lease_ends_only() {
        let until = Some(Time::from_millis(5400));
        assert!(may_push(Time::from_millis(5399), until, Duration::ZERO));
        assert!(!may_push(Time::from_millis(5400), until, Duration::ZERO));
    }

    #[test]
    fn push_with_an_unsaved_ack_begins_within_the_limit_only() {
        let (now, until) = (Time::from_millis(1500), Some(Time::from_millis(5400)));
        assert!(may_push(now, until, Duration::from_millis(499)));
        assert!(!may_push(now, until, Duration::from_millis(500)));
    }

    #[test]
    fn late_answer_of_an_older_renewal_does_not_shorten_the_lease() {
        let mut lease = Lease::default();
        lease.renew(Time::from_millis(1000));
        lease.renew(Time::from_millis(10));
        assert_eq!(lease.until(&CONFIG), Some(Time::from_millis(6400)));
    }
}
