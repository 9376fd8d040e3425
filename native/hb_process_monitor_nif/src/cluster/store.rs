//! Commits of the checkpoint's writer to the database of the cluster. Everything else of a process is changed by
//! requests, which do not pass through the checkpoint.

use super::totals;
use cron_checkpoint::{Batch, Letter, LetterRange, Store, StoreError, encode_position};
use cron_cluster::{ShardId, Stake, Verdict, shard_of};
use cron_engine::ProcessId;
use cron_postgres::{Acked, Cluster, NewLetter, Outcome};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The database of the cluster, as the checkpoint's writer sees it.
#[derive(Clone)]
pub(super) struct ClusterStore {
    /// Set once the cluster's thread runs.
    cluster: Arc<OnceLock<Cluster>>,
}

impl ClusterStore {
    pub(super) const fn new(cluster: Arc<OnceLock<Cluster>>) -> Self {
        Self { cluster }
    }
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn new_letter(letter: &Letter) -> NewLetter {
    let Letter { id, at, attempts, cursor, result, error } = letter;
    NewLetter {
        id: signed(*id),
        at: signed(*at),
        attempts: signed(*attempts),
        cursor: cursor.clone(),
        error: error.clone(),
        result: result.clone(),
    }
}

fn acked(batch: &Batch) -> Vec<Acked> {
    let mut letters: BTreeMap<ProcessId, Vec<NewLetter>> = BTreeMap::new();
    for (process, letter) in batch.new_letters() {
        letters.entry(*process).or_default().push(new_letter(letter));
    }
    let acked = batch.progress().map(|(process, moved)| Acked {
        process: *process,
        stake: Stake { shard: shard(process), epoch: moved.stake },
        generation: moved.progress.generation,
        seq: signed(moved.progress.seq),
        position: encode_position(&moved.position),
        last_letter: signed(moved.progress.last_letter),
        letters: letters.remove(process).unwrap_or_default(),
    });
    acked.collect()
}

fn shard(process: &ProcessId) -> ShardId {
    shard_of(process, cron_cluster::SHARDS)
}

impl Store for ClusterStore {
    fn commit(&mut self, batch: &Batch, _now: u64) -> Result<Vec<ProcessId>, StoreError> {
        let acked = acked(batch);
        if acked.is_empty() {
            return Ok(Vec::new());
        }
        let Some(cluster) = self.cluster.get() else {
            return Err(StoreError::new("it is not connected yet"));
        };
        let outcomes = cluster.commit(acked).map_err(|error| StoreError::new(error.to_string()))?;
        let mut refused = Vec::new();
        for (process, outcome) in outcomes {
            match outcome {
                Outcome::Judged(Verdict::Saved) => {}
                Outcome::Judged(Verdict::Again) => {
                    return Err(StoreError::new("it did not save all rows"));
                }
                Outcome::Judged(Verdict::Evicted | Verdict::Gone | Verdict::Disowned) => {
                    refused.push(process);
                }
                Outcome::Refused(reason) => {
                    log::error!(
                        "the database of the cluster refuses what {process} acked: {reason}"
                    );
                    refused.push(process);
                }
            }
        }
        totals::fenced(refused.len());
        Ok(refused)
    }

    fn letters(&self, _: &ProcessId, _: LetterRange) -> Result<(Vec<Letter>, bool), StoreError> {
        Err(StoreError::new("dead letters of a cluster are requested from its database"))
    }
}
