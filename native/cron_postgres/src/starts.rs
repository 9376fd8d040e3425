//! Starts of processes.

use crate::clock::wall;
use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::request::{Known, Start};
use crate::row::process;
use cron_cluster::sql::starts;
use cron_cluster::{SHARDS, shard_of};
use cron_engine::ProcessId;
use std::collections::BTreeSet;
use tokio_postgres::types::Type;

/// The statement for each way to treat a process that is known.
const STATEMENTS: [(Known, &str); 3] = [
    (Known::Restart, starts::START),
    (Known::Continue, starts::RESUME),
    (Known::Leave, starts::ADD),
];

/// Starts processes. Returns for each start, in order, whether it changed something: of several starts
/// of a process only the first one can.
///
/// Starts that treat known processes alike are one transaction. After an error it is unknown which
/// ones were carried out.
pub(crate) async fn start(
    on: &Connection,
    starts: &[Start],
    mark: i64,
) -> Result<Vec<bool>, DatabaseError> {
    let mut seen = BTreeSet::new();
    let firsts: Vec<bool> = starts.iter().map(|start| seen.insert(start.process)).collect();
    let mut changed = BTreeSet::new();
    for (known, statement) in STATEMENTS {
        let alike = starts.iter().zip(&firsts).filter(|(it, first)| **first && it.known == known);
        let alike: Vec<_> = alike.map(|(start, _)| start).collect();
        if !alike.is_empty() {
            changed.extend(execute(on, statement, &alike, mark).await?);
        }
    }
    let each = starts.iter().zip(firsts);
    Ok(each.map(|(start, first)| first && changed.contains(&start.process)).collect())
}

async fn execute(
    on: &Connection,
    statement: &str,
    starts: &[&Start],
    mark: i64,
) -> Result<Vec<ProcessId>, DatabaseError> {
    let processes: Vec<&str> = starts.iter().map(|it| it.process.as_str()).collect();
    let shards: Vec<i32> =
        starts.iter().map(|it| i32::from(shard_of(&it.process, SHARDS).0)).collect();
    let options: Vec<&[u8]> = starts.iter().map(|it| it.options.as_slice()).collect();
    let positions: Vec<&[u8]> = starts.iter().map(|it| it.position.as_slice()).collect();
    let values = [
        (&processes as &_, Type::TEXT_ARRAY),
        (&shards as &_, Type::INT4_ARRAY),
        (&mark as &_, Type::INT8),
        (&options as &_, Type::BYTEA_ARRAY),
        (&positions as &_, Type::BYTEA_ARRAY),
        (&wall() as &_, Type::INT8),
    ];
    let rows = on.write(statement, &values).await?;
    rows.iter().map(|row| process(row, 0)).collect()
}
