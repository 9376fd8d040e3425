//! The processes of the shards that this host node owns in a cluster. Other host nodes own the other
//! ones, and any host node may start, stop or forget a process: the database has the truth, and
//! the book follows it.

use super::{Book, Entry};
use crate::batch::{Batch, Moved};
use crate::progress::{OwnedProcess, Progress};
use crate::record::Record;
use cron_engine::ProcessId;
use std::collections::{BTreeMap, BTreeSet};

/// The progress of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owned {
    progress: Progress,
    /// The epoch of the shard in this ownership.
    stake: i64,
    /// The number of results when the latest registration began.
    base: u64,
}

impl Owned {
    /// The latest registration begins.
    pub(super) const fn begun(&mut self) {
        self.base = self.progress.seq;
    }

    /// The latest registration has acked this many results.
    pub(super) fn acked(&mut self, count: u64) {
        self.progress.seq = self.progress.seq.max(self.base.saturating_add(count));
    }

    /// Returns the number for another dead letter.
    pub(super) const fn next_letter(&mut self) -> u64 {
        self.progress.last_letter += 1;
        self.progress.last_letter
    }

    /// What the next commit writes.
    pub(super) fn moved(&self, record: &Record) -> Moved {
        let Record { position, at, .. } = record;
        Moved { progress: self.progress, position: position.clone(), at: *at, stake: self.stake }
    }
}

/// The owned shards, each with its epoch and its processes.
pub(super) type Shards = BTreeMap<u16, (i64, BTreeSet<ProcessId>)>;

impl Book {
    /// The book of a host node of a cluster. It owns nothing at first.
    pub(crate) fn of_cluster() -> Self {
        Self { shards: Some(Shards::new()), ..Self::new(crate::file_store::Contents::default()) }
    }

    /// Whether this is the book of a host node of a cluster.
    pub(crate) const fn is_of_cluster(&self) -> bool {
        self.shards.is_some()
    }

    /// These are the processes of a shard that this host node owns since this epoch of the shard.
    /// Called when it gets the shard, and whenever its processes were read again. The progress of a
    /// known process is kept: this host node alone changes it.
    pub(crate) fn owned(&mut self, shard: u16, stake: i64, processes: Vec<OwnedProcess>) {
        let Some(shards) = &mut self.shards else { return };
        let now: BTreeSet<ProcessId> = processes.iter().map(|it| it.process).collect();
        let (_, before) = shards.insert(shard, (stake, now.clone())).unwrap_or_default();
        for forgotten in before.difference(&now) {
            self.lose(forgotten);
        }
        for OwnedProcess { process, record, progress } in processes {
            let known =
                self.entries.get_mut(&process).filter(|entry| entry.is(stake, progress.generation));
            if let Some(known) = known {
                known.record.watched = record.watched;
                known.record.options = record.options;
                continue;
            }
            self.lose(&process);
            let owned = Some(Owned { progress, stake, base: progress.seq });
            let entry = Entry { epoch: 0, track: None, stopped: false, record, start: 0, owned };
            self.entries.insert(process, Box::new(entry));
        }
    }

    /// Another host node owns a shard since a later epoch. What was not committed is dropped, and the
    /// registrations of its processes are lost.
    pub(crate) fn shard_lost(&mut self, shard: u16, stake: i64) {
        let Some(shards) = &mut self.shards else { return };
        if shards.get(&shard).is_some_and(|(epoch, _)| *epoch == stake)
            && let Some((_, processes)) = shards.remove(&shard)
        {
            for process in &processes {
                self.lose(process);
            }
        }
    }

    /// The database refused what a commit wrote of a process.
    pub(crate) fn refused(&mut self, process: &ProcessId, moved: &Moved) {
        if self.entries.get(process).is_some_and(|entry| entry.moved_to(moved)) {
            self.lose(process);
        }
    }

    /// The owned shards, with their epochs.
    pub(crate) fn shards(&self) -> Vec<(u16, i64)> {
        let shards = self.shards.iter().flatten();
        shards.map(|(shard, (stake, _))| (*shard, *stake)).collect()
    }

    fn lose(&mut self, process: &ProcessId) {
        let Some(entry) = self.entries.remove(process) else { return };
        if let Some(track) = &entry.track {
            track.lose();
        }
        if let Some(pending) = &mut self.pending {
            pending.lose(process);
        }
        self.letters.forget(*process);
    }

    /// Drops the changes of a batch that must not be committed any more.
    pub(crate) fn prune(&self, batch: &mut Batch) {
        batch.retain(|process, moved| {
            self.entries.get(process).is_some_and(|entry| entry.moved_to(moved))
        });
    }
}

impl Entry {
    /// Whether it is of this ownership and this start.
    fn is(&self, stake: i64, generation: i64) -> bool {
        let is_it = |it: Owned| it.stake == stake && it.progress.generation == generation;
        self.owned.is_some_and(is_it)
    }

    /// Whether this progress is its own.
    fn moved_to(&self, moved: &Moved) -> bool {
        self.is(moved.stake, moved.progress.generation)
    }
}
