//! What follows when shards are gained, read, handed over or lost: first the checkpoint's book follows, then the Erlang
//! process that starts and stops monitors gets a message.

use crate::atoms;
use crate::outbox::OUTBOX;
use crate::terms::bytes_term;
use cron_checkpoint::{Checkpoint, OwnedProcess, Progress, Record, decode_position};
use cron_cluster::Stake;
use cron_postgres::{Owner, ProcessRow};
use rustler::types::atom::Atom;
use rustler::{Encoder, Env, LocalPid, Term};
use std::sync::{Arc, Mutex, PoisonError};

/// The Erlang process that starts and stops monitors, if it runs.
#[derive(Default)]
pub(super) struct Listener(Mutex<Option<LocalPid>>);

impl Listener {
    pub(super) fn set(&self, pid: LocalPid) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
    }

    /// Sends `{hb_cron_cluster, Event}`. Without a process the event is dropped: the next process gets all shards.
    fn tell(&self, event: impl for<'a> FnOnce(Env<'a>) -> Term<'a> + Send + 'static) {
        let pid = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid {
            OUTBOX.send(pid, move |env| (atoms::hb_cron_cluster(), event(env)).encode(env));
        }
    }
}

/// The owner of this host node's shards.
pub(super) struct ShardOwner {
    checkpoint: Checkpoint,
    listener: Arc<Listener>,
}

impl ShardOwner {
    pub(super) const fn new(checkpoint: Checkpoint, listener: Arc<Listener>) -> Self {
        Self { checkpoint, listener }
    }

    fn tell_stakes(&self, what: fn() -> Atom, stakes: &[Stake]) {
        let stakes: Vec<(u16, i64)> =
            stakes.iter().map(|stake| (stake.shard.0, stake.epoch)).collect();
        self.listener.tell(move |env| (what(), stakes).encode(env));
    }
}

/// A process for the book. `None`: another host node wrote what this one cannot read.
fn owned(row: &ProcessRow) -> Option<OwnedProcess> {
    let unsigned = |number: i64| u64::try_from(number).ok();
    let position = decode_position(&row.position)?;
    let record = Record {
        position,
        watched: row.watched,
        at: unsigned(row.at)?,
        options: row.options.as_slice().into(),
    };
    let (seq, last_letter) = (unsigned(row.seq)?, unsigned(row.last_letter)?);
    Some(OwnedProcess {
        process: row.process,
        record,
        progress: Progress { generation: row.generation, seq, last_letter },
    })
}

/// `{ProcId, Watched, Ended, Options, Generation, Asked}`.
fn row_term<'a>(env: Env<'a>, row: &ProcessRow) -> Term<'a> {
    let process = bytes_term(env, row.process.as_str().as_bytes());
    (process, row.watched, row.ended, bytes_term(env, &row.options), row.generation, row.asked)
        .encode(env)
}

/// `{ProcId, Id, Wish}` for each wish.
fn wish_terms<'a>(env: Env<'a>, rows: &[ProcessRow]) -> Vec<Term<'a>> {
    let of_row = |row: &ProcessRow| {
        let process = bytes_term(env, row.process.as_str().as_bytes());
        let wishes = row.wishes.iter().map(move |(id, wish)| (process, *id, *wish).encode(env));
        wishes.collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}

impl Owner for ShardOwner {
    fn read(&self, stake: Stake, _mark: i64, mut processes: Vec<ProcessRow>) {
        let mut known = Vec::with_capacity(processes.len());
        processes.retain(|row| {
            let owned = owned(row);
            if owned.is_none() {
                log::error!("the database of the cluster has an invalid row of {}", row.process);
            }
            let is_valid = owned.is_some();
            known.extend(owned);
            is_valid
        });
        let (shard, epoch) = (stake.shard.0, stake.epoch);
        self.checkpoint.owned(shard, epoch, known);
        self.listener.tell(move |env| {
            let rows: Vec<Term<'_>> = processes.iter().map(|row| row_term(env, row)).collect();
            (atoms::owned(), shard, epoch, rows, wish_terms(env, &processes)).encode(env)
        });
    }

    fn lost(&self, stakes: &[Stake]) {
        for stake in stakes {
            self.checkpoint.lost(stake.shard.0, stake.epoch);
        }
        self.tell_stakes(atoms::lost, stakes);
    }

    fn stop(&self, stakes: &[Stake]) {
        self.tell_stakes(atoms::stop, stakes);
    }

    fn left(&self) {
        self.listener.tell(|env| atoms::left().encode(env));
    }
}
