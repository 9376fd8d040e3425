//! The number of a registration.

/// One registration of a monitor. It is never given twice, so what comes late for an older
/// registration of the same process is told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorId(pub u64);
