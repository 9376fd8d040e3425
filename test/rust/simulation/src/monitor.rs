//! A monitor and its AO process in the simulation. Results are numbered from 1, and a result's
//! cursor contains its number, as the time of a cron.

use crate::expected::{Expected, Known};
use base64::prelude::{BASE64_STANDARD, Engine};
use cron_checkpoint::Track;
use cron_engine::{Cursor, Grid, MonitorId, Position, ProcessId, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// The number of pages that a monitor may hold.
const CREDIT: usize = 2;

/// A process: its state outside the node, which survives every crash, and the expected state of the
/// checkpoint.
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    pub(crate) results: u64,
    /// The highest number pushed. Results before a start at the latest one count as pushed.
    pub(crate) delivered: u64,
    /// The number of repeated pushes.
    pub(crate) repeats: u64,
    /// The monitor that has claimed it, which may be dead with a planned restart.
    pub(crate) taken_by: Option<Pid>,
    pub(crate) expected: Expected,
}

/// A monitor process. It registers again after the death of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pid(pub(crate) u64);

impl Process {
    pub(crate) fn new(number: usize, results: u64) -> Self {
        let id = ProcessId::new(format!("{number:0>43}").as_bytes()).expect("43 digits");
        let expected = Expected::on_start(Known::default());
        Self { id, results, delivered: 0, repeats: 0, taken_by: None, expected }
    }
}

/// The time of the result 0, in ms since 1970.
const BASE: u64 = 1_760_000_000_000;

/// The time between two results, by their cursors, in ms.
pub(crate) const INTERVAL: u64 = 10_000;

pub(crate) fn cursor(number: u64) -> Cursor {
    let timestamp = BASE + number * INTERVAL;
    let json = format!(r#"{{"timestamp":{timestamp},"ordinate":"1","cron":"0-10-seconds"}}"#);
    Cursor::new(BASE64_STANDARD.encode(json).as_bytes()).expect("a short cursor")
}

/// The number of the last result before a position.
pub(crate) fn number(position: &Position) -> u64 {
    let time = |cursor: &Cursor| cursor.timestamp().expect("a cursor of this CU");
    position.cursor().map_or(0, |cursor| (time(cursor) - BASE) / INTERVAL)
}

/// A registered monitor, which a crash of the node ends.
pub(crate) struct Monitor {
    pub(crate) pid: Pid,
    pub(crate) process: usize,
    pub(crate) id: MonitorId,
    /// The engine of the registration.
    pub(crate) engine: u64,
    pub(crate) grid: Grid,
    pub(crate) track: Arc<Track>,
    /// The position after the last acked result.
    pub(crate) position: Position,
    /// The pages to push: the number of the first edge in this registration, and the remaining
    /// results.
    pub(crate) pages: VecDeque<(u64, VecDeque<u64>)>,
    /// It got a tick and has not polled yet.
    pub(crate) ticked: bool,
    next_seq: u64,
}

impl Monitor {
    /// A monitor whose registration has begun, but is not in an engine yet.
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

    /// Adds a page.
    pub(crate) fn receive(&mut self, first_seq: u64, results: VecDeque<u64>) {
        assert_eq!(first_seq, self.next_seq, "edges are numbered through");
        self.next_seq += u64::try_from(results.len()).expect("a short page");
        self.pages.push_back((first_seq, results));
        assert!(self.pages.len() <= CREDIT, "a page beyond the credit");
    }

    /// The next result to push.
    pub(crate) fn next(&self) -> Option<u64> {
        self.pages.front().and_then(|(_, results)| results.front().copied())
    }

    /// Pushes the next result. Returns the sequence number to ack, and whether the page ends.
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
