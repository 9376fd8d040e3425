//! The phases without faults, in which everything must arrive and take-overs must be fast.

use super::World;
use crate::cluster::node::Node;
use crate::cluster::tables::ProcessRow;
use crate::cluster::wire::{TTL, micros};
use std::time::Duration;

/// The time between two turns of all nodes, if nothing goes wrong.
const TURN: u64 = 20_000;

impl World {
    /// A turn without faults: everything that can be done within its time is done. Another node
    /// starts in place of one that has left.
    fn fair_turn(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].left {
                self.replace(index);
            }
        }
        self.wire.now += TURN;
        let saves = (self.wire.now / TURN).is_multiple_of(5);
        for index in 0..self.nodes.len() {
            self.turn(index);
            if !self.nodes[index].runs(&self.wire) {
                continue;
            }
            self.nodes[index].end_pushes(None, &mut self.wire);
            for process in 0..self.wire.truth.processes.len() {
                self.nodes[index].begin_push(process, &mut self.wire);
            }
            if saves {
                self.nodes[index].flush(&mut self.wire);
            }
        }
        // A burial that waits for the lock of a dead client's statement ends that.
        self.wire.unblock();
        for _ in 0..20 {
            if !self.wire.step_all() {
                break;
            }
        }
        for envelope in std::mem::take(&mut self.wire.answers) {
            if self.nodes[envelope.node].runs(&self.wire) {
                let node = &mut self.nodes[envelope.node];
                node.receive(envelope.ticket, envelope.answer, &mut self.wire);
            }
        }
    }

    /// Takes turns until something is the case. Returns how long it took.
    fn until(&mut self, limit: u64, what: &str, is: impl Fn(&Self) -> bool) -> u64 {
        let began = self.wire.now;
        while !is(self) {
            let late = self.wire.now - began;
            assert!(late < limit, "{what} after {late} us: {}", self.state());
            self.fair_turn();
        }
        self.wire.now - began
    }

    /// The state of all nodes, to analyse a broken rule.
    fn state(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|it| (it.runs(&self.wire), it)).collect();
        format!("{:?} {nodes:?}", self.wire.database.tables)
    }

    /// Every shard belongs to a node that runs and has its monitors.
    fn is_owned(&self) -> bool {
        let tables = &self.wire.database.tables;
        let has = |(process, row): (&usize, &ProcessRow)| {
            self.nodes.iter().filter(|node| node.runs(&self.wire)).any(|node| {
                let monitor = node.monitors.get(process);
                monitor.is_some_and(|it| {
                    it.generation == row.generation && node.member.holds(it.stake)
                })
            })
        };
        tables.orphans().next().is_none() && tables.processes.iter().all(has)
    }

    /// The shards are even, and every row is that of a running node: the row of a dead one reserves
    /// a share until it is buried.
    fn is_even(&self) -> bool {
        let running = || self.nodes.iter().filter(|node| node.runs(&self.wire));
        let shares: Vec<usize> = running().map(|node| node.member.shards().0).collect();
        let (least, most) = (shares.iter().min(), shares.iter().max());
        let rows = &self.wire.database.tables.nodes;
        let has_row = |node: &Node| {
            node.member.incarnation().is_some_and(|incarnation| rows.contains_key(&incarnation))
        };
        rows.len() == shares.len()
            && running().all(has_row)
            && shares.iter().sum::<usize>() == usize::from(self.shards)
            && least.zip(most).is_some_and(|(least, most)| most - least <= 2)
    }

    /// Everything was pushed, and its cursor is saved, unless the database lost the commit.
    fn has_arrived(&self) -> bool {
        self.wire.database.tables.processes.iter().all(|(process, row)| {
            let results = self.wire.truth.processes[*process].results;
            (row.position >= results || self.wire.truth.rolled_back)
                && self.wire.truth.last(*process, row.generation) >= results
        })
    }

    /// Without further faults everything must arrive.
    pub(super) fn settle(&mut self) {
        self.wire.heal();
        for index in 0..self.nodes.len() {
            self.wire.now = self.wire.now.max(self.nodes[index].paused);
        }
        for index in 0..self.nodes.len() {
            self.nodes[index].cut = 0;
        }
        // Calls time out, nodes that were lost are buried, shards move one by one.
        let limit = 5 * micros(TTL);
        self.until(limit, "shards have no owner", Self::is_owned);
        self.until(limit, "shards are uneven", |world| {
            world.is_owned() && world.is_even() && !world.nodes.iter().any(Node::is_leaving)
        });
        // A push takes three turns.
        let results: u64 = self.wire.truth.processes.iter().map(|it| it.results).sum();
        self.until(limit + 4 * TURN * results, "results have not arrived", Self::has_arrived);
    }

    /// Takes turns for some time, for example until all nodes watch each other again.
    fn wait(&mut self, time: Duration) {
        for _ in 0..micros(time) / TURN {
            self.fair_turn();
        }
    }

    /// The database executes nothing for two TTLs. No node is buried for that, and results that
    /// arrive later are pushed.
    pub(super) fn suffer_outage(&mut self) {
        self.settle();
        self.wait(TTL);
        let buried = |world: &Self| -> u64 {
            world.nodes.iter().map(|node| node.member.counters()).map(|it| it.burials).sum()
        };
        let (before, incarnations) = (buried(self), self.wire.database.tables.nodes.len());
        self.wire.frozen = true;
        self.wait(2 * TTL);
        self.wire.frozen = false;
        self.wait(2 * TTL);
        assert_eq!(buried(self), before, "a node was buried because of an outage");
        assert_eq!(self.wire.database.tables.nodes.len(), incarnations, "all nodes live");
        for process in &mut self.wire.truth.processes {
            process.results += 3;
        }
        self.settle();
    }

    /// A node dies. The others take over.
    pub(super) fn lose_one(&mut self) {
        self.wait(TTL);
        let index = self.wire.rng.usize(0..self.nodes.len());
        if self.nodes.len() < 2 {
            return;
        }
        self.wire.totals.kills += 1;
        self.nodes[index].paused = u64::MAX;
        let promised = TTL.mul_f64(1.0 / 0.97) + Duration::from_secs(1);
        let took = self.until(micros(promised), "a take-over is slow", Self::is_owned);
        let slowest = &mut self.wire.totals.slowest_take_over;
        *slowest = (*slowest).max(took / 1000);
        self.replace(index);
        self.settle();
    }

    /// A node stops. Nothing is repeated, and no shard is without an owner for long.
    pub(super) fn stop_one(&mut self) {
        if self.nodes.len() < 2 {
            return;
        }
        let index = self.wire.rng.usize(0..self.nodes.len());
        for process in &mut self.wire.truth.processes {
            process.results += 100;
        }
        let repeats = self.wire.totals.repeats;
        self.nodes[index].leave(&mut self.wire);
        let mut orphaned = vec![self.wire.now; usize::from(self.shards)];
        let limit = self.wire.now + 5 * micros(TTL);
        let mut left = self.nodes[index].left;
        while !(left && self.is_owned()) {
            assert!(self.wire.now < limit, "a node does not stop");
            self.fair_turn();
            let now = self.wire.now;
            left |= self.nodes[index].left;
            let orphans: Vec<usize> = self.wire.database.tables.orphans().collect();
            for (shard, since) in orphaned.iter_mut().enumerate() {
                if orphans.contains(&shard) {
                    let pause = &mut self.wire.totals.longest_pause;
                    *pause = (*pause).max((now - *since) / 1000);
                    assert!(now - *since < 2_000_000, "a shard is without an owner");
                } else {
                    *since = now;
                }
            }
        }
        assert_eq!(self.wire.totals.repeats, repeats, "a hand-over repeats nothing");
    }
}
