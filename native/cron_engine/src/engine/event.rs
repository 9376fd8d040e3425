//! The input and output of the engine: [`Event`]s and [`Action`]s, and the types that they carry.

use crate::decode::request::{MAX_LIMIT, PageRequest};
use crate::monitor::expected::Timing;
use crate::{Cursor, Failure, HostId, Interval, MonitorId, Position, ProcessId, Trail};
use std::sync::Arc;
use std::time::Duration;

/// The configuration of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The number of fetches that may be under way at once.
    pub max_inflight: usize,
    /// The bytes of unacked pages above which no fetch begins. One page is always allowed, however
    /// large.
    pub max_buffered: u64,
    /// The seed of the jitter: the same seed gives the same pauses.
    pub seed: u64,
}

/// A new registration of a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its number, new to this engine.
    pub id: MonitorId,
    /// The process. The place of its first tick is hashed from it.
    pub process: ProcessId,
    /// The time between two ticks.
    pub rate: Duration,
    /// Where it begins.
    pub position: Position,
    /// Whether the position is durable already. Otherwise [`Event::Saved`] will follow.
    pub durable: bool,
    /// The hosts of its nodes, tried in turn.
    pub nodes: Arc<[HostId]>,
    /// How many results to ask for per page, at most [`MAX_LIMIT`].
    pub page_limit: u32,
    /// How long pages stay empty before the CU is probed for results behind errors, and the least
    /// time between two walks.
    pub walk_after: Duration,
    /// When it asks.
    pub timing: Timing,
    /// Whether it is paused: it looks up where to begin, and then neither ticks nor fetches. To
    /// resume, it registers again.
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
            timing: Timing::Rate,
            paused: false,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A monitor has registered.
    Register(Registration),
    /// The position of [`Action::Save`], or of a registration, is durable.
    Saved(MonitorId),
    /// A poll was requested.
    Poll(MonitorId),
    /// The monitor has acked all edges up to this sequence number.
    Acked(MonitorId, u64),
    /// The monitor uses these hosts from now on.
    Moved(MonitorId, Arc<[HostId]>),
    /// The crons of the monitor's process are known, from its tags. They do not change.
    Crons(MonitorId, Arc<[Interval]>),
    /// The monitor has gone.
    Removed(MonitorId),
    /// The engine's clock stood still while the machine was suspended. What was learned of the
    /// delays of CUs is forgotten.
    Suspended,
    /// The fetch of [`Action::Fetch`] ended. Each fetch ends exactly once, also for a monitor that
    /// has gone. A page is left for its monitor first, then reported here.
    Fetched(MonitorId, Result<Fetched, Failure>),
}

/// What a fetch asks the CU for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The cursor of the latest result: the monitor begins there.
    Latest,
    /// The same, as a probe for a gap. The answer is [`Fetched::Latest`], too.
    Look,
    /// The cursor of the first result without an error, among this many.
    First(u32),
    /// A page of results.
    Page(PageRequest),
}

/// The outcome of a fetch that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The cursor of the latest result; `None` if the process has no result yet.
    Latest(Option<Cursor>),
    /// The cursor of the first result, likewise.
    First(Option<Cursor>),
    /// A page without results.
    EmptyPage,
    /// A page with results, left for the monitor.
    Page {
        /// The number of edges.
        edges: u64,
        /// The cursor of the last edge.
        last: Cursor,
        /// The trail up to the last edge.
        trail: Arc<Trail>,
        /// The memory of the page, in bytes.
        bytes: u64,
        /// Whether the page ends before a result that is too far ahead of the clock.
        cut: bool,
        /// Whether the page says that there are more.
        more: bool,
    },
    /// Nothing within the patience that the fetch was given, because others need its place. It is
    /// repeated with more time.
    TooSlow,
}

/// What the caller of the engine must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send the monitor its tick.
    Tick {
        /// The monitor.
        id: MonitorId,
    },
    /// Fetch this, then report [`Event::Fetched`].
    Fetch {
        /// The monitor.
        id: MonitorId,
        /// The request.
        request: Request,
        /// The index of the node to ask.
        node: usize,
        /// A limit below the monitor's own, if there is one. After that time the outcome is
        /// [`Fetched::TooSlow`].
        patience: Option<Duration>,
    },
    /// The monitor's starting point is known: tell the monitor, make it durable, then report
    /// [`Event::Saved`].
    Save {
        /// The monitor.
        id: MonitorId,
        /// The position.
        position: Position,
    },
    /// Write to the monitor's log.
    Report {
        /// The monitor.
        id: MonitorId,
        /// The report.
        report: Report,
    },
    /// Report to the node's log that a host's breaker opened or closed.
    Breaker {
        /// The monitor whose fetch caused it.
        id: MonitorId,
        /// The index of the node at that host.
        node: usize,
        /// How long the host is not asked; `None` if the breaker closed.
        open_for: Option<Duration>,
    },
}

/// A report about fetches for a monitor's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A fetch failed.
    Failed {
        /// The failure.
        failure: Failure,
        /// The number of failures since the last success.
        repeats: u64,
    },
    /// A fetch succeeded after failures.
    Recovered {
        /// The number of failures before.
        failures: u64,
    },
    /// The CU has nothing but errors between these times, in ms since 1970, and results after them.
    Passed {
        /// The time of the last result before.
        from: u64,
        /// The time up to which the walk went.
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
    /// Those of them in the slow lane.
    pub slow: usize,
    /// Monitors that wait for a place to fetch now.
    pub queued: usize,
    /// Bytes of pages that are unacked now.
    pub buffered: u64,
    /// CU hosts whose breaker is not closed now.
    pub open_breakers: usize,
    /// Ticks sent.
    pub ticks: u64,
    /// Points of a grid at which the monitor was busy or the engine late.
    pub missed_ticks: u64,
    /// Points of a grid at which nothing was expected.
    pub quiet_ticks: u64,
    /// Fetches begun.
    pub fetches: u64,
    /// Fetches that failed, of monitors that were still registered.
    pub failures: u64,
    /// Fetches that were too slow for the fast lane.
    pub demotions: u64,
}
