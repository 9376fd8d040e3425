//! The one thread that opens, writes and closes a checkpoint's file. It collects changes for an
//! interval and commits them as a group. If a commit fails it keeps everything, opens the file
//! again, and goes on.

use crate::batch::Batch;
use crate::book::Book;
use crate::checkpoint::{Checkpoint, SLICE, now};
use crate::commit_metrics::{COMMITS, Commit};
use crate::file_identity::beside;
use crate::rewrite::rewrite;
use crate::state::{State, Waiter};
use crate::store::{OpenError, Store};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How often a file without changes is touched: it says until when the monitors without results ran.
const HEARTBEAT: Duration = Duration::from_mins(1);

/// How often it is looked whether the path still leads to the file.
const LOOK: Duration = Duration::from_secs(5);

/// After a failed commit: the first and the longest pause before the next try.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The least time between two commits that callers wait for. A hundred thousand monitors that are
/// started one after the other, each waiting for its start to be durable, would keep the disk and a
/// core busy with a commit for every few of them.
const GATHER: Duration = Duration::from_millis(5);

/// Tries at the last commit when the file is being closed.
const CLOSING_TRIES: u32 = 3;

/// How many tracks are folded into the book under one lock: some 50 µs.
const FOLDED: usize = 64;

/// The file is compacted once dropped dead letters have freed so many bytes, and a quarter of it.
const COMPACTED: u64 = 16 << 20;

/// Opens a file and reads it. A damaged one is moved aside, which is logged, and begun anew.
pub(crate) fn open(path: &Path) -> Result<(Store, Book), OpenError> {
    match read(path) {
        Err(OpenError::Corrupt(reason)) => {
            let aside = beside(path, "corrupt", now());
            std::fs::rename(path, &aside).map_err(|error| OpenError::Io(error.to_string()))?;
            log::error!(
                "checkpoint {} is damaged ({reason}): moved to {}, begun anew",
                path.display(),
                aside.display()
            );
            read(path)
        }
        other => other,
    }
}

fn read(path: &Path) -> Result<(Store, Book), OpenError> {
    let store = Store::open(path)?;
    let contents = store.load()?;
    Ok((store, Book::new(contents)))
}

/// What the thread does until the checkpoint is closed.
pub(crate) fn run(mut writer: Writer) {
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

/// How a writer gets its file, the first time and after an error.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Store, OpenError> + Send>;

/// What writes a checkpoint. Usually a thread runs it. A caller that decides when each turn happens
/// gets it from [`Checkpoint::by_hand`].
pub struct Writer {
    checkpoint: Checkpoint,
    open: Opener,
    store: Option<Store>,
    /// A commit to `store` failed: redb refuses everything until the file is opened again.
    broken: bool,
    /// What is taken from the book and not durable, with the number of the latest batch in it.
    retained: Option<(Batch, u64)>,
    /// Those that wait for it.
    waiters: Vec<Waiter>,
    /// Failed commits since the last good one.
    failures: u32,
    /// When the last commit ended.
    rested_since: Instant,
    /// The bytes that dropped dead letters have freed since the file was last compacted.
    freed: u64,
    /// When stopped processes were last looked through.
    expired_at: Option<Instant>,
}

/// How a turn of a writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All changes made before the turn are durable.
    Committed,
    /// None of them is durable, and all are kept for the next turn.
    Failed,
    /// The checkpoint is being closed, and this was the last turn.
    Closed,
}

