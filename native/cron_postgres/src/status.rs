//! The state of this node in the cluster, without a statement.

use crate::lane_kind::LaneKind;
use cron_cluster::{Counters, Incarnation};
use cron_engine::Time;
use cron_engine::histogram::Snapshot;
use std::time::Duration;

/// The state of this node in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `None` while this node joins, and after it has left.
    pub incarnation: Option<Incarnation>,
    /// All nodes that this one sees, also itself.
    pub peers: Vec<PeerStatus>,
    /// The number of shards that this node holds.
    pub held: usize,
    /// The number of shards that this node is handing over.
    pub moving: usize,
    /// The number of shards whose processes are to be read.
    pub unread: usize,
    /// Counts since the start.
    pub counters: Counters,
    /// For how long pushes are still allowed; `None`: they are not.
    pub leased_for: Option<Duration>,
    /// The last statement of each connection had an answer.
    pub connected: bool,
    /// The last error, and whether it lasts.
    pub last_error: Option<(String, bool)>,
    /// Statements since the start.
    pub statements: u64,
    /// Statements without an answer, or that the database refused.
    pub failures: u64,
    /// How long statements took, by lane.
    pub latencies: Vec<(LaneKind, Snapshot)>,
    /// How often the thread of the cluster ended by an error and was started again.
    pub restarts: u64,
    /// This node has left, or the thread of the cluster has ended.
    pub ended: bool,
}

/// A node, as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its name.
    pub name: String,
    /// For how long its beat has not changed.
    pub age: Duration,
    /// It hands over its shards.
    pub leaving: bool,
    /// The number of its shards.
    pub shards: usize,
}

/// What the thread of the cluster publishes for [`Status`].
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) peers: Vec<PeerStatus>,
    /// When the ages of the peers were right.
    pub(crate) at: Time,
    pub(crate) held: usize,
    pub(crate) moving: usize,
    pub(crate) unread: usize,
    pub(crate) counters: Counters,
    pub(crate) restarts: u64,
    pub(crate) ended: bool,
}
