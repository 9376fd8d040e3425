//! Failures contain no password, no cursor, no part of a body, and at most one line of remote text,
//! escaped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_engine::Failure;
use util::{LIMITS, Server, client, get, with_headers};

/// The failure for this answer to a request with a password and a cursor.
fn failure(answer: impl Into<Vec<u8>>) -> Failure {
    let server = Server::answering_once(answer);
    let url = format!("http://user:pass-secret@{}/path-secret", server.address);
    let failure = get(&client(), &url, &LIMITS).unwrap_err();
    // The request did contain them.
    let request = server.requests().remove(0);
    assert!(
        request.to_ascii_lowercase().contains(
            "authorization: basic dxnlcjpwyxnzlxnly3jldA==".to_ascii_lowercase().as_str()
        ),
        "{request}"
    );
    failure
}

/// Answers that repeat the request or contain secrets, in every possible place.
fn answers() -> Vec<String> {
    let echo = "http://user:pass-secret@evil.test/path-secret?from=a%20cursor#body-secret";
    let mut answers: Vec<String> = [
        "HTTP/1.1 500 body-secret",
        "HTTP/1.1 302 Found",
        "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\nx: body-secret",
        "HTTP/1.1 200 OK\r\ncontent-length: body-secret",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: body-secret",
        "HTTP/1.1 200 OK\r\nbody-secret",
        "HTTP/1.1 200 OK\r\nx: body-secret\0",
        "HTTP/1.1 body-secret",
        "body-secret",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip",
        "HTTP/1.1 200 OK\r\ncontent-length: 100",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked",
    ]
    .map(|head| format!("{head}\r\n\r\nbody-secret\r\n"))
    .into();
    for location in [
        echo,
        "//evil.test/a%20cursor",
        "ftp://user:pass-secret@evil.test/?from=a%20cursor",
        "javascript:body-secret",
        "/cron/x?from=a%20cursor",
        "?from=a%20cursor",
        "http://body secret/",
    ] {
        answers.push(format!(
            "HTTP/1.1 307 X\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ));
    }
    answers
}

#[test]
fn failure_of_any_answer_tells_no_secret() {
    for answer in answers() {
        let failure = failure(answer.as_str());
        let told = format!("{failure} {failure:?}").to_lowercase();
        for secret in ["secret", "cursor", "dxnlcjpwyxnz", "user:", "body"] {
            assert!(!told.contains(secret), "{answer}: {told}");
        }
    }
}

#[test]
fn redirect_elsewhere_is_reported_by_its_origin() {
    let told = |location: &str| {
        failure(format!("HTTP/1.1 302 X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"))
            .detail
    };
    let location = "https://user:pass-secret@Evil.test:8443/x?from=a%20cursor";
    assert_eq!(
        told(location),
        "a redirect to https://evil.test:8443: only redirects to the same scheme, host and port are followed"
    );
    assert_eq!(told("file:///etc/passwd"), "a redirect to a URL that is neither http nor https");
    assert_eq!(
        told("elsewhere?user:pass-secret"),
        "a redirect to a relative path: only paths that begin with a slash are followed"
    );
    let malformed = told("https://user:pass-secret@Evil.test:84430/x?from=a%20cursor");
    assert!(malformed.starts_with("a redirect to an invalid URL: the port is not"), "{malformed}");
    let long = told(&format!("http://{}/", "x.".repeat(120)));
    assert_eq!(long.chars().count(), 200 + 1);
}

#[test]
fn remote_text_is_one_printable_line() {
    for encoding in ["x".repeat(5000), "a\tb\"'\\".into(), "\u{202e}\u{2066}\u{200f}".into()] {
        let answer = with_headers(&format!("content-encoding: {encoding}\r\n"), "{}");
        let detail = failure(answer).detail;
        assert!(detail.chars().count() < 300, "{detail}");
        assert!(detail.chars().all(|char| char == '…' || (' '..='~').contains(&char)), "{detail}");
    }
}
