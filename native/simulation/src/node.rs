//! The node: the engine and the checkpoint as they ship, and the driver around them, which does in
//! this world what the NIF crate does in the real one.

use crate::disk::Disk;
use crate::monitor::{Monitor, Process, number};
use cron_checkpoint::{Checkpoint, Store, Turn, Writer};
use cron_engine::{
    Action, Class, Config, Engine, Event, Failure, Fetched, Grid, MonitorId, PageRequest, Position,
    Registration, Request, Time,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A fetch under way. It outlives its monitor and its engine.
pub(crate) struct Fetch {
    pub(crate) engine: u64,
    pub(crate) id: MonitorId,
    pub(crate) request: Request,
}

/// How a fetch is answered.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) fails: bool,
    /// The engine is told of it once more than it should be.
    pub(crate) twice: bool,
    /// The most results of a page.
    pub(crate) limit: u64,
}

/// Starting points that became durable: their waiters leave word here.
type Saved = Arc<Mutex<Vec<MonitorId>>>;

pub(crate) struct Node {
    pub(crate) now: Time,
    rate: Duration,
    config: Config,
    engine: Engine,
    engine_number: u64,
    checkpoint: Option<(Checkpoint, Writer)>,
    saved: Saved,
    pub(crate) monitors: BTreeMap<MonitorId, Monitor>,
    pub(crate) fetches: Vec<Fetch>,
    epoch: u64,
    pub(crate) ticks: u64,
    checks: u64,
}

impl Node {
    /// A node that starts on `disk`, or without a checkpoint.
    pub(crate) fn start(now: Time, rate: Duration, config: Config, disk: Option<&Disk>) -> Self {
        let checkpoint = disk.cloned().map(|disk| {
            let open = move || Store::with_backend(disk.clone());
            Checkpoint::by_hand(open, 10).expect("what was synced is whole")
        });
        Self {
            now,
            rate,
            config,
            engine: Engine::new(config),
            engine_number: 0,
            checkpoint,
            saved: Saved::default(),
            monitors: BTreeMap::new(),
            fetches: Vec::new(),
            epoch: 0,
            ticks: 0,
            checks: 0,
        }
    }

    /// Where the checkpoint says that a process stands.
    pub(crate) fn stored(&self, process: &Process) -> Option<Position> {
        let record = self.checkpoint.as_ref()?.0.find(&process.id)?;
        Some(record.position).filter(|position| *position != Position::Unresolved)
    }

    /// A monitor starts at `wanted`, or where the checkpoint says.
    pub(crate) fn begin(&mut self, index: usize, process: &Process, wanted: Position) {
        let stored = self.stored(process);
        let position = match stored {
            Some(stored) if wanted == Position::Unresolved => stored,
            _ => wanted,
        };
        let monitor =
            Monitor::new(index, MonitorId(0), Grid::new(self.now, self.rate, b""), position);
        self.register(monitor, process);
    }

    fn register(&mut self, mut monitor: Monitor, process: &Process) {
        let rate = self.rate;
        self.epoch += 1;
        let id = MonitorId(self.epoch);
        let grid = Grid::new(self.now, rate, process.id.as_str().as_bytes());
        monitor.register_again(id, grid);
        let position = monitor.position.clone();
        let mut durable = true;
        if let Some((checkpoint, _)) = &self.checkpoint {
            let begun = checkpoint.begin(process.id, self.epoch, &[][..], |_| position.clone());
            durable = begun.durable;
            monitor.track = Some(begun.track);
        }
        self.monitors.insert(id, monitor);
        let registration = Registration::new(id, process.id, rate, position);
        self.tell(Event::Register(Registration { durable, ..registration }));
        if let Some((checkpoint, _)) = self.checkpoint.as_ref().filter(|_| !durable) {
            checkpoint.flush(self.waiter(id));
        }
    }

    fn waiter(&self, id: MonitorId) -> cron_checkpoint::Waiter {
        let saved = Arc::clone(&self.saved);
        Box::new(move || saved.lock().expect("one thread").push(id))
    }

    /// A monitor stops: its process is not to be resumed.
    pub(crate) fn stop(&mut self, id: MonitorId) {
        let monitor = self.monitors.remove(&id).expect("a monitor");
        if let Some(((checkpoint, _), track)) = self.checkpoint.as_ref().zip(monitor.track) {
            checkpoint.ended(&track, false, None);
        }
        self.tell(Event::Removed(id));
    }

    /// The engine dies and another one begins: the monitors bring their cursors along.
    pub(crate) fn restart_engine(&mut self, processes: &[Process]) {
        self.engine = Engine::new(self.config);
        self.engine_number += 1;
        for (_, monitor) in std::mem::take(&mut self.monitors) {
            let process = &processes[monitor.process];
            self.register(monitor, process);
        }
    }

