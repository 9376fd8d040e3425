//! The base URL of a Compute Unit: checked once, at registration, so that a bad one is the
//! caller's error and not a monitor's.

use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;
use thiserror::Error;
use ureq::http::Uri;

/// A checked base URL, `http` or `https`, without query and trailing slash.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Without user information.
    base: String,
    /// How many bytes of `base` are scheme and authority.
    authority_end: usize,
    /// Scheme, host and port: what a redirect must not leave.
    origin: String,
    /// The header that the URL's user information stands for.
    authorization: Option<String>,
    loopback: bool,
}

/// Why a text is no base URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// No `http` or `https` URL with a host.
    #[error("not a URL: give http://host:port or https://host:port")]
    Malformed,
    /// With a query or a fragment.
    #[error("a base URL has no query: it would end up in the middle of the path")]
    Query,
}

impl Target {
    /// Takes `text` as a base URL.
    ///
    /// # Errors
    /// [`TargetError`] if it is none.
    pub fn new(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::Malformed)?;
        let origin = origin(&uri).ok_or(TargetError::Malformed)?;
        if uri.query().is_some() || text.contains('#') {
            return Err(TargetError::Query);
        }
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::Malformed)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let base = format!("{scheme}://{host}{}", path.trim_end_matches('/'));
        let authority_end = scheme.len() + "://".len() + host.len();
        let loopback = uri.host().is_some_and(is_loopback);
        Ok(Self { base, authority_end, origin, authorization: user.map(basic), loopback })
    }

    /// What to send as the header `Authorization`, if anything.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The URL of `path` below this one.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Whether it is on this host, by name or address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Where a redirect leads to from here, if it stays at this origin and brings no credentials.
    #[must_use]
    pub fn redirect(&self, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(format!("{}{location}", self.base.get(..self.authority_end)?));
        }
        let uri: Uri = location.parse().ok()?;
        let foreign = uri.authority()?.as_str().contains('@') || origin(&uri)? != self.origin;
        (!foreign).then(|| location.to_owned())
    }
}

/// The credentials of a URL, `user:password` in percent encoding, as a header says them.
fn basic(user: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(user).collect();
    format!("Basic {}", BASE64_STANDARD.encode(decoded))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// What may be logged of a URL: its origin, if it has one.
pub(crate) fn origin_of(url: &str) -> Option<String> {
    origin(&url.parse().ok()?)
}

/// Scheme, host and port of a URL, in one spelling. User information is no part of it.
fn origin(uri: &Uri) -> Option<String> {
    let default_port = match uri.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = uri.host().filter(|host| !host.is_empty())?;
    let port = uri.port_u16().unwrap_or(default_port);
    Some(format!("{}://{}:{port}", uri.scheme_str()?, host.to_ascii_lowercase()))
}

/// What may be logged of a base URL: its origin, never what may be a secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_of_http_or_https_is_taken() {
        let target = Target::new("http://localhost:6363/cu/").unwrap();
        assert_eq!(target.join("/cron/x"), "http://localhost:6363/cu/cron/x");
        assert!(Target::new("https://cu.example").is_ok());
        assert!(Target::new("http://[::1]:6363").is_ok());
    }

    #[test]
    fn target_of_anything_else_is_refused() {
        for text in ["", "localhost", "localhost:6363", "ftp://host", "http://", "http://a b", "/x"]
        {
            assert_eq!(Target::new(text), Err(TargetError::Malformed), "{text}");
        }
        assert_eq!(Target::new("http://host/?key=1"), Err(TargetError::Query));
    }

    #[test]
    fn target_shown_holds_no_user_information() {
        let target = Target::new("http://user:secret@Host/path").unwrap();
        assert_eq!(target.to_string(), "http://host:80");
        assert_eq!(format!("{target:?}"), "Target(http://host:80)");
    }

    #[test]
    fn user_information_becomes_a_header_and_leaves_the_url() {
        let target = Target::new("http://us%40er:pass@host:1/cu").unwrap();
        assert_eq!(target.authorization(), Some("Basic dXNAZXI6cGFzcw=="));
        assert_eq!(target.join("/x"), "http://host:1/cu/x");
        assert_eq!(target.redirect("/y").unwrap(), "http://host:1/y");
        assert_eq!(Target::new("http://host").unwrap().authorization(), None);
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for url in [
            "localhost",
            "LocalHost:1",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(Target::new(&format!("http://{url}/x")).unwrap().is_loopback(), "{url}");
        }
        for url in ["localhost.example", "128.0.0.1", "[::2]", "user:localhost@host"] {
            assert!(!Target::new(&format!("http://{url}/x")).unwrap().is_loopback(), "{url}");
        }
    }

    #[test]
    fn redirect_within_the_origin_is_followed() {
        let target = Target::new("http://host:80/base").unwrap();
        assert_eq!(target.redirect("/other?x=1").unwrap(), "http://host:80/other?x=1");
        assert_eq!(target.redirect("http://HOST/other").unwrap(), "http://HOST/other");
    }

    #[test]
    fn redirect_elsewhere_is_refused() {
        let target = Target::new("http://host/base").unwrap();
        for location in [
            "//evil/x",
            "http://evil/",
            "https://host/",
            "http://host:81/",
            "http://user:password@host/",
            "http://host@evil/",
            "x",
            "",
        ] {
            assert_eq!(target.redirect(location), None, "{location}");
        }
    }
}
