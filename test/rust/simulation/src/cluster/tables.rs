//! The tables of the simulated database.

use cron_cluster::{Beat, Incarnation, Peer, ShardId, Stake, View};
use std::collections::BTreeMap;

/// The committed state. A copy of it is a snapshot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) nodes: BTreeMap<Incarnation, NodeRow>,
    pub(crate) shards: Vec<ShardRow>,
    pub(crate) processes: BTreeMap<usize, ProcessRow>,
    /// The last number of the sequence of generations.
    pub(crate) generation: i64,
    /// The last row that was inserted.
    pub(crate) born: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeRow {
    pub(crate) beat: i64,
    pub(crate) leaving: bool,
    pub(crate) mark: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShardRow {
    pub(crate) owner: Option<Incarnation>,
    pub(crate) epoch: i64,
    pub(crate) wishes: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessRow {
    pub(crate) generation: i64,
    pub(crate) seq: i64,
    /// The number of the last result before the cursor.
    pub(crate) position: u64,
    /// Distinguishes a row from one that was deleted.
    pub(crate) born: u64,
}

impl Tables {
    /// The number of a process's shard.
    pub(crate) fn shard_of(&self, process: usize) -> usize {
        process % self.shards.len()
    }

    /// Whether the shard of a process belongs to a node that has its row.
    pub(crate) fn is_owned_by(&self, process: usize, me: Incarnation) -> bool {
        let shard = self.shards[self.shard_of(process)];
        shard.owner == Some(me) && self.nodes.contains_key(&me)
    }

    /// The shards whose owner is not there.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = usize> {
        let is_orphan =
            |shard: &ShardRow| shard.owner.is_none_or(|owner| !self.nodes.contains_key(&owner));
        (0..self.shards.len()).filter(move |index| is_orphan(&self.shards[*index]))
    }

    pub(crate) fn view(&self, me: Incarnation) -> View {
        let owned = |node: &Incarnation| {
            self.shards.iter().filter(|shard| shard.owner == Some(*node)).count()
        };
        let peer = |(node, row): (&Incarnation, &NodeRow)| Peer {
            incarnation: *node,
            beat: row.beat,
            leaving: row.leaving,
            owned: owned(node),
        };
        let mine = (0..self.shards.len()).filter(|index| self.shards[*index].owner == Some(me));
        View {
            peers: self.nodes.iter().map(peer).collect(),
            orphans: self.orphans().map(|index| self.stake(index)).collect(),
            mine: mine.map(|index| (self.stake(index), self.shards[index].wishes)).collect(),
        }
    }

    pub(crate) fn beats(&self) -> Vec<Beat> {
        let beat = |(node, row): (&Incarnation, &NodeRow)| {
            let NodeRow { beat, leaving, mark } = *row;
            Beat { incarnation: *node, beat, leaving, mark }
        };
        self.nodes.iter().map(beat).collect()
    }

    pub(crate) fn stake(&self, index: usize) -> Stake {
        let shard = ShardId(u16::try_from(index).expect("few shards"));
        Stake { shard, epoch: self.shards[index].epoch }
    }
}
