//! Why a text is not the URL of a database. No error repeats a part of the URL that may belong to a
//! password.

use thiserror::Error;

/// Why a text is not the URL of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Another scheme.
    #[error("not a URL of PostgreSQL: give postgresql://user:password@host:port/database")]
    Scheme,
    /// A character that is not allowed in URLs.
    #[error("a character that is not allowed in a URL: write it in percent encoding")]
    Character,
    /// The part before the `@`.
    #[error(
        "no user before the host, or the user or the password has a special character: give \
         user:password@host, with @ : / ? # and % in percent encoding"
    )]
    User,
    /// A host.
    #[error(
        "a host is not a name, an IPv4 address, or an IPv6 address in brackets; sockets of files are \
         not supported"
    )]
    Host,
    /// A port.
    #[error("a port is not a number from 1 to 65535: write host:port, or omit the colon")]
    Port,
    /// The database.
    #[error("no name of a database: give postgresql://user:password@host:port/database")]
    Database,
    /// The parameter `sslmode`.
    #[error(
        "sslmode must be verify-full (the default), require (encrypts, but verifies nothing) or \
         disable; verify-ca, prefer and allow are not supported"
    )]
    SslMode,
    /// The parameter `sslrootcert`.
    #[error("sslrootcert must be the path of a PEM file, and needs sslmode=verify-full")]
    RootCert,
    /// The parameter `target_session_attrs`.
    #[error("target_session_attrs must be read-write (the default) or any")]
    SessionAttributes,
    /// Another parameter.
    #[error(
        "a parameter {0} is not supported: sslmode, sslrootcert and target_session_attrs are; if it is \
         part of the password, write ? and & in percent encoding"
    )]
    Parameter(&'static str),
}
