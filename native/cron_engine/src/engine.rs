//! The engine of a node: all its monitors, their ticks, and the queue of fetches. Events go in
//! through [`Engine::handle_event`] and [`Engine::handle_timeout`], actions come out of
//! [`Engine::poll_action`], and [`Engine::poll_timeout`] says when to call again. `ended` handles
//! the end of a fetch.

pub(crate) mod backoff;
mod census;
mod ended;
pub(crate) mod event;
pub(crate) mod failure;
pub(crate) mod timers;

pub use self::census::Census;

use self::ended::Fetch;
use crate::engine::event::{Action, Config, Counters, Event, Registration};
use crate::engine::timers::Timers;
use crate::host::breaker::BreakerState;
use crate::host::lane::Lane;
use crate::host::queue::Queue;
use crate::monitor::nodes::Route;
use crate::monitor::{Monitor, Snapshot, Step};
use crate::{HostId, MonitorId, Time};
use fastrand::Rng;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// All monitors of a node.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    rng: Rng,
    /// Boxed, so that the table moves pointers when it grows: with 900,000 monitors in it, moving them
    /// themselves held up every tick for 0.9 s.
    monitors: FxHashMap<MonitorId, Box<Monitor>>,
    ticks: Timers<MonitorId>,
    /// When to retry each monitor that failed.
    retries: Timers<MonitorId>,
    /// When to send a tick between two points of the grid.
    between: Timers<MonitorId>,
    /// When to let a probe through to a host whose breaker is open.
    probes: Timers<HostId>,
    /// Fetches under way: one for each monitor at a time, and some of monitors that are gone. An
    /// answer without an entry here is a duplicate.
    inflight: FxHashMap<MonitorId, Fetch>,
    queue: Queue,
    actions: VecDeque<Action>,
    counters: Counters,
    /// When the ticks of the last [`Engine::handle_timeout`] were due.
    ticks_due: Vec<Time>,
}

