//! The statements of a world: those that the library uses, or one that looks safe and is not. The
//! simulation must find the faults of the latter, or it proves nothing about the former.

/// The statements of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How cursors are committed.
    pub commits: Commits,
    /// How orphans are claimed.
    pub claims: Claims,
    /// How generations and wishes are numbered.
    pub numbers: Numbers,
}

impl Rules {
    /// The rules of the library.
    pub const SAFE: Self =
        Self { commits: Commits::Fenced, claims: Claims::ByEpoch, numbers: Numbers::Random };
}

/// How cursors are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    /// The node's row is locked, the shard's owner is that node, generation and seq are compared.
    Fenced,
    /// `UPDATE process … FROM shard WHERE epoch = $epoch`. The generation is compared, the seq not.
    FromEpoch,
    /// `UPDATE process … WHERE EXISTS (SELECT FROM shard WHERE epoch = $epoch)`.
    ExistsEpoch,
    /// As `Fenced`, but the generation is not compared.
    WithoutGeneration,
    /// As `Fenced`, but the seq is not compared.
    WithoutSeq,
}

/// How orphans are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claims {
    /// The epoch that a view has shown is compared.
    ByEpoch,
    /// `WHERE NOT EXISTS (SELECT FROM node WHERE incarnation = owner) FOR UPDATE SKIP LOCKED`.
    ByNotExists,
}

/// How generations and wishes are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// By random numbers.
    Random,
    /// Generations by a sequence, wishes by counting. A fail-over to a replica that is behind sets
    /// both back, so that a number is used twice.
    Sequence,
}
