//! Responses with odd or broken heads or framing. Each yields a body, or a failure whose class
//! shows the cause.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_engine::{Class, Failure};
use std::time::Duration;
use util::{LIMITS, Server, client, get, ok, with_headers};

fn once(answer: impl Into<Vec<u8>>) -> Result<Vec<u8>, Failure> {
    Server::answering_once(answer).get(&LIMITS)
}

/// Asserts the class of each head, sent with a body of two bytes.
fn all_are(class: Class, heads: &[&str]) {
    for head in heads {
        let got = once(format!("{head}\r\n\r\n{{}}"));
        assert_eq!(got.as_ref().map_err(|failure| failure.class), Err(class), "{head}: {got:?}");
    }
}

fn all_are_good(heads: &[&str]) {
    for head in heads {
        let got = once(format!("{head}\r\n\r\n{{}}"));
        assert_eq!(got.as_deref(), Ok(b"{}".as_slice()), "{head}");
    }
}

#[test]
fn interim_responses_before_the_real_one_are_passed_over() {
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\ncontent-length: 7\r\n\r\n",
    ] {
        let answer = [interim.as_bytes(), &ok("{}")].concat();
        assert_eq!(once(answer).unwrap(), b"{}", "{interim}");
        let garbage = format!("{interim}garbage\r\n\r\n");
        assert_eq!(once(garbage).unwrap_err().class, Class::Protocol, "{interim}");
        assert_eq!(once(interim).unwrap_err().class, Class::Connect, "{interim}");
    }
}

#[test]
fn interim_response_before_a_large_page_is_passed_over() {
    let page = vec![b' '; 1_000_000];
    let answer = [b"HTTP/1.1 103 Early Hints\r\n\r\n", ok(&page).as_slice()].concat();
    for _ in 0..20 {
        assert_eq!(once(answer.as_slice()).unwrap(), page);
    }
}

#[test]
fn status_other_than_200_is_a_failure_that_names_it() {
    for (head, told) in [
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c", "101 Switching Protocols"),
        ("HTTP/1.1 201 Whatever", "201 Created"),
        ("HTTP/1.1 204 No Content", "204 No Content"),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5", "204 No Content"),
        ("HTTP/1.1 206 Partial Content\r\ncontent-length: 2", "206 Partial Content"),
        ("HTTP/1.1 304 Not Modified", "304 Not Modified"),
        ("HTTP/1.1 404 secret\r\ncontent-length: 2", "404 Not Found"),
        ("HTTP/1.1 799 \r\ncontent-length: 2", "799 <unknown status code>"),
    ] {
        let Err(failure) = once(format!("{head}\r\n\r\n{{}}")) else { panic!("{head}") };
        let told = format!("status {told}");
        assert_eq!((failure.class, failure.detail), (Class::Status, told), "{head}");
    }
}

#[test]
fn retry_after_is_reported_with_the_status() {
    for (head, seconds) in [
        ("HTTP/1.1 429 Too Many Requests\r\nretry-after: 30", Some(30)),
        ("HTTP/1.1 503 Service Unavailable\r\nretry-after: 100000", Some(3600)),
        ("HTTP/1.1 503 Service Unavailable\r\nretry-after: later", None),
        ("HTTP/1.1 503 Service Unavailable", None),
        ("HTTP/1.1 301 Moved\r\nretry-after: 5", Some(5)),
        (
            "HTTP/1.1 503 Busy\r\ndate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
             retry-after: Tue, 15 Nov 1994 08:14:31 GMT",
            Some(120),
        ),
    ] {
        let failure = once(format!("{head}\r\ncontent-length: 0\r\n\r\n")).unwrap_err();
        assert_eq!(failure.retry_after, seconds.map(Duration::from_secs), "{head}");
    }
}

#[test]
fn body_of_any_type_is_handed_on() {
    let html = with_headers("content-type: text/html\r\n", "<html></html>");
    assert_eq!(once(html).unwrap(), b"<html></html>");
    assert_eq!(once(ok("")).unwrap(), b"");
}

