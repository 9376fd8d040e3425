//! What the lanes report to the driver.

use crate::process_row::ShardRead;
use crate::protocol::Looked;
use cron_cluster::{Event, ShardId, Stake};
use std::collections::BTreeMap;

/// What a lane reports.
pub(crate) enum Input {
    Event(Event),
    /// The view, with the names of the nodes.
    Looked(Option<Looked>),
    /// What was read of these shards.
    Read(Vec<Stake>, Option<BTreeMap<ShardId, ShardRead>>),
    /// A process of this shard was forgotten, or started elsewhere.
    Gone(Stake),
    Nothing,
}
