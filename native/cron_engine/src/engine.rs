//! The engine of a node: all its monitors, their ticks, and the queue for fetches. Events go in
//! through [`Engine::handle_event`] and [`Engine::handle_timeout`], actions come out of
//! [`Engine::poll_action`], and [`Engine::poll_timeout`] says when to call again.

use crate::monitor::{Monitor, Step, Unasked};
use crate::timers::Timers;
use crate::{Class, Failure, Fetched, Grid, MonitorId, Position, ProcessId, Request, Time};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::time::Duration;

/// What the engine is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How many fetches may be under way at once.
    pub max_inflight: usize,
    /// The bytes of pages that may be with the monitors, unacked, before no fetch begins. One page
    /// is always allowed, however large.
    pub max_buffered: u64,
    /// Whether starting points are to be made durable before anything is fetched from them.
    pub checkpoint: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A monitor begins.
    Register {
        /// Its registration, new to this engine.
        id: MonitorId,
        /// The process it watches: its first tick is hashed from it.
        process: ProcessId,
        /// The time between its ticks.
        rate: Duration,
        /// Where it begins.
        position: Position,
        /// Whether that is durable already. If not, [`Event::Saved`] will say when it is.
        durable: bool,
    },
    /// The position of [`Action::Save`], or of a registration, is durable.
    Saved(MonitorId),
    /// A poll is asked for.
    Poll(MonitorId),
    /// The monitor has acked all edges up to this sequence number.
    Acked(MonitorId, u64),
    /// The monitor is gone.
    Removed(MonitorId),
    /// The fetch of [`Action::Fetch`] ended. Each is answered exactly once, also for a monitor
    /// that is gone. A page is sent to its monitor first, and then told of here.
    Fetched(MonitorId, Result<Fetched, Failure>),
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
        /// Which of the monitor's nodes to ask: this number modulo how many there are.
        rotation: usize,
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
}

/// Counts of what the engine has done and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Monitors registered now.
    pub monitors: usize,
    /// Fetches under way now.
    pub inflight: usize,
    /// Monitors that wait for a fetch to be allowed now.
    pub queued: usize,
    /// Bytes of pages that are unacked now.
    pub buffered: u64,
    /// Ticks sent.
    pub ticks: u64,
    /// Points of a grid at which the monitor was still busy or the engine late.
    pub missed_ticks: u64,
    /// Fetches begun.
    pub fetches: u64,
    /// Fetches that failed, of monitors that were still there.
    pub failures: u64,
}

/// All monitors of a node.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    monitors: FxHashMap<MonitorId, Monitor>,
    timers: Timers,
    /// Whose fetches are under way: one of each monitor at a time, and some of monitors that are
    /// gone. An answer that belongs to none of them came twice.
    inflight: FxHashSet<MonitorId>,
    /// First come, first served, one page a turn: a long backlog does not starve the others.
    ready: VecDeque<MonitorId>,
    actions: VecDeque<Action>,
    counters: Counters,
}

impl Engine {
    /// An engine without monitors.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            monitors: FxHashMap::default(),
            timers: Timers::default(),
            inflight: FxHashSet::default(),
            ready: VecDeque::new(),
            actions: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle_event(&mut self, now: Time, event: Event) {
        match event {
            Event::Register { id, process, rate, position, durable } => {
                let grid = Grid::new(now, rate, process.as_str().as_bytes());
                let mut monitor = Monitor::new(grid, position);
                let step = monitor.registered(durable || !self.config.checkpoint);
                if self.monitors.insert(id, monitor).is_none() {
                    self.timers.arm(grid.first(), id);
                }
                self.take(id, step);
            }
            Event::Poll(id) => self.step(id, Monitor::poll),
            Event::Acked(id, seq) => self.step(id, |monitor| monitor.acked(seq)),
            Event::Saved(id) => self.step(id, Monitor::saved),
            Event::Removed(id) => {
                if let Some(monitor) = self.monitors.remove(&id) {
                    // Its place in the queue is passed over when its turn comes.
                    let queued = usize::from(monitor.is_queued());
                    self.counters.queued = self.counters.queued.saturating_sub(queued);
                    self.buffer(monitor.buffered(), 0);
                    self.timers.forget_one(|id| self.monitors.contains_key(&id));
                }
            }
            Event::Fetched(id, outcome) => {
                if self.inflight.remove(&id) {
                    self.fetched(id, outcome);
                }
            }
        }
        self.dispatch();
    }

