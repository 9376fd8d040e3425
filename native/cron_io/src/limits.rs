//! The bounds of one fetch.

use std::time::Duration;

/// The bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time to connect, including name resolution, proxy and TLS.
    pub connect: Duration,
    /// The time from the request to the last byte of the response's head.
    pub first_byte: Duration,
    /// The time for everything, including redirects.
    pub total: Duration,
    /// The size of the body, both as sent and as inflated.
    pub max_bytes: u64,
}