#[test]
fn body_that_ends_with_the_connection_is_whole() {
    all_are_good(&["HTTP/1.0 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.1 200 "]);
}

#[test]
fn body_that_breaks_off_is_a_failure_of_the_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"edges\":",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"edges\":\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{\"edges\":",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "",
    ] {
        assert_eq!(once(answer).unwrap_err().class, Class::Connect, "{answer}");
    }
}

#[test]
fn connection_that_is_reset_is_a_failure_of_the_connection() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"edges\":"] {
        // The kernel resets a connection that is closed with an unread request.
        let server = Server::new(move |peer| {
            peer.send(answer);
        });
        assert_eq!(server.fails().class, Class::Connect, "{answer}");
    }
}

#[test]
fn content_length_in_doubt_is_refused() {
    all_are(
        Class::Protocol,
        &[
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3",
            "HTTP/1.1 200 OK\r\ncontent-length: 2, 3",
            "HTTP/1.1 200 OK\r\ncontent-length: -2",
            "HTTP/1.1 200 OK\r\ncontent-length: +2",
            "HTTP/1.1 200 OK\r\ncontent-length: 2x",
            "HTTP/1.1 200 OK\r\ncontent-length: 0x2",
            "HTTP/1.1 200 OK\r\ncontent-length:",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999",
        ],
    );
    all_are_good(&[
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 2",
        "HTTP/1.1 200 OK\r\ncontent-length: 002",
    ]);
}

#[test]
fn body_framed_in_two_ways_is_refused() {
    all_are(
        Class::Protocol,
        &[
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: identity",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
        ],
    );
}

