//! The redb file: opens it and classifies the errors, reads all of it, commits batches.

use crate::batch::Batch;
use crate::file_identity::FileIdentity;
use crate::record::{Letter, Record};
use crate::store::{LetterRange, Store, StoreError};
use cron_engine::ProcessId;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
    TableDefinition,
};
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("monitors");
/// Key `written`: the time of the last commit. The file's monitors ran until then.
const TIMES: TableDefinition<&str, u64> = TableDefinition::new("times");
/// Key `last_letter`: the last number given to a letter, which may have been discarded.
const COUNTS: TableDefinition<&str, u64> = TableDefinition::new("counts");
const LETTERS: TableDefinition<(&[u8], u64), &[u8]> = TableDefinition::new("dead_letters");

/// redb's page cache. A checkpoint is small and is only read when it is opened.
const CACHE_BYTES: usize = 4 << 20;

/// Why a checkpoint file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another node has it open.
    #[error("another node has it open: give each host node its own cron_checkpoint")]
    Locked,
    /// An older redb wrote it.
    #[error("it has the old file format {0}: move it aside, or upgrade it with the tool of redb")]
    OldFormat(u8),
    /// It is damaged, or not a checkpoint. It should be moved aside.
    #[error("it is damaged or not a checkpoint: {0}")]
    Corrupt(String),
    /// A permission, a missing directory, a full disk, or another error of the system.
    #[error("{0}")]
    Io(String),
}

/// The contents of a file, without those of the dead letters.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) records: HashMap<ProcessId, Record>,
    /// The keys of dead letters, with their sizes in bytes.
    pub(crate) letters: BTreeMap<(ProcessId, u64), u64>,
    /// The last number given to a letter.
    pub(crate) last_letter: u64,
    /// When the file was last written, in ms since the Unix epoch.
    pub(crate) written: u64,
}

/// An open file.
#[derive(Debug)]
pub struct FileStore {
    /// `None` only during drop, in which redb may panic on a damaged file.
    database: Option<Database>,
    /// `None` if the storage is not a file.
    file: Option<FileIdentity>,
}

impl FileStore {
    /// Opens or creates the file at `path`.
    ///
    /// # Errors
    /// [`OpenError`] classifies the failure.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        FileIdentity::make_private(path).map_err(|error| OpenError::Io(error.to_string()))?;
        let mut store = Self::guarded(|| builder().create(path))?;
        store.file = FileIdentity::of(path);
        Ok(store)
    }

    /// Its file was moved to `path`.
    pub(crate) fn placed(&mut self, path: &Path) {
        self.file = FileIdentity::of(path);
    }

    /// Opens or creates a checkpoint in `backend`, which need not be a file.
    ///
    /// # Errors
    /// [`OpenError`] as for a file.
    pub fn with_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        Self::guarded(|| builder().create_with_backend(backend))
    }

    fn guarded(open: impl FnOnce() -> Result<Database, DatabaseError>) -> Result<Self, OpenError> {
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(database)) => Ok(Self { database: Some(database), file: None }),
            Ok(Err(error)) => Err(classify(error)),
            Err(_) => Err(OpenError::Corrupt("redb panicked while opening it".into())),
        }
    }

    /// Reads the records of all processes, in their order.
    ///
    /// # Errors
    /// [`OpenError`] classifies the failure.
    pub fn records(&self) -> Result<Vec<(ProcessId, Record)>, OpenError> {
        let mut records: Vec<_> = self.load()?.records.into_iter().collect();
        records.sort_unstable_by_key(|(process, _)| *process);
        Ok(records)
    }

    /// Reads everything.
    pub(crate) fn load(&self) -> Result<Contents, OpenError> {
        let read = self.run(|database| {
            let mut contents = Contents::default();
            let transaction = database.begin_read()?;
            if let Some(table) = existing(transaction.open_table(RECORDS))? {
                for entry in table.iter()? {
                    let (key, value) = entry?;
                    let process = ProcessId::new(key.value());
                    let pair = process.zip(Record::decode(value.value()));
                    let (process, record) =
                        pair.ok_or_else(|| redb::Error::Corrupted("invalid record".into()))?;
                    contents.records.insert(process, record);
                }
            }
            if let Some(table) = existing(transaction.open_table(LETTERS))? {
                for entry in table.iter()? {
                    let (key, value) = entry?;
                    let (process, id) = key.value();
                    let bytes = u64::try_from(value.value().len()).unwrap_or(u64::MAX);
                    let process = ProcessId::new(process);
                    contents.letters.extend(process.map(|process| ((process, id), bytes)));
                }
            }
            if let Some(table) = existing(transaction.open_table(TIMES))? {
                contents.written = table.get("written")?.map_or(0, |at| at.value());
            }
            if let Some(table) = existing(transaction.open_table(COUNTS))? {
                contents.last_letter = table.get("last_letter")?.map_or(0, |id| id.value());
            }
            Ok(contents)
        });
        read.map_err(|error| match error {
            // A disk that cannot be read at present is no reason to move the file aside.
            redb::Error::Io(error) => classify(StorageError::Io(error).into()),
            redb::Error::PreviousIo => OpenError::Io(error.to_string()),
            other => OpenError::Corrupt(other.to_string()),
        })
    }

    /// Turns every failure of redb on a damaged file, panics included, into an error.
    fn run<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed) };
        catch_unwind(AssertUnwindSafe(|| work(database)))
            .unwrap_or_else(|_| Err(redb::Error::Corrupted("redb panicked".into())))
    }
}

