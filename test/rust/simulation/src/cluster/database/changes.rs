//! The statements that change rows. Each call is one step: a lock, and the row that it protects.

use super::locks::{Key, Mode};
use super::{Database, Running, Step, Ticket, Write};
use crate::cluster::rules::{Claims, Commits, Numbers};
use crate::cluster::statement::{Answer, Saving};
use crate::cluster::tables::{NodeRow, ProcessRow, ShardRow, Tables};
use cron_cluster::{Incarnation, ShardId, Stake};

impl Database {
    pub(super) fn renew(
        &mut self,
        ticket: Ticket,
        to: &mut Running,
        me: Incarnation,
        leaves: bool,
    ) -> Step {
        if !self.locks.lock(Key::Node(me), Mode::NoKeyUpdate, ticket) {
            return Step::Waits;
        }
        let row = self.tables.nodes.get(&me).copied();
        if let Some(NodeRow { beat, leaving, mark }) = row {
            let row = NodeRow { beat: beat + 1, leaving: leaving || leaves, mark };
            to.writes.push(Write::Node(me, Some(row)));
        }
        Step::Ends(Answer::Renewed(row.is_some()))
    }

    /// Deletes a node's row. `None`: it waits.
    pub(super) fn delete(
        &mut self,
        ticket: Ticket,
        to: &mut Running,
        node: Incarnation,
        beat: Option<i64>,
    ) -> Option<bool> {
        if !self.locks.lock(Key::Node(node), Mode::Update, ticket) {
            return None;
        }
        let row = self.tables.nodes.get(&node);
        let deletes = row.is_some_and(|row| beat.is_none_or(|beat| beat == row.beat));
        if deletes {
            to.writes.push(Write::Node(node, None));
        }
        Some(deletes)
    }

    /// Locks the node's own row. `None`: it waits. `Some(false)`: there is none.
    fn lock_me(&mut self, ticket: Ticket, me: Incarnation) -> Option<bool> {
        let locked = self.locks.lock(Key::Node(me), Mode::KeyShare, ticket);
        locked.then(|| self.tables.nodes.contains_key(&me))
    }

    pub(super) fn claim(
        &mut self,
        ticket: Ticket,
        to: &mut Running,
        snapshot: &Tables,
        at: usize,
        me: Incarnation,
        stakes: &[Stake],
    ) -> Step {
        let by_epoch = self.rules.claims == Claims::ByEpoch;
        if at == 0 {
            return match self.lock_me(ticket, me) {
                Some(true) => Step::Continues,
                Some(false) => Step::Ends(Answer::Claimed(Vec::new())),
                None => Step::Waits,
            };
        }
        let index = if by_epoch {
            stakes.get(at - 1).map(|stake| usize::from(stake.shard.0))
        } else {
            Some(at - 1).filter(|at| *at < snapshot.shards.len() && to.writes.len() < stakes.len())
        };
        let Some(index) = index else { return Step::Ends(Answer::Claimed(claimed(to))) };
        let selects = |row: ShardRow| {
            if by_epoch {
                row.epoch == stakes[at - 1].epoch
            } else {
                // The nodes that the snapshot knows, also for a newer version of the shard.
                row.owner.is_none_or(|owner| !snapshot.nodes.contains_key(&owner))
            }
        };
        if !selects(snapshot.shards[index]) {
            return Step::Continues;
        }
        if !self.locks.lock(Key::Shard(index), Mode::NoKeyUpdate, ticket) {
            return if by_epoch { Step::Waits } else { Step::Continues };
        }
        let row = self.tables.shards[index];
        if selects(row) {
            let row = ShardRow { owner: Some(me), epoch: row.epoch + 1, ..row };
            to.writes.push(Write::Shard(index, row));
        }
        Step::Continues
    }

    pub(super) fn give(
        &mut self,
        ticket: Ticket,
        to: &mut Running,
        snapshot: &Tables,
        at: usize,
        me: Incarnation,
        stakes: &[Stake],
    ) -> Step {
        let Some(stake) = stakes.get(at) else { return Step::Ends(Answer::Given) };
        let index = usize::from(stake.shard.0);
        let selects = |row: ShardRow| row.epoch == stake.epoch && row.owner == Some(me);
        if !selects(snapshot.shards[index]) {
            return Step::Continues;
        }
        if !self.locks.lock(Key::Shard(index), Mode::NoKeyUpdate, ticket) {
            return Step::Waits;
        }
        let row = self.tables.shards[index];
        if selects(row) {
            let row = ShardRow { owner: None, epoch: row.epoch + 1, ..row };
            to.writes.push(Write::Shard(index, row));
        }
        Step::Continues
    }

