//! HTTPS accepts only a certificate that is valid for the host and has a trusted issuer. The tests
//! create the CA.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_engine::{Class, Failure};
use cron_io::{Client, Limits};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use std::sync::{Arc, Mutex};
use util::ca::{Ca, config};
use util::{LIMITS, SHORT, Server, client, get, ok};

fn ask(client: &Client, server: &Server, host: &str) -> Result<Vec<u8>, Failure> {
    get(client, &format!("https://user:password@{host}:{}", server.address.port()), &LIMITS)
}

/// Asserts that the connection is refused with this text, and that no request was sent.
fn is_refused(outcome: Result<Vec<u8>, Failure>, server: &Server, told: &str) {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.class, Class::Tls);
    assert!(failure.detail.contains(told), "{}", failure.detail);
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn certificate_of_the_files_ca_is_accepted() {
    let ca = Ca::new();
    assert_eq!(ca.get(&ca.answers("127.0.0.1", |_| {})).unwrap(), b"{}");
    let named = ca.answers("localhost", |_| {});
    assert_eq!(ask(&ca.client(), &named, "localhost").unwrap(), b"{}");
}

#[test]
fn certificate_of_an_intermediate_ca_is_accepted_with_its_chain() {
    let ca = Ca::new();
    let (key, leaf_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let between = params.signed_by(&key, &ca.issuer).unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(params, key)).unwrap();
    let whole = config(vec![leaf.der().clone(), between.der().clone()], &leaf_key);
    let server = Server::with_tls(whole, |peer| peer.answer_all(&ok("{}")));
    assert_eq!(ca.get(&server).unwrap(), b"{}");
    let cut = config(vec![leaf.der().clone()], &leaf_key);
    let server = Server::with_tls(cut, |peer| peer.answer_all(&ok("{}")));
    is_refused(ca.get(&server), &server, "issuer of the certificate is not trusted");
}

#[test]
fn certificate_of_an_unknown_ca_is_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = ca.answers("127.0.0.1", |_| {});
    is_refused(ask(&client(), &server, "127.0.0.1"), &server, "(cron_cacertfile adds issuers)");
    is_refused(other.get(&server), &server, "issuer of the certificate is not trusted");
}

#[test]
fn certificate_that_signed_itself_is_refused() {
    let (ca, key) = (Ca::new(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = params.self_signed(&key).unwrap();
    let server = Server::with_tls(config(vec![own.der().clone()], &key), |peer| {
        peer.answer_all(&ok("{}"));
    });
    is_refused(ca.get(&server), &server, "issuer of the certificate is not trusted");
}

#[test]
fn certificate_for_another_host_is_refused() {
    let ca = Ca::new();
    for host in ["127.0.0.2", "localhost", "cu.example"] {
        let server = ca.answers(host, |_| {});
        is_refused(ca.get(&server), &server, "for another host");
    }
    let server = ca.answers("127.0.0.1", |_| {});
    is_refused(ask(&ca.client(), &server, "localhost"), &server, "for another host");
}

#[test]
fn certificate_at_the_wrong_time_is_refused() {
    let ca = Ca::new();
    let server = ca.answers("127.0.0.1", |params| params.not_after = date_time_ymd(2020, 1, 1));
    is_refused(ca.get(&server), &server, "has expired");
    let server = ca.answers("127.0.0.1", |params| params.not_before = date_time_ymd(2200, 1, 1));
    is_refused(ca.get(&server), &server, "is not valid yet");
}

#[test]
fn peer_that_does_not_speak_tls_is_refused() {
    for (answer, reads) in [("HTTP/1.1 400 Bad Request\r\n\r\n", true), ("", true), ("", false)] {
        let server = Server::new(move |peer| {
            // The kernel resets a connection that is closed with unread bytes.
            let count = if reads { 100 } else { 1 };
            (0..count).all(|_| peer.byte());
            peer.send(answer);
            peer.close();
        });
        is_refused(ask(&client(), &server, "127.0.0.1"), &server, "plain HTTP?");
    }
}

#[test]
fn handshake_that_the_server_refuses_is_a_failure_of_tls() {
    let alert = [21, 3, 3, 0, 2, 2, 40];
    let server = Server::new(move |peer| {
        peer.byte();
        peer.send(alert);
        peer.hang();
    });
    is_refused(ask(&client(), &server, "127.0.0.1"), &server, "HandshakeFailure");
}

#[test]
fn connection_is_used_again() {
    let ca = Ca::new();
    let (client, server) = (ca.client(), ca.answers("127.0.0.1", |_| {}));
    for _ in 0..10 {
        assert_eq!(ask(&client, &server, "127.0.0.1").unwrap(), b"{}");
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 10));
}

#[test]
fn extra_response_is_not_an_answer() {
    let ca = Ca::new();
    // In the record of the real response, and in a separate one: both are decrypted with it.
    for at_once in [true, false] {
        let server = ca.serves(
            "127.0.0.1",
            |_| {},
            move |peer| {
                if peer.number > 1 {
                    return peer.answer_all(&ok("later"));
                }
                peer.request();
                if at_once {
                    peer.send([ok("real"), ok("unasked")].concat());
                } else {
                    peer.send_together(&[&ok("real"), &ok("unasked")]);
                }
                peer.hang();
            },
        );
        let client = ca.client();
        assert_eq!(ask(&client, &server, "127.0.0.1").unwrap(), b"real");
        assert_eq!(ask(&client, &server, "127.0.0.1").unwrap(), b"later");
    }
}

#[test]
fn connection_that_was_closed_is_no_failure_and_its_session_is_resumed() {
    let ca = Ca::new();
    let resumed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&resumed);
    let server = ca.serves(
        "127.0.0.1",
        |_| {},
        move |peer| {
            peer.request();
            seen.lock().unwrap().push(peer.is_resumed());
            peer.send(ok("{}"));
            peer.request();
            peer.close();
        },
    );
    let client = ca.client();
    for _ in 0..3 {
        assert_eq!(ask(&client, &server, "127.0.0.1").unwrap(), b"{}");
    }
    assert_eq!(server.connections(), 3);
    assert_eq!(*resumed.lock().unwrap(), [false, true, true]);
}

#[test]
fn body_that_breaks_off_is_a_failure_of_the_connection() {
    let ca = Ca::new();
    let server = ca.serves(
        "127.0.0.1",
        |_| {},
        |peer| {
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"edges\":");
            peer.close();
        },
    );
    assert_eq!(ca.get(&server).unwrap_err().class, Class::Connect);
}

#[test]
fn answer_that_drips_is_a_timeout() {
    let ca = Ca::new();
    let server = ca.serves(
        "127.0.0.1",
        |_| {},
        |peer| {
            peer.request();
            peer.drip(b"HTTP/1.1 102 Processing\r\n\r\n");
        },
    );
    let url = format!("https://{}", server.address);
    let limits = Limits { first_byte: SHORT, ..LIMITS };
    assert_eq!(get(&ca.client(), &url, &limits).unwrap_err().class, Class::FirstByteTimeout);
    let limits = Limits { total: SHORT, ..LIMITS };
    assert_eq!(get(&ca.client(), &url, &limits).unwrap_err().class, Class::Timeout);
}

#[test]
fn record_that_was_tampered_with_is_a_failure_of_tls() {
    let ca = Ca::new();
    let server = ca.serves(
        "127.0.0.1",
        |_| {},
        |peer| {
            peer.request();
            peer.send_beneath(&[23, 3, 3, 0, 32]);
            peer.send_beneath(&[7; 32]);
            peer.hang();
        },
    );
    assert_eq!(ca.get(&server).unwrap_err().class, Class::Tls);
}
