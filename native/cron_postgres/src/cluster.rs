//! The handle of a cluster, and the thread behind it.

use crate::asked::Asked;
use crate::connector::Connector;
use crate::cursors::Acked;
use crate::driver::{Command, Driver};
use crate::lanes::{Commit, CommitError, Committed, Depot};
use crate::lease::Lease;
use crate::owner::Owner;
use crate::request::{Answer, Request, RequestError};
use crate::shared::Shared;
use crate::status::Status;
use crate::tls::{CertificatesError, Tls};
use crate::url::ClusterUrl;
use cron_cluster::{Event, Stake};
use std::fmt;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

/// The least and the greatest TTL.
const TTLS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);
/// The longest name of a node, in bytes.
const MAX_NAME: usize = 200;
/// After a panic the thread goes on after this time.
const REST: Duration = Duration::from_secs(1);

/// The settings of a node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database.
    pub url: ClusterUrl,
    /// A name of this node, for people.
    pub name: String,
    /// A node whose beat has not changed for this time is dead. All nodes must have the same.
    pub ttl: Duration,
}

/// Why a cluster cannot be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The TTL.
    #[error("the TTL of a cluster must be from 1 s to 10 min: the same on all nodes, usually 6 s")]
    Ttl,
    /// The name.
    #[error("the name of a node must have 1 to 200 bytes, without control characters")]
    Name,
    /// The file of certificates.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The system refuses a thread.
    #[error("the system refuses a thread for the cluster: {0}: see ulimit -u")]
    Thread(std::io::Error),
}

/// A node of a cluster. It is cheap to clone. When the last clone is dropped, the thread ends as
/// after [`Cluster::halt`].
#[derive(Clone)]
pub struct Cluster {
    commands: UnboundedSender<Command>,
    shared: Arc<Shared>,
    waiting: Arc<AtomicUsize>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts the thread of a node, which joins as soon as the database answers.
    ///
    /// # Errors
    /// [`StartError`]: what must be corrected first. What is wrong with the database is in
    /// [`Cluster::status`] and logged once, and tried again.
    pub fn start(settings: Settings, owner: Arc<dyn Owner>) -> Result<Self, StartError> {
        let Settings { url, name, ttl } = settings;
        if !TTLS.contains(&ttl) {
            return Err(StartError::Ttl);
        }
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            return Err(StartError::Name);
        }
        let tls = Tls::new(&url)?;
        let connector = Arc::new(Connector::new(&url, tls, &name, ttl));
        let shared = Arc::new(Shared::new());
        let (commands, receiver) = unbounded_channel();
        let of_thread = Arc::clone(&shared);
        let thread = move || run(&connector, &of_thread, &Arc::from(name), ttl, &owner, receiver);
        let builder = thread::Builder::new().name("hb_cron_cluster".into());
        builder.spawn(thread).map_err(StartError::Thread)?;
        Ok(Self { commands, shared, waiting: Arc::default() })
    }

    /// All monitors of a shard have ended, and their last acks are committed. The answer to
    /// [`Owner::stop`].
    pub fn stopped(&self, stake: Stake) {
        self.command(Command::Event(Event::Stopped(stake)));
    }

    /// Has the processes of all held shards read again, for an owner that has lost its memory.
    pub fn read_again(&self) {
        self.command(Command::ReadAgain);
    }

    /// Leaves: all shards are handed over, then [`Owner::left`] is called. While the database does not
    /// answer, this does not end; then [`Cluster::halt`] does.
    pub fn leave(&self) {
        self.command(Command::Event(Event::Leave));
    }

    /// Ends the thread without leaving: the other nodes take over after the TTL. Pushes are not allowed
    /// from now on. A call of the owner that has begun may still end.
    pub fn halt(&self) {
        self.shared.lease.halt();
        self.command(Command::Halt);
    }

    /// Whether pushes may begin. It stays the same as long as the cluster.
    #[must_use]
    pub fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.shared.lease)
    }

    /// Saves cursors and dead letters. Blocks until that is done, for at most about a TTL for each
    /// thousand dead letters or 8 MiB. The protocol learns by itself which shards or processes are
    /// not this node's any more.
    ///
    /// # Errors
    /// [`CommitError`]: a part may be saved.
    pub fn commit(&self, acked: Vec<Acked>) -> Committed {
        if acked.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, committed) = sync_channel(1);
        self.command(Command::Commit(Commit { acked, reply }));
        committed.recv().unwrap_or(Err(CommitError::Interrupted))
    }

    /// Sends a request. `reply` is called once, on the thread of the cluster or on this one, and must
    /// not block.
    pub fn request(
        &self,
        request: Request,
        reply: impl FnOnce(Result<Answer, RequestError>) + Send + 'static,
    ) {
        // If the thread has ended, it is dropped, which answers it.
        if let Some(asked) = Asked::new(request, Box::new(reply), &self.waiting) {
            self.command(Command::Request(asked));
        }
    }

    /// The state of this node, without a statement.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    fn command(&self, command: Command) {
        drop(self.commands.send(command));
    }
}

/// The thread of a node. After a panic it begins anew, as another incarnation.
fn run(
    connector: &Arc<Connector>,
    shared: &Arc<Shared>,
    name: &Arc<str>,
    ttl: Duration,
    owner: &Arc<dyn Owner>,
    mut commands: UnboundedReceiver<Command>,
) {
    loop {
        let (inputs, receiver) = unbounded_channel();
        let depot = Depot {
            connector: Arc::clone(connector),
            shared: Arc::clone(shared),
            name: Arc::clone(name),
            ttl,
            inputs,
        };
        let mut driver = Driver::new(depot, receiver, Arc::clone(owner));
        let ended = catch_unwind(AssertUnwindSafe(|| drive(&mut driver, &mut commands)));
        let lost = driver.abandon();
        match ended {
            Ok(Ok(false)) => break,
            Ok(Err(error)) => {
                log::error!("cluster: cannot create its event loop: {error}; check ulimit -n");
            }
            Ok(Ok(true)) | Err(_) => {
                log::error!(
                    "cluster: its thread panicked (internal error), this host node joins again"
                );
                // A second panic must not end the thread.
                let told = catch_unwind(AssertUnwindSafe(|| owner.lost(&lost)));
                drop(told);
            }
        }
        shared.published().restarts += 1;
        thread::sleep(REST);
    }
    let mut published = shared.published();
    (published.incarnation, published.ended) = (None, true);
    (published.held, published.moving, published.unread) = (0, 0, 0);
}

/// Returns whether a lane has ended by a panic.
fn drive(driver: &mut Driver, commands: &mut UnboundedReceiver<Command>) -> std::io::Result<bool> {
    // The blocking thread resolves names of hosts.
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().max_blocking_threads(2).thread_name("hb_cron_cluster");
    let runtime = builder.build()?;
    let lanes = LocalSet::new();
    let is_broken = lanes.block_on(&runtime, driver.run(commands));
    drop(lanes);
    // A name that is being resolved would delay the end.
    runtime.shutdown_background();
    Ok(is_broken)
}
