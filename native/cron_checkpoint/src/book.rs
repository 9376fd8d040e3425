//! The checkpoint's entries in memory, and the changes that are not on disk yet. Plain data: the
//! lock around it and the thread that writes it are in other modules.
//!
//! Callers hold a lock that normal schedulers wait for. Therefore the time of a call does not grow
//! with the number of processes, except for [`Book::watched_from`], [`Book::expire_from`] and
//! [`Book::records_from`], which have a limit.

mod letters;
mod owned;

pub use self::letters::Full;
pub(crate) use self::letters::{Key, Letters};
use self::owned::{Owned, Shards};

use crate::batch::Batch;
use crate::file_store::Contents;
use crate::record::{Letter, Record};
use crate::settings::LetterLimits;
use crate::track::Track;
use cron_engine::{Position, ProcessId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A process to resume, and its options.
pub(crate) type Watched = (ProcessId, Arc<[u8]>);

/// The book of a host node.
#[derive(Debug)]
pub(crate) struct Book {
    /// Sorted, so that it can be walked in slices. A hash map would hold the lock for milliseconds
    /// whenever it grows.
    entries: BTreeMap<ProcessId, Box<Entry>>,
    letters: Letters,
    /// `None` for a checkpoint in memory, in which everything counts as durable.
    pending: Option<Batch>,
    /// The number of the batch that collects changes, and that of the last durable one.
    collecting: u64,
    durable: u64,
    /// The owned shards; `None` outside a cluster.
    shards: Option<Shards>,
}

#[derive(Debug)]
struct Entry {
    /// The epoch of the latest registration; 0 for a record read from disk.
    epoch: u64,
    /// The acks of the latest registration, until it ends.
    track: Option<Arc<Track>>,
    /// The process was stopped. When its registration ends, it is not marked for resumption.
    stopped: bool,
    record: Record,
    /// The batch whose commit makes the start position durable, or a later position that follows
    /// from it.
    start: u64,
    /// Its progress, in a cluster.
    owned: Option<Owned>,
}

/// The latest registration of the process has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process is monitored: stop its monitor first")]
pub struct Monitored;

impl Book {
    /// Builds the book from the contents of a file.
    pub(crate) fn new(contents: Contents) -> Self {
        let Contents { records, letters, last_letter, written } = contents;
        let entry = |mut record: Record| {
            if record.watched {
                // Its monitor ran until the last commit, even if it had no results.
                record.at = record.at.max(written);
            }
            Box::new(Entry { epoch: 0, track: None, stopped: false, record, start: 0, owned: None })
        };
        let entries = records.into_iter().map(|(of, record)| (of, entry(record))).collect();
        let letters = Letters::new(letters, last_letter);
        let pending = Some(Batch::default());
        Self { entries, letters, pending, collecting: 1, durable: 0, shards: None }
    }

    /// A book in memory. It never accepts dead letters.
    pub(crate) fn in_memory() -> Self {
        Self { pending: None, durable: u64::MAX, ..Self::new(Contents::default()) }
    }

    /// Whether the book is in memory and never written.
    pub(crate) const fn is_in_memory(&self) -> bool {
        self.pending.is_none()
    }

    /// The record of a process, including its latest ack.
    pub(crate) fn find(&mut self, process: &ProcessId, now: u64) -> Option<&Record> {
        self.settle(process, now);
        self.entries.get(process).map(|entry| &entry.record)
    }

    /// Whether a restart after a crash would resume the process from `position`.
    pub(crate) fn is_durable(&self, process: &ProcessId, position: &Position) -> bool {
        let entry = self.entries.get(process).filter(|e| e.record.position == *position);
        let known = entry.filter(|entry| entry.record.position != Position::Unresolved);
        known.is_some_and(|entry| entry.start <= self.durable)
    }

    /// Reads at most `limit` processes from `from` on. Returns those to resume, with their options,
    /// and the process to continue from.
    pub(crate) fn watched_from(
        &self,
        from: Option<&ProcessId>,
        limit: usize,
    ) -> (Vec<Watched>, Option<ProcessId>) {
        let (slice, next) = self.slice(from, limit);
        let watched = slice.filter(|(_, entry)| entry.record.watched);
        (watched.map(|(process, e)| (*process, Arc::clone(&e.record.options))).collect(), next)
    }

    /// Reads at most `limit` records from `from` on. Returns them and the process to continue from.
    pub(crate) fn records_from(
        &self,
        from: Option<&ProcessId>,
        limit: usize,
    ) -> (Vec<(ProcessId, Record)>, Option<ProcessId>) {
        let (slice, next) = self.slice(from, limit);
        (slice.map(|(process, entry)| (*process, entry.record.clone())).collect(), next)
    }

    /// Examines at most `limit` processes from `from` on. Forgets those that were stopped before
    /// `before` and have no dead letter. Returns how many it forgot, and the process to continue
    /// from.
    pub(crate) fn expire_from(
        &mut self,
        from: Option<&ProcessId>,
        limit: usize,
        before: u64,
    ) -> (usize, Option<ProcessId>) {
        let (slice, next) = self.slice(from, limit);
        let old = |(process, entry): (&ProcessId, &Entry)| {
            let Entry { track, record, .. } = entry;
            let expired = track.is_none() && !record.watched && record.at < before;
            (expired && self.letters.count_of(*process) == 0).then_some(*process)
        };
        let expired: Vec<ProcessId> = slice.filter_map(old).collect();
        for process in &expired {
            self.remove(*process);
        }
        (expired.len(), next)
    }

    fn slice(
        &self,
        from: Option<&ProcessId>,
        limit: usize,
    ) -> (impl Iterator<Item = (&ProcessId, &Entry)>, Option<ProcessId>) {
        let rest = || {
            from.map_or_else(
                || self.entries.range::<ProcessId, _>(..),
                |from| self.entries.range(from..),
            )
        };
        let next = rest().nth(limit).map(|(process, _)| *process);
        (rest().take(limit).map(|(process, entry)| (process, &**entry)), next)
    }

    /// Begins a registration at `position`. Returns false if a later one has begun, or if this host
    /// node does not own the process.
    pub(crate) fn begin(&mut self, track: &Arc<Track>, record: Record) -> bool {
        let (process, epoch) = (track.process, track.epoch);
        let known = self.entries.get(&process);
        if known.is_some_and(|entry| entry.epoch > epoch)
            || (known.is_none() && self.is_of_cluster())
        {
            return false;
        }
        let mut owned = known.and_then(|entry| entry.owned);
        let same = known.filter(|entry| entry.record.position == record.position);
        let start = same.map_or(self.collecting, |entry| entry.start);
        match &mut owned {
            None => self.put(process, &record),
            // The database has its position, unless that is too old.
            Some(owned) => owned.begun(),
        }
        let track = Some(Arc::clone(track));
        let entry = Entry { epoch, track, stopped: false, record, start, owned };
        self.entries.insert(process, Box::new(entry));
        true
    }

    /// Sets the position of a registration.
    pub(crate) fn moved(&mut self, process: &ProcessId, epoch: u64, position: Position, now: u64) {
        self.moved_by(process, epoch, (0, position), now);
    }

    /// Sets the position of a registration, which has acked this many results.
    fn moved_by(
        &mut self,
        process: &ProcessId,
        epoch: u64,
        (acked, position): (u64, Position),
        now: u64,
    ) {
        let collecting = self.collecting;
        self.change(process, epoch, |entry| {
            if entry.record.position == Position::Unresolved {
                entry.start = collecting;
            }
            entry.record.position = position;
            entry.record.at = now;
            if let Some(owned) = &mut entry.owned {
                owned.acked(acked);
            }
        });
    }

    /// Copies the latest ack of the process's registration into its record.
    pub(crate) fn settle(&mut self, process: &ProcessId, now: u64) {
        let track = self.entries.get(process).and_then(|entry| entry.track.clone());
        if let Some(track) = track {
            self.settle_track(&track, now);
        }
    }

    /// Copies the latest ack of a registration into the process's record. Does nothing if the
    /// registration has ended or is not the latest.
    pub(crate) fn settle_track(&mut self, track: &Track, now: u64) {
        if let Some((acked, cursor)) = track.take()
            && self.is_live(&track.process, track.epoch)
        {
            let moved = (acked, Position::After(cursor));
            self.moved_by(&track.process, track.epoch, moved, now);
        }
    }

    /// Whether this is the process's latest registration and has not ended.
    fn is_live(&self, process: &ProcessId, epoch: u64) -> bool {
        let entry = self.entries.get(process);
        entry.is_some_and(|entry| entry.epoch == epoch && entry.track.is_some())
    }

    /// Ends a registration. `watched` says whether to resume the process; a stopped process is
    /// never resumed.
    pub(crate) fn ended(&mut self, process: &ProcessId, epoch: u64, watched: bool, now: u64) {
        self.settle(process, now);
        self.change(process, epoch, |entry| {
            entry.record.watched = watched && !entry.stopped;
            entry.record.at = now;
            entry.track = None;
        });
    }

    /// Marks the process as not to be resumed, if its latest registration is older than `fence`.
    pub(crate) fn stopped(&mut self, process: &ProcessId, fence: u64, now: u64) {
        let Some(entry) = self.entries.get(process).filter(|entry| entry.epoch < fence) else {
            return;
        };
        if !entry.record.watched {
            return;
        }
        let epoch = entry.epoch;
        self.change(process, epoch, |entry| {
            entry.stopped = true;
            entry.record.watched = false;
            entry.record.at = now;
        });
    }

    /// Marks the process for resumption with these options, if its latest registration has ended.
    pub(crate) fn set_options(&mut self, process: &ProcessId, options: Arc<[u8]>) {
        let idle = self.entries.get(process).filter(|entry| entry.track.is_none());
        if let Some(epoch) = idle.map(|entry| entry.epoch) {
            self.change(process, epoch, |entry| entry.record.options = options);
        }
    }

    /// Replaces the options of a registration. Returns false if it has ended or is not the latest.
    pub(crate) fn set_live_options(
        &mut self,
        process: &ProcessId,
        epoch: u64,
        options: Arc<[u8]>,
    ) -> bool {
        let is_live = self.is_live(process, epoch);
        if is_live {
            self.change(process, epoch, |entry| entry.record.options = options);
        }
        is_live
    }

    fn change(&mut self, process: &ProcessId, epoch: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(process).filter(|entry| entry.epoch == epoch) {
            change(entry);
            match (&mut self.pending, &entry.owned) {
                (None, _) => {}
                (Some(pending), None) => pending.put(*process, entry.record.clone()),
                (Some(pending), Some(owned)) => pending.moved(*process, owned.moved(&entry.record)),
            }
        }
    }

    fn put(&mut self, process: ProcessId, record: &Record) {
        if let Some(pending) = &mut self.pending {
            pending.put(process, record.clone());
        }
    }

    /// Gives up a result and numbers its letter. Outside a live registration the letter gets a
    /// number but is not kept: the process was forgotten, or the next registration pushes the
    /// result again.
    pub(crate) fn give_up(
        &mut self,
        process: ProcessId,
        epoch: u64,
        mut letter: Letter,
        limits: LetterLimits,
    ) -> Result<u64, Full> {
        let latest = self.is_live(&process, epoch);
        let bytes = letter.bytes();
        let Some(pending) = &mut self.pending else { return Err(Full) };
        if latest && !self.letters.has_room(bytes, limits) {
            return Err(Full);
        }
        let owned = self.entries.get_mut(&process).and_then(|entry| entry.owned.as_mut());
        let number = if let Some(owned) = owned {
            owned.next_letter()
        } else {
            let number = self.letters.next_number();
            pending.number(number);
            number
        };
        if latest {
            letter.id = number;
            self.letters.insert((process, number), bytes);
            pending.letter(process, letter);
        }
        Ok(number)
    }

    /// Discards a dead letter. Returns its size in bytes, or `None` if it does not exist.
    pub(crate) fn discard(&mut self, process: ProcessId, id: u64) -> Option<u64> {
        let bytes = self.letters.discard(&(process, id))?;
        if let Some(pending) = &mut self.pending {
            pending.discard(process, id);
        }
        Some(bytes)
    }

    /// Forgets a process. Returns the size in bytes of its discarded dead letters. Later calls of
    /// its older registrations are ignored.
    ///
    /// # Errors
    /// [`Monitored`] if its latest registration has not ended: the acks of that one would be lost.
    pub(crate) fn forget(&mut self, process: ProcessId) -> Result<u64, Monitored> {
        if self.entries.get(&process).is_some_and(|entry| entry.track.is_some()) {
            return Err(Monitored);
        }
        Ok(self.remove(process))
    }

    fn remove(&mut self, process: ProcessId) -> u64 {
        self.entries.remove(&process);
        let freed = self.letters.forget(process);
        if let Some(pending) = &mut self.pending {
            pending.forget(process);
        }
        freed
    }

    /// Drops the letters with these keys, whose content was lost.
    pub(crate) fn lose_letters(&mut self, lost: &[Key]) {
        for (process, id) in lost {
            self.discard(*process, *id);
        }
    }

    /// Whether the writer has not yet taken the letter with this key.
    pub(crate) fn is_pending_letter(&self, key: &Key) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.letters.contains_key(key))
    }

    /// The index of dead letters.
    pub(crate) const fn letters(&self) -> &Letters {
        &self.letters
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| !pending.is_empty())
    }

    /// Takes the collected changes, and the number to call [`Book::written`] with.
    pub(crate) fn take_pending(&mut self) -> (Batch, u64) {
        let batch = self.pending.as_mut().map(std::mem::take).unwrap_or_default();
        let number = self.collecting;
        self.collecting += 1;
        self.letters.taken();
        (batch, number)
    }

    /// Marks this batch and all before it as durable.
    pub(crate) fn written(&mut self, number: u64) {
        self.durable = self.durable.max(number);
        self.letters.written();
    }
}

#[cfg(test)]
mod tests;
