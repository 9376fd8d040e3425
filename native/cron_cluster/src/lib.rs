//! The protocol by which several nodes share the monitoring of processes through a database, so
//! that each process has one owner.
//!
//! # In scope
//! * which shard a process belongs to ([`shard_of`])
//! * membership: when a node renews its row, when a silent node is buried, and when this node has
//!   to join again ([`Member`])
//! * ownership: which shards a node claims, hands over, gains and loses ([`Member`])
//! * whether a node may push results ([`may_push`])
//! * why a commit did not change a row, and what follows ([`judge`])
//! * the tables ([`schema`]) and the statements ([`sql`]), as text
//!
//! # Out of scope
//! Sockets, threads, clocks and the BEAM. Time is an argument, what happened is an [`Event`], and
//! what to do is an [`Action`]:
//!
//! ```
//! use cron_cluster::{Action, Config, Event, Incarnation, Member};
//! use cron_engine::Time;
//! use std::time::Duration;
//!
//! let mut member = Member::new(Time::ZERO, Config::new(Duration::from_secs(6)));
//! member.handle_timeout(Time::ZERO);
//! assert_eq!(member.poll_action(), Some(Action::Join));
//! // The caller inserted a row with a random incarnation.
//! member.handle_event(Time::from_millis(3), Event::Joined(Some(Incarnation([7; 16]))));
//! // Pushes are allowed until 0.9 of the TTL after the insert began.
//! assert_eq!(member.leased_until(), Some(Time::from_millis(5400)));
//! ```
//!
//! # Rules
//! * **No wall clock.** A node is silent if its beat has not changed for a TTL by the watcher's own
//!   monotonic clock. The clock must count the time for which the machine sleeps
//!   (`CLOCK_BOOTTIME`).
//! * **The database decides.** A shard belongs to the node in its row. What a node holds is a
//!   copy, which each view corrects.
//! * **An unknown answer is no answer.** A statement whose answer was lost may have been executed,
//!   or may be executed later. The next view shows it.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod balance;
mod config;
mod event;
mod fence;
mod holdings;
mod incarnation;
mod lane;
mod liveness;
mod member;
pub mod schema;
mod shard;
pub mod sql;
mod verdict;
mod view;

pub use config::{Config, UNSAVED_LIMIT};
pub use event::{Action, Event};
pub use fence::may_push;
pub use incarnation::Incarnation;
pub use member::{Counters, Member};
pub use shard::{SHARDS, ShardId, Stake, shard_of};
pub use verdict::{Found, Row, Sent, Verdict, judge};
pub use view::{Beat, Peer, View};
