//! Converts errors of the HTTP client into failures of the engine: a class, and a text that names
//! the limit and its option. The text holds no secret and at most one line of remote text.

use crate::limits::Limits;
use crate::proxy::ProxyError;
use cron_engine::{Class, Failure};
use std::io;
use std::time::Duration;
use ureq::{Error, Timeout};

/// The most characters of remote text in a failure.
const MAX_PRINTED: usize = 200;

/// The failure for `error` under `limits`.
pub(crate) fn failure(error: &Error, limits: &Limits) -> Failure {
    match error {
        Error::Timeout(timeout) => timed_out(*timeout, limits),
        Error::HostNotFound => Failure::new(Class::Resolve, "the host's name does not resolve"),
        Error::BodyExceedsLimit(limit) => Failure::new(
            Class::BodyTooLarge,
            format!("the body is more than {limit} bytes (cron_max_page_bytes)"),
        ),
        Error::Tls(detail) => Failure::new(Class::Tls, *detail),
        Error::Rustls(error) => Failure::new(Class::Tls, of_tls(error)),
        Error::Io(error) => of_io(error),
        Error::ConnectionFailed | Error::ConnectProxyFailed(_) => {
            Failure::new(Class::Connect, printable(&error.to_string()))
        }
        Error::Other(trouble) => {
            let class = match trouble.downcast_ref() {
                Some(ProxyError::Unknown) => Class::Resolve,
                Some(_) => Class::Connect,
                None => Class::Protocol,
            };
            Failure::new(class, printable(&trouble.to_string()))
        }
        _ => Failure::new(Class::Protocol, printable(&error.to_string())),
    }
}

fn of_io(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(error) => Failure::new(Class::Tls, of_tls(error)),
        None => Failure::new(Class::Connect, printable(&error.to_string())),
    }
}

fn timed_out(timeout: Timeout, limits: &Limits) -> Failure {
    let within = |class, what: &str, limit: Duration, option: &str| {
        Failure::new(class, format!("no {what} within {} ms ({option})", limit.as_millis()))
    };
    match timeout {
        // If the total limit is not longer than the connect limit, it is the one that expired.
        Timeout::Resolve | Timeout::Connect if limits.connect < limits.total => {
            within(Class::ConnectTimeout, "connection", limits.connect, "cron_connect_timeout")
        }
        Timeout::RecvResponse => {
            let limit = limits.first_byte;
            within(Class::FirstByteTimeout, "complete head", limit, "cron_first_byte_timeout")
        }
        _ => within(Class::Timeout, "complete response", limits.total, "cron_timeout"),
    }
}

/// Explains a TLS error in terms that help to correct it.
fn of_tls(error: &rustls::Error) -> String {
    use rustls::{CertificateError as Bad, InvalidMessage};
    let known = match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => {
                "the issuer of the certificate is not trusted (cron_cacertfile adds issuers)"
            }
            Bad::Expired | Bad::ExpiredContext { .. } => "the certificate has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "the certificate is not valid yet",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "the certificate is for another host"
            }
            _ => "",
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the peer does not speak TLS; plain HTTP?"
        }
        _ => "",
    };
    if known.is_empty() { printable(&error.to_string()) } else { known.to_owned() }
}

/// Makes remote text safe for logs: escaped, and at most one line.
pub(crate) fn printable(text: &str) -> String {
    let mut printed = String::new();
    let mut left = MAX_PRINTED;
    for char in text.chars() {
        let escaped = char.escape_debug();
        // An escape sequence is kept whole or dropped.
        let Some(rest) = left.checked_sub(escaped.len()) else {
            printed.push('…');
            break;
        };
        left = rest;
        printed.extend(escaped);
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_could_act_on_a_terminal_is_escaped() {
        let hostile =
            "a\r\nb\0\u{1b}[31mred\u{7f}\u{85}\u{202e}abc\u{2066}\u{200f}\u{2028}\u{feff}\u{e000}";
        let printed = printable(hostile);
        assert!(printed.chars().all(|char| char.is_ascii_graphic() || char == ' '), "{printed}");
        assert!(printed.starts_with(r"a\r\nb\0\u{1b}[31mred\u{7f}\u{85}\u{202e}abc"), "{printed}");
    }

    #[test]
    fn text_of_other_scripts_is_left_as_it_is() {
        assert_eq!(printable("größer 数 ∞"), "größer 数 ∞");
    }

    #[test]
    fn text_that_is_long_is_cut_between_two_characters() {
        assert_eq!(printable(&"x".repeat(200)), "x".repeat(200));
        assert_eq!(printable(&"x".repeat(201)), "x".repeat(200) + "…");
        let edge = "x".repeat(197) + "\u{1b}" + "y";
        assert_eq!(printable(&edge), "x".repeat(197) + "…");
        assert_eq!(printable(&"é".repeat(300)), "é".repeat(200) + "…");
    }
}
