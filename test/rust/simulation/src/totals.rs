//! What schedules came to, so that a run in which nothing happens shows.

/// What a schedule, or many together, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Steps taken.
    pub steps: u64,
    /// Results that were pushed at least once.
    pub delivered: u64,
    /// Pushes of results that had been pushed before: what a crash costs.
    pub repeats: u64,
    /// Ticks sent.
    pub ticks: u64,
    /// Crashes of the node.
    pub crashes: u64,
    /// Restarts of the engine.
    pub restarts: u64,
    /// Commits that succeeded.
    pub commits: u64,
    /// Registrations that began.
    pub starts: u64,
    /// Monitors that were stopped.
    pub stops: u64,
    /// Monitors that were killed.
    pub kills: u64,
    /// Processes that were forgotten.
    pub forgotten: u64,
    /// Processes that were not, since a start came in between.
    pub monitored: u64,
}

impl Totals {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.delivered += other.delivered;
        self.repeats += other.repeats;
        self.ticks += other.ticks;
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.commits += other.commits;
        self.starts += other.starts;
        self.stops += other.stops;
        self.kills += other.kills;
        self.forgotten += other.forgotten;
        self.monitored += other.monitored;
    }
}
