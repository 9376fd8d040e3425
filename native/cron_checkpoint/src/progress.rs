//! How far a process of a cluster is, as the database has it.

use crate::record::Record;
use cron_engine::ProcessId;

/// The progress of a process since its start, as the database has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The start: a random number, never used twice.
    pub generation: i64,
    /// The number of results that were acked or given up since the start.
    pub seq: u64,
    /// The last number given to a dead letter of the process.
    pub last_letter: u64,
}

/// A process of an owned shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedProcess {
    /// The process.
    pub process: ProcessId,
    /// Its state.
    pub record: Record,
    /// Its progress.
    pub progress: Progress,
}
