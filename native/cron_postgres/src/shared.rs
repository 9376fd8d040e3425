//! What the thread of the cluster shares with its callers.

use crate::clock;
use crate::health::Health;
use crate::lease::Lease;
use crate::status::{PeerStatus, Published, Status};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the thread of the cluster shares with its callers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) lease: Arc<Lease>,
    pub(crate) health: Arc<Health>,
    published: Mutex<Published>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let lease = Arc::new(Lease::new());
        Self { lease, health: Arc::new(Health::new()), published: Mutex::default() }
    }

    pub(crate) fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> Status {
        let now = clock::now();
        let (statements, failures) = self.health.counts();
        let published = self.published();
        let since = now.since(published.at);
        let aged = |peer: &PeerStatus| PeerStatus { age: peer.age + since, ..peer.clone() };
        let left = self.lease.until().filter(|until| now < *until).map(|until| until.since(now));
        Status {
            incarnation: published.incarnation,
            peers: published.peers.iter().map(aged).collect(),
            held: published.held,
            moving: published.moving,
            unread: published.unread,
            counters: published.counters,
            leased_for: left,
            connected: self.health.is_connected(),
            last_error: self.health.last_error(),
            statements,
            failures,
            latencies: self.health.latencies(),
            restarts: published.restarts,
            ended: published.ended,
        }
    }
}
