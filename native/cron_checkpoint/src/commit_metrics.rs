//! Counts commits of all checkpoints in this OS process, and notifies a listener of each. Operators
//! see how the disk performs, independent of which file is open and how often it was reopened.
//! Nothing is decided by it.

use cron_engine::histogram::{DURATIONS, Histogram};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A step of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit<'a> {
    /// A commit began.
    Begun,
    /// A commit succeeded after this time.
    Done(Duration),
    /// A commit failed after this time, for this reason.
    Failed(Duration, &'a str),
}

/// Counts commits. Counters never decrease.
#[derive(Debug)]
pub struct Meter {
    /// Durations of successful commits.
    pub time: Histogram<18>,
    failures: AtomicU64,
    replacements: AtomicU64,
    listener: OnceLock<fn(&Commit<'_>)>,
}

/// The commit metrics of this OS process.
pub static COMMITS: Meter = Meter::new();

impl Meter {
    const fn new() -> Self {
        let (failures, replacements) = (AtomicU64::new(0), AtomicU64::new(0));
        let time = Histogram::new(DURATIONS);
        Self { time, failures, replacements, listener: OnceLock::new() }
    }

    /// The number of failed commits.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How often an open file was deleted or replaced, and rewritten.
    #[must_use]
    pub fn replacements(&self) -> u64 {
        self.replacements.load(Ordering::Relaxed)
    }

    pub(crate) fn replaced(&self) {
        self.replacements.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls `listener` for every step from now on, on the writer's thread. Only the first listener
    /// is kept.
    pub fn listen(&self, listener: fn(&Commit<'_>)) {
        self.listener.get_or_init(|| listener);
    }

    pub(crate) fn note(&self, step: &Commit<'_>) {
        match step {
            Commit::Begun => {}
            Commit::Done(took) => self.time.observe(*took),
            Commit::Failed(..) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(listener) = self.listener.get() {
            listener(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn hear(step: &Commit<'_>) {
        HEARD.lock().unwrap().push(format!("{step:?}"));
    }

    #[test]
    fn meter_counts_commits_and_failures_and_tells_its_first_listener() {
        let meter = Meter::new();
        let took = Duration::from_millis(3);
        meter.note(&Commit::Done(took));
        meter.listen(hear);
        meter.listen(|_| panic!("the first one stays"));
        for step in [Commit::Begun, Commit::Failed(took, "full"), Commit::Begun, Commit::Done(took)]
        {
            meter.note(&step);
        }
        meter.replaced();
        assert_eq!((meter.failures(), meter.replacements()), (1, 1));
        assert_eq!(meter.time.snapshot().sum, 6000);
        assert_eq!(
            *HEARD.lock().unwrap(),
            ["Begun", "Failed(3ms, \"full\")", "Begun", "Done(3ms)"]
        );
    }
}
