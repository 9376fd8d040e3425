//! Locks of rows.

use super::Ticket;
use cron_cluster::Incarnation;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Node(Incarnation),
    Shard(usize),
    Process(usize),
}

/// PostgreSQL's lock modes of rows that occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    KeyShare,
    NoKeyUpdate,
    Update,
}

impl Mode {
    fn conflicts(self, other: Self) -> bool {
        match (self, other) {
            (Self::Update, _) | (_, Self::Update) => true,
            (one, other) => one == Self::NoKeyUpdate && other == Self::NoKeyUpdate,
        }
    }
}

/// All locks, each with the statement that has it.
#[derive(Debug, Default)]
pub(super) struct Locks {
    locks: Vec<(Key, Mode, Ticket)>,
}

impl Locks {
    /// The statements with a lock that conflicts with this one.
    pub(super) fn conflicts(
        &self,
        key: Key,
        mode: Mode,
        ticket: Ticket,
    ) -> impl Iterator<Item = Ticket> {
        let conflicts = move |(locked, with, by): &&(Key, Mode, Ticket)| {
            *locked == key && *by != ticket && mode.conflicts(*with)
        };
        self.locks.iter().filter(conflicts).map(|(_, _, by)| *by)
    }

    pub(super) fn lock(&mut self, key: Key, mode: Mode, ticket: Ticket) -> bool {
        let free = self.conflicts(key, mode, ticket).next().is_none();
        if free {
            self.locks.push((key, mode, ticket));
        }
        free
    }

    /// A statement ends.
    pub(super) fn release(&mut self, ticket: Ticket) {
        self.locks.retain(|(_, _, by)| *by != ticket);
    }
}
