//! What one commit writes. Later changes replace earlier ones, so a batch that could not be
//! written takes on what comes after it and is written later as one.

use crate::{Letter, Record};
use cron_engine::ProcessId;
use std::collections::BTreeMap;

/// A set of changes that belong together: all of them become durable, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// What is known of each process now; `None` to forget it.
    pub(crate) records: BTreeMap<ProcessId, Option<Record>>,
    /// Results given up; `None` to discard one.
    pub(crate) letters: BTreeMap<(ProcessId, u64), Option<Letter>>,
    /// Processes whose dead letters go too.
    pub(crate) forgotten: Vec<ProcessId>,
    /// The last number given to a letter, 0 for none: it outlives its letter.
    pub(crate) last_letter: u64,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
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

    /// Notes that a dead letter is done with.
    pub fn discard(&mut self, process: ProcessId, id: u64) {
        self.letters.insert((process, id), None);
    }

    /// Notes that nothing is to be known of a process any more.
    pub fn forget(&mut self, process: ProcessId) {
        self.letters.retain(|(of, _), _| *of != process);
        self.records.insert(process, None);
        self.forgotten.push(process);
    }

    /// Puts back what could not be written, below what has come since.
    pub(crate) fn restore(&mut self, older: Self) {
        for (process, record) in older.records {
            self.records.entry(process).or_insert(record);
        }
        for ((process, id), letter) in older.letters {
            if !self.forgotten.contains(&process) {
                self.letters.entry((process, id)).or_insert(letter);
            }
        }
        // Letters are forgotten before others are noted, so the order does not matter here.
        self.forgotten.extend(older.forgotten);
        self.number(older.last_letter);
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
        Record { position: Position::Earliest, watched: true, at, options: Vec::new() }
    }

    fn letter(id: u64) -> Letter {
        Letter { id, at: 0, attempts: 1, cursor: vec![], result: vec![], error: vec![] }
    }

    #[test]
    fn batch_put_back_gives_way_to_what_came_since() {
        let mut older = Batch::default();
        older.put(process(), record(1));
        older.letter(process(), letter(1));
        let mut batch = Batch::default();
        batch.put(process(), record(2));
        batch.restore(older);
        assert_eq!(batch.records[&process()], Some(record(2)));
        assert_eq!(batch.letters[&(process(), 1)], Some(letter(1)));
    }

    #[test]
    fn batch_put_back_does_not_bring_back_what_was_forgotten_since() {
        let mut older = Batch::default();
        older.put(process(), record(1));
        older.letter(process(), letter(1));
        let mut batch = Batch::default();
        batch.forget(process());
        batch.letter(process(), letter(2));
        batch.restore(older);
        assert_eq!(batch.records[&process()], None);
        assert_eq!(batch.letters.keys().map(|key| key.1).collect::<Vec<_>>(), [2]);
    }
}
