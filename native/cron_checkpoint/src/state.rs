//! What the callers of a checkpoint and its writer share under one lock, and what of it the writer is
//! woken for.

use crate::book::Book;
use crate::record::Letter;
use crate::store::{Page, Store, StoreError};
use crate::track::Track;
use cron_engine::ProcessId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs once all earlier changes are durable, on the writer's thread, or in the caller if the
/// checkpoint is in memory. It is dropped without being run if the file is closed before that.
pub type Waiter = Box<dyn FnOnce() + Send>;

/// Gets the dead letters that were asked for, and whether there are more of them.
pub type LettersAnswer = Box<dyn FnOnce(Result<(Vec<Letter>, bool), StoreError>) + Send>;

/// What is under the lock.
pub(crate) struct State {
    pub(crate) book: Book,
    /// Tracks with acks that the book does not know yet.
    pub(crate) dirty: Vec<Arc<Track>>,
    /// One of them has many.
    pub(crate) at_stake: bool,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) questions: Vec<Question>,
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    /// The bytes of dead letters that were dropped since the writer last looked.
    pub(crate) freed: u64,
    /// In memory: up to which process stopped ones have been looked for.
    pub(crate) expired_to: Option<ProcessId>,
    /// When the commit under way began.
    pub(crate) writing_since: Option<Instant>,
    pub(crate) status: Status,
}

/// How the writer fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Commits since it was opened.
    pub commits: u64,
    /// How long the last one took.
    pub last_commit: Duration,
    /// How long the one under way has taken so far.
    pub writing_for: Duration,
    /// Why nothing can be written at present.
    pub failing: Option<String>,
    /// How often the file was found deleted or replaced, and written anew.
    pub replaced: u64,
    /// Dead letters held, and their bytes.
    pub letters: u64,
    /// The bytes of these.
    pub letter_bytes: u64,
}

/// A question that only the file can answer. Dropped without an answer, it answers with an error.
pub(crate) struct Question {
    process: ProcessId,
    page: Page,
    answer: Option<LettersAnswer>,
}

impl Question {
    pub(crate) fn new(process: ProcessId, page: Page, answer: LettersAnswer) -> Self {
        Self { process, page, answer: Some(answer) }
    }

    pub(crate) fn ask(mut self, store: &Store) {
        if let Some(answer) = self.answer.take() {
            answer(store.letters(&self.process, self.page));
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
            writing_since: None,
            status: Status::default(),
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        self.is_urgent() || !self.dirty.is_empty() || self.book.has_pending()
    }

    /// What the writer waits for, in turn: something to do, much of it, an end of its interval, the
    /// close.
    pub(crate) fn wakes_for(&self) -> (bool, bool, bool, bool) {
        (self.has_work(), self.at_stake, self.is_urgent(), self.closing)
    }

    /// A caller waits: there is no reason to collect more first.
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_asked() || self.closing
    }

    /// What came during the last commit is still written before the file is closed, except for acks:
    /// a stream of them must not hold that up.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_asked() || self.book.has_pending()
    }

    fn is_asked(&self) -> bool {
        !self.waiters.is_empty() || !self.questions.is_empty()
    }
}
