//! The checkpoint as the rest of the node sees it: every call takes a lock for a moment and
//! returns. What has to wait until a change is durable is passed along as a [`Waiter`].

use crate::book::{Book, Full, LetterLimits, Monitored};
use crate::record::{Letter, Record};
use crate::store::{OpenError, Page, Store, StoreError};
use crate::track::{Noted, Track};
use crate::writer::{self, Writer};
use cron_engine::{Cursor, Position, ProcessId};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Runs once all earlier changes are durable, on the writer's thread, or in the caller if the
/// checkpoint is in memory. It is dropped without being run if the file is closed before that.
pub type Waiter = Box<dyn FnOnce() + Send>;

/// Gets the dead letters that were asked for, and whether there are more of them.
pub type LettersAnswer = Box<dyn FnOnce(Result<(Vec<Letter>, bool), StoreError>) + Send>;

/// A question that only the file can answer. Dropped without an answer, it answers with an error.
pub(crate) struct Question {
    process: ProcessId,
    page: Page,
    answer: Option<LettersAnswer>,
}

impl Question {
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

/// How long an open waits for the last user of the file to have it closed.
const CLOSED_LIMIT: Duration = Duration::from_secs(10);

/// How many entries are read under one lock: some 100 µs.
pub(crate) const SLICE: usize = 256;

/// How many processes a start looks at in a book in memory: more than it adds.
const EXPIRED_BY_START: usize = 4;

/// Files that this OS process has open: a checkpoint outlives the engines that use it.
static OPEN: Mutex<Option<HashMap<PathBuf, Checkpoint>>> = Mutex::new(None);

/// The checkpoint in memory, once one is used. It outlives the engines likewise.
static IN_MEMORY: Mutex<Option<Checkpoint>> = Mutex::new(None);

/// The checkpoint of a node.
#[derive(Clone)]
pub struct Checkpoint {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) state: Mutex<State>,
    pub(crate) wake: Condvar,
}

/// How a checkpoint is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least time between two commits that nothing waits for, if many results are at stake. If
    /// few are, it is twenty times as long.
    pub interval: Duration,
    /// How many dead letters there may be.
    pub letters: LetterLimits,
    /// After how long a stopped process without dead letters is forgotten; `None` for never.
    pub expire_after: Option<Duration>,
}

impl Settings {
    /// Settings with this interval, for at most `letters` dead letters of any size.
    #[must_use]
    pub const fn new(interval: Duration, letters: u64) -> Self {
        let letters =
            LetterLimits { count: letters, bytes: u64::MAX, unwritten_bytes: UNWRITTEN_LETTERS };
        Self { interval, letters, expire_after: None }
    }

    /// Processes that were stopped before this time are to be forgotten now.
    pub(crate) fn expired_before(&self, now: u64) -> Option<u64> {
        let after = self.expire_after?.as_millis();
        Some(now.saturating_sub(u64::try_from(after).unwrap_or(u64::MAX)))
    }

    /// How long the writer collects changes that nothing waits for, while few results are at stake.
    pub(crate) const fn long_interval(&self) -> Duration {
        self.interval.saturating_mul(20)
    }
}

/// The most bytes of dead letters that wait in memory to be written.
pub const UNWRITTEN_LETTERS: u64 = 64 << 20;

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
    expired_to: Option<ProcessId>,
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

/// A registration that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Its acks.
    pub track: Arc<Track>,
    /// A crash of the node would not lose where it begins.
    pub durable: bool,
}