    pub(super) fn save(
        &mut self,
        ticket: Ticket,
        to: &mut Running,
        snapshot: &Tables,
        at: usize,
        me: Incarnation,
        rows: &[Saving],
    ) -> Step {
        let rule = self.rules.commits;
        // READ COMMITTED makes these two equal: either way the shard is that of the snapshot.
        let by_epoch = matches!(rule, Commits::FromEpoch | Commits::ExistsEpoch);
        if at == 0 && !by_epoch {
            return match self.lock_me(ticket, me) {
                Some(true) => Step::Continues,
                Some(false) => Step::Ends(Answer::Committed(Vec::new())),
                None => Step::Waits,
            };
        }
        let Some(saving) = rows.get(at - usize::from(!by_epoch)) else {
            return Step::Ends(Answer::Committed(saved(to)));
        };
        let process = saving.process;
        let shard = snapshot.shards[snapshot.shard_of(process)];
        let fenced = if by_epoch { shard.epoch == saving.epoch } else { shard.owner == Some(me) };
        let old = snapshot.processes.get(&process).copied();
        let selects = |row: &ProcessRow| {
            let same = row.generation == saving.generation || rule == Commits::WithoutGeneration;
            same && (by_epoch || rule == Commits::WithoutSeq || row.seq <= saving.seq)
        };
        if !fenced || !old.is_some_and(|row| selects(&row)) {
            return Step::Continues;
        }
        if !self.locks.lock(Key::Process(process), Mode::NoKeyUpdate, ticket) {
            return Step::Waits;
        }
        let newest = self.tables.processes.get(&process).copied();
        // A row that was deleted and inserted again is another one.
        let newest = newest.filter(|row| old.is_some_and(|old| old.born == row.born));
        if let Some(row) = newest.filter(selects) {
            let row = ProcessRow { seq: saving.seq, position: saving.position, ..row };
            to.writes.push(Write::Process(process, Some(row)));
        }
        Step::Continues
    }

    /// A user starts a process anew, or forgets it.
    #[expect(clippy::too_many_arguments, reason = "the fields of the two statements")]
    pub(super) fn restart(
        &mut self,
        ticket: Ticket,
        to: &mut Running,
        snapshot: &Tables,
        at: usize,
        process: usize,
        start: Option<u64>,
        random: i64,
    ) -> Step {
        let is_random = self.rules.numbers == Numbers::Random;
        let shard = self.tables.shard_of(process);
        if at == 2 {
            // The hint for the owner is left out if its row is locked.
            self.hint(ticket, to, snapshot.shards[shard].owner, random);
            return Step::Ends(Answer::Done);
        }
        let key = [Key::Process(process), Key::Shard(shard)][at];
        let mode = if start.is_none() && at == 0 { Mode::Update } else { Mode::NoKeyUpdate };
        if !self.locks.lock(key, mode, ticket) {
            return Step::Waits;
        }
        if at == 0 {
            let row = start.map(|position| {
                // A sequence does not wait for the commit.
                self.tables.generation += 1;
                let generation = if is_random { random } else { self.tables.generation };
                let old = self.tables.processes.get(&process);
                self.tables.born += 1;
                let born = old.map_or(self.tables.born, |row| row.born);
                ProcessRow { generation, seq: 0, position, born }
            });
            to.writes.push(Write::Process(process, row));
            return Step::Continues;
        }
        let row = self.tables.shards[shard];
        let wishes = if is_random { random } else { row.wishes + 1 };
        to.writes.push(Write::Shard(shard, ShardRow { wishes, ..row }));
        Step::Continues
    }

    fn hint(&mut self, ticket: Ticket, to: &mut Running, owner: Option<Incarnation>, mark: i64) {
        let Some(owner) = owner else { return };
        if self.locks.lock(Key::Node(owner), Mode::NoKeyUpdate, ticket)
            && let Some(row) = self.tables.nodes.get(&owner)
        {
            to.writes.push(Write::Node(owner, Some(NodeRow { mark, ..*row })));
        }
    }
}

fn claimed(running: &Running) -> Vec<Stake> {
    let claimed = |write: &Write| match write {
        Write::Shard(index, row) => {
            let shard = ShardId(u16::try_from(*index).expect("few shards"));
            Some(Stake { shard, epoch: row.epoch })
        }
        _ => None,
    };
    running.writes.iter().filter_map(claimed).collect()
}

fn saved(running: &Running) -> Vec<usize> {
    let saved = |write: &Write| match write {
        Write::Process(process, _) => Some(*process),
        _ => None,
    };
    running.writes.iter().filter_map(saved).collect()
}
