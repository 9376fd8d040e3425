//! The index of dead letters: their numbers and sizes, and whether there is room for another. Their
//! content is on disk, or about to be written there.

use crate::settings::LetterLimits;
use cron_engine::ProcessId;
use std::collections::BTreeMap;

/// A limit on dead letters leaves no room for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the dead letters are full: discard some, or raise cron_dead_letters_max or cron_dead_letters_max_bytes"
)]
pub struct Full;

/// The process and the number of a dead letter.
pub(crate) type Key = (ProcessId, u64);

/// The index of all dead letters.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// The size of each letter in bytes.
    sizes: BTreeMap<Key, u64>,
    bytes: u64,
    /// Bytes that the writer has not taken yet, and bytes that it has taken but not written.
    unwritten: (u64, u64),
    /// The last number given to a letter.
    last: u64,
}

impl Letters {
    /// Builds the index from a file's letters and the last number given to a letter.
    pub(crate) fn new(sizes: BTreeMap<Key, u64>, last: u64) -> Self {
        let bytes = sizes.values().sum();
        Self { sizes, bytes, unwritten: (0, 0), last }
    }

    /// Whether there is room for another letter of this size.
    pub(crate) fn has_room(&self, bytes: u64, limits: LetterLimits) -> bool {
        let unwritten = self.unwritten.0.saturating_add(self.unwritten.1);
        self.count() < limits.count
            && self.bytes.saturating_add(bytes) <= limits.bytes
            && (unwritten == 0 || unwritten.saturating_add(bytes) <= limits.unwritten_bytes)
    }

    /// Returns a number that no letter has had.
    pub(crate) const fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The last number given to a letter.
    pub(crate) const fn last_number(&self) -> u64 {
        self.last
    }

    /// Adds a letter that is not yet written.
    pub(crate) fn insert(&mut self, key: Key, bytes: u64) {
        self.sizes.insert(key, bytes);
        self.bytes += bytes;
        self.unwritten.0 += bytes;
    }

    /// Discards a letter. Returns its size in bytes, or `None` if it does not exist.
    pub(crate) fn discard(&mut self, key: &Key) -> Option<u64> {
        let bytes = self.sizes.remove(key)?;
        self.bytes -= bytes;
        Some(bytes)
    }

    /// Discards all letters of a process. Returns their size in bytes.
    pub(crate) fn forget(&mut self, process: ProcessId) -> u64 {
        let keys: Vec<Key> = self.of(process).collect();
        keys.iter().filter_map(|key| self.discard(key)).sum()
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.sizes.contains_key(key)
    }

    /// The keys of all letters.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.sizes.keys().copied().collect()
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.sizes.len()).unwrap_or(u64::MAX)
    }

    /// The number of letters of a process.
    pub(crate) fn count_of(&self, process: ProcessId) -> u64 {
        u64::try_from(self.of(process).count()).unwrap_or(u64::MAX)
    }

    /// The size of all letters in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The writer took all unwritten letters.
    pub(crate) const fn taken(&mut self) {
        self.unwritten = (0, self.unwritten.0.saturating_add(self.unwritten.1));
    }

    /// The writer wrote the letters that it had taken.
    pub(crate) const fn written(&mut self) {
        self.unwritten.1 = 0;
    }

    fn of(&self, process: ProcessId) -> impl Iterator<Item = Key> {
        self.sizes.range((process, 0)..=(process, u64::MAX)).map(|(key, _)| *key)
    }
}
