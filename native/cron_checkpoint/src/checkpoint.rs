//! The checkpoint as the rest of the node sees it: every call takes a lock for a moment and
//! returns; what is to happen once something is durable is passed along as a [`Waiter`].

use crate::book::{Book, Full};
use crate::record::{Letter, Record};
use crate::store::{OpenError, Page, Store, StoreError};
use crate::track::Track;
use crate::writer::{self, Writer};
use cron_engine::{Cursor, Position, ProcessId};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is done once all that was said before is durable. It runs on the writer's thread.
pub type Waiter = Box<dyn FnOnce() + Send>;

/// A question that only the file can answer.
type Question = Box<dyn FnOnce(&Store) + Send>;

/// How long a question may wait for its answer: a commit may be in its way.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long an open waits for the last user of the file to have it closed.
const CLOSED_LIMIT: Duration = Duration::from_secs(10);

/// Files that this OS process has open: a checkpoint outlives the engines that use it.
static OPEN: Mutex<Option<HashMap<PathBuf, Checkpoint>>> = Mutex::new(None);

/// The checkpoint of a node.
#[derive(Clone)]
pub struct Checkpoint {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) interval: Duration,
    letters_max: u64,
    pub(crate) state: Mutex<State>,
    pub(crate) wake: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) book: Book,
    /// Tracks with acks that the book does not know yet.
    pub(crate) dirty: Vec<Arc<Track>>,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) questions: Vec<Question>,
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    pub(crate) status: Status,
}

/// How the writer fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Commits since it was opened.
    pub commits: u64,
    /// How long the last one took.
    pub last_commit: Duration,
    /// Why nothing can be written at present.
    pub failing: Option<String>,
    /// Dead letters held.
    pub letters: u64,
}

/// How a registration begins.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Where.
    pub position: Position,
    /// The monitor's options, opaque here.
    pub options: Vec<u8>,
}

