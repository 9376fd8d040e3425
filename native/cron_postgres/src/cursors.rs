//! Saving cursors and dead letters: the two statements, and how a commit is divided.

use crate::clock::wall;
use crate::connection::Connection;
use crate::error::DatabaseError;
use crate::lane::Lane;
use crate::row::{Uuid, get, process};
use cron_cluster::{Found, Incarnation, Row, Sent, Stake, Verdict, judge, sql};
use cron_engine::ProcessId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_postgres::types::Type;

/// The most that one statement saves, unless one process alone has more.
const MOST_ROWS: usize = 10_000;
const MOST_LETTERS: usize = 1_000;
const MOST_BYTES: usize = 8 << 20;

/// What is to be saved of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    /// The process.
    pub process: ProcessId,
    /// The ownership in which it was acked.
    pub stake: Stake,
    /// The generation of the start that the monitor belongs to.
    pub generation: i64,
    /// The number of results that were acked or given up since then.
    pub seq: i64,
    /// The position after them, opaque here.
    pub position: Vec<u8>,
    /// The number of the last dead letter.
    pub last_letter: i64,
    /// The results that were given up since the last commit. They are saved with the position or not
    /// at all.
    pub letters: Vec<NewLetter>,
}

/// A dead letter that is not saved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLetter {
    /// Its number, which its process has not used before.
    pub id: i64,
    /// When the result was given up, in ms since the Unix epoch.
    pub at: i64,
    /// How many pushes were tried.
    pub attempts: i64,
    /// The cursor of the result.
    pub cursor: Vec<u8>,
    /// The last error, opaque here.
    pub error: Vec<u8>,
    /// The result, opaque here.
    pub result: Vec<u8>,
}

/// What has become of a row of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was saved ([`Verdict::Saved`]), or why not and what follows.
    Judged(Verdict),
    /// The database refuses a value of this process. Others of the commit are not affected.
    Refused(String),
}

impl Acked {
    const fn sent(&self) -> Sent {
        Sent { generation: self.generation, seq: self.seq }
    }

    fn bytes(&self) -> usize {
        let letter =
            |letter: &NewLetter| letter.cursor.len() + letter.error.len() + letter.result.len();
        self.position.len() + self.letters.iter().map(letter).sum::<usize>()
    }
}

