//! The proxy from the environment. The environment belongs to the whole OS process, so each case
//! runs in a child process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_io::{Client, ClientOptions, Limits};
use std::process::Command;
use std::time::{Duration, Instant};
use util::ca::Ca;
use util::{LIMITS, Peer, Server, get, ok};

const NAMES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// The outcome of fetching `url` in a child process with this environment, as text.
fn outcome(url: &str, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_that_gets", "--nocapture", "--include-ignored"]);
    for name in NAMES.into_iter().chain(["NO_PROXY", "no_proxy"]) {
        child.env_remove(name);
    }
    child.env("TEST_URL", url).envs(environment.iter().copied());
    let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
    let (_, outcome) = output.split_once("outcome: ").expect(&output);
    outcome.lines().next().unwrap().to_owned()
}

#[test]
#[ignore = "no test, but what the children do"]
fn child_that_gets() {
    let Ok(url) = std::env::var("TEST_URL") else { return };
    let cacertfile = std::env::var_os("TEST_CACERTFILE").map(Into::into);
    let client = Client::new(&ClientOptions { connections: 1, cacertfile }).unwrap();
    let connect = std::env::var("TEST_CONNECT")
        .map_or(LIMITS.connect, |text| Duration::from_millis(text.parse().unwrap()));
    let outcome = get(&client, &url, &Limits { connect, ..LIMITS });
    println!("outcome: {:?}", outcome.map(|body| String::from_utf8(body).unwrap()));
}

/// A proxy that answers on behalf of every target.
fn proxy() -> Server {
    Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 Connected\r\nvia: x\r\n\r\n");
        peer.answer_all(&ok("proxied"));
    })
}

fn of(server: &Server) -> String {
    format!("http://us%40er:pass-secret@{}", server.address)
}

/// A URL of a local server that is not recognised as loopback.
fn unspecified(server: &Server) -> String {
    format!("http://0.0.0.0:{}", server.address.port())
}

#[test]
fn proxy_of_each_name_is_used() {
    for name in NAMES {
        let proxy = proxy();
        assert_eq!(outcome("http://cu.test/base", &[(name, &of(&proxy))]), "Ok(\"proxied\")");
        let [connect, get] = proxy.requests().try_into().unwrap();
        assert!(connect.starts_with("CONNECT cu.test:80 HTTP/1.1\r\n"), "{connect}");
        // us@er:pass-secret
        let credentials = "Proxy-Authorization: Basic dXNAZXI6cGFzcy1zZWNyZXQ=\r\n";
        assert!(connect.contains(credentials), "{connect}");
        assert!(get.starts_with("GET /base/cron/x?"), "{get}");
        assert!(!get.contains("dXNAZXI6cGFzcy1zZWNyZXQ="), "{get}");
    }
}

#[test]
fn https_goes_through_the_proxy_encrypted() {
    let ca = Ca::new();
    let (good, wrong) = (ca.config("cu.test", |_| {}), ca.config("proxy.test", |_| {}));
    for (config, expected) in [(good, "Ok(\"proxied\")"), (wrong, "for another host")] {
        let proxy = Server::new(move |peer| {
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\n\r\n");
            peer.start_tls(config.clone());
            peer.answer_all(&ok("proxied"));
        });
        let file = ca.file.path().to_str().unwrap();
        let url = of(&proxy);
        let environment = [("HTTPS_PROXY", url.as_str()), ("TEST_CACERTFILE", file)];
        let outcome = outcome("https://user:password@cu.test", &environment);
        assert!(outcome.contains(expected), "{outcome}");
        let connect = proxy.requests().remove(0);
        assert!(connect.starts_with("CONNECT cu.test:443 HTTP/1.1\r\n"), "{connect}");
    }
}

#[test]
fn proxy_of_socks_is_used() {
    let proxy = Server::new(|peer| {
        assert_eq!(peer.bytes(), [5, 1, 0]);
        peer.send([5, 0]);
        assert_eq!(&peer.bytes::<14>(), b"\x05\x01\x00\x03\x07cu.test\x00\x50");
        peer.send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        peer.answer_all(&ok("proxied"));
    });
    let url = format!("socks5h://{}", proxy.address);
    assert_eq!(outcome("http://cu.test", &[("ALL_PROXY", &url)]), "Ok(\"proxied\")");
}

#[test]
fn host_of_no_proxy_is_asked_directly() {
    let server = Server::answering(ok("direct"));
    for (no_proxy, expected) in [
        ("0.0.0.0", "Ok(\"direct\")"),
        ("cu.test,0.0.0.0", "Ok(\"direct\")"),
        ("*", "Ok(\"direct\")"),
        ("cu.test", "Ok(\"proxied\")"),
        ("", "Ok(\"proxied\")"),
    ] {
        let proxy = proxy();
        let url = of(&proxy);
        let environment = [("HTTP_PROXY", url.as_str()), ("NO_PROXY", no_proxy)];
        assert_eq!(outcome(&unspecified(&server), &environment), expected, "{no_proxy}");
    }
}

#[test]
fn host_that_is_this_one_is_asked_directly() {
    let (server, proxy) = (Server::answering(ok("direct")), proxy());
    for host in ["127.0.0.1", "localhost", "LOCALHOST"] {
        let url = format!("http://{host}:{}", server.address.port());
        assert_eq!(outcome(&url, &[("ALL_PROXY", &of(&proxy))]), "Ok(\"direct\")", "{host}");
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn answer_through_a_proxy_may_take_longer_than_the_connection() {
    let proxy = Server::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        peer.request();
        std::thread::sleep(Duration::from_millis(1500));
        peer.send(ok("proxied"));
    });
    let url = of(&proxy);
    let environment = [("HTTP_PROXY", url.as_str()), ("TEST_CONNECT", "1000")];
    assert_eq!(outcome("http://cu.test", &environment), "Ok(\"proxied\")");
}

