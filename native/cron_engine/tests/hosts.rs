//! Hosts that are dead, slow or busy: their monitors wait without costing much, and the monitors of
//! other hosts, and the other monitors of the same host, keep their ticks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod util;

use cron_engine::{
    Action, Class, Config, Engine, Event, Failure, Fetched, HostId, MonitorId, Position,
    Registration, Time,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;
use util::{config, failure, registration};

const RATE: Duration = Duration::from_secs(10);
const QUICK: Duration = Duration::from_millis(2);
/// The longest that a fetch may take at all.
const LIMIT: Duration = Duration::from_mins(1);

/// What a process gets of the host that is asked, after how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
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

/// A node whose hosts behave as the test says, on a simulated clock.
struct Node {
    engine: Engine,
    now: Time,
    max_inflight: usize,
    /// By host; a process may differ.
    hosts: BTreeMap<u64, Behaviour>,
    processes: BTreeMap<MonitorId, Behaviour>,
    nodes: BTreeMap<MonitorId, Arc<[HostId]>>,
    inflight: BTreeMap<MonitorId, HostId>,
    answers: BinaryHeap<Reverse<(Time, MonitorId, u8)>>,
    /// When each monitor was last due, until its poll is answered; and how long answers took.
    due: BTreeMap<MonitorId, Time>,
    delays: BTreeMap<MonitorId, Vec<Duration>>,
    requests: BTreeMap<HostId, Vec<Time>>,
    breakers: Vec<(bool, Time)>,
}

impl Node {
    fn new(max_inflight: usize) -> Self {
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

    fn start(&mut self, ids: std::ops::Range<u64>, hosts: &[u64]) {
        let hosts: Arc<[HostId]> = hosts.iter().map(|host| HostId(*host)).collect();
        for id in ids.map(MonitorId) {
            self.nodes.insert(id, Arc::clone(&hosts));
            let walk_after = Duration::from_hours(1000);
            let registration = registration(id, RATE, Position::Earliest);
            let nodes = Arc::clone(&hosts);
            self.tell(Event::Register(Registration { nodes, walk_after, ..registration }));
        }
    }

    fn tell(&mut self, event: Event) {
        self.engine.handle_event(self.now, event);
        self.act();
    }

    fn run_for(&mut self, time: Duration) {
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
                Action::Save { .. } => panic!("there is no checkpoint"),
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
    fn worst(&self, ids: std::ops::Range<u64>, since: usize) -> Duration {
        ids.map(|id| {
            let delays = &self.delays[&MonitorId(id)];
            assert!(delays.len() > since, "monitor {id} was answered {} times", delays.len());
            delays[since..].iter().max().copied().unwrap()
        })
        .max()
        .unwrap()
    }

    fn asked(&self, host: u64) -> usize {
        self.requests.get(&HostId(host)).map_or(0, Vec::len)
    }
}

#[test]
fn dead_host_of_a_thousand_monitors_costs_a_request_now_and_then() {
    let mut node = Node::new(64);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..1000, &[1]);
    node.start(1000..2000, &[2]);
    node.run_for(RATE);
    assert!(node.asked(1) < 30, "before and after the breaker opened: {}", node.asked(1));
    let before = node.asked(1);
    node.run_for(Duration::from_mins(10));
    let rate = node.asked(1) - before;
    assert!((60..=240).contains(&rate), "one probe every 5 s or so: {rate}");
    assert_eq!(node.engine.counters().open_breakers, 1);
    assert!(node.worst(1000..2000, 0) <= QUICK * 4, "{:?}", node.worst(1000..2000, 0));
}

#[test]
fn dead_host_that_comes_back_is_noticed_soon_and_serves_all_that_waited() {
    let mut node = Node::new(64);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..1000, &[1]);
    node.run_for(Duration::from_mins(30));
    node.hosts.insert(1, Behaviour::Good);
    node.run_for(Duration::from_secs(11));
    let answered =
        node.requests[&HostId(1)].iter().filter(|at| **at > Time::ZERO + Duration::from_mins(30));
    assert!(answered.count() >= 1000);
    assert_eq!(node.engine.counters().open_breakers, 0);
    assert_eq!(node.engine.counters().queued, 0);
    assert_eq!(node.breakers.last().map(|(opened, _)| *opened), Some(false));
}

#[test]
fn dead_host_that_comes_back_slower_than_it_was_is_noticed_soon() {
    for time in [Duration::from_millis(300), Duration::from_secs(3), Duration::from_secs(20)] {
        let mut node = Node::new(64);
        node.start(0..1000, &[1]);
        node.run_for(RATE);
        node.hosts.insert(1, Behaviour::Refuses);
        node.run_for(Duration::from_mins(10));
        node.hosts.insert(1, Behaviour::Slow(time));
        node.run_for(Duration::from_mins(2));
        assert_eq!(node.engine.counters().open_breakers, 0, "{time:?}");
    }
}

#[test]
fn dead_host_of_one_monitor_is_probed_every_few_seconds() {
    let mut node = Node::new(64);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..1, &[1]);
    node.run_for(Duration::from_mins(30));
    let asked = &node.requests[&HostId(1)];
    let gaps = asked.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(gaps.max().unwrap() <= Duration::from_secs(17), "its own backoff before it opened");
}

