//! A monitor process and the AO process it watches, as the simulation plays them: results have
//! numbers from 1, and the cursor of a result says its number.

use crate::expected::{Expected, Known};
use cron_checkpoint::Track;
use cron_engine::{Cursor, Grid, MonitorId, Position, ProcessId, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// Pages that a monitor may hold.
const CREDIT: usize = 2;

/// A process: what outlives every crash, since it is outside of the node, and what its node must
/// know of it.
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    pub(crate) results: u64,
    /// The highest number pushed: what the world outside has seen. What came before a start at the
    /// latest result counts.
    pub(crate) delivered: u64,
    /// Pushes of what had been pushed before.
    pub(crate) repeats: u64,
    /// The monitor that has taken it, which may be dead and about to be started again.
    pub(crate) taken_by: Option<Pid>,
    pub(crate) expected: Expected,
}

/// A monitor process. It registers anew after the death of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pid(pub(crate) u64);

impl Process {
    pub(crate) fn new(number: usize, results: u64) -> Self {
        let id = ProcessId::new(format!("{number:0>43}").as_bytes()).expect("43 digits");
        let expected = Expected::on_start(Known::default());
        Self { id, results, delivered: 0, repeats: 0, taken_by: None, expected }
    }
}

pub(crate) fn cursor(number: u64) -> Cursor {
    Cursor::new(number.to_string().as_bytes()).expect("a short cursor")
}

/// The number of the last result before a position.
pub(crate) fn number(position: &Position) -> u64 {
    position.cursor().map_or(0, |cursor| {
        std::str::from_utf8(cursor.as_bytes()).ok().and_then(|n| n.parse().ok()).expect("a number")
    })
}

/// A registered monitor: what a crash of the node takes away.
pub(crate) struct Monitor {
    pub(crate) pid: Pid,
    pub(crate) process: usize,
    pub(crate) id: MonitorId,
    /// The engine that it is registered with.
    pub(crate) engine: u64,
    pub(crate) grid: Grid,
    pub(crate) track: Arc<Track>,
    /// After the last result acked.
    pub(crate) position: Position,
    /// Pages to push: the number of the first edge in this registration, and the results left.
    pub(crate) pages: VecDeque<(u64, VecDeque<u64>)>,
    /// It was told to tick and has not polled yet.
    pub(crate) ticked: bool,
    next_seq: u64,
}

impl Monitor {
    /// A monitor whose registration has begun; no engine knows it yet.
    pub(crate) fn new(
        (pid, process): (Pid, usize),
        id: MonitorId,
        track: Arc<Track>,
        position: Position,
    ) -> Self {
        let grid = Grid::new(Time::ZERO, std::time::Duration::ZERO, b"");
        let pages = VecDeque::new();
        let (engine, ticked, next_seq) = (0, false, 1);
        Self { pid, process, id, engine, grid, track, position, pages, ticked, next_seq }
    }

    /// A page comes.
    pub(crate) fn receive(&mut self, first_seq: u64, results: VecDeque<u64>) {
        assert_eq!(first_seq, self.next_seq, "edges are numbered through");
        self.next_seq += u64::try_from(results.len()).expect("a short page");
        self.pages.push_back((first_seq, results));
        assert!(self.pages.len() <= CREDIT, "a page beyond the credit");
    }

    /// What is to be pushed next.
    pub(crate) fn next(&self) -> Option<u64> {
        self.pages.front().and_then(|(_, results)| results.front().copied())
    }

    /// The next one is pushed: the sequence number to ack, and whether its page ends.
    pub(crate) fn passed(&mut self) -> (u64, bool) {
        let (seq, results) = self.pages.front_mut().expect("something was pushed");
        let number = results.pop_front().expect("something was pushed");
        let acked = *seq;
        *seq += 1;
        let ends = results.is_empty();
        if ends {
            self.pages.pop_front();
        }
        self.position = Position::After(cursor(number));
        (acked, ends)
    }
}
