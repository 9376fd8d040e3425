//! The kinds of lanes. A node has one lane of each.

/// What a lane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKind {
    /// Renewals, which must not wait for anything.
    Renewals,
    /// The other statements of the protocol.
    Protocol,
    /// Commits of cursors and dead letters.
    Cursors,
    /// Reading the processes of own shards.
    Reads,
    /// What users and operators ask for.
    Requests,
}

impl LaneKind {
    /// All lanes.
    pub const ALL: [Self; 5] =
        [Self::Renewals, Self::Protocol, Self::Cursors, Self::Reads, Self::Requests];

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Renewals => "renewals",
            Self::Protocol => "protocol",
            Self::Cursors => "cursors",
            Self::Reads => "reads",
            Self::Requests => "requests",
        }
    }
}
