//! Why a text is no base URL of a Compute Unit.

use thiserror::Error;

/// Why a text is no base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// No `http` or `https` URL.
    #[error("not a URL: give http://host:port or https://host:port")]
    Malformed,
    /// With a host that is neither a name nor an address.
    #[error("the host is no name, no IPv4 address of four numbers and no IPv6 address in brackets")]
    Host,
    /// With a colon behind the host and no port.
    #[error("the port is no number from 1 to 65535: write host:port, or leave the colon out")]
    Port,
    /// With user information that cannot be sent.
    #[error(
        "the user information is not user:password: write special characters in percent encoding"
    )]
    User,
    /// With a space, a control character, or another character that no URL may hold.
    #[error("a character that a URL may not hold: use percent encoding, and Punycode for the host")]
    Character,
    /// With a query or a fragment.
    #[error("a base URL has no query and no fragment: they would end up within the path")]
    Query,
}
