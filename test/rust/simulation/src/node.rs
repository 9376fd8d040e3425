//! The node: the real engine, its checkpoint, and the driver around them, which takes the place of
//! the NIF crate.

use crate::calls::Wanted;
use crate::disk::Disk;
use crate::kept::Kept;
use crate::monitor::{Monitor, Pid, Process, number};
use cron_engine::{
    Action, Class, Config, Engine, Event, Failure, Fetched, Grid, MonitorId, PageRequest, Position,
    Registration, Request, Time, Timing, Trail,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A fetch under way. It may outlive its monitor and its engine.
pub(crate) struct Fetch {
    pub(crate) engine: u64,
    pub(crate) id: MonitorId,
    pub(crate) request: Request,
}

/// The answer to a fetch.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) fails: bool,
    /// The engine gets the answer once more than it should.
    pub(crate) twice: bool,
    /// The most results of a page.
    pub(crate) limit: u64,
}

pub(crate) struct Node {
    pub(crate) now: Time,
    rate: Duration,
    timing: Timing,
    config: Config,
    engine: Engine,
    engine_number: u64,
    pub(crate) kept: Kept,
    /// Registered monitors. Those of a dead engine push their remaining results.
    pub(crate) monitors: BTreeMap<MonitorId, Monitor>,
    pub(crate) fetches: Vec<Fetch>,
    epoch: u64,
    pub(crate) ticks: u64,
    /// Ticks that engines of the past did not send, since nothing was expected.
    quiet: u64,
    checks: u64,
}

impl Node {
    /// A node that starts with `disk`, or with a checkpoint in memory.
    pub(crate) fn start(
        now: Time,
        (rate, timing): (Duration, Timing),
        config: Config,
        disk: Option<&Disk>,
    ) -> Self {
        Self {
            now,
            rate,
            timing,
            config,
            engine: Engine::new(config),
            engine_number: 0,
            kept: Kept::open(disk),
            monitors: BTreeMap::new(),
            fetches: Vec::new(),
            epoch: 0,
            ticks: 0,
            quiet: 0,
            checks: 0,
        }
    }

    /// The number of the next registration.
    pub(crate) const fn next_epoch(&self) -> u64 {
        self.epoch + 1
    }

    /// The registration of a monitor process.
    pub(crate) fn monitor_of(&self, pid: Pid) -> Option<MonitorId> {
        self.monitors.values().find(|monitor| monitor.pid == pid).map(|monitor| monitor.id)
    }

    /// Begins a registration in the checkpoint. Returns whether its start is durable.
    pub(crate) fn begin(
        &mut self,
        monitor: (Pid, usize),
        process: &mut Process,
        wanted: &Wanted,
    ) -> (Monitor, bool) {
        self.epoch += 1;
        self.kept.begin(monitor, MonitorId(self.epoch), process, wanted)
    }

    /// Passes a registration that has begun to the engine.
    pub(crate) fn register(
        &mut self,
        mut monitor: Monitor,
        processes: &[Process],
        durable: bool,
    ) -> MonitorId {
        let process = processes[monitor.process].id;
        let (id, rate, position) = (monitor.id, self.rate, monitor.position.clone());
        monitor.engine = self.engine_number;
        monitor.grid = Grid::new(self.now, rate, process.as_str().as_bytes());
        self.monitors.insert(id, monitor);
        let registration = Registration::new(id, process, rate, position);
        let timing = self.timing;
        self.tell(Event::Register(Registration { durable, timing, ..registration }));
        id
    }

    /// How many ticks were not sent, since nothing was expected.
    pub(crate) fn quiet_ticks(&self) -> u64 {
        self.quiet + self.engine.counters().quiet_ticks
    }

    /// Requests a report when the start of a registration is durable.
    pub(crate) fn flush(&mut self, id: MonitorId) {
        self.kept.flush((self.engine_number, id));
    }

