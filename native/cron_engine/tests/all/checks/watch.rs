//! The engine under watch: a small model of its monitors, fetches and hosts, against which every
//! action is checked as it comes. What happens, and when, is decided in `engine.rs`.

use super::hosts::Hosts;
use cron_engine::{
    Action, Config, Counters, Engine, Event, Failure, Fetched, Grid, HostId, MAX_LIMIT, MonitorId,
    Position, Registration, Report, Request, Time,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Pages that may be unacked at once.
const CREDIT: usize = 2;

/// A monitor, as its process and its CU see it.
#[allow(clippy::struct_excessive_bools, reason = "each may be so whatever the others are")]
pub(crate) struct Monitor {
    pub(crate) position: Position,
    /// The last edge that the engine has received, and the last one acked.
    pub(crate) received: u64,
    pub(crate) acked: u64,
    /// The last edge and the bytes of each page that is not acked.
    pub(crate) unacked: VecDeque<(u64, u64)>,
    /// It got a tick, and has not polled.
    pub(crate) ticked: bool,
    /// Its starting point is not durable.
    pub(crate) saving: bool,
    /// A fetch of it ended well.
    pub(crate) served: bool,
    /// One did not, or not with a page: it may be waiting for the next try.
    troubled: bool,
    /// It waits for its turn, for sure.
    waiting: bool,
    nodes: Arc<[HostId]>,
    grid: Grid,
    rate: Duration,
    page_limit: u32,
}

/// A fetch under way.
#[derive(Clone)]
pub(crate) struct Fetch {
    pub(crate) id: MonitorId,
    pub(crate) request: Request,
    /// It is too slow if it takes longer.
    pub(crate) patience: Option<Duration>,
    pub(crate) since: Time,
    pub(crate) host: HostId,
    /// The nodes that it was chosen from.
    nodes: Arc<[HostId]>,
}

pub(crate) struct Watch {
    pub(crate) engine: Engine,
    pub(crate) now: Time,
    pub(crate) monitors: BTreeMap<MonitorId, Monitor>,
    pub(crate) fetches: Vec<Fetch>,
    /// Hosts that give nothing but failures.
    pub(crate) down: BTreeSet<HostId>,
    config: Config,
    /// Whether the checkpoint takes its time: else what is to be saved is durable at once.
    checkpoint: bool,
    hosts: Hosts,
    last_id: u64,
    ticks: u64,
    begun: u64,
    /// `handle_timeout` was called at the very time that was planned.
    on_time: bool,
}

impl Watch {
    pub(crate) fn new(config: Config, checkpoint: bool) -> Self {
        Self {
            engine: Engine::new(config),
            // Not at zero, so that a mix-up of points and durations shows.
            now: Time::from_millis(12_345),
            monitors: BTreeMap::new(),
            fetches: Vec::new(),
            down: BTreeSet::new(),
            config,
            checkpoint,
            hosts: Hosts::default(),
            last_id: 1,
            ticks: 0,
            begun: 0,
            on_time: false,
        }
    }

    pub(crate) fn new_id(&mut self) -> MonitorId {
        self.last_id += 1;
        MonitorId(self.last_id)
    }

    /// A monitor that is gone, or was never there.
    pub(crate) fn gone(&self) -> MonitorId {
        let gone = (1..=self.last_id).rev().map(MonitorId);
        gone.into_iter().find(|id| !self.monitors.contains_key(id)).expect("the first one")
    }

    pub(crate) fn pick(&self, which: u8) -> Option<MonitorId> {
        let count = self.monitors.len();
        self.monitors.keys().nth(usize::from(which).checked_rem(count)?).copied()
    }

    /// Tells of something that happened to one of the monitors, if there is one.
    pub(crate) fn with(&mut self, which: u8, event: impl FnOnce(MonitorId) -> Event) {
        if let Some(id) = self.pick(which) {
            self.tell(event(id));
        }
    }

    pub(crate) fn register(&mut self, registration: Registration) {
        let durable = registration.durable || !self.checkpoint;
        let registration = Registration { durable, ..registration };
        let Registration { id, process, rate, ref position, .. } = registration;
        let known = *position != Position::Unresolved;
        let monitor = Monitor {
            position: position.clone(),
            received: 0,
            acked: 0,
            unacked: VecDeque::new(),
            ticked: false,
            saving: known && !durable,
            served: false,
            troubled: false,
            waiting: false,
            nodes: Arc::clone(&registration.nodes),
            grid: Grid::new(self.now, rate, process.as_str().as_bytes()),
            rate,
            page_limit: registration.page_limit.clamp(1, MAX_LIMIT),
        };
        self.monitors.insert(id, monitor);
        self.tell(Event::Register(registration));
    }

    /// Tells the engine of what happened, and checks what comes of it.
    pub(crate) fn tell(&mut self, event: Event) {
        let before = self.engine.counters();
        match &event {
            Event::Poll(id) => self.change(*id, |monitor| monitor.ticked = false),
            Event::Saved(id) => self.change(*id, |monitor| monitor.saving = false),
            Event::Acked(id, seq) => self.change(*id, |monitor| monitor.ack(*seq)),
            Event::Moved(id, nodes) => {
                self.change(*id, |monitor| monitor.nodes = Arc::clone(nodes));
            }
            Event::Removed(id) => drop(self.monitors.remove(id)),
            Event::Register(_) | Event::Crons(..) | Event::Fetched(..) | Event::Suspended => {}
        }
        let polled = if let Event::Poll(id) = event { Some(id) } else { None };
        self.engine.handle_event(self.now, event);
        self.act(None, before);
        if let Some(id) = polled {
            let fetches = self.fetches.iter().any(|fetch| fetch.id == id);
            self.change(id, |monitor| {
                let free = monitor.unacked.is_empty() && !monitor.saving && !monitor.troubled;
                monitor.waiting = free && !fetches;
            });
            self.count(before);
        }
    }

    fn change(&mut self, id: MonitorId, change: impl FnOnce(&mut Monitor)) {
        if let Some(monitor) = self.monitors.get_mut(&id) {
            change(monitor);
        }
    }

    /// One of the fetches under way ended.
    pub(crate) fn ended(&mut self, index: usize, outcome: Result<Fetched, Failure>) {
        let before = self.engine.counters();
        let fetch = self.fetches.remove(index);
        let monitor = self.monitors.get(&fetch.id);
        if monitor.is_none_or(|monitor| monitor.nodes != fetch.nodes) {
            // If that closes the breaker, no report is needed.
            self.hosts.closed(fetch.host);
        }
        self.hosts.ended(fetch.id);
        if let Some(monitor) = self.monitors.get_mut(&fetch.id) {
            monitor.served |= matches!(&outcome, Ok(fetched) if *fetched != Fetched::TooSlow);
            let paged = matches!(&outcome, Ok(Fetched::EmptyPage | Fetched::Page { .. }));
            monitor.troubled |= !paged;
            match (&fetch.request, &outcome) {
                (Request::Latest, Ok(Fetched::Latest(latest))) => {
                    monitor.position = latest.clone().map_or(Position::Earliest, Position::After);
                    monitor.saving = true;
                }
                (Request::Page(_), Ok(Fetched::Page { edges, last, bytes, .. })) => {
                    monitor.position = Position::After(last.clone());
                    monitor.received += edges;
                    monitor.unacked.push_back((monitor.received, *bytes));
                    monitor.ack(monitor.acked);
                }
                _ => {}
            }
        }
        self.engine.handle_event(self.now, Event::Fetched(fetch.id, outcome));
        self.act(Some(&fetch), before);
    }

    /// Time passes without a question of the driver for what is due.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// The clock reaches what is planned next, or goes past it.
    pub(crate) fn due(&mut self, late: Duration) {
        let Some(due) = self.engine.poll_timeout() else { return };
        let before = self.engine.counters();
        self.on_time = late.is_zero() && due >= self.now;
        self.now = self.now.max(due) + late;
        self.engine.handle_timeout(self.now);
        let next = self.engine.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} is planned at {:?}", self.now);
        self.act(None, before);
        self.on_time = false;
    }

    /// Checks all that the engine wants done. `ended` is the fetch of which it was just told.
    fn act(&mut self, ended: Option<&Fetch>, before: Counters) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Tick { id } => self.ticked(id),
                Action::Fetch { id, request, node, patience } => {
                    assert!(patience.is_none_or(|patience| !patience.is_zero()), "no time at all");
                    self.fetch(id, request, node, patience);
                }
                Action::Save { id, position } => {
                    let monitor = &self.monitors[&id];
                    assert!(monitor.saving, "there is nothing to save");
                    assert_eq!(position, monitor.position);
                    if !self.checkpoint {
                        self.change(id, |monitor| monitor.saving = false);
                        self.engine.handle_event(self.now, Event::Saved(id));
                    }
                }
                Action::Report { id, report } => {
                    assert!(self.monitors.contains_key(&id), "a report without a monitor");
                    let counted = match report {
                        Report::Failed { repeats, .. } => repeats,
                        Report::Recovered { failures } => failures,
                        Report::Passed { .. } => 1,
                    };
                    assert!(counted > 0, "a report of nothing");
                }
                Action::Breaker { id, node, open_for } => {
                    let fetch = ended.expect("a breaker changes when a fetch ends");
                    assert_eq!((id, fetch.nodes.get(node)), (fetch.id, Some(&fetch.host)));
                    match open_for {
                        Some(pause) => {
                            assert!(!pause.is_zero(), "a breaker opens for no time at all");
                            self.hosts.opened(fetch.host, self.now + pause, &self.fetches);
                        }
                        None => self.hosts.closed(fetch.host),
                    }
                }
            }
        }
        // A host without monitors and fetches is forgotten.
        let mut asked: BTreeSet<HostId> = self.fetches.iter().map(|fetch| fetch.host).collect();
        asked.extend(self.monitors.values().flat_map(|monitor| monitor.nodes.iter()));
        self.hosts.keep(&asked);
        self.count(before);
    }

    fn ticked(&mut self, id: MonitorId) {
        let (now, on_time) = (self.now, self.on_time);
        let monitor = self.monitors.get_mut(&id).expect("ticks are for the living");
        assert!(!monitor.ticked, "a tick within a pending tick");
        assert!(monitor.unacked.is_empty() && !monitor.saving, "a tick to one that is busy");
        assert!(now >= monitor.grid.first(), "a tick before the first one");
        if on_time {
            let since = now.since(monitor.grid.first()).as_micros();
            assert_eq!(since % monitor.rate.as_micros(), 0, "the grid drifts");
        }
        monitor.ticked = true;
        self.ticks += 1;
        assert!(!self.fetches.iter().any(|fetch| fetch.id == id), "a tick while it fetches");
    }

    fn fetch(&mut self, id: MonitorId, request: Request, node: usize, patience: Option<Duration>) {
        let monitor = self.monitors.get_mut(&id).expect("fetches are for the living");
        assert!(!self.fetches.iter().any(|fetch| fetch.id == id), "two fetches of one at once");
        assert!(monitor.unacked.len() < CREDIT, "a fetch beyond the credit");
        let resolving = monitor.position == Position::Unresolved;
        assert_eq!(resolving, request == Request::Latest, "what is known is not looked up");
        assert!(!monitor.saving, "a fetch before its beginning is durable");
        if let Request::Page(page) = &request {
            assert_eq!(page.from, monitor.position, "a page from where it stands");
            assert_eq!(page.first_seq, monitor.received + 1, "edges are numbered through");
            assert!([monitor.page_limit, MAX_LIMIT].contains(&page.limit), "{}", page.limit);
        }
        monitor.waiting = false;
        let host = *monitor.nodes.get(node).expect("one of its nodes");
        let nodes = Arc::clone(&monitor.nodes);
        let buffered = self.buffered();
        assert!(buffered == 0 || buffered < self.config.max_buffered, "a fetch beyond the budget");
        let since = self.now;
        self.fetches.push(Fetch { id, request, patience, since, host, nodes });
        self.hosts.check(self.now, &self.fetches);
        self.begun += 1;
        let places = self.config.max_inflight.max(1);
        assert!(self.fetches.len() <= places, "too many fetches at once");
        let held = self.fetches.iter().filter(|fetch| fetch.host == host).count();
        let mut hosts = self.monitors.values().flat_map(|monitor| monitor.nodes.iter());
        if hosts.any(|other| *other != host) {
            assert!(held <= (places * 3 / 4).max(1), "{host:?} holds more than its share");
        }
    }

    /// The engine counts as we do.
    fn count(&self, before: Counters) {
        let counters = self.engine.counters();
        assert_eq!(counters.monitors, self.monitors.len());
        assert_eq!(counters.inflight, self.fetches.len());
        assert_eq!((counters.ticks, counters.fetches), (self.ticks, self.begun));
        assert_eq!(counters.buffered, self.buffered());
        let alive = |fetch: &&Fetch| self.monitors.contains_key(&fetch.id);
        let fetching = self.fetches.iter().filter(alive).count();
        assert!(counters.queued + fetching <= counters.monitors, "one turn or fetch for each");
        let waiting = self.monitors.values().filter(|monitor| monitor.waiting).count();
        assert!(counters.queued >= waiting, "{} are queued, of {waiting}", counters.queued);
        assert!(counters.open_breakers >= self.hosts.shut(), "a host is shut");
        let free = self.fetches.is_empty() && counters.open_breakers == 0;
        let room = counters.buffered == 0 || counters.buffered < self.config.max_buffered;
        assert!(!free || !room || counters.queued == 0, "a monitor waits for no reason");
        assert!(counters.slow <= (self.config.max_inflight / 4).max(1), "too many that are slow");
        let only_up = |count: fn(&Counters) -> u64| count(&counters) >= count(&before);
        assert!(only_up(|counters| counters.missed_ticks) && only_up(|counters| counters.failures));
    }

    fn buffered(&self) -> u64 {
        self.monitors.values().flat_map(|monitor| &monitor.unacked).map(|page| page.1).sum()
    }
}

impl Monitor {
    fn ack(&mut self, seq: u64) {
        self.acked = self.acked.max(seq);
        while self.unacked.front().is_some_and(|page| page.0 <= self.acked) {
            self.unacked.pop_front();
        }
    }
}
