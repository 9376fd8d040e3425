//! Bodies of good responses: accepted encodings, size limits as sent and as inflated, and requests
//! for room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_engine::Class;
use cron_io::{Limits, Target};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use util::{LIMITS, Server, client, ok, with_headers};

const MIB: usize = 1 << 20;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Incompressible bytes.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn encoded(encoding: &str, body: impl AsRef<[u8]>) -> Server {
    Server::answering(with_headers(&format!("content-encoding: {encoding}\r\n"), body))
}

fn chunked(headers: &str, chunk: &[u8]) -> Server {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}transfer-encoding: chunked\r\n\r\n");
    let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
    Server::new(move |peer| {
        peer.request();
        peer.send(&head);
        peer.flood(&chunk);
    })
}

fn at_most(max_bytes: usize) -> Limits {
    Limits { max_bytes: max_bytes as u64, ..LIMITS }
}

/// Asserts that a body above the limit is refused, and the text of the failure.
fn is_too_large(server: &Server, max_bytes: usize, how: &str) {
    let failure = server.get(&at_most(max_bytes)).unwrap_err();
    assert_eq!(failure.class, Class::BodyTooLarge);
    let told = format!("the body {how} more than {max_bytes} bytes (cron_max_page_bytes)");
    assert_eq!(failure.detail, told);
}

fn is_badly_encoded(server: &Server, told: &str) {
    let failure = server.fails();
    assert_eq!(failure.class, Class::BadEncoding);
    assert!(failure.detail.contains(told), "{}", failure.detail);
}

#[test]
fn body_in_gzip_is_inflated() {
    for encoding in ["gzip", "GZip", "x-gzip", "identity, gzip", "gzip,"] {
        let server = encoded(encoding, gzip(b"{\"edges\":[]}"));
        assert_eq!(server.get(&LIMITS).unwrap(), b"{\"edges\":[]}", "{encoding}");
    }
}

#[test]
fn body_in_gzip_of_several_members_is_inflated() {
    let members = [gzip(b"{\"edges\""), gzip(b""), gzip(b":[]}")].concat();
    assert_eq!(encoded("gzip", members).get(&LIMITS).unwrap(), b"{\"edges\":[]}");
}

#[test]
fn body_in_gzip_padded_with_zeros_is_inflated() {
    for zeros in [1, 2, 511, 100_000] {
        let padded = [gzip(b"{\"edges\""), gzip(b":[]}"), vec![0; zeros]].concat();
        assert_eq!(encoded("gzip", padded).get(&LIMITS).unwrap(), b"{\"edges\":[]}", "{zeros}");
    }
    // As sent, this is within the limit.
    let padded = [gzip(b"{}"), vec![0; 20_000]].concat();
    is_too_large(&encoded("gzip", &padded), 10_000, "is");
    is_too_large(&chunked("content-encoding: gzip\r\n", &padded), 10_000, "is");
}

#[test]
fn uncompressed_body_is_accepted() {
    for encoding in ["identity", "", "IDENTITY", "identity, identity"] {
        assert_eq!(encoded(encoding, b"{}").get(&LIMITS).unwrap(), b"{}", "{encoding}");
    }
}

#[test]
fn request_accepts_gzip_only() {
    let server = Server::answering(ok("{}"));
    server.get(&LIMITS).unwrap();
    let head = server.requests().remove(0).to_ascii_lowercase();
    assert!(head.contains("\r\naccept-encoding: gzip\r\n"), "{head}");
    assert!(head.contains("\r\naccept: application/json\r\n"), "{head}");
}

#[test]
fn encoding_that_was_not_asked_for_is_refused() {
    for encoding in ["br", "deflate", "zstd", "compress", "gzip, br", "aws-chunked"] {
        is_badly_encoded(&encoded(encoding, gzip(b"{}")), "asked for gzip");
    }
    is_badly_encoded(&encoded("\u{e9}", b"{}"), "content-encoding is not text");
}

#[test]
fn encodings_that_are_stacked_are_refused() {
    let twice = gzip(&gzip(b"{}"));
    is_badly_encoded(&encoded("gzip, gzip", &twice), "gzip twice");
    let lines = with_headers("content-encoding: gzip\r\ncontent-encoding: x-gzip\r\n", &twice);
    is_badly_encoded(&Server::answering(lines), "gzip twice");
}

#[test]
fn gzip_that_is_damaged_is_refused() {
    let good = gzip(&noise(10_000));
    let mut flipped = good.clone();
    flipped[5000] ^= 0x10;
    let mut checksum = good.clone();
    let crc = checksum.len() - 8;
    checksum[crc] ^= 1;
    for damaged in [
        flipped,
        checksum,
        good[..good.len() - 1].to_vec(),
        good[..5].to_vec(),
        [good.as_slice(), b"and more"].concat(),
        [good.as_slice(), b"\0\0and more"].concat(),
        [good.as_slice(), b"\0", &good].concat(),
        [b"\0", good.as_slice()].concat(),
        b"\0\0".to_vec(),
        b"{\"edges\":[]}".to_vec(),
        Vec::new(),
    ] {
        is_badly_encoded(&encoded("gzip", damaged), "damaged gzip");
    }
}

