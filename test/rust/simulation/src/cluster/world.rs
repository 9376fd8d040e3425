//! One schedule: a world drawn from a seed, a number of steps in which anything may happen, and
//! phases without faults, in which everything must arrive and take-overs must be fast.

mod calm;

use super::node::Node;
use super::rules::{Numbers, Rules};
use super::statement::Statement;
use super::totals::ClusterTotals;
use super::truth::Process;
use super::wire::{TTL, Wire, micros};
use fastrand::Rng;

/// Runs the schedule of a seed. Panics if a rule is broken.
#[must_use]
pub fn run(seed: u64, rules: Rules) -> ClusterTotals {
    let mut world = World::new(Rng::with_seed(seed), rules);
    for _ in 0..world.steps {
        world.step();
    }
    world.settle();
    if world.wire.rng.u8(0..4) == 0 {
        world.lose_one();
        world.stop_one();
        world.suffer_outage();
    }
    world.totals()
}

struct World {
    wire: Wire,
    nodes: Vec<Node>,
    shards: u16,
    steps: u64,
    /// The process that was started last.
    started: usize,
    /// In thousandths of the steps.
    faults: u16,
    /// The database may fail over to a replica that is behind.
    rolls_back: bool,
    /// Clocks may miss a pause.
    hides_pauses: bool,
}

impl World {
    fn new(mut rng: Rng, rules: Rules) -> Self {
        let (shards, nodes) = (rng.u16(1..=8), rng.usize(1..=4));
        let processes = rng.usize(1..=8);
        let (steps, faults) = (rng.u64(200..2000), rng.u16(0..60));
        let (rolls_back, hides_pauses) = (rng.u8(0..8) == 0, rng.u8(0..8) == 0);
        // Roll-backs are what that rule is wrong about.
        let rolls_back = rolls_back || rules.numbers == Numbers::Sequence;
        let mut wire = Wire::new(rng, usize::from(shards), rules);
        wire.truth.processes.resize_with(processes, Process::default);
        let nodes = (0..nodes).map(|index| Node::start(index, shards, &mut wire)).collect();
        let mut world =
            Self { wire, nodes, shards, steps, started: 0, faults, rolls_back, hides_pauses };
        for process in 0..processes {
            world.wire.truth.processes[process].results = world.wire.rng.u64(0..20);
            world.begin(process);
        }
        world
    }

    fn step(&mut self) {
        self.wire.totals.steps += 1;
        match self.wire.rng.u8(0..100) {
            0..20 => {
                self.wire.now += self.wire.rng.u64(0..micros(TTL) / 40);
                for index in 0..self.nodes.len() {
                    self.turn(index);
                }
            }
            20..55 => self.wire.step_any(),
            55..72 => self.deliver(),
            72..92 => self.push(),
            92..97 => {
                let index = self.wire.rng.usize(0..self.nodes.len());
                if self.nodes[index].runs(&self.wire) {
                    self.nodes[index].flush(&mut self.wire);
                }
            }
            _ => self.produce(),
        }
        if self.wire.rng.u16(0..1000) < self.faults {
            self.fail();
        }
    }

    fn turn(&mut self, index: usize) {
        if self.nodes[index].runs(&self.wire) {
            self.nodes[index].turn(&mut self.wire);
        }
    }

    /// An answer arrives, not necessarily the oldest one.
    fn deliver(&mut self) {
        let count = self.wire.answers.len();
        if count == 0 {
            return;
        }
        let index = self.wire.rng.usize(0..count);
        let node = self.wire.answers[index].node;
        if self.nodes[node].runs(&self.wire) && self.wire.answers[index].due <= self.wire.now {
            let envelope = self.wire.answers.swap_remove(index);
            self.nodes[node].receive(envelope.ticket, envelope.answer, &mut self.wire);
        }
    }

    fn push(&mut self) {
        let index = self.wire.rng.usize(0..self.nodes.len());
        let process = self.wire.rng.usize(0..self.wire.truth.processes.len());
        let node = &mut self.nodes[index];
        if node.runs(&self.wire) {
            node.end_pushes(Some(process), &mut self.wire);
            node.begin_push(process, &mut self.wire);
        }
    }

    fn produce(&mut self) {
        let process = self.wire.rng.usize(0..self.wire.truth.processes.len());
        self.wire.truth.processes[process].results += self.wire.rng.u64(0..5);
    }

    /// A user starts a process anew, from its first or its latest result.
    fn begin(&mut self, process: usize) {
        self.started = process;
        let random = self.wire.rng.i64(1..i64::MAX);
        let latest = self.wire.truth.processes[process].results;
        let position = if self.wire.rng.bool() { latest } else { 0 };
        self.wish(Statement::Start { process, position, random });
    }

    /// A user's statement. Its answer goes to no node.
    fn wish(&mut self, statement: Statement) {
        self.wire.totals.wishes += 1;
        self.wire.send_of_user(statement);
    }

    fn fail(&mut self) {
        let (index, now) = (self.wire.rng.usize(0..self.nodes.len()), self.wire.now);
        let time = self.wire.rng.u64(0..2 * micros(TTL));
        let process = self.wire.rng.usize(0..self.wire.truth.processes.len());
        let runs = self.nodes[index].runs(&self.wire);
        match self.wire.rng.u8(0..26) {
            0..4 => self.replace(index),
            4..9 if runs => {
                self.wire.totals.pauses += 1;
                if self.hides_pauses && self.wire.rng.bool() {
                    self.nodes[index].pause_hidden(time, &mut self.wire);
                } else {
                    self.nodes[index].paused = now + time;
                }
            }
            9..13 => self.nodes[index].cut = now + time,
            13..15 if runs => self.nodes[index].leave(&mut self.wire),
            15..17 => self.wire.frozen = !self.wire.frozen,
            17 => self.wire.crash(),
            18 if self.rolls_back => {
                self.wire.roll_back();
                // A user whose start was lost starts again.
                if self.wire.rng.bool() {
                    self.begin(self.started);
                }
            }
            19..21 => self.begin(process),
            21 => {
                let random = self.wire.rng.i64(1..i64::MAX);
                self.wish(Statement::Forget { process, random });
            }
            22 => self.wire.abort_any(),
            _ => self.wire.unblock(),
        }
        if self.nodes[index].left {
            self.replace(index);
        }
    }

    /// A node is killed, if it had not left, and another one starts in its place.
    fn replace(&mut self, index: usize) {
        self.wire.totals.kills += u64::from(!self.nodes[index].left);
        self.retire(index);
        self.nodes[index] = Node::start(index, self.shards, &mut self.wire);
    }

    /// Adds up what a node has counted.
    fn retire(&mut self, index: usize) {
        let counters = self.nodes[index].member.counters();
        let totals = &mut self.wire.totals;
        totals.joins += counters.joins;
        totals.evictions += counters.evictions;
        totals.burials += counters.burials;
        totals.claims += counters.claims;
        totals.hand_overs += counters.hand_overs;
    }

    fn totals(mut self) -> ClusterTotals {
        for index in 0..self.nodes.len() {
            self.retire(index);
        }
        self.wire.totals
    }
}
