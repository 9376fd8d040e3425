//! Random answers, and good ones with random damage. A fetch always ends in time, with a body
//! within the limit or a failure that is safe to log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_io::{Client, Limits};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use util::{LIMITS, Server, client, get, ok, with_headers};

/// Long enough to read an answer that has arrived, short enough for hundreds of tests.
const LIMIT: Duration = Duration::from_secs(2);

const MAX_BYTES: u64 = 10_000;

fn good() -> impl Strategy<Value = Vec<u8>> {
    let page = "{\"pageInfo\":{\"hasNextPage\":false},\"edges\":[]}";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(page.repeat(50).as_bytes()).unwrap();
    prop::sample::select(vec![
        ok(page),
        with_headers("content-encoding: gzip\r\n", gzip.finish().unwrap()),
        [b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", ok(page).as_slice()].concat(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
          5;x=y\r\n{\"a\":\r\n2\r\n1}\r\n0\r\nx: y\r\n\r\n"
            .to_vec(),
        b"HTTP/1.0 200 OK\r\nserver: old\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 307 Moved\r\nlocation: /elsewhere?x=y\r\ncontent-length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 503 Busy\r\nretry-after: Tue, 15 Nov 1994 08:14:31 GMT\r\n\
          date: Tue, 15 Nov 1994 08:12:31 GMT\r\ncontent-length: 4\r\n\r\nbusy"
            .to_vec(),
    ])
}

/// One kind of damage.
#[derive(Debug, Clone)]
enum Damage {
    Byte(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let telling = prop::sample::select(b"\0\r\n :;,-+0129aFx\x7f\xff\x1b{}".to_vec());
    let byte = prop_oneof![any::<u8>(), telling];
    prop_oneof![
        4 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        2 => (any::<Index>(), vec(byte, 1..40)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Remove(from, to)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        1 => any::<Index>().prop_map(Damage::Cut),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: Vec<Damage>) -> Vec<u8> {
    for damage in damages {
        let between = |from: Index, to: Index| {
            let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
            from.min(to)..from.max(to)
        };
        match damage {
            Damage::Byte(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            Damage::Byte(..) => {}
            Damage::Insert(at, inserted) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, inserted);
            }
            Damage::Remove(from, to) => drop(bytes.drain(between(from, to))),
            Damage::Repeat(from, to) => {
                let repeated = bytes[between(from, to)].to_vec();
                bytes.extend(repeated);
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
        }
    }
    bytes
}

/// Fetches each of the answers in turn. The server closes the connection after each.
fn every_fetch_ends(cases: u32, answers: &impl Strategy<Value = Vec<u8>>) {
    let answer = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::clone(&answer);
    let server = Server::new(move |peer| {
        peer.request();
        let bytes = script.lock().unwrap().clone();
        peer.send(bytes);
    });
    let (client, url) = (client(), server.url());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(answers, |bytes| {
            answer.lock().unwrap().clone_from(&bytes);
            fetch_ends(&client, &url)
        })
        .unwrap();
}

fn fetch_ends(client: &Client, url: &str) -> Result<(), TestCaseError> {
    let begun = Instant::now();
    let outcome = get(client, url, &Limits { total: LIMIT, max_bytes: MAX_BYTES, ..LIMITS });
    prop_assert!(begun.elapsed() < LIMIT * 4, "{:?}", begun.elapsed());
    match outcome {
        Ok(body) => prop_assert!(body.len() as u64 <= MAX_BYTES),
        Err(failure) => {
            prop_assert!(!failure.detail.is_empty());
            prop_assert!(failure.detail.chars().count() < 300, "{failure}");
            prop_assert!(!failure.detail.chars().any(char::is_control), "{failure}");
            let waits = failure.retry_after.unwrap_or_default();
            prop_assert!(waits <= cron_io::MAX_RETRY_AFTER);
        }
    }
    Ok(())
}

#[test]
fn fetch_of_a_damaged_answer_ends() {
    every_fetch_ends(
        600,
        &(good(), vec(damage(), 1..6)).prop_map(|(good, all)| damaged(good, all)),
    );
}

#[test]
fn fetch_of_random_bytes_ends() {
    every_fetch_ends(200, &vec(any::<u8>(), 0..2000));
}

#[test]
fn fetch_of_random_bytes_behind_a_good_head_ends() {
    let head = prop::sample::select(vec![
        "content-encoding: gzip\r\n\r\n",
        "content-encoding: gzip\r\n\r\n\x1f",
        "transfer-encoding: chunked\r\n\r\n",
        "content-length: 1000\r\n\r\n",
    ]);
    let answers = (head, vec(any::<u8>(), 0..2000))
        .prop_map(|(head, bytes)| [b"HTTP/1.1 200 OK\r\n", head.as_bytes(), &bytes].concat());
    every_fetch_ends(200, &answers);
}
