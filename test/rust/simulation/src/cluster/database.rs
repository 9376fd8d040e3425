//! A database that executes statements step by step, as PostgreSQL does under READ COMMITTED.
//!
//! A statement takes a snapshot, by which it selects rows. It locks each row that it changes, and
//! waits for the lock if another statement has it. Then it compares the *newest* version of that row
//! again. For all other tables it still uses its snapshot. Its changes are visible after its
//! commit. A statement goes on if its client is gone.

mod changes;
mod locks;

use self::locks::{Key, Locks, Mode};
use super::rules::Rules;
use super::statement::{Answer, Known, Statement};
use super::tables::{NodeRow, ProcessRow, ShardRow, Tables};
use cron_cluster::{Found, Incarnation, Row};
use std::collections::{BTreeMap, VecDeque};

/// A number that a client gives to each of its statements.
pub(crate) type Ticket = u64;

/// The number of commits that a replica may be behind.
pub(crate) const BEHIND: usize = 20;

pub(crate) struct Database {
    pub(crate) tables: Tables,
    rules: Rules,
    pub(crate) running: BTreeMap<Ticket, Running>,
    locks: Locks,
    /// Earlier states, the oldest one first.
    history: VecDeque<Tables>,
}

/// A statement in execution.
pub(crate) struct Running {
    statement: Statement,
    snapshot: Option<Tables>,
    /// The next row.
    at: usize,
    writes: Vec<Write>,
}

enum Write {
    Node(Incarnation, Option<NodeRow>),
    Shard(usize, ShardRow),
    Process(usize, Option<ProcessRow>),
}

/// What a step of a statement leads to.
enum Step {
    /// It continues with the next step.
    Continues,
    /// It waits for a lock.
    Waits,
    /// It commits.
    Ends(Answer),
}

/// A change of a process, for the invariants.
pub(crate) struct Change {
    pub(crate) process: usize,
    pub(crate) before: Option<ProcessRow>,
    pub(crate) after: Option<ProcessRow>,
}

impl Database {
    pub(crate) fn new(shards: usize, rules: Rules) -> Self {
        let tables = Tables { shards: vec![ShardRow::default(); shards], ..Tables::default() };
        let (running, locks, history) = (BTreeMap::new(), Locks::default(), VecDeque::new());
        Self { tables, rules, running, locks, history }
    }

    pub(crate) fn begin(&mut self, ticket: Ticket, statement: Statement) {
        let running = Running { statement, snapshot: None, at: 0, writes: Vec::new() };
        self.running.insert(ticket, running);
    }

    /// Aborts a statement.
    pub(crate) fn abort(&mut self, ticket: Ticket) {
        self.running.remove(&ticket);
        self.locks.release(ticket);
    }

    /// Aborts all statements: the server crashed.
    pub(crate) fn crash(&mut self) {
        self.running.clear();
        self.locks = Locks::default();
    }

    /// A replica that is behind takes over.
    pub(crate) fn roll_back(&mut self, by: usize) {
        self.crash();
        for _ in 0..by {
            if let Some(tables) = self.history.pop_back() {
                self.tables = tables;
            }
        }
    }

    /// Takes one step of a statement. Returns its answer if it commits, and the changed processes.
    pub(crate) fn step(&mut self, ticket: Ticket) -> Option<(Answer, Vec<Change>)> {
        let mut running = self.running.remove(&ticket)?;
        match self.advance(ticket, &mut running) {
            Step::Ends(answer) => {
                let changes = self.commit(running.writes);
                self.locks.release(ticket);
                Some((answer, changes))
            }
            Step::Continues | Step::Waits => {
                self.running.insert(ticket, running);
                None
            }
        }
    }

    /// The statements for whose locks a burial waits.
    pub(crate) fn blockers(&self, ticket: Ticket) -> Vec<Ticket> {
        match self.running.get(&ticket).map(|running| &running.statement) {
            Some(Statement::Bury(node, _)) => {
                self.locks.conflicts(Key::Node(*node), Mode::Update, ticket).collect()
            }
            _ => Vec::new(),
        }
    }

