//! Notices that the machine was suspended: then the monotonic clock stands still, and the system's clock jumps ahead of
//! it. A system clock that is set jumps, too; what follows from a suspend does no harm then.

use std::time::{Duration, Instant, SystemTime};

/// A jump that is no correction of the system's clock.
const JUMP: Duration = Duration::from_secs(2);

/// Both clocks at one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspends {
    monotonic: Instant,
    system: SystemTime,
}

impl Suspends {
    pub(crate) fn new() -> Self {
        Self { monotonic: Instant::now(), system: SystemTime::now() }
    }

    /// Whether the machine was suspended since the last call.
    pub(crate) fn has_passed(&mut self) -> bool {
        self.passes(Self::new())
    }

    fn passes(&mut self, now: Self) -> bool {
        let before = std::mem::replace(self, now);
        let passed = now.monotonic.saturating_duration_since(before.monotonic);
        let on_the_system = now.system.duration_since(before.system);
        on_the_system.is_ok_and(|on_the_system| on_the_system.saturating_sub(passed) > JUMP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(monotonic: u64, system: u64) -> bool {
        let mut suspends = Suspends::new();
        let mut now = suspends;
        now.monotonic += Duration::from_secs(monotonic);
        now.system += Duration::from_secs(system);
        suspends.passes(now)
    }

    #[test]
    fn clocks_that_go_on_together_were_not_suspended() {
        for (monotonic, system) in [(0, 0), (60, 60), (60, 61), (60, 0)] {
            assert!(!after(monotonic, system), "{monotonic} {system}");
        }
    }

    #[test]
    fn system_clock_that_jumped_ahead_tells_of_a_suspend() {
        assert!(after(1, 10));
        assert!(after(0, 3));
    }
}
