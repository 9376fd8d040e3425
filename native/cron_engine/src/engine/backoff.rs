//! How long to wait before the next try: a random time below a ceiling that doubles with each
//! failure ("full jitter"), so that monitors that failed together do not retry together.

use fastrand::Rng;
use std::time::Duration;

/// A backoff from `first` up to `longest`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

/// The backoff of a monitor whose fetches fail.
pub(crate) const FETCH: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(5) };

impl Backoff {
    /// The pause after this many failures in a row: above zero, at most the ceiling.
    pub(crate) fn pause(self, failures: u64, rng: &mut Rng) -> Duration {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(31);
        let ceiling = self.first.saturating_mul(1 << doublings).min(self.longest);
        let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(rng.u64(1..=micros.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_fill_the_time_up_to_a_ceiling_that_doubles_and_ends() {
        let mut rng = Rng::with_seed(7);
        for (failures, ceiling) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 8),
            (9, 256),
            (10, 300),
            (1000, 300),
            (u64::MAX, 300),
        ] {
            let ceiling = Duration::from_secs(ceiling);
            let pauses: Vec<_> = (0..1000).map(|_| FETCH.pause(failures, &mut rng)).collect();
            let (shortest, longest) = (pauses.iter().min(), pauses.iter().max());
            assert!(shortest.is_some_and(|shortest| *shortest < ceiling / 50));
            assert!(
                longest.is_some_and(|longest| *longest > ceiling * 98 / 100 && *longest <= ceiling)
            );
        }
    }
}
