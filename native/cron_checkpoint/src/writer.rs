//! The thread that opens, writes and closes a checkpoint's file. It collects changes for an
//! interval and commits them as a group. After a failed commit it keeps the changes, reopens the
//! file and continues.

use crate::batch::Batch;
use crate::book::Book;
use crate::checkpoint::{Checkpoint, SLICE, now};
use crate::commit_metrics::{COMMITS, Commit};
use crate::file_identity::beside;
use crate::file_store::{FileStore, OpenError};
use crate::rewrite::rewrite;
use crate::state::{State, Waiter};
use crate::store::Store;
use cron_engine::ProcessId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How often a file without changes is written, to record how long monitors without results ran.
const HEARTBEAT: Duration = Duration::from_mins(1);

/// How often to check that the path still leads to the open file.
const LOOK: Duration = Duration::from_secs(5);

/// The first pause after a failed commit.
const RETRY: Duration = Duration::from_millis(100);

/// The shortest time between two commits that callers wait for. A hundred thousand monitors that
/// are started one by one, each waiting until its start is durable, would otherwise keep the disk
/// and a core busy with a commit for every few of them.
const GATHER: Duration = Duration::from_millis(5);

/// How often the last commit is tried while the file is closed.
const CLOSING_TRIES: u32 = 3;

/// How many tracks are copied into the book under one lock: about 50 µs.
const FOLDED: usize = 64;

/// Dropped dead letters must have freed this many bytes, and a quarter of the file, before it is
/// compacted.
const COMPACTED: u64 = 16 << 20;

/// Opens a file and reads it. A damaged file is moved aside, logged and replaced by an empty one.
pub(crate) fn open(path: &Path) -> Result<(FileStore, Book), OpenError> {
    match read(path) {
        Err(OpenError::Corrupt(reason)) => {
            let aside = beside(path, "corrupt", now());
            std::fs::rename(path, &aside).map_err(|error| OpenError::Io(error.to_string()))?;
            log::error!(
                "checkpoint {} is damaged ({reason}): moved to {}, starting with an empty one",
                path.display(),
                aside.display()
            );
            read(path)
        }
        other => other,
    }
}

fn read(path: &Path) -> Result<(FileStore, Book), OpenError> {
    let store = FileStore::open(path)?;
    let contents = store.load()?;
    Ok((store, Book::new(contents)))
}

/// Starts the thread of a writer.
pub(crate) fn start(writer: Writer) -> Result<(), OpenError> {
    let thread = std::thread::Builder::new().name("hb_cron_checkpoint".into());
    let started = thread.spawn(move || run(writer));
    started
        .map(drop)
        .map_err(|error| OpenError::Io(format!("cannot start its writer thread: {error}")))
}

/// Runs turns until the checkpoint is closed.
fn run(mut writer: Writer) {
    loop {
        writer.wait();
        match catch_unwind(AssertUnwindSafe(|| writer.turn())) {
            Ok(Turn::Committed) => writer.tidy(),
            Ok(Turn::Failed) => writer.pause(),
            Ok(Turn::Closed) => break,
            Err(_) => writer.recover(),
        }
    }
    writer.close();
}

/// Opens the writer's file, initially and after an error.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Box<dyn Store>, OpenError> + Send>;

/// Writes a checkpoint. Usually a thread runs it; with [`Checkpoint::by_hand`] the caller runs each
/// turn.
pub struct Writer {
    checkpoint: Checkpoint,
    open: Opener,
    store: Option<Box<dyn Store>>,
    /// `None` after a failed commit: redb refuses all use of a file until it is reopened.
    broken: bool,
    /// The changes taken from the book that are not durable, with the number of their latest batch.
    retained: Option<(Batch, u64)>,
    /// The waiters for these changes.
    waiters: Vec<Waiter>,
    /// Failed commits since the last successful one.
    failures: u32,
    /// When the last commit ended.
    rested_since: Instant,
    /// Bytes that dropped dead letters have freed since the file was last compacted.
    freed: u64,
    /// When the last search for expired processes ended.
    expired_at: Option<Instant>,
}

/// The result of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All changes made before the turn are durable.
    Committed,
    /// None of the changes is known to be durable. All are kept for the next turn.
    Failed,
    /// The checkpoint is being closed, and this was the last turn.
    Closed,
}

