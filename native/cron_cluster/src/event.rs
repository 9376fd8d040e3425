//! The events of a member, and its actions.
//!
//! Answers are `None` if the statement failed or if its answer did not arrive in time. Then it is
//! unknown whether it was executed, or will be.

use crate::incarnation::Incarnation;
use crate::shard::Stake;
use crate::view::{Beat, View};

/// An event. Each of the answers belongs to the one [`Action`] of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The row of this node was inserted, with an incarnation that was never used before.
    Joined(Option<Incarnation>),
    /// Whether the row was there to be renewed.
    Renewed(Option<bool>),
    /// A view.
    Viewed(Option<View>),
    /// The beats of all nodes, also of this one.
    Watched(Option<Vec<Beat>>),
    /// The claimed shards, with their new epochs.
    Claimed(Option<Vec<Stake>>),
    /// The shards were given, except those that this node did not own any more.
    Given(Option<()>),
    /// Whether a silent node was buried. `false`: it has renewed, or was buried by another node.
    Buried(Option<bool>),
    /// An own row was deleted, or is gone.
    Retired(Option<()>),
    /// The processes of a shard were read, and the mark of its last wish in the same statement.
    Read(Stake, i64),
    /// All monitors of a shard have ended, and their last acks are saved.
    Stopped(Stake),
    /// A commit found that the shard has another owner.
    Disowned(Stake),
    /// A commit found no row of this incarnation.
    Evicted(Incarnation),
    /// This node stops.
    Leave,
}

/// An action. At most one statement of [`Action::Renew`] and one of the others is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Insert a row with a new random incarnation.
    Join,
    /// Renew the row, on a connection of its own.
    Renew {
        /// The row.
        incarnation: Incarnation,
        /// Marks the row as one that hands over its shards.
        leaving: bool,
    },
    /// Read the view of this incarnation.
    Look(Incarnation),
    /// Read the beats of all nodes for this incarnation, which costs the database much less than a
    /// view.
    Watch(Incarnation),
    /// Claim these orphans.
    Claim(Incarnation, Vec<Stake>),
    /// Give these shards.
    Give(Incarnation, Vec<Stake>),
    /// Delete the row of a silent node, if it still has this beat.
    Bury(Incarnation, i64),
    /// Delete a row of this node.
    Retire(Incarnation),
    /// Read the processes of these shards and start their monitors. The answer is an
    /// [`Event::Read`] for each shard. A read that fails is repeated. At most one read is under way,
    /// so that none is overtaken by an older one.
    Gained(Vec<Stake>),
    /// End the monitors of these shards, without a commit.
    Lost(Vec<Stake>),
    /// End the monitors of these shards: each completes its push, then its acks are saved. The
    /// answer is an [`Event::Stopped`] for each shard.
    Stop(Vec<Stake>),
    /// Read the processes of these shards again, because they were started, stopped or forgotten. The
    /// answers are as for [`Action::Gained`].
    Reread(Vec<Stake>),
    /// This node has left.
    Left,
}
