//! The one thread that opens, writes and closes a checkpoint's file. It collects what there is to
//! write for an interval and commits it as a group; when that fails it keeps everything, opens the
//! file again, and goes on where it was.

use crate::batch::Batch;
use crate::book::Book;
use crate::checkpoint::{Checkpoint, State, Waiter, now};
use crate::meter::{COMMITS, Commit};
use crate::store::{OpenError, Store};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often a file that nothing is written to is touched: from it a monitor that gets no results
/// is known to have run.
const HEARTBEAT: Duration = Duration::from_mins(1);

/// After a failed commit: the first and the longest pause before the next try.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Between the commits that somebody waits for, at least: a hundred thousand monitors that are started one
/// after the other, each waiting for its start to be durable, would keep the disk and a core busy with a
/// commit for every few of them.
const GATHER: Duration = Duration::from_millis(5);

/// Tries at the last commit when the file is being closed.
const CLOSING_TRIES: u32 = 3;

/// Opens a file and reads it. A damaged one is moved aside, said so, and begun anew.
pub(crate) fn open(path: &Path) -> Result<(Store, Book), OpenError> {
    match read(path) {
        Err(OpenError::Corrupt(reason)) => {
            let aside = aside(path);
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

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".corrupt-{}", now()));
    name.into()
}

/// What the thread does until the checkpoint is closed.
pub(crate) fn run(mut writer: Writer) {
    loop {
        writer.wait();
        match catch_unwind(AssertUnwindSafe(|| writer.turn())) {
            Ok(Turn::Committed) => {}
            Ok(Turn::Failed) => writer.pause(),
            Ok(Turn::Closed) => break,
            Err(_) => writer.recover(),
        }
    }
    writer.close();
}

/// How a writer gets its file, the first time and after an error.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Store, OpenError> + Send>;

/// What writes a checkpoint. Usually a thread does that; who wants to decide what happens when
/// takes each turn by hand, with [`Checkpoint::by_hand`].
pub struct Writer {
    checkpoint: Checkpoint,
    open: Opener,
    store: Option<Store>,
    /// What a turn is writing: should the turn panic, it is still to be written.
    in_hand: Option<Arc<Batch>>,
    /// Failed commits since the last good one.
    failures: u32,
    /// When the last commit ended.
    rested_since: Option<Instant>,
}

/// How a turn of a writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All that was said before the turn is durable.
    Committed,
    /// Nothing of it is durable, and all of it is kept for the next turn.
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
            in_hand: None,
            failures: 0,
            rested_since: None,
        }
    }

    /// Takes all that was said so far, commits it as a group, and tells those who wait for that.
    pub fn turn(&mut self) -> Turn {
        let mut state = self.checkpoint.lock();
        state.fold(now());
        let batch = Arc::new(state.book.take_pending());
        self.in_hand = Some(Arc::clone(&batch));
        let waiters = std::mem::take(&mut state.waiters);
        let questions = std::mem::take(&mut state.questions);
        let closing = state.closing;
        drop(state);
        let started = Instant::now();
        COMMITS.note(&Commit::Begun);
        let committed = self.commit(&batch);
        self.in_hand = None;
        if let Err(reason) = committed {
            COMMITS.note(&Commit::Failed(started.elapsed(), &reason));
            self.failed(Arc::unwrap_or_clone(batch), waiters, reason);
            let gives_up = closing && self.failures >= CLOSING_TRIES;
            return if gives_up { Turn::Closed } else { Turn::Failed };
        }
        let took = started.elapsed();
        self.rested_since = Some(Instant::now());
        COMMITS.note(&Commit::Done(took));
        self.committed(&batch, took);
        // What others want done must not end this thread.
        for waiter in waiters {
            let _ = catch_unwind(AssertUnwindSafe(waiter));
        }
        if let Some(store) = &self.store {
            for question in questions {
                let _ = catch_unwind(AssertUnwindSafe(|| question(store)));
            }
        }
        if closing && !self.checkpoint.lock().is_awaited() { Turn::Closed } else { Turn::Committed }
    }

    fn committed(&mut self, batch: &Batch, took: Duration) {
        let mut state = self.checkpoint.lock();
        state.book.written(batch);
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

    fn failed(&mut self, batch: Batch, waiters: Vec<Waiter>, reason: String) {
        self.failures += 1;
        if self.failures.is_power_of_two() {
            let path = self.checkpoint.shared.path.display();
            log::error!("checkpoint {path} cannot be written: {reason}");
        }
        let mut state = self.checkpoint.lock();
        state.book.restore(batch);
        state.waiters.splice(0..0, waiters);
        state.status.failing = Some(reason);
    }

    /// A turn panicked, which none should: what it held is kept, and the file opened again.
    fn recover(&mut self) {
        log::error!("the checkpoint's writer panicked; it goes on");
        COMMITS.note(&Commit::Failed(Duration::ZERO, "the writer panicked"));
        self.store = None;
        if let Some(batch) = self.in_hand.take() {
            self.checkpoint.lock().book.restore(Arc::unwrap_or_clone(batch));
        }
        self.failures += 1;
        self.pause();
    }

    fn close(mut self) {
        // The file is free before anybody hears that it is closed.
        self.store = None;
        let mut state = self.checkpoint.lock();
        state.closed = true;
        state.questions.clear();
        drop(state);
        self.checkpoint.shared.wake.notify_all();
    }

    /// Waits until there is something to write, and then until the interval is over or somebody
    /// waits for it to be durable.
    fn wait(&self) {
        let shared = &self.checkpoint.shared;
        let until = |state, limit, idle: fn(&mut State) -> bool| {
            let waited = shared.wake.wait_timeout_while(state, limit, idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let state = until(self.checkpoint.lock(), HEARTBEAT, |state| !state.has_work());
        let state = until(state, shared.interval, |state| !state.is_urgent() && state.has_work());
        let rested = self.rested_since.map_or(GATHER, |since| since.elapsed());
        drop(until(state, GATHER.saturating_sub(rested), |state| !state.closing));
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), String> {
        if self.store.is_none() {
            // After an error of the system redb refuses everything until it is opened again.
            self.store = Some((self.open)().map_err(|error| error.to_string())?);
        }
        let Some(store) = &self.store else { return Err("it is closed".into()) };
        let committed = store.commit(batch, now()).map_err(|error| error.to_string());
        if committed.is_err() {
            self.store = None;
        }
        committed
    }

    /// Longer after each failure, and no longer than it takes until somebody closes the file.
    fn pause(&self) {
        let (first, longest) = RETRY;
        let pause = first.saturating_mul(1 << self.failures.min(10)).min(longest);
        let state = self.checkpoint.lock();
        let wake = &self.checkpoint.shared.wake;
        drop(wake.wait_timeout_while(state, pause, |state| !state.closing));
    }
}
