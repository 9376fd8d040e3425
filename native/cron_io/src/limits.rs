//! The bounds of one fetch.

use std::time::Duration;

/// The bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the connection: name resolution, proxy and TLS included.
    pub connect: Duration,
    /// From the request to the last byte of the response's head.
    pub first_byte: Duration,
    /// For everything, redirects included.
    pub total: Duration,
    /// Of the body, as it is sent and as it is when inflated.
    pub max_bytes: u64,
}
