//! How many monitors wait for what, all counted at once. It is for an operator who asks now and then: a
//! walk over all of them, 100,000 in milliseconds. How one of them fares is a [`Snapshot`]'s to say.
//!
//! [`Snapshot`]: crate::Snapshot

use super::Engine;
use crate::Doing;

/// All monitors by what they wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Those that wait for their next tick.
    pub idle: u64,
    /// Those that look up where they begin, or wait until that is durable.
    pub resolving: u64,
    /// Those that ask the CU, or wait for their turn to.
    pub polling: u64,
    /// Those that have not acked all that they were sent.
    pub pushing: u64,
    /// Those that wait for the next try after a failed fetch.
    pub backing_off: u64,
    /// Those that wait for somebody to resume them.
    pub paused: u64,
    /// Those of all these whose last fetch failed.
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
