//! Reuse of connections: they are reused, leftover bytes never count as an answer, and an idle
//! connection that the server closed causes no failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_engine::Class;
use cron_io::{Client, ClientOptions, Limits};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use util::ca::Ca;
use util::{LIMITS, Peer, Server, client, get, ok};

fn ask(client: &Client, server: &Server) -> Result<Vec<u8>, Class> {
    get(client, &server.url(), &LIMITS).map_err(|failure| failure.class)
}

/// A signal that a test sends once, and a script waits for.
fn turn() -> (Sender<()>, Mutex<Receiver<()>>) {
    let (give, wait) = channel();
    (give, Mutex::new(wait))
}

/// A server whose first connection follows `script`; later ones answer with `later`.
fn first(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Server {
    Server::new(
        move |peer| if peer.number == 1 { script(peer) } else { peer.answer_all(&ok("later")) },
    )
}

#[test]
fn connection_is_reused_after_every_complete_response() {
    for answer in [
        ok("{}"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_vec(),
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n".to_vec(),
        b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
    ] {
        let (client, server) = (client(), Server::answering(answer));
        let answers: Vec<_> = (0..10).map(|_| ask(&client, &server)).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert_eq!((server.connections(), server.requests().len()), (1, 10));
    }
}

#[test]
fn connection_is_not_used_again_where_the_next_response_may_not_begin() {
    for answer in [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
        // Refused before the body is read.
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_vec(),
        b"HTTP/1.1 503 X\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_vec(),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(),
        [b"HTTP/1.1 500 X\r\ncontent-length: 20000\r\n\r\n".as_slice(), &b" ".repeat(20_000)].concat(),
    ] {
        let (client, server) = (client(), Server::answering(answer));
        let answers: Vec<_> = (0..3).map(|_| ask(&client, &server)).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert_eq!(server.connections(), 3);
    }
}

#[test]
fn extra_response_after_the_real_one_is_not_an_answer() {
    let server = first(|peer| peer.answer_all(&[ok("real"), ok("unasked")].concat()));
    let client = client();
    assert_eq!(ask(&client, &server).unwrap(), b"real");
    assert_eq!(ask(&client, &server).unwrap(), b"later");
}

#[test]
fn response_on_an_idle_connection_is_not_an_answer() {
    for unasked in [ok("unasked"), b" ".to_vec()] {
        let (rests, rested) = turn();
        let (sent, was_sent) = channel();
        let server = first(move |peer| {
            peer.request();
            peer.send(ok("real"));
            rested.lock().unwrap().recv().unwrap();
            peer.send(&unasked);
            sent.send(()).unwrap();
            peer.hang();
        });
        let client = client();
        assert_eq!(ask(&client, &server).unwrap(), b"real");
        rests.send(()).unwrap();
        was_sent.recv().unwrap();
        assert_eq!(ask(&client, &server).unwrap(), b"later");
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn idle_connection_closed_by_the_server_causes_no_failure() {
    let (rests, rested) = turn();
    let (closed, was_closed) = channel();
    let server = first(move |peer| {
        peer.request();
        peer.send(ok("real"));
        rested.lock().unwrap().recv().unwrap();
        peer.close();
        closed.send(()).unwrap();
    });
    let client = client();
    assert_eq!(ask(&client, &server).unwrap(), b"real");
    rests.send(()).unwrap();
    was_closed.recv().unwrap();
    assert_eq!(ask(&client, &server).unwrap(), b"later");
    assert_eq!(server.connections(), 2);
}

#[test]
fn connection_closed_as_the_request_arrives_causes_no_failure() {
    for reads_the_request in [true, false] {
        let server = first(move |peer| {
            peer.request();
            peer.send(ok("real"));
            // The kernel resets a connection that is closed with an unread request.
            if reads_the_request {
                peer.request().is_some()
            } else {
                peer.byte()
            };
        });
        let client = client();
        assert_eq!(ask(&client, &server).unwrap(), b"real");
        assert_eq!(ask(&client, &server).unwrap(), b"later");
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn connections_that_were_all_closed_cost_one_attempt() {
    let arrived = Arc::new(Barrier::new(3));
    let server = Server::new(move |peer| {
        if peer.number > 3 {
            return peer.answer_all(&ok("later"));
        }
        peer.request();
        arrived.wait();
        peer.send(ok("real"));
        // Closed only by the next request, so that no connection is known to be closed earlier.
        peer.request();
    });
    let client = client();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(ask(&client, &server).unwrap(), b"real"));
        }
    });
    assert_eq!(ask(&client, &server).unwrap(), b"later");
    assert_eq!((server.connections(), server.requests().len()), (4, 5));
}

#[test]
fn new_connection_that_closes_without_an_answer_is_a_failure_at_once() {
    let server = Server::answering_once("");
    assert_eq!(ask(&client(), &server), Err(Class::Connect));
    assert_eq!(server.connections(), 1);
}

#[test]
fn server_that_closes_without_an_answer_gets_two_requests_at_most() {
    let server = Server::new(|peer| {
        peer.request();
        if peer.number == 1 {
            peer.send(ok("real"));
            peer.request();
        }
    });
    let client = client();
    assert_eq!(ask(&client, &server).unwrap(), b"real");
    assert_eq!(ask(&client, &server), Err(Class::Connect));
    assert_eq!((server.connections(), server.requests().len()), (2, 3));
}

#[test]
fn answer_that_breaks_off_on_a_kept_connection_is_a_failure() {
    let server = first(|peer| {
        peer.request();
        peer.send(ok("real"));
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n");
    });
    let client = client();
    assert_eq!(ask(&client, &server).unwrap(), b"real");
    assert_eq!(ask(&client, &server), Err(Class::Connect));
    assert_eq!(server.connections(), 1);
}

#[test]
fn kept_connection_that_does_not_answer_is_a_timeout_and_not_asked_again() {
    let server = first(|peer| {
        peer.request();
        peer.send(ok("real"));
        peer.request();
        peer.hang();
    });
    let client = client();
    assert_eq!(ask(&client, &server).unwrap(), b"real");
    let limits = Limits { first_byte: util::SHORT, ..LIMITS };
    let failure = get(&client, &server.url(), &limits).unwrap_err();
    assert_eq!(failure.class, Class::FirstByteTimeout);
    assert_eq!(server.connections(), 1);
}

/// Answers once, when all of these peers do, and lets the firewall drop the connection while it
/// becomes idle.
fn answer_and_forget(peer: &mut Peer, arrived: &Barrier, forgotten: &Barrier) {
    peer.request();
    arrived.wait();
    peer.send(ok("real"));
    peer.forget();
    forgotten.wait();
    peer.hang();
}

#[test]
fn connections_that_a_firewall_forgot_cost_a_connect_timeout() {
    const MANY: usize = 40;
    for tls in [false, true] {
        let (arrived, forgotten) = (Arc::new(Barrier::new(MANY)), Arc::new(Barrier::new(MANY + 1)));
        let all_forgotten = Arc::clone(&forgotten);
        let script = move |peer: &mut Peer| {
            if peer.number > MANY {
                return peer.answer_all(&ok("later"));
            }
            answer_and_forget(peer, &arrived, &forgotten);
        };
        let ca = Ca::new();
        let (server, scheme) = if tls {
            (ca.serves("127.0.0.1", |_| {}, script), "https")
        } else {
            (Server::new(script), "http")
        };
        let cacertfile = Some(ca.file.path().to_owned());
        let client = Client::new(&ClientOptions { connections: MANY, cacertfile }).unwrap();
        let url = format!("{scheme}://{}", server.address);
        // The first is well below the second, which no answer may take.
        let (connect, first_byte) = (Duration::from_secs(2), Duration::from_secs(15));
        let limits = Limits { connect, first_byte, ..LIMITS };
        let all_get = |expected: &str| {
            std::thread::scope(|scope| {
                for _ in 0..MANY {
                    scope.spawn(|| {
                        assert_eq!(get(&client, &url, &limits).unwrap(), expected.as_bytes());
                    });
                }
            });
        };
        all_get("real");
        all_forgotten.wait();
        all_get("later");
        assert_eq!(server.connections(), 2 * MANY);
    }
}

#[test]
fn connection_found_dead_spares_those_that_rest_with_it() {
    let (arrived, forgotten) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(4)));
    let all_forgotten = Arc::clone(&forgotten);
    let server = Server::new(move |peer| {
        if peer.number > 3 {
            return peer.answer_all(&ok("later"));
        }
        answer_and_forget(peer, &arrived, &forgotten);
    });
    let client = client();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(ask(&client, &server).unwrap(), b"real"));
        }
    });
    all_forgotten.wait();
    // As on a kernel that does not notice: connecting may take longer than the answer.
    let limits = Limits { first_byte: util::SHORT, ..LIMITS };
    let failure = get(&client, &server.url(), &limits).unwrap_err();
    assert_eq!(failure.class, Class::FirstByteTimeout);
    assert_eq!(ask(&client, &server).unwrap(), b"later");
    assert_eq!(server.connections(), 4);
}
