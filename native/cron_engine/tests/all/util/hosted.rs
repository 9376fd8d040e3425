//! A node whose hosts behave as the test says, on a simulated clock: dead, slow, busy or good. Its
//! monitors poll at every tick, and have no results to push.

use super::{config, failure, registration};
use cron_engine::{
    Action, Class, Config, Engine, Event, Failure, Fetched, HostId, MonitorId, Position,
    Registration, Time,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const RATE: Duration = Duration::from_secs(10);
/// What a good host takes to answer.
pub(crate) const QUICK: Duration = Duration::from_millis(2);
/// The longest that a fetch may take at all.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// What a process gets of the host that is asked, after how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Good,
    /// The connection is refused, at once.
    Refuses,
    /// Nothing ever comes.
    Hangs,
    /// It answers, after a while.
    Slow(Duration),
    /// Nonsense comes, at once.
    Garbage,
    /// "Come back later", at once.
    Busy(Duration),
}

/// The node, and what its hosts were asked.
pub(crate) struct Hosted {
    pub(crate) engine: Engine,
    pub(crate) now: Time,
    max_inflight: usize,
    /// By host; a process may differ.
    pub(crate) hosts: BTreeMap<u64, Behaviour>,
    pub(crate) processes: BTreeMap<MonitorId, Behaviour>,
    pub(crate) nodes: BTreeMap<MonitorId, Arc<[HostId]>>,
    inflight: BTreeMap<MonitorId, HostId>,
    answers: BinaryHeap<Reverse<(Time, MonitorId, u8)>>,
    /// When each monitor was last due, until its poll is answered; and how long answers took.
    due: BTreeMap<MonitorId, Time>,
    pub(crate) delays: BTreeMap<MonitorId, Vec<Duration>>,
    pub(crate) requests: BTreeMap<HostId, Vec<Time>>,
    pub(crate) breakers: Vec<(bool, Time)>,
}

impl Hosted {
    pub(crate) fn new(max_inflight: usize) -> Self {
        Self {
            engine: Engine::new(Config { seed: 5, ..config(max_inflight) }),
            now: Time::ZERO,
            max_inflight,
            hosts: BTreeMap::new(),
            processes: BTreeMap::new(),
            nodes: BTreeMap::new(),
            inflight: BTreeMap::new(),
            answers: BinaryHeap::new(),
            due: BTreeMap::new(),
            delays: BTreeMap::new(),
            requests: BTreeMap::new(),
            breakers: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, ids: std::ops::Range<u64>, hosts: &[u64]) {
        let hosts: Arc<[HostId]> = hosts.iter().map(|host| HostId(*host)).collect();
        for id in ids.map(MonitorId) {
            self.nodes.insert(id, Arc::clone(&hosts));
            let walk_after = Duration::from_hours(1000);
            let registration = registration(id, RATE, Position::Earliest);
            let nodes = Arc::clone(&hosts);
            self.tell(Event::Register(Registration { nodes, walk_after, ..registration }));
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.engine.handle_event(self.now, event);
        self.act();
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let answer = self.answers.peek().map(|Reverse((at, ..))| *at);
            let next = answer.into_iter().chain(self.engine.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if answer.is_some_and(|at| at <= self.now) {
                let Some(Reverse((_, id, how))) = self.answers.pop() else { break };
                self.answer(id, how);
            } else {
                self.engine.handle_timeout(self.now);
                self.act();
            }
        }
        self.now = end;
    }

    fn behaviour(&self, id: MonitorId, host: HostId) -> Behaviour {
        let of_host = self.hosts.get(&host.0).copied().unwrap_or(Behaviour::Good);
        self.processes.get(&id).copied().unwrap_or(of_host)
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Tick { id } => {
                    self.due.insert(id, self.now);
                    self.engine.handle_event(self.now, Event::Poll(id));
                }
                Action::Fetch { id, node, patience, .. } => {
                    let host = self.nodes[&id][node];
                    let took = match self.behaviour(id, host) {
                        Behaviour::Hangs => patience.unwrap_or(LIMIT),
                        Behaviour::Slow(time) => patience.unwrap_or(LIMIT).min(time),
                        _ => QUICK,
                    };
                    let late = u8::from(Some(took) == patience);
                    self.answers.push(Reverse((self.now + took, id, late)));
                    assert_eq!(self.inflight.insert(id, host), None, "one fetch at a time");
                    self.requests.entry(host).or_default().push(self.now);
                }
                Action::Breaker { open_for, .. } => {
                    self.breakers.push((open_for.is_some(), self.now));
                }
                Action::Report { .. } => {}
                Action::Save { id, .. } => self.engine.handle_event(self.now, Event::Saved(id)),
            }
        }
        self.check_shares();
    }

    fn check_shares(&self) {
        assert!(self.inflight.len() <= self.max_inflight);
        assert_eq!(self.engine.counters().inflight, self.inflight.len());
        assert!(self.engine.counters().slow <= (self.max_inflight / 4).max(1));
        let mut shares: BTreeMap<HostId, usize> = BTreeMap::new();
        for host in self.inflight.values() {
            *shares.entry(*host).or_default() += 1;
        }
        // Where two hosts are asked, neither has more than its share.
        if shares.len() > 1 {
            let most = (self.max_inflight * 3 / 4).max(1);
            assert!(shares.values().all(|share| *share <= most), "{shares:?}");
        }
    }

    fn answer(&mut self, id: MonitorId, late: u8) {
        let host = self.inflight.remove(&id).unwrap();
        let outcome = match self.behaviour(id, host) {
            // What hung when it was asked for does so to the end.
            _ if late == 1 => Ok(Fetched::TooSlow),
            Behaviour::Good | Behaviour::Slow(_) => Ok(Fetched::EmptyPage),
            Behaviour::Refuses => Err(failure(Class::Connect)),
            Behaviour::Hangs => Err(failure(Class::Timeout)),
            Behaviour::Garbage => Err(failure(Class::BadJson)),
            Behaviour::Busy(pause) => {
                Err(Failure { retry_after: Some(pause), ..failure(Class::Status) })
            }
        };
        let answered = outcome == Ok(Fetched::EmptyPage);
        if let Some(due) = self.due.remove(&id).filter(|_| answered) {
            self.delays.entry(id).or_default().push(self.now.since(due));
        }
        self.tell(Event::Fetched(id, outcome));
    }

    /// The longest that one of these monitors waited from its tick to the answer, since `since`
    /// answers of each.
    pub(crate) fn worst(&self, ids: std::ops::Range<u64>, since: usize) -> Duration {
        ids.map(|id| {
            let delays = &self.delays[&MonitorId(id)];
            assert!(delays.len() > since, "monitor {id} was answered {} times", delays.len());
            delays[since..].iter().max().copied().unwrap()
        })
        .max()
        .unwrap()
    }

    pub(crate) fn asked(&self, host: u64) -> usize {
        self.requests.get(&HostId(host)).map_or(0, Vec::len)
    }
}
