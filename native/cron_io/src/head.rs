//! Reads the head of a response: the target of a redirect, the time to retry after, the framing of
//! the body. `body.rs` reads the bodies, and `plain.rs` rewrites heads before they get here.

use cron_engine::{Class, Failure};
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, HeaderName, Response, Version, header};

/// The longest `Retry-After` that is honoured. Longer ones are cut, so that no answer can silence a
/// monitor for good.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// The location of a redirect; a failure for every other status except 200.
pub(crate) fn location<B>(response: &Response<B>) -> Result<String, Failure> {
    let (status, headers) = (response.status(), response.headers());
    let failed = |class, detail| {
        let retry_after = retry_after(headers);
        Err(Failure { retry_after, ..Failure::new(class, detail) })
    };
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return failed(Class::Status, format!("status {status}"));
    }
    match text(headers, &header::LOCATION) {
        Some(location) => Ok(location.to_owned()),
        None => failed(Class::Redirect, format!("status {status} without a location")),
    }
}

/// How long a Compute Unit asks to wait: a number of seconds, or a date, which is compared with the
/// `Date` of the response.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, &header::RETRY_AFTER)?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for the type: a long time in any case.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    let now = self::text(headers, &header::DATE)
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or_else(SystemTime::now);
    Some(then.duration_since(now).ok()?.min(MAX_RETRY_AFTER))
}

/// Fails unless the end of the body is unambiguous. The HTTP client is more lenient, and accepts
/// framing that another server on the way may have read differently.
pub(crate) fn check_framing<B>(response: &Response<B>) -> Result<(), Failure> {
    let headers = response.headers();
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else {
        return Ok(());
    };
    let doubt = if headers.contains_key(header::CONTENT_LENGTH) {
        "both transfer-encoding and content-length"
    } else if response.version() != Version::HTTP_11 {
        "a transfer-encoding before HTTP/1.1"
    } else if encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        "a transfer-encoding other than chunked"
    } else {
        return Ok(());
    };
    Err(Failure::new(Class::Protocol, doubt))
}

/// The headers that are used, here and by the HTTP client. The client accepts at most 128 headers,
/// so all others are dropped.
const READ: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::DATE,
    header::LOCATION,
    header::RETRY_AFTER,
    header::TRANSFER_ENCODING,
];

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    /// Another head, because this one is an interim response.
    Head,
    /// A chunked body.
    Chunks,
    /// Any other body, or none.
    Raw,
}

/// The length of the head at the start of `input`, if it is complete. The first `scanned` bytes
/// were searched earlier.
pub(crate) fn end(input: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let mut rest = input.get(from..)?;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        rest = rest.get(at + 1..)?;
        for blank in [b"\n".as_slice(), b"\r\n"] {
            if rest.starts_with(blank) {
                return Some(input.len() - rest.len() + blank.len());
            }
        }
    }
    None
}

/// Rewrites a complete head in plain form: one line for each header. Unused headers are dropped;
/// malformed ones are kept so that the HTTP client refuses them.
pub(crate) fn plain(head: &[u8], plain: &mut Vec<u8>) -> Follows {
    let mut lines =
        head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = lines.next().unwrap_or_default();
    plain.extend_from_slice(status);
    plain.extend_from_slice(b"\r\n");
    let mut headers: Vec<Vec<u8>> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        match headers.last_mut() {
            Some(folded) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                folded.truncate(folded.trim_ascii_end().len());
                folded.push(b' ');
                folded.extend_from_slice(line.trim_ascii());
            }
            _ => headers.push(line.to_vec()),
        }
    }
    let (mut chunked, mut codings, mut lengths) = (false, 0, 0);
    for header in headers {
        let parts = parts(&header);
        let is = |name: &HeaderName| {
            parts.is_some_and(|(own, _)| own.eq_ignore_ascii_case(name.as_str().as_bytes()))
        };
        if parts.is_some() && !READ.iter().any(is) {
            continue;
        }
        if is(&header::TRANSFER_ENCODING) {
            codings += 1;
            chunked = parts.is_some_and(|(_, value)| value.eq_ignore_ascii_case(b"chunked"));
        }
        lengths += usize::from(is(&header::CONTENT_LENGTH));
        plain.extend_from_slice(&header);
        plain.extend_from_slice(b"\r\n");
    }
    plain.extend_from_slice(b"\r\n");
    match status.get(8..12) {
        Some(b" 101" | b" 204" | b" 304") => Follows::Raw,
        Some([b' ', b'1', ..]) => Follows::Head,
        // `check_framing` refuses the bodies of all other codings.
        Some(_) if chunked && codings == 1 && lengths == 0 && status.starts_with(b"HTTP/1.1") => {
            Follows::Chunks
        }
        _ => Follows::Raw,
    }
}

