//! Why a text is not a base URL of a Compute Unit.

use thiserror::Error;

/// Why a text is not a base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not an `http` or `https` URL.
    #[error("not a URL: give http://host:port or https://host:port")]
    Malformed,
    /// The host is neither a name nor an address.
    #[error(
        "the host is not a name, an IPv4 address of four numbers, or an IPv6 address in brackets"
    )]
    Host,
    /// A colon follows the host without a valid port.
    #[error("the port is not a number from 1 to 65535: write host:port, or omit the colon")]
    Port,
    /// The user information cannot be sent.
    #[error(
        "the user information is not user:password: write special characters in percent encoding"
    )]
    User,
    /// A space, a control character, or another character that is not allowed in URLs.
    #[error(
        "a character that is not allowed in a URL: use percent encoding, and Punycode for the host"
    )]
    Character,
    /// The URL has a query or a fragment.
    #[error("a base URL must not have a query or a fragment: they would end up within the path")]
    Query,
}
