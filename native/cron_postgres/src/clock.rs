//! The clocks. The protocol counts by one that goes on while the machine sleeps; timestamps are only
//! shown to people.

use cron_engine::Time;
use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
/// The monotonic clocks of macOS and FreeBSD go on while the machine sleeps.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Now, by a monotonic clock that counts the time for which the machine sleeps. It has the same origin
/// in all processes of a machine.
#[must_use]
pub fn now() -> Time {
    let now = clock_gettime(CLOCK);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let micros = u64::try_from(now.tv_nsec / 1000).unwrap_or(0);
    Time::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// Milliseconds since the Unix epoch.
pub(crate) fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
