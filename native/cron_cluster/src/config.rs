//! The settings of a cluster, and the durations that follow from them.

use crate::shard::SHARDS;
use std::time::Duration;

/// Pushing stops when the oldest unsaved ack is this old. Results that were acked within this time
/// are pushed again if their node dies.
pub const UNSAVED_LIMIT: Duration = Duration::from_millis(500);

/// The settings of a cluster. All nodes must have the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A node whose beat has not changed for this time is dead.
    pub ttl: Duration,
    /// The number of shards, which is fixed when the tables are created.
    pub shards: u16,
}

impl Config {
    /// The settings with this TTL and [`SHARDS`] shards.
    #[must_use]
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl, shards: SHARDS }
    }

    /// The time between two renewals.
    pub(crate) fn renew_every(&self) -> Duration {
        self.ttl / 6
    }

    /// The time between two views, while shards are where they belong.
    pub(crate) fn look_every(&self) -> Duration {
        self.ttl / 6
    }

    /// The time between two looks at the beats, between two views while shards move, and between two
    /// attempts of a statement that failed.
    pub(crate) fn watch_every(&self) -> Duration {
        self.ttl / 24
    }

    /// For how long pushes are allowed after the start of a renewal. The difference to the TTL
    /// allows for clocks of different rates.
    pub(crate) fn lease(&self) -> Duration {
        self.ttl * 9 / 10
    }

    /// After a longer time without a view, all peers are observed anew.
    pub(crate) fn gap(&self) -> Duration {
        self.ttl / 2
    }

    /// The number of shards that are handed over at the same time. A process pauses while its shard
    /// is handed over, so the pause must not depend on how many shards move in total.
    pub(crate) fn moves_at_once(&self) -> usize {
        usize::from(self.shards / 16).max(1)
    }
}