/// The failure with a proxy that runs this script. Asserts that it does not name the target.
fn told(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> String {
    let proxy = Server::new(script);
    let url = of(&proxy);
    let environment = [("HTTP_PROXY", url.as_str()), ("TEST_CONNECT", "1000")];
    let told = outcome("http://user:cu-secret@cu.test", &environment);
    for secret in ["us%40er", "us@er", "secret", "dXN", "a cursor", "a%20cursor"] {
        assert!(!told.contains(secret), "{told}");
    }
    told
}

#[test]
fn refusal_of_a_proxy_is_reported_with_its_status() {
    for (expected, answer) in [
        ("403", "HTTP/1.1 403 pass-secret\r\n\r\n"),
        ("407", "HTTP/1.1 407 Proxy\r\nproxy-authenticate: Basic realm=\"pass-secret\"\r\n\r\n"),
        ("502", "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 11\r\n\r\npass-secret"),
        ("Protocol", "HTTP/1.1 403 \u{1b}[31mpass-secret\r\n\r\n"),
    ] {
        let told = told(move |peer| {
            peer.request();
            peer.send(answer);
        });
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn proxy_that_closes_is_a_failure_of_the_connection() {
    let told = told(|peer| {
        peer.request();
    });
    assert!(told.contains("class: Connect,"), "{told}");
}

#[test]
fn proxy_that_is_down_is_a_failure_of_the_connection() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://user:secret@{address}");
    let told = outcome("http://cu.test", &[("HTTP_PROXY", &url)]);
    assert!(told.contains("class: Connect,") && !told.contains("secret"), "{told}");
}

#[test]
fn proxy_that_hangs_or_drips_is_a_connect_timeout() {
    for drips in [true, false] {
        let begun = Instant::now();
        let told = told(move |peer| {
            peer.request();
            if drips { peer.drip(b"HTTP/1.1 200 OK") } else { peer.hang() }
        });
        assert!(told.contains("no connection within 1000 ms (cron_connect_timeout)"), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn invalid_proxy_is_reported_with_its_variable_and_not_bypassed() {
    let server = Server::answering(ok("direct"));
    for (url, expected) in [
        (
            "ftp://pass-secret@proxy:1",
            "the variable HTTP_PROXY does not name a proxy: its scheme is not one of",
        ),
        ("proxy://x", "its scheme is not one of http, https, socks4"),
        ("http://user:pass-secret@proxy:99999", "does not name a proxy: the port is not a number"),
        ("http://proxy:+80", "does not name a proxy: the port is not a number"),
        ("proxy:", "does not name a proxy: the port is not a number"),
        ("socks5://", "does not name a proxy: the host is not a name"),
        ("http://127.1:1", "does not name a proxy: the host is not a name"),
        ("http://us%zzer:%ff@proxy:1", "does not name a proxy: it is not a URL"),
        (" ", "does not name a proxy: a character that is not allowed in a URL"),
    ] {
        let told = outcome(&unspecified(&server), &[("HTTP_PROXY", url)]);
        assert!(told.contains("class: Connect,") && told.contains(expected), "{url}: {told}");
        assert!(!told.contains("secret"), "{told}");
        // No other variable replaces an invalid one. Exempt hosts are not affected.
        let other = proxy();
        let environment = [("HTTPS_PROXY", url), ("HTTP_PROXY", &of(&other))];
        let told = outcome(&unspecified(&server), &environment);
        assert!(told.contains("the variable HTTPS_PROXY does not name a proxy"), "{url}: {told}");
        let exempt = [("HTTP_PROXY", url), ("NO_PROXY", "cu.test,0.0.0.0")];
        assert_eq!(outcome(&unspecified(&server), &exempt), "Ok(\"direct\")", "{url}");
        let local = format!("http://{}", server.address);
        assert_eq!(outcome(&local, &[("HTTP_PROXY", url)]), "Ok(\"direct\")", "{url}");
    }
    assert_eq!(outcome(&unspecified(&server), &[("HTTP_PROXY", "")]), "Ok(\"direct\")");
}

#[test]
fn unresolved_name_of_a_proxy_is_reported_as_the_proxys() {
    for scheme in ["http", "https", "socks5h", "socks4a"] {
        let url = format!("{scheme}://user:secret@no-such-proxy.invalid:1");
        let told = outcome("http://cu.test", &[("ALL_PROXY", &url)]);
        assert!(told.contains("class: Resolve,"), "{told}");
        assert!(told.contains("the name of the proxy does not resolve"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn proxy_that_is_down_is_reported_as_the_proxy() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["http", "socks5h"] {
        let url = format!("{scheme}://{address}");
        let told = outcome("http://cu.test", &[("ALL_PROXY", &url)]);
        assert!(told.contains("class: Connect,"), "{told}");
        assert!(told.contains("the proxy: Connection refused"), "{told}");
    }
}

#[test]
fn proxy_with_a_long_answer_is_used() {
    let proxy = Server::new(|peer| {
        peer.request();
        peer.send(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n",
        );
        peer.send("x: y\r\n".repeat(50));
        peer.send("x: y\r\n folded\r\n\r\n");
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";
        peer.answer_all(
            format!("{head}\r\n7;an-extension=of-some-length\r\nproxied\r\n0\r\n\r\n").as_bytes(),
        );
    });
    assert_eq!(outcome("http://cu.test", &[("HTTP_PROXY", &of(&proxy))]), "Ok(\"proxied\")");
}
