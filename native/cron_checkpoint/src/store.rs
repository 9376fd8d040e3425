//! What a checkpoint needs of its storage: commit a batch as a whole, and read dead letters. The
//! writer decides when to commit and how to handle a failure. `file_store` is the redb file.

use crate::batch::Batch;
use crate::record::Letter;
use cron_engine::ProcessId;
use std::path::Path;

/// The storage of a checkpoint.
pub trait Store: Send {
    /// Commits a batch completely or not at all. `now` is in ms since the Unix epoch.
    ///
    /// The database of a cluster refuses the progress of processes that this host node does not own
    /// any more, or that were started anew or forgotten. It returns these.
    ///
    /// # Errors
    /// [`StoreError`]: it is unknown whether the batch is durable, and the storage must be opened
    /// again. Committing the batch again is right in both cases.
    fn commit(&mut self, batch: &Batch, now: u64) -> Result<Vec<ProcessId>, StoreError>;

    /// Reads dead letters of a process, oldest first, and returns whether there are more.
    ///
    /// # Errors
    /// [`StoreError`]: they cannot be read at present.
    fn letters(
        &self,
        process: &ProcessId,
        range: LetterRange,
    ) -> Result<(Vec<Letter>, bool), StoreError>;

    /// Reads one dead letter. By default the storage has none that a rewrite must copy.
    fn letter(&self, _process: &ProcessId, _id: u64) -> Option<Letter> {
        None
    }

    /// Whether the path still leads to the open storage. Commits to a file that was deleted or
    /// replaced would be lost at the next start of the host node.
    /// Storage that is not a file is always in place.
    fn is_in_place(&self, _path: &Path) -> bool {
        true
    }

    /// Returns the space of deleted values to the file system.
    ///
    /// # Errors
    /// [`StoreError`]: the storage must be opened again.
    /// Storage that is not a file has nothing to do.
    fn compact(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A failed commit or read. The file must be reopened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);

impl StoreError {
    /// An error with this reason.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    pub(crate) fn unanswered() -> Self {
        Self("it cannot be read at present".into())
    }
}

/// Which dead letters of a process to read, and how many at once, so that a read does not delay
/// commits for long.
#[derive(Debug, Clone, Copy)]
pub struct LetterRange {
    /// Letters with greater numbers than this.
    pub after: u64,
    /// At most this many letters.
    pub letters: usize,
    /// No further letters once they add up to this many bytes.
    pub bytes: usize,
}

impl LetterRange {
    /// All letters.
    pub const ALL: Self = Self { after: 0, letters: usize::MAX, bytes: usize::MAX };
}
