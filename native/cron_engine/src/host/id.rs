//! The number of a CU host.

/// A CU host: everything behind one scheme, name and port. The caller gives equal numbers to equal
/// hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u64);