impl Writer {
    pub(crate) fn new(checkpoint: Checkpoint, store: Store, open: Opener) -> Self {
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

    /// Takes all changes made so far, commits them as a group, and runs the waiters for that.
    pub fn turn(&mut self) -> Turn {
        let mut state = self.checkpoint.lock();
        // Those that come later wait for the next turn: only the acks noted so far are folded in it.
        self.waiters.append(&mut state.waiters);
        let questions = std::mem::take(&mut state.questions);
        let dirty = std::mem::take(&mut state.dirty);
        state.at_stake = false;
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
        let started = Instant::now();
        state.writing_since = Some(started);
        drop(state);
        match &mut self.retained {
            Some((batch, latest)) => {
                batch.absorb(newer);
                *latest = number;
            }
            None => self.retained = Some((newer, number)),
        }
        COMMITS.note(&Commit::Begun);
        if let Err(reason) = self.commit() {
            COMMITS.note(&Commit::Failed(started.elapsed(), &reason));
            self.failed(reason);
            let gives_up = closing && self.failures >= CLOSING_TRIES;
            return if gives_up { Turn::Closed } else { Turn::Failed };
        }
        let took = started.elapsed();
        COMMITS.note(&Commit::Done(took));
        self.committed(took);
        // A waiter's own fault must not end this thread.
        for waiter in std::mem::take(&mut self.waiters) {
            let _ = catch_unwind(AssertUnwindSafe(waiter));
        }
        if let Some(store) = &self.store {
            for question in questions {
                let _ = catch_unwind(AssertUnwindSafe(|| question.ask(store)));
            }
        }
        if closing && !self.checkpoint.lock().is_awaited() { Turn::Closed } else { Turn::Committed }
    }

    fn commit(&mut self) -> Result<(), String> {
        let path = &self.checkpoint.shared.path;
        let Some((batch, _)) = &self.retained else { return Ok(()) };
        if self.store.as_ref().is_some_and(|store| !store.is_in_place(path)) {
            let old = self.store.as_ref();
            let rewritten = rewrite(&self.checkpoint, old, batch).map_err(|e| e.to_string())?;
            self.store = Some(rewritten);
            self.broken = false;
        }
        if self.broken {
            self.store = None;
        }
        if self.store.is_none() {
            self.store = Some((self.open)().map_err(|error| error.to_string())?);
            self.broken = false;
        }
        let Some(store) = &self.store else { return Err("it is closed".into()) };
        let committed = store.commit(batch, now()).map_err(|error| error.to_string());
        self.broken = committed.is_err();
        committed
    }

    fn committed(&mut self, took: Duration) {
        self.rested_since = Instant::now();
        let retained = self.retained.take();
        let mut state = self.checkpoint.lock();
        if let Some((_, number)) = &retained {
            state.book.written(*number);
        }
        state.writing_since = None;
        state.status.commits += 1;
        state.status.last_commit = took;
        state.status.failing = None;
        drop(state);
        if self.failures > 0 {
            let path = self.checkpoint.shared.path.display();
            log::warn!("checkpoint {path} is written again after {} failures", self.failures);
            self.failures = 0;
        }
    }

    fn failed(&mut self, reason: String) {
        self.failures += 1;
        if self.failures.is_power_of_two() {
            let path = self.checkpoint.shared.path.display();
            log::error!("checkpoint {path} cannot be written: {reason}");
        }
        let mut state = self.checkpoint.lock();
        state.writing_since = None;
        state.status.failing = Some(reason);
    }

    /// A turn panicked, which none should: what it took is kept, and the file opened again.
    fn recover(&mut self) {
        log::error!("the checkpoint's writer panicked; it goes on");
        COMMITS.note(&Commit::Failed(Duration::ZERO, "the writer panicked"));
        self.broken = true;
        self.failed("the checkpoint's writer panicked".into());
        self.pause();
    }

    fn close(mut self) {
        // The file is free before a caller hears that it is closed.
        self.store = None;
        self.waiters.clear();
        let mut state = self.checkpoint.lock();
        state.closed = true;
        let unanswered = (std::mem::take(&mut state.waiters), std::mem::take(&mut state.questions));
        drop(state);
        drop(unanswered);
        self.checkpoint.shared.wake.notify_all();
    }

    /// Waits until there is something to write, and then until the interval is over or a caller waits
    /// for it to be durable.
    fn wait(&self) {
        let shared = &self.checkpoint.shared;
        let until = |state, limit, idle: fn(&mut State) -> bool| {
            let waited = shared.wake.wait_timeout_while(state, limit, idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let rested = || self.rested_since.elapsed();
        if self.retained.is_some() {
            // It has paused after the failure already.
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

    /// After a commit: has the file give back what dropped letters have freed, and forgets processes
    /// that were stopped long ago.
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
        // It waits for the disk as a commit does.
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
            log::info!("{expired} processes that were stopped long ago are forgotten");
        }
    }

    /// Longer after each failure, and no longer than until the file is to be closed.
    fn pause(&self) {
        let (first, longest) = RETRY;
        let pause = first.saturating_mul(1 << self.failures.min(10)).min(longest);
        let state = self.checkpoint.lock();
        let wake = &self.checkpoint.shared.wake;
        drop(wake.wait_timeout_while(state, pause, |state| !state.closing));
    }
}
