//! One schedule: a world drawn from a seed, a number of steps in which anything may happen, and a
//! final phase without faults, in which everything must arrive.

use crate::calls::{Call, Calls, Wanted};
use crate::disk::Disk;
use crate::expected::{Expected, Known};
use crate::monitor::{INTERVAL, Process};
use crate::node::{How, Node};
use crate::totals::Totals;
use cron_engine::{Config, MonitorId, Position, Time, Timing};
use fastrand::Rng;
use std::time::Duration;

/// The size of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 1 to 8 monitors.
    Small,
    /// Thousands of monitors.
    Large,
}

/// Runs the schedule of a seed. Panics if a rule is broken.
#[must_use]
pub fn run(seed: u64, size: Size) -> Totals {
    let mut world = World::new(Rng::with_seed(seed), size);
    for _ in 0..world.steps {
        world.step();
    }
    world.settle();
    world.totals()
}

struct World {
    rng: Rng,
    config: Config,
    rate: Duration,
    timing: Timing,
    /// Whether results come as time passes, and not at random, and little goes wrong: otherwise no
    /// monitor could learn when they come.
    punctual: bool,
    limit: u64,
    steps: u64,
    /// In percent.
    fetch_fails: u8,
    push_fails: u8,
    disk: Option<Disk>,
    processes: Vec<Process>,
    node: Node,
    calls: Calls,
    totals: Totals,
}

impl World {
    fn new(mut rng: Rng, size: Size) -> Self {
        let punctual = rng.u8(0..4) == 0;
        let count = match size {
            Size::Small if punctual => rng.usize(1..=2),
            Size::Small => rng.usize(1..=8),
            Size::Large => rng.usize(1000..=4000),
        };
        // Every other world has a disk. In the others the checkpoint is in memory: it survives
        // monitors and engines, but not the node.
        let disk = rng.bool().then(Disk::default);
        let config = Config {
            max_inflight: rng.usize(1..=4) * if size == Size::Large { 16 } else { 1 },
            max_buffered: match size {
                Size::Small => *rng.choice(&[1, 250, 1000, u64::MAX]).expect("not empty"),
                Size::Large => *rng.choice(&[100_000, u64::MAX]).expect("not empty"),
            },
            seed: rng.u64(..),
        };
        let rates: &[u64] = if punctual { &[1000] } else { &[1, 10, 1000] };
        let rate = Duration::from_millis(*rng.choice(rates).expect("not empty"));
        // In every other world monitors ask while results are expected.
        let max_gap = Duration::from_secs(rng.u64(1..60));
        let timing =
            if !punctual && rng.bool() { Timing::Rate } else { Timing::Expected { max_gap } };
        let now = Time::from_millis(rng.u64(0..10_000));
        let mut processes: Vec<Process> =
            (0..count).map(|number| Process::new(number, rng.u64(0..30))).collect();
        let mut node = Node::start(now, (rate, timing), config, disk.as_ref());
        let mut calls = Calls::default();
        // Searching for older monitors among thousands takes too long.
        calls.overlap = size == Size::Large || rng.u8(0..4) == 0;
        for process in 0..processes.len() {
            calls.under_way.push(Call::Start { process, wanted: wanted(&mut rng) });
        }
        calls.finish(&mut node, &mut processes);
        let steps = match size {
            Size::Small if punctual => rng.u64(500..2000),
            Size::Small => rng.u64(20..300),
            Size::Large => 20_000,
        };
        let most = if punctual { 3 } else { 50 };
        let [fetch_fails, push_fails] = [rng.u8(0..most), rng.u8(0..50)];
        let limit = rng.u64(1..10);
        let totals = Totals::default();
        Self {
            rng,
            config,
            rate,
            timing,
            punctual,
            limit,
            steps,
            fetch_fails,
            push_fails,
            disk,
            processes,
            node,
            calls,
            totals,
        }
    }

