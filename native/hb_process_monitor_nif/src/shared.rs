//! What one engine's loop, threads and handles share: the queue of commands to the loop, the flags
//! that end it, and its share of the pool that fetches. It outlives the loop's owner, and says so when asked.

use crate::fetcher::{self, POOL};
use crate::inspect::Inquiry;
use crate::metrics::METRICS;
use crate::nodes::Nodes;
use crate::outbox::OUTBOX;
use crate::slot::Slot;
use cron_checkpoint::Checkpoint;
use cron_engine::{Config, Counters, Event, MonitorId, Registration, Time};
use cron_io::{Client, Lease, Room};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the loop is told.
pub(crate) enum Command {
    /// A monitor begins.
    Register { slot: Arc<Slot>, nodes: Arc<Nodes>, registration: Registration },
    /// It asks other nodes from now on.
    Moved { id: MonitorId, nodes: Arc<Nodes> },
    /// Something happened to one.
    Event(Event),
    /// Somebody asks how monitors fare. Whoever asked may have given up waiting.
    Inspect(Inquiry),
}

/// What the loop has not taken yet.
#[derive(Default)]
struct Inbox {
    commands: Vec<Command>,
    /// The loop waits and nobody has woken it yet. Waking costs a system call, whether or not
    /// anybody waits.
    asleep: bool,
}

/// The shared part of an engine.
pub(crate) struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    stopped: AtomicBool,
    interrupted: AtomicBool,
    /// The loop's process has messages: its slice is to end, but not at once.
    mail: AtomicBool,
    started: Instant,
    counters: Mutex<Counters>,
    /// The node list registered last. Nearly all monitors have the same one.
    nodes: Mutex<Option<Arc<Nodes>>>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) client: Client,
    pub(crate) room: Room,
    pub(crate) pool: Lease<fetcher::Job>,
}

/// A lock whose holder panicked guards nothing that could be half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(config: &Config, client: Client, checkpoint: Checkpoint) -> Self {
        METRICS.engine_started();
        Self {
            inbox: Mutex::default(),
            wake: Condvar::new(),
            stopped: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            mail: AtomicBool::new(false),
            started: Instant::now(),
            counters: Mutex::default(),
            nodes: Mutex::default(),
            checkpoint,
            client,
            room: Room::new(config.max_buffered),
            pool: POOL.lease(config.max_inflight),
        }
    }

    /// Now, on the engine's clock.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// How long it is until `time`.
    pub(crate) fn until(&self, time: Time) -> Duration {
        time.since(self.now())
    }

    /// Gives `nodes` the memory of an equal list, where the last one registered is equal.
    pub(crate) fn intern(&self, nodes: Nodes) -> Arc<Nodes> {
        let mut last = lock(&self.nodes);
        match last.as_ref().filter(|last| ***last == nodes) {
            Some(same) => Arc::clone(same),
            None => Arc::clone(last.insert(Arc::new(nodes))),
        }
    }

    /// Tells the loop something. After a stop nobody listens, and nothing piles up.
    pub(crate) fn push(&self, command: Command) {
        if self.is_stopped() {
            return;
        }
        let mut inbox = lock(&self.inbox);
        inbox.commands.push(command);
        let asleep = std::mem::take(&mut inbox.asleep);
        drop(inbox);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Swaps what the loop was told into `commands`, which must be empty.
    pub(crate) fn take(&self, commands: &mut Vec<Command>) {
        std::mem::swap(&mut lock(&self.inbox).commands, commands);
    }

    /// Waits until there is something to do, at most for `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        let mut inbox = lock(&self.inbox);
        inbox.asleep = true;
        let idle = |inbox: &mut Inbox| {
            inbox.commands.is_empty()
                && !self.is_stopped()
                && !self.interrupted.load(Ordering::Acquire)
        };
        let woken = self.wake.wait_timeout_while(inbox, limit, idle);
        let (mut inbox, _) = woken.unwrap_or_else(PoisonError::into_inner);
        inbox.asleep = false;
    }

    /// Makes the loop return from its slice soon.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        drop(lock(&self.inbox));
        self.wake.notify_one();
    }

    /// Has the loop's slice end within [`MAIL_LIMIT`](crate::runner::MAIL_LIMIT). It wakes nothing.
    pub(crate) fn mail(&self) {
        self.mail.store(true, Ordering::Release);
    }

    /// Whether the loop's process has messages; no more after that.
    pub(crate) fn take_mail(&self) -> bool {
        self.mail.swap(false, Ordering::AcqRel)
    }

    /// Whether somebody asked the loop to return; asks no more after that.
    pub(crate) fn take_interrupt(&self) -> bool {
        self.interrupted.swap(false, Ordering::AcqRel)
    }

    /// Ends the engine: the loop ends, no further fetch begins, and those under way fail.
    pub(crate) fn stop(&self) {
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        lock(&self.inbox).commands = Vec::new();
        self.wake.notify_all();
        self.pool.cancel(|job| std::ptr::eq(Arc::as_ptr(&job.shared), self));
        // So that their threads are free for the next engine.
        OUTBOX.close(self.client.clone());
    }

    /// To be called periodically: asks again for threads that the system refused.
    pub(crate) fn retry_threads(&self) {
        self.pool.retry();
        OUTBOX.retry();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn publish(&self, counters: Counters) {
        let before = std::mem::replace(&mut *lock(&self.counters), counters);
        METRICS.absorb(&before, &counters);
    }

    pub(crate) fn counters(&self) -> Counters {
        *lock(&self.counters)
    }
}
