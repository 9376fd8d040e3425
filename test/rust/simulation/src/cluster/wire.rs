//! The connections between nodes and the database, and the world's time.

use super::database::{BEHIND, Database, Ticket};
use super::rules::Rules;
use super::statement::{Answer, Statement};
use super::totals::ClusterTotals;
use super::truth::Truth;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// The TTL of all worlds.
pub(crate) const TTL: Duration = Duration::from_secs(6);

/// An answer under way; `None` if the statement failed.
pub(crate) struct Envelope {
    pub(crate) ticket: Ticket,
    pub(crate) node: usize,
    /// It does not arrive before this time.
    pub(crate) due: u64,
    pub(crate) answer: Option<Answer>,
}

/// Everything but the nodes.
pub(crate) struct Wire {
    /// Microseconds.
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) database: Database,
    pub(crate) truth: Truth,
    pub(crate) answers: Vec<Envelope>,
    pub(crate) totals: ClusterTotals,
    /// Which node sent each running statement.
    senders: BTreeMap<Ticket, usize>,
    /// Statements that are not executed before a time, as if they waited for a disk or a network.
    delayed: BTreeMap<Ticket, u64>,
    /// Faults happen.
    pub(crate) faulty: bool,
    /// The database executes nothing.
    pub(crate) frozen: bool,
    last: Ticket,
}

impl Wire {
    pub(crate) fn new(rng: Rng, shards: usize, rules: Rules) -> Self {
        Self {
            now: 0,
            rng,
            database: Database::new(shards, rules),
            truth: Truth::default(),
            answers: Vec::new(),
            totals: ClusterTotals::default(),
            senders: BTreeMap::new(),
            delayed: BTreeMap::new(),
            faulty: true,
            frozen: false,
            last: 0,
        }
    }

    /// Whether something happens that does in `percent` of cases, as long as there are faults.
    pub(crate) fn fails(&mut self, percent: u8) -> bool {
        self.faulty && self.rng.u8(0..100) < percent
    }

    /// Sends a statement of a node. If the node is cut off, it does not arrive.
    pub(crate) fn send(&mut self, node: usize, statement: Statement, cut: bool) -> Ticket {
        self.last += 1;
        if cut {
            return self.last;
        }
        self.delay(self.last);
        self.senders.insert(self.last, node);
        self.database.begin(self.last, statement);
        self.last
    }

    /// Sends a statement of a user.
    pub(crate) fn send_of_user(&mut self, statement: Statement) {
        self.last += 1;
        self.database.begin(self.last, statement);
    }

    /// A running statement takes a step.
    pub(crate) fn step(&mut self, ticket: Ticket) {
        if self.frozen || self.delayed.get(&ticket).is_some_and(|until| *until > self.now) {
            return;
        }
        let Some((answer, changes)) = self.database.step(ticket) else {
            return self.delay(ticket);
        };
        for change in &changes {
            self.truth.committed(change);
        }
        self.totals.commits +=
            u64::from(matches!(&answer, Answer::Committed(rows) if !rows.is_empty()));
        let Some(node) = self.senders.remove(&ticket) else { return };
        if self.fails(3) {
            self.totals.lost_answers += 1;
        } else {
            let late = if self.fails(4) { self.rng.u64(0..micros(TTL) / 2) } else { 0 };
            let due = self.now + late;
            self.answers.push(Envelope { ticket, node, due, answer: Some(answer) });
        }
    }

    /// Delays the next step of a statement, perhaps.
    fn delay(&mut self, ticket: Ticket) {
        if self.fails(2) {
            let until = self.now + self.rng.u64(0..2 * micros(TTL));
            self.delayed.insert(ticket, until);
        }
    }

    /// A random running statement takes a step.
    pub(crate) fn step_any(&mut self) {
        let count = self.database.running.len();
        if count > 0 {
            let index = self.rng.usize(0..count);
            let ticket = self.database.running.keys().nth(index).copied();
            self.step(ticket.expect("there are that many"));
        }
    }

    /// Every statement takes a step. Returns whether there are any.
    pub(crate) fn step_all(&mut self) -> bool {
        let tickets: Vec<Ticket> = self.database.running.keys().copied().collect();
        for ticket in &tickets {
            self.step(*ticket);
        }
        !tickets.is_empty()
    }

    /// A statement fails without having been executed.
    pub(crate) fn abort_any(&mut self) {
        let count = self.database.running.len();
        if count > 0 {
            let index = self.rng.usize(0..count);
            let ticket = self.database.running.keys().nth(index).copied();
            self.abort(ticket.expect("there are that many"));
        }
    }

    fn abort(&mut self, ticket: Ticket) {
        self.database.abort(ticket);
        if let Some(node) = self.senders.remove(&ticket) {
            self.answers.push(Envelope { ticket, node, due: self.now, answer: None });
        }
    }

    /// Burials that wait for a lock reach their lock timeout. Then what blocks them is ended.
    pub(crate) fn unblock(&mut self) {
        let tickets: Vec<Ticket> = self.database.running.keys().copied().collect();
        for ticket in tickets {
            let blockers = self.database.blockers(ticket);
            if !blockers.is_empty() {
                self.abort(ticket);
                for blocker in blockers {
                    self.abort(blocker);
                }
            }
        }
    }

    /// The database crashes and starts again. No client knows what was executed.
    pub(crate) fn crash(&mut self) {
        self.totals.crashes += 1;
        self.database.crash();
        self.senders.clear();
        self.delayed.clear();
        if self.rng.bool() {
            self.answers.clear();
        }
    }

    /// A replica that is behind takes over.
    pub(crate) fn roll_back(&mut self) {
        self.crash();
        self.totals.roll_backs += 1;
        let by = self.rng.usize(1..=BEHIND);
        self.database.roll_back(by);
        self.truth.rolled_back = true;
    }

    /// Ends all faults.
    pub(crate) fn heal(&mut self) {
        (self.faulty, self.frozen) = (false, false);
        self.delayed.clear();
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a short time")
}
