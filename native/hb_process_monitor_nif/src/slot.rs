//! What the NIF crate knows of one registered monitor, shared by the loop, the fetch threads and
//! the handle that its Erlang process holds. The engine knows none of it.

use crate::atoms;
use crate::pages::Pages;
use crate::parts::Parts;
use crate::shared::{Command, Shared};
use cron_checkpoint::{Checkpoint, Track, Waiter};
use cron_engine::{Cursor, Event, MonitorId, ProcessId};
use cron_io::Limits;
use rustler::{Encoder, Env, LocalPid, Monitor, Resource, Term};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The number of the last ack, and the bytes of its cursor.
type LastAck = Mutex<(u64, Vec<u8>)>;

/// One registration of a monitor.
pub(crate) struct Slot {
    pub(crate) id: MonitorId,
    /// The Erlang process that gets ticks and pages.
    pub(crate) pid: LocalPid,
    pub(crate) process: ProcessId,
    pub(crate) limits: Limits,
    /// Its acks on their way to the checkpoint, where there is one.
    pub(crate) track: Option<Arc<Track>>,
    /// What was fetched and the process has not got yet.
    pub(crate) parts: Parts,
    /// Where there is no checkpoint to know it, in memory that is used again.
    acked: Option<Box<LastAck>>,
    /// What it has got and not acked yet.
    pub(crate) pages: Pages,
    /// Set once nothing more may be sent to the process.
    closed: AtomicBool,
}

impl Slot {
    pub(crate) fn new(
        id: MonitorId,
        pid: LocalPid,
        process: ProcessId,
        limits: Limits,
        track: Option<Arc<Track>>,
    ) -> Self {
        let closed = AtomicBool::new(false);
        let (parts, pages) = (Parts::default(), Pages::default());
        let acked = track.is_none().then(Box::default);
        Self { id, pid, process, limits, track, parts, acked, pages, closed }
    }

    /// Notes an ack where there is no checkpoint to do so.
    pub(crate) fn note(&self, seq: u64, cursor: &[u8]) {
        if let Some(acked) = &self.acked {
            let mut acked = acked.lock().unwrap_or_else(PoisonError::into_inner);
            acked.0 = seq;
            acked.1.clear();
            acked.1.extend_from_slice(cursor);
        }
    }

    /// What was noted so.
    pub(crate) fn acked(&self) -> Option<(u64, Cursor)> {
        let acked = self.acked.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some((acked.0, Cursor::new(&acked.1).ok()?))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Every message to the process but ticks: `{hb_cron, Epoch, What}`.
    pub(crate) fn message<'a>(&self, env: Env<'a>, what: impl Encoder) -> Term<'a> {
        (atoms::hb_cron(), self.id.0, what).encode(env)
    }

    /// Drops what the process has not got or not acked: nothing more comes. It may be much, so this is
    /// nothing for a normal scheduler.
    pub(crate) fn clear(&self) {
        self.parts.clear();
        self.pages.drop_all(&self.process);
    }
}

/// What an Erlang process holds of its registration. It ends with the process, however that ends.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: Arc<Slot>,
}

impl Handle {
    /// Ends the registration; true for the first caller. `watched` says whether the process is
    /// still to be resumed; `waiter` is called once that is durable.
    pub(crate) fn close(&self, watched: bool, waiter: Option<Waiter>) -> bool {
        let first = !self.slot.closed.swap(true, Ordering::AcqRel);
        if first {
            if let Some((checkpoint, track)) = self.checkpoint() {
                checkpoint.ended(track, watched, waiter);
            }
            self.shared.push(Command::Event(Event::Removed(self.slot.id)));
        }
        first
    }

    /// The checkpoint and this registration's place in it, where there is one.
    pub(crate) fn checkpoint(&self) -> Option<(&Checkpoint, &Arc<Track>)> {
        self.shared.checkpoint.as_ref().zip(self.slot.track.as_ref())
    }

    fn owner_gone(&self) {
        if self.close(true, None) {
            log::debug!("monitor of {} ended without a stop", self.slot.process);
        }
    }
}

#[rustler::resource_impl]
impl Resource for Handle {
    fn down<'a>(&'a self, _: Env<'a>, _: LocalPid, _: Monitor) {
        self.owner_gone();
    }
}

/// When a process dies its handle may be freed before `down` is called.
impl Drop for Handle {
    fn drop(&mut self) {
        self.owner_gone();
    }
}
