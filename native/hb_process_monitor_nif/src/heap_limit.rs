//! The heap limit of a process (`max_heap_size`), and which parts it allows.

use cron_engine::page::Part;

/// The VM compares with the limit at most this multiple of what a part puts on the heap: a garbage collection
/// holds the old copy and the new one, and the new one has room to grow.
const COPIES: u64 = 4;

/// A heap limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeapLimit {
    /// The bytes at which the VM kills the process; 0 for no limit.
    pub(crate) bytes: u64,
    /// Binaries outside the heap count, too.
    pub(crate) with_binaries: bool,
}

impl HeapLimit {
    /// Whether a process can take this part without being killed.
    pub(crate) fn allows(self, part: &Part) -> bool {
        let outside = if self.with_binaries { part.memory.saturating_sub(part.heap) } else { 0 };
        let needed = part.heap.saturating_mul(COPIES).saturating_add(outside);
        self.bytes == 0 || needed <= self.bytes
    }
}
