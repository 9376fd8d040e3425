//! The statements of the protocol. Each answers an action of [`cron_cluster::Member`].

use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::row::{Uuid, epochs, get, shard, shards};
use cron_cluster::{Beat, Incarnation, Peer, Stake, View, sql};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

type Answer<T> = Result<T, DatabaseError>;

/// A view, and the names of the nodes.
pub(crate) struct Looked {
    pub(crate) view: View,
    pub(crate) names: Vec<(Incarnation, String)>,
}

/// Inserts the row of this node.
pub(crate) async fn join(on: &Connection, me: Incarnation, name: &str) -> Answer<Incarnation> {
    on.change(sql::JOIN, &[(&Uuid(me), Type::UUID), (&name, Type::TEXT)]).await?;
    Ok(me)
}

/// Renews the row. `false`: it is not there.
pub(crate) async fn renew(on: &Connection, me: Incarnation, leaving: bool) -> Answer<bool> {
    let renewed = on.change(sql::RENEW, &[(&Uuid(me), Type::UUID), (&leaving, Type::BOOL)]).await?;
    Ok(renewed > 0)
}

/// Reads the view.
pub(crate) async fn look(on: &Connection, me: Incarnation) -> Answer<Looked> {
    let mut looked = Looked { view: View::default(), names: Vec::new() };
    for row in &on.read(sql::LOOK, &[(&Uuid(me), Type::UUID)]).await? {
        match get::<&str>(row, 0)? {
            "node" => {
                let (Uuid(incarnation), owned): (Uuid, i64) = (get(row, 1)?, get(row, 5)?);
                looked.names.push((incarnation, get(row, 2)?));
                looked.view.peers.push(Peer {
                    incarnation,
                    beat: get(row, 3)?,
                    leaving: get(row, 4)?,
                    owned: usize::try_from(owned).unwrap_or(0),
                });
            }
            "orphans" => looked.view.orphans = stakes(row)?,
            _ => {
                let marks: Option<Vec<i64>> = get(row, 8)?;
                looked.view.mine =
                    stakes(row)?.into_iter().zip(marks.unwrap_or_default()).collect();
            }
        }
    }
    Ok(looked)
}

/// The stakes in the columns 6 and 7 of a view.
fn stakes(row: &Row) -> Answer<Vec<Stake>> {
    let (shards, epochs): (Option<Vec<i32>>, Option<Vec<i64>>) = (get(row, 6)?, get(row, 7)?);
    let pairs = shards.unwrap_or_default().into_iter().zip(epochs.unwrap_or_default());
    pairs.map(|(number, epoch)| Ok(Stake { shard: shard(number)?, epoch })).collect()
}

/// Reads the beats of all nodes.
pub(crate) async fn watch(on: &Connection) -> Answer<Vec<Beat>> {
    let rows = on.read(sql::WATCH, &[]).await?;
    let beats = rows.iter().map(|row| {
        let Uuid(incarnation) = get(row, 0)?;
        let (beat, leaving, mark) = (get(row, 1)?, get(row, 2)?, get(row, 3)?);
        Ok(Beat { incarnation, beat, leaving, mark })
    });
    beats.collect()
}

/// Claims orphans. Returns those that this node got.
pub(crate) async fn claim(
    on: &Connection,
    me: Incarnation,
    stakes: &[Stake],
) -> Answer<Vec<Stake>> {
    let (shards, epochs) = (shards(stakes), epochs(stakes));
    let rows = on.write(sql::CLAIM, &with_stakes(&Uuid(me), &&*shards, &&*epochs)).await?;
    let claimed = rows.iter().map(|row| {
        let (number, epoch) = (get(row, 0)?, get(row, 1)?);
        Ok(Stake { shard: shard(number)?, epoch })
    });
    let mut claimed: Vec<Stake> = claimed.collect::<Answer<_>>()?;
    claimed.sort_unstable();
    Ok(claimed)
}

/// Gives shards.
pub(crate) async fn give(on: &Connection, me: Incarnation, stakes: &[Stake]) -> Answer<()> {
    let (shards, epochs) = (shards(stakes), epochs(stakes));
    on.change(sql::GIVE, &with_stakes(&Uuid(me), &&*shards, &&*epochs)).await.map(drop)
}

/// The values of a statement on shards.
fn with_stakes<'a>(
    me: &'a Uuid,
    shards: &'a &[i32],
    epochs: &'a &[i64],
) -> [(&'a (dyn ToSql + Sync), Type); 3] {
    [(me, Type::UUID), (shards, Type::INT4_ARRAY), (epochs, Type::INT8_ARRAY)]
}

/// Buries a silent node. `patience` bounds how long this waits for a commit of that node, after which
/// commits are ended that have taken `longest`.
pub(crate) async fn bury(
    on: &Connection,
    (node, beat): (Incarnation, i64),
    patience: Duration,
    longest: Duration,
) -> Answer<bool> {
    let patience = format!("{}ms", patience.as_millis().max(1));
    let values =
        [(&Uuid(node) as &_, Type::UUID), (&beat as &_, Type::INT8), (&patience as &_, Type::TEXT)];
    match on.change(sql::BURY, &values).await {
        Err(error) if error.is_lock_timeout() => {
            let longest = longest.as_secs_f64();
            on.read(sql::UNBLOCK, &[(&longest, Type::FLOAT8)]).await?;
            Err(error)
        }
        buried => buried.map(|buried| buried > 0),
    }
}

/// Deletes a row of this node.
pub(crate) async fn retire(on: &Connection, me: Incarnation) -> Answer<()> {
    on.change(sql::RETIRE, &[(&Uuid(me), Type::UUID)]).await.map(drop)
}
