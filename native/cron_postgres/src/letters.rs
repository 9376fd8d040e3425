//! The requests about dead letters.

use crate::connection::Connection;
use crate::cursors::NewLetter;
use crate::error::DatabaseError;
use crate::request::{SavedLetter, WishState};
use crate::row::{Uuid, get};
use cron_cluster::Incarnation;
use cron_cluster::sql::letters;
use cron_engine::ProcessId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

type Answer<T> = Result<T, DatabaseError>;

/// What has become of a wish.
pub(crate) async fn wish_state(
    on: &Connection,
    process: ProcessId,
    id: i64,
    wish: i64,
) -> Answer<WishState> {
    let values = [(&process.as_str() as &_, Type::TEXT), (&id as &_, Type::INT8)];
    let rows = on.read(letters::WISHED, &values).await?;
    let Some(row) = rows.first() else { return Ok(WishState::Gone) };
    let (last, refused): (i64, i64) = (get(row, 0)?, get(row, 1)?);
    if refused == wish {
        Ok(WishState::Refused(get(row, 2)?))
    } else if last == wish {
        Ok(WishState::Open)
    } else {
        Ok(WishState::Replaced)
    }
}

/// The owner has pushed a dead letter, or could not.
pub(crate) async fn settle(
    on: &Connection,
    me: Option<Incarnation>,
    process: ProcessId,
    (id, wish): (i64, i64),
    refused: Option<&[u8]>,
) -> Answer<bool> {
    let (me, process) = (me.map(Uuid), process.as_str());
    let values = [
        (&me as &_, Type::UUID),
        (&process as &_, Type::TEXT),
        (&id as &_, Type::INT8),
        (&wish as &_, Type::INT8),
    ];
    let changed = match refused {
        None => on.change(letters::REDELIVERED, &values).await?,
        Some(reason) => {
            let [me, process, id, wish] = values;
            let values = [me, process, id, wish, (&reason as &_, Type::BYTEA)];
            on.change(letters::REFUSE, &values).await?
        }
    };
    Ok(changed > 0)
}

/// Deletes dead letters.
pub(crate) async fn discard(on: &Connection, process: ProcessId, ids: &[i64]) -> Answer<bool> {
    let values = [(&process.as_str() as &_, Type::TEXT), (&ids as &_, Type::INT8_ARRAY)];
    Ok(on.change(letters::DISCARD, &values).await? > 0)
}

/// Reads dead letters in order: whether there are more, and how many the process has.
pub(crate) async fn range(
    on: &Connection,
    process: ProcessId,
    after: i64,
    most: u16,
    bytes: u32,
) -> Answer<(Vec<SavedLetter>, bool, u64)> {
    let (most, bytes) = (i64::from(most.max(1)), i64::from(bytes));
    let values = [
        (&process.as_str() as &_, Type::TEXT),
        (&after as &_, Type::INT8),
        (&most as &_, Type::INT8),
        (&bytes as &_, Type::INT8),
    ];
    let rows = on.read(letters::LETTERS, &values).await?;
    // The last one counts itself.
    let rest: Option<i64> = rows.last().map(|row| get(row, 9)).transpose()?;
    let all = on.read(letters::COUNT, &values[..1]).await?;
    let all: i64 = all.first().map(|row| get(row, 0)).transpose()?.unwrap_or(0);
    let letters = rows.iter().map(saved).collect::<Answer<_>>()?;
    Ok((letters, rest.is_some_and(|rest| rest > 1), u64::try_from(all).unwrap_or(0)))
}

/// Reads one dead letter.
pub(crate) async fn one(on: &Connection, process: ProcessId, id: i64) -> Answer<Vec<SavedLetter>> {
    let values = [(&process.as_str() as &_, Type::TEXT), (&id as &_, Type::INT8)];
    on.read(letters::LETTER, &values).await?.iter().map(saved).collect()
}

/// The number and the bytes of the dead letters of own shards.
pub(crate) async fn count(on: &Connection, me: Option<Incarnation>) -> Answer<(u64, u64)> {
    let rows = on.read(letters::OWNED, &[(&me.map(Uuid), Type::UUID)]).await?;
    let Some(row) = rows.first() else { return Ok((0, 0)) };
    let (count, bytes): (i64, i64) = (get(row, 0)?, get(row, 1)?);
    Ok((u64::try_from(count).unwrap_or(0), u64::try_from(bytes).unwrap_or(0)))
}

fn saved(row: &Row) -> Answer<SavedLetter> {
    let (wish, refused): (i64, i64) = (get(row, 6)?, get(row, 7)?);
    let is_refused = wish == refused && wish != 0;
    Ok(SavedLetter {
        letter: NewLetter {
            id: get(row, 0)?,
            at: get(row, 1)?,
            attempts: get(row, 2)?,
            cursor: get(row, 3)?,
            error: get(row, 4)?,
            result: get(row, 5)?,
        },
        is_wished: wish != refused,
        reason: if is_refused { Some(get(row, 8)?) } else { None },
    })
}