    /// Passes durable starts to the engine.
    pub(crate) fn hear(&mut self) {
        for (engine, id) in self.kept.saved() {
            if engine == self.engine_number {
                self.tell(Event::Saved(id));
            }
        }
    }

    /// Ends a registration, with its process or earlier.
    pub(crate) fn end(
        &mut self,
        id: MonitorId,
        processes: &mut [Process],
        watched: bool,
    ) -> Option<Monitor> {
        let monitor = self.monitors.remove(&id)?;
        self.kept.ended(&monitor, &mut processes[monitor.process], watched);
        if monitor.engine == self.engine_number {
            self.tell(Event::Removed(id));
        }
        Some(monitor)
    }

    /// Replaces the engine by a new one without monitors. Returns those that were registered with
    /// the old one.
    pub(crate) fn restart_engine(&mut self) -> Vec<MonitorId> {
        self.quiet += self.engine.counters().quiet_ticks;
        self.engine = Engine::new(self.config);
        let old = self.engine_number;
        self.engine_number += 1;
        self.monitors.values().filter(|it| it.engine == old).map(|it| it.id).collect()
    }

    /// Moves the clock to the next tick, or past it by `late`.
    pub(crate) fn tick(&mut self, late: Duration) {
        let Some(due) = self.engine.poll_timeout() else { return };
        self.now = self.now.max(due) + late;
        self.engine.handle_timeout(self.now);
        self.act(late.is_zero() && self.now == due);
    }

    pub(crate) fn poll(&mut self, id: MonitorId) {
        let monitor = self.monitors.get_mut(&id).expect("a monitor");
        if monitor.engine == self.engine_number {
            monitor.ticked = false;
            self.tell(Event::Poll(id));
        }
    }

    /// The push of a monitor's next result succeeds.
    pub(crate) fn pushed(&mut self, id: MonitorId, processes: &mut [Process]) {
        let monitor = self.monitors.get_mut(&id).expect("a monitor");
        let process = &mut processes[monitor.process];
        let (pushed, at) = (monitor.next().expect("something to push"), number(&monitor.position));
        assert_eq!(pushed, at + 1, "results come in order");
        // After a successor has begun, its registration counts, not this one.
        if process.expected.is_live(id.0) {
            assert!(pushed <= process.delivered + 1, "a result was skipped");
            process.repeats += u64::from(pushed <= process.delivered);
            process.delivered = process.delivered.max(pushed);
        }
        let (seq, ends) = monitor.passed();
        self.kept.pushed(monitor, seq, pushed, process);
        if ends && monitor.engine == self.engine_number {
            self.tell(Event::Acked(id, seq));
        }
    }

    /// A fetch ends.
    pub(crate) fn answer(&mut self, fetch: Fetch, processes: &mut [Process], how: How) {
        let How { fails, twice, limit } = how;
        let Fetch { engine, id, request } = fetch;
        let mine = engine == self.engine_number;
        let outcome = match self.monitors.get_mut(&id).filter(|_| mine && !fails) {
            None => Err(Failure::new(Class::Connect, "it went wrong")),
            Some(monitor) => Ok(serve(monitor, &mut processes[monitor.process], &request, limit)),
        };
        if mine {
            let event = Event::Fetched(id, outcome);
            self.tell(event.clone());
            // The repeated answer comes too late: its fetch is over, unless the same monitor has
            // begun another one meanwhile. Each fetch has one answer, so this is one too many.
            if twice && !self.fetches.iter().any(|fetch| fetch.id == id) {
                self.tell(event);
            }
        }
    }

    /// The state of a process, to analyse a broken rule.
    pub(crate) fn tell_of(&self, process: &Process) -> String {
        let monitors: Vec<_> =
            self.monitors.values().map(|m| (m.id, m.pid, m.process, &m.position)).collect();
        let (expected, counters) = (&process.expected, self.engine.counters());
        format!("{:?} {expected:?} {counters:?} {monitors:?}", self.kept.known(process))
    }

