//! Carrying out requests, one after the other on a lane of their own.

use crate::clock::wall;
use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::lane::Lane;
use crate::request::{Answer, Request, RequestError};
use crate::{letters, listing, random, starts, users};
use cron_cluster::Incarnation;
use cron_cluster::sql::{letters as letters_sql, wishes};
use std::time::Duration;
use tokio_postgres::types::Type;

/// Carries out a request. `me` is this node; `None`: it has not joined, so it owns nothing.
pub(crate) async fn carry_out(
    lane: &mut Lane,
    me: Option<Incarnation>,
    request: &Request,
    limit: Duration,
) -> Result<Answer, RequestError> {
    let mark = random::mark().ok_or(RequestError::Random)?;
    Ok(lane.run(limit, async |on| perform(on, me, mark, request).await).await?)
}

async fn perform(
    on: &Connection,
    me: Option<Incarnation>,
    mark: i64,
    request: &Request,
) -> Result<Answer, DatabaseError> {
    let changed = match request {
        Request::Start(starts) => {
            return Ok(Answer::ChangedEach(starts::start(on, starts, mark).await?));
        }
        Request::Stop(process) => {
            let values = [(&wall() as &_, Type::INT8)];
            users::wish(on, wishes::STOP, *process, mark, &values).await?
        }
        Request::Tidy(before) => users::tidy(on, me, *before).await?,
        Request::Forget(process) => users::wish(on, wishes::FORGET, *process, mark, &[]).await?,
        Request::Ended(process, generation) => users::ended(on, *process, *generation).await?,
        Request::SetOptions { process, generation, options } => {
            let options = options.as_slice();
            let values = [(&options as &_, Type::BYTEA), (generation as &_, Type::INT8)];
            users::wish(on, wishes::SET_OPTIONS, *process, mark, &values).await?
        }
        Request::AskToPoll(process) => {
            users::wish(on, wishes::ASK_TO_POLL, *process, mark, &[]).await?
        }
        Request::Redeliver(process, id) => {
            let values = [(id as &_, Type::INT8)];
            let wished = users::wish(on, letters_sql::WISH, *process, mark, &values).await?;
            return Ok(Answer::Wished(wished.then_some(mark)));
        }
        Request::Settle { process, id, wish, outcome } => {
            let refused = outcome.as_ref().err().map(Vec::as_slice);
            letters::settle(on, me, *process, (*id, *wish), refused).await?
        }
        Request::Discard(process, ids) => letters::discard(on, *process, ids).await?,
        Request::Import(import) => {
            users::import(on, import, mark).await?;
            true
        }
        Request::Letters { process, after, letters, bytes } => {
            let read = letters::range(on, *process, *after, *letters, *bytes).await?;
            let (letters, more, all) = read;
            return Ok(Answer::Letters { letters, more, all });
        }
        Request::Letter(process, id) => {
            let letters = letters::one(on, *process, *id).await?;
            return Ok(Answer::Letters { letters, more: false, all: 1 });
        }
        Request::WishState { process, id, wish } => {
            return Ok(Answer::Wish(letters::wish_state(on, *process, *id, *wish).await?));
        }
        Request::CountLetters => {
            let (letters, bytes) = letters::count(on, me).await?;
            return Ok(Answer::LetterCount { letters, bytes });
        }
        Request::Find(processes) => {
            return Ok(Answer::Processes(listing::find(on, me, processes).await?));
        }
        Request::List { after, processes } => {
            return Ok(Answer::Processes(listing::list(on, me, *after, *processes).await?));
        }
        Request::Marks => return Ok(Answer::Marks(listing::marks(on).await?)),
        Request::Cluster => {
            let (nodes, totals) = listing::cluster(on).await?;
            return Ok(Answer::Cluster(nodes, totals));
        }
    };
    Ok(Answer::Changed(changed))
}