    fn step(&mut self) {
        self.totals.steps += 1;
        if self.punctual {
            let results = self.node.now.as_micros() / 1000 / INTERVAL;
            self.processes.iter_mut().for_each(|it| it.results = it.results.max(results));
        }
        let calm = self.punctual && self.rng.u8(0..20) > 0;
        match self.rng.u8(0..if calm { 79 } else { 100 }) {
            0..22 => self.answer(),
            22..42 => self.push(),
            42..53 => {
                let late = if self.rng.u8(0..10) == 0 { self.rng.u64(1..5000) } else { 0 };
                self.node.tick(Duration::from_millis(late));
            }
            53..62 => self.poll(),
            62..69 => self.write(),
            69..73 => self.node.hear(),
            73..79 if self.punctual => {
                let jump = Duration::from_millis(self.rng.u64(1..5000));
                self.node.now = self.node.now + jump;
            }
            73..77 => {
                let index = self.rng.usize(0..self.processes.len());
                self.processes[index].results += self.rng.u64(1..10);
            }
            77..79 => {
                let jump = Duration::from_secs(self.rng.u64(1..100_000));
                self.node.now = self.node.now + jump;
            }
            79 => self.restart_engine(),
            80..91 => self.go_on(),
            91..96 => self.call(),
            96..98 => self.kill(),
            98 => self.crash(),
            _ => {
                let broken = self.rng.bool();
                if let Some(disk) = &self.disk {
                    disk.set_broken(broken);
                }
            }
        }
    }

    /// A random fetch ends.
    fn answer(&mut self) {
        if self.node.fetches.is_empty() {
            return;
        }
        let fetch = self.node.fetches.swap_remove(self.rng.usize(0..self.node.fetches.len()));
        let fails = self.rng.u8(0..100) < self.fetch_fails;
        let how = How { fails, twice: self.rng.u8(0..10) == 0, limit: self.limit };
        self.node.answer(fetch, &mut self.processes, how);
    }

    fn monitor(&mut self) -> Option<MonitorId> {
        let count = self.node.monitors.len();
        if count == 0 {
            return None;
        }
        self.node.monitors.keys().nth(self.rng.usize(0..count)).copied()
    }

    fn push(&mut self) {
        let Some(id) = self.monitor() else { return };
        let waiting = self.node.monitors[&id].next().is_some();
        if waiting && self.rng.u8(0..100) >= self.push_fails {
            self.node.pushed(id, &mut self.processes);
        }
    }

    fn poll(&mut self) {
        if let Some(id) = self.monitor() {
            self.node.poll(id);
        }
    }

    fn write(&mut self) {
        self.totals.commits += u64::from(self.node.kept.write(&mut self.processes));
    }

    /// Random calls continue.
    fn go_on(&mut self) {
        for _ in 0..=self.calls.under_way.len() / 16 {
            let count = self.calls.under_way.len();
            if count > 0 {
                let index = self.rng.usize(0..count);
                self.calls.step(index, &mut self.node, &mut self.processes);
            }
        }
    }

    /// A user starts, stops or forgets a process.
    fn call(&mut self) {
        let process = self.rng.usize(0..self.processes.len());
        let taken_by = self.processes[process].taken_by;
        self.calls.under_way.push(match (self.rng.u8(0..6), taken_by) {
            (0..2, Some(pid)) => Call::Fence { pid, process },
            (2..4, _) => Call::Forget { process },
            _ => Call::Start { process, wanted: wanted(&mut self.rng) },
        });
    }

    /// A monitor is killed. Its restart is planned, unless it was stopped.
    fn kill(&mut self) {
        let Some(id) = self.monitor() else { return };
        self.totals.kills += 1;
        if let Some(monitor) = self.node.end(id, &mut self.processes, true) {
            let (pid, process) = (monitor.pid, monitor.process);
            let wanted = Wanted { go_on: true, ..wanted(&mut self.rng) };
            self.calls.under_way.push(Call::Begin { pid, process, wanted, restart: true });
        }
    }

