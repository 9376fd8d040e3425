//! The minimum cost of a drain: `floor URL LIMIT [PROCESSES [raw]]` fetches page after page with
//! bare ureq, and skips through the JSON to the last cursor. It prints the numbers of results and
//! requests, wall and CPU time in seconds, and the peak memory in MiB.
//!
//! With `raw` it measures the server alone: a socket without a client, whose input is dropped. The
//! next cursor is computed instead of read, so all pages must be full.

use bench::page::{cursor, number};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    edges: Vec<Edge<'a>>,
}

#[derive(Deserialize)]
struct Edge<'a> {
    #[serde(rename = "node")]
    _node: IgnoredAny,
    cursor: &'a str,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, limit, processes, raw) = match arguments.as_slice() {
        [url, limit] => (url.clone(), limit.parse()?, 1, false),
        [url, limit, processes] => (url.clone(), limit.parse()?, processes.parse()?, false),
        [url, limit, processes, raw] if raw == "raw" => {
            (url.clone(), limit.parse()?, processes.parse()?, true)
        }
        _ => return Err("floor URL LIMIT [PROCESSES [raw]]".into()),
    };
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            // A limit for the whole call would make ureq resolve the name on a new thread each
            // time.
            .timeout_recv_response(Some(Duration::from_mins(1)))
            .proxy(None)
            .build(),
    );
    let begin = Instant::now();
    let drains: Vec<_> = (0..processes)
        .map(|process: u32| {
            let (agent, url) = (agent.clone(), url.clone());
            std::thread::spawn(move || {
                if raw { skim(&url, process, limit) } else { drain(&agent, &url, process, limit) }
            })
        })
        .collect();
    let (mut results, mut requests) = (0, 0);
    for drain in drains {
        let (drained, asked) = drain.join().map_err(|_| "a drain panicked")??;
        results += drained;
        requests += asked;
    }
    let wall = begin.elapsed().as_secs_f64();
    println!("{results} {requests} {wall:.3} {:.2} {:.1}", cpu_seconds()?, peak_mib()?);
    Ok(())
}

fn drain(agent: &ureq::Agent, url: &str, process: u32, limit: u64) -> Result<(u64, u64), Failure> {
    let (mut results, mut requests, mut from) = (0, 0, String::new());
    loop {
        let encoded = utf8_percent_encode(&from, NON_ALPHANUMERIC);
        let body = agent
            .get(format!("{url}/cron/{process:043}?from={encoded}&limit={limit}"))
            .call()?
            .into_body()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()?;
        requests += 1;
        let page: Page = serde_json::from_slice(&body)?;
        let Some(last) = page.edges.last() else {
            if number(&from) != Some(results) {
                return Err("results are missing".into());
            }
            return Ok((results, requests));
        };
        results += page.edges.len() as u64;
        last.cursor.clone_into(&mut from);
    }
}

/// Fetches page after page over one socket, and reads only their lengths.
fn skim(url: &str, process: u32, limit: u64) -> Result<(u64, u64), Failure> {
    let host = url.strip_prefix("http://").ok_or("no http")?;
    let mut stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let (mut results, mut requests, mut buffer) = (0, 0, vec![0; 256 * 1024]);
    loop {
        let from = if results == 0 { String::new() } else { cursor(results) };
        let encoded = utf8_percent_encode(&from, NON_ALPHANUMERIC);
        write!(
            stream,
            "GET /cron/{process:043}?from={encoded}&limit={limit} HTTP/1.1\r\nhost: {host}\r\n\r\n"
        )?;
        requests += 1;
        if skip_response(&mut stream, &mut buffer)? < EDGE {
            return Ok((results, requests));
        }
        results += limit;
    }
}

/// Shorter than any edge, longer than an empty page.
const EDGE: usize = 100;

/// Returns the length of the response's body.
fn skip_response(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, Failure> {
    let mut filled = 0;
    let (head, body) = loop {
        let read = stream.read(buffer.get_mut(filled..).unwrap_or_default())?;
        if read == 0 {
            return Err("the connection was closed".into());
        }
        filled += read;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        if let httparse::Status::Complete(head) =
            response.parse(buffer.get(..filled).unwrap_or_default())?
        {
            let length = response
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                .ok_or("no length")?;
            break (head, std::str::from_utf8(length.value)?.parse::<usize>()?);
        }
    };
    let mut left = body.checked_sub(filled - head).ok_or("more than was asked for")?;
    while left > 0 {
        let chunk = left.min(buffer.len());
        match stream.read(buffer.get_mut(..chunk).unwrap_or_default())? {
            0 => return Err("the connection was closed".into()),
            read => left -= read,
        }
    }
    Ok(body)
}

/// The peak memory of this process, from proc(5).
fn peak_mib() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// User and system time of this process, from proc(5): fields 14 and 15, in ticks of 10 ms.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no stat")?;
    let ticks =
        fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}
