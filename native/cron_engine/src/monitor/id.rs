//! The number of a registration.

/// The number of one registration of a monitor. It is never used twice, so a late message of an
/// older registration of the same process is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorId(pub u64);
