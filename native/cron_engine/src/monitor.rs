//! The state machine of one monitor: what it waits for, and what each event makes of it.
//!
//! ```text
//!              due                poll                 page, credit left
//!    Idle ───────────► Ticked ───────────► Fetching ◄──────────────────┐
//!     ▲  └──────────────poll──────────────►  │ │  └──── page ──────────┤
//!     │                                      │ └─ page, credit used ─► Full
//!     │         empty page or failure        │                          │ page acked
//!     ├──────────── nothing unacked ─────────┤                          └──► Fetching
//!     └── all acked ── Draining ◄── some unacked
//! ```
//! A monitor whose position is unresolved goes through `Resolving` first, and one whose position
//! is not durable through `Saving`; from there to `Idle`, or to `Fetching` where somebody had asked
//! for a poll. A push that fails is the monitor process's own business: it acks later.
//!
//! It holds no time and sends nothing: the engine plans ticks, and carries out each [`Step`].

use crate::failure::Outage;
use crate::{Cursor, Failure, Grid, Position};
use std::collections::VecDeque;

/// One registration of a monitor. It is never given twice, so what comes late for an older
/// registration of the same process is told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorId(pub u64);

/// Pages that may be unacked at once: the one being pushed and one ahead of it.
const CREDIT: usize = 2;

/// What to ask the CU for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The cursor of the latest result.
    Latest,
    /// The page of results after a position.
    Page {
        /// Where the page begins.
        from: Position,
        /// The sequence number that the page's first edge gets.
        first_seq: u64,
    },
}

/// What a successful fetch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The cursor of the latest result; `None` if the process has no result yet.
    Latest(Option<Cursor>),
    /// A page without results.
    EmptyPage,
    /// A page with results, on its way to the monitor.
    Page {
        /// How many.
        edges: u64,
        /// The cursor of the last one.
        last: Cursor,
        /// The size of the body they came in.
        bytes: u64,
    },
}

/// What a monitor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The next tick.
    Idle,
    /// The poll that answers a tick.
    Ticked,
    /// The latest cursor.
    Resolving,
    /// Its starting point to be durable: what comes after it must not be lost in a crash.
    Saving,
    /// A page.
    Fetching,
    /// An ack: there is more to fetch, but no credit.
    Full,
    /// Acks: there is nothing more to fetch in this poll.
    Draining,
}

/// What the engine has to do after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    Tick,
    /// Queue this monitor's next fetch.
    Fetch,
    /// Make its position durable.
    Save,
}

/// A page that is not acked.
#[derive(Debug, Clone, Copy)]
struct Unacked {
    /// The sequence number of its last edge.
    end: u64,
    bytes: u64,
}

/// An answer to something that was not asked.
pub(crate) struct Unasked;

/// One monitor.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) grid: Grid,
    position: Position,
    stage: Stage,
    /// It waits for its turn to fetch.
    queued: bool,
    /// The sequence number of the last edge received.
    received: u64,
    /// The sequence number of the last edge acked. It may be ahead of `received`: a page is sent
    /// to the monitor before the engine hears of it, since only then may the next one be fetched,
    /// or the two could overtake each other.
    acked: u64,
    unacked: VecDeque<Unacked>,
    /// A poll was asked for after the fetch under way had begun.
    again: bool,
    outage: Outage,
    /// How many fetches failed: it picks the next node of the list.
    rotation: usize,
}

impl Monitor {
    pub(crate) fn new(grid: Grid, position: Position) -> Self {
        Self {
            grid,
            position,
            stage: Stage::Idle,
            queued: false,
            received: 0,
            acked: 0,
            unacked: VecDeque::new(),
            again: false,
            outage: Outage::default(),
            rotation: 0,
        }
    }

    /// A new monitor: its starting point is looked up at once, so that what the CU produces
    /// between the start and the first tick is not missed. `durable` says that a crash would not
    /// lose a starting point that is known.
    pub(crate) fn registered(&mut self, durable: bool) -> Step {
        match self.position {
            Position::Unresolved => self.resolve(),
            Position::Earliest | Position::After(_) if durable => Step::Nothing,
            Position::Earliest | Position::After(_) => self.rest(Stage::Saving),
        }
    }

    /// The starting point is durable.
    pub(crate) fn saved(&mut self) -> Step {
        if self.stage == Stage::Saving { self.end_poll() } else { Step::Nothing }
    }