    fn tell(&mut self, event: Event) {
        self.engine.handle_event(self.now, event);
        self.act(false);
    }

    fn act(&mut self, on_time: bool) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Tick { id } => {
                    let monitor = self.monitors.get_mut(&id).expect("ticks are for the living");
                    assert!(!monitor.ticked, "a tick within a pending tick");
                    assert!(monitor.pages.is_empty(), "a tick while there is something to push");
                    if on_time && self.timing == Timing::Rate {
                        let since = self.now.since(monitor.grid.first()).as_micros();
                        assert_eq!(since % self.rate.as_micros(), 0, "the grid drifts");
                    }
                    monitor.ticked = true;
                    self.ticks += 1;
                }
                Action::Fetch { id, request, .. } => {
                    let monitor = self.monitors.get(&id).expect("fetches are for the living");
                    assert!(monitor.pages.len() < 2, "a fetch beyond the credit");
                    if let Request::Page(page) = &request {
                        assert_ne!(page.from, Position::Unresolved, "a fetch from nowhere");
                    }
                    self.fetches.push(Fetch { engine: self.engine_number, id, request });
                }
                Action::Save { id, position } => {
                    if let Some(monitor) = self.monitors.get(&id) {
                        self.kept.located(monitor, position);
                    }
                }
                Action::Report { .. } | Action::Breaker { .. } => {}
            }
        }
        self.check();
    }

    /// The invariants of all monitors together. With thousands of them, they are checked now and
    /// then.
    fn check(&mut self) {
        self.checks += 1;
        if self.monitors.len() > 32 && !self.checks.is_multiple_of(500) {
            return;
        }
        let counters = self.engine.counters();
        let registered = self.monitors.values().filter(|it| it.engine == self.engine_number);
        let held: usize = registered.map(|monitor| monitor.pages.len()).sum();
        let mine = self.fetches.iter().filter(|fetch| fetch.engine == self.engine_number).count();
        assert_eq!(counters.inflight, mine, "a fetch without a monitor");
        assert!(mine <= self.config.max_inflight, "too many fetches at once");
        assert!(held > 0 || counters.buffered == 0, "bytes of pages without a holder");
        // Bodies have 100 bytes here, and fetches under way may exceed the budget.
        let over = u64::try_from(self.config.max_inflight).expect("few") * 100;
        assert!(
            counters.buffered <= self.config.max_buffered.saturating_add(over),
            "beyond the budget"
        );
    }
}

/// The answer of the CU, and the part of it that reaches the monitor before the engine gets it.
fn serve(monitor: &mut Monitor, process: &mut Process, request: &Request, limit: u64) -> Fetched {
    let Request::Page(PageRequest { from, first_seq, .. }) = request else {
        let latest = (process.results > 0).then(|| crate::monitor::cursor(process.results));
        if *request == Request::Look {
            // This CU has no gaps.
            return Fetched::Latest(latest);
        }
        if process.expected.is_live(monitor.id.0) {
            assert!(process.expected.is_unknown(), "where a known process begins is not looked up");
            // Earlier results are not requested.
            process.delivered = process.results;
            process.expected.moved(monitor.id.0, process.results);
        }
        monitor.position = if process.results > 0 {
            Position::After(crate::monitor::cursor(process.results))
        } else {
            Position::Earliest
        };
        return Fetched::Latest(latest);
    };
    let from = number(from);
    let last = process.results.min(from + limit);
    let results: VecDeque<u64> = (from + 1..=last).collect();
    if results.is_empty() {
        return Fetched::EmptyPage;
    }
    let edges = u64::try_from(results.len()).expect("a short page");
    monitor.receive(*first_seq, results);
    let end = Position::After(crate::monitor::cursor(last));
    let trail = Arc::new(Trail::at(&end));
    Fetched::Page {
        edges,
        last: crate::monitor::cursor(last),
        trail,
        bytes: 100,
        cut: false,
        more: false,
    }
}
