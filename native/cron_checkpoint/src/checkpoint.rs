//! The checkpoint as the rest of the node sees it: every call takes a lock for a moment and
//! returns. What has to wait until a change is durable is passed along as a [`Waiter`].

use crate::book::{Book, Full, Monitored};
use crate::record::{Letter, Record};
use crate::settings::Settings;
use crate::state::{LettersAnswer, Question, State, Status, Waiter};
use crate::store::Page;
use crate::track::{Noted, Track};
use cron_engine::{Cursor, Position, ProcessId};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many entries are read under one lock: some 100 µs.
pub(crate) const SLICE: usize = 256;

/// How many processes a start looks at in a book in memory: more than it adds.
const EXPIRED_BY_START: usize = 4;

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

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Checkpoint {
    pub(crate) fn of(book: Book, path: PathBuf, settings: Settings) -> Self {
        let (state, wake) = (Mutex::new(State::new(book)), Condvar::new());
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
        self.lock().book.letters().contains(&(process, id))
    }

    /// Asks for dead letters of a process, the oldest first. The writer answers between two commits.
    pub fn letters(&self, process: ProcessId, page: Page, answer: LettersAnswer) {
        if self.lock().book.is_in_memory() {
            return answer(Ok((Vec::new(), false)));
        }
        let question = Question::new(process, page, answer);
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
        self.lock().book.letters().count_of(process)
    }

    /// Has `waiter` called once all earlier changes are durable.
    pub fn flush(&self, waiter: Waiter) {
        self.change(Some(waiter), |_| ());
    }

    /// Makes everything durable, closes the file and waits for that, at most for `limit`. True if
    /// it is closed.
    #[must_use]
    pub fn close(&self, limit: Duration) -> bool {
        self.begin_close();
        let wait = self.shared.wake.wait_timeout_while(self.lock(), limit, |state| !state.closed);
        wait.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Has the writer close the file.
    pub(crate) fn begin_close(&self) {
        self.change(None, |state| state.closing = true);
    }

    /// How the writer fares.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.lock();
        Status {
            writing_for: state.writing_since.map_or(Duration::ZERO, |since| since.elapsed()),
            letters: state.book.letters().count(),
            letter_bytes: state.book.letters().bytes(),
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