    /// Where it stands.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// The bytes of the pages that are not acked.
    pub(crate) fn buffered(&self) -> u64 {
        self.unacked.iter().map(|page| page.bytes).sum()
    }

    /// The next point of the grid. Only who waits for a tick gets one; to all others it is missed.
    pub(crate) fn due(&mut self) -> Step {
        if self.stage == Stage::Idle {
            self.stage = Stage::Ticked;
            return Step::Tick;
        }
        Step::Nothing
    }

    /// Somebody asks for a poll: the monitor itself after a tick, or a user at any time.
    pub(crate) fn poll(&mut self) -> Step {
        match self.stage {
            Stage::Idle | Stage::Ticked => self.begin_poll(),
            // The CU may have answered already: what it did not know then is asked for again.
            Stage::Resolving | Stage::Saving | Stage::Fetching | Stage::Draining => {
                self.again = true;
                Step::Nothing
            }
            // The next fetch comes after this poll in any case.
            Stage::Full => Step::Nothing,
        }
    }

    /// All edges up to `seq` are acked.
    pub(crate) fn acked(&mut self, seq: u64) -> Step {
        self.acked = self.acked.max(seq);
        while self.unacked.front().is_some_and(|page| page.end <= self.acked) {
            self.unacked.pop_front();
        }
        match self.stage {
            Stage::Full if self.unacked.len() < CREDIT => self.fetch(),
            Stage::Draining if self.unacked.is_empty() => self.end_poll(),
            _ => Step::Nothing,
        }
    }

    /// The fetch under way succeeded. `Err` if that is no answer to what was asked.
    pub(crate) fn fetched(&mut self, fetched: Fetched) -> Result<(Step, Option<u64>), Unasked> {
        let step = match (self.stage, fetched) {
            (Stage::Resolving, Fetched::Latest(latest)) => {
                self.position = latest.map_or(Position::Earliest, Position::After);
                self.stage = Stage::Saving;
                Step::Save
            }
            (Stage::Fetching, Fetched::Page { edges, last, bytes }) => {
                self.received = self.received.saturating_add(edges);
                self.position = Position::After(last);
                if self.received > self.acked {
                    self.unacked.push_back(Unacked { end: self.received, bytes });
                }
                if self.unacked.len() < CREDIT { self.fetch() } else { self.rest(Stage::Full) }
            }
            (Stage::Fetching, Fetched::EmptyPage) if self.unacked.is_empty() || self.again => {
                self.end_poll()
            }
            (Stage::Fetching, Fetched::EmptyPage) => self.rest(Stage::Draining),
            _ => return Err(Unasked),
        };
        Ok((step, self.outage.ended()))
    }

    /// The fetch under way failed: the next tick tries again. The answer says which repeat this
    /// is where it is worth a report.
    pub(crate) fn failed(&mut self, failure: &Failure) -> Option<u64> {
        self.again = false;
        self.rotation = self.rotation.wrapping_add(1);
        self.stage = if self.unacked.is_empty() { Stage::Idle } else { Stage::Draining };
        self.outage.failed(failure.class)
    }

    /// What to fetch, now that it is this monitor's turn in the queue.
    pub(crate) fn take_turn(&mut self) -> Option<(Request, usize)> {
        self.queued = false;
        let request = match self.stage {
            Stage::Resolving => Request::Latest,
            Stage::Fetching => Request::Page {
                from: self.position.clone(),
                first_seq: self.received.saturating_add(1),
            },
            _ => return None,
        };
        Some((request, self.rotation))
    }

    /// Whether it is in the queue for fetches.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued
    }

    fn begin_poll(&mut self) -> Step {
        if self.position == Position::Unresolved {
            let step = self.resolve();
            self.again = true;
            return step;
        }
        self.fetch()
    }

    fn end_poll(&mut self) -> Step {
        if self.again { self.begin_poll() } else { self.rest(Stage::Idle) }
    }

    fn resolve(&mut self) -> Step {
        self.queued = true;
        self.stage = Stage::Resolving;
        Step::Fetch
    }

    fn fetch(&mut self) -> Step {
        self.again = false;
        self.queued = true;
        self.stage = Stage::Fetching;
        Step::Fetch
    }

    fn rest(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Nothing
    }
}