impl Writer {
    pub(crate) fn new(checkpoint: Checkpoint, store: Box<dyn Store>, open: Opener) -> Self {
        Self {
            checkpoint,
            open,
            store: Some(store),
            broken: false,
            retained: None,
            waiters: Vec::new(),
            failures: 0,
            rested_since: Instant::now(),
            freed: 0,
            expired_at: None,
        }
    }

    /// Takes all changes made so far, commits them as a group and runs their waiters.
    pub fn turn(&mut self) -> Turn {
        let mut state = self.checkpoint.lock();
        // Later tracks wait for the next turn: this one copies only acks noted before it began.
        self.waiters.append(&mut state.waiters);
        let questions = std::mem::take(&mut state.questions);
        let dirty = std::mem::take(&mut state.dirty);
        state.at_stake = false;
        state.changes_taken();
        self.freed += std::mem::take(&mut state.freed);
        let closing = state.closing;
        drop(state);
        for tracks in dirty.chunks(FOLDED) {
            let (now, mut state) = (now(), self.checkpoint.lock());
            for track in tracks {
                state.book.settle_track(track, now);
            }
        }
        drop(dirty);
        let mut state = self.checkpoint.lock();
        let (newer, number) = state.book.take_pending();
        state.changes_taken();
        self.checkpoint.publish_unsaved(&state);
        let started = Instant::now();
        state.writing_since = Some(started);
        if let Some((batch, _)) = &mut self.retained
            && state.book.is_of_cluster()
        {
            state.book.prune(batch);
        }
        drop(state);
        match &mut self.retained {
            Some((batch, latest)) => {
                batch.absorb(newer);
                *latest = number;
            }
            None => self.retained = Some((newer, number)),
        }
        COMMITS.note(&Commit::Begun);
        let refused = match self.commit() {
            Ok(refused) => refused,
            Err(reason) => {
                COMMITS.note(&Commit::Failed(started.elapsed(), &reason));
                self.failed(reason);
                let gives_up = closing && self.failures >= CLOSING_TRIES;
                return if gives_up { Turn::Closed } else { Turn::Failed };
            }
        };
        let took = started.elapsed();
        COMMITS.note(&Commit::Done(took));
        self.committed(took, &refused);
        // A panic of a waiter must not end this thread.
        for waiter in std::mem::take(&mut self.waiters) {
            let _ = catch_unwind(AssertUnwindSafe(waiter));
        }
        if let Some(store) = &self.store {
            for question in questions {
                let _ = catch_unwind(AssertUnwindSafe(|| question.ask(&**store)));
            }
        }
        if closing && !self.checkpoint.lock().is_awaited() { Turn::Closed } else { Turn::Committed }
    }

    fn commit(&mut self) -> Result<Vec<ProcessId>, String> {
        let path = &self.checkpoint.shared.path;
        let Some((batch, _)) = &self.retained else { return Ok(Vec::new()) };
        if self.store.as_ref().is_some_and(|store| !store.is_in_place(path)) {
            let old = self.store.as_deref();
            let rewritten = rewrite(&self.checkpoint, old, batch).map_err(|e| e.to_string())?;
            self.store = Some(Box::new(rewritten));
            self.broken = false;
        }
        if self.broken {
            self.store = None;
        }
        if self.store.is_none() {
            self.store = Some((self.open)().map_err(|error| error.to_string())?);
            self.broken = false;
        }
        let Some(store) = &mut self.store else { return Err("it is closed".into()) };
        let committed = store.commit(batch, now()).map_err(|error| error.to_string());
        self.broken = committed.is_err();
        committed
    }

    fn committed(&mut self, took: Duration, refused: &[ProcessId]) {
        self.rested_since = Instant::now();
        let retained = self.retained.take();
        let mut state = self.checkpoint.lock();
        for process in refused {
            let moved = retained.as_ref().and_then(|(batch, _)| batch.moved.get(process));
            if let Some(moved) = moved {
                state.book.refused(process, moved);
            }
        }
        if let Some((_, number)) = &retained {
            state.book.written(*number);
        }
        state.taken_since = None;
        self.checkpoint.publish_unsaved(&state);
        state.writing_since = None;
        state.status.commits += 1;
        state.status.last_commit = took;
        state.status.failing = None;
        drop(state);
        if self.failures > 0 {
            let name = &self.checkpoint.shared.name;
            log::warn!("{name} can be written again after {} failed commits", self.failures);
            self.failures = 0;
        }
    }

