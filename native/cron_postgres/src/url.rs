//! The URL of the database. It is checked when it is parsed, and its password is never shown.

use crate::url_error::UrlError;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// PostgreSQL's port.
const PORT: u16 = 5432;

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// Encrypted, but any certificate is accepted, so a server in between can read everything.
    Require,
    /// Encrypted, and the certificate must be valid for the host.
    VerifyFull,
}

/// A checked URL: `postgresql://user:password@host:port/database?sslmode=…&sslrootcert=…`.
///
/// There may be several hosts, separated by commas: those of a fail-over. The first one that accepts
/// writes is used.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterUrl {
    pub(crate) user: String,
    pub(crate) password: Option<Vec<u8>>,
    /// Names or addresses, the latter without brackets.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) database: String,
    pub(crate) ssl_mode: SslMode,
    pub(crate) ssl_root_cert: Option<PathBuf>,
    /// Whether a server that accepts no writes is refused.
    pub(crate) read_write: bool,
}

impl ClusterUrl {
    /// How connections are encrypted.
    #[must_use]
    pub const fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    /// The file with the trusted certificates; `None`: the built-in ones.
    #[must_use]
    pub fn ssl_root_cert(&self) -> Option<&Path> {
        self.ssl_root_cert.as_deref()
    }
}

impl FromStr for ClusterUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"));
        let rest = rest.ok_or(UrlError::Scheme)?;
        let bad = |byte: u8| !byte.is_ascii_graphic() || b"\"<>\\^`{|}#".contains(&byte);
        if rest.bytes().any(bad) {
            return Err(UrlError::Character);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').ok_or(UrlError::Database)?;
        let (credentials, hosts) = authority.rsplit_once('@').ok_or(UrlError::User)?;
        if credentials.contains('@') {
            return Err(UrlError::User);
        }
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password).ok_or(UrlError::User)?)),
            None => (credentials, None),
        };
        let mut url = Self {
            user: decoded_text(user).ok_or(UrlError::User)?,
            password,
            hosts: hosts.split(',').map(host).collect::<Result<_, _>>()?,
            database: decoded_text(path).ok_or(UrlError::Database)?,
            ssl_mode: SslMode::VerifyFull,
            ssl_root_cert: None,
            read_write: true,
        };
        url.set_parameters(query)?;
        if url.ssl_root_cert.is_some() && url.ssl_mode != SslMode::VerifyFull {
            return Err(UrlError::RootCert);
        }
        Ok(url)
    }
}

impl ClusterUrl {
    fn set_parameters(&mut self, query: &str) -> Result<(), UrlError> {
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "sslmode" => {
                    self.ssl_mode = match value {
                        "verify-full" => SslMode::VerifyFull,
                        "require" => SslMode::Require,
                        "disable" => SslMode::Disable,
                        _ => return Err(UrlError::SslMode),
                    }
                }
                "sslrootcert" => {
                    let path = decoded_text(value).ok_or(UrlError::RootCert)?;
                    self.ssl_root_cert = Some(PathBuf::from(path));
                }
                "target_session_attrs" => {
                    self.read_write = match value {
                        "read-write" | "primary" => true,
                        "any" => false,
                        _ => return Err(UrlError::SessionAttributes),
                    }
                }
                // A password may follow, if a `?` of it was not encoded.
                _ => return Err(UrlError::Parameter(known_name(name))),
            }
        }
        Ok(())
    }
}

/// Names of parameters that other clients have. Any other name may be a part of a password.
fn known_name(name: &str) -> &'static str {
    const NAMES: [&str; 12] = [
        "application_name",
        "channel_binding",
        "connect_timeout",
        "host",
        "options",
        "passfile",
        "password",
        "port",
        "sslcert",
        "sslkey",
        "sslcrl",
        "user",
    ];
    NAMES.into_iter().find(|known| *known == name).unwrap_or("of an unknown name")
}

/// A host with its port.
fn host(text: &str) -> Result<(String, u16), UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
            address.parse::<Ipv6Addr>().map_err(|_| UrlError::Host)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')) };
            (address, port.map(|port| port.ok_or(UrlError::Host)).transpose()?)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(is_allowed);
    if !is_name && host.parse::<IpAddr>().is_err() {
        return Err(UrlError::Host);
    }
    let port = match port {
        None => PORT,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?
        }
        Some(_) => return Err(UrlError::Port),
    };
    Ok((host.to_owned(), port))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let is_escape = |rest: &str| {
        rest.get(..2).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    (text.split('%').skip(1).all(is_escape) && !decoded.contains(&0)).then_some(decoded)
}

