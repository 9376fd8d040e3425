//! A scripted server on loopback, over TCP or TLS, with a thread per connection; and a client.

pub(crate) mod ca;

use cron_engine::{Class, Failure};
use cron_io::{Client, ClientOptions, Limits, Target};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Limits that only a failing test reaches.
pub(crate) const LIMITS: Limits = Limits {
    connect: Duration::from_secs(20),
    first_byte: Duration::from_secs(20),
    total: Duration::from_secs(20),
    max_bytes: 1 << 20,
};

/// A limit that tests reach on purpose.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

/// The pause between two dripping bytes.
const DRIP: Duration = Duration::from_millis(5);

/// A server that runs a script on each connection.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

trait Stream: Read + Write + Send {
    fn tcp(&self) -> &TcpStream;

    fn handshake(&self) -> Option<HandshakeKind> {
        None
    }

    /// Sends each of these in a TLS record, all at once.
    fn records(&mut self, records: &[&[u8]]) -> std::io::Result<()> {
        self.write_all(&records.concat())
    }
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }

    fn handshake(&self) -> Option<HandshakeKind> {
        self.conn.handshake_kind()
    }

    fn records(&mut self, records: &[&[u8]]) -> std::io::Result<()> {
        let mut encrypted = Vec::new();
        for record in records {
            self.conn.writer().write_all(record)?;
            self.conn.write_tls(&mut encrypted)?;
        }
        self.sock.write_all(&encrypted)
    }
}

/// A connection, as seen by the script.
pub(crate) struct Peer {
    stream: Box<dyn Stream>,
    seen: Arc<Seen>,
    /// Counted from 1.
    pub(crate) number: usize,
}

impl Server {
    pub(crate) fn new(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::with(None, script)
    }

    pub(crate) fn with_tls(
        config: ServerConfig,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        Self::with(Some(Arc::new(config)), script)
    }

    fn with(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Seen>::default());
        let server = Self { address, seen: Arc::clone(&seen) };
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                let (script, seen, tls) = (Arc::clone(&script), Arc::clone(&seen), tls.clone());
                let number = seen.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let tcp = tcp.unwrap();
                tcp.set_nodelay(true).unwrap();
                std::thread::spawn(move || {
                    script(&mut Peer { stream: stream(tcp, tls), seen, number });
                });
            }
        });
        server
    }

    /// A server that gives every request the same answer, and keeps its connections open.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |peer| peer.answer_all(&answer))
    }

    /// A server that gives the first request of a connection this answer, and closes it.
    pub(crate) fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |peer| {
            peer.request();
            peer.send(&answer);
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Fetches from the server with a new client.
    pub(crate) fn get(&self, limits: &Limits) -> Result<Vec<u8>, Failure> {
        get(&client(), &self.url(), limits)
    }

    /// The failure of a fetch with a new client and a limit of 10,000 bytes.
    pub(crate) fn fails(&self) -> Failure {
        self.get(&LIMITS).unwrap_err()
    }
}

fn stream(tcp: TcpStream, tls: Option<Arc<ServerConfig>>) -> Box<dyn Stream> {
    match tls {
        None => Box::new(tcp),
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), tcp)),
    }
}

impl Peer {
    /// The head of the next request; `None` if the client is gone.
    pub(crate) fn request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        self.seen.requests.lock().unwrap().push(head.clone());
        Some(head)
    }

    /// Sends bytes. Returns false if the client is gone.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Sends these in one packet, each in its own TLS record.
    pub(crate) fn send_together(&mut self, records: &[&[u8]]) {
        self.stream.records(records).unwrap();
    }

    /// Sends bytes below TLS.
    pub(crate) fn send_beneath(&mut self, bytes: &[u8]) {
        self.stream.tcp().write_all(bytes).unwrap();
    }

    /// Sends the bytes slowly, one by one, over and over.
    pub(crate) fn drip(&mut self, bytes: &[u8]) {
        while bytes.iter().all(|byte| {
            std::thread::sleep(DRIP);
            self.send([*byte])
        }) {}
    }

    /// Sends the bytes over and over, as fast as possible.
    pub(crate) fn flood(&mut self, bytes: impl AsRef<[u8]>) {
        while self.send(&bytes) {}
    }

    /// Sends nothing until the client is gone.
    pub(crate) fn hang(&mut self) {
        while matches!(self.stream.read(&mut [0; 1024]), Ok(1..)) {}
    }

    /// Reads one byte. Returns false if the client is gone.
    pub(crate) fn byte(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(1))
    }

    /// Drops all packets of this connection from now on, without acknowledging them, like a
    /// firewall that has dropped the connection.
    pub(crate) fn forget(&self) {
        // A single instruction: accept no byte.
        let drop_all = socket2::SockFilter::new(6, 0, 0, 0);
        socket2::SockRef::from(self.stream.tcp()).attach_filter(&[drop_all]).unwrap();
    }

    /// Closes the connection, without a TLS alert.
    pub(crate) fn close(&mut self) {
        self.stream.tcp().shutdown(Shutdown::Both).unwrap();
    }

    /// Switches to TLS.
    pub(crate) fn start_tls(&mut self, config: ServerConfig) {
        let tcp = self.stream.tcp().try_clone().unwrap();
        self.stream = stream(tcp, Some(Arc::new(config)));
    }

    /// Reads exactly `N` bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the handshake resumed an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.handshake() == Some(HandshakeKind::Resumed)
    }

    /// Gives every request the same answer.
    pub(crate) fn answer_all(&mut self, answer: &[u8]) {
        while self.request().is_some() && self.send(answer) {}
    }
}

/// A good response with this body.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    with_headers("", body)
}

/// A good response with additional headers, each ended by `\r\n`.
pub(crate) fn with_headers(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub(crate) fn client() -> Client {
    Client::new(&ClientOptions { connections: 8, cacertfile: None }).unwrap()
}

/// Fetches with room for the whole body.
pub(crate) fn get(client: &Client, url: &str, limits: &Limits) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let target = Target::new(url).unwrap();
    client.get(&target, "/cron/x?from=a%20cursor", limits, &mut body, &mut |_| true)?;
    Ok(body)
}

/// Asserts that a fetch soon ends with this class, and that its text names the limit and its
/// option.
pub(crate) fn times_out(server: &Server, limits: &Limits, class: Class, told: &str) {
    let begun = Instant::now();
    let failure = server.get(limits).unwrap_err();
    assert_eq!((failure.class, failure.detail.as_str()), (class, told));
    // Much more than the limit, but bounded.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