    /// The checkpoint's writer takes its turn. True if all that was said is durable now.
    pub(crate) fn write(&mut self, processes: &mut [Process]) -> bool {
        let acked: Vec<u64> = processes.iter().map(|process| process.acked).collect();
        let Some((_, writer)) = &mut self.checkpoint else { return false };
        let committed = writer.turn() == Turn::Committed;
        let saved = std::mem::take(&mut *self.saved.lock().expect("one thread"));
        for id in saved {
            if let Some(monitor) = self.monitors.get(&id) {
                processes[monitor.process].begun = true;
            }
            self.tell(Event::Saved(id));
        }
        if committed {
            for (process, acked) in processes.iter_mut().zip(acked) {
                process.durable = acked;
            }
        }
        committed
    }

    /// What survived a crash: all that was durable, and nothing that was not acked.
    pub(crate) fn check_survivors(&self, processes: &[Process]) {
        for process in processes.iter().filter(|process| process.begun) {
            let stored = self.stored(process).map(|position| number(&position));
            let stored = stored.expect("a starting point that was durable");
            assert!(stored >= process.durable, "what was durable went back");
            assert!(stored <= process.acked, "what was never acked is stored");
        }
    }

    /// The clock reaches the next tick, or goes past it by `late`.
    pub(crate) fn tick(&mut self, late: Duration) {
        let Some(due) = self.engine.poll_timeout() else { return };
        self.now = self.now.max(due) + late;
        self.engine.handle_timeout(self.now);
        self.act(late.is_zero() && self.now == due);
    }

    pub(crate) fn poll(&mut self, id: MonitorId) {
        self.monitors.get_mut(&id).expect("a monitor").ticked = false;
        self.tell(Event::Poll(id));
    }

    /// The push of a monitor's next result succeeds.
    pub(crate) fn pushed(&mut self, id: MonitorId, processes: &mut [Process]) {
        let monitor = self.monitors.get_mut(&id).expect("a monitor");
        let process = &mut processes[monitor.process];
        let pushed = monitor.next().expect("something to push");
        assert_eq!(pushed, number(&monitor.position) + 1, "results come in order");
        assert!(pushed <= process.delivered + 1, "a result was skipped");
        process.begun = true;
        process.repeats += u64::from(pushed <= process.delivered);
        process.delivered = process.delivered.max(pushed);
        let (seq, ends) = monitor.passed();
        process.acked = process.acked.max(pushed);
        if let (Some((checkpoint, _)), Some(track)) = (&self.checkpoint, &monitor.track) {
            checkpoint.acked(track, seq, crate::monitor::cursor(pushed));
        }
        if ends {
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
            // Once more, and too late: what it was an answer to is over, unless another fetch of
            // the same monitor has begun meanwhile. Each is answered once; this is more than that.
            if twice && !self.fetches.iter().any(|fetch| fetch.id == id) {
                self.tell(event);
            }
        }
    }

    /// What is known of a process, for the one who looks into a broken rule.
    pub(crate) fn tell_of(&self, process: &Process) -> String {
        let monitors: Vec<_> =
            self.monitors.values().map(|m| (m.id, m.process, &m.position)).collect();
        format!("{:?} {:?} {monitors:?}", self.stored(process), self.engine.counters())
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
                    if on_time {
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
                    let track = self.monitors.get(&id).and_then(|monitor| monitor.track.as_ref());
                    if let Some(((checkpoint, _), track)) = self.checkpoint.as_ref().zip(track) {
                        checkpoint.located(track, position, self.waiter(id));
                    } else {
                        self.engine.handle_event(self.now, Event::Saved(id));
                    }
                }
                Action::Report { .. } | Action::Breaker { .. } => {}
            }
        }
        self.check();
    }

    /// What holds for all monitors together. With thousands of them it is looked at now and then.
    fn check(&mut self) {
        self.checks += 1;
        if self.monitors.len() > 32 && !self.checks.is_multiple_of(500) {
            return;
        }
        let counters = self.engine.counters();
        let held: usize = self.monitors.values().map(|monitor| monitor.pages.len()).sum();
        let mine = self.fetches.iter().filter(|fetch| fetch.engine == self.engine_number).count();
        assert_eq!(counters.inflight, mine, "a fetch that nobody knows of");
        assert!(mine <= self.config.max_inflight, "too many fetches at once");
        assert!(held > 0 || counters.buffered == 0, "bytes of pages that nobody holds");
        // Bodies are of 100 bytes here, and what was under way may come on top of the budget.
        let over = u64::try_from(self.config.max_inflight).expect("few") * 100;
        assert!(
            counters.buffered <= self.config.max_buffered.saturating_add(over),
            "beyond the budget"
        );
    }
}

/// What the CU answers, and what of it reaches the monitor before the engine hears of it.
fn serve(monitor: &mut Monitor, process: &mut Process, request: &Request, limit: u64) -> Fetched {
    let Request::Page(PageRequest { from, first_seq, .. }) = request else {
        let latest = (process.results > 0).then(|| crate::monitor::cursor(process.results));
        if *request == Request::Look {
            // This CU has no gaps.
            return Fetched::Latest(latest);
        }
        assert!(!process.begun, "a process that has begun is not looked up again");
        // What came before is nobody's.
        process.delivered = process.results;
        process.acked = process.results;
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
    let trail = Arc::default();
    Fetched::Page { edges, last: crate::monitor::cursor(last), trail, bytes: 100, cut: false }
}
