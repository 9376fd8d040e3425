//! The requests that change a process. `letters` has those of dead letters, `listing` those that read.

use crate::clock::wall;
use crate::connection::{Connection, Values};
use crate::cursors::NewLetter;
use crate::error::DatabaseError;
use crate::request::Import;
use crate::row::Uuid;
use cron_cluster::sql::wishes;
use cron_cluster::{Incarnation, SHARDS, shard_of};
use cron_engine::ProcessId;
use tokio_postgres::types::{ToSql, Type};

type Answer<T> = Result<T, DatabaseError>;

/// The most dead letters, and bytes of them, that one statement of an import inserts.
const MOST_LETTERS: usize = 1_000;
const MOST_BYTES: usize = 8 << 20;

/// Executes a statement that changes a process, with further values after the mark.
pub(crate) async fn wish(
    on: &Connection,
    statement: &str,
    process: ProcessId,
    mark: i64,
    values: &Values<'_>,
) -> Answer<bool> {
    let (id, shard) = (process.as_str(), i32::from(shard_of(&process, SHARDS).0));
    let mut all: Vec<(&(dyn ToSql + Sync), Type)> =
        vec![(&id, Type::TEXT), (&shard, Type::INT4), (&mark, Type::INT8)];
    all.extend_from_slice(values);
    Ok(on.change(statement, &all).await? > 0)
}

/// Notes that the cluster runs, and forgets processes that were stopped before a time.
pub(crate) async fn tidy(
    on: &Connection,
    me: Option<Incarnation>,
    before: Option<i64>,
) -> Answer<bool> {
    on.change(wishes::SEEN, &[(&wall(), Type::INT8)]).await?;
    let Some(before) = before else { return Ok(false) };
    let values = [(&me.map(Uuid) as &_, Type::UUID), (&before as &_, Type::INT8)];
    Ok(on.change(wishes::EXPIRE, &values).await? > 0)
}

/// Notes that the monitor of a stopped process has ended.
pub(crate) async fn ended(on: &Connection, process: ProcessId, generation: i64) -> Answer<bool> {
    let values = [(&process.as_str() as &_, Type::TEXT), (&generation as &_, Type::INT8)];
    Ok(on.change(wishes::ENDED, &values).await? > 0)
}

/// Imports a process. Many dead letters need several statements: the first one has the process, and
/// the others insert nothing if it was started again since.
pub(crate) async fn import(on: &Connection, import: &Import, mark: i64) -> Answer<()> {
    let mut parts = divide(&import.letters).into_iter();
    let first = Columns::of(parts.next().unwrap_or_default());
    let last = import.letters.iter().map(|letter| letter.id).max().unwrap_or(0);
    let (options, position) = (import.options.as_slice(), import.position.as_slice());
    let mut values: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&import.watched, Type::BOOL),
        (&options, Type::BYTEA),
        (&position, Type::BYTEA),
        (&last, Type::INT8),
        (&import.at, Type::INT8),
    ];
    values.extend(first.values());
    wish(on, wishes::IMPORT, import.process, mark, &values).await?;
    let id = import.process.as_str();
    for part in parts {
        let columns = Columns::of(part);
        let mut values: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&id, Type::TEXT), (&mark, Type::INT8)];
        values.extend(columns.values());
        on.change(wishes::IMPORT_LETTERS, &values).await?;
    }
    Ok(())
}

/// Divides dead letters, so that each part is a statement within the limits.
fn divide(letters: &[NewLetter]) -> Vec<&[NewLetter]> {
    let mut bytes = 0;
    let mut count = 0;
    letters
        .chunk_by(|_, next| {
            count += 1;
            bytes += next.cursor.len() + next.error.len() + next.result.len();
            let fits = count < MOST_LETTERS && bytes <= MOST_BYTES;
            if !fits {
                (count, bytes) = (0, 0);
            }
            fits
        })
        .collect()
}

/// Dead letters as the arrays of a statement.
struct Columns<'a> {
    ids: Vec<i64>,
    times: Vec<i64>,
    attempts: Vec<i64>,
    cursors: Vec<&'a [u8]>,
    errors: Vec<&'a [u8]>,
    results: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(letters: &'a [NewLetter]) -> Self {
        Self {
            ids: letters.iter().map(|letter| letter.id).collect(),
            times: letters.iter().map(|letter| letter.at).collect(),
            attempts: letters.iter().map(|letter| letter.attempts).collect(),
            cursors: letters.iter().map(|letter| letter.cursor.as_slice()).collect(),
            errors: letters.iter().map(|letter| letter.error.as_slice()).collect(),
            results: letters.iter().map(|letter| letter.result.as_slice()).collect(),
        }
    }

    fn values(&self) -> [(&(dyn ToSql + Sync), Type); 6] {
        [
            (&self.ids, Type::INT8_ARRAY),
            (&self.times, Type::INT8_ARRAY),
            (&self.attempts, Type::INT8_ARRAY),
            (&self.cursors, Type::BYTEA_ARRAY),
            (&self.errors, Type::BYTEA_ARRAY),
            (&self.results, Type::BYTEA_ARRAY),
        ]
    }
}