    fn advance(&mut self, ticket: Ticket, running: &mut Running) -> Step {
        let Some(snapshot) = running.snapshot.take() else {
            return self.start(running);
        };
        let at = running.at;
        running.at += 1;
        let statement = running.statement.clone();
        let step = match &statement {
            Statement::Look(_) | Statement::Watch | Statement::Ask(..) | Statement::Read(_) => {
                Step::Continues
            }
            Statement::Join(me) => {
                let row = NodeRow { beat: 0, leaving: false, mark: 0 };
                running.writes.push(Write::Node(*me, Some(row)));
                Step::Ends(Answer::Joined(*me))
            }
            Statement::Renew { me, leaving } => self.renew(ticket, running, *me, *leaving),
            Statement::Bury(node, beat) => {
                let step = self.delete(ticket, running, *node, Some(*beat));
                step.map_or(Step::Waits, |deleted| Step::Ends(Answer::Buried(deleted)))
            }
            Statement::Retire(node) => {
                let step = self.delete(ticket, running, *node, None);
                step.map_or(Step::Waits, |_| Step::Ends(Answer::Retired))
            }
            Statement::Claim(me, stakes) => self.claim(ticket, running, &snapshot, at, *me, stakes),
            Statement::Give(me, stakes) => self.give(ticket, running, &snapshot, at, *me, stakes),
            Statement::Commit(me, rows) => self.save(ticket, running, &snapshot, at, *me, rows),
            Statement::Start { process, position, random } => {
                self.restart(ticket, running, &snapshot, at, *process, Some(*position), *random)
            }
            Statement::Forget { process, random } => {
                self.restart(ticket, running, &snapshot, at, *process, None, *random)
            }
        };
        if matches!(step, Step::Waits) {
            running.at = at;
        }
        running.snapshot = Some(snapshot);
        step
    }

    /// Takes the snapshot. Statements that only read have their answer then.
    fn start(&self, running: &mut Running) -> Step {
        let tables = &self.tables;
        running.snapshot = Some(tables.clone());
        let found = |process: usize, me: Incarnation| {
            let mine = tables.is_owned_by(process, me);
            let row = tables.processes.get(&process);
            let row = row.map(|row| Row { generation: row.generation, seq: row.seq, mine });
            (process, Found { node: tables.nodes.contains_key(&me), row })
        };
        match &running.statement {
            Statement::Look(me) => Step::Ends(Answer::View(tables.view(*me))),
            Statement::Watch => Step::Ends(Answer::Beats(tables.beats())),
            Statement::Ask(me, processes) => {
                let all = processes.iter().map(|process| found(*process, *me));
                Step::Ends(Answer::Found(all.collect()))
            }
            Statement::Read(shards) => {
                let known = |(process, row): (&usize, &ProcessRow)| Known {
                    process: *process,
                    generation: row.generation,
                    seq: row.seq,
                    position: row.position,
                };
                let all = tables.processes.iter();
                let read = all.filter(|(process, _)| shards.contains(&tables.shard_of(**process)));
                let marks = shards.iter().map(|shard| tables.shards[*shard].wishes);
                Step::Ends(Answer::Processes(read.map(known).collect(), marks.collect()))
            }
            _ => Step::Continues,
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> Vec<Change> {
        if writes.is_empty() {
            return Vec::new();
        }
        self.history.push_back(self.tables.clone());
        if self.history.len() > BEHIND {
            self.history.pop_front();
        }
        let mut changes = Vec::new();
        for write in writes {
            match write {
                Write::Node(node, Some(row)) => drop(self.tables.nodes.insert(node, row)),
                Write::Node(node, None) => drop(self.tables.nodes.remove(&node)),
                Write::Shard(index, row) => self.tables.shards[index] = row,
                Write::Process(process, after) => {
                    let before = match after {
                        Some(row) => self.tables.processes.insert(process, row),
                        None => self.tables.processes.remove(&process),
                    };
                    changes.push(Change { process, before, after });
                }
            }
        }
        changes
    }
}
