//! The state that callers and the writer of a checkpoint share under one lock, and which changes
//! wake the writer.

use crate::book::Book;
use crate::record::Letter;
use crate::store::{LetterRange, Store, StoreError};
use crate::track::Track;
use cron_engine::ProcessId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs once all earlier changes are durable: on the writer's thread, or in the caller if the
/// checkpoint is in memory. It is dropped without running if the file is closed first.
pub type Waiter = Box<dyn FnOnce() + Send>;

/// Receives the requested dead letters, and whether there are more.
pub type LettersAnswer = Box<dyn FnOnce(Result<(Vec<Letter>, bool), StoreError>) + Send>;

/// The state under the lock.
pub(crate) struct State {
    pub(crate) book: Book,
    /// Tracks with acks that the book does not have yet.
    pub(crate) dirty: Vec<Arc<Track>>,
    /// One of the tracks has many acks.
    pub(crate) at_stake: bool,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) questions: Vec<Question>,
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    /// Bytes of dead letters dropped since the writer last checked.
    pub(crate) freed: u64,
    /// Where the next search for expired processes begins, for a checkpoint in memory.
    pub(crate) expired_to: Option<ProcessId>,
    /// When the oldest change was made that the writer has not taken, and the oldest one that it has
    /// taken and not committed. Noted in a cluster only.
    pub(crate) changed_since: Option<Instant>,
    pub(crate) taken_since: Option<Instant>,
    /// When the commit under way began.
    pub(crate) writing_since: Option<Instant>,
    pub(crate) status: Status,
}

/// The state of the writer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Commits since the checkpoint was opened.
    pub commits: u64,
    /// How long the last commit took.
    pub last_commit: Duration,
    /// How long the commit under way has taken so far.
    pub writing_for: Duration,
    /// Why the last commit failed.
    pub failing: Option<String>,
    /// How often the file was found deleted or replaced, and was rewritten.
    pub replaced: u64,
    /// The number and the bytes of dead letters.
    pub letters: u64,
    /// The size of the dead letters in bytes.
    pub letter_bytes: u64,
}

/// A read that only the writer can do. If dropped without an answer, it answers with an error.
pub(crate) struct Question {
    process: ProcessId,
    range: LetterRange,
    answer: Option<LettersAnswer>,
}

impl Question {
    pub(crate) fn new(process: ProcessId, range: LetterRange, answer: LettersAnswer) -> Self {
        Self { process, range, answer: Some(answer) }
    }

    pub(crate) fn ask(mut self, store: &dyn Store) {
        if let Some(answer) = self.answer.take() {
            answer(store.letters(&self.process, self.range));
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            answer(Err(StoreError::unanswered()));
        }
    }
}

impl State {
    pub(crate) fn new(book: Book) -> Self {
        Self {
            book,
            dirty: Vec::new(),
            at_stake: false,
            waiters: Vec::new(),
            questions: Vec::new(),
            closing: false,
            closed: false,
            freed: 0,
            expired_to: None,
            changed_since: None,
            taken_since: None,
            writing_since: None,
            status: Status::default(),
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        self.is_urgent() || self.has_changes()
    }

    fn has_changes(&self) -> bool {
        !self.dirty.is_empty() || self.book.has_pending()
    }

    /// Notes when the oldest change was made that the writer has not taken.
    pub(crate) fn note_changes(&mut self) {
        if self.book.is_of_cluster() && self.changed_since.is_none() && self.has_changes() {
            self.changed_since = Some(Instant::now());
        }
    }

    /// The writer takes changes, perhaps not all.
    pub(crate) fn changes_taken(&mut self) {
        let oldest = self.changed_since.take();
        self.taken_since = self.taken_since.into_iter().chain(oldest).min();
        self.note_changes();
    }

    /// When the oldest change was made that is not committed.
    pub(crate) fn unsaved_since(&self) -> Option<Instant> {
        self.taken_since.into_iter().chain(self.changed_since).min()
    }

    /// The conditions that the writer waits for: any change, many results at stake, a caller that
    /// waits, the close.
    pub(crate) fn wakes_for(&self) -> (bool, bool, bool, bool) {
        (self.has_work(), self.at_stake, self.is_urgent(), self.closing)
    }

    /// A caller waits, or the file is being closed: the writer must not wait for further changes.
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_asked() || self.closing
    }

    /// Changes made during the last commit are still written before the file is closed, except for
    /// acks: a stream of acks must not delay the close.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_asked() || self.book.has_pending()
    }

    fn is_asked(&self) -> bool {
        !self.waiters.is_empty() || !self.questions.is_empty()
    }
}