#[test]
fn body_of_the_largest_size_is_taken_and_a_byte_more_is_not() {
    let body = noise(10_000);
    for server in [Server::answering(ok(&body)), encoded("gzip", gzip(&body))] {
        // Incompressible bytes are larger when compressed.
        assert_eq!(server.get(&at_most(10_100)).unwrap(), body);
    }
    let server = Server::answering(ok(&body));
    assert_eq!(server.get(&at_most(10_000)).unwrap(), body);
    is_too_large(&server, 9_999, "is");
    let zeros = encoded("gzip", gzip(&[0; 10_000]));
    assert_eq!(zeros.get(&at_most(10_000)).unwrap().len(), 10_000);
    is_too_large(&zeros, 9_999, "inflates to");
}

#[test]
fn body_that_is_announced_as_too_large_is_not_waited_for() {
    let server = Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10001\r\n\r\n");
        peer.hang();
    });
    is_too_large(&server, 10_000, "is");
}

#[test]
fn body_that_is_sent_without_end_is_too_large() {
    is_too_large(&chunked("", &[b' '; 5000]), 2 * MIB, "is");
    is_too_large(&chunked("content-encoding: gzip\r\n", &gzip(&noise(9))), 20_000, "is");
}

#[test]
fn body_that_inflates_without_end_is_too_large() {
    is_too_large(&encoded("gzip", gzip(&vec![0; 8 * MIB])), MIB, "inflates to");
}

#[test]
fn gzip_that_inflates_to_nothing_without_end_is_too_large() {
    is_too_large(&chunked("content-encoding: gzip\r\n", &gzip(b"")), MIB, "is");
    // A single member of empty stored blocks.
    let server = Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.0 200 OK\r\ncontent-encoding: gzip\r\n\r\n");
        peer.send([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        peer.flood([0, 0, 0, 0xff, 0xff].repeat(1000));
    });
    is_too_large(&server, MIB, "is");
    // An endless comment.
    let server = Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.0 200 OK\r\ncontent-encoding: gzip\r\n\r\n");
        peer.send([0x1f, 0x8b, 8, 0x10, 0, 0, 0, 0, 0, 3]);
        peer.flood([b'c'; 1000]);
    });
    is_badly_encoded(&server, "damaged gzip");
}

#[test]
fn body_that_breaks_off_is_no_fault_of_its_encoding() {
    let half = gzip(&noise(10_000));
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 20000\r\n\r\n";
    let server = Server::answering_once([head.as_bytes(), &half].concat());
    assert_eq!(server.fails().class, Class::Connect);
}

/// The requests for room while a body of `size` bytes is read. The first `granted` requests
/// succeed.
fn asked(size: usize, max_bytes: usize, granted: usize) -> (Vec<u64>, Result<usize, Class>) {
    let server = Server::answering(ok(vec![b' '; size]));
    let target = Target::new(&server.url()).unwrap();
    let (mut body, mut asked) = (Vec::new(), Vec::new());
    let mut room = |bytes| {
        asked.push(bytes);
        asked.len() <= granted
    };
    let got = client().get(&target, "/", &at_most(max_bytes), &mut body, &mut room);
    (asked, got.map(|()| body.len()).map_err(|failure| failure.class))
}

#[test]
fn body_asks_for_room_before_each_further_mib() {
    let mib = MIB as u64;
    for size in [0, 1, MIB - 1, MIB] {
        assert_eq!(asked(size, 4 * MIB, 0), (vec![], Ok(size)));
    }
    assert_eq!(asked(MIB + 1, 4 * MIB, 9), (vec![mib], Ok(MIB + 1)));
    assert_eq!(asked(2 * MIB, 4 * MIB, 9), (vec![mib], Ok(2 * MIB)));
    assert_eq!(asked(3 * MIB + 1, 4 * MIB, 9), (vec![mib; 3], Ok(3 * MIB + 1)));
    assert_eq!(asked(MIB + 10, MIB + 10, 9), (vec![10], Ok(MIB + 10)));
}

#[test]
fn body_without_room_has_its_own_failure() {
    assert_eq!(asked(3 * MIB, 4 * MIB, 1).1, Err(Class::NoRoom));
    assert_eq!(asked(3 * MIB, 4 * MIB, 0).0.len(), 1);
}

#[test]
fn memory_grows_with_what_comes_and_not_with_what_is_announced() {
    let server = Server::answering_once("HTTP/1.1 200 OK\r\ncontent-length: 4000000000\r\n\r\n{}");
    let target = Target::new(&server.url()).unwrap();
    let mut body = Vec::new();
    let failure = client().get(&target, "/", &at_most(1 << 32), &mut body, &mut |_| true);
    assert_eq!(failure.unwrap_err().class, Class::Connect);
    assert!(body.capacity() <= MIB, "{}", body.capacity());
    let zeros = encoded("gzip", gzip(&vec![0; 3 * MIB + 5]));
    let target = Target::new(&zeros.url()).unwrap();
    client().get(&target, "/", &at_most(9 * MIB), &mut body, &mut |_| true).unwrap();
    assert_eq!(body.len(), 3 * MIB + 5);
    assert!(body.capacity() <= 4 * MIB, "{}", body.capacity());
}
