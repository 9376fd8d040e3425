//! The checkpoint of a host node in a cluster: it has the processes of the shards that this host node
//! owns, and commits to the database of the cluster. The host node's other calls, such as those
//! that start or forget a process, change the database directly; then the processes are read
//! again.

use crate::book::Book;
use crate::checkpoint::Checkpoint;
use crate::file_store::OpenError;
use crate::progress::OwnedProcess;
use crate::settings::Settings;
use crate::store::Store;
use crate::writer::{self, Writer};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What log records call it.
const NAME: &str = "the database of the cluster";

impl Checkpoint {
    /// A checkpoint that commits to the database of a cluster, with a thread of its own. `open` makes
    /// the connection to it, initially and after each failed commit.
    ///
    /// # Errors
    /// [`OpenError::Io`] if the system refuses the thread.
    pub fn of_cluster(
        open: impl FnMut() -> Box<dyn Store> + Send + 'static,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let (checkpoint, writer) = Self::of_cluster_by_hand(open, settings);
        writer::start(writer)?;
        Ok(checkpoint)
    }

    /// The same without a thread: the caller runs each turn of its writer.
    #[must_use]
    pub fn of_cluster_by_hand(
        mut open: impl FnMut() -> Box<dyn Store> + Send + 'static,
        settings: Settings,
    ) -> (Self, Writer) {
        let book = Book::of_cluster();
        let checkpoint = Self::named(NAME.to_owned(), book, PathBuf::new(), settings);
        let store = open();
        let writer = Writer::new(checkpoint.clone(), store, Box::new(move || Ok(open())));
        (checkpoint, writer)
    }

    /// The processes of a shard that this host node owns since this epoch of the shard. To be called
    /// when it gets the shard, and whenever its processes were read again. Registrations of
    /// processes that were started anew or forgotten are lost.
    pub fn owned(&self, shard: u16, epoch: i64, processes: Vec<OwnedProcess>) {
        self.lock().book.owned(shard, epoch, processes);
    }

    /// This host node lost the shard that it owned since this epoch. Changes that are not committed
    /// are dropped, and the registrations of its processes are lost.
    pub fn lost(&self, shard: u16, epoch: i64) {
        self.lock().book.shard_lost(shard, epoch);
    }

    /// The owned shards, with their epochs.
    #[must_use]
    pub fn shards(&self) -> Vec<(u16, i64)> {
        self.lock().book.shards()
    }

    /// For how long the oldest change has not been committed. Takes no lock.
    #[must_use]
    pub fn unsaved_for(&self) -> Duration {
        match self.shared.unsaved.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.micros(Instant::now()).saturating_sub(since)),
        }
    }
}
