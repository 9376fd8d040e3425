//! A monitor process and the AO process it watches, as the simulation plays them: results have
//! numbers from 1, and the cursor of a result says its number.

use cron_checkpoint::Track;
use cron_engine::{Cursor, Grid, MonitorId, Position, ProcessId};
use std::collections::VecDeque;
use std::sync::Arc;

/// Pages that a monitor may hold.
const CREDIT: usize = 2;

/// A process: what outlives every crash, since it is outside of the node.
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    pub(crate) results: u64,
    /// The highest number pushed: what the world outside has seen.
    pub(crate) delivered: u64,
    /// The highest number acked, and the highest that was acked before a commit that succeeded.
    pub(crate) acked: u64,
    pub(crate) durable: u64,
    /// Where it began: nothing before that is anybody's.
    pub(crate) begun: bool,
    /// Pushes of what had been pushed before.
    pub(crate) repeats: u64,
}

impl Process {
    pub(crate) fn new(number: usize, results: u64) -> Self {
        let id = ProcessId::new(format!("{number:0>43}").as_bytes()).expect("43 digits");
        Self { id, results, delivered: 0, acked: 0, durable: 0, begun: false, repeats: 0 }
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

/// A monitor process: what a crash of the node takes away.
pub(crate) struct Monitor {
    pub(crate) process: usize,
    pub(crate) id: MonitorId,
    pub(crate) grid: Grid,
    pub(crate) track: Option<Arc<Track>>,
    /// After the last result acked.
    pub(crate) position: Position,
    /// Pages to push: the number of the first edge in this registration, and the results left.
    pub(crate) pages: VecDeque<(u64, VecDeque<u64>)>,
    /// It was told to tick and has not polled yet.
    pub(crate) ticked: bool,
    next_seq: u64,
}

impl Monitor {
    pub(crate) fn new(process: usize, id: MonitorId, grid: Grid, position: Position) -> Self {
        let pages = VecDeque::new();
        Self { process, id, grid, track: None, position, pages, ticked: false, next_seq: 1 }
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

    /// Its engine is gone, and what that had sent is asked for again.
    pub(crate) fn register_again(&mut self, id: MonitorId, grid: Grid) {
        self.id = id;
        self.grid = grid;
        self.pages.clear();
        self.ticked = false;
        self.next_seq = 1;
    }
}
