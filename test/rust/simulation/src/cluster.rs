//! Several nodes on one database, in deterministic simulation: the real protocol
//! (`cron_cluster`), and a database that executes statements step by step as PostgreSQL does under
//! READ COMMITTED. Between two steps anything may happen: an answer is lost, a statement that its
//! client has given up is executed later, a node is killed, paused, cut off or stopped, its clock
//! is fast or slow, a process is started anew or forgotten, the database freezes, crashes, or fails
//! over to a replica that is behind.
//!
//! The invariants are checked at every step:
//! * No result is skipped, and no cursor is committed before its result was pushed.
//! * A cursor never goes back within a generation.
//! * A push begins only while the database says that the shard belongs to the node, and while the
//!   oldest unsaved ack of its monitor is younger than the limit.
//! * A monitor repeats at most what was acked within the limit, and one more.
//!
//! After the last fault everything is pushed and saved, and shards are even within two. Then a node
//! is killed: all shards have an owner again within the TTL and a second. Then one stops: nothing
//! is repeated, and no shard is without an owner for two seconds. Then the database is down for two
//! TTLs: no node is buried.

mod database;
mod monitor;
mod node;
mod rules;
mod statement;
mod tables;
mod totals;
mod truth;
mod wire;
mod world;

pub use rules::{Claims, Commits, Numbers, Rules};
pub use totals::ClusterTotals;
pub use world::run;
