//! The checkpoints that are open in this OS process. They outlive the engines that use them.

use crate::book::Book;
use crate::checkpoint::{Checkpoint, locked};
use crate::file_store::{FileStore, OpenError};
use crate::settings::Settings;
use crate::store::Store;
use crate::writer::{self, Writer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long opening waits for a previous user to finish closing the file.
const CLOSED_LIMIT: Duration = Duration::from_secs(10);

/// The files open in this OS process, by path.
static OPEN: Mutex<Option<HashMap<PathBuf, Checkpoint>>> = Mutex::new(None);

/// The checkpoint in memory, if one is in use. It also outlives the engines.
static IN_MEMORY: Mutex<Option<Checkpoint>> = Mutex::new(None);

impl Checkpoint {
    /// Opens or creates the file at `path`. A damaged file is moved aside. The second value is true
    /// if this OS process had the file open: the previous user did not close it.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be used.
    pub fn open(path: &Path, settings: Settings) -> Result<(Self, bool), OpenError> {
        let path = std::path::absolute(path).map_err(|error| OpenError::Io(error.to_string()))?;
        let mut open = locked(&OPEN);
        let open = open.get_or_insert_default();
        if let Some(known) = open.get(&path) {
            if !known.lock().closing {
                return Ok((known.clone(), true));
            }
            // A closing checkpoint accepts changes and never writes them.
            if !known.close(CLOSED_LIMIT) {
                return Err(OpenError::Io("a previous user is still closing it".into()));
            }
        }
        let (store, book) = writer::open(&path)?;
        let checkpoint = Self::of(book, path.clone(), settings);
        let again = path.clone();
        let writer = Writer::new(
            checkpoint.clone(),
            boxed(store),
            Box::new(move || FileStore::open(&again).map(boxed)),
        );
        writer::start(writer)?;
        open.insert(path, checkpoint.clone());
        Ok((checkpoint, false))
    }

    /// The shared checkpoint in memory, which writes nothing. It lives until
    /// [`Checkpoint::drop_memory`], independent of the engines that use it.
    #[must_use]
    pub fn in_memory(settings: Settings) -> Self {
        locked(&IN_MEMORY).get_or_insert_with(|| Self::new_in_memory(settings)).clone()
    }

    /// A separate checkpoint in memory, which writes nothing. It lives as long as its clones.
    #[must_use]
    pub fn new_in_memory(settings: Settings) -> Self {
        Self::of(Book::in_memory(), PathBuf::new(), settings)
    }

    /// A checkpoint without a thread: the caller runs each turn of its writer. `open` opens the
    /// storage, initially and after each error.
    ///
    /// # Errors
    /// [`OpenError`] if the storage cannot be used.
    pub fn by_hand(
        mut open: impl FnMut() -> Result<FileStore, OpenError> + Send + 'static,
        letters_max: u64,
    ) -> Result<(Self, Writer), OpenError> {
        let store = open()?;
        let book = Book::new(store.load()?);
        let settings = Settings::new(Duration::ZERO, letters_max);
        let checkpoint = Self::of(book, PathBuf::new(), settings);
        let open = Box::new(move || open().map(boxed));
        let writer = Writer::new(checkpoint.clone(), boxed(store), open);
        Ok((checkpoint, writer))
    }

    /// Drops the shared checkpoint in memory. The next use begins with an empty book.
    pub fn drop_memory() {
        *locked(&IN_MEMORY) = None;
    }

    /// Closes all files of this OS process within `limit`. Returns the files whose changes are not
    /// durable by then, with the reasons.
    #[must_use]
    pub fn close_all(limit: Duration) -> Vec<(PathBuf, String)> {
        let all: Vec<Self> = locked(&OPEN).iter().flat_map(HashMap::values).cloned().collect();
        for checkpoint in &all {
            checkpoint.begin_close();
        }
        let until = Instant::now() + limit;
        let not_durable = |checkpoint: &Self| {
            let closed = checkpoint.close(until.saturating_duration_since(Instant::now()));
            let status = checkpoint.status();
            let reason = match status.failing {
                Some(reason) => reason,
                None if closed => return None,
                None => format!("a commit has taken {} ms so far", status.writing_for.as_millis()),
            };
            Some((checkpoint.shared.path.clone(), reason))
        };
        all.iter().filter_map(not_durable).collect()
    }
}

fn boxed(store: FileStore) -> Box<dyn Store> {
    Box::new(store)
}
