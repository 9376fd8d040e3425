//! One registration of a monitor, as the loop, the fetch threads and the monitor's handle share it. The
//! engine has an entry of its own under the same number.

use crate::atoms;
use crate::in_hand::InHand;
use crate::terms::millis;
use cron_checkpoint::{Track, now};
use cron_engine::{MonitorId, ProcessId};
use cron_io::Limits;
use rustler::{Encoder, Env, LocalPid, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One registration of a monitor.
pub(crate) struct Registration {
    pub(crate) id: MonitorId,
    /// The Erlang process that gets ticks and pages.
    pub(crate) pid: LocalPid,
    pub(crate) process: ProcessId,
    pub(crate) limits: Limits,
    /// Its acks on their way to the checkpoint.
    pub(crate) track: Arc<Track>,
    /// How far ahead of the clock a result may be dated.
    max_ahead: Option<Duration>,
    pub(crate) in_hand: InHand,
    /// The registration has ended: only `durable` may still be sent to the process.
    closed: AtomicBool,
}

impl Registration {
    pub(crate) fn new(
        id: MonitorId,
        pid: LocalPid,
        process: ProcessId,
        limits: Limits,
        track: Arc<Track>,
        max_ahead: Option<Duration>,
    ) -> Self {
        let closed = AtomicBool::new(false);
        let in_hand = InHand::default();
        Self { id, pid, process, limits, track, max_ahead, in_hand, closed }
    }

    /// The latest time that a result may have now, in ms since 1970.
    pub(crate) fn horizon(&self) -> u64 {
        self.max_ahead.map_or(u64::MAX, |ahead| now().saturating_add(millis(ahead)))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Marks the registration as ended; true for the first caller.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// A message to the process: `{hb_cron, Epoch, Content}`.
    pub(crate) fn message<'a>(&self, env: Env<'a>, content: impl Encoder) -> Term<'a> {
        (atoms::hb_cron(), self.id.0, content).encode(env)
    }

    /// Drops what the process has in hand. That can be megabytes: not for a normal scheduler.
    pub(crate) fn clear(&self) {
        self.in_hand.clear(&self.process);
    }
}
