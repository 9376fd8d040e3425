//! The real checkpoint, on the simulated disk or in memory. Every change also updates the process's
//! [`Expected`](crate::expected::Expected), and waiters must run neither too early nor too late.

use crate::calls::Wanted;
use crate::disk::Disk;
use crate::expected::Known;
use crate::monitor::{Monitor, Pid, Process, cursor};
use cron_checkpoint::{Checkpoint, FileStore, Settings, Turn, Waiter, Writer};
use cron_engine::{MonitorId, Position};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A registration, and the number of the engine that waits until its start is durable.
pub(crate) type Start = (u64, MonitorId);

/// The checkpoint of a node.
pub(crate) struct Kept {
    checkpoint: Checkpoint,
    /// The writer; `None` for a checkpoint in memory.
    writer: Option<Writer>,
    /// Starts that became durable, reported by their waiters.
    saved: Arc<Mutex<Vec<Start>>>,
    /// The numbers of given waiters, of those that ran, and of those that were given before the
    /// last commit.
    asked: u64,
    told: Arc<AtomicU64>,
    told_at_commit: u64,
}

impl Kept {
    pub(crate) fn open(disk: Option<&Disk>) -> Self {
        let (checkpoint, writer) = match disk.cloned() {
            Some(disk) => {
                let open = move || FileStore::with_backend(disk.clone());
                let opened = Checkpoint::by_hand(open, 10).expect("what was synced is whole");
                (opened.0, Some(opened.1))
            }
            None => (Checkpoint::new_in_memory(Settings::new(Duration::ZERO, 10)), None),
        };
        let (saved, told) = (Arc::default(), Arc::default());
        Self { checkpoint, writer, saved, asked: 0, told, told_at_commit: 0 }
    }

    /// The record of a process.
    pub(crate) fn known(&self, process: &Process) -> Known {
        Known::of(self.checkpoint.find(&process.id).as_ref())
    }

    /// Begins a registration. Returns whether its start is durable.
    pub(crate) fn begin(
        &self,
        monitor: (Pid, usize),
        id: MonitorId,
        process: &mut Process,
        wanted: &Wanted,
    ) -> (Monitor, bool) {
        let mut position = Position::Unresolved;
        let begun = self.checkpoint.begin(process.id, id.0, &[][..], |stored| {
            process.expected.check(Known::of(stored));
            position = wanted.choose(stored.map(|record| &record.position));
            position.clone()
        });
        process.expected.begun(id.0, &position);
        (Monitor::new(monitor, id, begun.track, position), begun.durable)
    }

    /// An engine has resolved the start of a registration.
    pub(crate) fn located(&mut self, monitor: &Monitor, position: Position) {
        let waiter = self.waiter(Some((monitor.engine, monitor.id)));
        self.checkpoint.located(&monitor.track, position, waiter);
        self.check_told();
    }

    /// Requests a report when all changes so far are durable.
    pub(crate) fn flush(&mut self, start: Start) {
        let waiter = self.waiter(Some(start));
        self.checkpoint.flush(waiter);
        self.check_told();
    }

    /// A monitor has pushed the result `number`. Results that a successor's registration has taken
    /// over are the successor's.
    pub(crate) fn pushed(&self, monitor: &Monitor, seq: u64, number: u64, process: &mut Process) {
        let epoch = monitor.id.0;
        if self.writer.is_some() && process.expected.is_live(epoch) {
            let safe = process.expected.is_safe_from(number - 1);
            assert!(safe, "it pushes from what a crash would lose");
        }
        process.expected.moved(epoch, number);
        self.checkpoint.acked(&monitor.track, seq, cursor(number));
    }

    /// Ends a registration. If the process is not resumed later, it waits until that is durable.
    pub(crate) fn ended(&mut self, monitor: &Monitor, process: &mut Process, watched: bool) {
        let waiter = (!watched).then(|| self.waiter(None));
        self.checkpoint.ended(&monitor.track, watched, waiter);
        process.expected.ended(monitor.id.0, watched);
        self.check_told();
    }

    /// Stops a process.
    pub(crate) fn stopped(&self, process: &mut Process, fence: u64) {
        self.checkpoint.stopped(&process.id, fence);
        process.expected.stopped(fence);
    }

    /// Forgets a process. Returns false if it is monitored.
    pub(crate) fn forget(&mut self, process: &mut Process) -> bool {
        let waiter = self.waiter(None);
        let forgotten = self.checkpoint.forget(process.id, waiter).is_ok();
        // A refusal drops the waiter.
        self.asked -= u64::from(!forgotten);
        process.expected.forgotten(forgotten);
        self.check_told();
        forgotten
    }

    /// Runs a turn of the writer. Returns true if all changes are durable.
    pub(crate) fn write(&mut self, processes: &mut [Process]) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        let committed = writer.turn() == Turn::Committed;
        if committed {
            self.told_at_commit = self.asked;
            for process in processes {
                process.expected.committed();
            }
        }
        self.check_told();
        committed
    }

    /// The starts that became durable since the last call.
    pub(crate) fn saved(&self) -> Vec<Start> {
        std::mem::take(&mut *self.saved.lock().expect("one thread"))
    }

    fn waiter(&mut self, start: Option<Start>) -> Waiter {
        self.asked += 1;
        let (told, saved) = (Arc::clone(&self.told), Arc::clone(&self.saved));
        Box::new(move || {
            told.fetch_add(1, Ordering::Relaxed);
            saved.lock().expect("one thread").extend(start);
        })
    }

    /// In memory everything counts as durable; on disk it is durable after a commit, and not
    /// before.
    fn check_told(&self) {
        let durable = if self.writer.is_some() { self.told_at_commit } else { self.asked };
        assert_eq!(
            self.told.load(Ordering::Relaxed),
            durable,
            "a waiter is called once it is durable"
        );
    }
}