/// The name and value of a well-formed header.
fn parts(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = header.iter().position(|byte| *byte == b':')?;
    let (name, value) = (header.get(..colon)?, header.get(colon + 1..)?);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    let good = !name.is_empty() && name.iter().all(is_token) && !value.iter().any(is_control);
    good.then_some((name, value.trim_ascii()))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Tue, 15 Nov 1994 08:12:31 GMT";

    fn response(status: u16, headers: &[(&str, &str)]) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap()
    }

    fn asked(retry_after: &str) -> Option<Duration> {
        let headers = [("date", DATE), ("retry-after", retry_after)];
        location(&response(503, &headers)).unwrap_err().retry_after
    }

    #[test]
    fn retry_after_in_seconds_is_taken_up_to_the_bound() {
        assert_eq!(asked("0"), Some(Duration::ZERO));
        assert_eq!(asked("120"), Some(Duration::from_mins(2)));
        assert_eq!(asked(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(asked("3601"), Some(MAX_RETRY_AFTER));
        assert_eq!(asked("99999999999999999999999999"), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn retry_after_as_a_date_is_taken_by_the_clock_of_the_answer() {
        assert_eq!(asked("Tue, 15 Nov 1994 08:13:01 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(asked("Tuesday, 15-Nov-94 08:12:32 GMT"), Some(Duration::from_secs(1)));
        assert_eq!(asked("Tue Nov 15 08:12:33 1994"), Some(Duration::from_secs(2)));
        assert_eq!(asked("Fri, 31 Dec 9999 23:59:59 GMT"), Some(MAX_RETRY_AFTER));
        assert_eq!(asked(DATE), Some(Duration::ZERO));
    }

    #[test]
    fn retry_after_as_a_date_without_a_clock_is_taken_by_ours() {
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(10));
        let headers = [("retry-after", later.as_str())];
        let taken = location(&response(429, &headers)).unwrap_err().retry_after.unwrap();
        assert!(taken > Duration::from_mins(9) && taken <= Duration::from_mins(10));
    }

    #[test]
    fn retry_after_that_is_past_or_garbage_is_none() {
        for text in [
            "Tue, 15 Nov 1994 08:12:30 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "-1",
            "+5",
            "1.5",
            "5 s",
            "",
            "soon",
            "Tue, 99 Nov 1994 08:13:01 GMT",
            "0x10",
            "\u{e9}",
        ] {
            assert_eq!(asked(text), None, "{text}");
        }
    }

    #[test]
    fn location_is_where_a_redirect_leads() {
        assert_eq!(location(&response(307, &[("location", "/x")])), Ok("/x".into()));
        let nowhere = location(&response(301, &[("retry-after", "1")])).unwrap_err();
        assert_eq!(nowhere.class, Class::Redirect);
        assert_eq!(nowhere.retry_after, Some(Duration::from_secs(1)));
        let status = location(&response(304, &[("location", "/x")])).unwrap_err();
        assert_eq!(status.class, Class::Status);
    }

    #[test]
    fn framing_in_doubt_is_refused() {
        let chunked = ("transfer-encoding", "chunked");
        for good in [vec![], vec![chunked], vec![("transfer-encoding", "Chunked")]] {
            assert_eq!(check_framing(&response(200, &good)), Ok(()));
        }
        for bad in [
            vec![chunked, ("content-length", "1")],
            vec![chunked, chunked],
            vec![("transfer-encoding", "gzip, chunked")],
            vec![("transfer-encoding", "identity")],
        ] {
            assert_eq!(check_framing(&response(200, &bad)).unwrap_err().class, Class::Protocol);
        }
        let mut old = response(200, &[chunked]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(check_framing(&old).unwrap_err().class, Class::Protocol);
    }
}
