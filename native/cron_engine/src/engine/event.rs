//! What goes into the engine and what comes out: [`Event`]s and [`Action`]s, and what else its
//! caller has to know by name.

use crate::decode::request::{MAX_LIMIT, PageRequest};
use crate::{Cursor, Failure, HostId, MonitorId, Position, ProcessId, Trail};
use std::sync::Arc;
use std::time::Duration;

/// What the engine is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How many fetches may be under way at once.
    pub max_inflight: usize,
    /// The bytes of pages that may be with the monitors, unacked, before no fetch begins. One page
    /// is always allowed, however large.
    pub max_buffered: u64,
    /// What the jitter is drawn from: the same seed, the same pauses.
    pub seed: u64,
}

/// A monitor that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its registration, new to this engine.
    pub id: MonitorId,
    /// The process it watches: its first tick is hashed from it.
    pub process: ProcessId,
    /// The time between its ticks.
    pub rate: Duration,
    /// Where it begins.
    pub position: Position,
    /// Whether that is durable already. If not, [`Event::Saved`] will say when it is.
    pub durable: bool,
    /// The hosts of its nodes, to be tried in turn.
    pub nodes: Arc<[HostId]>,
    /// How many results to ask for per page, at most [`MAX_LIMIT`].
    pub page_limit: u32,
    /// How long pages stay empty before it is asked whether the CU passed over errors, and the
    /// least time between two walks.
    pub walk_after: Duration,
    /// Whether it is paused: it looks up where it begins, and then neither ticks nor fetches. To go
    /// on it registers anew.
    pub paused: bool,
}

impl Registration {
    /// A registration with one node and the usual limits, whose position is durable.
    #[must_use]
    pub fn new(id: MonitorId, process: ProcessId, rate: Duration, position: Position) -> Self {
        let nodes = Arc::from([HostId(0)]);
        let (page_limit, walk_after) = (MAX_LIMIT, Duration::from_mins(1));
        Self {
            id,
            process,
            rate,
            position,
            durable: true,
            nodes,
            page_limit,
            walk_after,
            paused: false,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A monitor begins.
    Register(Registration),
    /// The position of [`Action::Save`], or of a registration, is durable.
    Saved(MonitorId),
    /// A poll is asked for.
    Poll(MonitorId),
    /// The monitor has acked all edges up to this sequence number.
    Acked(MonitorId, u64),
    /// The monitor asks these hosts from now on.
    Moved(MonitorId, Arc<[HostId]>),
    /// The monitor is gone.
    Removed(MonitorId),
    /// The fetch of [`Action::Fetch`] ended. Each is answered exactly once, also for a monitor
    /// that is gone. A page is sent to its monitor first, and then told of here.
    Fetched(MonitorId, Result<Fetched, Failure>),
}

/// What to ask the CU for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The cursor of the latest result: the monitor begins there.
    Latest,
    /// The same, to see whether there is a gap. The answer is [`Fetched::Latest`], too.
    Look,
    /// The cursor of the first result that is no error, of this many.
    First(u32),
    /// A page of results.
    Page(PageRequest),
}

/// What a fetch that did not fail brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The cursor of the latest result; `None` if the process has no result yet.
    Latest(Option<Cursor>),
    /// The cursor of the first result, likewise.
    First(Option<Cursor>),
    /// A page without results.
    EmptyPage,
    /// A page with results, on its way to the monitor.
    Page {
        /// How many.
        edges: u64,
        /// The cursor of the last one.
        last: Cursor,
        /// The trail up to the last one.
        trail: Arc<Trail>,
        /// The memory that they take.
        bytes: u64,
        /// The page ends before a result that is too far ahead of the clock.
        cut: bool,
    },
    /// Nothing within the patience that the fetch was given: others need its place. It is asked
    /// again with more time.
    TooSlow,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell the monitor that it is due.
    Tick {
        /// Which.
        id: MonitorId,
    },
    /// Fetch this, and answer with [`Event::Fetched`].
    Fetch {
        /// For whom.
        id: MonitorId,
        /// What.
        request: Request,
        /// Which of the monitor's nodes to ask.
        node: usize,
        /// How long it may take, should that be less than the monitor's own limit: after that the
        /// answer is [`Fetched::TooSlow`].
        patience: Option<Duration>,
    },
    /// Make the monitor's position durable, and answer with [`Event::Saved`].
    Save {
        /// Whose.
        id: MonitorId,
        /// Which.
        position: Position,
    },
    /// Tell the monitor's log.
    Report {
        /// Whose.
        id: MonitorId,
        /// What.
        report: Report,
    },
    /// Tell the node's log that a host's breaker opened or closed.
    Breaker {
        /// Whose fetch made it do so.
        id: MonitorId,
        /// Which of the monitor's nodes is at that host.
        node: usize,
        /// How long nothing is asked of the host; `None` if it closed.
        open_for: Option<Duration>,
    },
}

/// What a monitor's log is told about its fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A fetch failed.
    Failed {
        /// How.
        failure: Failure,
        /// For which time since the last success.
        repeats: u64,
    },
    /// A fetch succeeded after failures.
    Recovered {
        /// How many failures there were.
        failures: u64,
    },
    /// The CU has nothing but errors between these times, in ms since 1970, and results behind.
    Passed {
        /// The time of the last result before.
        from: u64,
        /// The time up to which it was walked.
        to: u64,
    },
}

/// Counts of what the engine has done and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Monitors registered now.
    pub monitors: usize,
    /// Fetches under way now.
    pub inflight: usize,
    /// Those of them that are in the slow lane.
    pub slow: usize,
    /// Monitors that wait for a fetch to be allowed now.
    pub queued: usize,
    /// Bytes of pages that are unacked now.
    pub buffered: u64,
    /// CU hosts that are not asked now, or by a probe alone.
    pub open_breakers: usize,
    /// Ticks sent.
    pub ticks: u64,
    /// Points of a grid at which the monitor was still busy or the engine late.
    pub missed_ticks: u64,
    /// Fetches begun.
    pub fetches: u64,
    /// Fetches that failed, of monitors that were still there.
    pub failures: u64,
    /// Fetches that were too slow for the fast lane.
    pub demotions: u64,
}
