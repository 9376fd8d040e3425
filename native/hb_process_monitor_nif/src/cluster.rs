//! The cluster that this host node is part of. Like an open checkpoint it outlives the engines: this OS process is in
//! one cluster at most, until the application leaves it. [`owner`] follows which shards this host node owns,
//! [`store`] commits to the database, [`requests`] are what Erlang asks of it, [`transfer`] moves processes between it
//! and a file, and [`totals`] counts.

mod owner;
pub(crate) mod requests;
mod store;
pub(crate) mod totals;
pub(crate) mod transfer;

use crate::options::ClusterOptions;
use crate::terms::millis;
use cron_checkpoint::{Checkpoint, Settings};
use cron_postgres::{Cluster, ClusterUrl, Lease};
use owner::{Listener, ShardOwner};
use rustler::LocalPid;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use store::ClusterStore;

/// The shortest and the longest time between two commits without a waiter. Pushing stops once an ack has not been
/// saved for [`cron_cluster::UNSAVED_LIMIT`].
const COMMIT_AFTER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];

/// The longest pause after failed commits.
const RETRY_AT_MOST: Duration = Duration::from_secs(1);

/// The cluster of this OS process.
static CURRENT: Mutex<Option<Arc<Membership>>> = Mutex::new(None);

fn current() -> MutexGuard<'static, Option<Arc<Membership>>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This host node's part in a cluster.
pub(crate) struct Membership {
    pub(crate) cluster: Cluster,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) name: String,
    pub(crate) ttl: Duration,
    lease: Arc<Lease>,
    listener: Arc<Listener>,
}

impl Membership {
    /// Joins the cluster, or returns the membership of this OS process. Does not wait for the database.
    ///
    /// # Errors
    /// A text that says what to correct.
    pub(crate) fn join(
        options: &ClusterOptions<'_>,
        settings: Settings,
    ) -> Result<Arc<Self>, String> {
        let mut current = current();
        if let Some(known) = current.as_ref() {
            return Ok(Arc::clone(known));
        }
        let text = |bytes| String::from_utf8(bytes).map_err(|_| "it is not text".to_owned());
        let url = text(options.url.to_vec())?;
        let url: ClusterUrl =
            url.parse().map_err(|error: cron_postgres::UrlError| error.to_string())?;
        let name = text(options.name.to_vec())?;
        let [interval, at_most] = COMMIT_AFTER;
        let settings = Settings {
            interval: settings.interval.min(interval),
            at_most,
            retry_at_most: RETRY_AT_MOST,
            // The database forgets them.
            expire_after: None,
            ..settings
        };
        let connected: Arc<OnceLock<Cluster>> = Arc::default();
        let store = ClusterStore::new(Arc::clone(&connected));
        let checkpoint = Checkpoint::of_cluster(move || Box::new(store.clone()), settings)
            .map_err(|error| error.to_string())?;
        let listener: Arc<Listener> = Arc::default();
        let owner = ShardOwner::new(checkpoint.clone(), Arc::clone(&listener));
        let ttl = Duration::from_millis(options.ttl.into());
        let settings = cron_postgres::Settings { url, name: name.clone(), ttl };
        let cluster =
            Cluster::start(settings, Arc::new(owner)).map_err(|error| error.to_string())?;
        let lease = cluster.lease();
        let _ = connected.set(cluster.clone());
        totals::begin(cluster.clone());
        let membership = Arc::new(Self { cluster, checkpoint, name, ttl, lease, listener });
        *current = Some(Arc::clone(&membership));
        Ok(membership)
    }

    /// Whether a push may begin on this host node.
    pub(crate) fn may_push(&self) -> bool {
        self.lease.allows(self.checkpoint.unsaved_for())
    }

    /// For how long the database has not confirmed this host node: since the last good renewal began. `None`: this host
    /// node has not joined.
    pub(crate) fn unconfirmed_for(&self) -> Option<Duration> {
        let (now, until) = (cron_postgres::now(), self.lease.until()?);
        // A lease lasts for 0.9 of the TTL.
        let lease = self.ttl * 9 / 10;
        Some((lease + now.since(until)).saturating_sub(until.since(now)))
    }

    /// `pid` gets the events of the owned shards from now on, and first all of them.
    pub(crate) fn attach(&self, pid: LocalPid) {
        self.listener.set(pid);
        self.cluster.read_again();
    }

    /// Ends the membership of this OS process, if there is one: what is not committed within `limit` is left to the
    /// other host nodes. Returns why something may not be committed.
    pub(crate) fn end(limit: Duration) -> Option<String> {
        let membership = current().take()?;
        let closed = membership.checkpoint.close(limit);
        let status = membership.checkpoint.status();
        membership.cluster.halt();
        totals::end();
        match status.failing {
            Some(reason) => Some(reason),
            None if closed => None,
            None => Some(format!("a commit has taken {} ms so far", millis(status.writing_for))),
        }
    }
}