/// Decodes a text that must not be empty.
fn decoded_text(text: &str) -> Option<String> {
    let decoded = String::from_utf8(decoded(text)?).ok()?;
    (!decoded.is_empty() && !decoded.contains(char::is_control)).then_some(decoded)
}

/// Without the password.
impl fmt::Display for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgresql://{}@", self.user)?;
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
            write!(f, "{comma}{open}{host}{close}:{port}")?;
        }
        write!(f, "/{}", self.database)
    }
}

/// Without the password.
impl fmt::Debug for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClusterUrl, UrlError> {
        text.parse()
    }

    #[test]
    fn url_with_all_parts_is_parsed() {
        let url = "postgresql://me%40x:p%3Aw@db.test:6000,[::1]/cron?sslmode=verify-full\
                   &sslrootcert=%2Fetc%2Fca.pem&target_session_attrs=any";
        let url = parse(url).unwrap();
        assert_eq!((url.user.as_str(), url.database.as_str()), ("me@x", "cron"));
        assert_eq!(url.password.as_deref(), Some(&b"p:w"[..]));
        assert_eq!(url.hosts, [("db.test".to_owned(), 6000), ("::1".to_owned(), 5432)]);
        assert_eq!(url.ssl_root_cert(), Some(Path::new("/etc/ca.pem")));
        assert!(!url.read_write);
    }

    #[test]
    fn url_without_parameters_verifies_the_server_and_wants_writes() {
        let url = parse("postgres://me@db/cron").unwrap();
        assert_eq!((url.ssl_mode(), url.read_write), (SslMode::VerifyFull, true));
        assert_eq!((url.password, url.ssl_root_cert), (None, None));
    }

    #[test]
    fn password_is_shown_by_nothing() {
        let url = parse("postgresql://me:s3cret@[::1]:1,b/cron?sslmode=disable").unwrap();
        assert_eq!(url.to_string(), "postgresql://me@[::1]:1,b:5432/cron");
        assert!(!format!("{url:?} {url:#?} {url}").contains("s3cret"));
        for bad in [
            "postgresql://me:s3cret@db:x/cron",
            "postgresql://me:s3cret@d b/cron",
            "postgresql://me:s3cret@db",
            "postgresql://me:a?s3cret@db/cron",
            "postgresql://me:a/s3cret@db/cron",
            "postgresql://me:a@s3cret@db/cron",
            "postgresql://me:a%s3cret@db/cron",
            "postgresql://me:x@db/cron?s3cret=1",
            "postgresql://me:x@db/cron?sslmode=s3cret",
            "mysql://me:s3cret@db/cron",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn ssl_mode_that_verifies_less_than_it_seems_is_refused() {
        for mode in ["allow", "prefer", "verify-ca", "", "VERIFY-FULL"] {
            let url = format!("postgresql://me@db/cron?sslmode={mode}");
            assert_eq!(parse(&url), Err(UrlError::SslMode), "{mode}");
        }
        let url = "postgresql://me@db/cron?sslmode=require&sslrootcert=/ca.pem";
        assert_eq!(parse(url), Err(UrlError::RootCert));
    }

    #[test]
    fn url_with_a_wrong_part_says_which() {
        for (url, error) in [
            ("http://me@db/cron", UrlError::Scheme),
            ("postgresql://db/cron", UrlError::User),
            ("postgresql://@db/cron", UrlError::User),
            ("postgresql://me@db", UrlError::Database),
            ("postgresql://me@db/", UrlError::Database),
            ("postgresql://me@/cron", UrlError::Host),
            ("postgresql://me@a,/cron", UrlError::Host),
            ("postgresql://me@[::1/cron", UrlError::Host),
            ("postgresql://me@[::1]x/cron", UrlError::Host),
            ("postgresql://me@%2Fvar%2Frun/cron", UrlError::Host),
            ("postgresql://me@db:0/cron", UrlError::Port),
            ("postgresql://me@db:/cron", UrlError::Port),
            ("postgresql://me@db:65536/cron", UrlError::Port),
            ("postgresql://me@db/cron?target_session_attrs=standby", UrlError::SessionAttributes),
            ("postgresql://me@db/cron?options=-c", UrlError::Parameter("options")),
            ("postgresql://me@db/cron?x=1", UrlError::Parameter("of an unknown name")),
            ("postgresql://me@db/cron#x", UrlError::Character),
            ("postgresql://mé@db/cron", UrlError::Character),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
    }
}
