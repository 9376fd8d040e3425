//! The dead letters of a node as the book knows them: their numbers and sizes, and whether there is
//! room for another one. What is in them is on disk alone, or on its way there.

use crate::settings::LetterLimits;
use cron_engine::ProcessId;
use std::collections::BTreeMap;

/// There is no room for another dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the dead letters are full: discard some, or raise cron_dead_letters_max or cron_dead_letters_max_bytes"
)]
pub struct Full;

/// The process and the number of a dead letter.
pub(crate) type Key = (ProcessId, u64);

/// All dead letters.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// The bytes of each.
    sizes: BTreeMap<Key, u64>,
    bytes: u64,
    /// The bytes of those that the writer has not taken, and of those that it has taken and not written
    /// yet.
    unwritten: (u64, u64),
    /// The last number given to one.
    last: u64,
}

impl Letters {
    /// The letters that a file holds, with their bytes, and the last number given to one.
    pub(crate) fn new(sizes: BTreeMap<Key, u64>, last: u64) -> Self {
        let bytes = sizes.values().sum();
        Self { sizes, bytes, unwritten: (0, 0), last }
    }

    /// Whether there is room for another one of so many bytes.
    pub(crate) fn has_room(&self, bytes: u64, limits: LetterLimits) -> bool {
        let unwritten = self.unwritten.0.saturating_add(self.unwritten.1);
        self.count() < limits.count
            && self.bytes.saturating_add(bytes) <= limits.bytes
            && (unwritten == 0 || unwritten.saturating_add(bytes) <= limits.unwritten_bytes)
    }

    /// A number that no letter had.
    pub(crate) const fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The last number given to one.
    pub(crate) const fn last_number(&self) -> u64 {
        self.last
    }

    /// A letter is to be written.
    pub(crate) fn insert(&mut self, key: Key, bytes: u64) {
        self.sizes.insert(key, bytes);
        self.bytes += bytes;
        self.unwritten.0 += bytes;
    }

    /// A letter is discarded: its bytes; `None` if there is none.
    pub(crate) fn discard(&mut self, key: &Key) -> Option<u64> {
        let bytes = self.sizes.remove(key)?;
        self.bytes -= bytes;
        Some(bytes)
    }

    /// All letters of a process are discarded: their bytes.
    pub(crate) fn forget(&mut self, process: ProcessId) -> u64 {
        let keys: Vec<Key> = self.of(process).collect();
        keys.iter().filter_map(|key| self.discard(key)).sum()
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.sizes.contains_key(key)
    }

    /// The keys of all of them.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.sizes.keys().copied().collect()
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.sizes.len()).unwrap_or(u64::MAX)
    }

    /// How many a process has.
    pub(crate) fn count_of(&self, process: ProcessId) -> u64 {
        u64::try_from(self.of(process).count()).unwrap_or(u64::MAX)
    }

    /// The bytes of all of them.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The writer has taken those that were to be written.
    pub(crate) const fn taken(&mut self) {
        self.unwritten = (0, self.unwritten.0.saturating_add(self.unwritten.1));
    }

    /// The writer has written those that it had taken.
    pub(crate) const fn written(&mut self) {
        self.unwritten.1 = 0;
    }

    fn of(&self, process: ProcessId) -> impl Iterator<Item = Key> {
        self.sizes.range((process, 0)..=(process, u64::MAX)).map(|(key, _)| *key)
    }
}