impl Store for FileStore {
    fn commit(&mut self, batch: &Batch, now: u64) -> Result<Vec<ProcessId>, StoreError> {
        self.run(|database| {
            let transaction = database.begin_write()?;
            {
                let mut records = transaction.open_table(RECORDS)?;
                for (process, record) in &batch.records {
                    let key = process.as_str().as_bytes();
                    match record {
                        Some(record) => drop(records.insert(key, record.encode().as_slice())?),
                        None => drop(records.remove(key)?),
                    }
                }
                let mut letters = transaction.open_table(LETTERS)?;
                for process in &batch.forgotten {
                    let key = process.as_str().as_bytes();
                    letters.retain_in((key, 0)..=(key, u64::MAX), |_, _| false)?;
                }
                for ((process, id), letter) in &batch.letters {
                    let key = (process.as_str().as_bytes(), *id);
                    match letter {
                        Some(letter) => drop(letters.insert(key, letter.encode().as_slice())?),
                        None => drop(letters.remove(key)?),
                    }
                }
                if batch.last_letter > 0 {
                    transaction.open_table(COUNTS)?.insert("last_letter", batch.last_letter)?;
                }
                transaction.open_table(TIMES)?.insert("written", now)?;
            }
            transaction.commit()?;
            Ok(Vec::new())
        })
        .map_err(|error| StoreError::new(error.to_string()))
    }

    fn letters(
        &self,
        process: &ProcessId,
        range: LetterRange,
    ) -> Result<(Vec<Letter>, bool), StoreError> {
        self.run(|database| {
            let transaction = database.begin_read()?;
            let (mut letters, mut bytes) = (Vec::new(), 0);
            let Some(table) = existing(transaction.open_table(LETTERS))? else {
                return Ok((letters, false));
            };
            let key = process.as_str().as_bytes();
            for entry in table.range((key, range.after.saturating_add(1))..=(key, u64::MAX))? {
                if letters.len() >= range.letters || bytes >= range.bytes {
                    return Ok((letters, true));
                }
                let (key, value) = entry?;
                bytes += value.value().len();
                letters.extend(Letter::decode(key.value().1, value.value()));
            }
            Ok((letters, false))
        })
        .map_err(|error| StoreError::new(error.to_string()))
    }

    fn letter(&self, process: &ProcessId, id: u64) -> Option<Letter> {
        let read = self.run(|database| {
            let transaction = database.begin_read()?;
            let Some(table) = existing(transaction.open_table(LETTERS))? else { return Ok(None) };
            let value = table.get((process.as_str().as_bytes(), id))?;
            Ok(value.and_then(|value| Letter::decode(id, value.value())))
        });
        read.ok().flatten()
    }

    fn is_in_place(&self, path: &Path) -> bool {
        self.file.is_none() || self.file == FileIdentity::of(path)
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        let Some(database) = &mut self.database else { return Ok(()) };
        let compacted = catch_unwind(AssertUnwindSafe(|| database.compact()));
        match compacted {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(StoreError::new(error.to_string())),
            Err(_) => Err(StoreError::new("redb panicked while compacting it")),
        }
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        let database = self.database.take();
        // A panic in a drop during another panic would abort the OS process.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }
}

/// Verifies the checksums of all pages when a file is opened. redb trusts a cleanly closed file,
/// and a byte changed on disk could yield a cursor that was never acked.
fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Treats a table that does not exist yet as empty.
fn existing<T>(opened: Result<T, redb::TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn classify(error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked,
        DatabaseError::UpgradeRequired(version) => OpenError::OldFormat(version),
        DatabaseError::Storage(StorageError::Corrupted(text)) => OpenError::Corrupt(text),
        DatabaseError::Storage(StorageError::Io(error))
            if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            OpenError::Corrupt(error.to_string())
        }
        DatabaseError::RepairAborted => OpenError::Corrupt("its repair was aborted".into()),
        other => OpenError::Io(other.to_string()),
    }
}