#[test]
fn host_that_hangs_for_all_leaves_the_others_their_places() {
    let mut node = Node::new(64);
    node.start(0..1000, &[1]);
    node.start(1000..2000, &[2]);
    node.run_for(RATE * 2);
    node.hosts.insert(1, Behaviour::Hangs);
    let seen = node.delays[&MonitorId(1000)].len();
    node.run_for(Duration::from_mins(10));
    assert_eq!(node.engine.counters().open_breakers, 1);
    assert!(node.worst(1000..2000, seen) <= QUICK * 4, "{:?}", node.worst(1000..2000, seen));
    assert!(node.asked(1) < 6000, "{}", node.asked(1));
}

#[test]
fn processes_that_hang_do_not_hold_up_the_good_ones_of_the_same_host() {
    let mut node = Node::new(64);
    // A fifth of them hangs, a tenth is garbage; all from the first moment on.
    for id in 0..5000 {
        let behaviour = match id % 10 {
            0 | 1 => Behaviour::Hangs,
            2 => Behaviour::Garbage,
            _ => Behaviour::Good,
        };
        node.processes.insert(MonitorId(id), behaviour);
    }
    node.start(0..5000, &[1]);
    node.run_for(Duration::from_mins(5));
    let counters = node.engine.counters();
    assert_eq!(counters.open_breakers, 0);
    assert!(counters.demotions >= 900, "{}", counters.demotions);
    // What hangs is known after half a minute.
    let mut late = 0;
    for id in (0..5000).filter(|id| id % 10 > 2) {
        let delays = &node.delays[&MonitorId(id)];
        assert!(delays.len() >= 25, "{id}: {}", delays.len());
        late += delays.iter().skip(4).filter(|delay| **delay > QUICK * 4).count();
    }
    assert_eq!(late, 0, "polls that were held up");
}

#[test]
fn processes_that_time_out_together_do_not_open_the_breaker_of_a_host_that_answers_others() {
    let mut node = Node::new(64);
    for id in 0..10 {
        node.processes.insert(MonitorId(id), Behaviour::Hangs);
    }
    node.start(0..20, &[1]);
    // All at once, with places to spare: nobody is hurried, and all that hang end in one moment.
    (0..20).for_each(|id| node.tell(Event::Poll(MonitorId(id))));
    node.run_for(LIMIT + RATE);
    assert_eq!(node.breakers, []);
    assert!(node.worst(10..20, 0) <= QUICK * 2);
}

#[test]
fn processes_that_start_while_hundreds_hang_are_served_within_seconds() {
    let mut node = Node::new(64);
    for id in 0..1000 {
        node.processes.insert(MonitorId(id), Behaviour::Hangs);
    }
    node.start(0..1000, &[1]);
    node.run_for(Duration::from_secs(7));
    node.start(1000..4500, &[1]);
    node.run_for(Duration::from_mins(2));
    for id in 1000..4500 {
        let delays = &node.delays[&MonitorId(id)];
        assert!(delays.len() >= 9, "{id}: {}", delays.len());
        assert!(delays.iter().skip(2).all(|delay| *delay <= QUICK * 4), "{id}: {delays:?}");
    }
}