/// Saves everything, in several statements if it is much. If one fails, earlier ones are saved: to
/// commit everything again is right.
pub(crate) async fn commit(
    lane: &mut Lane,
    me: Incarnation,
    mut acked: Vec<Acked>,
    limit: Duration,
) -> Result<Vec<(ProcessId, Outcome)>, DatabaseError> {
    // The last one of a process counts. The statement needs an order without duplicates.
    acked.sort_by_key(|acked| (acked.process, acked.seq));
    acked.reverse();
    acked.dedup_by_key(|acked| acked.process);
    acked.reverse();
    let mut outcomes = Vec::with_capacity(acked.len());
    let mut parts: Vec<&[Acked]> = divide(&acked);
    parts.reverse();
    while let Some(part) = parts.pop() {
        match lane.run(limit, async |on| save(on, me, part).await).await {
            Ok(saved) => explain(lane, me, part, &saved, limit, &mut outcomes).await?,
            Err(error) if error.is_of_data() => {
                if let [alone] = part {
                    outcomes.push((alone.process, Outcome::Refused(error.to_string())));
                } else {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(outcomes)
}

/// Divides a commit, so that each part is a statement within the limits.
fn divide(acked: &[Acked]) -> Vec<&[Acked]> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut letters, mut bytes) = (0, 0);
    for (index, acked_here) in acked.iter().enumerate() {
        let (more, larger) = (acked_here.letters.len(), acked_here.bytes());
        let is_full = index - from >= MOST_ROWS
            || letters + more > MOST_LETTERS
            || bytes + larger > MOST_BYTES;
        if is_full && index > from {
            parts.extend(acked.get(from..index));
            (from, letters, bytes) = (index, 0, 0);
        }
        letters += more;
        bytes += larger;
    }
    parts.extend(acked.get(from..).filter(|rest| !rest.is_empty()));
    parts
}

/// Adds the outcome of each row. Those that were not saved are asked for.
async fn explain(
    lane: &mut Lane,
    me: Incarnation,
    part: &[Acked],
    saved: &BTreeSet<ProcessId>,
    limit: Duration,
    outcomes: &mut Vec<(ProcessId, Outcome)>,
) -> Result<(), DatabaseError> {
    let missing: Vec<&str> = part
        .iter()
        .filter(|acked| !saved.contains(&acked.process))
        .map(|acked| acked.process.as_str())
        .collect();
    let found = if missing.is_empty() {
        BTreeMap::new()
    } else {
        lane.run(limit, async |on| ask(on, me, &missing).await).await?
    };
    for acked in part {
        let verdict = match found.get(&acked.process) {
            _ if saved.contains(&acked.process) => Verdict::Saved,
            Some(found) => judge(acked.sent(), *found),
            None => Verdict::Again,
        };
        outcomes.push((acked.process, Outcome::Judged(verdict)));
    }
    Ok(())
}

/// Executes the commit. Returns the processes whose rows changed.
async fn save(
    on: &Connection,
    me: Incarnation,
    acked: &[Acked],
) -> Result<BTreeSet<ProcessId>, DatabaseError> {
    let letters = || acked.iter().flat_map(|acked| acked.letters.iter().map(move |it| (acked, it)));
    let processes: Vec<&str> = acked.iter().map(|acked| acked.process.as_str()).collect();
    let generations: Vec<i64> = acked.iter().map(|acked| acked.generation).collect();
    let seqs: Vec<i64> = acked.iter().map(|acked| acked.seq).collect();
    let positions: Vec<&[u8]> = acked.iter().map(|acked| acked.position.as_slice()).collect();
    let last_letters: Vec<i64> = acked.iter().map(|acked| acked.last_letter).collect();
    let of: Vec<&str> = letters().map(|(acked, _)| acked.process.as_str()).collect();
    let ids: Vec<i64> = letters().map(|(_, letter)| letter.id).collect();
    let times: Vec<i64> = letters().map(|(_, letter)| letter.at).collect();
    let attempts: Vec<i64> = letters().map(|(_, letter)| letter.attempts).collect();
    let cursors: Vec<&[u8]> = letters().map(|(_, letter)| letter.cursor.as_slice()).collect();
    let errors: Vec<&[u8]> = letters().map(|(_, letter)| letter.error.as_slice()).collect();
    let results: Vec<&[u8]> = letters().map(|(_, letter)| letter.result.as_slice()).collect();
    let rows = on
        .write(
            sql::COMMIT,
            &[
                (&Uuid(me), Type::UUID),
                (&processes, Type::TEXT_ARRAY),
                (&generations, Type::INT8_ARRAY),
                (&seqs, Type::INT8_ARRAY),
                (&positions, Type::BYTEA_ARRAY),
                (&last_letters, Type::INT8_ARRAY),
                (&wall(), Type::INT8),
                (&of, Type::TEXT_ARRAY),
                (&ids, Type::INT8_ARRAY),
                (&times, Type::INT8_ARRAY),
                (&attempts, Type::INT8_ARRAY),
                (&cursors, Type::BYTEA_ARRAY),
                (&errors, Type::BYTEA_ARRAY),
                (&results, Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(|row| process(row, 0)).collect()
}

/// Asks why rows did not change.
async fn ask(
    on: &Connection,
    me: Incarnation,
    processes: &[&str],
) -> Result<BTreeMap<ProcessId, Found>, DatabaseError> {
    let values = [(&Uuid(me) as &_, Type::UUID), (&processes as &_, Type::TEXT_ARRAY)];
    let rows = on.read(sql::ASK, &values).await?;
    let found = rows.iter().map(|row| {
        let generation: Option<i64> = get(row, 2)?;
        let seq: Option<i64> = get(row, 3)?;
        let mine = get(row, 4)?;
        let known = generation.zip(seq).map(|(generation, seq)| Row { generation, seq, mine });
        Ok((process(row, 0)?, Found { node: get(row, 1)?, row: known }))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cron_cluster::ShardId;

    fn acked(number: usize, letters: usize, bytes: usize) -> Acked {
        let process = ProcessId::new(format!("{number:0>43}").as_bytes()).unwrap();
        let letter = |id: usize| NewLetter {
            id: i64::try_from(id).unwrap(),
            at: 0,
            attempts: 0,
            cursor: Vec::new(),
            error: Vec::new(),
            result: vec![0; bytes],
        };
        Acked {
            process,
            stake: Stake { shard: ShardId(0), epoch: 0 },
            generation: 1,
            seq: 1,
            position: Vec::new(),
            last_letter: 0,
            letters: (0..letters).map(letter).collect(),
        }
    }

    fn sizes(acked: &[Acked]) -> Vec<usize> {
        divide(acked).iter().map(|part| part.len()).collect()
    }

    #[test]
    fn commit_within_the_limits_is_one_statement() {
        assert_eq!(sizes(&[]), Vec::<usize>::new());
        let all: Vec<_> = (0..MOST_ROWS).map(|number| acked(number, 0, 0)).collect();
        assert_eq!(sizes(&all), [MOST_ROWS]);
    }

    #[test]
    fn commit_above_a_limit_is_divided() {
        let all: Vec<_> = (0..=MOST_ROWS).map(|number| acked(number, 0, 0)).collect();
        assert_eq!(sizes(&all), [MOST_ROWS, 1]);
        let all: Vec<_> = (0..5).map(|number| acked(number, 400, 0)).collect();
        assert_eq!(sizes(&all), [2, 2, 1]);
        let all: Vec<_> = (0..5).map(|number| acked(number, 1, 3 << 20)).collect();
        assert_eq!(sizes(&all), [2, 2, 1]);
    }

    #[test]
    fn process_above_a_limit_is_not_divided() {
        let all = [acked(0, 1, 0), acked(1, 1001, 0), acked(2, 1, 9 << 20), acked(3, 1, 0)];
        assert_eq!(sizes(&all), [1, 1, 1, 1]);
    }
}