impl Engine {
    /// An engine without monitors.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            rng: Rng::with_seed(config.seed),
            monitors: FxHashMap::default(),
            ticks: Timers::default(),
            retries: Timers::default(),
            between: Timers::default(),
            probes: Timers::default(),
            inflight: FxHashMap::default(),
            queue: Queue::new(config.max_inflight),
            actions: VecDeque::new(),
            counters: Counters::default(),
            ticks_due: Vec::new(),
        }
    }

    /// Handles what happened at `now`.
    pub fn handle_event(&mut self, now: Time, event: Event) {
        match event {
            Event::Register(registration) => self.register(now, registration),
            Event::Poll(id) => self.step(now, id, Monitor::poll),
            Event::Acked(id, seq) => self.step(now, id, |monitor| monitor.acked(seq)),
            Event::Saved(id) => self.step(now, id, Monitor::saved),
            Event::Moved(id, hosts) => self.moved(now, id, hosts),
            Event::Crons(id, crons) => self.step(now, id, |monitor| monitor.told(crons)),
            Event::Removed(id) => self.removed(id),
            Event::Suspended => self.monitors.values_mut().for_each(|monitor| monitor.suspended()),
            Event::Fetched(id, outcome) => {
                if let Some(fetch) = self.inflight.remove(&id) {
                    self.fetched(now, id, fetch, outcome);
                }
            }
        }
        self.dispatch(now);
    }

    /// Handles every tick, retry and probe that is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.ticks_due.clear();
        while let Some((due, id)) = self.ticks.pop_due(now) {
            let Some(monitor) = self.monitors.get_mut(&id) else {
                self.ticks.dropped_stale();
                continue;
            };
            let (next, missed) = monitor.grid.next_after(due, now);
            let step = monitor.due(now);
            self.ticks.arm(next, id);
            if !monitor.is_paused() {
                self.counters.missed_ticks += missed;
                match step {
                    Step::Tick => self.ticks_due.push(due),
                    Step::Quiet => self.counters.quiet_ticks += 1,
                    _ => self.counters.missed_ticks += 1,
                }
            }
            self.take(now, id, step);
        }
        while let Some((due, id)) = self.between.pop_due(now) {
            self.step(now, id, |monitor| monitor.due_between(due));
        }
        while let Some((due, id)) = self.retries.pop_due(now) {
            self.step(now, id, |monitor| monitor.retry(due));
        }
        while let Some((_, host)) = self.probes.pop_due(now) {
            if let Some(entry) = self.queue.host(host) {
                entry.breaker.due(now);
                self.queue.refresh(host);
            }
        }
        self.dispatch(now);
    }

    /// When [`Engine::handle_timeout`] must be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let (tick, retry, probe) = (self.ticks.next(), self.retries.next(), self.probes.next());
        let between = self.between.next();
        tick.into_iter().chain(retry).chain(probe).chain(between).min()
    }

    /// The next action, in order; `None` if there is none left.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Counts of what the engine has done and holds.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            monitors: self.monitors.len(),
            inflight: self.inflight.len(),
            slow: self.queue.slow_inflight(),
            open_breakers: self.queue.open_breakers(),
            ..self.counters
        }
    }

    /// The state of one monitor at `now`; `None` if there is no such registration.
    #[must_use]
    pub fn snapshot(&self, now: Time, id: MonitorId) -> Option<Snapshot> {
        let monitor = self.monitors.get(&id)?;
        let stands = |host: &HostId| {
            self.queue.breaker(*host).map_or(BreakerState::Closed, |breaker| breaker.stands(now))
        };
        let breakers = monitor.nodes.hosts().iter().map(stands).collect();
        Some(Snapshot { breakers, ..monitor.snapshot(now) })
    }

    /// The due times of the ticks that the last [`Engine::handle_timeout`] decided on. Their
    /// lateness is known once they are sent.
    #[must_use]
    pub fn ticks_due(&self) -> &[Time] {
        &self.ticks_due
    }

    fn register(&mut self, now: Time, registration: Registration) {
        let (id, durable) = (registration.id, registration.durable);
        let known = self.drop_monitor(id);
        let mut monitor = Monitor::new(now, registration);
        for host in monitor.nodes.hosts().iter() {
            self.queue.join(*host);
        }
        let step = monitor.registered(durable);
        if !known {
            self.ticks.arm(monitor.grid.first(), id);
        }
        self.monitors.insert(id, Box::new(monitor));
        self.take(now, id, step);
    }

    fn removed(&mut self, id: MonitorId) {
        if self.drop_monitor(id) {
            self.ticks.forget_one(|id| self.monitors.contains_key(&id));
        }
    }

    /// Removes all of a monitor but its tick; false if there was none.
    fn drop_monitor(&mut self, id: MonitorId) -> bool {
        let Some(monitor) = self.monitors.remove(&id) else { return false };
        self.buffer(monitor.buffered(), 0);
        if monitor.is_queued() {
            // Its entry in the queue is skipped when its turn comes.
            self.counters.queued = self.counters.queued.saturating_sub(1);
            self.queue.forget_one(|id| self.monitors.contains_key(&id));
        }
        for host in monitor.nodes.hosts().iter() {
            self.queue.leave(*host);
        }
        true
    }

    fn moved(&mut self, now: Time, id: MonitorId, hosts: Arc<[HostId]>) {
        let Some(monitor) = self.monitors.get_mut(&id) else { return };
        let old = Arc::clone(monitor.nodes.hosts());
        hosts.iter().for_each(|host| self.queue.join(*host));
        let elsewhere = monitor.is_queued() && old != hosts;
        monitor.nodes.replace(hosts);
        let step = monitor.moved();
        for host in old.iter() {
            // A monitor that moves to the same hosts keeps its turn.
            if elsewhere {
                let waiting = self.queue.drain(*host, |other| other == id);
                for id in waiting {
                    self.line_up(now, id);
                }
            }
            self.queue.leave(*host);
        }
        self.take(now, id, step);
    }

    fn step(&mut self, now: Time, id: MonitorId, event: impl FnOnce(&mut Monitor) -> Step) {
        if let Some(monitor) = self.monitors.get_mut(&id) {
            let before = monitor.buffered();
            let step = event(monitor);
            let after = monitor.buffered();
            self.buffer(before, after);
            self.take(now, id, step);
        }
    }

    fn buffer(&mut self, before: u64, after: u64) {
        let others = self.counters.buffered.saturating_sub(before);
        self.counters.buffered = others.saturating_add(after);
    }

    fn take(&mut self, now: Time, id: MonitorId, step: Step) {
        match step {
            Step::Nothing | Step::Quiet => {}
            Step::Between(at) => {
                // What has passed was asked for by the request that just ended.
                if at > now {
                    self.between.arm(at, id);
                }
            }
            Step::Tick => {
                self.counters.ticks += 1;
                self.actions.push_back(Action::Tick { id });
            }
            Step::Fetch => {
                self.counters.queued += 1;
                self.line_up(now, id);
            }
            Step::Save => {
                if let Some(monitor) = self.monitors.get(&id) {
                    let position = monitor.position().clone();
                    self.actions.push_back(Action::Save { id, position });
                }
            }
        }
    }

    /// Queues a monitor's next fetch at the host that it will ask.
    fn line_up(&mut self, now: Time, id: MonitorId) {
        let Some(monitor) = self.monitors.get_mut(&id) else { return };
        let opens = |host| self.queue.breaker(host).and_then(|breaker| breaker.opens(now));
        match monitor.nodes.route(now, opens) {
            Route::To(_, host) => self.queue.push(host, monitor.lane, id),
            Route::Wait(until) => {
                self.counters.queued = self.counters.queued.saturating_sub(1);
                self.wait(id, until);
            }
        }
    }

    /// Plans a retry of the monitor at `until`.
    fn wait(&mut self, id: MonitorId, until: Time) {
        if self.monitors.get_mut(&id).is_some_and(|monitor| monitor.wait(until)) {
            self.retries.arm(until, id);
        }
    }

    fn dispatch(&mut self, now: Time) {
        while self.has_room() {
            let Some((host, lane, id)) = self.queue.pop() else { break };
            // Monitors that have gone left their entries in the queue.
            let Some(monitor) = self.monitors.get_mut(&id) else {
                self.queue.dropped_stale(host);
                continue;
            };
            self.counters.queued = self.counters.queued.saturating_sub(1);
            let Some(request) = monitor.take_turn(now) else { continue };
            let node = monitor.nodes.at(host);
            let probe = self.queue.begin(host, lane);
            let limited = lane == Lane::Fast && (probe || self.queue.is_crowded());
            let patience = limited.then(|| self.queue.patience(host, probe));
            self.inflight.insert(id, Fetch { host, node, lane, probe, since: now });
            self.counters.fetches += 1;
            self.actions.push_back(Action::Fetch { id, request, node, patience });
        }
    }

    /// Memory is bounded by fetching no more, whatever monitors do not push.
    fn has_room(&self) -> bool {
        self.counters.buffered == 0 || self.counters.buffered < self.config.max_buffered
    }
}