#[test]
fn malformed_chunks_are_refused() {
    let chunked = |chunks: &str| {
        once(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"))
    };
    let endless = "0".repeat(200_000);
    for bad in [
        "FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "2.0\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "\u{ff12}\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}and more\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "2 2\r\n{}\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
        "2\r\n{}\r\n0\r\nx: y\n\r\n",
        "2;x\ry\r\n{}\r\n0\r\n\r\n",
        &endless,
    ] {
        let class = chunked(bad).map_err(|failure| failure.class);
        assert_eq!(class, Err(Class::Protocol), "{bad:.60}");
    }
    // The largest possible size, with a body that ends earlier.
    assert_eq!(chunked("FFFFFFFFFFFFFFFF\r\n{}").unwrap_err().class, Class::Connect);
    assert_eq!(chunked("1;x=y\r\n{\r\n01\r\n}\r\n0\r\nx: y\r\n\r\n").unwrap(), b"{}");
    assert_eq!(chunked("2\r\n{}\r\n0\r\n").unwrap(), b"{}");
}

#[test]
fn chunks_with_long_lines_are_taken() {
    let signature = format!(";chunk-signature={}", "f".repeat(64));
    let longest = ";".repeat(4096 - 3);
    let zeros = "0".repeat(1000);
    for (first, second, trailers) in [
        (";a-name=a-long-value", "", ""),
        (signature.as_str(), signature.as_str(), "x-signature: z\r\nx: y\r\n"),
        (longest.as_str(), " \t;x=\"; y\"", ""),
    ] {
        for zeros in ["", &zeros] {
            let chunks =
                format!("1{first}\r\n{{\r\n{zeros}1{second}\r\n}}\r\n{zeros}0{second}\r\n");
            let answer = format!("transfer-encoding: chunked\r\n\r\n{chunks}{trailers}\r\n");
            let answer = format!("HTTP/1.1 200 OK\r\n{answer}");
            assert_eq!(once(answer.as_str()).unwrap(), b"{}", "{answer:.200}");
        }
    }
}

#[test]
fn chunks_of_a_large_body_may_each_have_an_extension() {
    let chunk =
        [format!("1000;signature={}\r\n", "f".repeat(100)).as_bytes(), &[b' '; 4096], b"\r\n"]
            .concat();
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = [head.as_bytes(), &chunk.repeat(250), b"0;last\r\n\r\n"].concat();
    assert_eq!(once(answer).unwrap(), vec![b' '; 1_024_000]);
}

/// In all packet sizes, and followed by another response.
#[test]
fn response_in_pieces_is_the_same() {
    let odd = "\r\nHTTP/1.1 103 Early\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n\tc\r\n\
        transfer-encoding:\r\n chunked\r\n\r\n00003;x=y\r\n{\"e\r\n1\r\n\"\r\n3\r\n:1}\r\n0;z\r\nx: y\r\n\r\n";
    let odd = odd.replace("\r\n\r\n\tc", "\r\n \r\n\tc");
    for size in [1, 2, 3, 5, 7, 50, odd.len()] {
        let answer = odd.clone();
        let server = Server::new(move |peer| {
            while peer.request().is_some() {
                for piece in answer.as_bytes().chunks(size) {
                    peer.send(piece);
                }
            }
        });
        let client = client();
        for _ in 0..3 {
            assert_eq!(get(&client, &server.url(), &LIMITS).unwrap(), b"{\"e\":1}", "{size}");
        }
        assert_eq!(server.connections(), 1);
    }
}

#[test]
fn malformed_head_is_refused() {
    all_are(
        Class::Protocol,
        &[
            "SSH-2.0-OpenSSH_9.2",
            "HTTP/2.0 200 OK",
            "HTTP/1.1 099 Low",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 -20 OK",
            "ICY 200 OK",
            "HTTP/1.1 500 \x1b[31m",
            "HTTP/1.1 200 OK\r\nno colon",
            "HTTP/1.1 200 OK\r\nx: a\0b",
            "HTTP/1.1 200 OK\r\nx: a\x07b",
            "HTTP/1.1 200 OK\r\nx\0: y",
            "HTTP/1.1 200 OK\r\n\u{e9}: y",
            "HTTP/1.1 200 OK\r\nspace : y",
            "HTTP/1.1 200 OK\r\nx : y\r\n folded",
            "HTTP/1.1 200 OK\r\n folded\r\nx: y",
            "HTTP/1.1 200 OK\r\nno colon\r\n folded: y",
            "HTTP/1.1 200 OK\r\nx: y\r\n a\0b",
            "HTTP/1.1 200 OK\r\nx: a\rb",
            "HTTP/1.1 200 OK\r\ncontent-length:\r\n 2\r\n 3",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip,\r\n chunked",
        ],
    );
    all_are_good(&[
        "HTTP/1.1 200 OK\r\nx: \u{e9}\u{202e}\r\nContent-Length: 2",
        "HTTP/1.1 200 OK\r\nx: y\r\n folded\r\n\tand again\r\n  \r\nContent-Length: 2",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2",
        "HTTP/1.1 200 OK\nContent-Length: 2",
    ]);
    // Reported before the head ends.
    let server = Server::new(|peer| {
        peer.send("SSH-2.0-OpenSSH_9.2\r\n");
        peer.hang();
    });
    assert_eq!(server.fails().class, Class::Protocol);
}

#[test]
fn head_that_is_too_large_is_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(64 * 1024));
    let name = format!("HTTP/1.1 200 OK\r\n{}: y", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK{}", "\r\nx: y".repeat(20_000));
    let endless = "x".repeat(300_000);
    all_are(Class::Protocol, &[&long, &name, &many, &endless]);
    let most = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(63 * 1024));
    let more = format!("HTTP/1.1 200 OK{}\r\ncontent-length: 2", "\r\nx: y".repeat(5000));
    let read = format!("HTTP/1.1 200 OK{}", "\r\ndate: y".repeat(200));
    all_are(Class::Protocol, &[&read]);
    all_are_good(&[&most, &more]);
}
