//! Until when pushes are allowed: within a lease that renewals extend, and only while acks can be
//! saved.

use crate::config::{Config, UNSAVED_LIMIT};
use cron_engine::Time;

/// The fence of a node's pushes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fence {
    /// When the last good renewal began.
    renewed: Option<Time>,
    /// When the oldest unsaved ack was made.
    unsaved: Option<Time>,
}

impl Fence {
    /// A renewal that began at `started` succeeded.
    pub(crate) fn renew(&mut self, started: Time) {
        self.renewed = self.renewed.max(Some(started));
    }

    /// Forbids pushes until the next renewal of another incarnation.
    pub(crate) const fn revoke(&mut self) {
        *self = Self { renewed: None, unsaved: None };
    }

    /// The oldest unsaved ack was made at this time.
    pub(crate) const fn unsaved(&mut self, since: Option<Time>) {
        self.unsaved = since;
    }

    /// Pushes may begin before this time. `None`: they may not begin.
    pub(crate) fn until(&self, config: &Config) -> Option<Time> {
        let leased = self.renewed? + config.lease();
        Some(self.unsaved.map_or(leased, |since| leased.min(since + UNSAVED_LIMIT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const CONFIG: Config = Config::new(Duration::from_secs(6));

    #[test]
    fn fence_without_a_renewal_allows_nothing() {
        let mut fence = Fence::default();
        assert_eq!(fence.until(&CONFIG), None);
        fence.renew(Time::from_millis(100));
        assert_eq!(fence.until(&CONFIG), Some(Time::from_millis(5500)));
        fence.revoke();
        assert_eq!(fence.until(&CONFIG), None);
    }

    #[test]
    fn fence_with_an_unsaved_ack_ends_at_its_limit() {
        let mut fence = Fence::default();
        fence.renew(Time::ZERO);
        fence.unsaved(Some(Time::from_millis(1000)));
        assert_eq!(fence.until(&CONFIG), Some(Time::from_millis(1500)));
        fence.unsaved(None);
        assert_eq!(fence.until(&CONFIG), Some(Time::from_millis(5400)));
    }

    #[test]
    fn late_answer_of_an_older_renewal_does_not_shorten_the_lease() {
        let mut fence = Fence::default();
        fence.renew(Time::from_millis(1000));
        fence.renew(Time::from_millis(10));
        assert_eq!(fence.until(&CONFIG), Some(Time::from_millis(6400)));
    }
}
