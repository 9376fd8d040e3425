//! Values of rows, and values of statements that `tokio-postgres` has no type for.

use crate::error::DatabaseError;
use bytes::BytesMut;
use cron_cluster::{Incarnation, ShardId, Stake};
use cron_engine::ProcessId;
use std::error::Error;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// A value of a row.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, DatabaseError> {
    row.try_get(column).map_err(|error| DatabaseError::Answer(error.to_string()))
}

/// A process id of a row.
pub(crate) fn process(row: &Row, column: usize) -> Result<ProcessId, DatabaseError> {
    let id: &str = get(row, column)?;
    ProcessId::new(id.as_bytes())
        .ok_or_else(|| DatabaseError::Answer("a process id of another form".into()))
}

/// A shard of a row.
pub(crate) fn shard(number: i32) -> Result<ShardId, DatabaseError> {
    let shard = u16::try_from(number);
    shard.map(ShardId).map_err(|_| DatabaseError::Answer("a shard out of range".into()))
}

/// The numbers of shards, as the statements take them.
pub(crate) fn shards(stakes: &[Stake]) -> Vec<i32> {
    stakes.iter().map(|stake| i32::from(stake.shard.0)).collect()
}

/// The epochs of shards, as the statements take them.
pub(crate) fn epochs(stakes: &[Stake]) -> Vec<i64> {
    stakes.iter().map(|stake| stake.epoch).collect()
}

/// An incarnation as a `uuid`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uuid(pub(crate) Incarnation);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0.0);
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Uuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Incarnation(raw.try_into()?)))
    }

    accepts!(UUID);
}
