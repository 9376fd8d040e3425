//! The interface of the checkpoint. A call takes a lock for a moment and returns. To learn when a
//! change is durable, pass a [`Waiter`].

use crate::book::{Book, Full, Monitored};
use crate::record::{Letter, Record};
use crate::settings::Settings;
use crate::state::{LettersAnswer, Question, State, Status, Waiter};
use crate::store::LetterRange;
use crate::track::{Noted, Track};
use cron_engine::{Cursor, Position, ProcessId};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many entries one lock covers: about 100 µs.
pub(crate) const SLICE: usize = 256;

/// How many processes each start examines for expiry in memory. It exceeds the one it adds, so the
/// book stays bounded.
const EXPIRED_BY_START: usize = 4;

/// The checkpoint of a host node.
#[derive(Clone)]
pub struct Checkpoint {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    /// What log records call it.
    pub(crate) name: String,
    /// When it was opened, and how many µs later the oldest change was made that is not committed; 0
    /// for none. A lock for each push would cost too much.
    pub(crate) opened: Instant,
    pub(crate) unsaved: AtomicU64,
    pub(crate) settings: Settings,
    pub(crate) state: Mutex<State>,
    pub(crate) wake: Condvar,
}

/// The result of [`Checkpoint::begin`].
#[derive(Debug)]
pub struct Begun {
    /// The acks of the new registration.
    pub track: Arc<Track>,
    /// A crash of the host node would not lose the start position.
    pub durable: bool,
}

