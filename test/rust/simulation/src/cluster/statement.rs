//! The statements of the simulated database, and their answers. Each one is a statement of
//! `cron_cluster`'s design, or of a user.

use cron_cluster::{Beat, Found, Incarnation, Stake, View};

/// A statement.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    Join(Incarnation),
    Renew {
        me: Incarnation,
        leaving: bool,
    },
    Look(Incarnation),
    Watch,
    Claim(Incarnation, Vec<Stake>),
    Give(Incarnation, Vec<Stake>),
    Bury(Incarnation, i64),
    Retire(Incarnation),
    Commit(Incarnation, Vec<Saving>),
    /// Why rows did not come back from a commit.
    Ask(Incarnation, Vec<usize>),
    /// The processes of shards.
    Read(Vec<usize>),
    /// A user starts a process anew after a result, or forgets it. The random number is that of the
    /// generation and of the wish.
    Start {
        process: usize,
        position: u64,
        random: i64,
    },
    Forget {
        process: usize,
        random: i64,
    },
}

/// What a commit writes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saving {
    pub(crate) process: usize,
    pub(crate) generation: i64,
    pub(crate) seq: i64,
    pub(crate) position: u64,
    /// For the statements that compare it.
    pub(crate) epoch: i64,
}

/// The answer to a statement.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Joined(Incarnation),
    Renewed(bool),
    View(View),
    Beats(Vec<Beat>),
    Claimed(Vec<Stake>),
    Given,
    Buried(bool),
    Retired,
    Committed(Vec<usize>),
    Found(Vec<(usize, Found)>),
    /// The processes, and the mark of each shard.
    Processes(Vec<Known>, Vec<i64>),
    Done,
}

/// A row of the table of processes, as the owner reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) process: usize,
    pub(crate) generation: i64,
    pub(crate) seq: i64,
    pub(crate) position: u64,
}
