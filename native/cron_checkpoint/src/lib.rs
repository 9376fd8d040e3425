//! Where each monitor stands, kept on disk: its cursor, whether it is to be resumed, and the
//! results that could not be pushed.
//!
//! # In scope
//! * [`Checkpoint`]: the book of a node, written by one thread in group commits
//! * [`Track`]: one registration's acks, noted without waiting
//! * [`Store`]: the redb file, and what each of its errors means
//! * [`COMMITS`]: what is counted of all commits
//!
//! # Out of scope
//! Deciding anything: what is acked, when a result is given up and where a monitor begins is said
//! by the callers. There is no BEAM in here.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod batch;
mod book;
mod checkpoint;
mod commit_metrics;
mod file_identity;
mod opened;
#[cfg(test)]
mod power_tests;
mod record;
mod rewrite;
mod settings;
mod state;
mod store;
mod track;
mod writer;

pub use batch::Batch;
pub use book::{Full, Monitored};
pub use checkpoint::{Begun, Checkpoint, now};
pub use commit_metrics::{COMMITS, Commit, Meter};
pub use record::{Letter, Record};
pub use settings::{LetterLimits, Settings, UNWRITTEN_LETTERS};
pub use state::{LettersAnswer, Status, Waiter};
pub use store::{OpenError, Page, Store, StoreError};
pub use track::Track;
pub use writer::{Turn, Writer};