/// Now, in ms since the Unix epoch: the clock of [`Record::at`].
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Checkpoint {
    /// Opens the file at `path`, or makes it. A damaged one is moved aside. The second value says
    /// that this OS process had it open already: its last user did not close it.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be used.
    pub fn open(path: &Path, settings: Settings) -> Result<(Self, bool), OpenError> {
        let path = std::path::absolute(path).map_err(|error| OpenError::Io(error.to_string()))?;
        let mut open = locked(&OPEN);
        let open = open.get_or_insert_default();
        if let Some(known) = open.get(&path) {
            if !known.lock().closing {
                return Ok((known.clone(), true));
            }
            // It accepts changes and writes none of them.
            if !known.close(CLOSED_LIMIT) {
                return Err(OpenError::Io("it is still being closed".into()));
            }
        }
        let (store, book) = writer::open(&path)?;
        let checkpoint = Self::of(book, path.clone(), settings);
        let again = path.clone();
        let writer = Writer::new(checkpoint.clone(), store, Box::new(move || Store::open(&again)));
        let thread = std::thread::Builder::new().name("hb_cron_checkpoint".into());
        thread
            .spawn(move || writer::run(writer))
            .map_err(|error| OpenError::Io(format!("no thread to write it: {error}")))?;
        open.insert(path, checkpoint.clone());
        Ok((checkpoint, false))
    }

    /// The checkpoint of this OS process that keeps its book in memory and writes nothing. It lives
    /// until [`Checkpoint::drop_memory`], whatever becomes of the engines that use it.
    #[must_use]
    pub fn in_memory(settings: Settings) -> Self {
        locked(&IN_MEMORY).get_or_insert_with(|| Self::new_in_memory(settings)).clone()
    }

    /// Such a checkpoint for the caller alone, which ends with its last clone.
    #[must_use]
    pub fn new_in_memory(settings: Settings) -> Self {
        Self::of(Book::in_memory(), PathBuf::new(), settings)
    }

    /// A checkpoint without a thread: the caller gives its writer each turn. `open` opens the storage,
    /// at first and after each error.
    ///
    /// # Errors
    /// [`OpenError`] if the storage cannot be used.
    pub fn by_hand(
        mut open: impl FnMut() -> Result<Store, OpenError> + Send + 'static,
        letters_max: u64,
    ) -> Result<(Self, Writer), OpenError> {
        let store = open()?;
        let book = Book::new(store.load()?);
        let settings = Settings::new(Duration::ZERO, letters_max);
        let checkpoint = Self::of(book, PathBuf::new(), settings);
        let writer = Writer::new(checkpoint.clone(), store, Box::new(open));
        Ok((checkpoint, writer))
    }

    fn of(book: Book, path: PathBuf, settings: Settings) -> Self {
        let state = State {
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
        };
        let (state, wake) = (Mutex::new(state), Condvar::new());
        Self { shared: Arc::new(Shared { path, settings, state, wake }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.shared.state)
    }

    /// What is known of a process.
    #[must_use]
    pub fn find(&self, process: &ProcessId) -> Option<Record> {
        self.lock().book.find(process, now()).cloned()
    }

    /// The processes that are to be resumed, and their options.
    #[must_use]
    pub fn watched(&self) -> Vec<(ProcessId, Arc<[u8]>)> {
        let (mut watched, mut from) = (Vec::new(), None);
        loop {
            let (slice, next) = self.lock().book.watched_from(from.as_ref(), SLICE);
            watched.extend(slice);
            if next.is_none() {
                return watched;
            }
            from = next;
        }
    }

    /// A registration begins; `epoch` is higher than that of any before it. `choose` says where,
    /// given what is known of the process: no other change comes between the two.
    ///
    /// If it is not durable, [`Checkpoint::flush`] says when it is, once the caller can hear of that.
    #[must_use]
    pub fn begin(
        &self,
        process: ProcessId,
        epoch: u64,
        options: impl Into<Arc<[u8]>>,
        choose: impl FnOnce(Option<&Record>) -> Position,
    ) -> Begun {
        let (track, options) = (Arc::new(Track::new(process, epoch)), options.into());
        let durable = self.change(None, |state| {
            let now = now();
            let position = choose(state.book.find(&process, now));
            let unresolved = position == Position::Unresolved;
            let durable = unresolved || state.book.is_durable(&process, &position);
            state.book.begin(&track, Record { position, watched: true, at: now, options });
            let in_memory = state.book.is_in_memory();
            if in_memory {
                self.expire_some(state, now);
            }
            durable || in_memory
        });
        Begun { track, durable }
    }

    /// No writer looks through a book in memory. A start does, for a few processes.
    fn expire_some(&self, state: &mut State, now: u64) {
        let Some(before) = self.shared.settings.expired_before(now) else { return };
        let from = state.expired_to;
        (_, state.expired_to) = state.book.expire_from(from.as_ref(), EXPIRED_BY_START, before);
    }

    /// A registration that had no position has one now.
    pub fn located(&self, track: &Track, position: Position, waiter: Waiter) {
        self.change(Some(waiter), |state| {
            state.book.moved(&track.process, track.epoch, position, now());
        });
    }

    /// All is acked up to the edge with number `seq`, which has this cursor. Durable at the next
    /// commit.
    pub fn acked(&self, track: &Arc<Track>, seq: u64, cursor: Cursor) {
        match track.note(seq, cursor) {
            Noted::Known => {}
            Noted::First => self.change(None, |state| {
                // A book in memory asks the tracks when it needs to know.
                if !state.book.is_in_memory() {
                    state.dirty.push(Arc::clone(track));
                }
            }),
            Noted::AtStake => self.change(None, |state| state.at_stake = true),
        }
    }

    /// A result is given up: its letter and the cursor that passes it become durable together. A
    /// letter of a registration that is not its process's latest only gets a number.
    ///
    /// # Errors
    /// [`Full`] if there is no room for it; then nothing is acked.
    pub fn give_up(&self, track: &Arc<Track>, seq: u64, letter: Letter) -> Result<u64, Full> {
        let letter = Letter { at: now(), ..letter };
        let cursor = Cursor::new(&letter.cursor).ok();
        // Under one lock: no commit can come between the two.
        self.change(None, |state| {
            let limits = self.shared.settings.letters;
            let id = state.book.give_up(track.process, track.epoch, letter, limits)?;
            if let Some(cursor) = cursor {
                track.note(seq, cursor);
                state.book.settle_track(track, now());
            }
            Ok(id)
        })
    }

    /// A registration ends; `watched` says whether it is to be resumed when the node starts next.
    pub fn ended(&self, track: &Arc<Track>, watched: bool, waiter: Option<Waiter>) {
        self.change(waiter, |state| {
            state.book.ended(&track.process, track.epoch, watched, now());
        });
    }

    /// A process is stopped: it is not to be resumed, however its registration ends, unless that is
    /// of an epoch of `fence` or later.
    pub fn stopped(&self, process: &ProcessId, fence: u64) {
        self.change(None, |state| state.book.stopped(process, fence, now()));
    }

    /// Has a process whose registration has ended resumed with these options.
    pub fn set_options(&self, process: &ProcessId, options: impl Into<Arc<[u8]>>) {
        let options = options.into();
        self.change(None, |state| state.book.set_options(process, options));
    }

    /// Forgets a process and its dead letters.
    ///
    /// # Errors
    /// [`Monitored`] if its latest registration has not ended. Then `waiter` is dropped.
    pub fn forget(&self, process: ProcessId, waiter: Waiter) -> Result<(), Monitored> {
        self.change(None, |state| {
            state.freed += state.book.forget(process)?;
            Ok(())
        })?;
        self.flush(waiter);
        Ok(())
    }

    /// Discards a dead letter; false if there is none with this number. Then `waiter` runs all the
    /// same.
    #[must_use]
    pub fn discard(&self, process: ProcessId, id: u64, waiter: Waiter) -> bool {
        self.change(Some(waiter), |state| {
            let bytes = state.book.discard(process, id);
            state.freed += bytes.unwrap_or(0);
            bytes.is_some()
        })
    }

    /// Whether a process has a dead letter with this number.
    #[must_use]
    pub fn has_letter(&self, process: ProcessId, id: u64) -> bool {
        self.lock().book.has_letter(process, id)
    }

    /// Asks for dead letters of a process, the oldest first. The writer answers between two commits.
    pub fn letters(&self, process: ProcessId, page: Page, answer: LettersAnswer) {
        if self.lock().book.is_in_memory() {
            return answer(Ok((Vec::new(), false)));
        }
        let question = Question { process, page, answer: Some(answer) };
        // Dropped outside of the lock if the file is closed: then it answers with an error.
        let unasked = self.change(None, |state| {
            if state.closed {
                return Some(question);
            }
            state.questions.push(question);
            None
        });
        drop(unasked);
    }

    /// How many dead letters a process has.
    #[must_use]
    pub fn letters_of(&self, process: ProcessId) -> u64 {
        self.lock().book.letters_of(process)
    }

    /// Has `waiter` called once all earlier changes are durable.
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

    /// Drops the checkpoint in memory: the next user of one begins with an empty book.
    pub fn drop_memory() {
        *locked(&IN_MEMORY) = None;
    }

    /// Closes all files of this OS process. Says which of them are not durable within `limit` in all,
    /// and why.
    #[must_use]
    pub fn close_all(limit: Duration) -> Vec<(PathBuf, String)> {
        let all: Vec<Self> = locked(&OPEN).iter().flat_map(HashMap::values).cloned().collect();
        for checkpoint in &all {
            checkpoint.change(None, |state| state.closing = true);
        }
        let until = Instant::now() + limit;
        let not_durable = |checkpoint: &Self| {
            let closed = checkpoint.close(until.saturating_duration_since(Instant::now()));
            let status = checkpoint.status();
            let reason = match status.failing {
                Some(reason) => reason,
                None if closed => return None,
                None => format!("a commit has taken {} ms so far", status.writing_for.as_millis()),
            };
            Some((checkpoint.shared.path.clone(), reason))
        };
        all.iter().filter_map(not_durable).collect()
    }

    /// How the writer fares.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.lock();
        Status {
            writing_for: state.writing_since.map_or(Duration::ZERO, |since| since.elapsed()),
            letters: state.book.letter_count(),
            letter_bytes: state.book.letter_bytes(),
            ..state.status.clone()
        }
    }

    /// The writer is woken only if it waits for this change: waking a thread for each ack cost more
    /// than all the rest of an ack.
    fn change<T>(&self, waiter: Option<Waiter>, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let before = state.wakes_for();
        let changed = change(&mut state);
        if state.book.is_in_memory() {
            drop(state);
            if let Some(waiter) = waiter {
                waiter();
            }
            return changed;
        }
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
    pub(crate) fn has_work(&self) -> bool {
        self.is_urgent() || !self.dirty.is_empty() || self.book.has_pending()
    }

    /// What the writer waits for, in turn: something to do, much of it, an end of its interval, the
    /// close.
    fn wakes_for(&self) -> (bool, bool, bool, bool) {
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
