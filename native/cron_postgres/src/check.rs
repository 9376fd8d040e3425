//! What the server must be like, checked on each connection: after a fail-over it may be another one.

use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::row::get;
use cron_cluster::{SHARDS, schema};

/// Checks version and settings.
pub(crate) async fn server(connection: &Connection) -> Result<(), DatabaseError> {
    let rows = connection.read(schema::SERVER, &[]).await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Answer("no settings".into()))?;
    let (number, version): (i32, String) = (get(row, 0)?, get(row, 1)?);
    if number < schema::MIN_SERVER {
        return Err(DatabaseError::Version(version));
    }
    let (isolation, commit): (String, String) = (get(row, 2)?, get(row, 3)?);
    if isolation != "read committed" {
        return Err(DatabaseError::Isolation(isolation));
    }
    if commit == "off" || commit == "local" {
        return Err(DatabaseError::SynchronousCommit(commit));
    }
    Ok(())
}

/// Checks the tables. If `creates`, missing ones are created.
pub(crate) async fn tables(connection: &Connection, creates: bool) -> Result<(), DatabaseError> {
    let rows = connection.read(schema::EXISTS, &[]).await?;
    let exists = rows.first().map(|row| get(row, 0)).transpose()?.unwrap_or(false);
    if !exists {
        if !creates {
            return Err(DatabaseError::NoTables("another connection creates them".into()));
        }
        connection.batch(schema::CREATE).await.map_err(|error| match error {
            DatabaseError::Forbidden(reason) => DatabaseError::NoTables(reason),
            other => other,
        })?;
    }
    let rows = connection.read(schema::READ_LAYOUT, &[]).await?;
    let row = rows.first().ok_or_else(|| DatabaseError::Answer("no layout".into()))?;
    let (version, shards, hash): (i32, i32, String) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
    if (version, shards, hash.as_str()) != (schema::VERSION, i32::from(SHARDS), schema::HASH) {
        return Err(DatabaseError::Layout { version, shards, hash });
    }
    Ok(())
}
