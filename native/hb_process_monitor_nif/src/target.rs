//! The base URL of a Compute Unit: checked once, at registration, so that a bad one is the
//! caller's error and not a monitor's.

use std::fmt;
use thiserror::Error;
use ureq::http::Uri;

/// A checked base URL, `http` or `https`, without query and trailing slash.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    base: String,
    /// Scheme, host and port: what a redirect must not leave.
    origin: String,
}

/// Why a text is no base URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TargetError {
    #[error("not a URL: give http://host:port or https://host:port")]
    Malformed,
    #[error("a base URL has no query: it would end up in the middle of the path")]
    Query,
}

impl Target {
    /// Takes `text` as a base URL.
    pub(crate) fn new(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::Malformed)?;
        let origin = origin(&uri).ok_or(TargetError::Malformed)?;
        if uri.query().is_some() || text.contains('#') {
            return Err(TargetError::Query);
        }
        Ok(Self { base: text.trim_end_matches('/').to_owned(), origin })
    }

    /// The URL of `path` below this one.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where a redirect leads to from here, if it stays at this origin.
    pub(crate) fn redirect(&self, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            let scheme_end = self.base.find("://")? + 3;
            let authority = self.base.get(scheme_end..)?.split('/').next()?;
            return Some(format!("{}{authority}{location}", self.base.get(..scheme_end)?));
        }
        let uri: Uri = location.parse().ok()?;
        (origin(&uri)? == self.origin).then(|| location.to_owned())
    }
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
        for location in ["//evil/x", "http://evil/", "https://host/", "http://host:81/", "x", ""] {
            assert_eq!(target.redirect(location), None, "{location}");
        }
    }
}
