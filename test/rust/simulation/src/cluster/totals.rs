//! Totals of the schedules of a cluster, which reveal a run in which nothing happens.

/// The totals of one or more schedules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterTotals {
    /// Steps taken.
    pub steps: u64,
    /// Pushes.
    pub pushes: u64,
    /// Repeated pushes.
    pub repeats: u64,
    /// Commits that changed a row.
    pub commits: u64,
    /// Rows that a commit was not allowed to change.
    pub fenced: u64,
    /// Answers that never arrived, although the statement was executed.
    pub lost_answers: u64,
    /// Killed nodes.
    pub kills: u64,
    /// Paused nodes.
    pub pauses: u64,
    /// Crashes of the database.
    pub crashes: u64,
    /// Fail-overs to a replica that was behind.
    pub roll_backs: u64,
    /// Incarnations.
    pub joins: u64,
    /// Incarnations that were buried while their node lived.
    pub evictions: u64,
    /// Silent nodes that were buried.
    pub burials: u64,
    /// Claimed shards.
    pub claims: u64,
    /// Shards that were handed over.
    pub hand_overs: u64,
    /// Starts and forgets of processes.
    pub wishes: u64,
    /// The longest take-over after the death of a node without other faults, in ms.
    pub slowest_take_over: u64,
    /// The longest time for which a shard had no owner while a node stopped, in ms.
    pub longest_pause: u64,
    /// The most results that a monitor repeated when it started.
    pub most_repeated: u64,
}

impl ClusterTotals {
    /// Adds other totals.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.pushes += other.pushes;
        self.repeats += other.repeats;
        self.commits += other.commits;
        self.fenced += other.fenced;
        self.lost_answers += other.lost_answers;
        self.kills += other.kills;
        self.pauses += other.pauses;
        self.crashes += other.crashes;
        self.roll_backs += other.roll_backs;
        self.joins += other.joins;
        self.evictions += other.evictions;
        self.burials += other.burials;
        self.claims += other.claims;
        self.hand_overs += other.hand_overs;
        self.wishes += other.wishes;
        self.slowest_take_over = self.slowest_take_over.max(other.slowest_take_over);
        self.longest_pause = self.longest_pause.max(other.longest_pause);
        self.most_repeated = self.most_repeated.max(other.most_repeated);
    }
}