    /// Serves every tick that is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((due, id)) = self.timers.pop_due(now) {
            let Some(monitor) = self.monitors.get_mut(&id) else {
                self.timers.dropped_stale();
                continue;
            };
            let (next, missed) = monitor.grid.next_after(due, now);
            let step = monitor.due();
            self.timers.arm(next, id);
            let busy = u64::from(step != Step::Tick);
            self.counters.missed_ticks += missed + busy;
            self.take(id, step);
        }
    }

    /// When [`Engine::handle_timeout`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The next thing to do, in order, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the engine has done and holds.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let (monitors, inflight) = (self.monitors.len(), self.inflight.len());
        Counters { monitors, inflight, ..self.counters }
    }

    fn step(&mut self, id: MonitorId, event: impl FnOnce(&mut Monitor) -> Step) {
        if let Some(monitor) = self.monitors.get_mut(&id) {
            let before = monitor.buffered();
            let step = event(monitor);
            let after = monitor.buffered();
            self.buffer(before, after);
            self.take(id, step);
        }
    }

    fn buffer(&mut self, before: u64, after: u64) {
        let others = self.counters.buffered.saturating_sub(before);
        self.counters.buffered = others.saturating_add(after);
    }

    fn take(&mut self, id: MonitorId, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Tick => {
                self.counters.ticks += 1;
                self.actions.push_back(Action::Tick { id });
            }
            Step::Fetch => {
                self.counters.queued += 1;
                self.ready.push_back(id);
            }
            Step::Save if !self.config.checkpoint => self.step(id, Monitor::saved),
            Step::Save => {
                if let Some(monitor) = self.monitors.get(&id) {
                    let position = monitor.position().clone();
                    self.actions.push_back(Action::Save { id, position });
                }
            }
        }
    }

    fn fetched(&mut self, id: MonitorId, outcome: Result<Fetched, Failure>) {
        let Some(monitor) = self.monitors.get_mut(&id) else { return };
        let before = monitor.buffered();
        let outcome = outcome.map(|fetched| monitor.fetched(fetched));
        let after = monitor.buffered();
        let failure = match outcome {
            Ok(Ok((step, outage))) => {
                self.buffer(before, after);
                if let Some(failures) = outage {
                    let report = Report::Recovered { failures };
                    self.actions.push_back(Action::Report { id, report });
                }
                return self.take(id, step);
            }
            Ok(Err(Unasked)) => Failure::new(Class::Internal, "an answer to another question"),
            Err(failure) => failure,
        };
        self.counters.failures += 1;
        if let Some(repeats) = monitor.failed(&failure) {
            let report = Report::Failed { failure, repeats };
            self.actions.push_back(Action::Report { id, report });
        }
    }

    fn dispatch(&mut self) {
        while self.inflight.len() < self.config.max_inflight.max(1) && self.has_room() {
            let Some(id) = self.ready.pop_front() else { break };
            // Who has gone meanwhile has left its place in the queue behind.
            let Some(monitor) = self.monitors.get_mut(&id) else { continue };
            self.counters.queued = self.counters.queued.saturating_sub(1);
            let Some((request, rotation)) = monitor.take_turn() else { continue };
            self.inflight.insert(id);
            self.counters.fetches += 1;
            self.actions.push_back(Action::Fetch { id, request, rotation });
        }
    }

    /// Memory is bounded by not asking for more, whoever it is that does not push.
    fn has_room(&self) -> bool {
        self.counters.buffered == 0 || self.counters.buffered < self.config.max_buffered
    }
}
