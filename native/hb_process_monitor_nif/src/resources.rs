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
use cron_io::{Client, Lease, Share};
use rustler::Binary;
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
    /// The node list registered last, and its URLs as they were given. Nearly all monitors have the same one.
    nodes: Mutex<Option<Given>>,
}

/// A list of nodes, and its URLs as they were given.
struct Given {
    urls: Vec<Box<[u8]>>,
    nodes: Arc<Nodes>,
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

    /// Reads a list of base URLs, or returns the list registered last, if that has the same URLs: reading one takes
    /// longer than the rest of a registration. `Err` holds the first invalid URL.
    pub(crate) fn nodes<'a>(&self, urls: &[Binary<'a>]) -> Result<Arc<Nodes>, Binary<'a>> {
        let mut last = lock(&self.nodes);
        if let Some(Given { urls: known, nodes }) = &*last
            && known.len() == urls.len()
            && known.iter().zip(urls).all(|(known, url)| **known == **url)
        {
            return Ok(Arc::clone(nodes));
        }
        let nodes = Arc::new(Nodes::new(urls)?);
        let urls = urls.iter().map(|url| url.as_slice().into()).collect();
        *last = Some(Given { urls, nodes: Arc::clone(&nodes) });
        Ok(nodes)
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

    /// Publishes the engine's counters for other threads. `counted` are the shares of pages that they include by now.
    pub(crate) fn publish(&self, counters: Counters, counted: &mut Vec<Share>) {
        let before = std::mem::replace(&mut *lock(&self.counters), counters);
        if before.buffered != counters.buffered || !counted.is_empty() {
            self.fetching.budget.settle(counters.buffered, counted);
        }
        METRICS.absorb(&before, &counters);
    }

    /// The counters published last.
    pub(crate) fn counters(&self) -> Counters {
        *lock(&self.counters)
    }
}
