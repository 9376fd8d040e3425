//! Totals of schedules, which reveal a run in which nothing happens.

/// The totals of one or more schedules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Steps taken.
    pub steps: u64,
    /// Results pushed at least once.
    pub delivered: u64,
    /// Repeated pushes, the cost of crashes.
    pub repeats: u64,
    /// Ticks sent.
    pub ticks: u64,
    /// Ticks that were not sent, since nothing was expected.
    pub quiet_ticks: u64,
    /// Crashes of the node.
    pub crashes: u64,
    /// Restarts of the engine.
    pub restarts: u64,
    /// Successful commits.
    pub commits: u64,
    /// Registrations.
    pub starts: u64,
    /// Stopped monitors.
    pub stops: u64,
    /// Killed monitors.
    pub kills: u64,
    /// Forgotten processes.
    pub forgotten: u64,
    /// Failed forgets, because of a start in between.
    pub monitored: u64,
}

impl Totals {
    /// Adds other totals.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.delivered += other.delivered;
        self.repeats += other.repeats;
        self.ticks += other.ticks;
        self.quiet_ticks += other.quiet_ticks;
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
