//! A view: the answer to the one statement by which a node sees the others and the shards. The beats
//! are a small part of it, which is read more often.

use crate::incarnation::Incarnation;
use crate::shard::Stake;

/// What one statement saw of the tables `node` and `shard`, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// All nodes, also this one.
    pub peers: Vec<Peer>,
    /// Shards without an owner, or with an owner that has no row, in order.
    pub orphans: Vec<Stake>,
    /// The shards of this node, each with the mark of its last wish: a random number that each
    /// start, stop, pause and forget replaces.
    pub mine: Vec<(Stake, i64)>,
}

/// A row of the table `node`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The number of its renewals.
    pub beat: i64,
    /// It stops: it hands over its shards, and gets no further ones.
    pub leaving: bool,
    /// The number of its shards.
    pub owned: usize,
}

/// A node, as it is seen between two views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The number of its renewals.
    pub beat: i64,
    /// It stops.
    pub leaving: bool,
    /// The mark of a wish for one of its processes. It is a hint: it may lack a wish, which the next
    /// view shows.
    pub mark: i64,
}
