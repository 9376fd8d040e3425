//! Strict parsing of URLs. The HTTP client ignores some errors, such as a port out of range, and
//! then connects to another address than the written one. Such URLs are refused here.

use crate::target_error::TargetError;
use percent_encoding::percent_decode_str;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest host name, and the longest of its labels, in the DNS.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// As written, in either case.
    pub(crate) scheme: &'a str,
    /// The part before the last `@`.
    pub(crate) user: Option<&'a str>,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    /// Host and port as written.
    pub(crate) address: &'a str,
    /// Everything from the first `/`, `?` or `#` on.
    pub(crate) rest: &'a str,
}

impl<'a> Url<'a> {
    /// Splits `text` and checks host and port.
    pub(crate) fn parse(text: &'a str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::Malformed)?;
        if !is_scheme(scheme) {
            return Err(TargetError::Malformed);
        }
        check_characters(text)?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let (host, port) = split_port(address)?;
        check_host(host)?;
        Ok(Self { scheme, user, host, port, address, rest })
    }

    /// The port, or the default of the scheme `http` or `https`.
    pub(crate) fn http_port(&self) -> Option<u16> {
        let default = match self.scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        Some(self.port.unwrap_or(default))
    }

    /// Scheme, host and port in normal form, for the schemes `http` and `https`.
    pub(crate) fn origin(&self) -> Option<String> {
        let port = self.http_port()?;
        let (scheme, host) = (self.scheme.to_ascii_lowercase(), self.host.to_ascii_lowercase());
        Some(format!("{scheme}://{host}:{port}"))
    }

    /// Whether the host is this machine, by name or address.
    pub(crate) fn is_loopback(&self) -> bool {
        let name = self.host.strip_suffix('.').unwrap_or(self.host);
        let address = name.trim_start_matches('[').trim_end_matches(']').parse();
        name.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
    }
}

fn is_scheme(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|char: char| char.is_ascii_alphabetic()) && text.bytes().all(rest)
}

/// Refuses characters that are not allowed in URLs. They must be percent-encoded, or written in
/// Punycode in a host name.
pub(crate) fn check_characters(text: &str) -> Result<(), TargetError> {
    let bad = |byte: u8| !byte.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&byte);
    if text.bytes().any(bad) { Err(TargetError::Character) } else { Ok(()) }
}

/// Splits an address into host and port. Refuses a colon without a port, which most likely comes
/// from an unset variable.
fn split_port(address: &str) -> Result<(&str, Option<u16>), TargetError> {
    let host_end = address.find(']').map_or(0, |end| end + 1);
    let (before, after) = address.split_at(host_end);
    let Some((name, port)) = after.split_once(':') else { return Ok((address, None)) };
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or(TargetError::Port)?;
    let host = if before.is_empty() { name } else { before };
    if !before.is_empty() && !name.is_empty() {
        return Err(TargetError::Host);
    }
    Ok((host, Some(port)))
}

fn check_host(host: &str) -> Result<(), TargetError> {
    let good = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        None => is_name(host),
    };
    if good { Ok(()) } else { Err(TargetError::Host) }
}

/// Whether this is a name, or an IPv4 address of four decimal numbers. Resolvers accept other forms
/// of addresses, such as `127.1` and `0x7f000001`, which would not be recognised as loopback here.
fn is_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label =
        |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(is_allowed);
    if name.len() > MAX_NAME || !name.split('.').all(is_label) {
        return false;
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    !is_number || host.parse::<Ipv4Addr>().is_ok()
}

/// Decodes the part before the `@`: `user` or `user:password`, percent-encoded. Refuses colons in
/// the user name, because the header has a colon after it, and control characters.
pub(crate) fn credentials(user: &str) -> Result<Vec<u8>, TargetError> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let (name, password) = (decoded(name)?, decoded(password)?);
    if user.is_empty() || name.contains(&b':') {
        return Err(TargetError::User);
    }
    Ok([name.as_slice(), b":", &password].concat())
}

