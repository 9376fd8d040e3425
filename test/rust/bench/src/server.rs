//! The Compute Unit's HTTP server on loopback: a thread per keep-alive connection. It answers
//! `/cron/{process}` and `/results/{process}`, with the same results for every process.

use crate::page::{Results, number};
use percent_encoding::percent_decode_str;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The number of results of each process.
#[derive(Debug, Clone, Copy)]
pub enum Count {
    /// A constant number.
    Fixed(u64),
    /// One more after each interval since the server's start.
    Every(Duration),
}

/// The served results, and the count of requests.
#[derive(Debug)]
pub struct Served {
    results: Results,
    count: Count,
    began: Instant,
    requests: AtomicU64,
}

impl Served {
    /// A server for results of a kind.
    #[must_use]
    pub fn new(results: Results, count: Count) -> Self {
        Self { results, count, began: Instant::now(), requests: AtomicU64::new(0) }
    }

    fn count(&self) -> u64 {
        match self.count {
            Count::Fixed(count) => count,
            Count::Every(period) => {
                u64::try_from(self.began.elapsed().as_micros() / period.as_micros().max(1))
                    .unwrap_or(u64::MAX)
            }
        }
    }

    /// The number of answered requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn answer(&self, target: &str) -> (u16, Vec<u8>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| {
                let value = pair.strip_prefix(name)?.strip_prefix('=')?;
                Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
            })
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        if path.starts_with("/cron/") {
            let from = parameter("from").unwrap_or_default();
            let after = if from.is_empty() { Some(0) } else { number(&from) };
            let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(500);
            match after {
                Some(after) => (200, self.results.page(after, limit, self.count())),
                None => (500, b"{\"error\":\"Invalid Arguments 'from'\"}".to_vec()),
            }
        } else if path.starts_with("/results/") {
            (200, self.results.latest(self.count()))
        } else if path == "/requests" {
            (200, self.requests().to_string().into_bytes())
        } else {
            (404, b"Not Found".to_vec())
        }
    }
}

/// Serves all connections, for ever.
///
/// # Errors
/// An error if the system accepts no more connections.
pub fn serve(listener: &TcpListener, served: &Arc<Served>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        let served = Arc::clone(served);
        std::thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || connection(stream, &served))?;
    }
}

/// Answers requests until the client closes the connection or sends an invalid request.
fn connection(mut stream: TcpStream, served: &Served) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(4096);
    while let Ok(Some((target, length))) = request(&mut stream, &mut buffer) {
        buffer.drain(..length);
        let (status, body) = served.answer(&target);
        let mut response = Vec::with_capacity(body.len() + 128);
        let _ = write!(
            response,
            "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        response.extend_from_slice(&body);
        if stream.write_all(&response).is_err() {
            return;
        }
    }
}

/// The target of the next request, and the length of its head.
fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<(String, usize)>> {
    let mut chunk = [0; 4096];
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => {
                return Ok(request.path.map(|target| (target.to_owned(), length)));
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Ok(None),
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}
