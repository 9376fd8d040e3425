//! The changes that one commit writes. A later change replaces an earlier one. A batch whose commit
//! failed absorbs the changes made since, and one commit writes both.

use crate::progress::Progress;
use crate::{Letter, Record};
use cron_engine::{Position, ProcessId};
use std::collections::{BTreeMap, BTreeSet};

/// Changes that belong together: after a crash, either all of them are on disk or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The new record of each process; `None` deletes it.
    pub(crate) records: BTreeMap<ProcessId, Option<Record>>,
    /// New dead letters; `None` deletes one.
    pub(crate) letters: BTreeMap<(ProcessId, u64), Option<Letter>>,
    /// Processes whose dead letters are deleted, before `letters` are written.
    pub(crate) forgotten: BTreeSet<ProcessId>,
    /// The last number given to a letter, 0 for none. It stays when the letter is deleted.
    pub(crate) last_letter: u64,
    /// The progress of processes, for the database of a cluster. It has their other state already.
    pub(crate) moved: BTreeMap<ProcessId, Moved>,
}

/// The progress of a process since the last commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// How far it is.
    pub progress: Progress,
    /// The position after the last acked result.
    pub position: Position,
    /// When the position was noted, in ms since the Unix epoch.
    pub at: u64,
    /// The ownership in which it was noted: the epoch of the shard.
    pub stake: i64,
}

impl Batch {
    /// Whether the batch has no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.letters.is_empty()
            && self.forgotten.is_empty()
            && self.last_letter == 0
            && self.moved.is_empty()
    }

    /// The progress of processes, in their order.
    pub fn progress(&self) -> impl Iterator<Item = (&ProcessId, &Moved)> {
        self.moved.iter()
    }

    /// New dead letters, in the order of their processes and numbers.
    pub fn new_letters(&self) -> impl Iterator<Item = (&ProcessId, &Letter)> {
        self.letters.iter().filter_map(|((process, _), letter)| Some((process, letter.as_ref()?)))
    }

    /// Sets the record of a process.
    pub fn put(&mut self, process: ProcessId, record: Record) {
        self.records.insert(process, Some(record));
    }

    /// Notes the progress of a process of a cluster.
    pub(crate) fn moved(&mut self, process: ProcessId, moved: Moved) {
        self.moved.insert(process, moved);
    }

    /// Drops what is noted of a process of a cluster.
    pub(crate) fn lose(&mut self, process: &ProcessId) {
        self.moved.remove(process);
        self.drop_letters(*process);
    }

    /// Drops what is noted of processes of a cluster, except for those to keep.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&ProcessId, &Moved) -> bool) {
        self.moved.retain(|process, moved| keeps(process, moved));
        let moved = &self.moved;
        self.letters.retain(|(process, _), _| moved.contains_key(process));
    }

    /// Adds a dead letter.
    pub fn letter(&mut self, process: ProcessId, letter: Letter) {
        self.number(letter.id);
        self.letters.insert((process, letter.id), Some(letter));
    }

    /// Notes the last number given to a letter. It never decreases.
    pub(crate) fn number(&mut self, id: u64) {
        self.last_letter = self.last_letter.max(id);
    }

    /// Deletes a dead letter.
    pub fn discard(&mut self, process: ProcessId, id: u64) {
        self.letters.insert((process, id), None);
    }

    /// Deletes the record and the dead letters of a process.
    pub fn forget(&mut self, process: ProcessId) {
        self.drop_letters(process);
        self.records.insert(process, None);
        self.forgotten.insert(process);
    }

    fn drop_letters(&mut self, process: ProcessId) {
        let of = self.letters.range((process, 0)..=(process, u64::MAX));
        let keys: Vec<_> = of.map(|(key, _)| *key).collect();
        for key in keys {
            self.letters.remove(&key);
        }
    }

    /// Adds the changes of a later batch.
    pub(crate) fn absorb(&mut self, newer: Self) {
        for process in newer.forgotten {
            self.forget(process);
        }
        self.records.extend(newer.records);
        self.letters.extend(newer.letters);
        self.moved.extend(newer.moved);
        self.number(newer.last_letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cron_engine::Position;

    fn process() -> ProcessId {
        ProcessId::new(&[b'p'; 43]).unwrap()
    }

    fn record(at: u64) -> Record {
        Record { position: Position::Earliest, watched: true, at, options: [].into() }
    }

    fn letter(id: u64) -> Letter {
        Letter { id, at: 0, attempts: 1, cursor: vec![], result: vec![], error: vec![] }
    }

    #[test]
    fn batch_gives_way_to_the_changes_that_came_after_it() {
        let mut batch = Batch::default();
        batch.put(process(), record(1));
        batch.letter(process(), letter(1));
        let mut newer = Batch::default();
        newer.put(process(), record(2));
        batch.absorb(newer);
        assert_eq!(batch.records[&process()], Some(record(2)));
        assert_eq!(batch.letters[&(process(), 1)], Some(letter(1)));
    }

    #[test]
    fn batch_drops_the_letters_of_a_process_forgotten_after_it() {
        let mut batch = Batch::default();
        batch.put(process(), record(1));
        batch.letter(process(), letter(1));
        let mut newer = Batch::default();
        newer.forget(process());
        newer.letter(process(), letter(2));
        batch.absorb(newer);
        assert_eq!(batch.records[&process()], None);
        assert_eq!(batch.letters.keys().map(|key| key.1).collect::<Vec<_>>(), [2]);
        assert!(batch.forgotten.contains(&process()));
    }

    #[test]
    fn batch_keeps_a_process_that_began_again_after_it_was_forgotten() {
        let mut batch = Batch::default();
        batch.forget(process());
        let mut newer = Batch::default();
        newer.put(process(), record(2));
        batch.absorb(newer);
        assert_eq!(batch.records[&process()], Some(record(2)));
    }
}
