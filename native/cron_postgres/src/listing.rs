//! The requests that read processes and the state of the cluster.

use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::process_row::ProcessRow;
use crate::request::{Located, NodeRow, Totals};
use crate::row::{Uuid, get, process};
use cron_cluster::Incarnation;
use cron_cluster::sql::listing;
use cron_engine::ProcessId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

type Answer<T> = Result<T, DatabaseError>;

/// Finds processes. `me` is this node; `None`: it has not joined.
pub(crate) async fn find(
    on: &Connection,
    me: Option<Incarnation>,
    processes: &[ProcessId],
) -> Answer<Vec<Located>> {
    let me = me.map(Uuid);
    let processes: Vec<&str> = processes.iter().map(ProcessId::as_str).collect();
    let values = [(&me as &_, Type::UUID), (&processes as &_, Type::TEXT_ARRAY)];
    on.read(listing::FIND, &values).await?.iter().map(located).collect()
}

/// Lists processes in order.
pub(crate) async fn list(
    on: &Connection,
    me: Option<Incarnation>,
    after: Option<ProcessId>,
    most: u16,
) -> Answer<Vec<Located>> {
    let (me, most) = (me.map(Uuid), i64::from(most));
    let after = after.as_ref().map_or("", ProcessId::as_str);
    let values = [(&me as &_, Type::UUID), (&after as &_, Type::TEXT), (&most as &_, Type::INT8)];
    on.read(listing::LIST, &values).await?.iter().map(located).collect()
}

/// The marks of the shards in which something ever changed.
pub(crate) async fn marks(on: &Connection) -> Answer<Vec<(i32, i64)>> {
    let rows = on.read(listing::MARKS, &[]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

fn located(row: &Row) -> Answer<Located> {
    let owner: Option<Uuid> = get(row, 11)?;
    let name: Option<String> = get(row, 12)?;
    Ok(Located {
        row: ProcessRow {
            process: process(row, 0)?,
            watched: get(row, 2)?,
            options: get(row, 3)?,
            generation: get(row, 4)?,
            seq: get(row, 5)?,
            position: get(row, 6)?,
            last_letter: get(row, 7)?,
            at: get(row, 8)?,
            asked: get(row, 9)?,
            ended: get(row, 10)?,
            wishes: Vec::new(),
        },
        owner: owner.map(|Uuid(owner)| owner).zip(name),
        mine: get(row, 13)?,
    })
}

/// The nodes and the totals of the cluster.
pub(crate) async fn cluster(on: &Connection) -> Answer<(Vec<NodeRow>, Totals)> {
    let nodes = on.read(listing::NODES, &[]).await?;
    let nodes = nodes.iter().map(|row| {
        let Uuid(incarnation) = get(row, 0)?;
        let (name, beat, leaving) = (get(row, 1)?, get(row, 2)?, get(row, 3)?);
        Ok(NodeRow { incarnation, name, beat, leaving, shards: count(row, 4)? })
    });
    let nodes = nodes.collect::<Answer<_>>()?;
    let totals = on.read(listing::TOTALS, &[]).await?;
    let Some(row) = totals.first() else { return Ok((nodes, Totals::default())) };
    let (processes, watched) = (count(row, 0)?, count(row, 1)?);
    let (letters, orphans) = (count(row, 2)?, count(row, 3)?);
    Ok((nodes, Totals { processes, watched, letters, orphans }))
}

fn count(row: &Row, column: usize) -> Answer<u64> {
    let count: i64 = get(row, column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}