#[test]
fn one_good_process_among_many_that_hang_is_not_stopped_by_the_breaker_for_long() {
    let mut node = Node::new(64);
    for id in 0..20 {
        node.processes.insert(MonitorId(id), Behaviour::Hangs);
    }
    node.start(0..21, &[1]);
    node.run_for(Duration::from_mins(30));
    let good = &node.delays[&MonitorId(20)];
    assert!(good.len() > 160, "{}", good.len());
    assert!(good.iter().skip(10).all(|delay| *delay <= QUICK * 2), "{:?}", good.iter().max());
}

#[test]
fn process_that_recovers_from_slowness_is_fast_again() {
    let mut node = Node::new(4);
    node.processes.insert(MonitorId(0), Behaviour::Hangs);
    node.start(0..8, &[1]);
    node.run_for(Duration::from_mins(5));
    node.processes.clear();
    node.run_for(Duration::from_mins(12));
    let seen = node.delays[&MonitorId(0)].len();
    node.run_for(Duration::from_mins(5));
    assert!(node.worst(0..8, seen) <= QUICK * 4);
    assert_eq!(node.engine.counters().slow, 0);
}

#[test]
fn host_that_is_busy_is_left_alone_as_long_as_it_asks() {
    let mut node = Node::new(64);
    let pause = Duration::from_secs(90);
    node.hosts.insert(1, Behaviour::Busy(pause));
    node.start(0..1000, &[1]);
    node.start(1000..1100, &[2]);
    node.run_for(Duration::from_mins(15));
    // Five to open the breaker, then a probe each time it is over; monitors that waited on their
    // own are among them.
    assert!(node.asked(1) <= 5 + 10, "{}", node.asked(1));
    assert!(node.worst(1000..1100, 0) <= QUICK * 4);
}

#[test]
fn failover_moves_all_monitors_of_a_dead_host_to_the_next_node() {
    let mut node = Node::new(64);
    node.start(0..1000, &[1, 2]);
    node.run_for(RATE * 2);
    assert_eq!(node.asked(2), 0, "the first one is good enough");
    node.hosts.insert(1, Behaviour::Refuses);
    let seen = node.delays[&MonitorId(7)].len();
    node.run_for(RATE * 6);
    assert!(node.asked(2) >= 1000 * 5);
    assert!(node.worst(0..1000, seen) <= QUICK * 6, "{:?}", node.worst(0..1000, seen));
}

#[test]
fn hosts_that_nobody_asks_any_more_are_forgotten_while_monitors_come_and_go() {
    let mut node = Node::new(4);
    for round in 0..2000_u64 {
        node.hosts.insert(round, Behaviour::Refuses);
        node.start(round..round + 1, &[round]);
        node.tell(Event::Poll(MonitorId(round)));
        node.run_for(Duration::from_millis(3));
        node.nodes.remove(&MonitorId(round));
        node.tell(Event::Removed(MonitorId(round)));
    }
    node.run_for(Duration::from_mins(20));
    let counters = node.engine.counters();
    assert_eq!((counters.monitors, counters.queued, counters.open_breakers), (0, 0, 0));
    assert_eq!(node.engine.poll_timeout(), None);
}

#[test]
fn monitors_that_stop_while_their_host_is_dead_leave_nothing_in_its_queue() {
    let mut node = Node::new(4);
    node.hosts.insert(1, Behaviour::Refuses);
    node.start(0..10, &[1]);
    node.run_for(Duration::from_mins(2));
    for id in 100..20_000 {
        node.start(id..id + 1, &[1]);
        node.tell(Event::Poll(MonitorId(id)));
        node.tell(Event::Removed(MonitorId(id)));
    }
    assert_eq!(node.engine.counters().queued, 10 - node.engine.counters().inflight);
    node.hosts.insert(1, Behaviour::Good);
    node.run_for(Duration::from_mins(2));
    assert!(node.worst(0..10, 0) < Duration::from_mins(5));
    assert_eq!(node.engine.counters().queued, 0);
}