fn decoded(text: &str) -> Result<Vec<u8>, TargetError> {
    let is_escape = |rest: &str| {
        rest.get(..2).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    if text.contains('@')
        || !text.split('%').skip(1).all(is_escape)
        || decoded.iter().any(u8::is_ascii_control)
    {
        return Err(TargetError::User);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_split_into_its_parts() {
        let url = Url::parse("HTTPS://me:pw@[::1]:8443/cu?x#y").unwrap();
        assert_eq!((url.scheme, url.user, url.host), ("HTTPS", Some("me:pw"), "[::1]"));
        assert_eq!((url.port, url.address, url.rest), (Some(8443), "[::1]:8443", "/cu?x#y"));
        assert_eq!(url.origin().unwrap(), "https://[::1]:8443");
    }

    #[test]
    fn invalid_port_is_refused() {
        for port in ["99999", "65536", "0", "+80", "-1", "", "80a", " 80", "0x50", "8 0", "000080"]
        {
            let url = format!("http://host:{port}");
            assert!(Url::parse(&url).is_err(), "{url}");
            let url = format!("http://[::1]:{port}/");
            assert!(Url::parse(&url).is_err(), "{url}");
        }
        assert_eq!(Url::parse("http://host:65535").unwrap().port, Some(65535));
    }

    #[test]
    fn invalid_host_is_refused() {
        for host in [
            "",
            ".",
            "a..b",
            ".a",
            "[",
            "]",
            "[]",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]a:80",
            "a[::1]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "h%6fst",
            "h,o",
            "h;o",
            "h!o",
            "h*",
            "127.1",
            "0x7f.0.0.1",
            "2130706433",
            "0x7f000001",
            "127.0.0.1.",
            "127.0.0.010",
            "1.2.3.4.5",
            "256.0.0.1",
            "a.0x1",
            "127.0.0.",
            "a:b:80",
            "größe",
        ] {
            assert!(Url::parse(&format!("http://{host}")).is_err(), "{host}");
            assert!(Url::parse(&format!("http://{host}/x")).is_err(), "{host}");
        }
        assert!(Url::parse(&format!("http://{}", "a".repeat(64))).is_err());
        assert!(Url::parse(&format!("http://{}", "a.".repeat(128))).is_err());
        for host in [
            "a",
            "a.b.",
            "my_cu",
            "xn--gre-6ka.example",
            "1a",
            "3.example",
            "127.0.0.1",
            "a-b",
            "[1::]",
        ] {
            assert!(Url::parse(&format!("http://{host}")).is_ok(), "{host}");
        }
    }

    #[test]
    fn character_that_no_url_may_hold_is_refused() {
        for char in [
            ' ', '\t', '\n', '\r', '\0', '\u{7f}', '\\', '"', '<', '{', 'é', '\u{200b}', '\u{ff0f}',
        ] {
            for url in [
                format!("{char}http://host/"),
                format!("http://ho{char}st/"),
                format!("http://us{char}er@host/"),
                format!("http://host/a{char}b"),
                format!("http://host{char}"),
            ] {
                assert!(Url::parse(&url).is_err(), "{url:?}");
            }
        }
    }

    #[test]
    fn credentials_have_a_colon_and_are_decoded() {
        assert_eq!(credentials("TOKEN").unwrap(), b"TOKEN:");
        assert_eq!(credentials("TOKEN:").unwrap(), b"TOKEN:");
        assert_eq!(credentials(":pass").unwrap(), b":pass");
        assert_eq!(credentials("us%40er:p:w%25").unwrap(), b"us@er:p:w%");
        for bad in [
            "", "a%", "a%2", "a%zz", "a:b%", "a%3Ab:c", "a%0d%0ab", "a:%00", "a@b", "a:b@c", "%20@",
        ] {
            assert_eq!(credentials(bad), Err(TargetError::User), "{bad}");
        }
    }
}
