//! What the cluster calls when the ownership of shards changes.

use crate::process_row::ProcessRow;
use cron_cluster::Stake;

/// The monitors of this node. All calls come from the thread of the cluster, in order, and must not
/// block: they leave a message and return.
pub trait Owner: Send + Sync + 'static {
    /// The processes of an owned shard, after it was gained, and after each wish of a user. The
    /// monitors of all its other processes end, also of those with another generation. `mark` is the
    /// number of the last wish.
    fn read(&self, stake: Stake, mark: i64, processes: Vec<ProcessRow>);

    /// Shards were lost: their monitors end at once, and commit nothing. This call also comes for
    /// shards that were never read, or that are stopping.
    fn lost(&self, stakes: &[Stake]);

    /// Shards are handed over: each monitor completes its push, then its acks are committed, then
    /// [`crate::Cluster::stopped`] is called for each shard.
    fn stop(&self, stakes: &[Stake]);

    /// This node has left. No further call comes.
    fn left(&self);
}
