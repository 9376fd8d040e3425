//! The shards of this node, and how far each hand-over is.

use crate::event::Action;
use crate::shard::{ShardId, Stake};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The shards of this node.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    shards: BTreeMap<ShardId, Holding>,
}

#[derive(Debug, Clone, Copy)]
struct Holding {
    epoch: i64,
    /// The mark of the last wish that the last read has seen; `None` while a read is under way.
    ///
    /// It is that of the read, not of a view, and a random number, not a counter: after a fail-over
    /// to a replica that is behind, either could be equal although the processes are others.
    read: Option<i64>,
    stage: Stage,
}

/// A shard is held, then its monitors stop, then it can be given. It never goes back: a statement
/// that gives it may still be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Held,
    Stops,
    Stopped,
}

impl Holding {
    const fn stake(&self, shard: ShardId) -> Stake {
        Stake { shard, epoch: self.epoch }
    }
}

impl Holdings {
    /// The number of shards that are not being handed over.
    pub(crate) fn held(&self) -> usize {
        self.shards.values().filter(|holding| holding.stage == Stage::Held).count()
    }

    /// All stakes, in order.
    pub(crate) fn stakes(&self) -> impl Iterator<Item = Stake> {
        self.shards.iter().map(|(shard, holding)| holding.stake(*shard))
    }

    /// The number of shards.
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// The number of shards that are being handed over.
    pub(crate) fn moving(&self) -> usize {
        self.len() - self.held()
    }

    /// Whether this stake is held, and not being handed over.
    pub(crate) fn holds(&self, stake: Stake) -> bool {
        self.at(stake).is_some_and(|holding| holding.stage == Stage::Held)
    }

    /// Replaces what is held by what the database says. Monitors end and start accordingly. Returns
    /// the number of shards that were given.
    pub(crate) fn replace(
        &mut self,
        mine: &[(Stake, i64)],
        leaving: bool,
        actions: &mut VecDeque<Action>,
    ) -> usize {
        let kept: BTreeSet<Stake> = mine.iter().map(|(stake, _)| *stake).collect();
        let (mut lost, mut given) = (Vec::new(), 0);
        self.shards.retain(|shard, holding| {
            let stake = holding.stake(*shard);
            let keeps = kept.contains(&stake);
            if !keeps && holding.stage == Stage::Stopped {
                given += 1;
            } else if !keeps {
                lost.push(stake);
            }
            keeps
        });
        push(actions, lost, Action::Lost);
        let mut changed = Vec::new();
        for (stake, mark) in mine {
            let holding = self.shards.get_mut(&stake.shard);
            let held = holding.filter(|holding| holding.stage == Stage::Held);
            if let Some(holding) = held.filter(|it| it.read.is_some_and(|read| read != *mark)) {
                holding.read = None;
                changed.push(*stake);
            }
        }
        self.gained(mine.iter().map(|(stake, _)| *stake), leaving, actions);
        push(actions, changed, Action::Reread);
        given
    }

    /// Adds shards that are not there yet: those of a claim, also of one whose answer was lost.
    pub(crate) fn gained(
        &mut self,
        stakes: impl IntoIterator<Item = Stake>,
        leaving: bool,
        actions: &mut VecDeque<Action>,
    ) {
        let mut gained = Vec::new();
        // If this node leaves, their monitors are not started, so they can be given at once.
        let stage = if leaving { Stage::Stopped } else { Stage::Held };
        for stake in stakes {
            if let Entry::Vacant(entry) = self.shards.entry(stake.shard) {
                entry.insert(Holding { epoch: stake.epoch, read: None, stage });
                gained.push(stake);
            }
        }
        if !leaving {
            push(actions, gained, Action::Gained);
        }
    }

    /// The processes of a shard were read.
    pub(crate) fn read(&mut self, stake: Stake, mark: i64) {
        if let Some(holding) = self.at_mut(stake) {
            holding.read = Some(mark);
        }
    }

    /// Begins to hand over `count` shards.
    pub(crate) fn hand_over(&mut self, count: usize, actions: &mut VecDeque<Action>) {
        let mut stopped = Vec::new();
        let held = self.shards.iter_mut().rev().filter(|(_, it)| it.stage == Stage::Held);
        for (shard, holding) in held.take(count) {
            holding.stage = Stage::Stops;
            stopped.push(holding.stake(*shard));
        }
        push(actions, stopped, Action::Stop);
    }

    /// The monitors of a shard have stopped.
    pub(crate) fn stopped(&mut self, stake: Stake) {
        if let Some(holding) = self.at_mut(stake) {
            // Only if this was requested: otherwise monitors may run.
            if holding.stage == Stage::Stops {
                holding.stage = Stage::Stopped;
            }
        }
    }

    /// The shards to give.
    pub(crate) fn to_give(&self) -> Vec<Stake> {
        let stopped = self.shards.iter().filter(|(_, it)| it.stage == Stage::Stopped);
        stopped.map(|(shard, holding)| holding.stake(*shard)).collect()
    }

    /// These were given, or are not this node's any more. Returns how many were there.
    pub(crate) fn given(&mut self, stakes: &[Stake]) -> usize {
        let before = self.len();
        for stake in stakes {
            if self.at(*stake).is_some() {
                self.shards.remove(&stake.shard);
            }
        }
        before - self.len()
    }

    /// A shard has another owner.
    pub(crate) fn disowned(&mut self, stake: Stake, actions: &mut VecDeque<Action>) {
        if self.at(stake).is_some() {
            self.shards.remove(&stake.shard);
            actions.push_back(Action::Lost(vec![stake]));
        }
    }

    /// Drops all shards.
    pub(crate) fn lose_all(&mut self, actions: &mut VecDeque<Action>) {
        let shards = std::mem::take(&mut self.shards);
        let stakes = shards.iter().map(|(shard, holding)| holding.stake(*shard)).collect();
        push(actions, stakes, Action::Lost);
    }

    fn at(&self, stake: Stake) -> Option<&Holding> {
        self.shards.get(&stake.shard).filter(|holding| holding.epoch == stake.epoch)
    }

    fn at_mut(&mut self, stake: Stake) -> Option<&mut Holding> {
        self.shards.get_mut(&stake.shard).filter(|holding| holding.epoch == stake.epoch)
    }
}

/// Adds an action for these shards, if there are any.
fn push(actions: &mut VecDeque<Action>, stakes: Vec<Stake>, action: fn(Vec<Stake>) -> Action) {
    if !stakes.is_empty() {
        actions.push_back(action(stakes));
    }
}
