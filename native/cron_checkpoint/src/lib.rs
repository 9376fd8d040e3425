//! Keeps the state of monitors on disk: their cursors, which of them to resume, and the results
//! that could not be pushed.
//!
//! # In scope
//! * [`Checkpoint`]: the book of a host node, written by one thread in group commits
//! * [`Track`]: the acks of one registration, noted without waiting for the disk
//! * [`Store`]: what it needs of its storage; [`FileStore`]: the redb file, with its errors classified
//! * [`COMMITS`]: metrics of all commits
//!
//! # Out of scope
//! Decisions: the callers decide what is acked, when a result is given up and where a monitor
//! begins. Nothing here depends on the BEAM.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod batch;
mod book;
mod checkpoint;
mod cluster;
mod commit_metrics;
mod file_identity;
mod file_store;
mod opened;
#[cfg(test)]
mod power_tests;
mod progress;
mod record;
mod rewrite;
mod settings;
mod state;
mod store;
mod track;
mod writer;

pub use batch::{Batch, Moved};
pub use book::{Full, Monitored};
pub use checkpoint::{Begun, Checkpoint, now};
pub use commit_metrics::{COMMITS, Commit, Meter};
pub use file_store::{FileStore, OpenError};
pub use progress::{OwnedProcess, Progress};
pub use record::{Letter, Record, decode_position, encode_position};
pub use settings::{LetterLimits, Settings, UNWRITTEN_LETTERS};
pub use state::{LettersAnswer, Status, Waiter};
pub use store::{LetterRange, Store, StoreError};
pub use track::Track;
pub use writer::{Turn, Writer};
