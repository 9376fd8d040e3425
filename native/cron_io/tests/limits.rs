//! Time limits: each part of a fetch that hangs or drips ends with its class.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_engine::Class;
use cron_io::Limits;
use std::net::TcpListener;
use std::time::Duration;
use util::{LIMITS, Peer, SHORT, Server, client, get, ok, times_out};

const FIRST_BYTE: Limits = Limits { first_byte: SHORT, ..LIMITS };
const NO_HEAD: &str = "no complete head within 150 ms (cron_first_byte_timeout)";

const TOTAL: Limits = Limits { total: SHORT, ..LIMITS };
const NOT_WHOLE: &str = "no complete response within 150 ms (cron_timeout)";

const CONNECT: Limits = Limits { connect: SHORT, ..LIMITS };
const NO_CONNECTION: &str = "no connection within 150 ms (cron_connect_timeout)";

#[test]
fn answer_that_does_not_come_is_a_first_byte_timeout() {
    let server = Server::new(Peer::hang);
    times_out(&server, &FIRST_BYTE, Class::FirstByteTimeout, NO_HEAD);
}

#[test]
fn head_that_drips_is_a_first_byte_timeout() {
    let server = Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n");
        peer.drip(b"x: y\r\n");
    });
    times_out(&server, &FIRST_BYTE, Class::FirstByteTimeout, NO_HEAD);
}

#[test]
fn interim_responses_that_drip_are_a_first_byte_timeout() {
    let server = Server::new(|peer| {
        peer.request();
        peer.drip(b"HTTP/1.1 102 Processing\r\n\r\n");
    });
    times_out(&server, &FIRST_BYTE, Class::FirstByteTimeout, NO_HEAD);
}

#[test]
fn interim_responses_that_flood_are_a_first_byte_timeout() {
    let server = Server::new(|peer| {
        peer.request();
        peer.flood("HTTP/1.1 102 Processing\r\n\r\n".repeat(1000));
    });
    times_out(&server, &FIRST_BYTE, Class::FirstByteTimeout, NO_HEAD);
}

#[test]
fn head_that_comes_in_time_is_followed_by_a_body_that_takes_longer() {
    let server = Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        std::thread::sleep(SHORT * 2);
        peer.send("{}");
    });
    assert_eq!(server.get(&FIRST_BYTE).unwrap(), b"{}");
}

#[test]
fn missing_answer_is_a_timeout_if_the_total_is_the_shorter_limit() {
    let server = Server::new(Peer::hang);
    times_out(&server, &TOTAL, Class::Timeout, NOT_WHOLE);
    let all = Limits { connect: SHORT, first_byte: SHORT, total: SHORT, ..LIMITS };
    times_out(&server, &all, Class::Timeout, NOT_WHOLE);
}

#[test]
fn body_that_drips_is_a_timeout() {
    for head in ["content-length: 1000000", "connection: close"] {
        let server = Server::new(move |peer| {
            peer.request();
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"));
            peer.drip(b" ");
        });
        times_out(&server, &TOTAL, Class::Timeout, NOT_WHOLE);
    }
}

#[test]
fn chunks_that_drip_are_a_timeout() {
    let server = Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        peer.drip(b"1\r\n \r\n");
    });
    times_out(&server, &TOTAL, Class::Timeout, NOT_WHOLE);
}

#[test]
fn trailers_or_extensions_that_flood_are_refused() {
    for (chunks, flood, told) in [
        ("0\r\n", "x: y\r\n".repeat(1000), "too many trailers"),
        ("0\r\n", "y".repeat(1000), "too many trailers"),
        ("1;", "y".repeat(1000), "its line is too long"),
        ("", format!("1;{}\r\n \r\n", "y".repeat(1000)), "more extensions than data"),
    ] {
        let server = Server::new(move |peer| {
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            peer.send(chunks);
            peer.flood(&flood);
        });
        let failure = server.fails();
        assert_eq!(failure.class, Class::Protocol);
        assert!(failure.detail.contains(told), "{failure}");
    }
}

#[test]
fn trailers_or_extensions_that_drip_are_a_timeout() {
    for (chunks, drip) in [("0\r\n", "x: y\r\n"), ("1;", "y"), ("", "1;x=y\r\n \r\n")] {
        let server = Server::new(move |peer| {
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            peer.send(chunks);
            peer.drip(drip.as_bytes());
        });
        times_out(&server, &TOTAL, Class::Timeout, NOT_WHOLE);
    }
}

#[test]
fn body_of_an_error_that_drips_is_the_error_in_time() {
    let server = Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 1000\r\n\r\n");
        peer.drip(b" ");
    });
    let failure = server.get(&TOTAL).unwrap_err();
    assert_eq!(failure.class, Class::Status);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn redirects_that_take_their_time_are_a_timeout_of_the_whole() {
    let server = Server::new(|peer| {
        while peer.request().is_some() {
            std::thread::sleep(SHORT / 2);
            peer.send("HTTP/1.1 302 Found\r\nlocation: /on\r\ncontent-length: 0\r\n\r\n");
        }
    });
    times_out(&server, &TOTAL, Class::Timeout, NOT_WHOLE);
}

#[test]
fn handshake_that_hangs_or_drips_is_a_connect_timeout() {
    for drips in [true, false] {
        let server = Server::new(move |peer| {
            // The head announces a TLS record, which then arrives byte by byte.
            peer.send([22, 3, 3, 0x40, 0]);
            if drips { peer.drip(&[2]) } else { peer.hang() }
        });
        let failure = get(&client(), &format!("https://{}", server.address), &CONNECT).unwrap_err();
        assert_eq!(
            (failure.class, failure.detail.as_str()),
            (Class::ConnectTimeout, NO_CONNECTION)
        );
    }
}

#[test]
fn connection_that_is_refused_is_no_timeout() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = get(&client(), &format!("http://{address}"), &LIMITS).unwrap_err();
    assert_eq!(failure.class, Class::Connect);
    assert!(failure.detail.contains("refused"), "{}", failure.detail);
}

#[test]
fn answer_within_all_limits_is_the_body() {
    assert_eq!(Server::answering(ok("{}")).get(&LIMITS).unwrap(), b"{}");
}

#[test]
fn fetch_of_a_client_that_is_shut_down_ends_at_once() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"] {
        let (asked, was_asked) = std::sync::mpsc::channel();
        let server = Server::new(move |peer| {
            peer.request();
            peer.send(answer);
            asked.send(()).unwrap();
            peer.hang();
        });
        let (client, url) = (client(), server.url());
        std::thread::scope(|scope| {
            let fetch = scope.spawn(|| get(&client, &url, &LIMITS));
            was_asked.recv().unwrap();
            client.shutdown();
            assert_eq!(fetch.join().unwrap().unwrap_err().class, Class::Connect);
        });
        assert_eq!(get(&client, &url, &LIMITS).unwrap_err().class, Class::Connect);
        assert_eq!(server.connections(), 1);
    }
}
