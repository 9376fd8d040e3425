//! The changes that one commit writes. A later change replaces an earlier one. A batch whose commit
//! failed absorbs the changes made since, and one commit writes both.

use crate::{Letter, Record};
use cron_engine::ProcessId;
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
}

impl Batch {
    /// Whether the batch has no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.letters.is_empty()
            && self.forgotten.is_empty()
            && self.last_letter == 0
    }

    /// Sets the record of a process.
    pub fn put(&mut self, process: ProcessId, record: Record) {
        self.records.insert(process, Some(record));
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
