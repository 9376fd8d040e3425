//! What is known of each process now, and what of it is not on disk yet. It is plain data: the
//! thread that writes it, and the lock around it, are elsewhere.

use crate::batch::Batch;
use crate::record::{Letter, Record};
use crate::store::Contents;
use cron_engine::{Position, ProcessId};
use std::collections::{BTreeSet, HashMap};

/// The book of a node.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: HashMap<ProcessId, Entry>,
    letters: BTreeSet<(ProcessId, u64)>,
    last_letter: u64,
    pending: Batch,
}

#[derive(Debug)]
struct Entry {
    /// Of the latest registration; 0 for what was read from disk.
    epoch: u64,
    record: Record,
}

/// There are as many dead letters as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are as many dead letters as cron_dead_letters_max allows")]
pub struct Full;

impl Book {
    /// The book that a file holds.
    pub(crate) fn new(contents: Contents) -> Self {
        let Contents { records, letters, last_letter, written } = contents;
        let entry = |mut record: Record| {
            if record.watched {
                // Its monitor ran until the file was last written, results or not.
                record.at = record.at.max(written);
            }
            Entry { epoch: 0, record }
        };
        let entries = records.into_iter().map(|(of, record)| (of, entry(record))).collect();
        Self { entries, letters, last_letter, pending: Batch::default() }
    }

    pub(crate) fn find(&self, process: &ProcessId) -> Option<&Record> {
        self.entries.get(process).map(|entry| &entry.record)
    }

    /// The processes to be resumed, and their options.
    pub(crate) fn watched(&self) -> Vec<(ProcessId, Vec<u8>)> {
        let watched = self.entries.iter().filter(|(_, entry)| entry.record.watched);
        watched.map(|(process, entry)| (*process, entry.record.options.clone())).collect()
    }

    /// A registration begins.
    pub(crate) fn begin(&mut self, process: ProcessId, epoch: u64, record: Record) {
        if self.entries.get(&process).is_none_or(|entry| entry.epoch <= epoch) {
            self.pending.put(process, record.clone());
            self.entries.insert(process, Entry { epoch, record });
        }
    }

    /// A registration stands here now.
    pub(crate) fn moved(&mut self, process: ProcessId, epoch: u64, position: Position, now: u64) {
        self.change(process, epoch, |record| {
            record.position = position;
            record.at = now;
        });
    }

    /// A registration ended; `watched` says whether it is to be resumed.
    pub(crate) fn ended(&mut self, process: ProcessId, epoch: u64, watched: bool, now: u64) {
        self.change(process, epoch, |record| {
            record.watched = watched;
            record.at = now;
        });
    }

    fn change(&mut self, process: ProcessId, epoch: u64, change: impl FnOnce(&mut Record)) {
        if let Some(entry) = self.entries.get_mut(&process).filter(|entry| entry.epoch == epoch) {
            change(&mut entry.record);
            self.pending.put(process, entry.record.clone());
        }
    }

    /// A result is given up; its letter gets a number. What an older registration gives up only gets
    /// the number: its process is forgotten, or has the result pushed anew by the latest one.
    pub(crate) fn give_up(
        &mut self,
        process: ProcessId,
        epoch: u64,
        mut letter: Letter,
        max: u64,
    ) -> Result<u64, Full> {
        let latest = self.entries.get(&process).is_some_and(|entry| entry.epoch == epoch);
        if latest && self.letter_count() >= max {
            return Err(Full);
        }
        self.last_letter += 1;
        self.pending.number(self.last_letter);
        if latest {
            letter.id = self.last_letter;
            self.letters.insert((process, letter.id));
            self.pending.letter(process, letter);
        }
        Ok(self.last_letter)
    }

    /// A dead letter is done with; false if there is none with this number.
    pub(crate) fn discard(&mut self, process: ProcessId, id: u64) -> bool {
        let known = self.letters.remove(&(process, id));
        if known {
            self.pending.discard(process, id);
        }
        known
    }

    /// Nothing is to be known of a process any more. What its old registrations say comes too
    /// late from now on.
    pub(crate) fn forget(&mut self, process: ProcessId) {
        self.entries.remove(&process);
        self.letters.retain(|(of, _)| *of != process);
        self.pending.forget(process);
    }

    pub(crate) fn letter_count(&self) -> u64 {
        u64::try_from(self.letters.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn take_pending(&mut self) -> Batch {
        std::mem::take(&mut self.pending)
    }

    pub(crate) fn restore(&mut self, batch: Batch) {
        self.pending.restore(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cron_engine::Cursor;

    fn process() -> ProcessId {
        ProcessId::new(&[b'p'; 43]).unwrap()
    }

    fn after(text: &str) -> Position {
        Position::After(Cursor::new(text.as_bytes()).unwrap())
    }

    fn record(position: Position) -> Record {
        Record { position, watched: true, at: 1, options: Vec::new() }
    }

    #[test]
    fn book_takes_no_word_of_an_older_registration() {
        let mut book = Book::default();
        book.begin(process(), 2, record(after("two")));
        book.moved(process(), 1, after("one"), 5);
        book.ended(process(), 1, false, 5);
        book.begin(process(), 1, record(after("one")));
        assert_eq!(book.find(&process()), Some(&record(after("two"))));
    }

    #[test]
    fn book_forgets_a_process_and_what_its_registration_says_after_that() {
        let mut book = Book::default();
        book.begin(process(), 1, record(Position::Earliest));
        let letter =
            Letter { id: 0, at: 0, attempts: 1, cursor: vec![], result: vec![], error: vec![] };
        book.give_up(process(), 1, letter.clone(), 10).unwrap();
        book.forget(process());
        book.moved(process(), 1, after("late"), 5);
        book.give_up(process(), 1, letter, 10).unwrap();
        assert_eq!(book.find(&process()), None);
        assert_eq!(book.letter_count(), 0);
    }

    #[test]
    fn book_takes_no_more_letters_than_it_may() {
        let mut book = Book::default();
        book.begin(process(), 1, record(Position::Earliest));
        let letter =
            Letter { id: 0, at: 0, attempts: 1, cursor: vec![], result: vec![], error: vec![] };
        assert_eq!(book.give_up(process(), 1, letter.clone(), 1), Ok(1));
        assert_eq!(book.give_up(process(), 1, letter.clone(), 1), Err(Full));
        assert!(book.discard(process(), 1));
        assert!(!book.discard(process(), 1));
        assert_eq!(book.give_up(process(), 1, letter, 1), Ok(2), "a number is never given twice");
    }

    #[test]
    fn book_of_a_file_counts_a_watched_monitor_as_running_until_it_was_last_written() {
        let mut contents = Contents { written: 100, ..Contents::default() };
        let other = ProcessId::new(&[b'o'; 43]).unwrap();
        contents.records.insert(process(), record(Position::Earliest));
        contents.records.insert(other, Record { watched: false, ..record(Position::Earliest) });
        let book = Book::new(contents);
        assert_eq!(book.find(&process()).unwrap().at, 100);
        assert_eq!(book.find(&other).unwrap().at, 1);
    }
}
