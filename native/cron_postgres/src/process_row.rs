//! The rows of processes, as the owner of their shard reads them.

use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::row::{get, process, shard, shards};
use cron_cluster::{ShardId, Stake, sql};
use cron_engine::ProcessId;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// A process, as its owner reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    /// The process.
    pub process: ProcessId,
    /// Whether it is monitored.
    pub watched: bool,
    /// Its options, opaque here.
    pub options: Vec<u8>,
    /// The generation of its latest start.
    pub generation: i64,
    /// The number of results that were acked or given up since then.
    pub seq: i64,
    /// Its position, opaque here.
    pub position: Vec<u8>,
    /// The number of its last dead letter.
    pub last_letter: i64,
    /// When the position was saved, in ms since the Unix epoch.
    pub at: i64,
    /// The number of the last request to poll at once; 0: there was none.
    pub asked: i64,
    /// Whether the monitor of the process has ended since it was last stopped.
    pub ended: bool,
    /// The dead letters that are to be redelivered, each with its wish.
    pub wishes: Vec<(i64, i64)>,
}

/// What was read of one shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardRead {
    /// The mark of the last wish.
    pub(crate) mark: i64,
    pub(crate) processes: Vec<ProcessRow>,
}

/// Reads the processes of shards.
pub(crate) async fn read(
    on: &Connection,
    stakes: &[Stake],
) -> Result<BTreeMap<ShardId, ShardRead>, DatabaseError> {
    let mut read: BTreeMap<ShardId, ShardRead> = BTreeMap::new();
    for row in &on.read(sql::READ, &[(&shards(stakes), Type::INT4_ARRAY)]).await? {
        let of_shard = read.entry(shard(get(row, 0)?)?).or_default();
        of_shard.mark = get(row, 1)?;
        if get::<Option<&str>>(row, 2)?.is_some() {
            of_shard.processes.push(process_row(row, 2)?);
        }
    }
    Ok(read)
}

/// A process from this column on, with the wishes.
fn process_row(row: &Row, from: usize) -> Result<ProcessRow, DatabaseError> {
    let ids: Option<Vec<i64>> = get(row, from + 10)?;
    let wishes: Option<Vec<i64>> = get(row, from + 11)?;
    Ok(ProcessRow {
        process: process(row, from)?,
        watched: get(row, from + 1)?,
        options: get(row, from + 2)?,
        generation: get(row, from + 3)?,
        seq: get(row, from + 4)?,
        position: get(row, from + 5)?,
        last_letter: get(row, from + 6)?,
        at: get(row, from + 7)?,
        asked: get(row, from + 8)?,
        ended: get(row, from + 9)?,
        wishes: ids.unwrap_or_default().into_iter().zip(wishes.unwrap_or_default()).collect(),
    })
}
