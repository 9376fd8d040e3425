//! The floor under any drain with this HTTP client: `floor URL LIMIT [PROCESSES]` asks for page after
//! page with bare ureq and only skips through the JSON, for the last cursor. It prints the results,
//! the requests, and how many seconds of wall and CPU that took.

use bench::page::number;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
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
    let (url, limit, processes) = match arguments.as_slice() {
        [url, limit] => (url.clone(), limit.parse()?, 1),
        [url, limit, processes] => (url.clone(), limit.parse()?, processes.parse()?),
        _ => return Err("floor URL LIMIT [PROCESSES]".into()),
    };
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            .timeout_global(Some(Duration::from_mins(1)))
            .proxy(None)
            .build(),
    );
    let begin = Instant::now();
    let drains: Vec<_> = (0..processes)
        .map(|process: u32| {
            let (agent, url) = (agent.clone(), url.clone());
            std::thread::spawn(move || drain(&agent, &url, process, limit))
        })
        .collect();
    let (mut results, mut requests) = (0, 0);
    for drain in drains {
        let (drained, asked) = drain.join().map_err(|_| "a drain panicked")??;
        results += drained;
        requests += asked;
    }
    println!("{results} {requests} {:.3} {:.2}", begin.elapsed().as_secs_f64(), cpu_seconds()?);
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

/// User and system time of this process, from proc(5): fields 14 and 15, in ticks of 10 ms.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no stat")?;
    let ticks =
        fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}
