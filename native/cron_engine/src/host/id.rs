//! The number of a CU host.

/// A CU host: everything behind one scheme, name and port. Whoever makes the numbers gives equal
/// ones to equal hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u64);
