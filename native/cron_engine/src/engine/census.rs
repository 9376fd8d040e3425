//! Counts all monitors by state, at once, for an operator: 100,000 in milliseconds. [`Snapshot`]
//! has the state of one.
//!
//! [`Snapshot`]: crate::Snapshot

use super::Engine;
use crate::Doing;

/// The number of monitors in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Waiting for their next tick.
    pub idle: u64,
    /// Looking up where to begin, or waiting until that is durable.
    pub resolving: u64,
    /// Fetching, or queued for a fetch.
    pub polling: u64,
    /// With results that are not acked.
    pub pushing: u64,
    /// Waiting to retry a failed fetch.
    pub backing_off: u64,
    /// Paused.
    pub paused: u64,
    /// Of all these, those whose last fetch failed.
    pub failing: u64,
}

impl Engine {
    /// Counts all monitors.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for monitor in self.monitors.values() {
            let count = match monitor.doing() {
                Doing::Idle => &mut census.idle,
                Doing::Resolving | Doing::Saving => &mut census.resolving,
                Doing::Polling => &mut census.polling,
                Doing::Pushing => &mut census.pushing,
                Doing::BackingOff => &mut census.backing_off,
                Doing::Paused => &mut census.paused,
            };
            *count += 1;
            census.failing += u64::from(monitor.outage.failures() > 0);
        }
        census
    }
}
