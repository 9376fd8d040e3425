//! What the NIF crate knows of one registered monitor, shared by the loop, the fetch threads and
//! the handle that its Erlang process holds. The engine knows none of it.

use crate::atoms;
use crate::inspect::millis;
use crate::pages::Pages;
use crate::parts::Parts;
use crate::shared::{Command, Shared};
use cron_checkpoint::{Track, Waiter, now};
use cron_engine::{Event, MonitorId, ProcessId};
use cron_io::Limits;
use rustler::{Encoder, Env, LocalPid, Monitor, Resource, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One registration of a monitor.
pub(crate) struct Slot {
    pub(crate) id: MonitorId,
    /// The Erlang process that gets ticks and pages.
    pub(crate) pid: LocalPid,
    pub(crate) process: ProcessId,
    pub(crate) limits: Limits,
    /// Its acks on their way to the checkpoint.
    pub(crate) track: Arc<Track>,
    /// How far ahead of the clock a result may be dated.
    max_ahead: Option<Duration>,
    /// What was fetched and the process has not got yet.
    pub(crate) parts: Parts,
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
        track: Arc<Track>,
        max_ahead: Option<Duration>,
    ) -> Self {
        let closed = AtomicBool::new(false);
        let (parts, pages) = (Parts::default(), Pages::default());
        Self { id, pid, process, limits, track, max_ahead, parts, pages, closed }
    }

    /// The latest time that a result may have now, in ms since 1970.
    pub(crate) fn horizon(&self) -> u64 {
        self.max_ahead.map_or(u64::MAX, |ahead| now().saturating_add(millis(ahead)))
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
            self.shared.checkpoint.ended(&self.slot.track, watched, waiter);
            self.shared.push(Command::Event(Event::Removed(self.slot.id)));
        }
        first
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
