//! What one commit writes. Later changes replace earlier ones, so a batch whose commit failed
//! absorbs the changes that came after it, and both are committed as one.

use crate::{Letter, Record};
use cron_engine::ProcessId;
use std::collections::{BTreeMap, BTreeSet};

/// A set of changes that belong together: all of them become durable, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// What is known of each process now; `None` to forget it.
    pub(crate) records: BTreeMap<ProcessId, Option<Record>>,
    /// Results given up; `None` to discard one.
    pub(crate) letters: BTreeMap<(ProcessId, u64), Option<Letter>>,
    /// Processes whose dead letters go too. They go before `letters` are written.
    pub(crate) forgotten: BTreeSet<ProcessId>,
    /// The last number given to a letter, 0 for none: it outlives its letter.
    pub(crate) last_letter: u64,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.letters.is_empty()
            && self.forgotten.is_empty()
            && self.last_letter == 0
    }

    /// Notes where a process stands.
    pub fn put(&mut self, process: ProcessId, record: Record) {
        self.records.insert(process, Some(record));
    }

    /// Notes a result that was given up.
    pub fn letter(&mut self, process: ProcessId, letter: Letter) {
        self.number(letter.id);
        self.letters.insert((process, letter.id), Some(letter));
    }

    /// Notes that this number was given to a letter, and those before it.
    pub(crate) fn number(&mut self, id: u64) {
        self.last_letter = self.last_letter.max(id);
    }

    /// Notes that a dead letter is discarded.
    pub fn discard(&mut self, process: ProcessId, id: u64) {
        self.letters.insert((process, id), None);
    }

    /// Notes that a process is forgotten.
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

    /// Adds the changes of a batch that came after this one.
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