/// Now, in ms since the Unix epoch: the clock of [`Record::at`].
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Checkpoint {
    /// Opens the file at `path`, or makes it, with at least `interval` between two commits that
    /// nobody waits for. A damaged one is moved aside. The second value says that this OS process
    /// had it open already: its last user did not close it.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be used.
    pub fn open(
        path: &Path,
        interval: Duration,
        letters_max: u64,
    ) -> Result<(Self, bool), OpenError> {
        let path = std::path::absolute(path).map_err(|error| OpenError::Io(error.to_string()))?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        if let Some(known) = open.get(&path) {
            if !known.lock().closing {
                return Ok((known.clone(), true));
            }
            // It takes nothing more: whoever got it now would lose all they said.
            if !known.close(CLOSED_LIMIT) {
                return Err(OpenError::Io("it is still being closed".into()));
            }
        }
        let (store, book) = writer::open(&path)?;
        let checkpoint = Self::of(book, path.clone(), interval, letters_max);
        let again = path.clone();
        let writer = Writer::new(checkpoint.clone(), store, Box::new(move || Store::open(&again)));
        let thread = std::thread::Builder::new().name("hb_cron_checkpoint".into());
        thread
            .spawn(move || writer::run(writer))
            .map_err(|error| OpenError::Io(error.to_string()))?;
        open.insert(path, checkpoint.clone());
        Ok((checkpoint, false))
    }

    /// A checkpoint without a thread: nothing is written but in the turns that its writer is given.
    /// `open` opens what it is kept in, now and after each error.
    ///
    /// # Errors
    /// [`OpenError`] if that cannot be used.
    pub fn by_hand(
        mut open: impl FnMut() -> Result<Store, OpenError> + Send + 'static,
        letters_max: u64,
    ) -> Result<(Self, Writer), OpenError> {
        let store = open()?;
        let book = Book::new(store.load()?);
        let checkpoint = Self::of(book, PathBuf::new(), Duration::ZERO, letters_max);
        let writer = Writer::new(checkpoint.clone(), store, Box::new(open));
        Ok((checkpoint, writer))
    }

    fn of(book: Book, path: PathBuf, interval: Duration, letters_max: u64) -> Self {
        let state = Mutex::new(State { book, ..State::default() });
        let wake = Condvar::new();
        Self { shared: Arc::new(Shared { path, interval, letters_max, state, wake }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a process.
    #[must_use]
    pub fn find(&self, process: &ProcessId) -> Option<Record> {
        let mut state = self.lock();
        state.fold(now());
        state.book.find(process).cloned()
    }

    /// Whether a process that begins at `position` would still do so after a crash: there or later
    /// on the same way.
    #[must_use]
    pub fn is_durable(&self, process: &ProcessId, position: &Position) -> bool {
        let mut state = self.lock();
        state.fold(now());
        state.book.is_durable(process, position)
    }

    /// The processes that are to be resumed, and their options.
    #[must_use]
    pub fn watched(&self) -> Vec<(ProcessId, Vec<u8>)> {
        self.lock().book.watched()
    }

    /// A registration begins; `epoch` is higher than that of any before it. Whoever is to be told
    /// when that is durable must first be able to hear it: hence [`Checkpoint::flush`], then, and no
    /// waiter here, which might be called before this returns.
    #[must_use]
    pub fn begin(&self, process: ProcessId, epoch: u64, begin: Begin) -> Arc<Track> {
        let Begin { position, options } = begin;
        let record = Record { position, watched: true, at: now(), options };
        self.change(None, |state| state.book.begin(process, epoch, record));
        Arc::new(Track::new(process, epoch))
    }

    /// A registration that had no position has one now.
    pub fn located(&self, track: &Track, position: Position, waiter: Waiter) {
        let (process, epoch) = (track.process, track.epoch);
        self.change(Some(waiter), |state| state.book.moved(process, epoch, position, now()));
    }

    /// All is acked up to the edge with number `seq`, which has this cursor. Durable at the next
    /// commit.
    pub fn acked(&self, track: &Arc<Track>, seq: u64, cursor: Cursor) {
        if track.note(seq, cursor) {
            self.change(None, |state| state.dirty.push(Arc::clone(track)));
        }
    }

    /// A result is given up: its letter and the cursor that passes it become durable together. One
    /// of a registration that is not its process's latest only gets a number.
    ///
    /// # Errors
    /// [`Full`] if there is no room for it; then nothing is acked.
    pub fn give_up(&self, track: &Arc<Track>, seq: u64, letter: Letter) -> Result<u64, Full> {
        let letter = Letter { at: now(), ..letter };
        let cursor = Cursor::new(&letter.cursor).ok();
        // Under one lock: no commit can come between the two.
        self.change(None, |state| {
            let max = self.shared.letters_max;
            let id = state.book.give_up(track.process, track.epoch, letter, max)?;
            if let Some(cursor) = cursor {
                track.note(seq, cursor);
                state.dirty.push(Arc::clone(track));
                state.fold(now());
            }
            Ok(id)
        })
    }

    /// A registration ends; `watched` says whether it is to be resumed when the node starts next.
    pub fn ended(&self, track: &Arc<Track>, watched: bool, waiter: Option<Waiter>) {
        self.change(waiter, |state| {
            let now = now();
            state.fold(now);
            state.book.ended(track.process, track.epoch, watched, now);
        });
    }

    /// Nothing is to be known of a process any more.
    pub fn forget(&self, process: ProcessId, waiter: Waiter) {
        self.change(Some(waiter), |state| state.book.forget(process));
    }

    /// A dead letter is done with; false if there is none with this number.
    #[must_use]
    pub fn discard(&self, process: ProcessId, id: u64, waiter: Waiter) -> bool {
        self.change(Some(waiter), |state| state.book.discard(process, id))
    }

    /// Dead letters of a process, the oldest first, and whether there are more of them. Waits for
    /// the writer, which writes nothing while it reads them.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read now.
    pub fn letters(
        &self,
        process: ProcessId,
        page: Page,
    ) -> Result<(Vec<Letter>, bool), StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let question = move |store: &Store| drop(answer.send(store.letters(&process, page)));
        self.change(None, |state| {
            // Dropped once it is closed: then there is no answer, at once.
            if !state.closed {
                state.questions.push(Box::new(question));
            }
        });
        answered.recv_timeout(ANSWER_LIMIT).unwrap_or_else(|_| Err(StoreError::unanswered()))
    }

    /// How many dead letters a process has. Waits for nobody.
    #[must_use]
    pub fn letters_of(&self, process: ProcessId) -> u64 {
        self.lock().book.letters_of(process)
    }

    /// Has `waiter` called once all that was said so far is durable.
    pub fn flush(&self, waiter: Waiter) {
        self.change(Some(waiter), |_| ());
    }

    /// Makes everything durable, closes the file and waits for that, at most for `limit`. True if
    /// it is closed.
    #[must_use]
    pub fn close(&self, limit: Duration) -> bool {
        self.change(None, |state| state.closing = true);
        let wait = self.shared.wake.wait_timeout_while(self.lock(), limit, |state| !state.closed);
        wait.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Closes all checkpoints of this OS process. True if all are closed within `limit`.
    #[must_use]
    pub fn close_all(limit: Duration) -> bool {
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Self> = open.iter().flat_map(|open| open.values()).cloned().collect();
        drop(open);
        all.iter().all(|checkpoint| checkpoint.close(limit))
    }

    /// How the writer fares.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.lock();
        Status { letters: state.book.letter_count(), ..state.status.clone() }
    }

    /// The writer is woken only for what it waits for: waking a thread for each ack cost more than all
    /// else about it.
    fn change<T>(&self, waiter: Option<Waiter>, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let before = state.wakes_for();
        let changed = change(&mut state);
        state.waiters.extend(waiter);
        let wakes = state.wakes_for() != before;
        drop(state);
        if wakes {
            self.shared.wake.notify_all();
        }
        changed
    }
}

impl State {
    /// Takes what the tracks have noted over into the book.
    pub(crate) fn fold(&mut self, now: u64) {
        for track in self.dirty.drain(..) {
            if let Some(cursor) = track.take() {
                let position = Position::After(cursor);
                self.book.moved(track.process, track.epoch, position, now);
            }
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        self.is_urgent() || !self.dirty.is_empty() || self.book.has_pending()
    }

    /// What the writer waits for, in turn: something to do, an end of its interval, an end at once.
    fn wakes_for(&self) -> (bool, bool, bool) {
        (self.has_work(), self.is_urgent(), self.closing)
    }

    /// Somebody waits: there is no reason to collect more first.
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_asked() || self.closing
    }

    /// What came while the last commit was under way is still written before the file is closed,
    /// but for acks: a stream of them must not hold that up.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_asked() || self.book.has_pending()
    }

    fn is_asked(&self) -> bool {
        !self.waiters.is_empty() || !self.questions.is_empty()
    }
}