    fn restart_engine(&mut self) {
        self.totals.restarts += 1;
        let old = self.node.restart_engine();
        self.calls.under_way.extend(old.into_iter().map(|id| Call::Detach { id }));
    }

    /// The node dies and starts again: unsynced writes and everything in memory are lost.
    fn crash(&mut self) {
        self.totals.crashes += 1;
        self.reboot();
        for process in 0..self.processes.len() {
            self.calls.under_way.push(Call::Start { process, wanted: Wanted::STORED });
        }
        if self.rng.bool() {
            self.calls.finish(&mut self.node, &mut self.processes);
        }
    }

    fn reboot(&mut self) {
        self.totals.ticks += self.node.ticks;
        self.totals.quiet_ticks += self.node.quiet_ticks();
        self.disk = self.disk.as_ref().map(Disk::lose_power);
        self.node =
            Node::start(self.node.now, (self.rate, self.timing), self.config, self.disk.as_ref());
        self.calls.under_way.clear();
        for process in &mut self.processes {
            let known = self.node.kept.known(process);
            if self.disk.is_some() {
                process.expected.crashed(known);
            } else {
                assert_eq!(known, Known::default(), "what was in memory is gone");
            }
            process.expected = Expected::on_start(known);
            process.taken_by = None;
        }
    }

    /// Without further faults everything must arrive, and then nothing may be left to do.
    fn settle(&mut self) {
        if let Some(disk) = &self.disk {
            disk.set_broken(false);
        }
        (self.fetch_fails, self.push_fails) = (0, 0);
        self.calls.finish(&mut self.node, &mut self.processes);
        for process in 0..self.processes.len() {
            self.calls.under_way.push(Call::Start { process, wanted: Wanted::STORED });
        }
        self.calls.finish(&mut self.node, &mut self.processes);
        // In the worst case one page per round, and a few empty ones for each monitor.
        let results: u64 = self.processes.iter().map(|process| process.results).sum();
        for _ in 0..results + 4 * u64::try_from(self.processes.len()).expect("few") + 20 {
            if self.processes.iter().all(|process| process.delivered == process.results) {
                break;
            }
            self.write();
            self.node.hear();
            // Longer than breakers stay open.
            self.node.now = self.node.now + Duration::from_mins(1);
            self.node.tick(Duration::ZERO);
            while !self.node.fetches.is_empty() {
                self.answer();
            }
            let ids: Vec<MonitorId> = self.node.monitors.keys().copied().collect();
            for id in ids {
                while self.node.monitors.get(&id).is_some_and(|monitor| monitor.next().is_some()) {
                    self.node.pushed(id, &mut self.processes);
                }
                // The longest time without a request is over: a tick came.
                let ticked = self.node.monitors.get(&id).is_some_and(|monitor| monitor.ticked);
                if ticked || self.timing == Timing::Rate {
                    self.node.poll(id);
                }
            }
        }
        for process in &self.processes {
            assert_eq!(
                process.delivered,
                process.results,
                "a result of {} never arrived: {}",
                process.id,
                self.node.tell_of(process)
            );
        }
        if self.disk.is_some() {
            assert!(self.node.kept.write(&mut self.processes), "a good disk is written to");
            self.reboot();
        }
    }

    fn totals(mut self) -> Totals {
        self.totals.ticks += self.node.ticks;
        self.totals.quiet_ticks += self.node.quiet_ticks();
        let counts = self.calls.counts;
        self.totals.starts = counts.starts;
        self.totals.stops = counts.stops;
        self.totals.forgotten = counts.forgotten;
        self.totals.monitored = counts.monitored;
        for process in &self.processes {
            self.totals.delivered += process.delivered;
            self.totals.repeats += process.repeats;
        }
        self.totals
    }
}

/// A random start position.
fn wanted(rng: &mut Rng) -> Wanted {
    let position = if rng.bool() { Position::Earliest } else { Position::Unresolved };
    Wanted { position, go_on: rng.bool() }
}
