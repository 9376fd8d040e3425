//! One schedule: a world drawn from a seed, a number of steps in which anything may happen, and at
//! the end a time without faults, in which everything must arrive.

use crate::disk::Disk;
use crate::monitor::{Process, number};
use crate::node::{How, Node};
use cron_engine::{Config, MonitorId, Position, Time};
use fastrand::Rng;
use std::time::Duration;

/// How large a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 1 to 8 monitors.
    Small,
    /// Thousands of monitors.
    Large,
}

/// What a schedule, or many together, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Steps taken.
    pub steps: u64,
    /// Results that were pushed at least once.
    pub delivered: u64,
    /// Pushes of results that had been pushed before: what a crash costs.
    pub repeats: u64,
    /// Ticks sent.
    pub ticks: u64,
    /// Crashes of the node.
    pub crashes: u64,
    /// Restarts of the engine.
    pub restarts: u64,
    /// Commits that succeeded.
    pub commits: u64,
}

impl Totals {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.delivered += other.delivered;
        self.repeats += other.repeats;
        self.ticks += other.ticks;
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.commits += other.commits;
    }
}

/// Runs the schedule of a seed; panics where a rule is broken.
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
    limit: u64,
    steps: u64,
    /// In percent.
    fetch_fails: u8,
    push_fails: u8,
    disk: Option<Disk>,
    processes: Vec<Process>,
    node: Node,
    totals: Totals,
}

impl World {
    fn new(mut rng: Rng, size: Size) -> Self {
        let count = match size {
            Size::Small => rng.usize(1..=8),
            Size::Large => rng.usize(1000..=4000),
        };
        // Every other world has a disk; without one nothing outlives the node.
        let disk = rng.bool().then(Disk::default);
        let config = Config {
            max_inflight: rng.usize(1..=4) * if size == Size::Large { 16 } else { 1 },
            max_buffered: match size {
                Size::Small => *rng.choice(&[1, 250, 1000, u64::MAX]).expect("not empty"),
                Size::Large => *rng.choice(&[100_000, u64::MAX]).expect("not empty"),
            },
            seed: rng.u64(..),
        };
        let rate = Duration::from_millis(*rng.choice(&[1, 10, 1000]).expect("not empty"));
        let now = Time::from_millis(rng.u64(0..10_000));
        let processes: Vec<Process> =
            (0..count).map(|number| Process::new(number, rng.u64(0..30))).collect();
        let mut node = Node::start(now, rate, config, disk.as_ref());
        for (index, process) in processes.iter().enumerate() {
            let wanted = if rng.bool() { Position::Earliest } else { Position::Unresolved };
            node.begin(index, process, wanted);
        }
        let steps = match size {
            Size::Small => rng.u64(20..300),
            Size::Large => 20_000,
        };
        let [fetch_fails, push_fails] = [rng.u8(0..50), rng.u8(0..50)];
        let limit = rng.u64(1..10);
        let totals = Totals::default();
        Self {
            rng,
            config,
            rate,
            limit,
            steps,
            fetch_fails,
            push_fails,
            disk,
            processes,
            node,
            totals,
        }
    }

    fn step(&mut self) {
        self.totals.steps += 1;
        match self.rng.u8(0..100) {
            0..25 => self.answer(),
            25..50 => self.push(),
            50..65 => {
                let late = if self.rng.u8(0..10) == 0 { self.rng.u64(1..5000) } else { 0 };
                self.node.tick(Duration::from_millis(late));
            }
            65..77 => self.poll(),
            77..87 => self.write(),
            87..92 => {
                let index = self.rng.usize(0..self.processes.len());
                self.processes[index].results += self.rng.u64(1..10);
            }
            92..94 => {
                let jump = Duration::from_secs(self.rng.u64(1..100_000));
                self.node.now = self.node.now + jump;
            }
            94..96 => {
                self.node.restart_engine(&self.processes);
                self.totals.restarts += 1;
            }
            96..98 => self.stop_and_start(),
            98 => self.crash(),
            _ => {
                let broken = self.rng.bool();
                if let Some(disk) = &self.disk {
                    disk.set_broken(broken);
                }
            }
        }
    }

    /// A fetch ends: any of them, in whatever order.
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
        self.totals.commits += u64::from(self.node.write(&mut self.processes));
    }

    /// Where there is no checkpoint a stop loses the place, which is as it should be.
    fn stop_and_start(&mut self) {
        if self.disk.is_none() {
            return;
        }
        let Some(id) = self.monitor() else { return };
        let index = self.node.monitors[&id].process;
        self.node.stop(id);
        self.node.begin(index, &self.processes[index], Position::Unresolved);
    }

    /// The node dies and starts again: what was not synced is lost.
    fn crash(&mut self) {
        let Some(disk) = self.disk.as_ref().map(Disk::lose_power) else { return };
        self.totals.crashes += 1;
        self.totals.ticks += self.node.ticks;
        self.disk = Some(disk.clone());
        self.node = Node::start(self.node.now, self.rate, self.config, Some(&disk));
        self.node.check_survivors(&self.processes);
        for (index, process) in self.processes.iter_mut().enumerate() {
            // What was acked and not durable was for nothing.
            if let Some(position) = self.node.stored(process) {
                process.acked = number(&position);
            }
            self.node.begin(index, process, Position::Unresolved);
        }
    }

    /// No more faults: everything must arrive, and then there is nothing to do.
    fn settle(&mut self) {
        if let Some(disk) = &self.disk {
            disk.set_broken(false);
        }
        (self.fetch_fails, self.push_fails) = (0, 0);
        // At the worst a page a round, and a few empty ones of each.
        let results: u64 = self.processes.iter().map(|process| process.results).sum();
        for _ in 0..results + 4 * u64::try_from(self.processes.len()).expect("few") + 20 {
            if self.processes.iter().all(|process| process.delivered == process.results) {
                break;
            }
            self.write();
            // Longer than any breaker stays open.
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
                self.node.poll(id);
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
            assert!(self.node.write(&mut self.processes), "a good disk is written to");
            self.node.check_survivors(&self.processes);
        }
    }

    fn totals(mut self) -> Totals {
        self.totals.ticks += self.node.ticks;
        for process in &self.processes {
            self.totals.delivered += process.delivered;
            self.totals.repeats += process.repeats;
        }
        self.totals
    }
}
