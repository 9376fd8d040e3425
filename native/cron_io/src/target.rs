//! The base URL of a Compute Unit. It is checked once, at registration, so that a bad URL is an
//! error of the caller and not a failure of the monitor.

use crate::target_error::TargetError;
use crate::url::{Url, check_characters, credentials};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::fmt;
use thiserror::Error;
use ureq::http::Uri;

/// A checked base URL, `http` or `https`, without query and trailing slash.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Without user information.
    base: String,
    /// The length of scheme and authority in `base`.
    authority_end: usize,
    /// Scheme, host and port, which a redirect must keep.
    origin: String,
    /// The `Authorization` header for the URL's user information.
    authorization: Option<String>,
    loopback: bool,
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// The location is a path that does not begin with a slash.
    #[error("a redirect to a relative path: only paths that begin with a slash are followed")]
    Relative,
    /// The location has another scheme than `http` and `https`.
    #[error("a redirect to a URL that is neither http nor https")]
    Scheme,
    /// The location is not a valid URL.
    #[error("a redirect to an invalid URL: {0}")]
    Malformed(TargetError),
    /// The location has user information.
    #[error("a redirect to a URL with user information")]
    User,
    /// The location has another scheme, host or port.
    #[error("a redirect to {0}: only redirects to the same scheme, host and port are followed")]
    Elsewhere(String),
}

impl Target {
    /// Parses `text` as a base URL.
    ///
    /// # Errors
    /// [`TargetError`] if it is not valid.
    pub fn new(text: &str) -> Result<Self, TargetError> {
        let url = Url::parse(text)?;
        let origin = url.origin().ok_or(TargetError::Malformed)?;
        if url.rest.contains(['?', '#']) {
            return Err(TargetError::Query);
        }
        let authorization = url.user.map(basic).transpose()?;
        let base = format!("{}://{}{}", url.scheme, url.address, url.rest.trim_end_matches('/'));
        // The HTTP client would refuse it later.
        base.parse::<Uri>().map_err(|_| TargetError::Malformed)?;
        let authority_end = url.scheme.len() + "://".len() + url.address.len();
        Ok(Self { base, authority_end, origin, authorization, loopback: url.is_loopback() })
    }

    /// The value of the header `Authorization`, if any.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The URL of `path` below this one.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Whether the target is this machine, by name or address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The URL of a redirect, if it keeps the origin and has no credentials.
    ///
    /// # Errors
    /// [`RedirectError`] otherwise. A location may repeat secrets of the request, so the error
    /// names only its origin.
    pub fn redirect(&self, location: &str) -> Result<String, RedirectError> {
        // Fragments are not sent.
        let location = location.split('#').next().unwrap_or_default();
        check_characters(location).map_err(RedirectError::Malformed)?;
        if location.starts_with('/') && !location.starts_with("//") {
            let origin = self.base.get(..self.authority_end).unwrap_or_default();
            return Ok(format!("{origin}{location}"));
        }
        let scheme = self.base.split(':').next().unwrap_or_default();
        let absolute = match location.strip_prefix("//") {
            Some(rest) => format!("{scheme}://{rest}"),
            None => location.to_owned(),
        };
        let is_scheme = |scheme: &&str| !scheme.contains(['/', '?']);
        let Some(scheme) = absolute.split(':').next().filter(is_scheme) else {
            return Err(RedirectError::Relative);
        };
        if scheme == absolute {
            return Err(RedirectError::Relative);
        }
        if !["http", "https"].iter().any(|http| http.eq_ignore_ascii_case(scheme)) {
            return Err(RedirectError::Scheme);
        }
        let url = Url::parse(&absolute).map_err(RedirectError::Malformed)?;
        let origin = url.origin().ok_or(RedirectError::Scheme)?;
        if origin != self.origin {
            return Err(RedirectError::Elsewhere(origin));
        }
        if url.user.is_some() {
            return Err(RedirectError::User);
        }
        Ok(absolute)
    }
}

/// Encodes the credentials of a URL as a header.
fn basic(user: &str) -> Result<String, TargetError> {
    Ok(format!("Basic {}", BASE64_STANDARD.encode(credentials(user)?)))
}

/// The part of a base URL that may be logged: its origin, which holds no secret.
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
        for (text, error) in [
            ("", TargetError::Malformed),
            ("localhost", TargetError::Malformed),
            ("localhost:6363", TargetError::Malformed),
            ("ftp://host", TargetError::Malformed),
            ("/x", TargetError::Malformed),
            ("http:/host", TargetError::Malformed),
            (" http://host", TargetError::Malformed),
            ("http://", TargetError::Host),
            ("http:///x", TargetError::Host),
            ("http://:80", TargetError::Host),
            ("http://me@:80", TargetError::Host),
            ("http://a b", TargetError::Character),
            ("http://127.0.0.1:99999", TargetError::Port),
            ("http://h:+80", TargetError::Port),
            ("http://h:", TargetError::Port),
            ("http://@host", TargetError::User),
            ("http://a@b@host", TargetError::User),
            ("http://host/?key=1", TargetError::Query),
            ("http://host?key=1", TargetError::Query),
            ("http://host#x", TargetError::Query),
        ] {
            assert_eq!(Target::new(text), Err(error), "{text}");
        }
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
        let token = Target::new("http://TOKEN@host").unwrap();
        assert_eq!(token.authorization(), Some("Basic VE9LRU46"));
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for url in [
            "localhost",
            "LocalHost:1",
            "localhost.",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(Target::new(&format!("http://{url}/x")).unwrap().is_loopback(), "{url}");
        }
        for url in
            ["localhost.example", "128.0.0.1", "[::2]", "user:localhost@host", "localhost.com."]
        {
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
    fn redirect_loses_its_fragment() {
        let target = Target::new("http://host:1/base").unwrap();
        assert_eq!(target.redirect("/x?y#z").unwrap(), "http://host:1/x?y");
        assert_eq!(target.redirect("http://host:1/x#z").unwrap(), "http://host:1/x");
        assert_eq!(target.redirect("//host:1/x").unwrap(), "http://host:1/x");
    }

    #[test]
    fn redirect_elsewhere_is_refused() {
        let target = Target::new("http://host/base").unwrap();
        let elsewhere = |origin: &str| RedirectError::Elsewhere(origin.into());
        for (location, error) in [
            ("//evil/x", elsewhere("http://evil:80")),
            ("http://evil/", elsewhere("http://evil:80")),
            ("https://host/", elsewhere("https://host:443")),
            ("http://host:81/", elsewhere("http://host:81")),
            ("http://host@evil/", elsewhere("http://evil:80")),
            ("http://user:password@host/", RedirectError::User),
            ("http://host:99999/", RedirectError::Malformed(TargetError::Port)),
            ("http://host:+80/", RedirectError::Malformed(TargetError::Port)),
            ("http://host:/", RedirectError::Malformed(TargetError::Port)),
            ("http:///", RedirectError::Malformed(TargetError::Host)),
            ("///x", RedirectError::Malformed(TargetError::Host)),
            ("http://evil\\@host/", RedirectError::Malformed(TargetError::Character)),
            ("/a b", RedirectError::Malformed(TargetError::Character)),
            ("ftp://host/", RedirectError::Scheme),
            ("mailto:me", RedirectError::Scheme),
            ("http:/x", RedirectError::Malformed(TargetError::Malformed)),
            ("x", RedirectError::Relative),
            ("../x?y=z:w", RedirectError::Relative),
            ("?x=y", RedirectError::Relative),
            ("", RedirectError::Relative),
        ] {
            assert_eq!(target.redirect(location), Err(error), "{location}");
        }
    }
}
