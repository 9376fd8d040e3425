//! A monitor of the simulated cluster.

use super::statement::{Known, Saving};
use cron_cluster::{Sent, Stake};
use cron_engine::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// A push takes at least this long.
pub(crate) const MIN_PUSH: Duration = Duration::from_millis(50);

/// A push under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Push {
    pub(crate) process: usize,
    pub(crate) generation: i64,
    pub(crate) number: u64,
    pub(crate) began: Time,
}

/// The monitor of a process.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) stake: Stake,
    pub(crate) process: usize,
    pub(crate) generation: i64,
    pub(crate) seq: i64,
    /// The number of the last acked result.
    pub(crate) position: u64,
    pub(crate) push: Option<Push>,
    /// Unsaved acks: the seq of each, and when it was made.
    pub(crate) acks: VecDeque<(i64, Time)>,
}

impl Monitor {
    pub(crate) const fn new(stake: Stake, known: &Known) -> Self {
        let Known { process, generation, seq, position } = *known;
        let acks = VecDeque::new();
        Self { stake, process, generation, seq, position, push: None, acks }
    }

    pub(crate) const fn begin(&mut self, now: Time) -> Push {
        let (process, generation, number) = (self.process, self.generation, self.position + 1);
        let push = Push { process, generation, number, began: now };
        self.push = Some(push);
        push
    }

    /// The push is acked.
    pub(crate) fn ack(&mut self, now: Time) {
        self.push = None;
        self.position += 1;
        self.seq += 1;
        self.acks.push_back((self.seq, now));
    }

    /// What is to be saved.
    pub(crate) fn saving(&self) -> Option<Saving> {
        let saving = Saving {
            process: self.process,
            generation: self.generation,
            seq: self.seq,
            position: self.position,
            epoch: self.stake.epoch,
        };
        (!self.acks.is_empty()).then_some(saving)
    }

    /// Everything up to this was saved.
    pub(crate) fn saved(&mut self, saving: &Saving) {
        while self.acks.front().is_some_and(|(seq, _)| *seq <= saving.seq) {
            self.acks.pop_front();
        }
    }

    /// Whether this monitor made that.
    pub(crate) fn made(&self, saving: &Saving) -> bool {
        self.generation == saving.generation && self.stake.epoch == saving.epoch
    }

    /// When the oldest ack was made that a row with this seq does not have.
    pub(crate) fn oldest_after(&self, seq: i64) -> Option<Time> {
        self.acks.iter().find(|(acked, _)| *acked > seq).map(|(_, at)| *at)
    }
}

impl Saving {
    pub(crate) const fn sent(&self) -> Sent {
        Sent { generation: self.generation, seq: self.seq }
    }
}
