//! A process as the simulated node sees it: its results at the CU, which the test scripts, and
//! the state of the monitor process that pushes them.

use super::page_of;
use cron_engine::{Class, Cursor, Position, Report, Request, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// What a fetch brings, if not what was asked for.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// What was asked for.
    Good,
    /// No response.
    Fail(Class),
    /// A response with this body.
    Body(Vec<u8>),
}

/// A process, its results at the CU, and the monitor process that watches it.
pub(crate) struct Watched {
    /// How many results the process has: result n has the cursor `c<n>`, from 1.
    pub(crate) results: u64,
    /// The most results of a page.
    pub(crate) page_limit: u64,
    /// From a fetch to its answer.
    pub(crate) latency: Duration,
    /// From the page's arrival at the monitor until the engine learns of it.
    pub(crate) told_after: Duration,
    /// What the next fetches bring; what was asked for where there is none left.
    pub(crate) answers: VecDeque<Answer>,
    /// Whether the push with this number, from 0, fails.
    pub(crate) push_fails: Box<dyn Fn(u64) -> bool>,
    /// The time a push takes.
    pub(crate) push_time: Duration,
    /// Whether each edge is acked, or only the last one of each page.
    pub(crate) acks_each: bool,
    /// The numbers of the results that were pushed, in order.
    pub(crate) delivered: Vec<u64>,
    pub(crate) pushes: u64,
    pub(crate) ticks: Vec<Time>,
    pub(crate) fetched_at: Vec<Time>,
    pub(crate) reports: Vec<Report>,
    /// The pages it holds: the number of the next edge, and the results from there.
    pub(super) pages: VecDeque<(u64, VecDeque<u64>)>,
    pub(super) pushing: bool,
    pub(super) position: Position,
}

impl Watched {
    /// A process of `results` results, whose monitor is as fast as can be.
    pub(crate) fn new(results: u64, page_limit: u64) -> Self {
        Self {
            results,
            page_limit,
            latency: Duration::from_millis(10),
            told_after: Duration::ZERO,
            answers: VecDeque::new(),
            push_fails: Box::new(|_| false),
            push_time: Duration::ZERO,
            acks_each: false,
            delivered: Vec::new(),
            pushes: 0,
            ticks: Vec::new(),
            fetched_at: Vec::new(),
            reports: Vec::new(),
            pages: VecDeque::new(),
            pushing: false,
            position: Position::Earliest,
        }
    }

    /// A monitor that begins at `position` instead of the first result.
    pub(crate) fn beginning(mut self, position: Position) -> Self {
        self.position = position;
        self
    }

    /// How many results the monitor holds that are not pushed yet.
    pub(crate) fn held(&self) -> usize {
        self.pages.iter().map(|(_, results)| results.len()).sum()
    }

    /// The body that the CU answers with.
    pub(super) fn body(&self, request: &Request) -> Vec<u8> {
        let from = match request {
            Request::Latest | Request::Look if self.results == 0 => {
                return page_of(&[]).into_bytes();
            }
            Request::Latest | Request::Look => self.results - 1,
            Request::First(_) => 0,
            Request::Page(page) => page.from.cursor().map_or(0, number),
        };
        let last = self.results.min(from.saturating_add(self.page_limit));
        let edges: Vec<String> = (from + 1..=last)
            .map(|n| format!(r#"{{"node":{{"Output":{n}}},"cursor":"c{n}"}}"#))
            .collect();
        page_of(&edges.iter().map(String::as_str).collect::<Vec<_>>()).into_bytes()
    }
}

/// The number of the result with this cursor.
fn number(cursor: &Cursor) -> u64 {
    let text = std::str::from_utf8(cursor.as_bytes()).expect("a cursor of this CU");
    text.strip_prefix('c').and_then(|n| n.parse().ok()).expect("a cursor of this CU")
}