    fn failed(&mut self, reason: String) {
        self.failures += 1;
        if self.failures.is_power_of_two() {
            log::error!("{} cannot be written: {reason}", self.checkpoint.shared.name);
        }
        let mut state = self.checkpoint.lock();
        state.writing_since = None;
        state.status.failing = Some(reason);
    }

    /// Recovers from a turn that panicked, which is a bug: keeps its changes and reopens the file.
    fn recover(&mut self) {
        log::error!("the writer of the checkpoint panicked and was restarted");
        COMMITS.note(&Commit::Failed(Duration::ZERO, "the writer panicked"));
        self.broken = true;
        self.failed("the writer panicked".into());
        self.pause();
    }

    fn close(mut self) {
        // Release the file before callers learn that it is closed.
        self.store = None;
        self.waiters.clear();
        let mut state = self.checkpoint.lock();
        state.closed = true;
        let unanswered = (std::mem::take(&mut state.waiters), std::mem::take(&mut state.questions));
        drop(state);
        drop(unanswered);
        self.checkpoint.shared.wake.notify_all();
    }

    /// Waits for a change, and then until the interval is over or a caller waits for a commit.
    fn wait(&self) {
        let shared = &self.checkpoint.shared;
        let until = |state, limit, idle: fn(&mut State) -> bool| {
            let waited = shared.wake.wait_timeout_while(state, limit, idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let rested = || self.rested_since.elapsed();
        if self.retained.is_some() {
            // It has already paused after the failure.
            return;
        }
        let mut state = self.checkpoint.lock();
        while !state.has_work() && rested() < HEARTBEAT {
            let limit = LOOK.min(HEARTBEAT.saturating_sub(rested()));
            state = until(state, limit, |state| !state.has_work());
            if !state.has_work() {
                drop(state);
                if self.store.as_ref().is_some_and(|store| !store.is_in_place(&shared.path)) {
                    return;
                }
                state = self.checkpoint.lock();
            }
        }
        let (short, long) = (shared.settings.interval, shared.settings.long_interval());
        let since = Instant::now();
        state = until(state, long, |s| s.has_work() && !s.is_urgent() && !s.at_stake);
        let left = short.saturating_sub(since.elapsed());
        state = until(state, left, |s| s.has_work() && !s.is_urgent());
        drop(until(state, GATHER.saturating_sub(rested()), |state| !state.closing));
    }

    /// Runs after a commit: compacts the file if dropped letters have freed enough, and forgets
    /// processes that were stopped long ago.
    fn tidy(&mut self) {
        if self.freed >= COMPACTED {
            self.compact();
        }
        if self.expired_at.is_none_or(|at| at.elapsed() >= HEARTBEAT) {
            self.expired_at = Some(Instant::now());
            self.expire();
        }
    }

    fn compact(&mut self) {
        let path = &self.checkpoint.shared.path;
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        let Some(store) = self.store.as_mut().filter(|_| self.freed.saturating_mul(4) >= length)
        else {
            return;
        };
        self.freed = 0;
        // Compaction may wait for the disk, as a commit does.
        self.checkpoint.lock().writing_since = Some(Instant::now());
        let compacted = store.compact();
        self.checkpoint.lock().writing_since = None;
        if let Err(error) = compacted {
            log::warn!("checkpoint {} cannot be compacted: {error}", path.display());
            self.broken = true;
        }
    }

    fn expire(&self) {
        let Some(before) = self.checkpoint.shared.settings.expired_before(now()) else { return };
        let (mut from, mut expired) = (None, 0);
        loop {
            let (count, next) =
                self.checkpoint.lock().book.expire_from(from.as_ref(), SLICE, before);
            expired += count;
            if next.is_none() {
                break;
            }
            from = next;
        }
        if expired > 0 {
            log::info!("forgot {expired} processes that were stopped long ago");
        }
    }

    /// The pause after failures: longer after each, and cut short when the file is to be closed.
    fn pause(&self) {
        let longest = self.checkpoint.shared.settings.retry_at_most;
        let pause = RETRY.saturating_mul(1 << self.failures.min(10)).min(longest);
        let state = self.checkpoint.lock();
        let wake = &self.checkpoint.shared.wake;
        drop(wake.wait_timeout_while(state, pause, |state| !state.closing));
    }
}
