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
    /// Boxed, so that growing moves pointers: who acks waits for it.
    entries: HashMap<ProcessId, Box<Entry>>,
    letters: BTreeSet<(ProcessId, u64)>,
    last_letter: u64,
    pending: Batch,
}

#[derive(Debug)]
struct Entry {
    /// Of the latest registration; 0 for what was read from disk.
    epoch: u64,
    record: Record,
    start: Start,
}

/// Whether a crash would leave where a process began, or a later place on the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Unwritten,
    /// It is in the batch that is being written.
    Writing,
    Durable,
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
            let known = record.position != Position::Unresolved;
            let start = if known { Start::Durable } else { Start::Unwritten };
            Box::new(Entry { epoch: 0, record, start })
        };
        let entries = records.into_iter().map(|(of, record)| (of, entry(record))).collect();
        Self { entries, letters, last_letter, pending: Batch::default() }
    }

    pub(crate) fn find(&self, process: &ProcessId) -> Option<&Record> {
        self.entries.get(process).map(|entry| &entry.record)
    }

    /// Whether a process that begins at `position` would still do so after a crash.
    pub(crate) fn is_durable(&self, process: &ProcessId, position: &Position) -> bool {
        let entry = self.entries.get(process).filter(|e| e.record.position == *position);
        entry.is_some_and(|entry| entry.start == Start::Durable)
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
            let same = self.entries.get(&process).filter(|e| e.record.position == record.position);
            let start = same.map_or(Start::Unwritten, |entry| entry.start);
            self.entries.insert(process, Box::new(Entry { epoch, record, start }));
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

    /// How many of them are of one process.
    pub(crate) fn letters_of(&self, process: ProcessId) -> u64 {
        let of = self.letters.range((process, 0)..=(process, u64::MAX));
        u64::try_from(of.count()).unwrap_or(u64::MAX)
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes what is to be written. One batch at a time is.
    pub(crate) fn take_pending(&mut self) -> Batch {
        let batch = std::mem::take(&mut self.pending);
        self.starts(&batch, Start::Unwritten, Start::Writing);
        batch
    }

    /// All of the batch is on disk.
    pub(crate) fn written(&mut self, batch: &Batch) {
        self.starts(batch, Start::Writing, Start::Durable);
    }

    /// Nothing of the batch may be on disk.
    pub(crate) fn restore(&mut self, batch: Batch) {
        self.starts(&batch, Start::Writing, Start::Unwritten);
        self.pending.restore(batch);
    }

    fn starts(&mut self, batch: &Batch, from: Start, to: Start) {
        for process in batch.records.keys() {
            let entry = self.entries.get_mut(process);
            let known = entry.filter(|entry| entry.record.position != Position::Unresolved);
            if let Some(entry) = known.filter(|entry| entry.start == from) {
                entry.start = to;
            }
        }
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
    fn book_knows_a_start_as_durable_once_its_batch_is_written() {
        let mut book = Book::default();
        let durable = |book: &Book, at: &str| book.is_durable(&process(), &after(at));
        book.begin(process(), 1, record(after("one")));
        assert!(!durable(&book, "one"));
        let batch = book.take_pending();
        assert!(!durable(&book, "one"), "it is only being written");
        book.restore(batch);
        let batch = book.take_pending();
        book.written(&batch);
        assert!(durable(&book, "one"));
        book.moved(process(), 1, after("two"), 5);
        book.begin(process(), 2, record(after("two")));
        assert!(
            durable(&book, "two"),
            "it goes on where it was: a crash leaves at least its start"
        );
        let batch = book.take_pending();
        book.begin(process(), 3, record(after("elsewhere")));
        book.written(&batch);
        assert!(!durable(&book, "elsewhere"), "that was not in the batch");
    }

    #[test]
    fn book_of_a_file_without_a_start_does_not_take_the_one_found_later_for_durable() {
        let mut contents = Contents::default();
        contents.records.insert(process(), record(Position::Unresolved));
        let mut book = Book::new(contents);
        book.begin(process(), 1, record(Position::Unresolved));
        book.moved(process(), 1, after("found"), 5);
        assert!(!book.is_durable(&process(), &after("found")));
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
