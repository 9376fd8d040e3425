//! The Compute Unit of the benchmarks, as an OS process: `fast_cu URL_FILE KIND COUNT`.
//!
//! `KIND` is `data:BYTES` or `tags:COUNT`. `COUNT` is a number of results, or `every:MS`, one more
//! after each interval. The process writes its URL to a file once it listens, and ends with its
//! standard input.

use bench::page::{Kind, Results};
use bench::server::{Count, Served, serve};
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url_file, kind, count] = arguments.as_slice() else {
        return Err("fast_cu URL_FILE data:BYTES|tags:COUNT RESULTS|every:MS".into());
    };
    let kind = match kind.split_once(':') {
        Some(("data", bytes)) => Kind::Data(bytes.parse()?),
        Some(("tags", count)) => Kind::Tags(count.parse()?),
        _ => return Err("a kind is data:BYTES or tags:COUNT".into()),
    };
    let count = match count.split_once(':') {
        Some(("every", ms)) => Count::Every(Duration::from_millis(ms.parse()?)),
        _ => Count::Fixed(count.parse()?),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", listener.local_addr()?);
    let served = Arc::new(Served::new(Results::new(kind), count));
    std::thread::spawn(|| {
        // The driver holds the other end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    // Renamed into place, so that the driver never reads a partial file.
    let beside = format!("{url_file}.new");
    std::fs::write(&beside, url)?;
    std::fs::rename(&beside, url_file)?;
    Ok(serve(&listener, &served)?)
}
