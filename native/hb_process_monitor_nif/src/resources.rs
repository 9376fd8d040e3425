//! What one engine's loop and handles share beside the inbox: the checkpoint, the means to fetch, and the
//! last counters. It outlives the loop.

use crate::cluster::Membership;
use crate::fetcher::{self, Fetching, POOL};
use crate::inbox::Inbox;
use crate::metrics::METRICS;
use crate::nodes::Nodes;
use crate::outbox::OUTBOX;
use cron_checkpoint::Checkpoint;
use cron_engine::{Config, Counters};
use cron_io::{Client, Lease};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The resources of an engine.
pub(crate) struct Resources {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) fetching: Arc<Fetching>,
    pub(crate) pool: Lease<fetcher::Job>,
    pub(crate) checkpoint: Checkpoint,
    /// `None` outside a cluster.
    pub(crate) membership: Option<Arc<Membership>>,
    counters: Mutex<Counters>,
    /// The node list registered last. Nearly all monitors have the same one.
    nodes: Mutex<Option<Arc<Nodes>>>,
}

/// A panic leaves nothing half written behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Resources {
    pub(crate) fn new(
        config: &Config,
        client: Client,
        checkpoint: Checkpoint,
        membership: Option<Arc<Membership>>,
    ) -> Self {
        let inbox = Arc::new(Inbox::default());
        Self {
            fetching: Arc::new(Fetching::new(Arc::clone(&inbox), client, config.max_buffered)),
            inbox,
            pool: POOL.lease(config.max_inflight),
            checkpoint,
            membership,
            counters: Mutex::default(),
            nodes: Mutex::default(),
        }
    }

    /// Gives `nodes` the memory of an equal list, if the one registered last is equal.
    pub(crate) fn intern(&self, nodes: Nodes) -> Arc<Nodes> {
        let mut last = lock(&self.nodes);
        match last.as_ref().filter(|last| ***last == nodes) {
            Some(same) => Arc::clone(same),
            None => Arc::clone(last.insert(Arc::new(nodes))),
        }
    }

    /// Whether a push may begin on this host node.
    pub(crate) fn may_push(&self) -> bool {
        self.membership.as_ref().is_none_or(|membership| membership.may_push())
    }

    /// Ends the engine: the loop ends, no further fetch begins, and those under way fail.
    pub(crate) fn stop(&self) {
        if !self.inbox.stop() {
            return;
        }
        self.pool.cancel(|job| Arc::ptr_eq(&job.fetching, &self.fetching));
        // So that their threads are free for the next engine.
        OUTBOX.close(self.fetching.client.clone());
    }

    /// To be called periodically: asks again for threads that the system refused.
    pub(crate) fn retry_threads(&self) {
        self.pool.retry();
        OUTBOX.retry();
    }

    /// Publishes the engine's counters for other threads.
    pub(crate) fn publish(&self, counters: Counters) {
        self.fetching.buffered.store(counters.buffered, Ordering::Relaxed);
        let before = std::mem::replace(&mut *lock(&self.counters), counters);
        METRICS.absorb(&before, &counters);
    }

    /// The counters published last.
    pub(crate) fn counters(&self) -> Counters {
        *lock(&self.counters)
    }
}