/// Milliseconds since the Unix epoch, as in [`Record::at`].
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
        let name = format!("checkpoint {}", path.display());
        Self::named(name, book, path, settings)
    }

    pub(crate) fn named(name: String, book: Book, path: PathBuf, settings: Settings) -> Self {
        let (state, wake) = (Mutex::new(State::new(book)), Condvar::new());
        let (opened, unsaved) = (Instant::now(), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { path, name, opened, unsaved, settings, state, wake }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.shared.state)
    }

    /// The record of a process.
    #[must_use]
    pub fn find(&self, process: &ProcessId) -> Option<Record> {
        self.lock().book.find(process, now()).cloned()
    }

    /// The processes to resume, and their options.
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

    /// Begins a registration. `epoch` exceeds that of every earlier one. `choose` returns the start
    /// position for the process's record; the lock is held, so no other change comes in between.
    ///
    /// If the start is not durable, [`Checkpoint::flush`] reports when it is. In a cluster the
    /// registration is lost at once if this host node does not own the process.
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
            let record = Record { position, watched: true, at: now, options };
            if !state.book.begin(&track, record) && state.book.is_of_cluster() {
                track.lose();
            }
            let in_memory = state.book.is_in_memory();
            if in_memory {
                self.expire_some(state, now);
            }
            durable || in_memory
        });
        Begun { track, durable }
    }

    /// Forgets expired processes of a book in memory, which has no writer to do it. Each start
    /// examines a few.
    fn expire_some(&self, state: &mut State, now: u64) {
        let Some(before) = self.shared.settings.expired_before(now) else { return };
        let from = state.expired_to;
        (_, state.expired_to) = state.book.expire_from(from.as_ref(), EXPIRED_BY_START, before);
    }

    /// Sets the position of a registration that began without one.
    pub fn located(&self, track: &Track, position: Position, waiter: Waiter) {
        self.change(Some(waiter), |state| {
            state.book.moved(&track.process, track.epoch, position, now());
        });
    }

    /// Acknowledges all edges up to number `seq`, whose cursor this is. The next commit makes it
    /// durable.
    pub fn acked(&self, track: &Arc<Track>, seq: u64, cursor: Cursor) {
        match track.note(seq, cursor) {
            Noted::Known => {}
            Noted::First => self.change(None, |state| {
                // A book in memory reads the tracks only when it needs them.
                if !state.book.is_in_memory() {
                    state.dirty.push(Arc::clone(track));
                }
            }),
            Noted::AtStake => self.change(None, |state| state.at_stake = true),
        }
    }

    /// Gives up a result. Its letter and the cursor that passes it become durable together. The
    /// letter of an outdated registration gets a number but is not kept.
    ///
    /// # Errors
    /// [`Full`] if there is no room for the letter. Then nothing is acked.
    pub fn give_up(&self, track: &Arc<Track>, seq: u64, letter: Letter) -> Result<u64, Full> {
        let letter = Letter { at: now(), ..letter };
        let cursor = Cursor::new(&letter.cursor).ok();
        // One lock for both, so that no commit comes in between.
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

    /// Ends a registration. `watched` says whether the next start of the host node resumes the
    /// process.
    pub fn ended(&self, track: &Arc<Track>, watched: bool, waiter: Option<Waiter>) {
        self.change(waiter, |state| {
            state.book.ended(&track.process, track.epoch, watched, now());
        });
    }

    /// Stops a process: it is not resumed, unless its latest registration has epoch `fence` or
    /// later.
    pub fn stopped(&self, process: &ProcessId, fence: u64) {
        self.change(None, |state| state.book.stopped(process, fence, now()));
    }

    /// Marks a process without a live registration for resumption with these options.
    pub fn set_options(&self, process: &ProcessId, options: impl Into<Arc<[u8]>>) {
        let options = options.into();
        self.change(None, |state| state.book.set_options(process, options));
    }

    /// Replaces the options of the registration with this epoch. Returns false if it has ended or
    /// is not the latest.
    #[must_use]
    pub fn set_live_options(
        &self,
        process: &ProcessId,
        epoch: u64,
        options: impl Into<Arc<[u8]>>,
    ) -> bool {
        let options = options.into();
        self.change(None, |state| state.book.set_live_options(process, epoch, options))
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

    /// Discards a dead letter. Returns false if it does not exist; `waiter` runs in either case.
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

    /// Requests dead letters of a process, oldest first. The writer answers between two commits.
    pub fn letters(&self, process: ProcessId, range: LetterRange, answer: LettersAnswer) {
        if self.lock().book.is_in_memory() {
            return answer(Ok((Vec::new(), false)));
        }
        let question = Question::new(process, range, answer);
        // If the file is closed, the reply is dropped here, outside the lock, and so answers with
        // an error.
        let unasked = self.change(None, |state| {
            if state.closed {
                return Some(question);
            }
            state.questions.push(question);
            None
        });
        drop(unasked);
    }

    /// The number of dead letters of a process.
    #[must_use]
    pub fn letters_of(&self, process: ProcessId) -> u64 {
        self.lock().book.letters().count_of(process)
    }

    /// Calls `waiter` once all earlier changes are durable.
    pub fn flush(&self, waiter: Waiter) {
        self.change(Some(waiter), |_| ());
    }

    /// Commits everything, closes the file, and waits for that for at most `limit`. Returns true if
    /// the file is closed.
    #[must_use]
    pub fn close(&self, limit: Duration) -> bool {
        self.begin_close();
        let wait = self.shared.wake.wait_timeout_while(self.lock(), limit, |state| !state.closed);
        wait.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Starts closing the file.
    pub(crate) fn begin_close(&self) {
        self.change(None, |state| state.closing = true);
    }

    /// The state of the writer.
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

    /// Wakes the writer only if it waits for this change. Waking a thread for each ack would cost
    /// more than the rest of the ack.
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
        state.note_changes();
        self.publish_unsaved(&state);
        let wakes = state.wakes_for() != before;
        drop(state);
        if wakes {
            self.shared.wake.notify_all();
        }
        changed
    }

    /// Publishes for [`Checkpoint::unsaved_for`] when the oldest change was made that is not committed.
    pub(crate) fn publish_unsaved(&self, state: &State) {
        if state.book.is_of_cluster() {
            let since = state.unsaved_since().map_or(0, |since| self.micros(since));
            self.shared.unsaved.store(since, Ordering::Release);
        }
    }

    pub(crate) fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.shared.opened).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    }
}
